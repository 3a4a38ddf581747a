"""Forms in which servers tell calls that no client of the Responses API reads (codex-cli.md 2.5).

Codex ignores what it does not know without a word, so that a call which came in one of these forms
would never run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

JSON = dict[str, Any]

# Other names of events that say the same.
NAMES = {
    "response.function_call.arguments.delta": "response.function_call_arguments.delta",
    "response.function_call.arguments.done": "response.function_call_arguments.done",
    "response.reasoning.delta": "response.reasoning_text.delta",
    "response.reasoning.done": "response.reasoning_text.done",
    "response.reasoning_summary.delta": "response.reasoning_summary_text.delta",
    "response.reasoning_summary.done": "response.reasoning_summary_text.done",
    "response.text.delta": "response.output_text.delta",
    "response.text.done": "response.output_text.done",
}
CALL_PIECES = ("response.tool_call.delta", "response.output_item.delta")
"""Events that hold a piece of a call, or a whole one."""
CALL_ENDS = ("response.tool_call.done", "response.tool_call.completed")

_CALL_TYPES = ("tool_call", "tool_use", "function")


class Piece(NamedTuple):
    """What an event says of a call."""

    call_id: str
    name: str
    arguments: str


def read_piece(body: JSON) -> Piece | None:
    """The piece of a call in an event; None when it holds none."""
    places = list(_places(body))
    call_id = _first(places, ("call_id", "tool_call_id")) or _first(places[1:], ("id",))
    name = _first(places, ("name",))
    arguments = _first(
        places, ("arguments", "arguments_delta", "partial_json", "input", "delta", "text")
    )
    if any(place.get("type") in ("text_delta", "output_text") for place in places):
        return None
    return Piece(call_id, name, arguments) if name or arguments or call_id else None


def _places(body: JSON) -> Iterator[JSON]:
    """The objects of an event in which the members of a call may stand, outermost first."""
    yield body
    for member in ("tool_call", "function_call", "delta", "item", "function"):
        inner = body.get(member)
        if isinstance(inner, dict):
            yield from _places(inner)


def _first(places: list[JSON], names: tuple[str, ...]) -> str:
    for name in names:
        for place in places:
            value = place.get(name)
            if isinstance(value, dict) and name in ("arguments", "input"):
                return msgspec.json.encode(value).decode()
            if isinstance(value, str) and value:
                return value
    return ""


def standard_items(item: JSON) -> list[JSON]:
    """An item in the forms that clients read; calls inside a message become items of their own."""
    kind = item.get("type")
    if kind in _CALL_TYPES:
        return [_call(item)]
    calls = item.get("tool_calls")
    if not isinstance(calls, list):
        return [item]
    message = {name: value for name, value in item.items() if name != "tool_calls"}
    said = [message] if message.get("content") else []
    return [*said, *(_call(call) for call in calls if isinstance(call, dict))]


def _call(item: JSON) -> JSON:
    places = list(_places(item))
    call = {
        "type": "function_call",
        "call_id": _first(places, ("call_id", "tool_call_id", "id")),
        "name": _first(places, ("name",)),
        "arguments": _first(places, ("arguments", "input")),
    }
    item_id = item.get("id")
    if isinstance(item_id, str) and item_id and item_id != call["call_id"]:
        call["id"] = item_id
    if item.get("status") in ("in_progress", "completed", "incomplete"):
        call["status"] = item["status"]
    return call
