from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from anyturn.config import Settings
from anyturn.gateway import Gateway
from anyturn.routing import Routing
from anyturn.server.direct import Asked, Direct, Headers, direct
from anyturn.store.memory import MemoryStore
from anyturn.testing import Answer, Entry, ScriptedProvider, text

KEY = "sk-planted-5d1e7a9b3c2f4e60"
ASK = {"model": "m", "input": "Hello."}


class Taken:
    """A reply that keeps everything."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.fault: str | None = None
        self.has_body = asyncio.Event()

    def head(self, status: int, headers: Headers) -> None:
        assert self.status == 0
        self.status, self.headers = status, dict(headers)

    async def body(self, piece: bytes) -> None:
        assert self.status and piece
        self.pieces.append(piece)
        self.has_body.set()

    def end(self, fault: str) -> None:
        assert self.fault is None
        self.fault = fault

    @property
    def json(self) -> Any:
        return msgspec.json.decode(b"".join(self.pieces))


def asked(method: str, target: str, body: Any = None, **headers: str) -> Asked:
    raw = b"" if body is None else msgspec.json.encode(body)
    own = [("Host", "page.example"), ("Content-Type", "application/json")]
    return Asked(method, target, [*own, *headers.items()], raw)


class Stage:
    def __init__(self, provider: ScriptedProvider, answering: Direct) -> None:
        self.provider = provider
        self.answering = answering

    async def send(self, *request: Any) -> Taken:
        taken = Taken()
        await self.answering.begin(asked(*request), taken)
        assert taken.fault == ""
        return taken


@pytest.fixture
async def script() -> list[Entry]:
    return [text("Hello yourself."), Answer(text("Never"), fragment=1, hold_after=2)]


@pytest.fixture
async def stage(script: list[Entry]) -> AsyncIterator[Stage]:
    async with ScriptedProvider(script, models=("m",)) as provider:
        settings = Settings(base_url=provider.base_url, model="m", shutdown_timeout_s=0.0)
        routing = Routing(settings, {})
        async with direct(settings, routing, store=MemoryStore()) as answering:
            yield Stage(provider, answering)


async def test_a_turn_is_answered_and_remembered(stage: Stage) -> None:
    made = await stage.send("POST", "/v1/responses", ASK)
    assert made.status == 200
    assert made.headers["Content-Type"].startswith("application/json")
    found = await stage.send("GET", f"/v1/responses/{made.json['id']}?include[]=a%20b")
    assert found.json["output"] == made.json["output"]


async def test_a_stream_comes_in_pieces_without_the_frames_of_a_connection(stage: Stage) -> None:
    streamed = await stage.send("POST", "/v1/responses", {**ASK, "stream": True})
    assert streamed.headers["Content-Type"].startswith("text/event-stream")
    assert "Transfer-Encoding" not in streamed.headers
    assert len(streamed.pieces) > 1
    assert b"".join(streamed.pieces).startswith(b"event: response.created\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (("POST", "/v1/responses", {"input": 3}), 400),
        (("GET", "/v1/nothing"), 404),
        (("GET", "/v1/responses"), 405),
        (("GET", "/health"), 200),
    ],
    ids=["invalid", "no route", "no method", "health"],
)
async def test_every_route_and_error_is_the_gateways(
    stage: Stage, request_: tuple[Any, ...], status: int
) -> None:
    taken = await stage.send(*request_)
    assert taken.status == status
    assert ("error" in taken.json) == (status >= 400)


async def test_a_body_of_megabytes_is_read(stage: Stage) -> None:
    taken = await stage.send("POST", "/v1/responses", {**ASK, "input": "x" * 3_000_000})
    assert taken.status == 200
    assert len(stage.provider.requests[0].messages[-1]["content"]) == 3_000_000


async def test_cancelling_ends_the_request_to_the_provider(stage: Stage) -> None:
    await stage.send("POST", "/v1/responses", ASK)
    taken = Taken()
    task = stage.answering.begin(asked("POST", "/v1/responses", {**ASK, "stream": True}), taken)
    await taken.has_body.wait()
    task.cancel()
    await asyncio.wait([task])
    await stage.provider.cancelled(2)
    assert taken.fault


async def test_an_answer_that_breaks_off_is_told_by_whoever_broke_it(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivers, calls = Gateway._deliver, 0

    async def broken(*given: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise ZeroDivisionError(KEY)
        await delivers(*given)

    monkeypatch.setattr(Gateway, "_deliver", broken)
    taken = Taken()
    request = asked("POST", "/v1/responses", {**ASK, "stream": True})
    await stage.answering.begin(request, taken)
    assert taken.fault
    assert "ZeroDivisionError" in caplog.text
    assert "in the middle of an answer" in caplog.text
    assert "itself failed at" not in caplog.text
    assert KEY not in caplog.text
