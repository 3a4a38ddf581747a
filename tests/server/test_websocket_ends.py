"""How long a WebSocket is kept, and what becomes of a turn when an end of it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import WSMsgType, web

from anyturn.server import lifecycle, websocket
from anyturn.server.lifecycle import Running
from anyturn.testing import Answer, ScriptedProvider, text
from support.http_clients import CODEX, SDK
from support.stream_rules import check_stream
from support.websockets import PATIENCE_S, Connect, Wire, gateway

# ---------------------------------------------------------------- time


async def test_a_connection_that_reached_its_limit_is_told_and_closed(
    stage: Any, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "LIFETIME_S", 0.0)
    on = await stage()
    wire = await connect(on)
    frame = await wire.refused()
    assert frame["status"] == 400
    assert frame["error"]["code"] == "websocket_connection_limit_reached"
    assert await wire.closed() == 1000


def test_a_connection_may_live_for_an_hour() -> None:
    assert websocket.LIFETIME_S == 3600


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[websocket.Session]:
    """The gateway's ends of all connections."""
    found = []
    run = websocket.Session.run

    async def noted(self: websocket.Session) -> None:
        found.append(self)
        await run(self)

    monkeypatch.setattr(websocket.Session, "run", noted)
    return found


@pytest.mark.parametrize("behind", [0, 2])
async def test_the_limit_waits_for_the_running_turn(
    stage: Any, connect: Connect, sessions: list[websocket.Session], behind: int
) -> None:
    on = await stage(Answer(text("Hello there."), fragment=3, hold_after=2))
    wire = await connect(on)
    for _ in range(1 + behind):
        await wire.send()
    await on.provider.request(1)
    sessions[0].expire()
    on.provider.release(1)
    events = await wire.answer()
    check_stream(events)
    assert events[-1]["type"] == "response.completed"
    for _ in range(max(behind, 1)):
        code = (await wire.refused())["error"]["code"]
        assert code == "websocket_connection_limit_reached"
    assert await wire.closed() == 1000
    assert len(on.provider.requests) == 1


async def test_a_client_that_answers_pings_is_kept(stage: Any, connect: Connect) -> None:
    on = await stage(Answer(text("Hello there."), fragment=3, hold_after=2), keepalive_s=0.1)
    wire = await connect(on, autoping=False)
    await wire.send()
    pings = 0
    while pings < 3:
        message = await wire.socket.receive(PATIENCE_S)
        if message.type is WSMsgType.PING:
            pings += 1
            await wire.socket.pong(message.data)
    on.provider.release(1)
    while (message := await wire.socket.receive(PATIENCE_S)).type is not WSMsgType.TEXT or (
        msgspec.json.decode(message.data)["type"] != "response.completed"
    ):
        if message.type is WSMsgType.PING:
            await wire.socket.pong(message.data)


async def test_a_client_that_answers_no_ping_has_left_f73(stage: Any, connect: Connect) -> None:
    on = await stage(Answer(text("Hello there."), fragment=3, hold_after=2), keepalive_s=0.05)
    wire = await connect(on, autoping=False)
    await wire.send()
    await on.provider.request(1)
    await on.provider.cancelled(1)
    assert await on.serves()


async def test_codex_gets_signs_of_life_as_events_and_nobody_else(
    stage: Any, connect: Connect
) -> None:
    for headers, expected in ((CODEX, {"type": "keepalive"}), (SDK, None)):
        on = await stage(Answer(text("Hello."), hold_after=0), keepalive_s=0.1)
        wire = await connect(on, headers=headers)
        await wire.send()
        await on.provider.request(1)
        if expected is not None:
            assert [await wire.next(), await wire.next()] == [expected] * 2
        on.provider.release(1)
        events = [event for event in await wire.answer() if event != {"type": "keepalive"}]
        check_stream(events)


# ---------------------------------------------------------------- clients that leave or read slowly


@pytest.mark.parametrize("politely", [True, False])
async def test_a_client_that_leaves_cancels_the_providers_request_f73(
    stage: Any, connect: Connect, politely: bool
) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    on = await stage(handler=silent)
    wire = await connect(on)
    await wire.send()
    await on.provider.asked.wait()
    if politely:
        await wire.socket.close()
    else:
        wire.socket._response.connection.transport.abort()  # type: ignore[union-attr]
    await asyncio.wait_for(on.provider.left.wait(), PATIENCE_S)
    assert await on.serves()


async def test_a_client_that_leaves_is_noticed_while_messages_wait_f73(
    stage: Any, connect: Connect
) -> None:
    on = await stage(Answer(text("Hello there."), fragment=3, hold_after=2))
    wire = await connect(on)
    for _ in range(12):
        await wire.send(input="x" * 100_000)
    await on.provider.request(1)
    await wire.socket.close()
    await on.provider.cancelled(1)
    assert len(on.provider.requests) == 1


async def test_a_client_that_reads_nothing_stops_the_provider_until_it_reads_on(
    stage: Any,
    connect: Connect,
) -> None:
    size, piece = 50_000_000, 100_000
    sent: list[int] = []
    answer = Answer(text("x" * size), fragment=piece)
    async with ScriptedProvider([answer], on_chunk=lambda _, frame: sent.append(len(frame))) as p:
        on = await stage(provider=p)
        wire = await connect(on, max_msg_size=0)
        await wire.send()
        await p.request(1)
        stalled = 0
        while stalled < 20:
            before = len(sent)
            await asyncio.sleep(0.01)
            stalled = stalled + 1 if len(sent) == before else 0
        # What sockets and buffers of both connections hold.
        assert sum(sent) < size / 2
        events = await wire.answer()
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    assert len(deltas) == size / piece


async def test_a_client_that_reads_nothing_and_answers_no_ping_is_hung_up_on(
    stage: Any, connect: Connect, sessions: list[websocket.Session]
) -> None:
    """A1: what it was sent would else stay in memory until it reads."""
    on = await stage(Answer(text("x" * 50_000_000), fragment=100_000), keepalive_s=0.2)
    wire = await connect(on, autoping=False, max_msg_size=0)
    await wire.send()
    await on.provider.request(1)
    end = sessions[0]._socket.get_extra_info("socket")
    await on.provider.cancelled(1)
    async with asyncio.timeout(PATIENCE_S):
        while end.fileno() != -1:
            await asyncio.sleep(0.01)


async def test_a_message_that_is_too_large_closes_the_connection_only(
    stage: Any, connect: Connect
) -> None:
    on = await stage(text("Hi."), text("Hi."), max_body_bytes=2000)
    wire, other = await connect(on), await connect(on)
    check_stream(await wire.ask(input="x" * 1500))
    await wire.send(input="x" * 2500)
    assert await wire.closed() == 1009
    check_stream(await other.ask())


async def test_a_message_that_unfolds_to_more_than_a_body_may_is_not_unfolded(
    stage: Any, connect: Connect
) -> None:
    """A1: permessage-deflate makes a thousand bytes of one."""
    on = await stage(text("Hi."), max_body_bytes=100_000)
    wire, other = await connect(on, compress=15), await connect(on)
    await wire.send(input="x" * 10_000_000)
    assert await wire.closed() == 1009
    check_stream(await other.ask())


# ---------------------------------------------------------------- the gateway leaves


async def wire_to(up: Running, http: aiohttp.ClientSession) -> Wire:
    return Wire(await http.ws_connect(f"{up.base_url}/responses"))


HELD = Answer(text("Hello there."), fragment=4, hold_after=2)


async def test_leaving_lets_the_running_turn_finish_and_refuses_what_waits() -> None:
    async with (
        ScriptedProvider([HELD]) as provider,
        aiohttp.ClientSession() as http,
        asyncio.TaskGroup() as group,
    ):
        context = gateway(provider, shutdown_timeout_s=10.0)
        up = await context.__aenter__()
        busy, idle = await wire_to(up, http), await wire_to(up, http)
        await busy.send()
        await busy.send()
        await provider.request(1)
        leaving = group.create_task(context.__aexit__(None, None, None))
        assert await idle.closed() == 1001
        assert not leaving.done()
        provider.release(1)
        events = await busy.answer()
        check_stream(events)
        assert events[-1]["type"] == "response.completed"
        frame = await busy.refused()
        assert (frame["status"], frame["error"]["code"]) == (503, "gateway_shutting_down")
        assert await busy.closed() == 1001
        await asyncio.wait_for(leaving, PATIENCE_S)
    assert len(provider.requests) == 1


async def test_leaving_cuts_what_takes_too_long_and_says_so() -> None:
    loop = asyncio.get_running_loop()
    async with ScriptedProvider([HELD]) as provider, aiohttp.ClientSession() as http:
        async with gateway(provider, shutdown_timeout_s=0.05) as up:
            wire = await wire_to(up, http)
            await wire.send()
            await provider.request(1)
            reading = asyncio.ensure_future(wire.answer())
            closed = asyncio.ensure_future(after(reading, wire.closed))
            left_at = loop.time()
        assert loop.time() - left_at < 0.7
        events = await reading
        check_stream(events)
        assert events[-1]["response"]["error"]["code"] == "gateway_shutting_down"
        assert await closed == 1001
        await provider.cancelled(1)


async def after(first: asyncio.Future[Any], then: Callable[[], Awaitable[Any]]) -> Any:
    await first
    return await then()


async def test_a_client_that_reads_nothing_does_not_hold_up_leaving(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lifecycle, "_FAREWELL_S", 0.05)
    loop = asyncio.get_running_loop()
    answer = Answer(text("x" * 30_000_000), fragment=100_000)
    async with ScriptedProvider([answer]) as provider, aiohttp.ClientSession() as http:
        async with gateway(provider, shutdown_timeout_s=0.05) as up:
            wire = await wire_to(up, http)
            await wire.send()
            await provider.request(1)
            await asyncio.sleep(0.2)
            left_at = loop.time()
        assert loop.time() - left_at < 2.0
        await provider.cancelled(1)
