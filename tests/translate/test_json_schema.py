from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.translate.json_schema import find, map_below

ROOT = {"$defs": {"A": {"x": 1}, "a/b~c": 2, "é ü": 3}, "anyOf": [4, {"y": 5}], "": {"": 6}}


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("#", ROOT),
        ("#/$defs/A", {"x": 1}),
        ("#/$defs/a~1b~0c", 2),
        ("#/$defs/%C3%A9%20%C3%BC", 3),
        ("#/anyOf/0", 4),
        ("#/anyOf/1/y", 5),
        ("#//", 6),
        ("#/anyOf/2", None),
        ("#/anyOf/-1", None),
        ("#/anyOf/99999999999", None),
        ("#/$defs/A/x/y", None),
        ("#/$defs/B", None),
        ("#name", ROOT),
        ("other.json#/$defs/A", None),
        ("", None),
    ],
)
def test_references_name_places(reference: str, found: Any) -> None:
    assert find(ROOT, reference) == found


@given(st.text())
def test_any_reference_is_borne(reference: str) -> None:
    find(ROOT, reference)
    find(ROOT, "#/" + reference)


def test_only_schemas_are_visited() -> None:
    schema = {
        "properties": {"items": {"title": "1"}, "enum": {"title": "2"}},
        "items": {"title": "3"},
        "prefixItems": [{"title": "4"}, True],
        "additionalProperties": {"title": "5"},
        "anyOf": [{"title": "6"}],
        "$defs": {"A": {"title": "7"}},
        "not": {"title": "8"},
        "if": {"title": "9"},
        "enum": [{"title": "no"}],
        "const": {"properties": {"title": "no"}},
        "default": {"items": {"title": "no"}},
        "required": ["items"],
    }
    seen: list[Any] = []

    assert map_below(schema, lambda below: seen.append(below) or below) is schema
    assert [below if below is True else below["title"] for below in seen] == (
        ["1", "2", "3", "4", True, "5", "6", "7", "8", "9"]
    )


def test_what_did_not_change_is_shared() -> None:
    kept = {"type": "string"}
    schema = {"properties": {"a": kept, "b": {"type": "null"}}, "items": kept}

    changed = map_below(schema, lambda below: below if below is kept else {})

    assert changed == {"properties": {"a": kept, "b": {}}, "items": kept}
    assert changed["properties"]["a"] is changed["items"] is kept
    assert schema["properties"]["b"] == {"type": "null"}
