"""The rules that a provider's schemas must keep, each for one node of a schema.

A step takes a schema and returns it, or a changed copy when the rule strikes. `schemas` leads the
steps over the whole schema, and does what needs more than one node: references and the root.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from anyturn.translate.json_schema import KINDS, UNIONS

Rule = Literal[
    "root_object",
    "no_root_union",
    "definitions_to_defs",
    "ref_inline",
    "ref_alone",
    "tuple_prefix_items",
    "single_type",
    "type_lists_to_anyof",
    "anyof_type_push",
    "enum_strings",
    "items_present",
    "required_exist",
    "close_objects",
    "require_all",
]
Schema = dict[str, Any]
Step = Callable[[Schema], Schema]

_OF_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "format")
_OF_TYPE = {
    "object": (
        "properties",
        "required",
        "additionalProperties",
        "patternProperties",
        "propertyNames",
        "minProperties",
        "maxProperties",
    ),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"),
    "string": ("pattern", "format", "minLength", "maxLength"),
    "number": _OF_NUMBERS,
    "integer": _OF_NUMBERS,
}
"""Keywords that say something about values of one type only."""
_IN_BRANCHES = {"type", "enum", "const"}.union(*_OF_TYPE.values())


def without(schema: Schema, *words: str) -> Schema:
    """Return a copy of `schema` that lacks these keywords."""
    return {word: value for word, value in schema.items() if word not in words}


def is_object(schema: Schema) -> bool:
    """Whether a schema describes objects, by its type or because it declares properties."""
    kind = schema.get("type")
    if kind is None:
        return "properties" in schema
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def _prefix_items(schema: Schema) -> Schema:
    items = schema.get("items")
    if not isinstance(items, list):
        return schema
    changed = {"prefixItems": items, **without(schema, "items", "additionalItems")}
    # `items: false` would say that no more may come, but Moonshot refuses it.
    if isinstance(others := schema.get("additionalItems"), dict):
        changed["items"] = others
    return changed


def _single_type(schema: Schema) -> Schema:
    kinds = schema.get("type")
    if not isinstance(kinds, list):
        return schema
    names = _type_names(kinds)
    if "null" not in names or names == ["null"]:
        return _split_types(schema, names)
    split = _split_types(schema, [name for name in names if name != "null"])
    return {**split, "nullable": True}


def _type_lists_to_anyof(schema: Schema) -> Schema:
    kinds = schema.get("type")
    return _split_types(schema, _type_names(kinds)) if isinstance(kinds, list) else schema


def _type_names(kinds: list[Any]) -> list[str]:
    return list(dict.fromkeys(kind for kind in kinds if isinstance(kind, str)))


def _split_types(schema: Schema, names: list[str]) -> Schema:
    """One type stays a type; several become branches that keep what is said about them."""
    if len(names) == 1:
        return {**schema, "type": names[0]}
    if not names or "anyOf" in schema:
        # The branches that are there say which types there are.
        return without(schema, "type")
    branches = [branch for name in names if (branch := _branch(schema, name)) is not None]
    if not branches:
        return without(schema, "type")
    rest = {word: value for word, value in schema.items() if word not in _IN_BRANCHES}
    return {**rest, "anyOf": branches}


def _branch(schema: Schema, name: str) -> Schema | None:
    """What a schema says about one of its types; None when it allows no value of it."""
    branch: Schema = {"type": name}
    for word in _OF_TYPE.get(name, ()):
        if word in schema:
            branch[word] = schema[word]
    for word in ("enum", "const"):
        if word not in schema:
            continue
        values = schema[word] if word == "enum" else [schema[word]]
        if not isinstance(values, list):
            continue
        fitting = [value for value in values if name in KINDS.get(type(value), ())]
        if not fitting:
            return None
        branch[word] = fitting if word == "enum" else fitting[0]
    return branch


def _anyof_type_push(schema: Schema) -> Schema:
    words = [word for word in ("anyOf", "oneOf") if isinstance(schema.get(word), list)]
    if "type" not in schema or not words:
        return schema
    changed = without(schema, "type")
    for word in words:
        changed[word] = [_with_type(branch, schema["type"]) for branch in schema[word]]
    return changed


def _with_type(branch: Any, kind: Any) -> Any:
    if not isinstance(branch, dict) or "type" in branch or "$ref" in branch:
        return branch
    return {"type": kind, **branch}


def _enum_strings(schema: Schema) -> Schema:
    values = schema.get("enum")
    if not isinstance(values, list):
        return schema
    words = list(dict.fromkeys(word for value in values if (word := _word(value))))
    if not words or any(isinstance(value, dict | list) for value in values):
        return without(schema, "enum")
    if words == values and schema.get("type") == "string":
        return schema
    return {**schema, "enum": words, "type": "string"}


def _word(value: Any) -> str:
    """A scalar as a word; empty for null, which is no word."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    # Python refuses to write integers of thousands of digits.
    small = isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= 64)
    return repr(value) if small else ""


def _items_present(schema: Schema) -> Schema:
    items = schema.get("items")
    if schema.get("type") != "array" or (isinstance(items, dict) and items):
        return schema
    if isinstance(items, list) and items:
        return {**schema, "items": items[0] if len(items) == 1 else {"anyOf": items}}
    return {**schema, "items": {"type": "string"}}


def _required_exist(schema: Schema) -> Schema:
    required, properties = schema.get("required"), schema.get("properties")
    if "required" not in schema:
        return schema
    names = required if isinstance(required, list) else []
    declared = properties if isinstance(properties, dict) else {}
    known = [name for name in names if isinstance(name, str) and name in declared]
    if known and len(known) == len(names):
        return schema
    return {**schema, "required": known} if known else without(schema, "required")


def _close_objects(schema: Schema) -> Schema:
    if not is_object(schema) or schema.get("additionalProperties") is False:
        return schema
    if "properties" not in schema and not schema.keys().isdisjoint(UNIONS):
        # The properties are in the branches: closed here, none would be allowed.
        return schema
    return {**schema, "additionalProperties": False}


def _require_all(schema: Schema) -> Schema:
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict) or not properties:
        return schema
    if isinstance(required, list) and all(name in required for name in properties):
        return schema
    return {**schema, "required": list(properties)}


# In the order in which they must be taken: the later ones see what the earlier ones made.
BEFORE_BELOW: tuple[tuple[Rule, Step], ...] = (
    ("tuple_prefix_items", _prefix_items),
    ("single_type", _single_type),
    ("type_lists_to_anyof", _type_lists_to_anyof),
    ("anyof_type_push", _anyof_type_push),
    ("enum_strings", _enum_strings),
    ("items_present", _items_present),
)
AFTER_BELOW: tuple[tuple[Rule, Step], ...] = (
    ("required_exist", _required_exist),
    ("close_objects", _close_objects),
    ("require_all", _require_all),
)
