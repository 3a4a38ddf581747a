"""What a strict Responses server that stores nothing refuses, in the words of the ChatGPT backend.

clients.md section 3.2 has the sentences. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple, TypeAlias

JSON: TypeAlias = dict[str, Any]

REQUEST_FIELDS = frozenset(
    {
        *("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls"),
        *("reasoning", "text", "include", "store", "stream", "prompt_cache_key"),
        *("client_metadata", "service_tier"),
    }
)
_OUTPUT_OF = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
}
_CALL_OF = {output: call for call, output in _OUTPUT_OF.items()}
_ID_MAX = 64
TOOL_TYPES = frozenset({"function", "custom", "namespace", "web_search"})
"""Types of tools that the ChatGPT backend takes."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Whose tools such items are.
_TOOL_OF = {
    "custom_tool_call": "custom",
    "custom_tool_call_output": "custom",
    "tool_search_call": "tool_search",
    "tool_search_output": "tool_search",
    "local_shell_call": "local_shell",
    "local_shell_call_output": "local_shell",
    "shell_call": "shell",
    "shell_call_output": "shell",
    "apply_patch_call": "apply_patch",
    "apply_patch_call_output": "apply_patch",
    "web_search_call": "web_search",
    "additional_tools": "tool_search",
}


class Refused(NamedTuple):
    """Why a request is refused. `code` is empty for the errors that are a bare `detail`."""

    status: int
    sentence: str
    code: str = ""


def check_forwarded(body: JSON, seal: str, tools: Collection[str] = TOOL_TYPES) -> Refused | None:
    """Return why a server whose seals begin with `seal` refuses a request; None when it does not.

    It takes `tools` of these types, and only their items. The first fault counts.
    """
    return next(_faults(body, seal, tools), None)


def _faults(body: JSON, seal: str, tools: Collection[str]) -> Iterator[Refused]:
    if body.get("store") is not False:
        yield Refused(400, "Store must be set to false")
    if body.get("stream") is not True:
        yield Refused(400, "Stream must be set to true")
    for name in body:
        if name not in REQUEST_FIELDS:
            yield Refused(400, f"Unsupported parameter: {name}")
    if not isinstance(body.get("instructions"), str):
        yield Refused(400, "Instructions are required")
    effort = (body.get("reasoning") or {}).get("effort")
    if effort == "minimal":
        yield Refused(400, "Unsupported value: 'minimal' for reasoning.effort")
    yield from _tool_faults(body, tools)
    items = body.get("input")
    if not isinstance(items, list):
        yield Refused(400, "Input must be a list")
        return
    yield from _item_faults(items, seal)
    for item in items:
        kind = _TOOL_OF.get(str(item.get("type")))
        if kind not in (None, *tools):
            yield Refused(400, f"Unsupported item type: {item['type']}")
        if "namespace" in item and "namespace" not in tools:
            yield Refused(400, "Unknown parameter: 'namespace'.")
    yield from _order_faults(items)


def _tool_faults(body: JSON, tools: Collection[str]) -> Iterator[Refused]:
    names: set[str] = set()
    for position, tool in enumerate(body.get("tools") or ()):
        kind, name = tool.get("type"), tool.get("name")
        if kind not in tools:
            yield Refused(400, f"Unsupported tool type: {kind}")
        if kind == "function":
            if not isinstance(name, str) or not _NAME.fullmatch(name) or name in names:
                yield Refused(400, f"Invalid 'tools[{position}].name': {name!r}.")
            names.add(str(name))
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        kind, name = choice.get("type"), choice.get("name")
        if kind not in (*tools, "allowed_tools") or (kind == "function" and name not in names):
            yield Refused(400, f"Invalid 'tool_choice': {kind} {name!r}.")


def _item_faults(items: list[Any], seal: str) -> Iterator[Refused]:
    for position, item in enumerate(items):
        kind = item.get("type") or ("message" if "role" in item else "item_reference")
        if item.get("role") == "system":
            yield Refused(400, "System messages are not allowed")
        if kind == "item_reference":
            yield _not_found(item)
        if kind == "reasoning":
            yield from _reasoning_faults(item, seal, position)
        if kind == "compaction" and not str(item.get("encrypted_content")).startswith(seal):
            yield _unopened(position)
        for name in ("id", "call_id"):
            value = item.get(name)
            if isinstance(value, str) and len(value) > _ID_MAX:
                sentence = (
                    f"Invalid 'input[{position}].{name}': string too long. Expected a string with "
                    f"maximum length 64, but got a string with length {len(value)} instead."
                )
                yield Refused(400, sentence, "string_above_max_length")


def _reasoning_faults(item: JSON, seal: str, position: int) -> Iterator[Refused]:
    blob = item.get("encrypted_content")
    if not isinstance(item.get("summary"), list):
        sentence = f"Missing required parameter: 'input[{position}].summary'."
        yield Refused(400, sentence, "missing_required_parameter")
    if not blob:
        yield _not_found(item)
    elif not str(blob).startswith(seal):
        yield _unopened(position)


def _not_found(item: JSON) -> Refused:
    sentence = (
        f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set "
        "to false. Try again with `store` set to true, or remove this item from your input."
    )
    return Refused(404, sentence, "not_found")


def _unopened(position: int) -> Refused:
    sentence = (
        f"The encrypted content for item input[{position}] could not be verified. "
        "Reason: Encrypted content could not be decrypted or parsed."
    )
    return Refused(400, sentence, "invalid_encrypted_content")


def _order_faults(items: list[Any]) -> Iterator[Refused]:
    called: set[tuple[str, Any]] = set()
    seen: set[Any] = set()
    for item in items:
        kind, call_id = item.get("type"), item.get("call_id")
        if kind in _OUTPUT_OF:
            if (kind, call_id) in called:
                yield Refused(400, f"Duplicate item found with call_id {call_id}.", "duplicate")
            called.add((kind, call_id))
        elif kind in _CALL_OF:
            if (_CALL_OF[kind], call_id) not in called:
                sentence = f"No tool call found for function call output with call_id {call_id}."
                yield Refused(400, sentence, "invalid_value")
            seen.add((_CALL_OF[kind], call_id))
    for _, call_id in called - seen:
        yield Refused(400, f"No tool output found for function call {call_id}.", "invalid_value")
    yield from _lone_reasoning(items)


def _lone_reasoning(items: list[Any]) -> Iterator[Refused]:
    for item, following in zip(items, [*items, {}][1:], strict=True):
        kind = str(following.get("type"))
        is_said = kind.endswith("_call") or kind == "reasoning"
        is_lone = not is_said and following.get("role") != "assistant"
        if item.get("type") == "reasoning" and is_lone:
            sentence = "A 'reasoning' item was provided without its required following item."
            yield Refused(400, sentence, "invalid_value")
