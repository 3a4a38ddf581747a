from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import brotli
import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.errors import Kind, TurnError
from anyturn.server import body as body_module
from anyturn.server.body import decode_body
from anyturn.testing import text

JSON = dict[str, Any]
LIMIT = 1_000_000
REQUEST: JSON = {"model": "gpt-oss-120b", "input": "Hi", "stream": False}


def zstd_stream(data: bytes) -> bytes:
    """zstd as a streaming encoder writes it: without the size in its header."""
    coder = zstandard.ZstdCompressor().compressobj()
    return coder.compress(data) + coder.flush()


ENCODERS: list[tuple[str, str, Callable[[bytes], bytes]]] = [
    ("zstd", "zstd", zstandard.compress),
    ("zstd stream", "zstd", zstd_stream),
    ("gzip", "gzip", gzip.compress),
    ("x-gzip", "x-gzip", gzip.compress),
    ("deflate", "deflate", zlib.compress),
    ("br", "br", lambda data: brotli.compress(data, quality=3)),
    ("identity", "identity", bytes),
]
ENCODED = pytest.mark.parametrize(
    ("encoding", "encode"), [row[1:] for row in ENCODERS], ids=[row[0] for row in ENCODERS]
)
COMPRESSED = pytest.mark.parametrize(
    ("encoding", "encode"),
    [row[1:] for row in ENCODERS[:-1]],
    ids=[row[0] for row in ENCODERS[:-1]],
)


# ---------------------------------------------------------------- decoding


@ENCODED
@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 900_000])
def test_a_body_comes_back_as_it_was(
    encoding: str, encode: Callable[[bytes], bytes], size: int
) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert decode_body(encode(data), encoding, LIMIT) == data


@COMPRESSED
def test_a_body_that_does_not_shrink_comes_back_too(
    encoding: str, encode: Callable[[bytes], bytes]
) -> None:
    noise = b"".join(zlib.crc32(bytes([n % 256, n // 256])).to_bytes(4) for n in range(60_000))
    assert decode_body(encode(noise), encoding, LIMIT) == noise


@settings(deadline=None)
@given(st.binary(max_size=3000), st.sampled_from(ENCODERS))
def test_whatever_was_encoded_is_decoded(data: bytes, encoder: Any) -> None:
    _, encoding, encode = encoder
    assert decode_body(encode(data), encoding, LIMIT) == data


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from([row[1] for row in ENCODERS]))
def test_noise_is_refused_or_decoded_but_never_breaks(noise: bytes, encoding: str) -> None:
    with suppress(TurnError):
        decode_body(noise, encoding, LIMIT)


@COMPRESSED
@pytest.mark.parametrize("left", [0.0, 0.3, 0.9, 0.999])
def test_a_body_that_is_cut_off_is_refused(
    encoding: str, encode: Callable[[bytes], bytes], left: float
) -> None:
    data = b"".join(b"%d," % number for number in range(20_000))
    whole = encode(data)
    with pytest.raises(TurnError, match=f"is not valid {encoding}") as caught:
        decode_body(whole[: int(len(whole) * left)], encoding, LIMIT)
    assert caught.value.kind is Kind.INVALID_JSON


@COMPRESSED
def test_the_limit_is_of_what_comes_out(encoding: str, encode: Callable[[bytes], bytes]) -> None:
    assert len(decode_body(encode(bytes(LIMIT)), encoding, LIMIT)) == LIMIT
    with pytest.raises(TurnError, match="larger than 1,000,000 bytes") as caught:
        decode_body(encode(bytes(LIMIT + 1)), encoding, LIMIT)
    assert caught.value.kind is Kind.BODY_TOO_LARGE


@COMPRESSED
def test_a_bomb_takes_no_memory(encoding: str, encode: Callable[[bytes], bytes]) -> None:
    bomb = encode(bytes(150_000_000))
    assert len(bomb) < 200_000
    tracemalloc.start()
    try:
        with pytest.raises(TurnError, match="larger than"):
            decode_body(bomb, encoding, LIMIT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 48 * 1024 * 1024


def test_a_zstd_window_beyond_what_http_allows_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    coder = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = coder.compress(b"{}") + coder.flush()
    with pytest.raises(TurnError, match="is not valid zstd"):
        decode_body(body, "zstd", LIMIT)


def test_an_encoding_that_nobody_knows_is_named() -> None:
    with pytest.raises(TurnError, match=r"'lzma' is unknown\. Known: zstd, gzip") as caught:
        decode_body(b"", "lzma", LIMIT)
    assert caught.value.kind is Kind.UNKNOWN_ENCODING


# ---------------------------------------------------------------- over HTTP


@ENCODED
async def test_a_request_may_be_encoded_f65(
    stage: Any, encoding: str, encode: Callable[[bytes], bytes]
) -> None:
    on = await stage(text("Hello."))
    body = encode(msgspec.json.encode({**REQUEST, "input": "Grüße, " + "x" * 50_000}))
    reply = await on.post(body, Content_Encoding=encoding)
    assert reply.status == 200
    sent = on.provider.requests[0].messages[-1]["content"]
    assert sent == "Grüße, " + "x" * 50_000


async def test_encodings_may_be_stacked(stage: Any) -> None:
    on = await stage(text("Hello."))
    body = zstandard.compress(gzip.compress(msgspec.json.encode(REQUEST)))
    reply = await on.post(body, Content_Encoding="gzip,  ZSTD ,")
    assert reply.status == 200


@pytest.mark.parametrize(
    ("encoding", "status", "code"),
    [
        ("lzma", 415, "unsupported_encoding"),
        ("gzip, compress", 415, "unsupported_encoding"),
        (", ".join(["gzip"] * 500), 415, "unsupported_encoding"),
        ("gzip", 400, "invalid_json"),
        ("zstd", 400, "invalid_json"),
        ("deflate", 400, "invalid_json"),
        ("br", 400, "invalid_json"),
    ],
    ids=["unknown", "unknown on top", "too many", "gzip", "zstd", "deflate", "br"],
)
async def test_a_body_that_is_not_what_its_header_says_is_refused_f65(
    stage: Any, encoding: str, status: int, code: str
) -> None:
    on = await stage()
    reply = await on.post(REQUEST, Content_Encoding=encoding)
    assert (reply.status, reply.error["code"]) == (status, code)
    assert reply.error["source"] == "client"
    assert await on.serves()


@COMPRESSED
async def test_a_bomb_is_refused(
    stage: Any, encoding: str, encode: Callable[[bytes], bytes]
) -> None:
    on = await stage(max_body_bytes=LIMIT)
    reply = await on.post(encode(bytes(20 * LIMIT)), Content_Encoding=encoding)
    assert (reply.status, reply.error["code"]) == (413, "request_too_large")
    assert await on.serves()


async def send_raw(port: int, *pieces: bytes) -> tuple[Any, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    return reader, writer


HEAD = b"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


async def test_a_length_beyond_the_limit_is_refused_before_the_body_comes(stage: Any) -> None:
    on = await stage()
    reader, writer = await send_raw(on.port, HEAD + b"Content-Length: 104857600\r\n\r\n")
    async with asyncio.timeout(5):
        assert await reader.readline() == b"HTTP/1.1 413 Request Entity Too Large\r\n"
        assert b'"request_too_large"' in await reader.readuntil(b"}}")
    writer.close()
    assert await on.serves()


async def test_a_body_of_100_megabytes_without_a_length_is_refused(stage: Any) -> None:
    on = await stage()
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            yield b" " * 1_000_000
            sent += 1_000_000

    reply = await on.post(pieces())
    assert (reply.status, reply.error["code"]) == (413, "request_too_large")
    assert "larger than 67,108,864 bytes" in reply.error["message"]
    assert sent >= 64_000_000
    assert await on.serves()


async def test_a_body_of_60_megabytes_is_taken(stage: Any) -> None:
    on = await stage(text("Hello."))
    reply = await on.post({**REQUEST, "input": "x" * 60_000_000})
    assert reply.status == 200
    assert len(on.provider.requests[0].raw) > 60_000_000


@pytest.mark.parametrize(
    "beginning",
    [
        HEAD + b'Content-Length: 500\r\n\r\n{"input',
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        HEAD,
        b"",
    ],
    ids=["length", "chunked", "in the headers", "nothing"],
)
async def test_a_client_that_leaves_in_the_middle_of_its_body_is_forgotten(
    stage: Any, beginning: bytes
) -> None:
    on = await stage()
    reader, writer = await send_raw(on.port, beginning)
    writer.write_eof()
    async with asyncio.timeout(5):
        await reader.read()
    writer.close()
    assert on.provider.requests == []
    assert await on.serves()


async def test_a_body_that_stops_coming_is_not_waited_for(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_module, "_SILENCE_S", 0.05)
    on = await stage()
    reader, writer = await send_raw(on.port, HEAD + b'Content-Length: 500\r\n\r\n{"input"')
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
        answer = await reader.readuntil(b"}}")
    assert b"stopped after 8 bytes" in answer
    writer.close()


async def test_a_body_whose_framing_breaks_is_not_waited_for(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_module, "_SILENCE_S", 0.05)
    on = await stage()
    beginning = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"
    reader, writer = await send_raw(on.port, beginning)
    await asyncio.sleep(0.01)
    writer.write(b"no chunk\r\n")
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
    writer.close()
    assert await on.serves()
