"""Turns over a WebSocket, with a client of the test's on loopback."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import WSMsgType, web
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.config import Settings
from anyturn.gateway import Gateway
from anyturn.routing import Routing
from anyturn.server import lifecycle, websocket
from anyturn.server.lifecycle import Running, running
from anyturn.testing import (
    Answer,
    Entry,
    Refusal,
    ScriptedProvider,
    call,
    openai_error,
    reasoning,
    text,
)
from support.http_clients import ASK, CODEX, JSON, SDK, STREAM, TOOL
from support.stream_rules import check_stream

KEY = "sk-planted-5d1e7a9b3c2f4e60"
LAST = frozenset({"error", "response.completed", "response.incomplete", "response.failed"})
PATHS = pytest.mark.parametrize("path", ["/v1/responses", "/responses"])
PATIENCE_S = 5.0


class Wire:
    """A client's end of a WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def send(self, **fields: Any) -> None:
        raw = msgspec.json.encode({"type": "response.create", **ASK, **fields})
        await self.socket.send_str(raw.decode())

    async def next(self) -> JSON:
        """The next frame, which must be one JSON object in text."""
        message = await self.socket.receive(PATIENCE_S)
        assert message.type is WSMsgType.TEXT, message
        event: JSON = msgspec.json.decode(message.data, type=JSON)
        return event

    async def answer(self) -> list[JSON]:
        """The frames up to the one that ends an answer."""
        events = [await self.next()]
        while not is_last(events[-1]):
            events.append(await self.next())
        return events

    async def ask(self, **fields: Any) -> list[JSON]:
        await self.send(input=fields.pop("input", "Hi"), **fields)
        return await self.answer()

    async def refused(self) -> JSON:
        """The error of an answer that is one error frame."""
        (frame,) = await self.answer()
        assert set(frame) <= {"type", "status", "error", "headers"}
        assert set(frame["error"]) >= {"code", "message", "type", "param"}
        return frame

    async def closed(self) -> int | None:
        """Read on until the connection is closed, and give the code."""
        while not (await self.socket.receive(PATIENCE_S)).type.name.startswith("CLOS"):
            pass
        return self.socket.close_code


def is_last(event: JSON) -> bool:
    """Whether an answer ends here; an error event of a stream is followed by another one."""
    return event["type"] in LAST and not (event["type"] == "error" and "sequence_number" in event)


def id_of(answer: list[JSON]) -> str:
    response_id: str = answer[-1]["response"]["id"]
    return response_id


Connect = Callable[..., Awaitable[Wire]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Open a WebSocket: `await connect(on)`; the options are aiohttp's."""
    wires = []

    async def open_wire(on: Any, path: str = "/v1/responses", **options: Any) -> Wire:
        headers = {name.replace("_", "-"): v for name, v in options.pop("headers", SDK).items()}
        wires.append(Wire(await on.http.ws_connect(on.root + path, headers=headers, **options)))
        return wires[-1]

    yield open_wire
    for wire in wires:
        await wire.socket.close()


# ---------------------------------------------------------------- turns

WHOLE = Answer(reasoning("Hm."), text("Hello there."), call("f", {"a": 1}), call("f", {"a": 2}))
ANSWERS = {
    "everything": WHOLE,
    "in-small-pieces": Answer(*WHOLE.parts, fragment=2),
    "incomplete": Answer(text("Hel"), finish="length"),
    "failed-in-the-middle": Answer(text("Hello there."), fragment=2, cut_after=5),
    "whole-in-big": Answer(text("x" * 200_000), fragment=100_000),
}


def without_minted(events: list[JSON]) -> Any:
    """Events without ids and times: an id becomes the number of its first appearance."""
    raw = msgspec.json.encode(events).decode()
    numbers: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        return f"id_{numbers.setdefault(match[0], len(numbers))}"

    raw = re.sub(r"\b[a-z]+_[0-9a-f]{32}\b|\bcall_\d+\b", number, raw)
    raw = re.sub(r'"(created_at|completed_at)":\d+', r'"\1":0', raw)
    return msgspec.json.decode(raw)


@PATHS
@pytest.mark.parametrize("compress", [0, 15], ids=["plain", "deflate"])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_the_events_are_those_of_the_stream(
    stage: Any, connect: Connect, path: str, answer: Answer, compress: int
) -> None:
    on = await stage(answer, answer)
    streamed = await on.post({**STREAM, "tools": [TOOL]}, path)
    wire = await connect(on, path, compress=compress)
    assert wire.socket.compress == compress
    events = await wire.ask(tools=[TOOL])
    check_stream(events)
    assert without_minted(events) == without_minted(streamed.events)
    assert on.provider.requests[0].raw == on.provider.requests[1].raw
    assert on.provider.refusals == []


async def test_nothing_comes_behind_the_terminal_event(stage: Any, connect: Connect) -> None:
    on = await stage(text("one"), text("two"))
    wire = await connect(on)
    await wire.ask()
    second = await wire.ask()
    assert second[0]["type"] == "response.created"
    check_stream(second)


async def test_what_a_client_must_not_send_is_ignored(stage: Any, connect: Connect) -> None:
    on = await stage(text("Hi."))
    wire = await connect(on)
    events = await wire.ask(stream=False, stream_options={}, background=True)
    check_stream(events)
    assert events[-1]["response"]["background"] is False


async def test_a_second_message_waits_for_the_first_answer(stage: Any, connect: Connect) -> None:
    on = await stage(Answer(text("one"), hold_after=1), text("two"))
    wire = await connect(on)
    await wire.send(metadata={"n": "1"})
    await wire.send(metadata={"n": "2"})
    await on.provider.request(1)
    assert await on.serves()
    assert len(on.provider.requests) == 1
    on.provider.release(1)
    for number in "12":
        events = await wire.answer()
        check_stream(events)
        assert {e["response"]["metadata"]["n"] for e in events if "response" in e} == {number}


async def test_too_many_messages_are_turned_away_behind_the_others(
    stage: Any, connect: Connect
) -> None:
    on = await stage(Answer(text("0"), hold_after=1), *[text("Hi.")] * 16)
    wire = await connect(on)
    await wire.send()
    await on.provider.request(1)
    for _ in range(19):
        await wire.send()
    # A ping is answered when everything before it was read.
    await wire.socket.ping()
    assert await on.serves()
    on.provider.release(1)
    for _ in range(17):
        check_stream(await wire.answer())
    for _ in range(3):
        frame = await wire.refused()
        assert (frame["status"], frame["error"]["code"]) == (429, "too_many_waiting")
        assert frame["headers"] == {"retry-after": "1"}
    assert len(on.provider.requests) == 17


# ---------------------------------------------------------------- what a connection remembers


def said(on: Any, number: int) -> list[tuple[str, Any]]:
    """The roles and words of what the provider was asked."""
    messages = on.provider.requests[number - 1].messages
    return [(message["role"], message.get("content")) for message in messages]


@pytest.mark.parametrize("store", [False, None, True])
async def test_a_warm_up_asks_nobody_and_its_input_is_remembered(
    stage: Any, connect: Connect, store: bool | None
) -> None:
    on = await stage(text("Hello."))
    wire = await connect(on)
    fields = {} if store is None else {"store": store}
    developer = [{"role": "developer", "content": "Be brief."}]
    warm = await wire.ask(input=developer, generate=False, **fields)
    check_stream(warm)
    assert [event["type"] for event in warm] == [
        "response.created",
        "response.in_progress",
        "response.completed",
    ]
    assert warm[-1]["response"]["output"] == []
    assert on.provider.requests == []
    check_stream(await wire.ask(previous_response_id=id_of(warm), **fields))
    assert said(on, 1) == [("system", "Be brief."), ("user", "Hi")]


async def test_a_tool_loop_sends_only_what_is_new(stage: Any, connect: Connect) -> None:
    on = await stage(Answer(call("f", {}, id="c1")), Answer(call("f", {}, id="c2")), text("Done."))
    wire = await connect(on)
    events = await wire.ask(tools=[TOOL], store=False)
    for _ in range(2):
        (item,) = events[-1]["response"]["output"]
        output = {"type": "function_call_output", "call_id": item["call_id"], "output": "ok"}
        before = id_of(events)
        events = await wire.ask(
            tools=[TOOL], store=False, input=[output], previous_response_id=before
        )
        check_stream(events)
    roles = [role for role, _ in said(on, 3)]
    assert roles == ["user", "assistant", "tool", "assistant", "tool"]
    assert on.provider.requests[2].messages[:3] == on.provider.requests[1].messages
    assert on.provider.refusals == []


async def test_a_call_that_the_client_sends_again_runs_once_f4(
    stage: Any, connect: Connect
) -> None:
    on = await stage(Answer(call("f", {})), text("Done."))
    wire = await connect(on)
    first = await wire.ask(tools=[TOOL], store=False)
    (item,) = first[-1]["response"]["output"]
    output = {"type": "function_call_output", "call_id": item["call_id"], "output": "ok"}
    await wire.ask(
        tools=[TOOL], store=False, input=[item, output], previous_response_id=id_of(first)
    )
    assert [role for role, _ in said(on, 2)] == ["user", "assistant", "tool"]
    assert len(on.provider.requests[1].messages[1]["tool_calls"]) == 1


async def test_another_connection_does_not_know_what_this_one_remembers_f67(
    stage: Any, connect: Connect
) -> None:
    on = await stage(text("one"), text("two"))
    one, other = await connect(on), await connect(on)
    first = await one.ask(store=False)
    await other.send(previous_response_id=id_of(first), store=False)
    frame = await other.refused()
    assert frame["status"] == 400
    assert frame["error"]["code"] == "previous_response_not_found"
    assert frame["error"]["param"] == "previous_response_id"
    check_stream(await one.ask(previous_response_id=id_of(first), store=False))


FAILURES: dict[str, tuple[Entry | None, JSON]] = {
    "the-client": (None, {"tools": 5}),
    "400": (Refusal(400, openai_error("No.")), {}),
    "503": (Refusal(503, openai_error("Busy.")), {}),
    "in-the-middle": (Answer(text("Hello there."), fragment=2, cut_after=5), {}),
}


@pytest.mark.parametrize(("failure", "fields"), FAILURES.values(), ids=FAILURES)
async def test_what_could_not_be_continued_is_forgotten_f67(
    stage: Any, connect: Connect, failure: Entry | None, fields: JSON
) -> None:
    on = await stage(text("one"), *([failure] if failure else []), text("two"), text("three"))
    wire = await connect(on)
    first = id_of(await wire.ask(store=False))
    assert (await wire.ask(store=False, previous_response_id=first, **fields))[-1]["type"] in (
        "error",
        "response.failed",
    )
    await wire.send(store=False, previous_response_id=first)
    assert (await wire.refused())["error"]["code"] == "previous_response_not_found"
    # With the whole input it goes on.
    check_stream(await wire.ask(store=False))


async def test_what_a_connection_remembers_is_bounded_as_a_body_is(
    stage: Any, connect: Connect
) -> None:
    on = await stage(text("Hi."), max_body_bytes=10_000)
    wire = await connect(on)
    one = await wire.ask(input="x" * 4000, generate=False)
    two = await wire.ask(input="y" * 4000, generate=False, previous_response_id=id_of(one))
    await wire.send(input="z" * 4000, generate=False, previous_response_id=id_of(two))
    frame = await wire.refused()
    assert (frame["status"], frame["error"]["code"]) == (413, "request_too_large")
    assert "max_body_bytes" in frame["error"]["message"]
    check_stream(await wire.ask())


# ---------------------------------------------------------------- failures


async def test_a_failure_before_the_first_event_is_an_error_frame(
    stage: Any, connect: Connect
) -> None:
    on = await stage(Refusal(503, openai_error("Busy.")), text("Hi."))
    wire = await connect(on)
    await wire.send()
    frame = await wire.refused()
    assert frame["status"] == 502
    assert "Busy." in frame["error"]["message"]
    assert frame["error"]["provider_status"] == 503
    check_stream(await wire.ask())


async def test_a_failure_after_the_first_event_ends_the_stream(
    stage: Any, connect: Connect
) -> None:
    on = await stage(Answer(text("Hello there."), fragment=2, cut_after=5), text("Hi."))
    wire = await connect(on)
    events = await wire.ask()
    check_stream(events)
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    check_stream(await wire.ask())


async def test_a_rate_limit_says_when_to_come_back_f63(stage: Any, connect: Connect) -> None:
    limited = Refusal(429, openai_error("Slow down."), {"Retry-After": "7"})
    on = await stage(limited, text("Hi."))
    wire = await connect(on)
    await wire.send()
    frame = await wire.refused()
    assert (frame["status"], frame["headers"]) == (429, {"retry-after": "7"})


BROKEN_FRAMES: dict[str, tuple[str | bytes, str]] = {
    "binary": (b"\x00\x01", "Binary frames"),
    "binary-json": (b'{"type":"response.create"}', "Binary frames"),
    "no-json": ("hello", "not valid JSON"),
    "nothing": ("", "not valid JSON"),
    "a-list": ("[]", "must be a JSON object"),
    "unknown-type": ('{"type":"response.cancel"}', "'response.cancel'"),
    "wrong-type": ('{"type":"response.create","input":7}', "input must be"),
    "wrong-id": ('{"type":"response.create","previous_response_id":7}', "previous_response_id"),
    "too-deep": ('{"type":"response.create","x":' + "[" * 200 + "]" * 200 + "}", "nested deeper"),
}


@pytest.mark.parametrize(("frame", "words"), BROKEN_FRAMES.values(), ids=BROKEN_FRAMES)
async def test_a_broken_frame_is_answered_and_the_connection_stays(
    stage: Any, connect: Connect, frame: str | bytes, words: str
) -> None:
    on = await stage(text("Hi."))
    wire = await connect(on)
    send: Callable[[Any], Awaitable[None]] = (
        wire.socket.send_bytes if isinstance(frame, bytes) else wire.socket.send_str
    )
    await send(frame)
    refused = await wire.refused()
    assert refused["status"] == 400
    assert words in refused["error"]["message"]
    check_stream(await wire.ask())


async def test_a_failure_of_the_gateway_itself_is_told_and_the_connection_stays(
    stage: Any, connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = Gateway.run

    async def broken(*_: Any) -> None:
        monkeypatch.setattr(Gateway, "run", run)
        raise ZeroDivisionError(KEY)

    monkeypatch.setattr(Gateway, "run", broken)
    on = await stage(text("Hi."))
    wire = await connect(on)
    await wire.send()
    frame = await wire.refused()
    assert (frame["status"], frame["error"]["code"]) == (500, "gateway_error")
    assert "ZeroDivisionError" in caplog.text
    assert KEY not in caplog.text
    check_stream(await wire.ask())


GOOD = '{"type":"response.create","input":"Hi"}'
FRAMES = st.one_of(
    st.sampled_from([*(frame for frame, _ in BROKEN_FRAMES.values()), GOOD, GOOD]),
    st.text(max_size=40),
    st.binary(max_size=40),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=5)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=9), inner, max_size=3)
        ),
    ).map(lambda value: msgspec.json.encode(value).decode()),
    st.fixed_dictionaries(
        {"type": st.just("response.create")},
        optional={
            "input": st.sampled_from([None, "Hi", [], 7, [{}], [{"type": "message"}]]),
            "generate": st.sampled_from([None, True, False, "no"]),
            "previous_response_id": st.sampled_from([None, "", "resp_x", 7]),
            "store": st.sampled_from([None, True, False, 3]),
            "conversation": st.sampled_from([None, {}, "conv_x"]),
            "tools": st.sampled_from([None, [], [7], {"a": 1}]),
        },
    ).map(lambda value: msgspec.json.encode(value).decode()),
)


@settings(max_examples=40)
@given(st.lists(FRAMES, max_size=12))
def test_any_sequence_of_frames_is_answered_one_by_one(frames: list[str | bytes]) -> None:
    async def play() -> None:
        async with (
            ScriptedProvider([text("Hi.")] * (len(frames) + 1), strict=False) as provider,
            gateway(provider) as up,
            aiohttp.ClientSession() as http,
        ):
            wire = Wire(await http.ws_connect(f"{up.base_url}/responses"))
            for frame in frames:
                if isinstance(frame, bytes):
                    await wire.socket.send_bytes(frame)
                else:
                    await wire.socket.send_str(frame)
            for _ in frames:
                answer = await wire.answer()
                if len(answer) > 1:
                    check_stream(answer)
            check_stream(await wire.ask())

    asyncio.run(play())


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


# ---------------------------------------------------------------- handshakes


@PATHS
async def test_what_is_no_handshake_is_told_what_is_there(stage: Any, path: str) -> None:
    on = await stage()
    reply = await on.call("GET", path)
    assert (reply.status, reply.headers["Allow"]) == (405, "POST")


async def test_a_broken_handshake_is_refused_in_words(stage: Any) -> None:
    on = await stage()
    reply = await on.call(
        "GET", "/v1/responses", headers={"Connection": "Upgrade", "Upgrade": "websocket"}
    )
    assert (reply.status, reply.error["code"]) == (400, "invalid_value")
    assert "Sec-WebSocket-Key" in reply.error["message"]
    assert await on.serves()


async def test_a_page_of_another_site_may_not_open_a_connection(
    stage: Any, connect: Connect
) -> None:
    """It would spend the key of whoever looks at it."""
    on = await stage(text("Hi."))
    for origin in ("https://example.com", "http://127.0.0.1:1", "http://[", "null", ""):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await on.http.ws_connect(on.root + "/v1/responses", origin=origin)
        assert caught.value.status == 403
    wire = await connect(on, origin=on.root)
    check_stream(await wire.ask())


# ---------------------------------------------------------------- the gateway leaves


def gateway(provider: ScriptedProvider, **given: Any) -> Any:
    options = {"base_url": provider.base_url, "model": "gpt-oss-120b", "port": 0, "retries": 0}
    options["store"] = "off"
    config = Settings(**{**options, **given})
    return running(config, Routing(config, {}))


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
