from __future__ import annotations

import time
from typing import Any

import pytest

from anyturn.translate.call_slots import CallSlots

# One delta: index, id, name, arguments.
Told = tuple[Any, str, str, str]


def calls(*chunks: list[Told]) -> list[tuple[str, str, str]]:
    """The calls that chunks of deltas make: id, name and arguments of each, in order."""
    slots, placed = CallSlots(), {}
    for chunk in chunks:
        slots.next_chunk()
        for told in chunk:
            slot = slots.place(*told)
            placed[slot.key] = slot
    assert list(placed) == list(range(len(placed)))
    return [(s.id, s.name, "".join(s.arguments)) for s in placed.values()]


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        pytest.param(
            [[(0, "a", "f", "")], [(0, "", "", "{")], [(1, "b", "g", "")], [(1, "", "", "[")]],
            [("a", "f", "{"), ("b", "g", "[")],
            id="OpenAI's form",
        ),
        pytest.param(
            [[(0, "a", "f", ""), (1, "b", "g", "")], [(1, "", "", "2")], [(0, "", "", "1")]],
            [("a", "f", "1"), ("b", "g", "2")],
            id="F43 interleaved by index",
        ),
        pytest.param(
            [[(None, "a", "f", '{"x":1}')], [(None, "b", "g", "{}")]],
            [("a", "f", '{"x":1}'), ("b", "g", "{}")],
            id="Q44 no index, ids",
        ),
        pytest.param(
            [[(None, "a", "f", "{")], [(None, "", "", "}")], [(None, "b", "g", "")]],
            [("a", "f", "{}"), ("b", "g", "")],
            id="Q44 no index, more of the latest call",
        ),
        pytest.param(
            [[(None, "a", "f", "1"), (None, "b", "f", "2")], [(None, "a", "", "3")]],
            [("a", "f", "13"), ("b", "f", "2")],
            id="Q44 no index, interleaved by id",
        ),
        pytest.param(
            [[(None, "", "f", "{}"), (None, "", "f", "{}")]],
            [("", "f", "{}"), ("", "f", "{}")],
            id="Q44, Q49 no index, no id, whole calls in one chunk",
        ),
        pytest.param(
            [[(None, "", "f", "")], [(None, "", "", "{}")], [(None, "", "f", "")]],
            [("", "f", "{}"), ("", "f", "")],
            id="Q44, Q49 no index, no id, the name opens the next call",
        ),
        pytest.param(
            [[(None, "", "f", "")], [(None, "", "g", "")]],
            [("", "f", ""), ("", "g", "")],
            id="Q44, Q49 no index, no id, another name is another call",
        ),
        pytest.param(
            [[(0, "a", "f", "{}")], [(0, "b", "g", "[")], [(0, "", "", "]")]],
            [("a", "f", "{}"), ("b", "g", "[]")],
            id="Q45 all under index 0",
        ),
        pytest.param(
            [[(0, "a", "f", "1")], [(0, "b", "f", "2")], [(0, "a", "", "3")], [(0, "b", "f", "4")]],
            [("a", "f", "13"), ("b", "f", "24")],
            id="Q45 all under index 0, interleaved by id",
        ),
        pytest.param(
            [[(0, "", "f", "{}")], [(0, "", "g", "{}")]],
            [("", "f", "{}"), ("", "g", "{}")],
            id="Q45, Q49 all under index 0, no ids, other names",
        ),
        pytest.param(
            [[(0, "", "f", '{"x":1}')], [(0, "", "f", '{"x":2}')]],
            [("", "f", '{"x":1}'), ("", "f", '{"x":2}')],
            id="Q45, Q49 all under index 0, no ids, whole calls",
        ),
        pytest.param(
            [[(0, "a", "f", "")], [(0, "b", "", "{")], [(0, "c", "", "}")]],
            [("a", "f", "{}")],
            id="Q46 a new id without a name continues",
        ),
        pytest.param(
            [[(None, "a", "f", "")], [(None, "b", "", "{")], [(None, "c", "", "}")]],
            [("a", "f", "{}")],
            id="Q46 without index",
        ),
        pytest.param(
            [[(0, "a", "f", "{")], [(0, "a", "f", "}")], [(0, "a", "f", "")]],
            [("a", "f", "{}")],
            id="Q48 id and name repeated",
        ),
        pytest.param(
            [[(None, "a", "f", "{")], [(None, "a", "f", "}")], [(None, "a", "f", "")]],
            [("a", "f", "{}")],
            id="Q48 repeated without index, an empty delta at the end",
        ),
        pytest.param(
            [[(None, "a", "f", "{")], [(None, "", "f", "}")], [(None, "", "f", "")]],
            [("a", "f", "{}")],
            id="Q48 only the name repeated, without index",
        ),
        pytest.param(
            [[(0, "a", "f", "{}")], [(0, "a", "f", "{}")]],
            [("a", "f", "{}{}")],
            id="Q48 a call told twice under one id is not made twice",
        ),
        pytest.param(
            [[(None, "", "f", ""), (None, "", "f", "")]],
            [("", "f", ""), ("", "f", "")],
            id="Q33, Q44, Q49 calls without arguments in one chunk",
        ),
        pytest.param(
            [[(0, "", "f", "{")], [(0, "", "f", "}")], [(0, "", "f", " ")]],
            [("", "f", "{} ")],
            id="Q48 only the name repeated, no id",
        ),
        pytest.param(
            [[(0, "", "f", "{")], [(0, "a", "", "}")]],
            [("a", "f", "{}")],
            id="Q49 the id comes late",
        ),
        pytest.param(
            [[(1, "a", "f", "")], [(2, "b", "g", "")], [(1, "", "", "{}")]],
            [("a", "f", "{}"), ("b", "g", "")],
            id="Q50 index starts at 1",
        ),
        pytest.param(
            [[("0", "a", "f", "")], [("1", "b", "g", "")], [("0", "", "", "{}")]],
            [("a", "f", "{}"), ("b", "g", "")],
            id="Q50 index as text",
        ),
        pytest.param(
            [[(0, "a", "", "{")], [(0, "", "", '"x"')], [(0, "", "f", ":1}")]],
            [("a", "f", '{"x":1}')],
            id="Q51 the name comes last",
        ),
        pytest.param(
            [[(None, "", "", "{")], [(None, "", "f", "}")]],
            [("", "f", "{}")],
            id="Q51 the name comes last, without index and id",
        ),
        pytest.param(
            [[(0, "a", "", "{")], [(0, "a", "f", "}")]],
            [("a", "f", "{}")],
            id="Q51 the name comes with a repeated id",
        ),
        pytest.param(
            [[(0, "a", "f", "{}")], [(0, "", "", " \n")]],
            [("a", "f", "{} \n")],
            id="Q54 white space at the end",
        ),
        pytest.param(
            [[(0, "a", "f", '{"x"')], [(1, "", "", ":1")], [(1, "", "", "}")]],
            [("a", "f", '{"x":1}')],
            id="Q55 one call over two indexes",
        ),
        pytest.param(
            [[(0, "a", "f", '{"x"')], [(1, "", "", ":1}")], [(1, "b", "f", "{}")]],
            [("a", "f", '{"x":1}'), ("b", "f", "{}")],
            id="Q55 then a call under the second index",
        ),
        pytest.param(
            [[(0, "a", "f", "{}")], [(1, "", "", "{}")]],
            [("a", "f", "{}"), ("", "", "{}")],
            id="Q57 a nameless call after a whole one",
        ),
        pytest.param(
            [[(0, "a", "f", "1")], [(1, "a", "f", "2")]],
            [("a", "f", "1"), ("a", "f", "2")],
            id="F42 one id for two indexes",
        ),
        pytest.param(
            [[(None, "a", "f", "{}")], [(None, "a", "g", "{}")]],
            [("a", "f", "{}"), ("a", "g", "{}")],
            id="F42 one id for two names",
        ),
    ],
)
def test_deltas_find_their_call(
    chunks: list[list[Told]], expected: list[tuple[str, str, str]]
) -> None:
    assert calls(*chunks) == expected


@pytest.mark.parametrize(
    ("arguments", "complete"),
    [
        pytest.param(["{", "}"], True, id="an object"),
        pytest.param(["{}", " \n"], True, id="an object and white space"),
        pytest.param(['{"a":{}'], False, id="Q53 a part of an object"),
        pytest.param(['{"a":"}'], False, id="a brace inside a string"),
        pytest.param([], False, id="nothing"),
        pytest.param(["1"], False, id="a number"),
        pytest.param(["[{}", "]"], False, id="a list"),
        pytest.param(["{}}"], False, id="a brace too many"),
    ],
)
def test_a_call_is_complete_when_its_arguments_are_one_object(
    arguments: list[str], complete: bool
) -> None:
    slots = CallSlots()
    slot = slots.place(0, "a", "f", "")
    for piece in arguments:
        assert slots.place(0, "", "", piece) is slot
    assert slot.is_complete() is complete


def test_long_arguments_under_a_repeated_name_take_linear_time() -> None:
    slots = CallSlots()
    started = time.process_time()
    slots.place(None, "", "f", '{"text":"')
    for _ in range(100_000):
        slots.next_chunk()
        slots.place(None, "", "f", "some more words ")
    # Parsing all of it for each delta would take minutes.
    assert time.process_time() - started < 5
