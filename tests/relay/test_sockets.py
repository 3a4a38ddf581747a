from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import WSMsgType, web

from support.recordings import LIMIT_S, Recording, recording_relay

KEY = "sk-planted-9f8e7d6c5b4a39281706"
CREATE = {"type": "response.create", "model": "m", "input": "Hi"}
COMPLETED = {
    "type": "response.completed",
    "sequence_number": 1,
    "response": {"id": "resp_1", "status": "completed", "output": []},
}
# By hand: aiohttp keeps the body of a refusal to itself.
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def backend(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/v1/responses", handler)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def connected(
    handler: Handler, folder: Path, **options: Any
) -> AsyncIterator[tuple[aiohttp.ClientWebSocketResponse, Recording]]:
    """A client, the relay, and a backend that answers with this handler."""
    async with (
        asyncio.timeout(LIMIT_S),
        backend(handler) as url,
        recording_relay(url, folder) as relay,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{relay.base_url}/responses", **options) as socket,
    ):
        yield socket, relay


async def echo(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse(protocols=("b",))
    await socket.prepare(request)
    async for message in socket:
        await socket.send_frame(
            message.data.encode() if message.type is WSMsgType.TEXT else message.data, message.type
        )
    return socket


@pytest.mark.parametrize("compress", [0, 15], ids=["plain", "deflate"])
async def test_frames_of_every_kind_pass_both_ways(tmp_path: Path, compress: int) -> None:
    text, data = "✔" * 5000, bytes(range(256)) * 300
    async with connected(echo, tmp_path / "c", compress=compress) as (socket, _):
        assert bool(socket.compress) is bool(compress)
        await socket.send_str(text)
        await socket.send_bytes(data)
        await socket.send_str("")
        assert await socket.receive_str() == text
        assert await socket.receive_bytes() == data
        assert await socket.receive_str() == ""


async def test_pings_reach_the_backend_and_its_pongs_the_client(tmp_path: Path) -> None:
    async with connected(echo, tmp_path / "c", autoping=False) as (socket, _):
        await socket.ping(b"are you there")
        message = await socket.receive()
        assert (message.type, message.data) == (WSMsgType.PONG, b"are you there")


async def test_pings_of_the_backend_reach_the_client(tmp_path: Path) -> None:
    async def pinging(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        await socket.ping(b"n")
        pong = await socket.receive()
        await socket.send_str(f"{pong.type.name} {bytes(pong.data)!r}")
        await socket.receive()
        return socket

    async with connected(pinging, tmp_path / "c") as (socket, _):
        assert await socket.receive_str() == "PONG b'n'"


async def test_the_handshake_passes_headers_and_subprotocols(tmp_path: Path) -> None:
    seen: list[Any] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        socket = web.WebSocketResponse(protocols=("b",))
        socket.headers["X-Turn-State"] = "sticky"
        await socket.prepare(request)
        await socket.close()
        return socket

    headers = {"OpenAI-Beta": "responses_websockets=2026-02-06", "Authorization": f"Bearer {KEY}"}
    async with connected(answer, tmp_path / "c", headers=headers, protocols=("a", "b")) as (s, _):
        assert s.protocol == "b"
        assert s._response.headers["X-Turn-State"] == "sticky"
    assert seen[0].headers["Authorization"] == f"Bearer {KEY}"
    assert seen[0].headers["OpenAI-Beta"] == "responses_websockets=2026-02-06"
    assert seen[0].headers["Sec-WebSocket-Protocol"] == "a,b"


@pytest.mark.parametrize("code", [1000, 1001, 1011, 4001, 0])
async def test_the_backends_close_code_reaches_the_client(tmp_path: Path, code: int) -> None:
    async def closing(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if code:
            await socket.close(code=code, message=b"why")
        else:
            await socket.send_frame(b"", WSMsgType.CLOSE)
            await socket.receive()
        return socket

    async with connected(closing, tmp_path / "c", autoclose=False) as (socket, _):
        message = await socket.receive()
    assert message.type is WSMsgType.CLOSE
    assert (message.data or 0, message.extra or "") == (code, "why" if code else "")


@pytest.mark.parametrize("code", [1000, 4002])
async def test_the_clients_close_code_reaches_the_backend(tmp_path: Path, code: int) -> None:
    codes: asyncio.Queue[Any] = asyncio.Queue()

    async def listening(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        message = await socket.receive()
        codes.put_nowait((message.type, message.data, message.extra))
        return socket

    async with connected(listening, tmp_path / "c") as (socket, _):
        await socket.close(code=code, message=b"bye")
        assert await codes.get() == (WSMsgType.CLOSE, code, "bye")


async def test_a_client_that_vanishes_ends_the_backends_connection(tmp_path: Path) -> None:
    gone = asyncio.Event()

    async def waiting(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        try:
            async for _ in socket:
                await socket.send_str('{"type":"response.created"}')
        finally:
            gone.set()
        return socket

    async with connected(waiting, tmp_path / "c") as (socket, relay):
        await socket.send_json(CREATE)
        await socket.receive()
        assert socket._response.connection is not None
        socket._response.connection.transport.abort()
        await gone.wait()
    assert [capture.status for capture in relay.captures] == ["left"]


async def test_a_backend_that_vanishes_ends_the_clients_connection(tmp_path: Path) -> None:
    async def vanishing(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        assert request.transport is not None
        request.transport.abort()
        return socket

    async with connected(vanishing, tmp_path / "c") as (socket, relay):
        await socket.send_json(CREATE)
        assert (await socket.receive()).type in (WSMsgType.CLOSED, WSMsgType.ERROR)
    (capture,) = relay.captures
    assert capture.status == "failed"
    assert "1006" in capture.end.error["message"]


@pytest.mark.parametrize("status", [426, 401, 503])
async def test_a_refused_handshake_is_the_backends_answer(tmp_path: Path, status: int) -> None:
    async def refusing(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": "no"}, status=status, headers={"X-Why": "so"})

    async with (
        backend(refusing) as url,
        recording_relay(url, tmp_path / "c") as relay,
        aiohttp.ClientSession() as http,
        http.get(f"{relay.base_url}/responses", headers=HANDSHAKE) as response,
    ):
        assert (response.status, response.headers["X-Why"]) == (status, "so")
        assert await response.json() == {"error": "no"}


async def test_a_refusal_that_comes_in_pieces_arrives_whole(tmp_path: Path) -> None:
    pieces = [b'{"error":', b'"no"}']

    async def refusing(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=403)
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            # What was written is read alone.
            for _ in range(20):
                await asyncio.sleep(0)
        return response

    async with (
        asyncio.timeout(LIMIT_S),
        backend(refusing) as url,
        recording_relay(url, tmp_path / "c") as relay,
        aiohttp.ClientSession() as http,
        http.get(f"{relay.base_url}/responses", headers=HANDSHAKE) as response,
    ):
        assert (response.status, await response.read()) == (403, b"".join(pieces))


async def test_a_backend_that_is_not_there_is_told_in_the_relays_words(tmp_path: Path) -> None:
    async with (
        recording_relay("http://127.0.0.1:9/v1", tmp_path / "c") as relay,
        aiohttp.ClientSession() as http,
    ):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{relay.base_url}/responses")
    assert refused.value.status == 502


# ---------------------------------------------------------------- what is recorded


async def answering(request: web.Request) -> web.StreamResponse:
    """Each request gets its own words back, character by character, and its end."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    number = 0
    async for message in socket:
        asked = msgspec.json.decode(message.data)
        if asked["type"] != "response.create":
            continue
        number += 1
        for char in str(asked["input"]):
            delta = {"type": "response.output_text.delta", "output_index": 0, "delta": char}
            await socket.send_json(delta)
        if asked["input"] == "refuse":
            error = {"message": "No.", "code": "rate_limit_exceeded"}
            await socket.send_json({"type": "error", "status": 429, "error": error})
        else:
            await socket.send_str(msgspec.json.format(msgspec.json.encode(COMPLETED)).decode())
    return socket


async def turn(socket: aiohttp.ClientWebSocketResponse, words: str) -> list[Any]:
    await socket.send_json({**CREATE, "input": words})
    got = []
    while not got or got[-1]["type"] not in ("response.completed", "error"):
        got.append(await socket.receive_json())
    return got


async def test_each_request_on_a_connection_is_a_capture(tmp_path: Path) -> None:
    async with connected(answering, tmp_path / "c", compress=15) as (socket, relay):
        first = await turn(socket, "one")
        await socket.send_json({"type": "session.update"})
        second = await turn(socket, "two")
    captures = relay.captures
    assert [capture.request["input"] for capture in captures] == ["one", "two"]
    assert [capture.events for capture in captures] == [first, second]
    assert {(c.head.transport, c.status, c.head.model) for c in captures} == {
        ("websocket", "completed", "m")
    }
    assert all(capture.problems == [] for capture in captures)


async def test_an_error_frame_is_recorded_as_the_backends_refusal(tmp_path: Path) -> None:
    async with connected(answering, tmp_path / "c") as (socket, relay):
        await turn(socket, "refuse")
    (capture,) = relay.captures
    assert (capture.status, capture.end.http_status) == ("failed", 429)
    assert capture.end.error["message"] == "No."
    assert capture.end.error["source"] == "provider"


async def test_secrets_in_frames_are_in_no_file(tmp_path: Path) -> None:
    minted = "gsk_Zz9Yy8Xx7Ww6Vv5Uu4Tt3Ss2"
    headers = {"Authorization": f"Bearer {KEY}", "chatgpt-account-id": "acct-7f3e9b1c-of-ann"}
    words = f"{KEY} and {minted} of acct-7f3e9b1c-of-ann."
    async with connected(answering, tmp_path / "c", headers=headers) as (socket, relay):
        got = await turn(socket, words)
    assert "".join(one.get("delta", "") for one in got) == words
    (capture,) = relay.captures
    told = "".join(one.get("delta", "") for one in capture.events)
    for secret in (KEY, minted, "acct-7f3e9b1c-of-ann"):
        assert secret.encode() not in relay.written
        assert secret[-8:] not in told
