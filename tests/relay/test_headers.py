from __future__ import annotations

import pytest

from anyturn.relay.headers import passed_on


def test_order_spelling_and_repetition_stay() -> None:
    raw = [(b"x-B", b"1"), (b"X-a", b" 2"), (b"x-b", b"3"), (b"Authorization", b"Bearer x")]
    assert list(passed_on(raw).items()) == [
        ("x-B", "1"),
        ("X-a", " 2"),
        ("x-b", "3"),
        ("Authorization", "Bearer x"),
    ]


def test_what_is_of_one_connection_stays_there() -> None:
    raw = [
        *((b"Host", b"a"), (b"Connection", b"close, X-Own"), (b"x-own", b"1")),
        *((b"Transfer-Encoding", b"chunked"), (b"Expect", b"100-continue"), (b"X-Other", b"2")),
    ]
    assert list(passed_on(raw)) == ["X-Other"]


def test_a_handshake_has_headers_of_its_own() -> None:
    raw = [(b"Sec-WebSocket-Key", b"a"), (b"Upgrade", b"websocket"), (b"OpenAI-Beta", b"x")]
    assert list(passed_on(raw, handshake=True)) == ["OpenAI-Beta"]
    assert list(passed_on(raw)) == ["Sec-WebSocket-Key", "OpenAI-Beta"]


def test_what_cannot_be_sent_as_it_is_is_refused() -> None:
    with pytest.raises(UnicodeDecodeError):
        passed_on([(b"X-Latin", b"\xe9")])
