from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.translate.json_text import INVALID, container_end, decode, members


@pytest.mark.parametrize(
    "text",
    ["", "{", "NaN", '{"a":Infinity}', '{"a":01}', '"\ud800"', '{"a":1e999}', "[" * 100_000],
    ids=lambda text: repr(text[:12]),
)
def test_what_is_not_json_is_invalid(text: str) -> None:
    assert decode(text) is INVALID


def test_null_is_not_invalid() -> None:
    assert decode("null") is None


@pytest.mark.parametrize(
    ("text", "end"),
    [
        pytest.param("{}", 2, id="empty"),
        pytest.param("{} {}", 2, id="first-of-two"),
        pytest.param('{"a":[{}]}x', 10, id="nested"),
        pytest.param('{"}":"\\"}"}', 11, id="braces-in-strings"),
        pytest.param('{"a":1', -1, id="open"),
        pytest.param('{"a":"}', -1, id="open-string"),
        pytest.param('{"a":"\\', -1, id="open-escape"),
        pytest.param("{" * 3000 + "}" * 3000, -1, id="too-deep"),
    ],
)
def test_the_end_of_an_object_is_found(text: str, end: int) -> None:
    assert container_end(text, 0) == end


def test_members_stand_where_they_are() -> None:
    text = ' { "a" : 1.50 , "\\u0062":[ 1,{ "c":2} ],"d":"\\"," } '

    places = members(text, 1)

    assert {key: text[slice(*place)] for key, place in places.items()} == {
        "a": "1.50",
        "b": '[ 1,{ "c":2} ]',
        "d": '"\\","',
    }
    begin = places["b"][0]
    assert [text[slice(*p)] for p in members(text, begin).values()] == ["1", '{ "c":2}']


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(-1e9, 1e9), st.text())
values = st.recursive(
    scalars, lambda below: st.one_of(st.lists(below), st.dictionaries(st.text(), below))
)


@given(st.one_of(st.lists(values), st.dictionaries(st.text(), values)), st.sampled_from([0, 1, 7]))
def test_members_are_what_a_decoder_reads(value: Any, indent: int) -> None:
    text = msgspec.json.format(msgspec.json.encode(value), indent=indent).decode()
    expected = value if isinstance(value, dict) else dict(enumerate(value))

    found = {key: msgspec.json.decode(text[slice(*p)]) for key, p in members(text, 0).items()}

    assert msgspec.json.encode(found) == msgspec.json.encode(expected)
    assert container_end(text, 0) == len(text)
