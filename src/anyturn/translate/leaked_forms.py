"""Tool calls as models write them, for when a server hands them out as text (F48, F49, Q42).

Each form is read as a whole or not at all: a text counts only if it is nothing but blocks of its
form, each of them finished. Prose around a block, a block that was cut off, or a member that is
not known makes it an ordinary text again. No form is guessed from JSON without its marker, except
`json`, which a profile must ask for.

============== ===================================================================================
form           what the text looks like
============== ===================================================================================
harmony        `<|channel|>commentary to=functions.x <|constrain|>json<|message|>{…}<|call|>`
hermes         `<tool_call>{"name":"x","arguments":{…}}</tool_call>`
function_tags  `<function=x><parameter=k>v</parameter></function>` or `<function=x>{…}</function>`
glm            `<tool_call>x<arg_key>k</arg_key><arg_value>v</arg_value></tool_call>`
mistral        `[TOOL_CALLS][{"name":"x","arguments":{…}}]` or `[TOOL_CALLS]x[ARGS]{…}`
json           `{"name":"x","arguments":{…}}`
============== ===================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from anyturn.translate.arguments import repair_arguments
from anyturn.translate.json_schema import KINDS, UNIONS, find
from anyturn.translate.json_text import INVALID, container_end, decode, members


class Said(msgspec.Struct, frozen=True):
    """Text or reasoning that stood in one of harmony's channels."""

    text: str
    is_reasoning: bool


class Called(msgspec.Struct, frozen=True):
    """One whole call, under the name that the model wrote.

    `arguments` is the text of an object, or each value as text where the form tells no types.
    """

    name: str
    arguments: str | dict[str, str]

    def arguments_for(self, parameters: Mapping[str, Any]) -> str:
        """The arguments as JSON; values without a type get the one that the schema asks for."""
        if isinstance(self.arguments, str):
            return self.arguments
        pairs = (
            f"{_encoded(key)}:{_typed(text, parameters, key)}"
            for key, text in self.arguments.items()
        )
        return f"{{{','.join(pairs)}}}"


Part = Said | Called


def read_leak(text: str, forms: Collection[str]) -> tuple[str, list[Part]] | None:
    """Return the form of `text` and what it says, None when it is of none of these forms."""
    for form in forms:
        parts = _READERS[form](_Scanner(text))
        if parts:
            return form, parts
    return None


_SPACE = re.compile(r"\s*")


class _Scanner:
    """A text and how far it was read. White space between two pieces says nothing."""

    def __init__(self, text: str) -> None:
        self._text = text.rstrip()
        self._at = 0

    def is_done(self) -> bool:
        return self._at >= len(self._text)

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        self._skip()
        return self.take_here(pattern)

    def take_here(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Without leaving out white space."""
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def take_json(self) -> str:
        """An object or array; empty when none begins here or it does not end."""
        self._skip()
        begins = self._text.startswith(("{", "["), self._at)
        end = container_end(self._text, self._at) if begins else -1
        if end < 0:
            return ""
        piece, self._at = self._text[self._at : end], end
        return piece

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        assert found is not None
        self._at = found.end()


# ---------------------------------------------------------------- harmony

# The recipient stands in the role or in the channel part (chat-providers.md section 6). Nothing is
# required, so the pattern never goes back; what must be there is asked of its groups.
_HEADER = re.compile(
    r"""
    (?P<start><\|start\|>)? \s* (?:assistant)? \s*
    (?:to=(?P<role_to>[^\s<{]+))? \s*
    (?:<\|channel\|>)? \s* (?P<channel>analysis|commentary|final)? \s*
    (?:to=(?P<channel_to>[^\s<{]+))? \s*
    (?:<\|constrain\|>)? \s* (?:json|code)? \s*
    (?P<message><\|message\|>)?
    """,
    re.X,
)
_TERMINATORS = re.compile(r"(?:<\|(?:call|end|return)\|>\s*)+")
_BODY = re.compile(r"(.*?)(?:<\|(?:call|end|return)\|>|(?=<\|(?:start|channel)\|>)|\Z)", re.S)


def _read_harmony(scan: _Scanner) -> list[Part] | None:
    parts: list[Part] = []
    while not scan.is_done():
        header = scan.take(_HEADER)
        assert header is not None
        recipient = header["role_to"] or header["channel_to"]
        part = _harmony_call(scan, recipient) if recipient else _harmony_words(scan, header)
        if part is None:
            return None
        if isinstance(part, Called) or part.text:
            parts.append(part)
    return parts


def _harmony_call(scan: _Scanner, recipient: str) -> Called | None:
    arguments = scan.take_json()
    ended = scan.take(_TERMINATORS)
    if arguments:
        return Called(recipient, arguments) if _is_object(arguments) else None
    return Called(recipient, "{}") if ended else None


def _harmony_words(scan: _Scanner, header: re.Match[str]) -> Said | None:
    """Analysis is reasoning; commentary to nobody is a preamble, so it is said like the answer."""
    if not header["message"] or not (header["channel"] or header["start"]):
        return None
    body = scan.take_here(_BODY)
    assert body is not None
    return Said(body[1], is_reasoning=header["channel"] == "analysis")


# ---------------------------------------------------------------- tags

_CALL_OPENED, _CALL_CLOSED = re.compile(r"<tool_call>"), re.compile(r"</tool_call>")
_FUNCTION_OPENED = re.compile(r"<function=\s*([^>\s{]+)\s*(?:>|(?=\{))")
_FUNCTION_CLOSED = re.compile(r"</function>")
# The template puts one line end behind the opening tag and one before the closing tag.
_PARAMETER = re.compile(r"<parameter=\s*([^>\s]+)\s*>\n?(.*?)\n?</parameter>", re.S)
_GLM_NAME = re.compile(r"([^\s<>{}\[\]\"]+)")
_GLM_PAIR = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.S)


def _read_hermes(scan: _Scanner) -> list[Part] | None:
    def block() -> Called | None:
        return _told_call(scan.take_json()) if scan.take(_CALL_OPENED) else None

    return _blocks(scan, block, _CALL_CLOSED)


def _read_function_tags(scan: _Scanner) -> list[Part] | None:
    def block() -> Called | None:
        wrapped = scan.take(_CALL_OPENED)
        opened = scan.take(_FUNCTION_OPENED)
        if opened is None:
            return None
        arguments = scan.take_json()
        if arguments and not _is_object(arguments):
            return None
        values = {} if arguments else _pairs(scan, _PARAMETER)
        closed = scan.take(_FUNCTION_CLOSED)
        if values is None or not closed or (wrapped and not scan.take(_CALL_CLOSED)):
            return None
        return Called(opened[1], arguments or values)

    return _blocks(scan, block, None)


def _read_glm(scan: _Scanner) -> list[Part] | None:
    def block() -> Called | None:
        opened = scan.take(_CALL_OPENED)
        name = scan.take(_GLM_NAME) if opened else None
        values = _pairs(scan, _GLM_PAIR)
        return None if name is None or values is None else Called(name[1], values)

    return _blocks(scan, block, _CALL_CLOSED)


def _blocks(
    scan: _Scanner, block: Callable[[], Called | None], closing: re.Pattern[str] | None
) -> list[Part] | None:
    """Block after block up to the end."""
    parts: list[Part] = []
    while not scan.is_done():
        call = block()
        if call is None or (closing is not None and not scan.take(closing)):
            return None
        parts.append(call)
    return parts


def _pairs(scan: _Scanner, pattern: re.Pattern[str]) -> dict[str, str] | None:
    """Keys with their values; None when one is there twice, for then nobody knows which counts."""
    values: dict[str, str] = {}
    while pair := scan.take(pattern):
        if pair[1].strip() in values:
            return None
        values[pair[1].strip()] = pair[2]
    return values


# ---------------------------------------------------------------- JSON

_LIST_OPENED, _ARGS = re.compile(r"\[TOOL_CALLS\]"), re.compile(r"\[ARGS\]")
_MISTRAL_NAME = re.compile(r"([\w.-]+)\s*(?:\[CALL_ID\]\s*\w+\s*)?")
_NAME_KEYS, _ARGUMENT_KEYS = ("name", "tool", "function"), ("arguments", "parameters")
_CALL_KEYS = frozenset({*_NAME_KEYS, *_ARGUMENT_KEYS, "id", "type"})


def _read_mistral(scan: _Scanner) -> list[Part] | None:
    parts: list[Part] = []
    while not scan.is_done():
        if not scan.take(_LIST_OPENED):
            return None
        calls = _told_calls(scan.take_json()) or _mistral_call(scan)
        if not calls:
            return None
        parts += calls
    return parts


def _mistral_call(scan: _Scanner) -> list[Called] | None:
    name = scan.take(_MISTRAL_NAME)
    if name is None or not scan.take(_ARGS):
        return None
    arguments = scan.take_json()
    return [Called(name[1], arguments)] if _is_object(arguments) else None


def _read_json(scan: _Scanner) -> list[Part] | None:
    parts: list[Part] = []
    while not scan.is_done():
        calls = _told_calls(scan.take_json())
        if not calls:
            return None
        parts += calls
    return parts


def _told_calls(piece: str) -> list[Called] | None:
    """The calls of an object or of a list of objects."""
    if not piece.startswith("["):
        call = _told_call(piece)
        return [call] if call is not None else None
    value = decode(piece)
    if not isinstance(value, list):
        return None
    calls = [_told_call(piece[begin:end]) for begin, end in members(piece, 0).values()]
    whole = [call for call in calls if call is not None]
    return whole if len(whole) == len(calls) else None


def _told_call(piece: str) -> Called | None:
    """The call that an object tells: a name, its arguments, and nothing else of weight."""
    if not piece.startswith("{"):
        return None
    repaired = repair_arguments(piece, None)
    value = decode(repaired.text) if repaired.is_object else {}
    names = [value[key] for key in _NAME_KEYS if key in value]
    keys = [key for key in _ARGUMENT_KEYS if key in value]
    if len(names) != 1 or not isinstance(names[0], str) or len(keys) > 1:
        return None
    if not value.keys() <= _CALL_KEYS:
        return None
    arguments = value[keys[0]] if keys else {}
    if isinstance(arguments, str):
        arguments = arguments if arguments.strip() else "{}"
        return Called(names[0], arguments) if _is_object(arguments) else None
    if not isinstance(arguments, dict):
        return None
    begin, end = members(repaired.text, 0)[keys[0]] if keys else (0, 0)
    return Called(names[0], repaired.text[begin:end] or "{}")


def _is_object(text: str) -> bool:
    return bool(text.strip()) and repair_arguments(text, None).is_object


def _encoded(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _typed(text: str, parameters: Mapping[str, Any], key: str) -> str:
    """A value as JSON: as it stands where the schema takes that type, else as a string."""
    properties = parameters.get("properties")
    schema = properties.get(key) if isinstance(properties, Mapping) else None
    kinds = _kinds(schema, parameters)
    value = decode(text)
    if value is INVALID or "string" in kinds or KINDS[type(value)].isdisjoint(kinds):
        return _encoded(text)
    return text.strip()


def _kinds(schema: Any, root: Mapping[str, Any]) -> set[str]:
    """The types that a schema names, its own, its reference's and those of its branches."""
    if not isinstance(schema, Mapping):
        return set()
    if isinstance(reference := schema.get("$ref"), str):
        schema = find(root, reference)
        schema = schema if isinstance(schema, Mapping) else {}
    unions = [schema[word] for word in UNIONS if isinstance(schema.get(word), list)]
    kinds: set[str] = set()
    for one in (schema, *(branch for union in unions for branch in union)):
        told = one.get("type") if isinstance(one, Mapping) else None
        kinds.update(kind for kind in _as_list(told) if isinstance(kind, str))
    return kinds


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


_READERS: dict[str, Callable[[_Scanner], list[Part] | None]] = {
    "harmony": _read_harmony,
    "hermes": _read_hermes,
    "function_tags": _read_function_tags,
    "glm": _read_glm,
    "mistral": _read_mistral,
    "json": _read_json,
}
FORMS = tuple(_READERS)
"""The names of all forms."""
