"""A response that is over, told as a stream once more.

A client may ask for a stored response as a stream. Its first stream is kept for background
responses only; for all others the events are made anew from what they said: one delta for a text,
numbered from 0, by the same rules (I1 to I5).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

JSON = dict[str, Any]

_TERMINAL = {
    "completed": "response.completed",
    "incomplete": "response.incomplete",
    "failed": "response.failed",
}
# The kind of a part, its member, and the name of its events.
_PARTS = {
    "output_text": ("text", "response.output_text"),
    "refusal": ("refusal", "response.refusal"),
    "reasoning_text": ("text", "response.reasoning_text"),
}
_PAYLOADS = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
}
_OPEN_NAMES = {
    "response.reasoning_text.delta": "response.reasoning.delta",
    "response.reasoning_text.done": "response.reasoning.done",
}
_NOT_YET: JSON = {"status": "in_progress", "output": [], "usage": None, "completed_at": None}


def retell(response: JSON, *, open_reasoning_names: bool = False) -> list[JSON]:
    """The events of a stored response; one that is not over ends without a terminal event.

    The events of raw reasoning have OpenAI's names, or those of Open Responses
    (responses-api.md section 6.1).
    """
    opening = {**response, **_NOT_YET, "error": None, "incomplete_details": None}
    created = {**opening, "status": "queued"} if response.get("background") else opening
    events: list[JSON] = [{"type": "response.created", "response": created}]
    if response.get("background"):
        events.append({"type": "response.queued", "response": created})
    if response.get("status") != "queued":
        events.append({"type": "response.in_progress", "response": opening})
    for index, item in enumerate(response.get("output") or ()):
        events += _item_events(item, index)
    if response.get("status") == "failed":
        error = response.get("error") or {}
        told = {"code": error.get("code"), "message": error.get("message"), "param": None}
        events.append({"type": "error", **told, "error": {"type": "server_error", **told}})
    if terminal := _TERMINAL.get(str(response.get("status"))):
        events.append({"type": terminal, "response": response})
    if open_reasoning_names:
        events = [
            {**event, "type": _OPEN_NAMES.get(event["type"], event["type"])} for event in events
        ]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _item_events(item: JSON, index: int) -> Iterator[JSON]:
    at = {"item_id": item.get("id"), "output_index": index}
    yield {"type": "response.output_item.added", "output_index": index, "item": _opened(item)}
    if item.get("type") in _PAYLOADS:
        member, name = _PAYLOADS[item["type"]]
        if item.get(member):
            yield {"type": f"{name}.delta", **at, "delta": item[member]}
        named = {"name": item.get("name")} if item["type"] == "function_call" else {}
        yield {"type": f"{name}.done", **at, **named, member: item.get(member)}
    for position, part in enumerate(item.get("summary") or ()):
        yield from _summary_events(part, {**at, "summary_index": position})
    for position, part in enumerate(item.get("content") or ()):
        yield from _part_events(part, {**at, "content_index": position})
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _opened(item: JSON) -> JSON:
    """The item as it was announced: in progress, and empty."""
    opened = {**item}
    if "status" in item:
        opened["status"] = "in_progress"
    for member in ("content", "summary"):
        if member in item:
            opened[member] = []
    if item.get("type") in _PAYLOADS:
        opened[_PAYLOADS[item["type"]][0]] = ""
    if item.get("type") == "message":
        opened.pop("phase", None)
    if item.get("type") == "compaction":
        opened["encrypted_content"] = ""
    if item.get("type") == "reasoning":
        opened.pop("encrypted_content", None)
        opened.pop("content", None)
    return opened


def _summary_events(part: JSON, at: JSON) -> Iterator[JSON]:
    name = "response.reasoning_summary"
    yield {"type": f"{name}_part.added", **at, "part": {**part, "text": ""}}
    if part.get("text"):
        yield {"type": f"{name}_text.delta", **at, "delta": part["text"]}
    yield {"type": f"{name}_text.done", **at, "text": part.get("text")}
    yield {"type": f"{name}_part.done", **at, "part": part}


def _part_events(part: JSON, at: JSON) -> Iterator[JSON]:
    if part.get("type") not in _PARTS:
        return
    member, name = _PARTS[part["type"]]
    empty = {**part, member: ""}
    empty.update({list_: [] for list_ in ("annotations", "logprobs") if list_ in part})
    logprobs = {"logprobs": part["logprobs"]} if "logprobs" in part else {}
    yield {"type": "response.content_part.added", **at, "part": empty}
    if part.get(member):
        yield {"type": f"{name}.delta", **at, "delta": part[member], **logprobs}
    for number, annotation in enumerate(part.get("annotations") or ()):
        place = {**at, "annotation_index": number}
        yield {"type": f"{name}.annotation.added", **place, "annotation": annotation}
    yield {"type": f"{name}.done", **at, member: part.get(member), **logprobs}
    yield {"type": "response.content_part.done", **at, "part": part}
