"""One item of a Responses server: what it was announced as, and what it must be in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from anyturn.translate.adaptations import Adaptations
from anyturn.translate.arguments import repair_arguments
from anyturn.wire.server_events import ServerEvent

JSON = dict[str, Any]
Told = tuple[str, JSON]
"""An event that is supplied: its type, and its members without a number."""

_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "compaction": "cmp",
}
# The member whose text comes in deltas, and the beginning of the events' names.
PAYLOADS = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
}
# A kind of part: the member with its words, and its group.
_KINDS = {
    "output_text": ("text", "content"),
    "refusal": ("refusal", "content"),
    "reasoning_text": ("text", "content"),
    "summary_text": ("text", "summary"),
}
_TEXT_EVENTS = {
    "output_text": "response.output_text",
    "refusal": "response.refusal",
    "reasoning_text": "response.reasoning_text",
    "summary_text": "response.reasoning_summary_text",
}
_PART_EVENTS = {
    "content": "response.content_part",
    "summary": "response.reasoning_summary_part",
}


class Action(NamedTuple):
    """What an event does: `verb` is delta, done, open or close; `kind` a kind of part, if any."""

    verb: str
    group: str
    kind: str = ""


ACTIONS: dict[str, Action] = {
    **{f"{e}.delta": Action("delta", _KINDS[k][1], k) for k, e in _TEXT_EVENTS.items()},
    **{f"{e}.done": Action("done", _KINDS[k][1], k) for k, e in _TEXT_EVENTS.items()},
    **{f"{e}.added": Action("open", group) for group, e in _PART_EVENTS.items()},
    **{f"{e}.done": Action("close", group) for group, e in _PART_EVENTS.items()},
    **{f"{e}.delta": Action("delta", "payload", k) for k, (_, e) in PAYLOADS.items()},
    **{f"{e}.done": Action("done", "payload", k) for k, (_, e) in PAYLOADS.items()},
}


def item_type_of(action: Action) -> str:
    """The type of the items that such an event belongs to."""
    if action.group == "payload":
        return action.kind
    return "reasoning" if action.kind in ("reasoning_text", "summary_text") else "message"


class Repairs:
    """The repairs of one answer; each rule is noted once."""

    def __init__(self, adaptations: Adaptations) -> None:
        self._adaptations = adaptations
        self._noted: set[str] = set()

    def note(self, rule: str, what: str) -> None:
        """Record what was wrong with the answer."""
        if rule not in self._noted:
            self._noted.add(rule)
            self._adaptations.note(rule, "answer", what)


class _Part:
    __slots__ = ("is_closed", "is_said", "kind", "pieces")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.pieces: list[str] = []
        self.is_said = False
        self.is_closed = False


class RelayedState:
    """An item from its announcement on. `id` is the one that clients are told, always the same."""

    def __init__(
        self,
        index: int,
        item: JSON,
        new_id: Callable[[str], str],
        call_ids: set[str],
        is_good: Callable[[str], bool] = bool,
    ) -> None:
        self.index = index
        self.type = str(item.get("type") or "")
        self.told_id = _text(item.get("id"))
        trusted = self.told_id if is_good(self.told_id) else ""
        self.id = trusted or new_id(_PREFIXES.get(self.type, "item"))
        self.name = _text(item.get("name"))
        self.call_id = _text(item.get("call_id"))
        self.told_call_id = self.call_id
        if self.type in PAYLOADS and (not self.call_id or self.call_id in call_ids):
            self.call_id = new_id("call")
        call_ids.add(self.call_id)
        self.is_done = False
        self._parts: dict[tuple[str, int], _Part] = {}
        self._payload: list[str] = []
        self._payload_is_done = False
        self.announced = self._announcement(item)

    def _announcement(self, item: JSON) -> JSON:
        announced = {**item, "id": self.id}
        if self.type in PAYLOADS:
            announced["call_id"] = self.call_id
            member, _ = PAYLOADS[self.type]
            if not isinstance(announced.get(member), str):
                announced[member] = ""
        elif self.type == "message":
            announced.setdefault("role", "assistant")
            announced.setdefault("content", [])
        elif self.type == "reasoning":
            announced.setdefault("summary", [])
        if self.type in PAYLOADS or self.type == "message":
            announced.setdefault("status", "in_progress")
        return announced

    # ---------------------------------------------------------------- events inside the item

    def takes(self, action: Action, event: ServerEvent) -> bool:
        """Take a delta that comes where it belongs; False for whatever needs a closer look."""
        if action.verb != "delta" or self.is_done or event.delta is None:
            return False
        if action.group == "payload":
            if action.kind != self.type or self._payload_is_done:
                return False
            self._payload.append(event.delta)
            return True
        part = self._parts.get((action.group, _place_of(action, event)))
        if part is None or part.is_said or part.kind != action.kind:
            return False
        part.pieces.append(event.delta)
        return True

    def follow(self, action: Action, event: ServerEvent, body: JSON) -> Iterator[Told]:
        """Take any event of this item; gives the events that should have come before it."""
        if action.group == "payload":
            yield from self._follow_payload(action, body)
            return
        place = _place_of(action, event)
        part = self._parts.get((action.group, place))
        if action.verb == "open":
            given = body.get("part")
            kind = _text(given.get("type")) if isinstance(given, dict) else ""
            self._parts[action.group, place] = _Part(kind or "output_text")
            return
        if part is None:
            kind = action.kind or _kind_in(body)
            part = self._parts[action.group, place] = _Part(kind)
            yield self._opening(action.group, place, kind)
        if action.verb == "delta":
            part.pieces.append(_text(body.get("delta")))
        elif action.verb == "done":
            text = _text(body.get(_KINDS[action.kind][0]))
            if text and not part.pieces:
                part.pieces.append(text)
                yield self._more(action.group, place, action.kind, text)
            part.is_said = True
        elif action.verb == "close":
            if not part.is_said and part.kind in _KINDS:
                part.is_said = True
                yield self._saying(action.group, place, part, "".join(part.pieces))
            part.is_closed = True

    def _follow_payload(self, action: Action, body: JSON) -> Iterator[Told]:
        if action.verb == "delta":
            self._payload.append(_text(body.get("delta")))
            return
        member, events = PAYLOADS.get(self.type, PAYLOADS["function_call"])
        whole = _text(body.get(member))
        if whole and not self._payload:
            # F45: it came whole, and some clients show nothing but deltas.
            self._payload.append(whole)
            at = {"item_id": self.id, "output_index": self.index}
            yield f"{events}.delta", {**at, "delta": whole}
        self._payload_is_done = True

    @property
    def payload(self) -> str:
        """What the deltas said."""
        return "".join(self._payload)

    def words(self, group: str) -> list[JSON]:
        """The parts that the deltas of a group made."""
        found = sorted((place, part) for (g, place), part in self._parts.items() if g == group)
        return [_whole_part(part.kind, "".join(part.pieces)) for _, part in found]

    # ---------------------------------------------------------------- what is missing at the end

    def missing_events(self, item: JSON) -> Iterator[Told]:
        """What should have come before the item was done (I5, F45, F56)."""
        if self.type in PAYLOADS:
            yield from self._missing_payload(item)
            return
        if self.type not in ("message", "reasoning"):
            return
        for group in ("summary", "content"):
            parts = item.get(group)
            for place, part in enumerate(parts if isinstance(parts, list) else ()):
                if isinstance(part, dict) and part.get("type") in _KINDS:
                    yield from self._missing_of_part(group, place, part)

    def _missing_payload(self, item: JSON) -> Iterator[Told]:
        member, events = PAYLOADS[self.type]
        at = {"item_id": self.id, "output_index": self.index}
        whole = _text(item.get(member))
        if self._payload_is_done:
            return
        if whole and not self._payload:
            yield f"{events}.delta", {**at, "delta": whole}
        named = {"name": self.name} if self.type == "function_call" else {}
        yield f"{events}.done", {**at, **named, member: whole}

    def _missing_of_part(self, group: str, place: int, whole: JSON) -> Iterator[Told]:
        kind = whole["type"]
        text = _text(whole.get(_KINDS[kind][0]))
        part = self._parts.get((group, place))
        if part is None:
            part = self._parts[group, place] = _Part(kind)
            yield self._opening(group, place, kind)
        if text and not part.pieces and not part.is_said:
            yield self._more(group, place, kind, text)
        if not part.is_said:
            yield self._saying(group, place, part, text)
        if not part.is_closed:
            part.is_said = part.is_closed = True
            yield f"{_PART_EVENTS[group]}.done", {**self._at(group, place), "part": whole}

    def _opening(self, group: str, place: int, kind: str) -> Told:
        part = _whole_part(kind, "")
        return f"{_PART_EVENTS[group]}.added", {**self._at(group, place), "part": part}

    def _more(self, group: str, place: int, kind: str, text: str) -> Told:
        probable: JSON = {"logprobs": []} if kind == "output_text" else {}
        return f"{_TEXT_EVENTS[kind]}.delta", {**self._at(group, place), "delta": text, **probable}

    def _saying(self, group: str, place: int, part: _Part, text: str) -> Told:
        member = _KINDS[part.kind][0]
        probable: JSON = {"logprobs": []} if part.kind == "output_text" else {}
        return f"{_TEXT_EVENTS[part.kind]}.done", {
            **self._at(group, place),
            member: text,
            **probable,
        }

    def _at(self, group: str, place: int) -> JSON:
        return {"item_id": self.id, "output_index": self.index, f"{group}_index": place}


# ---------------------------------------------------------------- items that are done


def mend_item(item: JSON, state: RelayedState, repairs: Repairs) -> JSON:
    """The item as clients need it in `done`."""
    mended = dict(item)
    if mended.get("id") != state.id:
        mended["id"] = state.id
        repairs.note("repair.item_id", "an item was done under another id, or under none")
    if mended.get("type") != state.type and state.type:
        mended["type"] = state.type
        repairs.note("repair.item", "an item was done with another type")
    if state.type in PAYLOADS:
        _mend_call(mended, state, repairs)
    elif state.type == "message":
        _mend_message(mended, state, repairs)
    elif state.type == "reasoning":
        _mend_reasoning(mended, state, repairs)
    known = state.type in PAYLOADS or state.type == "message"
    if known and mended.get("status") not in ("completed", "incomplete"):
        mended["status"] = "completed"
        repairs.note("repair.item", "an item was done without saying so")
    return mended


def _mend_call(call: JSON, state: RelayedState, repairs: Repairs) -> None:
    if call.get("call_id") != state.call_id:
        call["call_id"] = state.call_id
        repairs.note("repair.call_id", "a call id changed on the way, was missing, or came twice")
    if not _text(call.get("name")) and state.name:
        call["name"] = state.name
        repairs.note("repair.item", "a call was done without its name")
    state.name = _text(call.get("name"))
    member, _ = PAYLOADS[state.type]
    given = call.get(member)
    if isinstance(given, dict) and (given or not state.payload):
        call[member] = msgspec.json.encode(given).decode()
    elif not isinstance(given, str) or (not given and state.payload):
        call[member] = state.payload or _text(state.announced.get(member))
    if state.type == "function_call" and call.get("status") != "incomplete":
        repaired = repair_arguments(call[member], None)
        call[member] = repaired.text if repaired.is_object else call[member]
    if call[member] != given:
        repairs.note("repair.arguments", "the arguments of a call were missing, or no JSON object")


def _mend_message(message: JSON, state: RelayedState, repairs: Repairs) -> None:
    if message.get("role") != "assistant":
        message["role"] = "assistant"
        repairs.note("repair.item", "a message had no role, or another one")
    content = message.get("content")
    if isinstance(content, str):
        content = [{"type": "output_text", "text": content}] if content else []
    parts = [mended_part(part) for part in content] if isinstance(content, list) else []
    parts = parts or state.words("content")
    if parts != message.get("content"):
        message["content"] = parts
        repairs.note("repair.part", "parts of a message were missing, or had not all members")


def _mend_reasoning(item: JSON, state: RelayedState, repairs: Repairs) -> None:
    if not isinstance(item.get("summary"), list):
        item["summary"] = []
        repairs.note("repair.item", "reasoning was done without a summary, even an empty one")
    if not isinstance(item.get("content"), list | None):
        item["content"] = []
        repairs.note("repair.item", "reasoning had words in a form of its own")
    for group in ("summary", "content"):
        if not item.get(group) and (words := state.words(group)):
            item[group] = words
            repairs.note("repair.part", "reasoning was done without its words")


def mended_part(part: Any) -> Any:
    """A text part with all that parsers demand; Codex drops the item of a part called `text`."""
    if not isinstance(part, dict):
        return _whole_part("output_text", str(part))
    if part.get("type") in ("output_text", "text"):
        kept = {name: value for name, value in part.items() if value is not None}
        whole = {"annotations": [], "logprobs": [], **kept, "type": "output_text"}
        return part if whole == part else whole
    return part


def _whole_part(kind: str, text: str) -> JSON:
    if kind == "output_text":
        return {"type": kind, "text": text, "annotations": [], "logprobs": []}
    return {"type": kind, _KINDS.get(kind, ("text", ""))[0]: text}


def _place_of(action: Action, event: ServerEvent) -> int:
    place = event.summary_index if action.group == "summary" else event.content_index
    return place or 0


def _kind_in(body: JSON) -> str:
    part = body.get("part")
    kind = _text(part.get("type")) if isinstance(part, dict) else ""
    return kind if kind in _KINDS else "output_text"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
