from __future__ import annotations

from typing import Any

import msgspec
import pytest

from anyturn.translate.inclusion import response_without_seals, without_seals
from anyturn.wire import responses as r

THOUGHT = r.ReasoningItem("rs_1", content=(r.ReasoningText("Hm."),), encrypted_content="sealed")
SHOWN = r.ReasoningItem("rs_1", content=(r.ReasoningText("Hm."),))
MESSAGE = r.MessageItem("msg_1", "completed", (r.OutputText("Hi."),))
CALL = r.FunctionCall("fc_1", "c1", "f", "{}", "completed")
# What a client would lose its whole history without is no seal of reasoning.
COMPACTION = r.CompactionItem("cmp_1", "sealed summary")


def response(*output: r.Item) -> r.Response:
    return r.Response(id="resp_1", created_at=0, model="m", output=output)


@pytest.mark.parametrize("event", [r.ItemAdded, r.ItemDone])
def test_an_event_shows_reasoning_without_its_seal(event: Any) -> None:
    given = event(0, THOUGHT, 5)
    assert without_seals([given]) == [event(0, SHOWN, 5)]
    assert given.item.encrypted_content == "sealed"


@pytest.mark.parametrize("event", [r.Completed, r.Incomplete, r.Failed])
def test_the_terminal_event_shows_the_same_as_the_others(event: Any) -> None:
    given = event(response(THOUGHT, MESSAGE, CALL, COMPACTION, THOUGHT), 9)
    (shown,) = without_seals([given])
    assert shown == event(response(SHOWN, MESSAGE, CALL, COMPACTION, SHOWN), 9)
    assert msgspec.json.encode(shown).count(b"encrypted_content") == 1
    assert given.response.output[0].encrypted_content == "sealed"


def test_everything_else_stays_as_it_is() -> None:
    events: list[r.Event] = [
        r.Created(response(), 0),
        r.ItemAdded(0, MESSAGE, 1),
        r.ItemDone(0, CALL, 2),
        r.ItemDone(1, COMPACTION, 3),
        r.TextDelta("msg_1", 0, 0, "Hi.", 4),
    ]
    shown = without_seals(events)
    assert all(after is before for after, before in zip(shown, events, strict=True))


def test_a_response_shows_reasoning_without_its_seal() -> None:
    assert response_without_seals(response(THOUGHT, CALL)) == response(SHOWN, CALL)
