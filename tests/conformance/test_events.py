from __future__ import annotations

from typing import Any

import pytest

from anyturn.conformance.events import CHAT, UNTYPED, Event, is_known, shown, type_of


@pytest.mark.parametrize(
    ("body", "type"),
    [
        ({"type": "response.created"}, "response.created"),
        ({"object": "chat.completion.chunk"}, CHAT),
        ({"choices": []}, CHAT),
        ({"type": ""}, UNTYPED),
        ({"type": 7}, UNTYPED),
        ({"type": "two words"}, UNTYPED),
        ({"object": 7}, UNTYPED),
        ({}, UNTYPED),
    ],
)
def test_the_type_of_an_object(body: dict[str, Any], type: str) -> None:
    assert type_of(body) == type


@pytest.mark.parametrize(
    "type",
    [
        *("response.output_text.delta", "response.web_search_call.searching", "error"),
        *("response.code_interpreter_call_code.delta", "response.mcp_call_arguments.done"),
        *("keepalive", "response.metadata", "response.reasoning.delta"),
    ],
)
def test_an_event_of_the_api_is_known(type: str) -> None:
    assert is_known(type)


@pytest.mark.parametrize(
    "type", ["response.tool_call.delta", "response.web_search_call", "content_block_delta", "ping"]
)
def test_any_other_event_is_not(type: str) -> None:
    assert not is_known(type)


def test_members_of_the_wrong_type_are_as_if_absent() -> None:
    event = Event("x", {"item": 7, "response": [], "output_index": True, "delta": None}, 0)
    assert (event.spoken, event.response, event.index(), event.text("delta")) == ({}, {}, None, "")
    assert Event("x", {"item": {"type": []}, "output_index": -1}, 0).kind == ""


@pytest.mark.parametrize(
    ("value", "text"), [("abcdef", "abc…"), ({"a": 1}, '{"a…'), (None, "null"), ("abcd", "abcd")]
)
def test_a_value_is_shown_cut(value: Any, text: str) -> None:
    assert shown(value, 4) == text
