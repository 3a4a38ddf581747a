from __future__ import annotations

from typing import Any

import pytest

from anyturn.translate.foreign_forms import Piece, read_piece, standard_items

JSON = dict[str, Any]
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a":1}'}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"call_id": "c", "name": "f", "arguments": "{}"}, Piece("c", "f", "{}")),
        ({"item_id": "fc_1", "delta": '{"a'}, Piece("", "", '{"a')),
        ({"delta": {"type": "function_call_delta", "arguments": "x"}}, Piece("", "", "x")),
        (
            {"tool_call": {"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}},
            Piece("c", "f", '{"a":1}'),
        ),
        ({"delta": {"type": "text_delta", "text": "Hi"}}, None),
        ({"output_index": 1}, None),
    ],
    ids=["flat", "delta", "nested delta", "chat", "text", "nothing"],
)
def test_a_piece_of_a_call_is_found_wherever_it_stands(body: JSON, expected: Piece | None) -> None:
    assert read_piece({"type": "response.tool_call.delta", **body}) == expected


@pytest.mark.parametrize(
    "item",
    [
        {"type": "tool_call", "call_id": "c", "name": "f", "arguments": '{"a":1}'},
        {"type": "tool_call", "id": "c", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
    ],
    ids=["flat", "chat", "claude"],
)
def test_a_call_of_another_api_becomes_a_function_call(item: JSON) -> None:
    assert standard_items(item) == [CALL]


def test_calls_in_a_message_stand_behind_it() -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]
    message = {"type": "message", "content": [{"type": "output_text", "text": "x"}]}
    assert standard_items({**message, "tool_calls": calls}) == [message, CALL]
    assert standard_items({"type": "message", "content": [], "tool_calls": calls}) == [CALL]


def test_everything_else_stays_as_it_is() -> None:
    item = {"type": "web_search_call", "id": "ws_1"}
    assert standard_items(item) == [item]
