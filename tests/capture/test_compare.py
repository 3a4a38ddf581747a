from __future__ import annotations

import copy

import pytest

from anyturn.capture.compare import (
    contrast,
    course,
    differences,
    normalised,
    shapes_of,
    type_of,
    without_deltas,
)
from support.captured_turns import EVENTS, chunk


def renamed(events):
    return [
        {**event, **({"item_id": f"other_{event['item_id']}"} if "item_id" in event else {})}
        for event in events
    ]


def test_ids_and_clocks_do_not_count() -> None:
    again = copy.deepcopy(EVENTS)
    again[0]["response"]["id"] = again[8]["response"]["id"] = "resp_again"
    again[8]["response"]["created_at"] = 99
    assert differences(EVENTS, again) == []
    assert normalised(EVENTS)[0]["response"]["id"] == "resp_1"


def test_an_id_that_is_not_the_same_everywhere_counts() -> None:
    assert differences(EVENTS, renamed(EVENTS)) != []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda e: e[8]["response"].update(status="failed"), '"failed"', id="value"),
        pytest.param(lambda e: e[8]["response"].pop("usage"), "usage is missing", id="missing"),
        pytest.param(lambda e: e[8].update(more=1), "more is new: 1", id="new"),
        pytest.param(lambda e: e.pop(), "9 events were expected and 8 came", id="fewer"),
        pytest.param(lambda e: e.append({"type": "x"}), "too many: x", id="more"),
    ],
)
def test_what_differs_is_named(change, said) -> None:
    other = copy.deepcopy(EVENTS)
    change(other)
    assert any(said in one for one in differences(EVENTS, other))


def test_where_deltas_are_cut_does_not_count_unless_it_shall() -> None:
    finer = copy.deepcopy(EVENTS)
    finer[5:7] = [{**finer[5], "delta": piece} for piece in '{"x":1}']
    assert differences(EVENTS, finer) != []
    assert differences(without_deltas(EVENTS), without_deltas(finer)) == []


def test_deltas_of_different_items_are_not_joined() -> None:
    two = [{"type": "d", "item_id": "a", "delta": "x"}, {"type": "d", "item_id": "b", "delta": "y"}]
    assert without_deltas(two) == two


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ({"type": "response.created"}, "response.created"),
        ({"type": "a", "item": {"type": "message"}}, "a: message"),
        (chunk({"content": "x"}), "chunk: content"),
        (chunk({}, "stop"), "chunk: finish_reason"),
        ({"choices": [], "usage": {"a": 1}}, "chunk: usage"),
        ({"choices": [7]}, "chunk: nothing"),
        ({"error": {}}, "error"),
        ({"x": 1}, "unknown"),
    ],
)
def test_every_event_and_chunk_has_a_type(event, name) -> None:
    assert type_of(event) == name


def test_a_course_counts_neighbours() -> None:
    assert course([{"type": "a"}, {"type": "a"}, {"type": "b"}]) == [("a", 2), ("b", 1)]


def test_shapes_count_fields_orders_and_what_comes_before() -> None:
    events = [{"type": "a", "x": 1}, {"type": "a", "x": None}, {"x": "s", "type": "a"}]
    shape = shapes_of([events])["a"]
    assert shape.count == 3
    assert shape.orders == {("type", "x"): 2, ("x", "type"): 1}
    assert shape.fields["x"] == {"number": 1, "null": 1, "text": 1}
    assert shape.follows == {"": 1, "a": 2}


def test_a_contrast_names_what_one_side_sends_and_the_other_does_not() -> None:
    left = [{"type": "a", "x": 1, "y": 2}, {"type": "only"}]
    right = [{"type": "a", "y": "2", "x": 1, "z": 0}]
    a, only = contrast(left, right)
    assert (a.only_left, a.only_right) == ([], ["z"])
    assert a.other_kinds == [("y", "number", "text")]
    assert a.orders == (["type", "x", "y"], ["type", "y", "x"])
    assert (only.left, only.right, only.agrees) == (1, 0, False)
    assert all(one.agrees for one in contrast(EVENTS, EVENTS))
