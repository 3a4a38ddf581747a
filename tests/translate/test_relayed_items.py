from __future__ import annotations

from typing import Any

import msgspec
import pytest

from anyturn.translate.adaptations import Adaptations
from anyturn.translate.relayed_items import (
    ACTIONS,
    RelayedState,
    Repairs,
    item_type_of,
    mend_item,
    mended_part,
)
from anyturn.wire.server_events import ServerEvent

JSON = dict[str, Any]


def state(**item: Any) -> RelayedState:
    return RelayedState(0, item, lambda prefix: f"{prefix}_new", set())


def tell(one: RelayedState, name: str, **body: Any) -> list[str]:
    event = msgspec.convert({"type": name, **body}, ServerEvent)
    return [supplied for supplied, _ in one.follow(ACTIONS[name], event, body)]


def mended(item: JSON, one: RelayedState) -> tuple[JSON, list[str]]:
    notes = Adaptations()
    return mend_item(item, one, Repairs(notes)), [note.rule for note in notes]


def test_every_action_belongs_to_a_type_of_items() -> None:
    types = {item_type_of(action) for action in ACTIONS.values()}
    assert types == {"message", "reasoning", "function_call", "custom_tool_call"}


def test_an_item_is_announced_with_what_clients_need() -> None:
    assert state(type="message").announced == {
        "type": "message",
        "id": "msg_new",
        "role": "assistant",
        "content": [],
        "status": "in_progress",
    }
    assert state(type="function_call", name="f").announced["call_id"] == "call_new"


def test_what_should_have_come_before_is_supplied() -> None:
    one = state(type="message", id="m")
    assert tell(one, "response.output_text.delta", delta="a") == ["response.content_part.added"]
    assert tell(one, "response.output_text.delta", delta="b") == []
    closing = tell(one, "response.content_part.done", part={"type": "output_text"})
    assert closing == ["response.output_text.done"]
    assert one.words("content")[0]["text"] == "ab"


@pytest.mark.parametrize(
    ("name", "item_type", "ready"),
    [
        ("response.output_text.delta", "message", False),
        ("response.function_call_arguments.delta", "function_call", True),
        ("response.function_call_arguments.delta", "message", False),
        ("response.function_call_arguments.done", "function_call", False),
    ],
    ids=["no part", "payload", "wrong item", "no delta"],
)
def test_only_a_delta_that_comes_where_it_belongs_is_taken_as_it_is(
    name: str, item_type: str, ready: bool
) -> None:
    event = ServerEvent(name, delta="x")
    assert state(type=item_type, id="i").takes(ACTIONS[name], event) is ready


def test_a_call_that_was_cut_off_keeps_what_it_has() -> None:
    one = state(type="function_call", id="fc", call_id="c", name="f")
    item = {"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": '{"a'}
    assert mended({**item, "status": "incomplete"}, one) == ({**item, "status": "incomplete"}, [])


def test_arguments_that_nobody_can_read_stay_as_they_are() -> None:
    one = state(type="function_call", id="fc", call_id="c", name="f")
    item = {"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": "no"}
    assert mended({**item, "status": "completed"}, one)[0]["arguments"] == "no"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "text", "text": "x"}, True),
        ({"type": "output_text", "text": "x", "annotations": None}, True),
        ("x", True),
        ({"type": "refusal", "refusal": "x"}, False),
    ],
    ids=["text", "null", "bare", "refusal"],
)
def test_a_text_part_gets_all_its_members(part: Any, expected: bool) -> None:
    """F56."""
    whole = {"type": "output_text", "text": "x", "annotations": [], "logprobs": []}
    assert mended_part(part) == (whole if expected else part)


def test_reasoning_gets_its_words_from_the_deltas() -> None:
    one = state(type="reasoning", id="rs")
    tell(one, "response.reasoning_text.delta", delta="Hm", content_index=0)
    item, rules = mended({"type": "reasoning", "id": "rs"}, one)
    assert item["content"] == [{"type": "reasoning_text", "text": "Hm"}]
    assert rules == ["repair.item", "repair.part"]


def test_an_empty_object_does_not_stand_for_arguments_that_came() -> None:
    one = state(type="function_call", call_id="c", name="f")
    tell(one, "response.function_call_arguments.delta", delta='{"a":1}')
    item, rules = mended({"type": "function_call", "call_id": "c", "arguments": {}}, one)
    assert item["arguments"] == '{"a":1}'
    assert "repair.arguments" in rules
