"""JSON as text: where its values begin and end, without losing a byte of how they were written.

A decoder gives values; these functions give positions, so that a text can be mended in one place
and stay as it is everywhere else. All are linear in the text and do not recurse.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

INVALID = object()
"""What `decode` returns for a text that is not JSON."""

# A string from its first quote to its last one, or to the end of the text when it is not closed:
# the pattern never fails, so nothing is searched twice.
STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+["\\]?', re.S)
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+["\\]?|[{}\[\]]', re.S)
# Deeper than any decoder goes.
_MAX_DEPTH = 2000
_SCALAR = re.compile(r"[^\s,\]}]*")
_BETWEEN = re.compile(r"[\s,:]*")


def decode(text: str) -> Any:
    """Return the value of `text`, or `INVALID`. NaN and Infinity are not JSON."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return INVALID


def container_end(text: str, start: int) -> int:
    """Return the position behind the object or array that begins at `start`, -1 if none ends."""
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text, start):
        kind = text[token.start()]
        if kind in "{[":
            depth += 1
            if depth > _MAX_DEPTH:
                break
        elif kind in "}]":
            depth -= 1
            if depth == 0:
                return token.end()
    return -1


def members(text: str, start: int) -> dict[Any, tuple[int, int]]:
    """Return where each value of the object or array at `start` stands, by its key or position.

    The text must be valid JSON. Of a key that is there twice the last one counts, as for decoders.
    """
    places: dict[Any, tuple[int, int]] = {}
    in_object = text[start] == "{"
    position = _next(text, start + 1)
    while text[position] not in "}]":
        key: Any = len(places)
        if in_object:
            end = _end(text, position)
            key = msgspec.json.decode(text[position:end])
            position = _next(text, end)
        end = _end(text, position)
        places[key] = (position, end)
        position = _next(text, end)
    return places


def _next(text: str, position: int) -> int:
    found = _BETWEEN.match(text, position)
    assert found is not None
    return found.end()


def _end(text: str, start: int) -> int:
    if text[start] in "{[":
        return container_end(text, start)
    found = (STRING if text[start] == '"' else _SCALAR).match(text, start)
    assert found is not None
    return found.end()
