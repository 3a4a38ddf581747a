from __future__ import annotations

import pytest

from anyturn.capture.timeline import (
    CallLife,
    Said,
    finish_of,
    outputs_in,
    provider_calls,
    text_of,
    timeline_of,
)
from support.captured_turns import CALLED, EVENTS, captured, chunk, stream

LATER = {
    "input": [
        {"type": "function_call_output", "call_id": "call_1", "output": "it ran"},
        {"type": "function_call_output", "call_id": "call_9", "output": [{"text": "other"}]},
    ]
}


def test_a_turn_is_told_in_order_with_times() -> None:
    timeline = timeline_of(captured())
    thought, call = timeline.entries
    assert isinstance(thought, Said) and isinstance(call, CallLife)
    assert (thought.kind, thought.text, thought.began, thought.ended) == (
        "reasoning",
        "Hm.",
        2000,
        4000,
    )
    assert (call.announced, call.first_delta, call.last_delta, call.done) == (
        5000,
        6000,
        7000,
        8000,
    )
    assert (call.deltas, call.text, call.name) == (2, '{"x":1}', "run")
    assert (timeline.first_event, timeline.first_output, timeline.ended) == (1000, 3000, 20_000)


def test_the_output_of_a_call_comes_with_a_later_turn() -> None:
    later = captured(request=LATER, turn="resp_2", started="2026-01-02T03:04:06.500Z")
    (call,) = timeline_of(captured(), [captured(), later]).calls
    assert call.output == "it ran"
    assert call.output_after == 1_500_000 - 8000


@pytest.mark.parametrize("started", ["", "yesterday", "0001-01-01T00:00:00", "9999-12-31T23:59:59"])
def test_odd_clocks_give_no_time(started) -> None:
    later = captured(request=LATER, turn="resp_2", started="never")
    (call,) = timeline_of(captured(started=started), [later]).calls
    assert (call.output, call.output_after) == ("it ran", None)


def test_a_call_that_was_cut_off_has_no_end() -> None:
    (call,) = timeline_of(captured(events=EVENTS[:6])).calls
    assert (call.done, call.text) == (None, '{"x"')


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"type": 7},
        {"type": "response.output_item.added", "item": 7},
        {"type": "response.output_item.done", "item": {"id": [], "type": {}}},
        {"type": "response.output_text.delta", "item_id": None, "delta": {}},
    ],
)
def test_events_of_any_shape_are_borne(event) -> None:
    assert timeline_of(captured(events=[event, *EVENTS])).calls


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"content": "x"}, "x"),
        ({"content": [{"text": "a"}, {"refusal": "b"}, 7]}, "ab"),
        ({"summary": [{"text": "s"}]}, "s"),
        ({}, ""),
    ],
)
def test_texts_of_items(item, text) -> None:
    assert text_of(item) == text


def test_outputs_are_read_in_every_form() -> None:
    items = [
        {"type": "custom_tool_call_output", "call_id": "a", "output": "x"},
        {"type": "function_call_output", "call_id": "b", "output": [{"text": "y"}]},
        {"type": "function_call_output", "call_id": "c", "output": {"content": "z"}},
        {"type": "message"},
        7,
    ]
    assert outputs_in({"input": items}) == {"a": "x", "b": "y", "c": "z"}
    assert outputs_in({"input": "text"}) == {}


def test_the_providers_calls_are_added_up_without_the_translator() -> None:
    more = chunk({"tool_calls": [{"index": 0, "function": {"arguments": "!"}}, 7, {"id": "z"}]})
    calls = provider_calls(stream(CALLED, more, {"choices": [7]}, chunk({}, "stop")).encode())
    assert [(c.name, c.arguments, c.first) for c in calls] == [("run", '{"x":1}!', 1), ("", "", 2)]
    assert finish_of(stream(chunk({}, "stop")).encode()) == "stop"
