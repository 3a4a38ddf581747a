"""What JSON Schema says, as far as tools need it: references, names of types, schemas below."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

UNIONS = ("anyOf", "oneOf", "allOf")

KINDS: dict[type, frozenset[str]] = {
    str: frozenset({"string"}),
    bool: frozenset({"boolean"}),
    int: frozenset({"integer", "number"}),
    float: frozenset({"number"}),
    type(None): frozenset({"null"}),
    list: frozenset({"array"}),
    dict: frozenset({"object"}),
}
"""The names of the types that accept a decoded value. Integral floats are integers as well."""

# Keywords whose value is a map of schemas, and all whose value is or holds schemas. What stands
# under any other keyword, or as a key of such a map, is data.
_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_HOLDERS = _MAPS.union(
    UNIONS,
    ("items", "prefixItems", "additionalItems", "unevaluatedItems", "contains"),
    ("additionalProperties", "unevaluatedProperties", "propertyNames"),
    ("not", "if", "then", "else"),
)


def find(root: Any, reference: str) -> Any:
    """Return what a reference (`#` and a JSON pointer, RFC 6901) names in `root`.

    None when nothing is there, and for references into other documents.
    """
    if not reference.startswith("#"):
        return None
    found = root
    for part in unquote(reference[1:]).split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.isdecimal() and len(name) < 6:
            found = found[int(name)] if int(name) < len(found) else None
        else:
            return None
    return found


def map_below(schema: dict[str, Any], visit: Callable[[Any], Any]) -> dict[str, Any]:
    """Return `schema` with `visit` applied to the schemas directly below it.

    The same object comes back when `visit` changed none of them.
    """
    if _HOLDERS.isdisjoint(schema):
        return schema
    changes = {}
    for word, value in schema.items():
        if word not in _HOLDERS:
            continue
        visited = _visit_value(word, value, visit)
        if visited is not value:
            changes[word] = visited
    return {**schema, **changes} if changes else schema


def _visit_value(word: str, value: Any, visit: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        if word not in _MAPS:
            return visit(value)
        changes = {}
        for name, below in value.items():
            visited = visit(below)
            if visited is not below:
                changes[name] = visited
        return {**value, **changes} if changes else value
    if isinstance(value, list):
        items = [visit(below) for below in value]
        return value if all(map(_is, items, value)) else items
    return value


def _is(one: Any, other: Any) -> bool:
    return one is other
