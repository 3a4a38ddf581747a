"""What the Open Responses specification demands of a response, checked from outside.

Written from responses-api.md section 2.5 (the specification of 2026-04-24): which members are
required, what each may be, what may be null and what has to be absent instead. Where OpenAI's
clients expect more than that schema knows (tools that are no functions, the schema of a format,
`minimal` effort), it is allowed (section 6).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

JSON = dict[str, Any]
Test = Callable[[Any], bool]

_EFFORTS = (None, "none", "minimal", "low", "medium", "high", "xhigh")
_SUMMARIES = (None, "auto", "concise", "detailed")
_STATUSES = ("queued", "in_progress", "completed", "failed", "incomplete", "cancelled")
_CALLS = {
    "function_call": ("name", "arguments"),
    "custom_tool_call": ("name", "input"),
    "tool_search_call": ("arguments", "execution"),
    "local_shell_call": ("action",),
    "shell_call": ("action",),
    "apply_patch_call": ("operation",),
}


class NotOpen(AssertionError):
    """The specification does not allow this."""


def check_response(response: JSON) -> None:
    """Raise `NotOpen` for a response object that the specification's schema refuses."""
    for name, test in _MEMBERS.items():
        _demand(name in response, f"{name} is missing")
        _demand(test(response[name]), f"{name} must not be {response[name]!r}")
    if response["status"] == "completed":
        _demand(_is_int(response["completed_at"]), "completed_at is known by then")
        _demand(response["error"] is None, "nothing failed")
    if response["status"] in ("queued", "in_progress"):
        for name in ("usage", "completed_at", "error", "incomplete_details"):
            _demand(response[name] is None, f"{name} cannot be known yet")
    if response["status"] == "failed":
        _demand(response["error"] is not None, "error says how it failed")
    if response["status"] == "incomplete":
        _demand(response["incomplete_details"] is not None, "it says why it is incomplete")
    for item in response["output"]:
        check_item(item)


def check_item(item: JSON) -> None:
    """Raise `NotOpen` for an output item that the specification's schema refuses."""
    kind = item.get("type")
    nulls = [name for name, value in item.items() if value is None]
    _demand(not nulls, f"{nulls} of {kind} must be absent, not null")
    _demand(_is_text(item.get("id")), f"{kind} has no id")
    if kind != "compaction":
        _demand(item.get("status") in _STATUSES[1:5], f"{kind} has no status")
    if kind == "message":
        _demand(item.get("role") == "assistant", "the message has no role")
        _each(item.get("content"), _check_part)
    elif kind == "reasoning":
        _each(item.get("summary"), lambda part: _check_words(part, "summary_text", "text"))
        _each(item.get("content", []), lambda part: _check_words(part, "reasoning_text", "text"))
        _demand(_is_text(item.get("encrypted_content", "")), "encrypted_content is no text")
    elif kind == "compaction":
        _demand(_is_text(item.get("encrypted_content")), "a compaction of nothing")
    else:
        _demand(kind in _CALLS, f"{kind!r} is no item")
        _demand(_is_text(item.get("call_id")), f"{kind} has no call_id")
        for name in _CALLS[str(kind)]:
            _demand(name in item, f"{kind} has no {name}")


def _check_part(part: JSON) -> None:
    if part.get("type") == "refusal":
        _check_words(part, "refusal", "refusal")
        return
    _check_words(part, "output_text", "text")
    _demand(isinstance(part.get("annotations"), list), "output_text has no annotations")
    _each(part.get("logprobs", []), _check_logprob)


def _check_logprob(token: JSON) -> None:
    _demand(isinstance(token.get("bytes"), list), "bytes of a token are missing")
    _demand(isinstance(token.get("token"), str), "a token has no text")
    _demand(_is_number(token.get("logprob")), "a token has no logprob")
    if "top_logprobs" in token:
        _each(token["top_logprobs"], lambda one: _check_logprob({**one}))


def _check_words(part: JSON, kind: str, member: str) -> None:
    _demand(part.get("type") == kind, f"{part!r} is no {kind}")
    _demand(isinstance(part.get(member), str), f"{kind} has no {member}")


def _each(values: Any, check: Callable[[JSON], None]) -> None:
    _demand(isinstance(values, list), f"{values!r} is no list")
    for value in values:
        check(value)


def _demand(holds: bool, said: str) -> None:
    if not holds:
        raise NotOpen(said)


# ---------------------------------------------------------------- members of the response


def _is_int(value: Any) -> bool:
    return type(value) is int


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _or_null(test: Test) -> Test:
    return lambda value: value is None or test(value)


def _is_one_of(*values: Any) -> Test:
    return lambda value: value in values


def _has(**members: Test) -> Test:
    """An object in which each of these members is there, and passes its test."""

    def test(value: Any) -> bool:
        if not isinstance(value, dict):
            return False
        return all(name in value and test(value[name]) for name, test in members.items())

    return test


def _is_anything(_: Any) -> bool:
    return True


_is_function = _has(
    type=_is_one_of("function"),
    name=_is_text,
    description=_or_null(_is_text),
    parameters=_or_null(lambda value: isinstance(value, dict)),
    strict=_or_null(_is_flag),
)


def _is_tools(value: Any) -> bool:
    return isinstance(value, list) and all(
        _is_function(tool) if tool.get("type") == "function" else _is_text(tool.get("type"))
        for tool in value
    )


_is_named = _has(type=_is_text, name=_is_text)


def _is_choice(value: Any) -> bool:
    if isinstance(value, str):
        return value in ("auto", "none", "required")
    if value.get("type") == "allowed_tools":
        modes = _is_one_of("auto", "none", "required")
        return _has(mode=modes, tools=lambda tools: all(map(_has(type=_is_text), tools)))(value)
    return _is_named(value) if value.get("type") in ("function", "custom") else "type" in value


def _is_format(value: Any) -> bool:
    if value.get("type") != "json_schema":
        return _has(type=_is_one_of("text", "json_object"))(value)
    return _has(
        name=_is_text,
        description=_or_null(_is_text),
        strict=_or_null(_is_flag),
        schema=_is_anything,
    )(value)


def _is_text_options(value: Any) -> bool:
    verbosity = value.get("verbosity", "low") in ("low", "medium", "high")
    return verbosity and _has(format=_is_format)(value)


_is_usage = _has(
    input_tokens=_is_int,
    output_tokens=_is_int,
    total_tokens=_is_int,
    # The specification does not know cache_write_tokens; openai-python demands it.
    input_tokens_details=_has(cached_tokens=_is_int, cache_write_tokens=_is_int),
    output_tokens_details=_has(reasoning_tokens=_is_int),
)

_MEMBERS: dict[str, Test] = {
    "id": _is_text,
    "object": _is_one_of("response"),
    "created_at": _is_int,
    "completed_at": _or_null(_is_int),
    "status": _is_one_of(*_STATUSES),
    "incomplete_details": _or_null(_has(reason=_is_text)),
    "model": _is_text,
    "previous_response_id": _or_null(_is_text),
    "instructions": _or_null(_is_text),
    "output": lambda value: isinstance(value, list),
    "error": _or_null(_has(code=_is_text, message=_is_text)),
    "tools": _is_tools,
    "tool_choice": _is_choice,
    "truncation": _is_one_of("auto", "disabled"),
    "parallel_tool_calls": _is_flag,
    "text": _is_text_options,
    "top_p": _is_number,
    "temperature": _is_number,
    "presence_penalty": _is_number,
    "frequency_penalty": _is_number,
    "top_logprobs": _is_int,
    "reasoning": _or_null(_has(effort=_is_one_of(*_EFFORTS), summary=_is_one_of(*_SUMMARIES))),
    "usage": _or_null(_is_usage),
    "max_output_tokens": _or_null(_is_int),
    "max_tool_calls": _or_null(_is_int),
    "store": _is_flag,
    "background": _is_flag,
    "service_tier": _is_text,
    "metadata": lambda value: isinstance(value, dict),
    "safety_identifier": _or_null(_is_text),
    "prompt_cache_key": _or_null(_is_text),
}
REQUIRED = frozenset(_MEMBERS)
