"""A client's request body: JSON with the right types in the known places.

Fields that this version does not know stay as data; nothing is coerced.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from anyturn.errors import Kind, TurnError

MAX_NESTING = 128
"""Levels of lists and objects. More would exhaust the stack when the request is encoded again."""

_NUMBER = (int, float)
_TYPES: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "input": (str, list),
    "instructions": (str,),
    "tools": (list,),
    "tool_choice": (str, dict),
    "parallel_tool_calls": (bool,),
    "stream": (bool,),
    "stream_options": (dict,),
    "store": (bool,),
    "background": (bool,),
    "generate": (bool,),
    "include": (list,),
    "reasoning": (dict,),
    "text": (dict,),
    "max_output_tokens": (int,),
    "max_tool_calls": (int,),
    "temperature": _NUMBER,
    "top_p": _NUMBER,
    "presence_penalty": _NUMBER,
    "frequency_penalty": _NUMBER,
    "top_logprobs": (int,),
    "seed": (int,),
    "stop": (str, list),
    "metadata": (dict,),
    "user": (str,),
    "safety_identifier": (str,),
    "prompt_cache_key": (str,),
    "service_tier": (str,),
    "truncation": (str,),
    "previous_response_id": (str,),
    "conversation": (str, dict),
}
_WORDS: dict[type, str] = {
    str: "a string",
    list: "a list",
    dict: "an object",
    bool: "true or false",
    int: "an integer",
    float: "a number",
}


def parse_request(body: bytes) -> dict[str, Any]:
    """Decode and check the body of `POST /responses`.

    Half of a surrogate pair, as JavaScript clients write it, becomes U+FFFD (Q72). Raises
    `TurnError`: INVALID_JSON when it is not JSON, INVALID_REQUEST naming the field when a known
    field has the wrong type or is nested too deeply. `null` stands for an absent field everywhere.
    """
    return check_types(read_object(body))


def read_object(body: bytes) -> dict[str, Any]:
    """Decode a JSON object. Raises `TurnError` as `parse_request` does, but checks no field."""
    try:
        request = _decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise TurnError(
            Kind.INVALID_JSON,
            f"The request body is not valid JSON ({error}; {len(body)} bytes arrived).",
        ) from None
    if not isinstance(request, dict):
        raise TurnError(
            Kind.INVALID_REQUEST, "Invalid request: the body must be a JSON object.", param=None
        )
    return request


def check_types(request: dict[str, Any]) -> dict[str, Any]:
    """Return the request when its known fields have the right types. Raises as `parse_request`."""
    for name, types in _TYPES.items():
        _check_type(name, request.get(name), types)
    for name, value in request.items():
        if _is_deeper(value, MAX_NESTING - 1):
            raise TurnError(
                Kind.INVALID_REQUEST,
                f"Invalid request: {name[:60]} is nested deeper than {MAX_NESTING} levels.",
                param=name[:60],
            )
    return request


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        mended = _ESCAPE.sub(_mend_escape, body)
        if mended == body:
            raise
        return msgspec.json.decode(mended)


# Whole pairs and all other escapes are matched only to be stepped over.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


def _mend_escape(match: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if match[1] else match[0]


def _is_deeper(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return False
    if levels == 0:
        return True
    return any(_is_deeper(v, levels - 1) for v in value if isinstance(v, list | dict))


def _check_type(name: str, value: Any, types: tuple[type, ...]) -> None:
    if value is None or (isinstance(value, types) and not _bool_as_number(value, types)):
        return
    expected = " or ".join(dict.fromkeys(_WORDS[t] for t in types if (t, types) != (int, _NUMBER)))
    raise TurnError(
        Kind.INVALID_REQUEST,
        f"Invalid request: {name} must be {expected}, not {_described(value)}.",
        param=name,
    )


def _bool_as_number(value: Any, types: tuple[type, ...]) -> bool:
    return isinstance(value, bool) and bool not in types


def _described(value: Any) -> str:
    if isinstance(value, str):
        return repr(value[:60])
    return _WORDS.get(type(value), type(value).__name__) if value is not True else "true"
