from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.openai_sdk.misfits import MAX_MISFITS, misfits

TASK = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "priority": {"type": ["integer", "null"]},
        "kind": {"enum": ["a", "b"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "owner": {"$ref": "#/$defs/person"},
        "due": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["title"],
    "additionalProperties": False,
    "$defs": {"person": {"type": "object", "required": ["name"]}},
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param({"title": "x"}, [], id="fits"),
        pytest.param({"title": "x", "priority": None, "due": None}, [], id="null is allowed"),
        pytest.param({"title": "x", "priority": 2.0}, [], id="an integral float is an integer"),
        pytest.param({}, ["title is missing"], id="missing"),
        pytest.param({"title": 3}, ["title is integer, declared string"], id="type"),
        pytest.param(
            {"title": "x", "priority": True},
            ["priority is boolean, declared integer or null"],
            id="true is no integer",
        ),
        pytest.param({"title": "x", "kind": "c"}, ["kind is none of 'a', 'b'"], id="enum"),
        pytest.param({"title": "x", "z": 1}, ["z is not declared"], id="not declared"),
        pytest.param(
            {"title": "x", "tags": ["a", 1]}, ["tags[1] is integer, declared string"], id="item"
        ),
        pytest.param({"title": "x", "owner": {}}, ["owner.name is missing"], id="reference"),
        pytest.param({"title": "x", "due": 1}, ["due fits no branch of its anyOf"], id="union"),
    ],
)
def test_what_does_not_fit_is_said(value: Any, expected: list[str]) -> None:
    assert misfits(TASK, value) == expected


def test_one_is_not_true() -> None:
    assert misfits({"const": True}, 1) == ["the whole is none of True"]


def test_only_so_many_are_said() -> None:
    schema = {"required": [str(number) for number in range(50)]}
    assert len(misfits(schema, {})) == MAX_MISFITS


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"$ref": "#"}, id="reference to itself"),
        pytest.param({"$ref": "https://localhost/elsewhere"}, id="another document"),
        pytest.param({"properties": {"a": {"$ref": "#"}}}, id="recursive"),
        pytest.param({"type": 5, "required": 7, "enum": "x", "anyOf": {}}, id="no schema at all"),
        pytest.param(True, id="true"),
        pytest.param(None, id="none"),
    ],
)
def test_what_is_not_understood_fits(schema: Any) -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"a": deep}
    assert misfits(schema, deep) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=10,
)


@given(schema=json_values, value=json_values)
def test_no_schema_and_no_value_makes_it_raise(schema: Any, value: Any) -> None:
    assert len(misfits(schema, value)) <= MAX_MISFITS
