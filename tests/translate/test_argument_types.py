from __future__ import annotations

from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.translate.argument_types import coerce


def coerced(text: str, schema: Any) -> tuple[str, tuple[str, ...]]:
    return coerce(text, msgspec.json.decode(text), schema)


INTEGER = {"type": "integer"}
ARRAY_OF_INTEGERS = {"type": "array", "items": INTEGER}
ARRAY_OF_BOOLEANS = {"type": "array", "items": {"type": "boolean"}}


def property_of(schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": schema}}


@pytest.mark.parametrize(
    ("schema", "given_literal", "wanted", "step"),
    [
        ({"type": "integer"}, "1000.0", "1000", "integers"),
        ({"type": "integer"}, "1e3", "1000", "integers"),
        ({"type": "integer"}, "-1.20E1", "-12", "integers"),
        ({"type": "integer"}, "9007199254740992.0", "9007199254740992", "integers"),
        ({"type": "integer"}, '"1000"', "1000", "numbers"),
        ({"type": "integer"}, '"-1"', "-1", "numbers"),
        ({"type": "integer"}, '"1000.0"', "1000", "numbers"),
        ({"type": "integer"}, '"\\u0031"', "1", "numbers"),
        ({"type": ["integer", "null"]}, "5.0", "5", "integers"),
        ({"type": "number"}, "1000.0", "1000", "integers"),
        ({"type": "number"}, "1e3", "1000", "integers"),
        ({"type": "number"}, '"1.5"', "1.5", "numbers"),
        ({"type": "number"}, '"1.50"', "1.50", "numbers"),
        ({"type": "number"}, '"2.0"', "2", "numbers"),
        ({"type": "boolean"}, '"true"', "true", "booleans"),
        ({"type": ["boolean", "integer"]}, '"false"', "false", "booleans"),
        ({"type": ["boolean", "integer"]}, '"0"', "0", "numbers"),
        ({"type": "string"}, "4", '"4"', "strings"),
        ({"type": "string"}, "4.50", '"4.50"', "strings"),
        ({"type": "string"}, "123456789012345678901", '"123456789012345678901"', "strings"),
        ({"type": ["string", "null"]}, "4", '"4"', "strings"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "4.0", "4", "integers"),
        ({"oneOf": [{"type": "number"}, {"type": "null"}]}, "4.0", "4", "integers"),
        ({"allOf": [{"type": "integer"}]}, "4.0", "4", "integers"),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}]}, "4.0", "4", "integers"),
        ({"anyOf": [ARRAY_OF_INTEGERS, ARRAY_OF_BOOLEANS]}, '["1"]', "[1]", "numbers"),
        ({"anyOf": [ARRAY_OF_INTEGERS, ARRAY_OF_BOOLEANS]}, '["true"]', "[true]", "booleans"),
        ({"type": "integer", "enum": [1, 2]}, '"2"', "2", "numbers"),
        ({"anyOf": [INTEGER | {"enum": [1]}, INTEGER | {"enum": [2]}]}, '"2"', "2", "numbers"),
    ],
    ids=str,
)
def test_what_a_schema_does_not_accept_is_converted(
    schema: Any, given_literal: str, wanted: str, step: str
) -> None:
    text = '{{ "y":1.0, "x" : {} ,"z":"1"}}'

    assert coerced(text.format(given_literal), property_of(schema)) == (
        text.format(wanted),
        (step,),
    )


@pytest.mark.parametrize(
    ("schema", "literal"),
    [
        ({"type": "integer"}, "1000"),
        ({"type": "integer"}, "1000.5"),
        ({"type": "integer"}, "-0.0"),
        ({"type": "integer"}, "9007199254740993.0"),
        ({"type": "integer"}, "1e300"),
        ({"type": "integer"}, "1.00000000000000000001"),
        ({"type": "integer"}, "1." + "0" * 100),
        ({"type": "integer"}, '"1.5"'),
        ({"type": "integer"}, '" 1"'),
        ({"type": "integer"}, '"01"'),
        ({"type": "integer"}, '"1_000"'),
        ({"type": "integer"}, '"0x10"'),
        ({"type": "integer"}, '"-0"'),
        ({"type": "integer"}, '"1\\n"'),
        ({"type": "integer"}, '"９"'),
        ({"type": "integer"}, '"9007199254740993"'),
        ({"type": "integer"}, '""'),
        ({"type": "integer"}, "true"),
        ({"type": "integer"}, "null"),
        ({"type": "number"}, "0.5"),
        ({"type": "number"}, "123456789012345678901234567890.0"),
        ({"type": "number"}, '"NaN"'),
        ({"type": "number"}, '"1e999"'),
        ({"type": "number"}, '"0.12345678901234567890123"'),
        ({"type": "boolean"}, '"True"'),
        ({"type": "boolean"}, '"yes"'),
        ({"type": "boolean"}, "1"),
        ({"type": "string"}, "true"),
        ({"type": "string"}, "null"),
        ({"type": "string"}, '"1000"'),
        ({"type": "string"}, "{}"),
        ({"type": "array", "items": {"type": "string"}}, '"a"'),
        ({"type": "object"}, '"{}"'),
        ({"type": ["integer", "string"]}, "4.0"),
        ({"type": ["integer", "string"]}, '"4"'),
        ({"type": ["number", "string"]}, '"4"'),
        ({"anyOf": [{"type": "number"}, {"type": "string"}]}, "4.0"),
        ({"anyOf": [{"type": "integer"}, {"type": "boolean"}, {"type": "string"}]}, '"4"'),
        ({"anyOf": [{"type": "integer", "enum": [1]}, {"type": "boolean"}]}, '"2"'),
        ({"anyOf": [{"type": ["string", "null"]}, INTEGER]}, '"4"'),
        ({"anyOf": [{"type": ["integer", "string"]}, {"type": "string"}]}, "4.0"),
        ({"anyOf": [{"type": "number"}, {"type": "string"}]}, "4.5"),
        ({"anyOf": [True, INTEGER]}, '"4"'),
        ({"anyOf": [{"type": "array"}, INTEGER]}, "[4.0]"),
        ({"anyOf": [ARRAY_OF_INTEGERS, ARRAY_OF_BOOLEANS]}, '["1","true"]'),
        ({"allOf": [INTEGER, {"type": "number"}]}, "4.0"),
        ({"type": "array", "items": [INTEGER]}, "[4.0]"),
        ({"patternProperties": {"^n": {}}, "additionalProperties": {"type": "string"}}, '{"n":1}'),
        ({"type": "boolean"}, "4.0"),
        ({}, "4.0"),
        (True, "4.0"),
        (False, "4.0"),
        ({"$ref": "#/missing"}, "4.0"),
        ({"$ref": "https://localhost/x"}, "4.0"),
        ({"$ref": "#/properties/x"}, "4.0"),
        ({"type": 5, "enum": 3, "required": 1, "properties": [], "items": 2, "anyOf": {}}, "4.0"),
    ],
    ids=str,
)
def test_what_fits_or_would_lose_something_stays(schema: Any, literal: str) -> None:
    text = f'{{"x":{literal}}}'

    assert coerced(text, property_of(schema)) == (text, ())


TREE = {
    "type": "object",
    "properties": {
        "items": {"type": "array", "items": {"$ref": "#/$defs/Item"}},
        "env": {"type": "object", "additionalProperties": {"type": "string"}},
        "a/b": {"type": "integer"},
    },
    "$defs": {
        "Item": {
            "type": "object",
            "properties": {
                "n": {"$ref": "#/properties/a~1b"},
                "below": {"anyOf": [{"$ref": "#/$defs/Item"}, {"type": "null"}]},
            },
        }
    },
}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param(
            '{"items" : [ {"n":1.0}, {"n":"2","m":3.0} , {"n":4} ]}',
            '{"items" : [ {"n":1}, {"n":2,"m":3.0} , {"n":4} ]}',
            id="items",
        ),
        pytest.param(
            '{"items":[{"below":{"below":{"n":1.0}}}]}',
            '{"items":[{"below":{"below":{"n":1}}}]}',
            id="recursive",
        ),
        pytest.param(
            '{"env":{"PORT":8080,"HOST":"h","[":"]"}}',
            '{"env":{"PORT":"8080","HOST":"h","[":"]"}}',
            id="other-properties",
        ),
        pytest.param('{"a\\/b":1.0}', '{"a\\/b":1}', id="escaped-key"),
        pytest.param('{"a/b":"x","a/b":1.0}', '{"a/b":"x","a/b":1}', id="duplicate-key"),
        pytest.param(
            '{"q":"\\"}{\\\\","a/b":1.0,"r":[{"a/b":2.0}]}',
            '{"q":"\\"}{\\\\","a/b":1,"r":[{"a/b":2.0}]}',
            id="only-there",
        ),
    ],
)
def test_values_are_found_below(text: str, wanted: str) -> None:
    assert coerced(text, TREE)[0] == wanted


BRANCHES = {
    "anyOf": [
        {
            "type": "object",
            "properties": {"kind": {"const": "wait"}, "ms": {"type": "integer"}},
            "required": ["kind"],
        },
        {
            "type": "object",
            "properties": {"kind": {"enum": ["say"]}, "ms": {"type": "string"}},
            "required": ["kind"],
        },
        {"type": "object", "properties": {"id": {"type": "string"}}, "additionalProperties": False},
    ]
}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param('{"kind":"wait","ms":"5"}', '{"kind":"wait","ms":5}', id="by-const"),
        pytest.param('{"kind":"say","ms":5}', '{"kind":"say","ms":"5"}', id="by-enum"),
        pytest.param('{"id":5}', '{"id":"5"}', id="by-keys"),
        pytest.param('{"kind":"run","ms":5.0}', '{"kind":"run","ms":5.0}', id="none-fits"),
    ],
)
def test_of_a_union_the_branch_that_fits_decides(text: str, wanted: str) -> None:
    assert coerced(text, BRANCHES)[0] == wanted


def test_a_union_beside_properties_only_decides_what_they_leave_open() -> None:
    schema = {**property_of(INTEGER), "anyOf": [{"required": ["x"]}, {"required": ["y"]}]}

    assert coerced('{"x":"1"}', schema)[0] == '{"x":1}'


def test_a_branch_whose_own_union_does_not_fit_does_not_count() -> None:
    unfit = {**property_of(INTEGER), "anyOf": [{"required": ["y"]}]}

    assert coerced('{"x":"1"}', {"anyOf": [unfit, property_of({"type": "boolean"})]})[1] == ()
    assert coerced('{"x":"1","y":0}', {"anyOf": [unfit, property_of(ARRAY_OF_INTEGERS)]})[1] == (
        "numbers",
    )


def test_an_ambiguous_union_changes_nothing() -> None:
    either = {"anyOf": [property_of({"type": "integer"}), property_of({"type": "boolean"})]}

    assert coerced('{"x":"1"}', either)[0] == '{"x":1}'
    assert coerced('{"x":1.0,"y":"2"}', {"anyOf": [either, property_of({"type": "string"})]}) == (
        '{"x":1.0,"y":"2"}',
        (),
    )


def test_endless_unions_end() -> None:
    branch = {"type": "object", "properties": {"x": {"$ref": "#"}}, "required": ["y"]}
    text = '{"x":' * 30 + "1.0" + "}" * 30

    assert coerced(text, {"anyOf": [branch] * 4}) == (text, ())


def test_a_mapping_that_is_no_dict_serves_as_schema() -> None:
    schema = MappingProxyType(property_of({"type": "integer"}))

    assert coerced('{"x":1.0}', schema)[0] == '{"x":1}'


junk = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from(["integer", "number", "string", "boolean", "null", "#", "#/x", "1", "1.0"]),
    ),
    lambda below: st.one_of(
        st.lists(below, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    *("type", "properties", "additionalProperties", "items", "required"),
                    *("anyOf", "allOf", "$ref", "enum", "const", "x"),
                ]
            ),
            below,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["x", "type", "items"]), junk), junk)
def test_any_schema_is_borne_and_any_result_is_json(value: dict[str, Any], schema: Any) -> None:
    text = msgspec.json.encode(value).decode()
    root = {**schema, "properties": {"x": schema}} if isinstance(schema, dict) else {}

    result, steps = coerce(text, value, root)

    assert bool(steps) == (result != text)
    assert msgspec.json.decode(result).keys() == value.keys()


@given(st.text(), st.text(), st.floats(-1e6, 1e6).map(float.__round__))
def test_other_values_stay_as_they_were(text: str, key: str, number: int) -> None:
    schema = {"properties": {"n": {"type": "integer"}}, "additionalProperties": {"type": "string"}}
    whole = msgspec.json.encode({key: text, "n": float(number)}).decode("utf-8", "replace")
    expected = msgspec.json.encode({key: text, "n": number}).decode("utf-8", "replace")

    assert coerced(whole, schema)[0] == (whole if number == 0 and "-0.0" in whole else expected)
