from __future__ import annotations

import pytest

from anyturn.wire.chat_stream import Unreadable
from anyturn.wire.server_events import CHAT, DONE, WHOLE, EventReader, ServerEvent

DELTA = b'{"type":"response.output_text.delta","item_id":"m","output_index":1,"delta":"x"}'


def read(*blocks: bytes) -> list[ServerEvent | Unreadable]:
    reader = EventReader()
    found = [one for block in blocks for one in reader.feed(block)]
    return found + reader.close()


def test_an_event_keeps_its_bytes_and_says_where_it_belongs() -> None:
    (event,) = read(b"event: x\ndata: " + DELTA + b"\n\n")
    assert isinstance(event, ServerEvent)
    assert (event.data, event.item_id, event.output_index, event.delta) == (DELTA, "m", 1, "x")
    assert event.sequence_number is None


def test_the_content_decides_and_nothing_waits_for_the_end() -> None:
    """F57: no header says what it is, and a message is there with its blank line."""
    reader = EventReader()
    assert reader.feed(b": hi\n\ndata: ") == []
    assert len(reader.feed(DELTA + b"\n\n")) == 1


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"type":"x","output_index":"1","item_id":7,"delta":{"a":1}}', (None, None, None)),
        (b'{"type":"x","output_index":true}', (None, None, None)),
        (b'{"type":"x","output_index":2,"item_id":"a","delta":3}', (2, "a", None)),
    ],
    ids=["all wrong", "a bool", "some wrong"],
)
def test_members_of_wrong_types_are_absent(data: bytes, expected: tuple[object, ...]) -> None:
    (event,) = read(b"data: " + data + b"\n\n")
    assert isinstance(event, ServerEvent)
    assert (event.output_index, event.item_id, event.delta) == expected
    assert event.data == data


def test_a_type_that_only_the_name_says_is_put_in() -> None:
    (event,) = read(b'event: response.created\ndata: {"response":{}}\n\n')
    assert isinstance(event, ServerEvent)
    assert event.type == "response.created"
    assert b'"type":"response.created"' in event.data


def test_an_answer_in_one_piece_is_one_event() -> None:
    (event,) = read(b'{"object":"response",', b'"id":"resp_1"}')
    assert isinstance(event, ServerEvent)
    assert event.type == WHOLE


@pytest.mark.parametrize("made", CHAT)
def test_what_a_server_of_chat_completions_sends_is_called_what_it_is(made: str) -> None:
    """It has no type of its own."""
    (event,) = read(b'data: {"object":"%b","choices":[]}\n\n' % made.encode())
    assert isinstance(event, ServerEvent)
    assert event.type == made


def test_the_end_that_a_server_says_itself_is_an_event() -> None:
    assert [e.type for e in read(b"data: [DONE]\n\n") if isinstance(e, ServerEvent)] == [DONE]


@pytest.mark.parametrize(
    "body",
    [b'{"error":{"message":"x"}}', b"<html></html>", b"[1]", b'data: {"type":\n\n', b"data: 1\n\n"],
    ids=["error", "page", "list", "broken", "number"],
)
def test_what_is_no_event_is_unreadable(body: bytes) -> None:
    (found,) = read(body)
    assert isinstance(found, Unreadable)
