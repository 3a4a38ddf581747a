from __future__ import annotations

import copy
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.translate.schema_rules import Rule
from anyturn.translate.schemas import Normalised, SchemaRules, normalise_schema

EMPTY = {"type": "object", "properties": {}}
CEREBRAS = SchemaRules(rules=("close_objects", "definitions_to_defs", "root_object"))
MOONSHOT = SchemaRules(
    rules=("root_object", "no_root_union", "ref_alone", "anyof_type_push", "tuple_prefix_items")
)
GEMINI = SchemaRules(
    drop=("$schema", "$id", "additionalProperties", "propertyNames", "const", "default"),
    rules=("ref_inline", "enum_strings", "single_type", "items_present", "required_exist"),
)


def text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# ---------------------------------------------------------------- what every provider needs


@pytest.mark.parametrize("schema", [None, {}, [], "x", 1, True, False], ids=repr)
def test_no_parameters_are_an_empty_object(schema: Any) -> None:
    assert normalise_schema(schema) == Normalised(EMPTY, ("empty_object",))


def test_every_empty_object_is_its_own() -> None:
    normalise_schema(None).schema["properties"]["x"] = {}

    assert normalise_schema(None).schema == EMPTY


@pytest.mark.parametrize(
    ("schema", "wanted", "changes"),
    [
        pytest.param(
            {"properties": {"a": {}}},
            '{"properties":{"a":{}},"type":"object"}',
            ("root_type",),
            id="no-type",
        ),
        pytest.param(
            {"type": None, "properties": {"a": {}}},
            '{"type":"object","properties":{"a":{}}}',
            ("root_type",),
            id="null-type",
        ),
        pytest.param(
            {"type": ["object", "null"], "properties": {}},
            '{"type":"object","properties":{}}',
            ("root_type",),
            id="list-of-types",
        ),
        pytest.param(
            {"type": "object"},
            '{"type":"object","properties":{}}',
            ("root_properties",),
            id="no-properties",
        ),
        pytest.param(
            {"type": "object", "properties": None},
            '{"type":"object","properties":{}}',
            ("root_properties",),
            id="null-properties",
        ),
        pytest.param(
            {"oneOf": [{"required": ["a"]}], "properties": {"a": {}}},
            '{"oneOf":[{"required":["a"]}],"properties":{"a":{}},"type":"object"}',
            ("root_type",),
            id="union-without-a-type",
        ),
        pytest.param(
            {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object"}}},
            '{"$ref":"#/$defs/A","$defs":{"A":{"type":"object"}},"type":"object"}',
            ("root_type",),
            id="reference",
        ),
        pytest.param(
            {"$schema": "s", "$id": "i", "type": "object", "properties": {"$id": {"$schema": "s"}}},
            '{"type":"object","properties":{"$id":{}}}',
            ("drop $schema", "drop $id"),
            id="dropped-keywords-but-not-names",
        ),
        pytest.param(
            {"type": "object", "properties": {"a": {"enum": [{"$id": 1}], "default": {"$id": 1}}}},
            '{"type":"object","properties":{"a":{"enum":[{"$id":1}],"default":{"$id":1}}}}',
            (),
            id="data-stays",
        ),
    ],
)
def test_the_root_is_an_object(schema: Any, wanted: str, changes: tuple[str, ...]) -> None:
    normalised = normalise_schema(schema)

    assert text(normalised.schema) == wanted
    assert normalised.changes == changes


CODEX = {
    "exec_command": {
        "type": "object",
        "properties": {
            "cmd": {"type": "string", "description": "Shell command to execute."},
            "prefix_rule": {"type": "array", "items": {"type": "string"}, "description": "x"},
            "sandbox_permissions": {"type": "string", "enum": ["use_default", "with_additional"]},
            "tty": {"type": "boolean"},
            "yield_time_ms": {"type": "number"},
        },
        "required": ["cmd"],
        "additionalProperties": False,
    },
    "request_user_input": {
        "type": "object",
        "properties": {
            "questions": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": {"id": {"type": "string"}},
                    "required": ["id"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["questions"],
        "additionalProperties": False,
    },
    "send_message": {
        "type": "object",
        "properties": {"message": {"type": "string", "encrypted": True}},
        "required": ["message"],
        "additionalProperties": False,
    },
    "get_goal": {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    },
    "mcp": {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]},
}


@pytest.mark.parametrize("name", CODEX)
@pytest.mark.parametrize("rules", [SchemaRules(), MOONSHOT], ids=["default", "moonshot"])
def test_the_schemas_of_codex_stay_the_same_objects(name: str, rules: SchemaRules) -> None:
    normalised = normalise_schema(CODEX[name], rules)

    assert normalised.schema is CODEX[name]
    assert normalised.changes == ()


# ---------------------------------------------------------------- references


def rules(*names: Any, drop: tuple[str, ...] = ()) -> SchemaRules:
    return SchemaRules(drop=drop, rules=names)


DEFINITIONS = {
    "type": "object",
    "properties": {"a": {"$ref": "#/definitions/A"}, "definitions": {"type": "string"}},
    "definitions": {"A": {"items": {"$ref": "#/definitions/A"}}},
}


def test_definitions_are_renamed_with_their_references() -> None:
    normalised = normalise_schema(DEFINITIONS, rules("definitions_to_defs"))

    assert normalised.changes == ("definitions_to_defs",)
    assert normalised.schema == {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}, "definitions": {"type": "string"}},
        "$defs": {"A": {"items": {"$ref": "#/$defs/A"}}},
    }


def test_without_its_rule_definitions_stay() -> None:
    assert normalise_schema(DEFINITIONS).schema is DEFINITIONS


def test_definitions_join_those_that_are_there() -> None:
    schema = {**DEFINITIONS, "$defs": {"B": {}}}

    assert normalise_schema(schema, rules("definitions_to_defs")).schema["$defs"].keys() == {
        "A",
        "B",
    }


def test_definitions_of_one_name_are_not_mixed_up() -> None:
    schema = {**DEFINITIONS, "$defs": {"A": {"type": "null"}}}

    assert normalise_schema(schema, rules("definitions_to_defs")).schema is schema


@pytest.mark.parametrize("rule", ["root_object", "no_root_union", "ref_inline"])
def test_a_root_that_is_a_reference_becomes_what_it_names(rule: str) -> None:
    schema = {
        "$ref": "#/$defs/A",
        "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"properties": {"x": {"type": "string"}}}},
    }

    normalised = normalise_schema(schema, rules(rule)).schema

    assert normalised["properties"] == {"x": {"type": "string"}}
    assert normalised["type"] == "object"
    assert "$ref" not in normalised
    assert normalised != normalise_schema(schema).schema


def test_the_changes_name_the_rules() -> None:
    schema = {
        "$ref": "#/$defs/A",
        "$defs": {"A": {"oneOf": [{"properties": {"x": {"type": "string"}}}]}},
    }

    normalised = normalise_schema(schema, rules("no_root_union", drop=("$defs",)))

    assert normalised.schema == {"type": "object", "properties": {"x": {"type": "string"}}}
    assert normalised.changes == ("root_object", "no_root_union", "drop $defs")


def test_without_its_rule_a_union_at_the_root_stays() -> None:
    schema = {"type": "object", "properties": {}, "anyOf": [{"properties": {"x": {}}}]}

    assert normalise_schema(schema, GEMINI).schema is schema


def test_the_root_is_never_nullable() -> None:
    schema = {"type": ["object", "null"], "properties": {}}

    assert normalise_schema(schema, GEMINI).schema == EMPTY


@pytest.mark.parametrize("rule", get_args(Rule))
def test_every_rule_can_be_named_in_a_profile(rule: str) -> None:
    assert msgspec.convert({"rules": [rule]}, SchemaRules).rules == (rule,)


def test_a_root_that_names_itself_or_nothing_is_borne() -> None:
    for rule in ("root_object", "no_root_union", "ref_inline", "ref_alone"):
        for reference in ("#", "#/none", "other.json"):
            schema = {"$ref": reference}
            assert normalise_schema(schema, rules(rule)).schema["type"] == "object"


NODE = {
    "type": "object",
    "properties": {"node": {"$ref": "#/$defs/Node", "description": "the first"}},
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "name": {"$ref": "#/$defs/Name"},
                "next": {"$ref": "#/$defs/Node", "description": "the next"},
            },
        },
        "Name": {"type": "string"},
    },
}


def test_references_are_inlined_as_far_as_that_ends() -> None:
    assert normalise_schema(NODE, rules("ref_inline")) == Normalised(
        {
            "type": "object",
            "properties": {
                "node": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "next": {"type": "object", "description": "the next"},
                    },
                    "description": "the first",
                }
            },
        },
        ("drop $defs", "ref_inline"),
    )


def test_what_refers_to_itself_keeps_its_type() -> None:
    rows = {"type": "array", "items": {"$ref": "#/$defs/Rows"}}
    schema = {"properties": {"x": {"$ref": "#/$defs/Rows"}}, "$defs": {"Rows": rows}}

    normalised = normalise_schema(schema, rules("ref_inline")).schema

    assert normalised["properties"]["x"] == {"type": "array", "items": {"type": "array"}}


def test_a_reference_beside_others_is_inlined_or_alone() -> None:
    normalised = normalise_schema(NODE, rules("ref_alone")).schema
    node = normalised["properties"]["node"]

    assert node["description"] == "the first"
    assert node["properties"] == {
        "name": {"$ref": "#/$defs/Name"},
        "next": {"$ref": "#/$defs/Node"},
    }
    assert normalised["$defs"].keys() == {"Node", "Name"}


def test_references_to_nothing_are_left_out_or_alone() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "x.json", "description": "d"}}}

    def below(rule: str) -> Any:
        return normalise_schema(schema, rules(rule)).schema["properties"]["a"]

    assert below("ref_inline") == {"description": "d"}
    assert below("ref_alone") == {"$ref": "x.json"}


def test_inlining_does_not_grow_without_end() -> None:
    schema = {
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/0"}},
        "$defs": {
            str(n): {"properties": {k: {"$ref": f"#/$defs/{n + 1}"} for k in "abcdefgh"}}
            for n in range(20)
        },
    }

    normalised = normalise_schema(schema, rules("ref_inline")).schema

    assert len(text(normalised)) < 1_000_000
    assert "$ref" not in text(normalised)


# ---------------------------------------------------------------- for every schema

WORDS = [
    *("type", "properties", "required", "items", "prefixItems", "additionalItems"),
    *("anyOf", "oneOf", "allOf", "not", "enum", "const", "default", "additionalProperties"),
    *("$ref", "$defs", "definitions", "$schema", "x", "A"),
]
junk = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from(["object", "string", "null", "array", "#", "#/$defs/A", "#/definitions/A"]),
        st.text(max_size=3),
    ),
    lambda below: st.one_of(
        st.lists(below, max_size=4),
        st.dictionaries(st.sampled_from(WORDS), below, max_size=6),
    ),
    max_leaves=25,
)
any_rules = st.builds(
    SchemaRules,
    drop=st.lists(st.sampled_from(WORDS), max_size=4).map(tuple),
    rules=st.lists(st.sampled_from(get_args(Rule)), max_size=14).map(tuple),
)


@given(junk, any_rules)
def test_any_json_value_becomes_an_object_schema(schema: Any, chosen: SchemaRules) -> None:
    before = copy.deepcopy(schema)

    normalised = normalise_schema(schema, chosen)

    assert schema == before
    assert normalised.schema["type"] == "object"
    assert text(normalised.schema) == text(normalise_schema(before, chosen).schema)
    assert bool(normalised.changes) == (normalised.schema is not schema)


@pytest.mark.parametrize("chosen", [SchemaRules(), CEREBRAS, MOONSHOT, GEMINI], ids=list("dcmg"))
def test_deep_schemas_are_borne(chosen: SchemaRules) -> None:
    deep: dict[str, Any] = {"enum": [1]}
    for word in ("properties", "anyOf", "items"):
        for _ in range(200):
            below: Any = {"x": deep} if word == "properties" else [deep, deep]
            deep = {"type": ["object", "array"], word: below if word != "items" else deep}

    deep = {"definitions": {"A": deep}, **deep}

    assert normalise_schema(deep, chosen).schema["type"] == "object"
