"""The values of arguments, given the types that the client's schema asks for (Q40, F46).

Codex parses arguments into strict Rust types, and models write `120000.0` where an integer is
meant, `"1000"` for a number, or `4` for a string. A value is converted only if the schema does not
accept it and the conversion loses nothing. Codex declares its unsigned integers as `number`, so an
integral float becomes an integer there as well. Replacements are spliced in by position: everything
else in the text stays byte for byte as the model wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from anyturn.translate.json_schema import KINDS, UNIONS, find
from anyturn.translate.json_text import decode, members

# Up to here every integer is exactly one double (and safe in JavaScript).
_SAFE = 2**53
_MAX_LITERAL = 64
_MAX_DEPTH = 32
_MAX_REFERENCES = 16
# Unions of unions over a deep value could be examined for ever; past this nothing is converted.
_MAX_EXAMINED = 20_000

_PLAINLY_ACCEPTED_BY: dict[type, tuple[str, ...]] = {
    form: () if form is float else tuple(kinds) for form, kinds in KINDS.items()
}
_UNIONS = frozenset(UNIONS)

Conversion = Callable[[str], str]
"""Turns a literal into the one to write instead; the same one when that would lose something."""
Plan = dict[Any, "Plan | Conversion"]
"""What to convert, by key or position."""


def coerce(text: str, value: Any, schema: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return `text`, valid JSON with the value `value`, with the types that `schema` asks for.

    The second member names the kinds of change: `integers`, `numbers`, `booleans`, `strings`.
    Nested properties, `items`, `additionalProperties`, local `$ref`s and unions of which exactly
    one branch fits are followed. What a schema says that is not understood is ignored.
    """
    root = schema if isinstance(schema, dict) else dict(schema)
    examination = _Examination(root)
    plan = examination.examine(root, value, 0)[1]
    if not isinstance(plan, dict) or examination.left < 0:
        return text, ()
    edits: list[tuple[int, int, str]] = []
    steps: dict[str, None] = {}
    _locate(text, len(text) - len(text.lstrip()), plan, edits, steps)
    return _splice(text, edits), tuple(steps)


def _locate(
    text: str, start: int, plan: Plan, edits: list[tuple[int, int, str]], steps: dict[str, None]
) -> None:
    places = members(text, start)
    for key, step in plan.items():
        begin, end = places[key]
        if isinstance(step, dict):
            _locate(text, begin, step, edits, steps)
            continue
        literal = text[begin:end]
        replacement = step(literal)
        if replacement != literal:
            edits.append((begin, end, replacement))
            steps[_STEP_NAMES[step]] = None


def _splice(text: str, edits: list[tuple[int, int, str]]) -> str:
    pieces: list[str] = []
    position = 0
    for begin, end, replacement in sorted(edits):
        pieces += (text[position:begin], replacement)
        position = end
    return "".join((*pieces, text[position:]))


# ---------------------------------------------------------------- conversions


def _to_integer(literal: str) -> str:
    """1000.0 and 1e3 to 1000; what is not exactly an integer stays."""
    return _integral(literal) or literal


def _to_number(literal: str) -> str:
    return _number_in(msgspec.json.decode(literal)) or literal


def _to_boolean(literal: str) -> str:
    return str(msgspec.json.decode(literal))


def _to_string(literal: str) -> str:
    return f'"{literal}"'


_STEP_NAMES: dict[Conversion, str] = {
    _to_integer: "integers",
    _to_number: "numbers",
    _to_boolean: "booleans",
    _to_string: "strings",
}


def _integral(literal: str) -> str | None:
    number = _exact(literal)
    if number is None or number.copy_abs() > _SAFE or number != number.to_integral_value():
        return None
    if number.is_zero() and number.is_signed():
        return None
    return str(int(number))


def _number_in(text: str) -> str | None:
    """The JSON number that a string holds, an integer as an integer; None if it holds no other."""
    if len(text) > _MAX_LITERAL or not isinstance(value := decode(text), int | float):
        return None
    if isinstance(value, bool) or text != text.strip() or abs(value) > _SAFE:
        return None
    if isinstance(value, float):
        # More digits than a double holds would be lost on the way.
        return _integral(text) or (text if _exact(text) == Decimal(repr(value)) else None)
    return _integral(text)


def _exact(literal: str) -> Decimal | None:
    try:
        return Decimal(literal) if len(literal) <= _MAX_LITERAL else None
    except InvalidOperation:
        return None


# ---------------------------------------------------------------- values against schemas

_Verdict = tuple[bool, "Plan | Conversion | None"]
"""Whether a schema fits, and what must be converted for that."""
_FITS: _Verdict = (True, None)
_MISFIT: _Verdict = (False, None)


class _Examination:
    """One value against one schema, whose local references can be followed."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self.left = _MAX_EXAMINED

    def examine(self, schema: Any, value: Any, depth: int) -> _Verdict:
        self.left -= 1
        if isinstance(schema, dict) and "$ref" in schema:
            schema = self._resolve(schema)
        if not isinstance(schema, dict):
            return _MISFIT if schema is False else _FITS
        if depth > _MAX_DEPTH or self.left < 0:
            return _FITS
        form = type(value)
        # The common case first: floats need a closer look even where they are accepted.
        if schema.get("type") not in _PLAINLY_ACCEPTED_BY[form] and (kinds := _kinds(schema)):
            conversion = _conversion(kinds, value)
            if conversion is not None:
                return _allows(schema, _converted(conversion, value)), conversion
            if not _accepts(kinds, value):
                return _MISFIT
        fits = _allows(schema, value)
        plan: Plan = {}
        if form is dict:
            fits &= self._examine_object(schema, value, depth, plan)
        elif form is list:
            fits &= self._examine_items(schema.get("items"), value, depth, plan)
        if _UNIONS.isdisjoint(schema):
            return fits, plan or None
        return self._examine_unions(schema, value, depth, (fits, plan or None))

    def _resolve(self, schema: Any) -> Any:
        for _ in range(_MAX_REFERENCES):
            if not isinstance(schema, dict) or not isinstance(schema.get("$ref"), str):
                return schema
            schema = find(self._root, schema["$ref"])
        return None

    def _examine_object(
        self, schema: dict[str, Any], value: dict[str, Any], depth: int, plan: Plan
    ) -> bool:
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            properties = {}
        others = None if "patternProperties" in schema else schema.get("additionalProperties")
        fits = True
        for key, item in value.items():
            below = properties.get(key, others)
            if below is None:
                continue
            fitting, step = self.examine(below, item, depth + 1)
            fits &= fitting
            if step is not None:
                plan[key] = step
        required = schema.get("required")
        if isinstance(required, list):
            fits &= all(isinstance(name, str) and name in value for name in required)
        return fits

    def _examine_items(self, items: Any, value: list[Any], depth: int, plan: Plan) -> bool:
        if not isinstance(items, dict):
            return True
        fits = True
        for position, item in enumerate(value):
            fitting, step = self.examine(items, item, depth + 1)
            fits &= fitting
            if step is not None:
                plan[position] = step
        return fits

    def _examine_unions(
        self, schema: dict[str, Any], value: Any, depth: int, own: _Verdict
    ) -> _Verdict:
        fits, plan = own
        for word in UNIONS:
            branches = schema.get(word)
            if not isinstance(branches, list) or (word == "allOf" and len(branches) != 1):
                continue
            fitting, step = self._examine_union(branches, value, depth)
            fits &= fitting
            plan = plan or step
        return fits, plan

    def _examine_union(self, branches: list[Any], value: Any, depth: int) -> _Verdict:
        plans: list[Plan | Conversion] = []
        for branch in branches:
            fits, plan = self.examine(branch, value, depth + 1)
            if fits and plan is None:
                return _FITS
            if fits and plan is not None and plan not in plans:
                plans.append(plan)
        return (True, plans[0]) if len(plans) == 1 else _MISFIT


def _kinds(schema: dict[str, Any]) -> tuple[str, ...]:
    kinds = schema.get("type")
    if isinstance(kinds, str):
        return (kinds,)
    return tuple(k for k in kinds if isinstance(k, str)) if isinstance(kinds, list) else ()


def _accepts(kinds: tuple[str, ...], value: Any) -> bool:
    return not KINDS[type(value)].isdisjoint(kinds) or (
        "integer" in kinds and isinstance(value, float) and value.is_integer()
    )


def _conversion(kinds: tuple[str, ...], value: Any) -> Conversion | None:
    """How the value becomes one that the kinds accept; None if it need not or cannot."""
    numeric = "number" in kinds or "integer" in kinds
    if "string" in kinds:
        if isinstance(value, int | float) and not isinstance(value, bool) and not numeric:
            return _to_string
    elif isinstance(value, float):
        if numeric and _integral(repr(value)):
            return _to_integer
    elif isinstance(value, str):
        if numeric and (number := _number_in(value)):
            return _to_number if "number" in kinds or _integral(number) else None
        if "boolean" in kinds and value in ("true", "false"):
            return _to_boolean
    return None


def _converted(conversion: Conversion, value: Any) -> Any:
    return decode(conversion(msgspec.json.encode(value).decode()))


def _allows(schema: dict[str, Any], value: Any) -> bool:
    if isinstance(value, dict | list):
        return True
    values = schema.get("enum")
    if isinstance(values, list) and value not in values:
        return False
    return "const" not in schema or bool(schema["const"] == value)
