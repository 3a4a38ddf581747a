from __future__ import annotations

import types
import typing
from typing import Any

import msgspec
import pytest

from anyturn.wire import responses as r
from support.stream_rules import RESPONSE_MEMBERS

JSON = dict[str, Any]
RESPONSE = r.Response(id="resp_1", created_at=1, model="m")


def decoded(event: r.Event) -> JSON:
    frame = r.encode_event(event)
    name, _, data = frame.removesuffix(b"\n\n").partition(b"\ndata: ")
    body: JSON = msgspec.json.decode(data)
    assert name == b"event: " + body["type"].encode()
    return body


def test_an_event_is_one_message_named_after_its_type() -> None:
    delta = r.TextDelta("msg_1", 0, 0, "a\nb\u2028", 4)
    assert (
        r.encode_event(delta)
        == (
            "event: response.output_text.delta\n"
            'data: {"type":"response.output_text.delta","item_id":"msg_1","output_index":0,'
            '"content_index":0,"delta":"a\\nb\u2028","sequence_number":4,"logprobs":[]}\n\n'
        ).encode()
    )


def test_every_event_has_a_type_and_a_number() -> None:
    for event in typing.get_args(r.OwnEvent):
        assert event.__struct_config__.tag_field == "type"
        assert event.__struct_config__.tag.startswith("response.") or event is r.StreamError
        assert "sequence_number" in event.__struct_fields__


def test_no_two_events_have_one_type() -> None:
    tags = [event.__struct_config__.tag for event in typing.get_args(r.OwnEvent)]
    assert len(set(tags)) == len(tags)


@pytest.mark.parametrize("union", [r.OwnEvent, r.Item, r.Part], ids=["event", "item", "part"])
def test_nothing_changes_after_it_was_handed_out(union: types.UnionType) -> None:
    """F51."""
    for form in (*typing.get_args(union), r.Response, r.Usage):
        assert form.__struct_config__.frozen


def test_the_response_has_all_its_31_members() -> None:
    assert set(msgspec.to_builtins(RESPONSE)) == RESPONSE_MEMBERS
    assert len(RESPONSE_MEMBERS) == 31


def test_usage_always_has_its_details() -> None:
    """F58."""
    assert msgspec.to_builtins(r.Usage(1, 2, 3)) == {
        "input_tokens": 1,
        "output_tokens": 2,
        "total_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        pytest.param(
            r.ReasoningItem("rs_1"),
            {"type": "reasoning", "id": "rs_1", "summary": []},
            id="reasoning",
        ),
        pytest.param(
            r.FunctionCall("fc_1", "call_1", "shell", "{}", "completed"),
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "call_1",
                "name": "shell",
                "arguments": "{}",
                "status": "completed",
            },
            id="function call",
        ),
        pytest.param(
            r.CustomToolCall("ctc_1", "call_1", "note", "x", "completed", "mcp__docs"),
            {
                "type": "custom_tool_call",
                "id": "ctc_1",
                "call_id": "call_1",
                "name": "note",
                "input": "x",
                "status": "completed",
                "namespace": "mcp__docs",
            },
            id="namespaced freeform call",
        ),
        pytest.param(
            r.MessageItem("msg_1", "completed", (r.OutputText("a"), r.Refusal("b"))),
            {
                "type": "message",
                "id": "msg_1",
                "status": "completed",
                "role": "assistant",
                "content": [
                    {"type": "output_text", "text": "a", "annotations": [], "logprobs": []},
                    {"type": "refusal", "refusal": "b"},
                ],
            },
            id="message",
        ),
    ],
)
def test_what_an_item_does_not_have_is_absent_and_never_null(item: r.Item, expected: JSON) -> None:
    assert msgspec.json.decode(r.encode_json(item)) == expected


def test_an_error_event_is_flat_and_nested() -> None:
    nested = {"type": "server_error", "code": "c", "message": "m", "param": None}
    assert decoded(r.StreamError(3, "c", "m", nested)) == {
        "type": "error",
        "sequence_number": 3,
        "code": "c",
        "message": "m",
        "param": None,
        "error": nested,
    }


def test_a_response_that_opens_has_said_nothing() -> None:
    response = decoded(r.Created(RESPONSE, 0))["response"]
    assert response["status"] == "in_progress"
    assert response["output"] == []
    assert [response[name] for name in ("usage", "completed_at", "error")] == [None, None, None]
