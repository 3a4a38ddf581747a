from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anyturn.relay.server import BackendError, backend_of, relaying
from anyturn.testing import Answer, ScriptedProvider, text
from anyturn.wire import sse
from support.recordings import (
    CHAT,
    LIMIT_S,
    Asked,
    ask,
    raw_backend,
    read_message,
    recording_relay,
    write_pieces,
)

# ---------------------------------------------------------------- nothing is changed

# What must not be sent twice, and what frames the body, is each connection's own.
NAMES = st.from_regex(r"X-[A-Za-z][A-Za-z0-9-]{0,12}", fullmatch=True)
VALUES = st.text("abcXYZ0189 !#$%&'*+-.^_`|~;=,\"/é✔", max_size=20).map(str.strip)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=6)
PATHS = st.lists(
    st.from_regex(r"[A-Za-z0-9._~!$&'()*+,;=:@-]{0,6}(%[0-9A-Fa-f]{2})?", fullmatch=True),
    min_size=1,
    max_size=4,
).map("/".join)
QUERIES = st.one_of(
    st.just(""), st.from_regex(r"\?[A-Za-z0-9=&/%]{0,3}[a-z](=[a-z0-9+%.]*)?", fullmatch=True)
).filter(lambda query: "%" not in query or query.count("%") == 0)
BLOCKS = st.lists(st.binary(min_size=1, max_size=40), max_size=5)


class Exchange(msgspec.Struct):
    """One request and one answer, as they are written and as they must arrive."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: list[bytes]
    chunked: bool
    status: int
    reason: str
    answer_headers: list[tuple[str, str]]
    answer: list[bytes]
    answer_framing: str


@st.composite
def exchanges(draw: Any) -> Exchange:
    return Exchange(
        method=draw(st.sampled_from(["POST", "PUT", "PATCH", "DELETE", "GET", "OPTIONS"])),
        path="/v1/" + draw(PATHS) + draw(QUERIES),
        headers=draw(HEADERS),
        body=draw(BLOCKS),
        chunked=draw(st.booleans()),
        status=draw(st.sampled_from([200, 201, 301, 302, 400, 404, 418, 429, 500, 503])),
        reason=draw(st.sampled_from(["OK", "Not As Usual", "x"])),
        answer_headers=draw(HEADERS),
        answer=draw(BLOCKS),
        answer_framing=draw(st.sampled_from(["length", "chunked", "close"])),
    )


def framed(lines: list[str], blocks: list[bytes], framing: str) -> list[bytes]:
    """The head and the body of a message, in the pieces in which they are written."""
    if framing == "length":
        lines = [*lines, f"Content-Length: {sum(map(len, blocks))}"]
    elif framing == "chunked":
        lines = [*lines, "Transfer-Encoding: chunked"]
        blocks = [b"%x\r\n%b\r\n" % (len(block), block) for block in blocks] + [b"0\r\n\r\n"]
    elif framing == "close":
        lines = [*lines, "Connection: close"]
    return [("\r\n".join(lines) + "\r\n\r\n").encode(), *blocks]


async def passed(exchange: Exchange, folder: Path) -> tuple[Asked, Asked]:
    """The request as the backend saw it, and the answer as the client saw it."""
    seen: list[Asked] = []

    async def answer(asked: Asked, _: Any, writer: asyncio.StreamWriter) -> None:
        seen.append(asked)
        lines = [f"HTTP/1.1 {exchange.status} {exchange.reason}"]
        lines += [f"{name}: {value}" for name, value in exchange.answer_headers]
        await write_pieces(writer, framed(lines, exchange.answer, exchange.answer_framing))

    async with raw_backend(answer) as origin, recording_relay(f"{origin}/v1", folder) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        lines = [f"{exchange.method} {exchange.path} HTTP/1.1", f"Host: 127.0.0.1:{relay.port}"]
        lines += [f"{name}: {value}" for name, value in exchange.headers]
        framing = "none" if not exchange.body else "chunked" if exchange.chunked else "length"
        await write_pieces(writer, framed(lines, exchange.body, framing))
        async with asyncio.timeout(LIMIT_S):
            got = await read_message(reader)
        writer.close()
    return seen[0], got


def own(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Headers without those of the connection."""
    framing = ("host", "content-length", "transfer-encoding", "connection")
    return [(name, value) for name, value in headers if name.lower() not in framing]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(exchange=exchanges())
def test_requests_and_answers_arrive_byte_for_byte(tmp_path: Path, exchange: Exchange) -> None:
    asked, got = asyncio.run(passed(exchange, tmp_path / "c"))
    assert asked.line == f"{exchange.method} {exchange.path} HTTP/1.1".encode()
    assert own(asked.headers) == exchange.headers
    assert asked.body == b"".join(exchange.body)
    assert got.line == f"HTTP/1.1 {exchange.status} {exchange.reason}".encode()
    assert own(got.headers) == exchange.answer_headers
    assert got.body == b"".join(exchange.answer)


async def test_hop_by_hop_headers_stay_on_their_connection(tmp_path: Path) -> None:
    exchange = Exchange(
        method="POST",
        path="/v1/%0A%2F/responses",
        headers=[("Connection", "x-mine"), ("X-Mine", "1"), ("TE", "trailers"), ("X-Other", "2")],
        body=[b"{}"],
        chunked=False,
        status=200,
        reason="OK",
        answer_headers=[("Keep-Alive", "timeout=5"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")],
        answer=[b"x"],
        answer_framing="length",
    )
    asked, got = await passed(exchange, tmp_path / "c")
    assert asked.line == b"POST /v1/%0A%2F/responses HTTP/1.1"
    assert own(asked.headers) == [("X-Other", "2")]
    assert own(got.headers) == [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]


async def test_a_head_request_keeps_the_length_of_what_is_not_sent(tmp_path: Path) -> None:
    async def answer(_asked: Asked, _: Any, writer: asyncio.StreamWriter) -> None:
        await write_pieces(writer, [b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n"])

    async with raw_backend(answer) as origin, recording_relay(origin, tmp_path / "c") as relay:
        reply = await ask("HEAD", f"{relay.base_url}/v1/x")
    assert (reply.status, reply.headers["Content-Length"]) == (200, "77")


async def test_a_client_that_waits_for_100_continue_is_told_to_go_on(tmp_path: Path) -> None:
    bodies: list[bytes] = []

    async def answer(asked: Asked, _: Any, writer: asyncio.StreamWriter) -> None:
        bodies.append(asked.body)
        assert b"expect" not in asked.head.lower()
        await write_pieces(writer, [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"])

    async with raw_backend(answer) as origin, recording_relay(origin, tmp_path / "c") as relay:
        reply = await ask("POST", f"{relay.base_url}/v1/responses", data=b"{}", expect100=True)
    assert reply.raw == b"ok"
    assert bodies == [b"{}"]


# ---------------------------------------------------------------- as it comes


async def test_an_event_reaches_the_client_before_the_backend_sends_the_next(tmp_path) -> None:
    """Held back until the client has it: with a buffer in between this would never end."""
    received: asyncio.Queue[bytes] = asyncio.Queue()
    events = [sse.encode(b'{"type":"response.x","n":%d}' % n) for n in range(4)]

    async def answer(_asked: Asked, _: Any, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        await write_pieces(writer, [head])
        for event in events:
            await write_pieces(writer, [event])
            assert await received.get() == event

    async with (
        asyncio.timeout(LIMIT_S),
        raw_backend(answer) as origin,
        recording_relay(origin, tmp_path / "c") as relay,
        aiohttp.ClientSession() as http,
        http.post(f"{relay.base_url}/v1/responses", data=b"{}") as response,
    ):
        for _ in events:
            received.put_nowait(await response.content.readany())
        assert await response.content.read() == b""


async def test_a_request_body_goes_on_as_it_comes(tmp_path: Path) -> None:
    """The backend has the first piece before the client sends the second."""
    arrived = asyncio.Event()

    async def answer(asked: Asked, reader: asyncio.StreamReader, writer: Any) -> None:
        await write_pieces(writer, [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"one")
        arrived.set()
        await reader.readuntil(b"two")
        await write_pieces(writer, [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"])
        writer.close()

    async def body() -> Any:
        yield b"one"
        await arrived.wait()
        yield b"two"

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with (
        asyncio.timeout(LIMIT_S),
        recording_relay(origin, tmp_path / "c") as relay,
        aiohttp.ClientSession() as http,
        http.post(f"{relay.base_url}/v1/other", data=body()) as response,
    ):
        assert await response.read() == b"ok"
    server.close()


# ---------------------------------------------------------------- whoever leaves


async def test_a_client_that_leaves_takes_the_backends_request_along(tmp_path: Path) -> None:
    async with (
        ScriptedProvider([Answer(text("Hello."), hold_after=1)]) as provider,
        recording_relay(provider.base_url, tmp_path / "c") as relay,
        aiohttp.ClientSession() as http,
    ):
        response = await http.post(f"{relay.base_url}/chat/completions", json=CHAT)
        await response.content.readany()
        response.close()
        await provider.cancelled(1, LIMIT_S)
    (capture,) = relay.captures
    assert capture.status == "left"
    assert capture.stream


async def test_a_client_that_leaves_with_the_whole_answer_has_not_left_it(tmp_path: Path) -> None:
    """Codex hangs up once it has the terminal event."""
    async with (
        ScriptedProvider([Answer(text("Hello."), hold_after=3)]) as provider,
        recording_relay(provider.base_url, tmp_path / "c") as relay,
        aiohttp.ClientSession() as http,
    ):
        response = await http.post(f"{relay.base_url}/chat/completions", json=CHAT)
        came = b""
        while b'"finish_reason":"stop"' not in came:
            came += await response.content.readany()
        response.close()
        await provider.cancelled(1, LIMIT_S)
    (capture,) = relay.captures
    assert capture.status == "completed"
    assert capture.end.http_status == 200
    assert "content-type" in capture.end.headers


async def test_a_backend_that_breaks_off_breaks_the_clients_answer(tmp_path: Path) -> None:
    """What came is delivered, and the end is no end."""

    async def answer(_asked: Asked, _: Any, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        await write_pieces(writer, [head, b"5\r\nhello\r\n"])

    async with (
        raw_backend(answer) as origin,
        recording_relay(origin, tmp_path / "c") as relay,
        aiohttp.ClientSession() as http,
        http.post(f"{relay.base_url}/v1/responses", data=b"{}") as response,
    ):
        assert await response.content.readexactly(5) == b"hello"
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.content.readany()
    (capture,) = relay.captures
    assert (capture.status, capture.end.error["code"]) == ("failed", "stream_cut")
    assert capture.stream == b"hello"


async def test_a_backend_that_is_not_there_is_told_in_the_relays_words(tmp_path, caplog) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with recording_relay(f"http://127.0.0.1:{port}/v1", tmp_path / "c") as relay:
        reply = await ask("POST", f"{relay.base_url}/responses", json={"model": "m"})
        assert (await ask("GET", f"{relay.base_url}/models")).status == 502
    assert reply.status == 502
    error = reply.json["error"]
    assert error["source"] == "relay"
    assert "these words are the relay's" in error["message"]
    (capture,) = relay.captures
    assert capture.blocks == []
    assert capture.end.error["source"] == "relay"
    assert "cannot be reached" in caplog.text


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("url", "origin", "path"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com", "/v1"),
        ("https://api.openai.com/v1/", "https://api.openai.com", "/v1"),
        ("http://localhost:8000", "http://localhost:8000", ""),
        ("https://openrouter.ai/api/v1", "https://openrouter.ai", "/api/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000", "/v1"),
    ],
)
def test_backends(url: str, origin: str, path: str) -> None:
    backend = backend_of(url)
    assert (backend.origin, backend.path) == (origin, path)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("api.openai.com/v1", "http:// or https://"),
        ("localhost:8000/v1", "http:// or https://"),
        ("ftp://x/v1", "http:// or https://"),
        ("", "http:// or https://"),
        ("https://", "http:// or https://"),
        ("https://x:99999/v1", "no URL"),
        ("https://user:pass@x/v1", "address and a path only"),
        ("https://x/v1?key=1", "address and a path only"),
    ],
)
def test_what_is_no_backend_is_said(url: str, words: str) -> None:
    with pytest.raises(BackendError, match=words):
        backend_of(url)


async def test_without_a_recorder_it_only_relays() -> None:
    async with (
        ScriptedProvider([Answer(text("Hello."))]) as provider,
        relaying(backend_of(provider.base_url), None) as (relay, base_url),
    ):
        reply = await ask("POST", f"{base_url}/chat/completions", json=CHAT)
    assert reply.raw.endswith(b"data: [DONE]\n\n")
    assert relay.relayed == 1


# ---------------------------------------------------------------- odd answers, and ways there


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_passes(tmp_path: Path, status: int) -> None:
    async def answer(_asked: Asked, _: Any, writer: asyncio.StreamWriter) -> None:
        await write_pieces(writer, [f"HTTP/1.1 {status} So\r\nETag: x\r\n\r\n".encode()])

    async with raw_backend(answer) as origin, recording_relay(origin, tmp_path / "c") as relay:
        reply = await ask("GET", f"{relay.base_url}/v1/x")
    assert (reply.status, reply.raw, reply.headers["ETag"]) == (status, b"", "x")
    assert "Content-Type" not in reply.headers and "Server" not in reply.headers


async def test_a_header_that_cannot_be_passed_on_is_refused_in_the_relays_words(tmp_path) -> None:
    async with recording_relay("http://127.0.0.1:9", tmp_path / "c") as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(b"GET /v1/x HTTP/1.1\r\nHost: x\r\nX-Latin: \xe9\r\n\r\n")
        got = await read_message(reader)
        writer.close()
    assert got.line.startswith(b"HTTP/1.1 400")
    assert b"no UTF-8" in got.body and b'"source":"relay"' in got.body


async def test_an_answer_that_is_no_http_is_told_in_the_relays_words(tmp_path: Path) -> None:
    async def answer(_asked: Asked, _: Any, writer: asyncio.StreamWriter) -> None:
        await write_pieces(writer, [b"\x15\x03\x01 this is TLS\r\n\r\n"])

    async with raw_backend(answer) as origin, recording_relay(origin, tmp_path / "c") as relay:
        reply = await ask("POST", f"{relay.base_url}/v1/responses", json={})
    assert (reply.status, reply.json["error"]["source"]) == (502, "relay")


async def test_a_backend_on_this_machine_is_reached_past_a_proxy(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with (
        ScriptedProvider([]) as provider,
        recording_relay(provider.base_url, tmp_path / "c") as relay,
    ):
        assert (await ask("GET", f"{relay.base_url}/models")).status == 200


async def test_other_backends_are_reached_through_the_systems_proxy(tmp_path, monkeypatch) -> None:
    lines: list[bytes] = []

    async def answer(asked: Asked, _: Any, writer: asyncio.StreamWriter) -> None:
        lines.append(asked.line)
        await write_pieces(writer, [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"])

    async with raw_backend(answer) as proxy:
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", proxy)
        async with recording_relay("http://backend.invalid/v1", tmp_path / "c") as relay:
            reply = await ask("POST", f"{relay.base_url}/responses", json={})
    assert reply.raw == b"ok"
    assert lines == [b"POST http://backend.invalid/v1/responses HTTP/1.1"]
