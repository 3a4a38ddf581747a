"""Good Responses streams, made by hand: events as a server sends them, item after item.

All members that any client requires are there. Reasoning comes as a summary, since no name for
the events of raw reasoning suits every client.
"""

from __future__ import annotations

from typing import Any

import msgspec

JSON = dict[str, Any]

USAGE: JSON = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 15,
}
# What every response of these streams says alike. Pages of rules write `"…": "…"` for it.
MEMBERS: JSON = {
    "object": "response",
    "created_at": 1000,
    "completed_at": None,
    "model": "m",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "top_logprobs": 0,
    "truncation": "disabled",
    "text": {"format": {"type": "text"}},
    "reasoning": {"effort": None, "summary": None},
    "max_output_tokens": None,
    "max_tool_calls": None,
    "store": False,
    "background": False,
    "service_tier": "default",
    "previous_response_id": None,
    "safety_identifier": None,
    "prompt_cache_key": None,
}


def response(status: str, **members: Any) -> JSON:
    """A response object."""
    return {"id": "resp_1", "status": status, "output": [], "usage": None, **MEMBERS, **members}


def message(text: str = "Hello there.", number: int = 1) -> list[JSON]:
    """The events of a message with one part, without index and number."""
    named = f"msg_{number}"
    where = {"item_id": named, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    item = {"id": named, "type": "message", "role": "assistant"}
    head, tail = text[: len(text) // 2], text[len(text) // 2 :]
    said = {**part, "text": text}
    return [
        _event("output_item.added", item={**item, "status": "in_progress", "content": []}),
        _event("content_part.added", **where, part=part),
        _event("output_text.delta", **where, delta=head, logprobs=[]),
        _event("output_text.delta", **where, delta=tail, logprobs=[]),
        _event("output_text.done", **where, text=text, logprobs=[]),
        _event("content_part.done", **where, part=said),
        _event("output_item.done", item={**item, "status": "completed", "content": [said]}),
    ]


def reasoning(text: str = "Let me see.", number: int = 1) -> list[JSON]:
    """The events of reasoning with one summary part."""
    named = f"rs_{number}"
    where = {"item_id": named, "summary_index": 0}
    part = {"type": "summary_text", "text": ""}
    item = {"id": named, "type": "reasoning"}
    said = {**part, "text": text}
    return [
        _event("output_item.added", item={**item, "summary": []}),
        _event("reasoning_summary_part.added", **where, part=part),
        _event("reasoning_summary_text.delta", **where, delta=text),
        _event("reasoning_summary_text.done", **where, text=text),
        _event("reasoning_summary_part.done", **where, part=said),
        _event("output_item.done", item={**item, "summary": [said]}),
    ]


def call(
    arguments: str = '{"cmd":"date"}', name: str = "exec_command", number: int = 1, **members: Any
) -> list[JSON]:
    """The events of a call of a function tool."""
    named = f"fc_{number}"
    item = {"id": named, "type": "function_call", "call_id": f"call_{number}", "name": name}
    item |= members
    opened = {**item, "arguments": "", "status": "in_progress"}
    done = {**item, "arguments": arguments, "status": "completed"}
    stem = "function_call_arguments"
    return [
        _event("output_item.added", item=opened),
        _event(f"{stem}.delta", item_id=named, delta=arguments[:4]),
        _event(f"{stem}.delta", item_id=named, delta=arguments[4:]),
        _event(f"{stem}.done", item_id=named, arguments=arguments),
        _event("output_item.done", item=done),
    ]


def freeform(text: str = "*** Begin Patch\n*** End Patch", name: str = "apply_patch") -> list[JSON]:
    """The events of a call of a freeform tool."""
    item = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "call_9", "name": name}
    return [
        _event("output_item.added", item={**item, "input": "", "status": "in_progress"}),
        _event("custom_tool_call_input.delta", item_id="ctc_1", delta=text),
        _event("custom_tool_call_input.done", item_id="ctc_1", input=text),
        _event("output_item.done", item={**item, "input": text, "status": "completed"}),
    ]


def whole(item: JSON) -> list[JSON]:
    """The events of an item that comes at once."""
    return [_event("output_item.added", item=item), _event("output_item.done", item=item)]


def stream(*items: list[JSON], end: str = "completed", **members: Any) -> list[JSON]:
    """The events of a whole response."""
    events = [
        _event("created", response=response("in_progress")),
        _event("in_progress", response=response("in_progress")),
    ]
    for index, item in enumerate(items):
        events += [{**event, "output_index": index} for event in item]
    output = [e["item"] for e in events if e["type"] == "response.output_item.done"]
    told = {"output": output, "usage": USAGE}
    if end == "completed":
        told["completed_at"] = 1002
    elif end == "incomplete":
        told["incomplete_details"] = {"reason": "max_output_tokens"}
    else:
        error = {"code": "server_error", "message": "The engine burned down."}
        told |= {"usage": None, "error": error}
        nested = {"type": "server_error", "param": None, **error}
        events.append({"type": "error", **error, "param": None, "error": nested})
    events.append(_event(end, response=response(end, **{**told, **members})))
    return numbered(events)


def numbered(events: list[JSON]) -> list[JSON]:
    """The events with their sequence numbers, in copies that nothing else holds."""
    copied = msgspec.json.decode(msgspec.json.encode(events))
    return [{**event, "sequence_number": number} for number, event in enumerate(copied)]


def as_sse(events: list[JSON]) -> bytes:
    """The bytes of the body."""
    frames = (b"data: %b\n\n" % msgspec.json.encode(event) for event in events)
    return b"".join(frames) + b"data: [DONE]\n\n"


def _event(kind: str, **members: Any) -> JSON:
    return {"type": f"response.{kind}", **members}
