from __future__ import annotations

from typing import Any

import pytest

from anyturn.translate.schema_unions import merge_unions

READ = {
    "type": "object",
    "properties": {"op": {"const": "read"}, "path": {"type": "string"}},
    "required": ["op", "path"],
    "additionalProperties": False,
}
WRITE = {
    "type": "object",
    "properties": {
        "op": {"const": "write"},
        "path": {"type": "string"},
        "text": {"type": "string"},
    },
    "required": ["path", "op", "text"],
}


@pytest.mark.parametrize("word", ["anyOf", "oneOf"])
def test_branches_become_one_object_that_allows_each(word: str) -> None:
    schema = {"description": "d", word: [READ, WRITE]}

    assert merge_unions(schema, schema) == {
        "description": "d",
        "type": "object",
        "properties": {
            "op": {"enum": ["read", "write"]},
            "path": {"type": "string"},
            "text": {"type": "string"},
        },
        "required": ["op", "path"],
    }


def test_all_of_requires_what_any_requires() -> None:
    schema = {"allOf": [READ, WRITE], "required": ["x"]}

    assert merge_unions(schema, schema)["required"] == ["x", "op", "path", "text"]


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        ({"type": "string"}, {"type": "string"}, {"type": "string"}),
        (
            {"type": "string"},
            {"type": "null"},
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
        ),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
            {"type": "boolean"},
            {"anyOf": [{"type": "string"}, {"type": "null"}, {"type": "boolean"}]},
        ),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
            {"type": "null"},
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
        ),
        (
            {"type": "string", "enum": ["a", "b"]},
            {"type": "string", "const": "b"},
            {"type": "string", "enum": ["a", "b"]},
        ),
        (
            {"type": "string", "const": "a"},
            {"type": "integer", "const": 1},
            {"anyOf": [{"type": "string", "const": "a"}, {"type": "integer", "const": 1}]},
        ),
        ({"enum": [[1]]}, {"enum": [2]}, {"anyOf": [{"enum": [[1]]}, {"enum": [2]}]}),
        (True, {"type": "string"}, {}),
    ],
)
def test_a_property_of_two_branches_may_be_either(first: Any, second: Any, wanted: Any) -> None:
    schema = {"anyOf": [{"properties": {"x": first}}, {"properties": {"x": second}}]}

    assert merge_unions(schema, schema)["properties"] == {"x": wanted}


def test_the_properties_of_the_root_stand() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "anyOf": [{"required": ["a"]}, {"properties": {"a": {"const": "x"}, "b": {}}}],
    }

    merged = merge_unions(schema, schema)

    assert merged == {"type": "object", "properties": {"a": {"type": "string"}, "b": {}}}


def test_branches_are_found_behind_references_and_in_unions() -> None:
    schema = {
        "anyOf": [{"$ref": "#/$defs/Read"}, {"oneOf": [WRITE, {"type": "null"}]}],
        "$defs": {"Read": {"$ref": "#/$defs/R"}, "R": READ},
    }

    merged = merge_unions(schema, schema)

    assert merged["properties"].keys() == {"op", "path", "text"}
    assert merged["required"] == ["op", "path"]
    assert "anyOf" not in merged


def test_branches_that_are_no_objects_do_not_count() -> None:
    schema = {"anyOf": [{"type": "string"}, READ, {"type": "null"}, True, {"$ref": "#/none"}]}

    assert merge_unions(schema, schema)["required"] == ["op", "path"]


def test_endless_unions_end() -> None:
    schema: Any = {"anyOf": [*[{"$ref": "#"}] * 8, READ]}

    assert merge_unions(schema, schema)["properties"].keys() == {"op", "path"}


def test_without_a_union_nothing_changes() -> None:
    assert merge_unions(READ, READ) is READ
