from __future__ import annotations

from typing import Any

import pytest

from anyturn.translate.schemas import SchemaRules, normalise_schema


def below(schema: Any, *rules: Any, drop: tuple[str, ...] = ()) -> Any:
    """What becomes of the schema of a property."""
    root = {"type": "object", "properties": {"x": schema}}
    return normalise_schema(root, SchemaRules(drop=drop, rules=rules)).schema["properties"]["x"]


CASES = [
    (
        "tuple_prefix_items",
        {"type": "array", "items": [{"type": "string"}, {}], "minItems": 2},
        {"prefixItems": [{"type": "string"}, {}], "type": "array", "minItems": 2},
    ),
    (
        "tuple_prefix_items",
        {"items": [{}], "additionalItems": {"type": "null"}},
        {"prefixItems": [{}], "items": {"type": "null"}},
    ),
    ("tuple_prefix_items", {"items": [{}], "additionalItems": False}, {"prefixItems": [{}]}),
    ("tuple_prefix_items", {"items": {"type": "null"}}, {"items": {"type": "null"}}),
    ("single_type", {"type": ["string"]}, {"type": "string"}),
    ("single_type", {"type": ["string", "null"]}, {"type": "string", "nullable": True}),
    ("single_type", {"type": ["null"]}, {"type": "null"}),
    ("single_type", {"type": []}, {}),
    (
        "single_type",
        {
            "type": ["string", "array", "null"],
            "items": {},
            "minLength": 1,
            "description": "d",
            "enum": ["a", [1]],
        },
        {
            "description": "d",
            "anyOf": [
                {"type": "string", "minLength": 1, "enum": ["a"]},
                {"type": "array", "items": {}, "enum": [[1]]},
            ],
            "nullable": True,
        },
    ),
    ("single_type", {"type": ["string", "integer"], "anyOf": [{}]}, {"anyOf": [{}]}),
    ("single_type", {"type": ["string", "integer"], "enum": [None]}, {"enum": [None]}),
    (
        "type_lists_to_anyof",
        {
            "type": ["object", "integer", "string"],
            "properties": {},
            "required": [],
            "additionalProperties": False,
            "patternProperties": {},
            "propertyNames": {},
            "maxProperties": 1,
            "minimum": 2,
            "enum": "malformed",
        },
        {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {},
                    "required": [],
                    "additionalProperties": False,
                    "patternProperties": {},
                    "propertyNames": {},
                    "maxProperties": 1,
                },
                {"type": "integer", "minimum": 2},
                {"type": "string"},
            ]
        },
    ),
    (
        "type_lists_to_anyof",
        {"type": ["number", "null"], "maximum": 3},
        {"anyOf": [{"type": "number", "maximum": 3}, {"type": "null"}]},
    ),
    (
        "type_lists_to_anyof",
        {"type": ["string", "null"], "title": "t"},
        {"title": "t", "anyOf": [{"type": "string"}, {"type": "null"}]},
    ),
    (
        "type_lists_to_anyof",
        {"type": ["integer", "string"], "const": 1},
        {"anyOf": [{"type": "integer", "const": 1}]},
    ),
    ("type_lists_to_anyof", {"type": "string"}, {"type": "string"}),
    (
        "anyof_type_push",
        {
            "type": "object",
            "properties": {},
            "anyOf": [{"required": ["a"]}, {"type": "null"}, {"$ref": "#"}, True],
        },
        {
            "properties": {},
            "anyOf": [
                {"type": "object", "required": ["a"]},
                {"type": "null"},
                {"$ref": "#"},
                True,
            ],
        },
    ),
    (
        "anyof_type_push",
        {"type": "string", "oneOf": [{"anyOf": [{"minLength": 1}]}]},
        {"oneOf": [{"anyOf": [{"type": "string", "minLength": 1}]}]},
    ),
    ("anyof_type_push", {"anyOf": [{"const": 1}]}, {"anyOf": [{"const": 1}]}),
    (
        "enum_strings",
        {"type": "integer", "enum": [1, 2, 1, 2.5, True, None, "", "a"]},
        {"type": "string", "enum": ["1", "2", "2.5", "true", "a"]},
    ),
    ("enum_strings", {"enum": ["a"]}, {"enum": ["a"], "type": "string"}),
    ("enum_strings", {"type": "object", "enum": [{}]}, {"type": "object"}),
    ("enum_strings", {"type": "null", "enum": [None]}, {"type": "null"}),
    ("enum_strings", {"type": "string", "enum": ["a"]}, {"type": "string", "enum": ["a"]}),
    ("items_present", {"type": "array"}, {"type": "array", "items": {"type": "string"}}),
    (
        "items_present",
        {"type": "array", "items": True},
        {"type": "array", "items": {"type": "string"}},
    ),
    (
        "items_present",
        {"type": "array", "items": [{"type": "null"}]},
        {"type": "array", "items": {"type": "null"}},
    ),
    (
        "items_present",
        {"type": "array", "items": [{"const": 1}, {"const": 2}]},
        {"type": "array", "items": {"anyOf": [{"const": 1}, {"const": 2}]}},
    ),
    ("items_present", {"type": "object"}, {"type": "object"}),
    (
        "required_exist",
        {"properties": {"a": {}}, "required": ["a", "b", 1]},
        {"properties": {"a": {}}, "required": ["a"]},
    ),
    ("required_exist", {"type": "object", "required": ["a"]}, {"type": "object"}),
    ("required_exist", {"properties": {"a": {}}, "required": None}, {"properties": {"a": {}}}),
    (
        "required_exist",
        {"properties": {"a": {}}, "required": ["a"]},
        {"properties": {"a": {}}, "required": ["a"]},
    ),
    ("required_exist", {"properties": {"a": {}}}, {"properties": {"a": {}}}),
    (
        "close_objects",
        {"type": "object", "additionalProperties": False},
        {"type": "object", "additionalProperties": False},
    ),
    (
        "close_objects",
        {"type": "object", "additionalProperties": True, "properties": {}, "anyOf": []},
        {"type": "object", "additionalProperties": False, "properties": {}, "anyOf": []},
    ),
    ("close_objects", {"type": ["string", "null"]}, {"type": ["string", "null"]}),
    (
        "close_objects",
        {"type": "object", "additionalProperties": {"type": "object"}},
        {"type": "object", "additionalProperties": False},
    ),
    (
        "close_objects",
        {"anyOf": [{"properties": {"a": {"type": ["object", "null"]}}}]},
        {
            "anyOf": [
                {
                    "properties": {
                        "a": {"type": ["object", "null"], "additionalProperties": False}
                    },
                    "additionalProperties": False,
                }
            ]
        },
    ),
    ("close_objects", {"type": "object", "anyOf": [{}]}, {"type": "object", "anyOf": [{}]}),
    ("close_objects", {"type": "string"}, {"type": "string"}),
    (
        "require_all",
        {"properties": {"b": {}, "a": {}}, "required": ["a"]},
        {"properties": {"b": {}, "a": {}}, "required": ["b", "a"]},
    ),
    (
        "require_all",
        {"properties": {"b": {}, "a": {}}, "required": ["a", "b"]},
        {"properties": {"b": {}, "a": {}}, "required": ["a", "b"]},
    ),
    ("require_all", {"properties": {}}, {"properties": {}}),
]


@pytest.mark.parametrize(
    ("rule", "schema", "wanted"), CASES, ids=[f"{case[0]}-{n}" for n, case in enumerate(CASES)]
)
def test_rules_rewrite_what_they_are_about(rule: str, schema: Any, wanted: Any) -> None:
    rewritten = below(schema, rule)

    assert rewritten == wanted
    assert list(rewritten) == list(wanted)
    if schema == wanted:
        assert rewritten is schema


@pytest.mark.parametrize(
    ("rule", "schema", "wanted"), CASES, ids=[f"{case[0]}-{n}" for n, case in enumerate(CASES)]
)
def test_without_its_rule_a_schema_stays(rule: str, schema: Any, wanted: Any) -> None:
    assert below(schema) is schema


def test_the_root_keeps_its_type_beside_a_union() -> None:
    schema = {"type": "object", "anyOf": [{"required": ["a"]}], "properties": {"a": {}}}

    assert normalise_schema(schema, SchemaRules(rules=("anyof_type_push",))).schema is schema


def test_a_dropped_constant_is_an_enumeration_of_one() -> None:
    assert below({"const": 1}, drop=("const",)) == {"enum": [1]}
    assert below({"const": 1, "enum": [1, 2]}, drop=("const",)) == {"enum": [1, 2]}
    assert below({"const": 1}, "enum_strings", drop=("const",)) == {
        "enum": ["1"],
        "type": "string",
    }


def test_rules_see_what_the_rules_before_them_made() -> None:
    schema = {"type": ["array", "string"], "items": [{"enum": [1]}], "minLength": 1}

    assert below(schema, "anyof_type_push", "single_type", "tuple_prefix_items") == {
        "anyOf": [
            {"type": "array", "prefixItems": [{"enum": [1]}]},
            {"type": "string", "minLength": 1},
        ]
    }
