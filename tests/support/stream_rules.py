"""The rules of an event stream, checked from outside.

It reads the JSON that a client reads and knows nothing of the translator, so the two cannot share
a mistake. Rule names are those of the design (I1 to I5); `shape` stands for the members that
clients' parsers require (responses-api.md sections 2.3 to 2.6).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

JSON = dict[str, Any]

_MAY_BE_NULL = frozenset(
    {
        *("completed_at", "error", "incomplete_details", "instructions", "max_output_tokens"),
        *("max_tool_calls", "metadata", "previous_response_id", "prompt_cache_key", "reasoning"),
        *("safety_identifier", "usage"),
    }
)
_NEVER_NULL = frozenset(
    {
        *("id", "object", "created_at", "status", "background", "model", "output", "tools"),
        *("parallel_tool_calls", "presence_penalty", "frequency_penalty", "service_tier", "store"),
        *("temperature", "text", "tool_choice", "top_logprobs", "top_p", "truncation"),
    }
)
RESPONSE_MEMBERS = _MAY_BE_NULL | _NEVER_NULL
_TERMINAL = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
}
_AT_ITEM = frozenset({"item_id", "output_index"})
_AT_PART = _AT_ITEM | {"content_index"}
_AT_SUMMARY = _AT_ITEM | {"summary_index"}
_MEMBERS = {
    "response.created": {"response"},
    "response.queued": {"response"},
    "response.in_progress": {"response"},
    **{name: {"response"} for name in _TERMINAL},
    "error": {"code", "message", "param", "error"},
    "response.output_item.added": {"output_index", "item"},
    "response.output_item.done": {"output_index", "item"},
    "response.content_part.added": {*_AT_PART, "part"},
    "response.content_part.done": {*_AT_PART, "part"},
    "response.output_text.delta": {*_AT_PART, "delta", "logprobs"},
    "response.output_text.done": {*_AT_PART, "text", "logprobs"},
    "response.output_text.annotation.added": {*_AT_PART, "annotation_index", "annotation"},
    "response.refusal.delta": {*_AT_PART, "delta"},
    "response.refusal.done": {*_AT_PART, "refusal"},
    "response.reasoning_text.delta": {*_AT_PART, "delta"},
    "response.reasoning_text.done": {*_AT_PART, "text"},
    "response.reasoning_summary_part.added": {*_AT_SUMMARY, "part"},
    "response.reasoning_summary_part.done": {*_AT_SUMMARY, "part"},
    "response.reasoning_summary_text.delta": {*_AT_SUMMARY, "delta"},
    "response.reasoning_summary_text.done": {*_AT_SUMMARY, "text"},
    "response.function_call_arguments.delta": {*_AT_ITEM, "delta"},
    "response.function_call_arguments.done": {*_AT_ITEM, "arguments"},
    "response.custom_tool_call_input.delta": {*_AT_ITEM, "delta"},
    "response.custom_tool_call_input.done": {*_AT_ITEM, "input"},
}
_ITEM_MEMBERS = {
    "message": {"id", "status", "role", "content"},
    "reasoning": {"id", "summary"},
    "function_call": {"id", "call_id", "name", "arguments", "status"},
    "custom_tool_call": {"id", "call_id", "name", "input", "status"},
    "tool_search_call": {"id", "call_id", "arguments", "execution", "status"},
    "local_shell_call": {"id", "call_id", "action", "status"},
    "shell_call": {"id", "call_id", "action", "status"},
    "apply_patch_call": {"id", "call_id", "operation", "status"},
    "compaction": {"id", "encrypted_content"},
}
# The member of a call whose text comes in events; other calls come whole.
_STREAMED = {"function_call": "arguments", "custom_tool_call": "input"}
_PART_MEMBERS = {
    "output_text": {"text", "annotations", "logprobs"},
    "refusal": {"refusal"},
    "reasoning_text": {"text"},
    "summary_text": {"text"},
}
# The part that a delta and its done event speak of, and the member that holds the words.
_PART_OF_TEXT = {
    "response.output_text": ("output_text", "text"),
    "response.refusal": ("refusal", "refusal"),
    "response.reasoning_text": ("reasoning_text", "text"),
    "response.reasoning_summary_text": ("summary_text", "text"),
}
_ITEM_OF_PAYLOAD = {
    "response.function_call_arguments": ("function_call", "arguments"),
    "response.custom_tool_call_input": ("custom_tool_call", "input"),
}


class Broken(AssertionError):
    """A rule does not hold."""


def decode_events(stream: bytes) -> list[JSON]:
    """Read encoded events as a client does; each `event` name must be its body's `type`."""
    if not stream.endswith(b"\n\n"):
        raise Broken("framing: the last event is not ended")
    events = []
    for frame in stream[:-2].split(b"\n\n"):
        name, _, data = frame.partition(b"\n")
        body = msgspec.json.decode(data.removeprefix(b"data: "))
        if name != b"event: " + body["type"].encode():
            raise Broken(f"framing: {name!r} over {body['type']!r}")
        events.append(body)
    return events


def check_stream(events: Iterable[JSON]) -> JSON:
    """Raise `Broken` at the first event that breaks a rule; return the terminal response."""
    rules = _Stream()
    for event in events:
        try:
            rules.take(event)
        except Broken as broken:
            raise Broken(f"{broken} -- at {event!r}") from None
    return rules.end()


def _hold(rule: str, holds: bool, said: str) -> None:
    if not holds:
        raise Broken(f"{rule}: {said}")


class _Part:
    def __init__(self, part: JSON) -> None:
        self.announced = part
        self.deltas: list[str] = []
        self.annotations: list[Any] = []
        self.done_text: str | None = None
        self.done: JSON | None = None


class _Item:
    def __init__(self, item: JSON, index: int) -> None:
        self.announced = item
        self.index = index
        self.content: list[_Part] = []
        self.summary: list[_Part] = []
        self.deltas: list[str] = []
        self.done_payload: str | None = None


class _Stream:
    def __init__(self) -> None:
        self._count = 0
        self._open: _Item | None = None
        self._opened = 0
        self._ids: set[str] = set()
        self._call_ids: set[str] = set()
        self._done: list[JSON] = []
        self._first: JSON = {}
        self._opening = ["response.created", "response.in_progress"]
        self._terminal: JSON | None = None
        self._error: JSON | None = None

    def take(self, event: JSON) -> None:
        kind = event.get("type")
        _hold("shape", kind in _MEMBERS, f"unknown event {kind!r}")
        missing = _MEMBERS[kind] - event.keys()
        _hold("shape", not missing, f"{kind} lacks {sorted(missing)}")
        _hold("I5", self._terminal is None, "an event after the terminal one")
        _hold("order", event.get("sequence_number") == self._count, f"number is not {self._count}")
        self._take_in_order(kind, event)
        self._count += 1

    def _take_in_order(self, kind: str, event: JSON) -> None:
        if self._opening:
            if not self._count and event["response"].get("status") == "queued":
                # A background response waits before it begins (responses-api.md section 2.2).
                self._opening.insert(1, "response.queued")
            expected = self._opening.pop(0)
            _hold("order", kind == expected, f"{expected} must come here")
            self._check_opening(event["response"], waits="response.in_progress" in self._opening)
            return
        if self._error is not None:
            _hold("order", kind == "response.failed", "only response.failed may follow an error")
        if kind in _TERMINAL:
            self._check_terminal(kind, event["response"])
        elif kind == "error":
            self._check_error(event)
        elif kind == "response.output_item.added":
            self._add_item(event)
        elif kind == "response.output_item.done":
            self._finish_item(event)
        else:
            self._take_inside(kind, event)

    def end(self) -> JSON:
        _hold("I5", self._terminal is not None, "no terminal event")
        assert self._terminal is not None
        return self._terminal

    # ---------------------------------------------------------------- the response

    def _check_opening(self, response: JSON, *, waits: bool) -> None:
        _check_response(response)
        queued = self._first.get("status") == "queued" or response["status"] == "queued"
        status = "queued" if queued and waits else "in_progress"
        _hold("order", response["status"] == status, f"it opens {status}")
        _hold("order", not queued or response["background"], "only a background response waits")
        _hold("order", response["output"] == [], "it opens with output []")
        for name in ("usage", "completed_at", "error", "incomplete_details"):
            _hold("order", response[name] is None, f"it opens with {name}: null")
        same = {**self._first, "status": status}
        _hold("I3", not self._first or response == same, "the openings differ")
        self._first = response

    def _check_terminal(self, kind: str, response: JSON) -> None:
        _check_response(response)
        status = _TERMINAL[kind]
        _hold("shape", response["status"] == status, f"{kind} has status {response['status']!r}")
        same = RESPONSE_MEMBERS - {"status", "output", "usage", "completed_at", "error"}
        for name in same - {"incomplete_details"}:
            _hold("I3", response[name] == self._first[name], f"{name} changed on the way")
        _hold("I4", response["output"] == self._done, "output is not the done items in order")
        whole = status == "completed"
        _hold("shape", isinstance(response["completed_at"], int) == whole, "completed_at")
        _hold("shape", (response["error"] is not None) == (status == "failed"), "error")
        cut = status == "incomplete"
        _hold("shape", (response["incomplete_details"] is not None) == cut, "incomplete_details")
        if status == "failed":
            self._check_failed(response["error"])
        else:
            _hold("I1", self._open is None, "an item is still open")
        if any(item["type"] == "compaction" for item in response["output"]):
            _hold("F61", len(response["output"]) == 1, "a compaction stands alone")
            _hold("F61", whole, "a compaction comes from a completed turn")
        if whole:
            states = {item.get("status", "completed") for item in response["output"]}
            _hold("I6", states <= {"completed"}, f"completed with items that are {states}")
        self._terminal = response

    def _check_failed(self, error: JSON) -> None:
        _hold("order", self._error is not None, "response.failed without an error event before it")
        assert self._error is not None
        for name in ("code", "message"):
            _hold("shape", isinstance(error.get(name), str) and error[name], f"error.{name}")
            _hold("shape", error[name] == self._error[name], f"two different {name}s")

    def _check_error(self, event: JSON) -> None:
        nested = event["error"]
        for name in ("code", "message", "param"):
            _hold("shape", nested[name] == event[name], f"{name} differs from error.{name}")
        _hold("shape", isinstance(nested.get("type"), str), "error.type")
        self._error = event

    # ---------------------------------------------------------------- items

    def _add_item(self, event: JSON) -> None:
        item, index = event["item"], event["output_index"]
        _check_item(item)
        _hold("I1", self._open is None, "an item opens while another is open")
        _hold("I2", index == self._opened, f"index {index} opens as number {self._opened}")
        _hold("I3", item["id"] not in self._ids, "an id is used twice")
        if "call_id" in item:
            _hold("I3", item["call_id"] not in self._call_ids, "a call_id is used twice")
            self._call_ids.add(item["call_id"])
        if item["type"] != "compaction":
            _hold("shape", item.get("status") == "in_progress", "an item opens in progress")
        for name in ("content", "summary"):
            _hold("shape", not item.get(name), f"an item opens without {name}")
        payload = {**_STREAMED, "compaction": "encrypted_content"}.get(item["type"])
        _hold("shape", payload is None or not item[payload], f"an item opens with empty {payload}")
        self._ids.add(item["id"])
        self._opened += 1
        self._open = _Item(item, index)

    def _finish_item(self, event: JSON) -> None:
        state, item = self._open, event["item"]
        _hold("I1", state is not None, "an item is done that is not open")
        assert state is not None
        _check_item(item)
        _hold("I2", event["output_index"] == state.index, "done under another index")
        for name in ("id", "type", "call_id", "name", "role", "namespace"):
            _hold("I3", item.get(name) == state.announced.get(name), f"{name} changed on the way")
        if item["type"] == "compaction":
            _hold("F61", bool(item["encrypted_content"]), "a compaction of nothing")
            self._done.append(item)
            self._open = None
            return
        _hold("shape", item.get("status") in ("completed", "incomplete"), "done and in progress")
        if item["type"] in ("message", "reasoning"):
            _check_parts(state.content, item.get("content", []))
            _check_parts(state.summary, item.get("summary", []))
        elif item["type"] in _STREAMED:
            payload = item[_STREAMED[item["type"]]]
            _hold("I5", state.done_payload is not None, "no done event for the payload")
            _hold("I5", payload == state.done_payload, "the item differs from its payload")
        else:
            same = {**state.announced, "status": item.get("status")}
            _hold("I3", item == same, "a call that comes whole changed on the way")
        self._done.append(item)
        self._open = None

    # ---------------------------------------------------------------- inside an item

    def _take_inside(self, kind: str, event: JSON) -> None:
        state = self._open
        _hold("I1", state is not None, f"{kind} while no item is open")
        assert state is not None
        _hold("I1", event["item_id"] == state.announced["id"], "it names another item")
        _hold("I2", event["output_index"] == state.index, "it has another item's index")
        if kind.endswith("part.added"):
            self._add_part(kind, event, state)
        elif kind.endswith("part.done"):
            self._finish_part(kind, event, state)
        elif kind == "response.output_text.annotation.added":
            part = _open_part(state.content, event["content_index"])
            _hold("I2", event["annotation_index"] == len(part.annotations), "annotation_index")
            part.annotations.append(event["annotation"])
        elif kind.rpartition(".")[0] in _PART_OF_TEXT:
            _take_text(kind, event, state)
        else:
            _take_payload(kind, event, state)

    def _add_part(self, kind: str, event: JSON, state: _Item) -> None:
        summary = "summary" in kind
        parts, index = _parts(state, event)
        _check_part(event["part"])
        expected = {
            "message": {"output_text", "refusal"},
            "reasoning": {"summary_text"} if summary else {"reasoning_text"},
        }.get(state.announced["type"], set())
        _hold("shape", event["part"]["type"] in expected, "a part of the wrong kind")
        words = event["part"].get("text", event["part"].get("refusal"))
        _hold("shape", words == "", "a part opens empty")
        _hold("I2", index == len(parts), f"part {index} opens as number {len(parts)}")
        _hold("I1", all(part.done for part in parts), "a part opens while another is open")
        parts.append(_Part(event["part"]))

    def _finish_part(self, kind: str, event: JSON, state: _Item) -> None:
        parts, index = _parts(state, event)
        part = _open_part(parts, index)
        _check_part(event["part"])
        _hold("I3", event["part"]["type"] == part.announced["type"], "the part changed its type")
        _hold("I5", part.done_text is not None, "a part is done before its text is")
        words = event["part"].get("text", event["part"].get("refusal"))
        _hold("I5", words == part.done_text, "the part differs from its text")
        annotations = event["part"].get("annotations", [])
        _hold("I5", annotations == part.annotations, "annotations differ from those added")
        part.done = event["part"]


def _parts(state: _Item, event: JSON) -> tuple[list[_Part], int]:
    if "summary_index" in event:
        return state.summary, event["summary_index"]
    return state.content, event["content_index"]


def _open_part(parts: list[_Part], index: int) -> _Part:
    _hold("I1", 0 <= index < len(parts), f"part {index} was never opened")
    _hold("I1", parts[index].done is None, f"part {index} is done")
    return parts[index]


def _take_text(kind: str, event: JSON, state: _Item) -> None:
    stem, _, verb = kind.rpartition(".")
    part_type, member = _PART_OF_TEXT[stem]
    part = _open_part(*_parts(state, event))
    _hold("I1", part.announced["type"] == part_type, f"{kind} in a part of {part.announced}")
    _hold("I5", part.done_text is None, f"{kind} after the text was done")
    if verb == "delta":
        _hold("shape", event["delta"] != "", "an empty delta")
        part.deltas.append(event["delta"])
        return
    _hold("I5", event[member] == "".join(part.deltas), "done text is not the sum of its deltas")
    part.done_text = event[member]


def _take_payload(kind: str, event: JSON, state: _Item) -> None:
    stem, _, verb = kind.rpartition(".")
    item_type, member = _ITEM_OF_PAYLOAD[stem]
    _hold("I1", state.announced["type"] == item_type, f"{kind} in a {state.announced['type']}")
    _hold("I5", state.done_payload is None, f"{kind} after it was done")
    if verb == "delta":
        _hold("shape", event["delta"] != "", "an empty delta")
        state.deltas.append(event["delta"])
        return
    told = "".join(state.deltas)
    same = event[member] == told or (member == "arguments" and _mended(told, event[member]))
    _hold("I5", same, "done is not the sum of its deltas")
    state.done_payload = event[member]


def _mended(told: str, done: str) -> bool:
    """Arguments that no client could parse may be mended at the end; done counts (F45)."""
    return not _is_json_object(told) and _is_json_object(done)


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False


# ---------------------------------------------------------------- shapes


def _check_parts(states: list[_Part], parts: list[JSON]) -> None:
    _hold("I5", all(state.done for state in states), "an item is done with a part still open")
    _hold("I5", [state.done for state in states] == parts, "the item differs from its parts")


def _check_part(part: JSON) -> None:
    kind = part.get("type")
    _hold("shape", kind in _PART_MEMBERS, f"unknown part {kind!r}")
    missing = _PART_MEMBERS[kind] - part.keys()
    _hold("shape", not missing, f"{kind} lacks {sorted(missing)}")


def _check_item(item: JSON) -> None:
    kind = item.get("type")
    _hold("shape", kind in _ITEM_MEMBERS, f"unknown item {kind!r}")
    missing = _ITEM_MEMBERS[kind] - item.keys()
    _hold("shape", not missing, f"{kind} lacks {sorted(missing)}")
    nulls = [name for name, value in item.items() if value is None]
    _hold("shape", not nulls, f"{nulls} must be absent, not null")
    _hold("shape", len(item.get("call_id", "")) <= 64, "call_id is longer than 64")
    for part in (*item.get("content", ()), *item.get("summary", ())):
        _check_part(part)


def _check_response(response: JSON) -> None:
    missing = RESPONSE_MEMBERS - response.keys()
    _hold("shape", not missing, f"the response lacks {sorted(missing)}")
    nulls = [name for name in _NEVER_NULL if response[name] is None]
    _hold("shape", not nulls, f"{nulls} must not be null")
    _hold("shape", response["object"] == "response", "object")
    _hold("shape", type(response["created_at"]) is int, "created_at is whole seconds")
    if response["status"] in ("completed", "incomplete", "failed"):
        _check_usage(response["usage"])


def _check_usage(usage: JSON | None) -> None:
    _hold("shape", isinstance(usage, dict), "usage is missing")
    assert usage is not None
    counts = [usage[name] for name in ("input_tokens", "output_tokens", "total_tokens")]
    counts += [usage["input_tokens_details"][n] for n in ("cached_tokens", "cache_write_tokens")]
    counts.append(usage["output_tokens_details"]["reasoning_tokens"])
    _hold("shape", all(type(n) is int and n >= 0 for n in counts), "token counts are whole")
