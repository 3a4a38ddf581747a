"""Calls of every kind in a history, as calls of functions (F23, F24, F29).

What a Chat provider needs, and a Responses server that knows functions only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from anyturn.translate.adaptations import Adaptations
from anyturn.translate.built_in_tools import BUILT_INS, ToolKind
from anyturn.translate.content import bad_field
from anyturn.translate.tool_map import ToolMap

Item = dict[str, Any]


class Answered(NamedTuple):
    """What answers a call: the kind of its tool, and the member that holds the output."""

    kind: ToolKind
    field: str


# Items that a client executes: the kind of their tool, and the field that says what to do.
CALLS: dict[str, tuple[ToolKind, str]] = {
    "function_call": (ToolKind.FUNCTION, "arguments"),
    "custom_tool_call": (ToolKind.CUSTOM, "input"),
    **{own.call_type: (own.kind, own.field) for own in BUILT_INS.values()},
}
OUTPUTS: dict[str, Answered] = {
    "function_call_output": Answered(ToolKind.FUNCTION, "output"),
    "custom_tool_call_output": Answered(ToolKind.CUSTOM, "output"),
    "local_shell_call_output": Answered(ToolKind.LOCAL_SHELL, "output"),
    "shell_call_output": Answered(ToolKind.SHELL, "output"),
    "apply_patch_call_output": Answered(ToolKind.APPLY_PATCH, "output"),
    "tool_search_output": Answered(ToolKind.TOOL_SEARCH, "tools"),
}
# What OpenAI's own servers executed or keep.
SERVER_SIDE = frozenset(
    {
        "web_search_call",
        "file_search_call",
        "code_interpreter_call",
        "image_generation_call",
        "computer_call",
        "computer_call_output",
        "mcp_call",
        "mcp_list_tools",
        "mcp_approval_request",
        "mcp_approval_response",
        "configuration_update",
    }
)


def called_name(item: Item, place: str) -> tuple[ToolKind, str]:
    """The kind and the name of the tool that an item calls.

    Raises `TurnError` (INVALID_REQUEST) for a call without a name.
    """
    kind, _ = CALLS[item["type"]]
    name = str(kind) if kind in BUILT_INS else item.get("name")
    if not isinstance(name, str) or not name:
        raise bad_field(f"{place}.name", "a name", name)
    return kind, name


def called_with(item: Item, place: str, adaptations: Adaptations) -> str:
    """The arguments of a call, as the function that stands for its tool takes them.

    Always a JSON object. Raises `TurnError` (INVALID_REQUEST) for a payload of another type.
    """
    kind = item["type"]
    field = CALLS[kind][1]
    payload, place = item.get(field), f"{place}.{field}"
    if kind == "custom_tool_call":
        if not isinstance(payload, str):
            raise bad_field(place, "a string", payload)
        return msgspec.json.encode({"input": payload}).decode()
    if kind == "function_call" and not isinstance(payload, str):
        raise bad_field(place, "a string of JSON", payload)
    if payload is None or (isinstance(payload, str) and not payload.strip()):
        return "{}"
    if isinstance(payload, dict):
        return msgspec.json.encode(_as_asked(kind, payload)).decode()
    if isinstance(payload, str) and _is_json_object(payload):
        return payload
    # Q74: providers refuse a replayed call whose arguments they cannot parse.
    adaptations.note("history.broken_arguments", place, "not a JSON object; sent as one text field")
    return msgspec.json.encode({"unparsable_arguments": payload}).decode()


def call_id_of(item: Item, place: str) -> str:
    """The id by which a call is answered. It may be missing: then the order pairs them."""
    call_id = item.get("call_id") or item.get("id")
    if call_id is not None and not isinstance(call_id, str):
        raise bad_field(f"{place}.call_id", "a string", call_id)
    return call_id or ""


def answered_id_of(item: Item) -> str:
    """The id of the call that an output answers; empty when it says none."""
    call_id = item.get("call_id")
    return call_id if isinstance(call_id, str) else ""


def is_by_server(item: Item) -> bool:
    """Whether an item belongs to a tool search that the server ran itself (F29)."""
    return item.get("type") in ("tool_search_call", "tool_search_output") and (
        item.get("execution") == "server"
    )


def loaded_tools(tools: Any, names: ToolMap) -> str:
    """What a search found, by the names under which it can be called from now on."""
    found = ", ".join(_found(tools if isinstance(tools, list) else [], names))
    return f"Loaded tools: {found or 'none'}"


def _found(tools: list[Any], names: ToolMap, namespace: Any = None) -> Iterator[str]:
    for tool in tools:
        if not isinstance(tool, dict):
            continue
        name, inner = tool.get("name"), tool.get("tools")
        if isinstance(inner, list):
            yield from _found(inner, names, name)
        elif isinstance(name, str) and name:
            yield names.chat_name(name, namespace)


def _as_asked(kind: str, payload: Item) -> Item:
    """What the model said when it called a built-in tool, without what clients fill in."""
    aside = {"type": "exec", "env": {}} if kind == "local_shell_call" else {}
    return {
        name: value
        for name, value in payload.items()
        if value is not None and (name not in aside or value != aside[name])
    }


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
