"""Do the arguments of a call fit the schema that its tool declared? In words for a log."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from anyturn.translate.json_schema import KINDS, find

MAX_MISFITS = 5
_MAX_DEPTH = 16
_MAX_REFERENCES = 16
_MAX_SHOWN = 40


def misfits(schema: Any, value: Any) -> list[str]:
    """Return what of `value` does not fit `schema`, at most `MAX_MISFITS` sentences.

    Types, `required`, `enum`, `const`, `additionalProperties: false`, items, local references and
    unions are judged. What is not understood fits: a false alarm is worse than none.
    """
    return list(islice(_differences(schema, schema, value, "", 0), MAX_MISFITS))


def _differences(root: Any, schema: Any, value: Any, place: str, depth: int) -> Iterator[str]:
    schema = _resolved(root, schema)
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return
    wanted = _wanted(schema)
    if wanted and not _is_of(wanted, value):
        yield f"{place or 'the whole'} is {_kind(value)}, declared {' or '.join(wanted)}"
        return
    allowed = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(allowed, list) and not any(_same(value, one) for one in allowed):
        shown = ", ".join(repr(one) for one in allowed)[:_MAX_SHOWN]
        yield f"{place or 'the whole'} is none of {shown}"
    for word in ("anyOf", "oneOf"):
        branches = schema.get(word)
        if isinstance(branches, list) and branches:
            found = [list(_differences(root, one, value, place, depth + 1)) for one in branches]
            if all(found):
                yield f"{place or 'the whole'} fits no branch of its {word}"
    if isinstance(value, dict):
        yield from _of_object(root, schema, value, place, depth)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            below = schema.get("items")
            yield from _differences(root, below, item, f"{place}[{number}]", depth + 1)


def _of_object(
    root: Any, schema: dict[str, Any], value: dict[str, Any], place: str, depth: int
) -> Iterator[str]:
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    required = schema.get("required")
    for name in required if isinstance(required, list) else ():
        if isinstance(name, str) and name not in value:
            yield f"{_below(place, name)} is missing"
    others = None if "patternProperties" in schema else schema.get("additionalProperties")
    for name, item in value.items():
        if name in properties:
            yield from _differences(root, properties[name], item, _below(place, name), depth + 1)
        elif others is False:
            yield f"{_below(place, name)} is not declared"
        else:
            yield from _differences(root, others, item, _below(place, name), depth + 1)


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _resolved(root: Any, schema: Any) -> Any:
    for _ in range(_MAX_REFERENCES):
        if not isinstance(schema, dict) or not isinstance(schema.get("$ref"), str):
            return schema
        schema = find(root, schema["$ref"])
    return None


def _wanted(schema: dict[str, Any]) -> tuple[str, ...]:
    wanted = schema.get("type")
    if isinstance(wanted, str):
        return (wanted,)
    return tuple(w for w in wanted if isinstance(w, str)) if isinstance(wanted, list) else ()


def _is_of(wanted: tuple[str, ...], value: Any) -> bool:
    if isinstance(value, float) and value.is_integer() and "integer" in wanted:
        return True
    return not KINDS[type(value)].isdisjoint(wanted)


def _kind(value: Any) -> str:
    return min(KINDS[type(value)])  # "integer" before "number"


def _same(one: Any, other: Any) -> bool:
    # For Python 1 and true are equal; for JSON they are not.
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
