"""The arguments of a call, made what the client can parse, without ever guessing.

Models and their servers damage JSON in known ways. What can be mended without loss is mended by a
ladder of rules (chat-providers.md section 5, Q33 to Q41); everything else is handed out as it came,
for then the client's parser tells the model, and the model corrects itself. A text that was cut off
is never closed, and keys are never invented, dropped or moved: a command that runs is one that the
model wrote (F44).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from anyturn.translate.argument_types import coerce
from anyturn.translate.json_text import INVALID, STRING, container_end, decode

_PATCH, _PATCH_END = "*** Begin Patch", "*** End Patch"

# What models write behind a call (gpt-oss, Kimi, Qwen, Gemma).
_MARKERS = (
    "<|call|>",
    "<|end|>",
    "<|return|>",
    "<|endoftext|>",
    "</tool_call>",
    "<tool_call|>",
    "<|tool_call_end|>",
)
_AFTER = re.compile(rf"(?:\s+|{'|'.join(map(re.escape, _MARKERS))}|```)*")
_FENCE_OPENED = re.compile(r"```[\w+-]*\s*(?=\{)")
_DOUBLE_BRACES = re.compile(r"\{\s*(\{.*\})\s*\}", re.S)
_MOST_BRACES = 3
_MOST_MARKERS = 8
_MOST_OBJECTS = 8

_VALID_ESCAPE = r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})'
_WELL_ESCAPED = re.compile(rf"[^\\]*+(?:{_VALID_ESCAPE}[^\\]*+)*", re.S)
_BACKSLASH = re.compile(rf"{_VALID_ESCAPE}|\\")
_CONTROL = re.compile(r"[\x00-\x1f]")
_ESCAPES = re.compile(r'(?:\\u[0-9a-fA-F]{4})+|\\["\\/bfnrt]')
_CONTROLS = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}

_BROKEN_WRAPPER = re.compile(r'\{\s*"input"\s*:\s*"(.*)"\s*\}', re.S)
_SECOND_PROPERTY = re.compile(r'[^"\\]*+(?:\\.[^"\\]*+)*+"\s*,\s*"[^"\\]*"\s*:', re.S)


class Repaired(msgspec.Struct, frozen=True, gc=False):
    """The arguments to hand out.

    `steps` names the rules that changed the text, in the order in which they were applied; empty
    when `text` is what the provider wrote. `is_object` is false when no rule made a JSON object of
    it: then `text` is the raw text.
    """

    text: str
    steps: tuple[str, ...] = ()
    is_object: bool = True


def repair_arguments(text: str, schema: Mapping[str, Any] | None) -> Repaired:
    """Return the arguments of one whole call, mended if they must be and if they can be.

    Call it only when the answer ended properly: blank text becomes `{}`. A JSON object comes out
    byte for byte, except for numbers, booleans and strings that `schema` (the parameters that the
    client declared) does not accept and that convert without loss (`argument_types`, Q40, F46).
    Never raises.

    Steps: `empty`, `unwrapped`, `whitespace`, `fence`, `trailing_markers`, `leading_empty_object`,
    `repeated_object`, `double_braces`, `control_characters`, `backslashes` (control characters
    with them); then `integers`, `numbers`, `booleans`, `strings`.
    """
    value = decode(text)
    steps: tuple[str, ...] = ()
    if not isinstance(value, dict):
        found = _find_object(text, value)
        if found is None:
            return Repaired(text, is_object=False)
        text, steps = found
        value = decode(text)
    if schema is not None:
        text, coercions = coerce(text, value, schema)
        steps += coercions
    return Repaired(text, steps)


_Found = tuple[str, tuple[str, ...]]
"""The text of an object, and the steps that led to it."""


def _find_object(text: str, value: Any) -> _Found | None:
    """The ladder; the first rule that gives an object wins."""
    if value is None or not text.strip():
        return "{}", ("empty",)
    if isinstance(value, str):
        # Once only: a string inside a string is no object.
        found = _pick_object(value)
        return found and (found[0], ("unwrapped", *found[1]))
    return _pick_object(text) if value is INVALID else None


def _pick_object(text: str) -> _Found | None:
    """The first object of a text that holds nothing else but markers, or the same once more."""
    body = text.strip().strip("\ufeff")
    steps = ["whitespace"] if body != text.strip(" \t\n\r") else []
    if opened := _FENCE_OPENED.match(body):
        body = body[opened.end() :]
        steps.append("fence")
    picked: _Found | None = None
    position = 0
    for _ in range(_MOST_OBJECTS):
        end = container_end(body, position) if body.startswith("{", position) else -1
        found = _read_object(body[position:end]) if end > 0 else None
        if found is None:
            return None
        if picked is None:
            picked = found
        elif _same(picked[0], found[0]):
            steps.append("repeated_object")
        elif _same(picked[0], "{}"):
            picked = found
            steps.append("leading_empty_object")
        else:
            return None  # Q39: two calls in one slot, and nothing says which is meant.
        position = _after(body, end, steps)
        if position == len(body):
            return picked[0], tuple(dict.fromkeys((*steps, *picked[1])))
    return None


def _after(body: str, end: int, steps: list[str]) -> int:
    """Where the next object must begin: behind the markers that follow the last one."""
    found = _AFTER.match(body, end)
    assert found is not None
    remains = found[0].strip()
    if remains:
        steps.append("trailing_markers" if remains.strip("`").strip() else "fence")
    return found.end()


def _same(one: str, other: str) -> bool:
    # Compared as JSON: for Python 1 and true are equal.
    try:
        first, second = (msgspec.json.encode(decode(text), order="sorted") for text in (one, other))
    except RecursionError:
        return False
    return first == second


def _read_object(piece: str) -> _Found | None:
    """Mend what stands between a pair of braces; None when it stays unreadable."""
    braces: tuple[str, ...] = ()
    for _ in range(_MOST_BRACES):
        if _is_object(piece):
            return piece, braces
        for backslashes, step in ((False, "control_characters"), (True, "backslashes")):
            mended = _mend_strings(piece, backslashes=backslashes)
            if mended != piece and _is_object(mended):
                return mended, (*braces, step)
        inner = _DOUBLE_BRACES.fullmatch(piece)
        if inner is None:
            return None
        piece, braces = inner[1], ("double_braces",)
    return None


def _is_object(text: str) -> bool:
    return isinstance(decode(text), dict)


def _mend_strings(text: str, *, backslashes: bool) -> str:
    """Escape raw control characters inside strings and, if asked, backslashes that escape nothing.

    Done in place, so that numbers, keys and valid escapes keep their spelling.
    """
    return STRING.sub(lambda string: _mend_string(string[0], backslashes), text)


def _mend_string(string: str, backslashes: bool) -> str:
    if not _WELL_ESCAPED.fullmatch(string):
        if not backslashes:
            return string
        string = _BACKSLASH.sub(lambda b: b[0] if len(b[0]) > 1 else "\\\\", string)
    for character, escaped in _CONTROLS.items():
        string = string.replace(character, escaped)
    if string.isprintable():
        return string
    return _CONTROL.sub(lambda c: f"\\u{ord(c[0]):04x}", string)


# ---------------------------------------------------------------- freeform tools


def unwrap_freeform(text: str) -> str:
    """Return the raw input of a freeform tool out of the call that stood for it (F24).

    The model may have written the object we declared, another object with one string, a bare JSON
    string, or the raw input itself; its JSON may be damaged (chat-providers.md section 5, step 8).
    A fence around a patch is taken off. What fits none of these comes out unchanged; never raises.
    """
    payload = _payload(decode(text))
    bare = _without_markers(text)
    if payload is None and bare.lstrip().startswith(("{", "```")):
        payload = _payload(decode(repair_arguments(text, None).text))
    if payload is None and bare.lstrip().startswith('"'):
        payload = _payload(decode(_mend_strings(bare, backslashes=False)))
    if payload is None:
        payload = _broken_payload(bare)
    if payload is None and bare.lstrip().startswith((_PATCH, "```")):
        payload = bare
    return text if payload is None else _without_fence(payload)


def _payload(value: Any) -> str | None:
    """The one string of a wrapper."""
    if isinstance(value, str):
        inner = decode(value)
        encoded_twice = isinstance(inner, dict) and inner.keys() == {"input"}
        return (_payload(inner) if encoded_twice else None) or value
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("input"), str):
        return str(value["input"])
    only = list(value.values())
    return only[0] if len(only) == 1 and isinstance(only[0], str) else None


def _broken_payload(text: str) -> str | None:
    """What stands in `{"input":"..."}` when quotes inside were not escaped.

    One property leaves no doubt where its value ends, unless the text was cut off: its last quote
    must be a real one, no second property may follow, and a patch must have its end.
    """
    found = _BROKEN_WRAPPER.fullmatch(text.strip())
    if found is None or _SECOND_PROPERTY.match(found[1]):
        return None
    escaping = len(found[1]) - len(found[1].rstrip("\\"))
    if escaping % 2:
        return None
    payload = _ESCAPES.sub(_unescape, found[1])
    if payload.lstrip().startswith(_PATCH) and not payload.rstrip().endswith(_PATCH_END):
        return None
    return payload


def _unescape(found: re.Match[str]) -> str:
    value = decode(f'"{found[0]}"')
    return value if isinstance(value, str) else found[0]


def _without_markers(text: str) -> str:
    for _ in range(_MOST_MARKERS):
        bare = text.rstrip()
        marker = next(filter(bare.endswith, _MARKERS), "")
        if not marker:
            break
        text = bare[: -len(marker)]
    return text


def _without_fence(payload: str) -> str:
    """The patch inside a fence; around anything else a fence may be part of the text."""
    body = payload.strip()
    opening, _, rest = body.partition("\n")
    if not (opening.startswith("```") and rest.endswith("```")):
        return payload
    inner = rest[:-3].rstrip(" \t").removesuffix("\n").removesuffix("\r")
    return inner if inner.lstrip().startswith(_PATCH) else payload
