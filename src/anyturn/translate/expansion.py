"""What a request only names becomes the whole input (F14–F16, F20; clients.md section 1.4).

A client that relies on the server's memory sends references, outputs without their calls, or only
what is new since a response. Everything that was looked up is put in its place here: in order, only
once, and a call together with the reasoning that led to it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Any

import msgspec

from anyturn.errors import Kind, TurnError
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.call_ids import is_drawn
from anyturn.translate.resent import (
    call_id_of,
    id_of,
    implied,
    is_bare_call,
    is_call,
    is_hollow,
    is_item,
    is_output,
    is_reference,
    is_same,
    kind_of,
)

Item = dict[str, Any]
Placed = tuple[str, Any]


class Remembered(msgspec.Struct, frozen=True):
    """An item as it was handed out, and the ids of the reasoning that led to it."""

    item: Item
    led_by: tuple[str, ...] = ()


class Wanted(msgspec.Struct, frozen=True):
    """What has to be looked up: items by id, and calls by `call_id`."""

    ids: frozenset[str]
    call_ids: frozenset[str]


def what_is_wanted(items: Iterable[Any], before: Iterable[Item]) -> Wanted:
    """What these items name and do not hold; `before` is the history that they continue."""
    items = [item for item in items if is_item(item)]
    ids = {id_of(item) for item in items if is_reference(item) or is_hollow(item)}
    called = {call_id_of(item) for item in (*before, *items) if is_call(item)}
    answered = {call_id_of(item) for item in items if is_output(item)}
    bare = {call_id_of(item) for item in items if is_bare_call(item)}
    ids |= {id_of(item) for item in items if is_bare_call(item)}
    return Wanted(frozenset(ids - {""}), frozenset(((answered - called) | bare) - {""}))


def expand(
    items: list[Any],
    before: list[Item],
    known: Mapping[str, Remembered],
    calls: Mapping[str, Remembered],
    adaptations: Adaptations,
) -> list[Any]:
    """The items with everything that they name, without what `before` holds already.

    `known` are the items that were found by id (those that led to a call included), `calls` the
    calls that were found by `call_id`. Raises `TurnError` (UNKNOWN_REFERENCE) that names an item
    which was not found; only reasoning may be missing, and that is reported.
    """
    again = implied(items, before)
    if again:
        what = f"{len(again)} items that are implied by what this request continues"
        adaptations.note("history.repeated", "input", what)
    placed = [(f"input[{n}]", item) for n, item in enumerate(items) if n not in again]
    return _Expansion(placed, before, known, calls, adaptations).run()


class _Expansion:
    """Takes the items one after the other."""

    def __init__(
        self,
        placed: list[Placed],
        before: list[Item],
        known: Mapping[str, Remembered],
        calls: Mapping[str, Remembered],
        adaptations: Adaptations,
    ) -> None:
        self._placed = placed
        self._known = known
        self._calls = calls
        self._adaptations = adaptations
        self._items: list[Any] = []
        self._there: dict[str, Item] = {}
        self._calls_there: dict[str, list[Item]] = defaultdict(list)
        # Those of them that the client did not write itself.
        self._recalled_calls: dict[str, list[Item]] = defaultdict(list)
        self._look_ahead([item for _, item in placed if is_item(item)])
        self._look_back(before)

    def _look_ahead(self, items: list[Item]) -> None:
        """Note what the client puts into order itself: nothing else may put it elsewhere."""
        named = [item for item in items if is_reference(item)]
        sent = [item for item in items if not is_reference(item)]
        self._sent = {id_of(item): item for item in reversed(sent) if id_of(item)}
        self._claimed = self._sent.keys() | {id_of(item) for item in named}
        self._called = {call_id_of(item) for item in sent if is_call(item)}
        self._output_counts = Counter(call_id_of(item) for item in sent if is_output(item))

    def _look_back(self, before: list[Item]) -> None:
        outputs: dict[str, list[Item]] = defaultdict(list)
        for item in before:
            self._note(item, is_recalled=True)
            if is_output(item):
                outputs[call_id_of(item)].append(item)
        self._output_counts.update({call_id: len(found) for call_id, found in outputs.items()})
        # Where every call has its output, a call that is there again is there with its output.
        self._outputs_before = {
            call_id: found
            for call_id, found in outputs.items()
            if len(found) >= len(self._calls_there.get(call_id, ()))
        }
        self._outputs_due: Counter[str] = Counter()

    def run(self) -> list[Any]:
        """The items, with what they name."""
        for are_outputs, placed in groupby(self._placed, _holds_output):
            if are_outputs:
                self._add_outputs(list(placed))
                continue
            for place, item in placed:
                self._add(item, place)
        return self._items

    def _add(self, item: Any, place: str) -> None:
        if not is_item(item):
            self._items.append(item)
        elif is_reference(item):
            self._add_reference(id_of(item), place)
        elif is_hollow(item) and (full := self._reasoning(id_of(item))) is not None:
            self._put(full, place, is_recalled=True)
        elif is_bare_call(item):
            self._add_bare_call(item, place)
        else:
            self._put(item, place)

    # ---------------------------------------------------------------- what is only named

    def _add_reference(self, item_id: str, place: str) -> None:
        found = self._known.get(item_id)
        if found is not None:
            self._add_remembered(found, place)
        elif item_id in self._there:
            self._put(self._there[item_id], place, is_recalled=True)
        elif item_id in self._sent:
            self._put(self._sent[item_id], place)
        elif item_id.startswith("rs_"):
            self._adaptations.loss(
                "memory.reasoning_gone", place, f"the reasoning {item_id[:64]} is not stored"
            )
        else:
            raise TurnError(
                Kind.UNKNOWN_REFERENCE,
                f"Item with id {item_id[:80]!r} not found: {place} refers to it, and it is not "
                "stored here, or no longer. Send the item itself.",
                param=place,
            )

    def _add_remembered(self, found: Remembered, place: str) -> None:
        """Add an item and, right before it, the reasoning that led to it (F16)."""
        if not self._is_there(found.item, is_recalled=True):
            for reasoning_id in found.led_by:
                known = self._reasoning(reasoning_id)
                is_placed = reasoning_id in self._claimed or reasoning_id in self._there
                if known is not None and not is_placed:
                    self._put(known, place, is_recalled=True)
        self._put(found.item, place, is_recalled=True)

    def _reasoning(self, item_id: str) -> Item | None:
        found = self._known.get(item_id)
        return found.item if found is not None and kind_of(found.item) == "reasoning" else None

    def _add_bare_call(self, item: Item, place: str) -> None:
        """A call of which only its id was sent is the one before, or the stored one (F20)."""
        call_id = call_id_of(item)
        there = self._calls_there.get(call_id, [])
        if there and len(there) >= self._output_counts[call_id]:
            self._put(there[-1], place, is_recalled=True)
        elif (found := self._meant(item)) is not None:
            self._add_remembered(found, place)
        else:
            self._put(item, place)

    def _meant(self, item: Item) -> Remembered | None:
        """The stored call that a bare one stands for."""
        call_id, by_id = call_id_of(item), self._known.get(id_of(item))
        if by_id is not None and call_id_of(by_id.item) == call_id:
            return by_id
        found = self._calls.get(call_id)
        return found if found is not None and self._is_of_this_history(found) else None

    def _is_of_this_history(self, found: Remembered) -> bool:
        """Whether a call that was found by its `call_id` alone can only be the one that is meant.

        Providers that count their calls have a `call_1` in every conversation. Ids of reasoning are
        our own: a call goes with the reasoning that led to it.
        """
        if is_drawn(call_id_of(found.item), str(found.item.get("name") or "")):
            return True
        return any(id in self._claimed or id in self._there for id in found.led_by)

    # ---------------------------------------------------------------- outputs

    def _add_outputs(self, placed: list[Placed]) -> None:
        """Add outputs that stand in a row, and before them their calls that were left out.

        Calls that the same reasoning led to are of one answer, and stand together as they did
        there: first the calls, then their outputs.
        """
        answers: dict[tuple[str, ...], list[tuple[str, Remembered]]] = defaultdict(list)
        for place, output in placed:
            if (found := self._left_out(output)) is not None:
                answers[found.led_by].append((place, found))
        if self._left_out(placed[0][1]) is None:
            # The answer whose outputs begin here is there; what is missing may be a part of it.
            for led_by in [ids for ids in answers if self._there.keys() >= set(ids)]:
                self._recover(answers.pop(led_by))
        for place, output in placed:
            if (found := self._left_out(output)) is not None:
                self._recover(answers.pop(found.led_by))
            self._put(output, place)

    def _left_out(self, output: Item) -> Remembered | None:
        """The stored call of an output, where the client sends it nowhere."""
        call_id = call_id_of(output)
        found = self._calls.get(call_id)
        is_sent = call_id in self._called or bool(self._calls_there.get(call_id))
        if found is None or is_sent or id_of(found.item) in self._claimed:
            return None
        return found if self._is_of_this_history(found) else None

    def _recover(self, calls: list[tuple[str, Remembered]]) -> None:
        """Outputs whose calls were left out get them back (F2, F15)."""
        for place, found in calls:
            call_id = call_id_of(found.item)
            if not self._calls_there.get(call_id):
                self._adaptations.note(
                    "memory.call_recovered", place, f"the call {call_id[:64]} was left out"
                )
                self._add_remembered(found, place)

    # ---------------------------------------------------------------- once only

    def _put(self, item: Item, place: str, *, is_recalled: bool = False) -> None:
        if self._is_there(item, is_recalled=is_recalled):
            self._adaptations.note("history.repeated", place, "it was there before")
            if is_call(item) and call_id_of(item) in self._outputs_before:
                self._outputs_due[call_id_of(item)] += 1
            return
        if self._is_resent_output(item):
            self._adaptations.note("history.repeated", place, "the same output again")
            return
        self._note(item, is_recalled=is_recalled)
        self._items.append(item)

    def _note(self, item: Item, *, is_recalled: bool) -> None:
        if item_id := id_of(item):
            self._there[item_id] = item
        if is_call(item):
            self._calls_there[call_id_of(item)].append(item)
            if is_recalled:
                self._recalled_calls[call_id_of(item)].append(item)

    def _is_there(self, item: Item, *, is_recalled: bool) -> bool:
        """Whether this very item stands in the input already.

        A call that says the same without an id may be another one, of a server that counts its
        calls anew in every answer: it is kept as long as there are outputs for it. What the
        client itself wrote twice is judged where histories are converted.
        """
        first = self._there.get(id_of(item))
        if first is not None and not is_output(item) and is_same(first, item):
            return True
        if not is_call(item):
            return False
        call_id = call_id_of(item)
        there = self._calls_there.get(call_id, [])
        if len(there) < self._output_counts[call_id]:
            return False
        twins = there if is_recalled else self._recalled_calls.get(call_id, [])
        return any(is_same(twin, item) for twin in twins)

    def _is_resent_output(self, item: Item) -> bool:
        """Whether this output belongs to a call that was left out because it is in `before`."""
        call_id = call_id_of(item)
        if not is_output(item) or not self._outputs_due[call_id]:
            return False
        if not any(is_same(output, item) for output in self._outputs_before[call_id]):
            return False
        self._outputs_due[call_id] -= 1
        return True


def _holds_output(placed: Placed) -> bool:
    return is_item(placed[1]) and is_output(placed[1])


# ---------------------------------------------------------------- what is remembered


class Trail:
    """Follows the items of one answer, and knows which reasoning led to each of them."""

    __slots__ = ("_is_over", "_led_by")

    def __init__(self) -> None:
        self._led_by: tuple[str, ...] = ()
        self._is_over = False

    def follow(self, item_id: str, is_reasoning: bool) -> tuple[str, ...]:
        """The ids of the reasoning that led to the next item; parallel calls share theirs."""
        if not is_reasoning:
            self._is_over = True
            return self._led_by
        self._led_by = (item_id,) if self._is_over else (*self._led_by, item_id)
        self._is_over = False
        return ()


def as_stored(items: Iterable[Any], new_id: Callable[[str], str]) -> list[Item]:
    """The items as they are stored and listed: each with an id of its own, messages with parts.

    Parsers of clients demand that form of what they list (responses-api.md section 2.5).
    """
    taken: set[str] = set()
    stored: list[Item] = []
    for item in filter(is_item, items):
        item = _in_parts(item)
        if not id_of(item) or id_of(item) in taken:
            item["id"] = new_id(_PREFIXES.get(kind_of(item), "item"))
        taken.add(id_of(item))
        stored.append(item)
    return stored


def _in_parts(item: Item) -> Item:
    """A copy with the type and, for a message, the parts and the status that are implied."""
    stored = {**item, "type": item.get("type", "message")}
    if stored["type"] == "message":
        stored.setdefault("status", "completed")
        if isinstance(content := item.get("content"), str):
            form = _SAID if item.get("role") == "assistant" else {"type": "input_text"}
            stored["content"] = [{**form, "text": content}]
    return stored


_SAID = {"type": "output_text", "annotations": [], "logprobs": []}
_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
}
