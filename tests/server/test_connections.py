from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
import pytest

from anyturn.testing import text
from support.http_clients import ASK, KEY

HELLO = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + bytes(196)
POST = b"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\n"


async def answer_to(port: int, noise: bytes) -> tuple[bytes, bytes]:
    """The head and the body of what the gateway answers before it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(noise)
    async with asyncio.timeout(5):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return head, body


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        pytest.param(HELLO, "must begin with http://, not https://", id="TLS"),
        pytest.param(b"GARBAGE\r\n\r\n", "not a valid HTTP request", id="no HTTP"),
        pytest.param(b"\x00" * 100, "not a valid HTTP request", id="zeros"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not a valid HTTP request", id="HTTP/2"),
        pytest.param(POST + b"X: " + b"a" * 20_000 + b"\r\n\r\n", "more than", id="a long header"),
        pytest.param(
            POST + b"Authorization: Bearer " + KEY.encode() + b"\x01\r\n\r\n",
            "not a valid HTTP request",
            id="a broken header",
        ),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            "not a valid HTTP request",
            id="a broken chunk",
        ),
    ],
)
async def test_what_is_no_http_is_told_in_the_envelope_f70(
    stage: Any, caplog: pytest.LogCaptureFixture, noise: bytes, words: str
) -> None:
    on = await stage(text("Hi."))
    with caplog.at_level(logging.INFO):
        head, body = await answer_to(on.port, noise)
    lines = head.decode().split("\r\n")
    assert lines[0].endswith(" 400 Bad Request")
    assert "Content-Type: application/json" in lines
    assert any(line.startswith("Server: anyturn/") for line in lines)
    error = msgspec.json.decode(body)["error"]
    assert (error["code"], error["source"]) == ("invalid_value", "client")
    assert words in error["message"]
    assert words in caplog.text
    assert "Traceback" not in caplog.text
    # The parser quotes what it could not read, and that may be a header with a key.
    assert KEY not in caplog.text + body.decode()
    assert (await on.post(ASK)).status == 200


async def test_a_client_that_speaks_tls_is_warned_of_in_the_log_f70(
    stage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    on = await stage()
    await answer_to(on.port, HELLO)
    (warning,) = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert warning.name == "anyturn"
    assert "from 127.0.0.1" in warning.getMessage()


@pytest.mark.parametrize("noise", [HELLO, b"GARBAGE\r\n\r\n", b"\x00" * 100, b"\r\n\r\n", b""])
async def test_noise_that_ends_at_once_hurts_nobody(stage: Any, noise: bytes) -> None:
    on = await stage()
    reader, writer = await asyncio.open_connection("127.0.0.1", on.port)
    writer.write(noise)
    writer.write_eof()
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    assert answer == b"" or answer.startswith(b"HTTP/1.0 400 ")
    assert await on.serves()
