"""What a strict Chat Completions provider refuses, in the words it would use.

The sentences are OpenAI's where they are known, so that a gateway which reads them meets the real
thing; the rules are the strictest of chat-providers.md, Cerebras's validation above all. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

JSON: TypeAlias = dict[str, Any]

NAME_PATTERN = "^[A-Za-z0-9_-]{1,64}$"
_NAME = re.compile(NAME_PATTERN[:-1] + r"\Z")
_ID_MAX = 64

# Cerebras's request fields (chat-providers.md section 2.1); anything else is refused by name.
REQUEST_FIELDS = frozenset(
    {
        "clear_thinking",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "reasoning_effort",
        "reasoning_format",
        "response_format",
        "seed",
        "service_tier",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
    }
)

# Reasoning goes back under the name that it came with (Q17, Q23), so each of them is taken.
MESSAGE_FIELDS = frozenset(
    {
        "content",
        "name",
        "reasoning",
        "reasoning_content",
        "reasoning_details",
        "role",
        "tool_call_id",
        "tool_calls",
    }
)

_PARTS = {
    "system": ("text",),
    "developer": ("text",),
    "user": ("text", "image_url", "file"),
    "assistant": ("text",),
    "tool": ("text",),
}


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How strict the provider is. Everything has its strictest value."""

    roles: tuple[str, ...] = ("system", "user", "assistant", "tool")
    """`developer` is refused unless it is listed (F5)."""
    system_first: bool = True
    """Only the first message may be a system message (F6, Q64)."""
    content_required: bool = True
    """Every message has `content`, null where an assistant only calls tools (Q71)."""
    request_fields: frozenset[str] = REQUEST_FIELDS
    message_fields: frozenset[str] = MESSAGE_FIELDS


_STRICTEST = Rules()


def check_request(body: JSON, rules: Rules = _STRICTEST) -> str | None:
    """Return the refusal of a whole request, or None when it is valid.

    Looks at the top-level fields, the tools, what depends on them (F31, Q75), and the history.
    """
    return next(_request_refusals(body, rules), None)


def check_history(
    messages: list[JSON], tools: list[JSON] | None = None, rules: Rules = _STRICTEST
) -> str | None:
    """Return the refusal of a history and of the tools beside it, or None when both are valid.

    Covers F1–F3, F5, F6, F13, F21, F27, F30, Q64, Q66–Q68, Q71, Q73, Q74, Q76 and Q77. Takes any
    decoded JSON and never raises.
    """
    return next(_history_refusals(messages, tools, rules), None)


# Each check below is a generator that is never resumed after its first sentence: what follows a
# `yield` may rely on what came before it.


def _request_refusals(body: JSON, rules: Rules) -> Iterator[str]:
    for name in body:
        if name not in rules.request_fields:
            yield f"property '{name}' is unsupported"
    if not isinstance(body.get("model"), str) or not body["model"]:
        yield "you must provide a model parameter"
    if "messages" not in body:
        yield "Missing required parameter: 'messages'."
    if "stream_options" in body and body.get("stream") is not True:
        yield "The 'stream_options' parameter is only allowed when 'stream' is enabled."
    if "tools" in body:
        yield from _array("tools", body["tools"])
    else:
        for name in ("tool_choice", "parallel_tool_calls"):
            if name in body:
                yield (
                    f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are "
                    "specified."
                )
    yield from _history_refusals(body.get("messages"), body.get("tools"), rules)
    yield from _choice_refusals(body.get("tool_choice"), body.get("tools") or [])


def _choice_refusals(choice: Any, tools: list[JSON]) -> Iterator[str]:
    if choice is None or choice in ("none", "auto", "required"):
        return
    function = choice.get("function") if isinstance(choice, dict) else None
    if not isinstance(function, dict) or choice.get("type") != "function":
        yield (
            f"Invalid value: {_shown(choice)}. Supported values for 'tool_choice' are: 'none', "
            "'auto', 'required' and a named function."
        )
    elif function.get("name") not in [tool["function"]["name"] for tool in tools]:
        yield (
            f"Invalid value for 'tool_choice': no function named {_shown(function.get('name'))} "
            "was specified in the 'tools' parameter."
        )


def _history_refusals(messages: Any, tools: Any, rules: Rules) -> Iterator[str]:
    if tools is not None:
        yield from _tool_refusals(tools)
    yield from _array("messages", messages)
    for place, message in enumerate(messages):
        yield from _message_refusals(f"messages[{place}]", place, message, rules)
    yield from _pairing_refusals(messages)


# ---------------------------------------------------------------- tools


def _tool_refusals(tools: Any) -> Iterator[str]:
    yield from _array("tools", tools)
    names: set[str] = set()
    for place, tool in enumerate(tools):
        where = f"tools[{place}]"
        yield from _object(where, tool)
        if tool.get("type") != "function":
            # F21, Q76: hosted and freeform kinds mean nothing to a Chat Completions provider.
            yield (
                f"Invalid value: {_shown(tool.get('type'))}. Supported values for '{where}.type' "
                "are: 'function'."
            )
        yield from _object(f"{where}.function", tool.get("function"))
        yield from _function_refusals(f"{where}.function", tool["function"])
        name = tool["function"]["name"]
        if name in names:
            yield f"Invalid 'tools': function names must be unique, but '{name}' is there twice."
        names.add(name)


def _function_refusals(where: str, function: JSON) -> Iterator[str]:
    yield from _name_refusals(where, function)
    parameters = function.get("parameters")
    kind = parameters.get("type") if isinstance(parameters, dict) else None
    if kind != "object":
        # F30, Q73.
        yield (
            f"Invalid schema for function '{function['name']}': schema must be a JSON Schema of "
            f"'type: \"object\"', got 'type: \"{kind}\"'."
        )


def _name_refusals(where: str, function: JSON) -> Iterator[str]:
    """Q77."""
    if "name" not in function:
        yield f"Missing required parameter: '{where}.name'."
    yield from _string(f"{where}.name", function["name"])
    if not _NAME.match(function["name"]):
        yield (
            f"Invalid '{where}.name': string does not match pattern. Expected a string that "
            f"matches the pattern '{NAME_PATTERN}'."
        )


# ---------------------------------------------------------------- messages, one by one


def _message_refusals(where: str, place: int, message: Any, rules: Rules) -> Iterator[str]:
    yield from _object(where, message)
    role = message.get("role")
    yield from _role_refusals(where, role, rules)
    if role == "system" and place > 0 and rules.system_first:
        yield "System message must be at the beginning."
    for name in message:
        if name not in rules.message_fields:
            yield f"property '{where}.{name}' is unsupported"
    if "tool_calls" in message:
        yield from _call_refusals(where, message)
    yield from _content_refusals(where, message, rules)


def _role_refusals(where: str, role: Any, rules: Rules) -> Iterator[str]:
    if role == "developer" and role not in rules.roles:
        yield (f"Unsupported value: '{where}.role' does not support 'developer' with this model.")
    if role not in rules.roles:
        supported = ", ".join(f"'{known}'" for known in rules.roles)
        yield (
            f"Invalid value: {_shown(role)}. Supported values for '{where}.role' are: {supported}."
        )


def _content_refusals(where: str, message: JSON, rules: Rules) -> Iterator[str]:
    """A string, null beside tool calls, or a list of the parts that the role may have (Q71)."""
    content = message.get("content")
    if "content" not in message and (rules.content_required or "tool_calls" not in message):
        yield f"Missing required parameter: '{where}.content'."
    if content is None and "tool_calls" not in message:
        yield "Invalid value for 'content': expected a string, got null."
    if content is None or isinstance(content, str):
        return
    yield from _array(f"{where}.content", content)
    allowed = _PARTS.get(message["role"], ("text",))
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in allowed:
            yield (
                f"Invalid '{where}'. Content blocks are expected to be either "
                f"{' or '.join(allowed)} type."
            )
        value = part.get(kind)
        if not isinstance(value, str if kind == "text" else dict):
            yield f"Missing required parameter: '{where}.content[].{kind}'."


def _call_refusals(where: str, message: JSON) -> Iterator[str]:
    if message["role"] != "assistant":
        yield f"Invalid '{where}.tool_calls': only messages with role 'assistant' may have them."
    yield from _array(f"{where}.tool_calls", message["tool_calls"])
    for place, call in enumerate(message["tool_calls"]):
        at = f"{where}.tool_calls[{place}]"
        yield from _object(at, call)
        yield from _id_refusals(f"{at}.id", call.get("id"))
        if call.get("type") != "function":
            yield (
                f"Invalid value: {_shown(call.get('type'))}. Supported values for '{at}.type' "
                "are: 'function'."
            )
        yield from _object(f"{at}.function", call.get("function"))
        yield from _name_refusals(f"{at}.function", call["function"])
        yield from _argument_refusals(at, call)


def _id_refusals(where: str, id: Any) -> Iterator[str]:
    """F13."""
    yield from _string(where, id)
    if not id:
        yield f"Invalid '{where}': empty string. Expected a string with minimum length 1."
    if len(id) > _ID_MAX:
        yield (
            f"Invalid '{where}': string too long. Expected a string with maximum length {_ID_MAX}, "
            f"but got a string with length {len(id)} instead."
        )


def _argument_refusals(where: str, call: JSON) -> Iterator[str]:
    """Arguments are the text of a JSON object (Q74)."""
    arguments = call["function"].get("arguments")
    yield from _string(f"{where}.function.arguments", arguments)
    try:
        decoded = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        decoded = None
    if not isinstance(decoded, dict):
        yield f"invalid function arguments json string, tool_call_id: {call['id']}"


# ---------------------------------------------------------------- messages together


def _pairing_refusals(messages: list[JSON]) -> Iterator[str]:
    """Every call is answered at once and once, nothing else is answered (F1, F2, Q66, Q67).

    Ids are unique in the whole request, as Cerebras demands (chat-providers.md section 2.1).
    """
    seen: set[str] = set()
    waiting: list[str] = []
    after_calls = False
    for place, message in enumerate(messages):
        if message["role"] == "tool":
            yield from _result_refusals(f"messages[{place}]", message, waiting, after_calls)
            waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            yield _unanswered(waiting)
        after_calls = "tool_calls" in message
        for call in message.get("tool_calls", ()):
            if call["id"] in seen:
                yield (
                    f"Duplicate value for 'id' of '{call['id']}' in 'messages[{place}].tool_calls'."
                )
            seen.add(call["id"])
            waiting.append(call["id"])
    if waiting:
        yield _unanswered(waiting)


def _result_refusals(
    where: str, message: JSON, waiting: list[str], after_calls: bool
) -> Iterator[str]:
    if not after_calls:
        yield (
            "Invalid parameter: messages with role 'tool' must be a response to a preceeding "
            "message with 'tool_calls'."
        )
    id = message.get("tool_call_id")
    if not isinstance(id, str) or not id:
        yield (
            "Missing parameter 'tool_call_id': messages with role 'tool' must have a "
            "'tool_call_id'."
        )
    if id not in waiting:
        yield (
            f"Invalid parameter: 'tool_call_id' of '{id}' in '{where}' not found in 'tool_calls' "
            "of previous message, or answered before."
        )


def _unanswered(waiting: list[str]) -> str:
    return (
        "An assistant message with 'tool_calls' must be followed by tool messages responding to "
        "each 'tool_call_id'. The following tool_call_ids did not have response messages: "
        + ", ".join(waiting)
    )


# ---------------------------------------------------------------- shapes


def _array(where: str, value: Any) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"Invalid type for '{where}': expected an array, but got {_kind(value)} instead."
    if not value:
        yield (
            f"Invalid '{where}': empty array. Expected an array with minimum length 1, but got an "
            "empty array instead."
        )


def _object(where: str, value: Any) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"Invalid type for '{where}': expected an object, but got {_kind(value)} instead."


def _string(where: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"Invalid type for '{where}': expected a string, but got {_kind(value)} instead."


_KINDS = {
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "null")


def _shown(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else msgspec.json.encode(value).decode()
