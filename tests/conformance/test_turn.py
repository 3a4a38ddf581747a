"""Limits: a stream is followed as far as memory allows, and its end is checked all the same."""

from __future__ import annotations

import pytest

from anyturn.conformance import check_stream
from anyturn.conformance import turn as turn_module
from anyturn.conformance.events import Event
from anyturn.conformance.turn import Turn
from support.responses_streams import call, message, stream


def test_a_stream_beyond_all_limits_is_checked_as_far_as_it_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turn_module, "MAX_ITEMS", 3)
    events = stream(*(call(number=number) for number in range(9)))
    assert check_stream(events).findings == ()
    assert [f.rule for f in check_stream(events[:-1]).findings] == ["terminal.missing"]


def test_more_text_than_may_be_held_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_module, "MAX_TEXT", 1000)
    events = stream(message("A rather long text that is told in two deltas."))
    events[6]["text"] = "Something else."
    assert check_stream(events).findings == ()


def test_a_finished_item_lets_go_of_its_text() -> None:
    turn = Turn()
    for number, body in enumerate(stream(message())):
        event = Event(body["type"], body, number)
        turn.locate(event)
        turn.take(event)
    (item,) = turn.items
    assert (item.content, item.held, turn.held) == ({}, 0, 0)
    assert turn.done[0].digests.keys() == {"id", "type", "role", "status", "content"}
