from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from aiohttp import web

from anyturn.errors import Kind, TurnError
from anyturn.server.dialect import CODEX, OTHER, Dialect
from anyturn.server.sinks import Collected, EventStream
from anyturn.testing import Answer, ScriptedProvider, call, text
from anyturn.translate.adaptations import HEADER, Adaptation
from anyturn.wire import responses as r

JSON = dict[str, Any]
STREAM: JSON = {"model": "gpt-oss-120b", "input": "Hi", "stream": True}
AS_CODEX = {"User_Agent": "codex_exec/0.169.0"}
AS_SDK = {"User_Agent": "OpenAI/Python 2.8.0"}
CLIENTS = pytest.mark.parametrize(
    ("client", "dialect"), [(AS_CODEX, CODEX), (AS_SDK, OTHER)], ids=["codex", "sdk"]
)


# ---------------------------------------------------------------- over HTTP


@CLIENTS
async def test_a_client_that_waits_gets_signs_of_life(
    stage: Any,
    client: dict[str, str],
    dialect: Dialect,
) -> None:
    on = await stage(Answer(text("Hello."), hold_after=0), keepalive_s=0.02)
    async with on.open(STREAM, **client) as response:
        assert response.status == 200
        signs = await response.content.readexactly(3 * len(dialect.keepalive))
        assert signs == 3 * dialect.keepalive
        on.provider.release(1)
        rest = await response.read()
    begin = rest.index(b"event: response.created")
    assert rest[:begin].replace(dialect.keepalive, b"") == b""
    assert rest.count(b"event: response.completed") == 1


@CLIENTS
async def test_signs_of_life_come_in_the_middle_too(
    stage: Any, client: dict[str, str], dialect: Dialect
) -> None:
    on = await stage(Answer(text("Hello there."), fragment=4, hold_after=2), keepalive_s=0.02)
    async with on.open(STREAM, **client) as response:
        seen = b""
        while seen.partition(b"response.output_text.delta")[2].count(dialect.keepalive) < 3:
            seen += await response.content.readany()
        on.provider.release(1)
        seen += await response.read()
    assert b"event: response.completed" in seen


async def test_no_sign_of_life_is_sent_while_events_flow(stage: Any) -> None:
    answer = Answer(text("x" * 50), fragment=1, pace=0.01)
    on = await stage(answer, keepalive_s=0.4)
    reply = await on.post(STREAM, **AS_CODEX)
    assert b"keepalive" not in reply.raw


async def test_the_first_sign_of_life_comes_when_it_was_promised(stage: Any) -> None:
    loop = asyncio.get_running_loop()
    answer = Answer(text("Hello there."), fragment=4, hold_after=2, pace=0.2)
    on = await stage(answer, keepalive_s=0.4)
    async with on.open(STREAM, **AS_SDK) as response:
        seen, last = b"", loop.time()
        while b": keepalive" not in seen:
            last = loop.time()
            seen += await response.content.readany()
        assert 0.35 < loop.time() - last < 0.55
        on.provider.release(1)
        await response.read()


async def test_signs_of_life_do_not_count_as_the_providers(stage: Any) -> None:
    answer = Answer(text("Hello there."), fragment=4, hold_after=2)
    on = await stage(answer, keepalive_s=0.02, idle_timeout_s=0.2)
    reply = await on.post(STREAM, **AS_CODEX)
    assert reply.raw.count(b'"keepalive"') >= 2
    assert reply.names[-1] == "response.failed"
    assert "idle_timeout_s" in reply.events[-1]["response"]["error"]["message"]


@CLIENTS
@pytest.mark.parametrize(
    ("status", "code"), [(500, "server_error"), (429, "rate_limit_exceeded"), (400, None)]
)
async def test_after_a_sign_of_life_an_error_comes_as_events(
    stage: Any,
    client: dict[str, str],
    dialect: Dialect,
    status: int,
    code: str | None,
) -> None:
    go_on = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        await go_on.wait()
        return web.json_response({"error": {"message": "No."}}, status=status)

    on = await stage(handler=handler, keepalive_s=0.02)
    async with on.open(STREAM, **client) as response:
        assert response.status == 200
        await response.content.readexactly(len(dialect.keepalive))
        go_on.set()
        rest = await response.read()
    rest = rest.replace(dialect.keepalive, b"")
    names = [line[7:].decode() for line in rest.split(b"\n") if line.startswith(b"event: ")]
    assert names == ["response.created", "response.in_progress", "error", "response.failed"]
    assert (code or "invalid_prompt").encode() in rest


async def test_a_turn_in_one_piece_gets_no_sign_of_life(stage: Any) -> None:
    on = await stage(Answer(text("Hello."), pace=0.02), keepalive_s=0.01)
    reply = await on.post({**STREAM, "stream": False}, **AS_CODEX)
    assert reply.json["status"] == "completed"


async def test_a_client_that_leaves_among_signs_of_life_leaves_no_trace(
    stage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with ScriptedProvider([Answer(text("Hello."), hold_after=0)]) as provider:
        on = await stage(provider=provider, keepalive_s=0.01)
        async with on.open(STREAM, **AS_CODEX) as response:
            await response.content.readany()
            response.close()
        await provider.cancelled(1)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_one_burst_is_one_write(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []
    write = web.StreamResponse.write

    async def noting(self: web.StreamResponse, data: bytes) -> None:
        if b"event: response." in data:
            writes.append(data)
        await write(self, data)

    monkeypatch.setattr(web.StreamResponse, "write", noting)
    on = await stage(Answer(call("f", {"a": "b"}), text("Hello."), pace=0.002))
    reply = await on.post({**STREAM, "tools": [{"type": "function", "name": "f"}]})
    assert reply.status == 200
    assert writes[0].startswith(b"event: response.created\n")
    assert writes[0].count(b"event: ") >= 2
    assert b"".join(writes) == reply.raw


# ---------------------------------------------------------------- by itself


class Response:
    """As much of aiohttp's response as the sink uses, with an end that takes its time."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.headers: dict[str, str] = {}
        self.ending = asyncio.Event()

    async def prepare(self, request: Any) -> None:
        self.written.append(b"<headers>")

    async def write(self, data: bytes) -> None:
        self.written.append(data)

    async def write_eof(self) -> None:
        self.written.append(b"<end>")
        await self.ending.wait()


def sink_of(dialect: Dialect, keepalive_s: float = 60) -> tuple[EventStream, Response]:
    request: Any = None
    sink, response = EventStream(request, dialect, keepalive_s), Response()
    sink._response = response  # type: ignore[assignment]
    return sink, response


async def test_nothing_is_kept_alive_once_the_end_is_written() -> None:
    sink, response = sink_of(CODEX, 0.01)
    async with asyncio.TaskGroup() as group, sink:
        task = group.create_task(sink.finish())
        while b"<end>" not in response.written:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        assert response.written[-1] == b"<end>"
        response.ending.set()
        await task


async def test_the_headers_leave_once_and_first() -> None:
    sink, response = sink_of(CODEX, 0.01)
    async with sink:
        while len(response.written) < 3:
            await asyncio.sleep(0.005)
        await sink.begin([])
        await sink.send([])
    assert response.written.count(b"<headers>") == 1
    assert response.written[0] == b"<headers>"


async def test_adaptations_stand_in_the_headers_while_there_is_time() -> None:
    sink, response = sink_of(OTHER)
    async with sink:
        await sink.begin([Adaptation("tools.dropped", "tools[0]", "why", lossy=True)])
    assert response.headers[HEADER] == "tools.dropped@tools[0]"


FAILURES = [
    (Kind.PROVIDER_BROKEN, True, False),
    (Kind.PROVIDER_UNREACHABLE, True, False),
    (Kind.PROVIDER_TIMEOUT, True, False),
    (Kind.SHUTTING_DOWN, True, False),
    (Kind.RATE_LIMITED, False, False),
    (Kind.QUOTA_EXHAUSTED, False, False),
    (Kind.PROVIDER_REFUSED, False, False),
    (Kind.CONTEXT_OVERFLOW, False, False),
    (Kind.GATEWAY_BROKEN, False, False),
]


@pytest.mark.parametrize(
    ("kind", "codex", "other"), FAILURES, ids=[row[0].name for row in FAILURES]
)
async def test_only_what_may_pass_is_told_as_events_and_only_to_codex(
    kind: Kind, codex: bool, other: bool
) -> None:
    error = TurnError(kind, "No.")
    assert sink_of(CODEX)[0].accepts(error) is codex
    assert sink_of(OTHER)[0].accepts(error) is other
    assert Collected().accepts(error) is False


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name)
async def test_once_the_headers_left_everything_is_told_as_events(kind: Kind) -> None:
    sink, _ = sink_of(OTHER)
    async with sink:
        await sink.begin([])
        assert sink.accepts(TurnError(kind, "No."))


async def test_what_is_collected_remembers_what_was_adapted() -> None:
    adaptation = Adaptation("a.b", "c", "d")
    sink = Collected()
    await sink.begin([adaptation])
    events: list[r.Event] = []
    await sink.send(events)
    assert sink.adaptations == [adaptation]
