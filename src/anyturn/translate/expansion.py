"""What a request only names becomes the whole input (F14–F16, F20; clients.md section 1.4).

A client that relies on the server's memory sends references, outputs without their calls, or only
what is new since a response. Everything that was looked up is put in its place here: in order, only
once, and a call together with the reasoning that led to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from anyturn.errors import Kind, TurnError
from anyturn.translate.adaptations import Adaptations

Item = dict[str, Any]


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
    items = [item for item in items if isinstance(item, dict)]
    ids = {_id(item) for item in items if _is_reference(item) or _is_hollow(item)}
    called = {_call_id(item) for item in (*before, *items) if _is_call(item)}
    answered = {_call_id(item) for item in items if _is_output(item)}
    named = {_call_id(item) for item in items if _is_call(item) and _is_nameless(item)}
    return Wanted(frozenset(ids - {""}), frozenset((answered - called | named) - {""}))


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
    expansion = _Expansion(before, known, calls, adaptations)
    expansion.claim(items)
    for position, item in enumerate(_without_resent(items, before)):
        expansion.add(item, f"input[{position}]")
    return expansion.items


class _Expansion:
    """Takes the items one after the other."""

    def __init__(
        self,
        before: list[Item],
        known: Mapping[str, Remembered],
        calls: Mapping[str, Remembered],
        adaptations: Adaptations,
    ) -> None:
        self.items: list[Any] = []
        self._known = known
        self._calls = calls
        self._adaptations = adaptations
        self._there: dict[str, Item] = {}
        self._claimed: set[str] = set()
        self._calls_there: dict[str, list[Item]] = defaultdict(list)
        self._outputs_there: dict[str, list[Item]] = defaultdict(list)
        for item in before:
            self._note(item)

    def claim(self, items: list[Any]) -> None:
        """Note what the client puts into order itself: nothing else may put it elsewhere."""
        self._claimed = {_id(item) for item in items if isinstance(item, dict)} - {""}

    def add(self, item: Any, place: str) -> None:
        if not isinstance(item, dict):
            self.items.append(item)
        elif _is_reference(item):
            self._add_reference(_id(item), place)
        elif _is_hollow(item) and _id(item) in self._known:
            self._append(self._known[_id(item)].item, place)
        elif _is_call(item) and _is_nameless(item) and _call_id(item) in self._calls:
            self._append({**self._calls[_call_id(item)].item, **_told(item)}, place)
        else:
            if _is_output(item):
                self._recover_call(_call_id(item), place)
            self._append(item, place)

    def _add_reference(self, item_id: str, place: str) -> None:
        found = self._known.get(item_id)
        if found is not None:
            self._add_remembered(found, place)
        elif item_id.startswith("rs_"):
            self._adaptations.loss(
                "memory.reasoning_gone", place, f"the reasoning {item_id[:64]} is not stored"
            )
        elif item_id not in self._there:
            raise TurnError(
                Kind.UNKNOWN_REFERENCE,
                f"Item with id {item_id[:80]!r} not found: {place} refers to it, and it is not "
                "stored here, or no longer. Send the item itself.",
                param=place,
            )

    def _add_remembered(self, found: Remembered, place: str) -> None:
        """Add an item and, right before it, the reasoning that led to it (F16)."""
        for reasoning_id in found.led_by:
            known = self._known.get(reasoning_id)
            if known is not None and reasoning_id not in self._claimed:
                self._append(known.item, place)
        self._append(found.item, place)

    def _recover_call(self, call_id: str, place: str) -> None:
        """An output whose call was left out gets it back (F2, F15)."""
        found = self._calls.get(call_id)
        if found is not None and not self._calls_there[call_id]:
            self._adaptations.note(
                "memory.call_recovered", place, f"the call {call_id[:64]} was left out"
            )
            self._add_remembered(found, place)

    def _append(self, item: Item, place: str) -> None:
        if self._is_there(item):
            self._adaptations.note("history.repeated", place, "it was there before")
            return
        self._note(item)
        self.items.append(item)

    def _note(self, item: Item) -> None:
        if item_id := _id(item):
            self._there[item_id] = item
        if _is_call(item):
            self._calls_there[_call_id(item)].append(item)
        elif _is_output(item):
            self._outputs_there[_call_id(item)].append(item)

    def _is_there(self, item: Item) -> bool:
        """Whether the same item stands in the input already: its id alone proves nothing."""
        first = self._there.get(_id(item))
        if first is not None and _same(first, item):
            return True
        calls = self._calls_there[_call_id(item)]
        if _is_call(item):
            return any(_same(call, item) for call in calls)
        # Servers that count their calls anew give one id to several: each has its own output.
        outputs = self._outputs_there[_call_id(item)] if _is_output(item) else []
        return len(outputs) >= len(calls) and any(_same(output, item) for output in outputs)


def _without_resent(items: list[Any], before: list[Item]) -> list[Any]:
    """The items without a whole history that was sent again although it is implied (F4).

    Some clients send everything beside `previous_response_id`; user messages have no id by which
    they could be recognised.
    """
    count = len(before)
    if count and len(items) >= count and all(map(_stands_for, items[:count], before)):
        return items[count:]
    return items


def _stands_for(item: Any, original: Item) -> bool:
    if not isinstance(item, dict):
        return False
    if _is_reference(item):
        return _id(item) == _id(original)
    return _same(item, original)


# ---------------------------------------------------------------- what an item is


def _is_reference(item: Item) -> bool:
    """`item_reference`, also bare: `type` is optional there."""
    kind = item.get("type")
    return kind == "item_reference" or (kind is None and "role" not in item and "id" in item)


def _is_hollow(item: Item) -> bool:
    """Reasoning that a client sends back without what was sealed in it (F8)."""
    return item.get("type") == "reasoning" and not item.get("encrypted_content")


def _is_call(item: Item) -> bool:
    kind = item.get("type")
    return isinstance(kind, str) and kind.endswith("_call") and bool(_call_id(item))


def _is_output(item: Item) -> bool:
    kind = item.get("type")
    return isinstance(kind, str) and kind.endswith(("_call_output", "tool_search_output"))


def _is_nameless(item: Item) -> bool:
    """A call of which only its id was sent (F20)."""
    return item.get("type") in ("function_call", "custom_tool_call") and not item.get("name")


def _id(item: Item) -> str:
    value = item.get("id")
    return value if isinstance(value, str) else ""


def _call_id(item: Item) -> str:
    value = item.get("call_id")
    return value if isinstance(value, str) else ""


def _told(item: Item) -> Item:
    return {name: value for name, value in item.items() if value is not None}


# What clients drop or change in an item that they send back.
_ASIDE = frozenset({"id", "status", "phase", "encrypted_content"})


def _same(one: Item, other: Item) -> bool:
    return all(
        _plain(one.get(name)) == _plain(other.get(name))
        for name in one.keys() | other.keys()
        if name not in _ASIDE
    )


def _plain(value: Any) -> Any:
    """Content without the members that clients leave out: text is text in every form."""
    if isinstance(value, list):
        return [_plain_part(part) for part in value]
    return [value] if isinstance(value, str) else value or None


def _plain_part(part: Any) -> Any:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return part["text"]
    return part


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
    """The items as they are stored and listed: each with an id, messages with parts and a status.

    Parsers of clients demand that form of what they list (responses-api.md section 2.5).
    """
    return [_as_stored(item, new_id) for item in items if isinstance(item, dict)]


def _as_stored(item: Item, new_id: Callable[[str], str]) -> Item:
    kind = item.get("type", "message")
    stored = {**item, "type": kind}
    if not _id(item):
        stored["id"] = new_id(_PREFIXES.get(kind, "item") if isinstance(kind, str) else "item")
    if kind == "message":
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
