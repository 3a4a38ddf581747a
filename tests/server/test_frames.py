from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.errors import Kind, TurnError
from anyturn.server.frames import (
    BINARY,
    CROWDED,
    Waiting,
    error_frame,
    read_message,
    request_of,
)

# ---------------------------------------------------------------- what a client sends


def request(**fields: Any) -> dict[str, Any]:
    return request_of(
        read_message(msgspec.json.encode({"type": "response.create", "input": "Hi", **fields}))
    )


def test_a_message_is_the_body_of_a_post_and_its_type() -> None:
    assert request(model="m", generate=False) == {"input": "Hi", "model": "m", "generate": False}


@pytest.mark.parametrize("value", [True, False, None, {"include_usage": True}, "yes"])
def test_what_means_nothing_on_a_websocket_is_ignored(value: Any) -> None:
    """Codex sends `stream` (responses-api.md section 6, 7)."""
    assert request(stream=value, stream_options=value, background=value) == {"input": "Hi"}


@pytest.mark.parametrize(
    ("frame", "kind", "param", "words"),
    [
        (b"", Kind.INVALID_JSON, None, "not valid JSON"),
        (b'{"type":', Kind.INVALID_JSON, None, "not valid JSON"),
        (b"[1]", Kind.INVALID_REQUEST, None, "must be a JSON object"),
        (b"{}", Kind.INVALID_REQUEST, "type", "'response.create', and is missing"),
        (b'{"type":7}', Kind.INVALID_REQUEST, "type", "not a string"),
        (b'{"type":"response.cancel"}', Kind.INVALID_REQUEST, "type", "'response.cancel'"),
    ],
    ids=["nothing", "cut", "list", "no-type", "a-number", "another"],
)
def test_what_is_no_message_is_refused_in_words(
    frame: bytes, kind: Kind, param: str | None, words: str
) -> None:
    with pytest.raises(TurnError) as caught:
        read_message(frame)
    assert (caught.value.kind, caught.value.param) == (kind, param)
    assert words in caught.value.message


def test_a_wrong_type_is_refused_with_its_field() -> None:
    with pytest.raises(TurnError) as caught:
        request(generate="no")
    assert caught.value.param == "generate"


# ---------------------------------------------------------------- what it gets instead of events


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name)
def test_an_error_frame_has_the_status_and_the_envelope_of_the_http_answer(kind: Kind) -> None:
    error = TurnError(kind, "It broke.", param="input", provider="acme", provider_status=500)
    frame = msgspec.json.decode(error_frame(error))
    assert frame["type"] == "error"
    assert frame["status"] == kind.status
    assert {"error": frame["error"]} == error.envelope()
    limited = kind in (Kind.RATE_LIMITED, Kind.TOO_MANY_WAITING)
    assert frame.get("headers") == ({"retry-after": "1"} if limited else None)


def test_an_error_frame_says_when_to_come_back() -> None:
    error = TurnError(Kind.RATE_LIMITED, "Slow down.", retry_after=6.2)
    assert msgspec.json.decode(error_frame(error))["headers"] == {"retry-after": "7"}


# ---------------------------------------------------------------- those that wait


def taken(waiting: Waiting) -> list[bytes | TurnError]:
    found = []
    while (frame := waiting.take()) is not None:
        found.append(frame)
    return found


def test_messages_are_answered_in_order_and_those_without_room_behind_them() -> None:
    waiting = Waiting(1000)
    frames: list[bytes | TurnError] = [b"%d" % number for number in range(15)]
    for frame in [*frames, BINARY, b"x", b"y"]:
        waiting.put(frame)
    assert len(waiting) == 18
    assert taken(waiting) == [*frames, BINARY, CROWDED, CROWDED]
    waiting.put(b"z")
    assert taken(waiting) == [b"z"]


def test_what_comes_behind_a_message_that_was_turned_away_does_not_overtake_it() -> None:
    waiting = Waiting(10)
    for frame in (b"12345678", b"1234", b"1"):
        waiting.put(frame)
    assert waiting.take() == b"12345678"
    waiting.put(b"2")
    assert taken(waiting) == [CROWDED] * 3


@given(st.lists(st.one_of(st.none(), st.binary(max_size=40)), max_size=80), st.integers(1, 100))
def test_every_message_is_answered_once_and_little_is_kept(
    steps: list[bytes | None], limit: int
) -> None:
    waiting = Waiting(limit)
    put = answered = 0
    for step in steps:
        if step is None:
            answered += waiting.take() is not None
        else:
            waiting.put(step)
            put += 1
        assert len(waiting._frames) <= 16
        kept = sum(map(len, waiting._frames))  # type: ignore[arg-type]
        assert kept == waiting._bytes
        assert kept <= limit or len(waiting._frames) == 1
    assert answered + len(taken(waiting)) == put
