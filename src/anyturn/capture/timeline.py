"""What a turn did, as a person follows it: what was said and thought, and each call's life."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

from anyturn.capture.chat_events import chat_events
from anyturn.capture.format import Capture, chunks_of

JSON: TypeAlias = dict[str, Any]

_CALL_TEXTS = {"function_call": "arguments", "custom_tool_call": "input"}
_CALLS = {
    *("function_call", "custom_tool_call", "tool_search_call", "local_shell_call"),
    *("shell_call", "apply_patch_call"),
}


class Said(msgspec.Struct, kw_only=True):
    """A message or a reasoning. Times are microseconds since the turn began."""

    kind: str
    text: str = ""
    began: int = 0
    ended: int | None = None


class CallLife(msgspec.Struct, kw_only=True):
    """One tool call from its first delta to its output, which comes with a later turn's request."""

    kind: str
    name: str = ""
    namespace: str = ""
    call_id: str = ""
    item_id: str = ""
    text: str = ""
    """The arguments, the input, or the action as JSON."""
    status: str = ""
    announced: int = 0
    first_delta: int | None = None
    last_delta: int | None = None
    deltas: int = 0
    done: int | None = None
    output: str | None = None
    output_after: int | None = None
    """Microseconds from `done` to the request that brought the output."""

    @property
    def shown_name(self) -> str:
        """The name, with its namespace."""
        own = self.name or self.kind.removesuffix("_call")
        return f"{self.namespace}.{own}" if self.namespace else own


class Timeline(msgspec.Struct, kw_only=True):
    """One turn. `entries` are in the order in which they began."""

    entries: list[Said | CallLife] = []
    first_event: int | None = None
    first_output: int | None = None
    ended: int | None = None

    @property
    def calls(self) -> list[CallLife]:
        """The tool calls."""
        return [entry for entry in self.entries if isinstance(entry, CallLife)]

    @property
    def text(self) -> str:
        """All that the model said to the user."""
        return "".join(e.text for e in self.entries if isinstance(e, Said) and e.kind == "text")


def timeline_of(capture: Capture, later: Iterable[Capture] = ()) -> Timeline:
    """The life of a turn; `later` are the turns after it, in which outputs come back."""
    timeline = Timeline(entries=[])
    by_item: dict[str, Said | CallLife] = {}
    for t, event in capture.timed_events or _as_events(capture):
        kind = _word(event.get("type"))
        if timeline.first_event is None:
            timeline.first_event = t
        if kind.endswith(".delta") and timeline.first_output is None:
            timeline.first_output = t
        _follow(timeline, by_item, t, kind, event)
    end = capture.end
    timeline.ended = end.t if end is not None else None
    _bring_outputs(timeline, capture, later)
    return timeline


def _as_events(capture: Capture) -> list[tuple[int, JSON]]:
    """The events of a recording without any: of chunks, or of one JSON document."""
    if capture.head.wire == "chat":
        return chat_events(capture.blocks)
    end = capture.blocks[-1][0] if capture.blocks else 0
    items = capture.response.get("output")
    return [
        (end, {"type": "response.output_item.done", "item": item})
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, dict)
    ]


def tokens_per_s(capture: Capture, timeline: Timeline) -> float | None:
    """How fast the answer came, from its first delta to its end; None where that is not known."""
    usage, begin, end = capture.usage, timeline.first_output, timeline.ended
    if usage is None or begin is None or end is None or end <= begin:
        return None
    return round(usage[1] / ((end - begin) / 1e6), 1)


def _follow(
    timeline: Timeline, by_item: dict[str, Said | CallLife], t: int, kind: str, event: JSON
) -> None:
    item = event.get("item")
    if kind == "response.output_item.added" and isinstance(item, dict):
        entry = _opened(item, t)
        timeline.entries.append(entry)
        by_item[_word(item.get("id"))] = entry
    elif kind == "response.output_item.done" and isinstance(item, dict):
        known = by_item.get(_word(item.get("id")))
        if known is None:
            known = _opened(item, t)
            timeline.entries.append(known)
        _closed(known, item, t)
    elif kind.endswith(".delta"):
        known = by_item.get(_word(event.get("item_id")))
        if known is not None:
            _more(known, _word(event.get("delta")), t)


def _opened(item: JSON, t: int) -> Said | CallLife:
    kind = _word(item.get("type"))
    if kind in _CALLS:
        return CallLife(
            kind=kind,
            name=_word(item.get("name")),
            namespace=_word(item.get("namespace")),
            call_id=_word(item.get("call_id")),
            item_id=_word(item.get("id")),
            announced=t,
        )
    shown = {"message": "text"}.get(kind, kind or "item")
    return Said(kind=shown, began=t)


def _more(entry: Said | CallLife, delta: str, t: int) -> None:
    entry.text += delta
    if isinstance(entry, CallLife):
        entry.deltas += 1
        entry.first_delta = t if entry.first_delta is None else entry.first_delta
        entry.last_delta = t


def _closed(entry: Said | CallLife, item: JSON, t: int) -> None:
    if isinstance(entry, Said):
        entry.ended = t
        entry.text = text_of(item) or entry.text
        return
    entry.done = t
    entry.status = _word(item.get("status"))
    entry.name = _word(item.get("name")) or entry.name
    entry.call_id = _word(item.get("call_id")) or entry.call_id
    entry.text = _call_text(item)


def _call_text(item: JSON) -> str:
    for name in (*_CALL_TEXTS.values(), "action", "operation"):
        value = item.get(name)
        if value is not None:
            return value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return ""


def text_of(item: JSON) -> str:
    """The texts of an item's parts."""
    parts: list[Any] = []
    for name in ("summary", "content"):
        found = item.get(name)
        if isinstance(found, str):
            parts.append({"text": found})
        elif isinstance(found, list):
            parts += found
    texts = [_word(p.get("text") or p.get("refusal")) for p in parts if isinstance(p, dict)]
    return "".join(texts)


# ---------------------------------------------------------------- outputs of calls


def outputs_in(request: JSON) -> dict[str, str]:
    """The outputs of tools that a request brings, by call id."""
    items = request.get("input", request.get("messages"))
    found = {}
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, dict):
            continue
        if _word(item.get("type")).endswith("_output"):
            found[_word(item.get("call_id"))] = _output_text(item)
        elif item.get("role") == "tool":
            found[_word(item.get("tool_call_id"))] = text_of(item)
    return found


def _output_text(item: JSON) -> str:
    output = item.get("output", item.get("tools"))
    if isinstance(output, list):
        return "".join(_word(p.get("text")) for p in output if isinstance(p, dict))
    if isinstance(output, dict):
        return _word(output.get("content")) or msgspec.json.encode(output).decode()
    return _word(output)


def _bring_outputs(timeline: Timeline, capture: Capture, later: Iterable[Capture]) -> None:
    open_calls = {call.call_id: call for call in timeline.calls if call.call_id}
    for other in later:
        if not open_calls:
            return
        if other.head.turn == capture.head.turn:
            continue
        outputs = outputs_in(other.request)
        for call_id in open_calls.keys() & outputs.keys():
            call = open_calls.pop(call_id)
            call.output = outputs[call_id]
            call.output_after = _between(capture, call, other)


def _between(capture: Capture, call: CallLife, other: Capture) -> int | None:
    """From the end of the call to the request that brought its output; None for odd clocks."""
    begin, end = micros_of(capture.head.started), micros_of(other.head.started)
    if begin is None or end is None or call.done is None:
        return None
    return max(0, end - begin - call.done)


def micros_of(moment: str) -> int | None:
    """Microseconds since 1970 of an ISO 8601 moment; None when it is none."""
    try:
        return round(datetime.fromisoformat(moment).timestamp() * 1e6)
    except (ValueError, OverflowError, OSError):
        return None


# ---------------------------------------------------------------- what the provider called


class ProviderCall(msgspec.Struct, kw_only=True):
    """A call as the provider's chunks tell it, added up without the translator."""

    name: str = ""
    arguments: str = ""
    first: int = 0
    """The number of the chunk in which it begins, counted from 1."""


def provider_calls(stream: bytes) -> list[ProviderCall]:
    """The calls in a provider's stream; tolerant, and by index first, then by id."""
    calls: list[ProviderCall] = []
    known: dict[Any, ProviderCall] = {}
    for number, chunk in enumerate(chunks_of(stream), 1):
        for told in _told_calls(chunk):
            function = told.get("function")
            function = function if isinstance(function, dict) else {}
            name = _word(function.get("name"))
            key = told.get("index") if isinstance(told.get("index"), int) else told.get("id")
            call = known.get(key) if isinstance(key, int | str) else (calls[-1] if calls else None)
            if call is None or (name and call.name and name != call.name):
                call = ProviderCall(first=number)
                calls.append(call)
                if isinstance(key, int | str):
                    known[key] = call
            call.name = call.name or name
            arguments = function.get("arguments")
            if isinstance(arguments, str):
                call.arguments += arguments
            elif arguments is not None:
                call.arguments += msgspec.json.encode(arguments).decode()
    return calls


def _told_calls(chunk: JSON) -> list[JSON]:
    choices = chunk.get("choices")
    told: list[JSON] = []
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            continue
        said = choice.get("delta") or choice.get("message")
        calls = said.get("tool_calls") if isinstance(said, dict) else None
        told += [one for one in calls if isinstance(one, dict)] if isinstance(calls, list) else []
    return told


def finish_of(stream: bytes) -> str:
    """The last finish_reason of a provider's stream, empty when there is none."""
    found = ""
    for chunk in chunks_of(stream):
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                found = _word(choice.get("finish_reason")) or found
    return found


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""
