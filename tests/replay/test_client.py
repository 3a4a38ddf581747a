from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from anyturn.capture import format as f
from anyturn.capture_files import CaptureFolder, read_file
from anyturn.config import load_settings
from anyturn.replay.client import resend
from anyturn.replay.provider import replaying
from anyturn.routing import Routing
from anyturn.server.lifecycle import running
from support.captured_turns import captured, records
from support.recorded import KEY


def read(folder: Path) -> list[f.Capture]:
    return [read_file(one.path) for one in CaptureFolder(folder).files()]


@asynccontextmanager
async def gateway(captures: list[f.Capture], folder: Path, **flags: Any) -> AsyncIterator[str]:
    async with replaying(captures) as provider:
        given = {"provider": "cerebras", "base_url": provider.base_url, "port": 0, "retries": 0}
        settings = load_settings(
            {**given, "model": "gpt-oss-120b", "store": "off", **flags}, {}, folder
        )
        routing = Routing(settings, {"CEREBRAS_API_KEY": KEY})
        async with running(settings, routing) as listening:
            yield listening.base_url


async def test_a_replay_gives_the_same_events_again(recorded_folder: Path, tmp_path: Path) -> None:
    captures = read(recorded_folder)
    async with gateway(captures, tmp_path) as url:
        results = [one async for one in resend(captures, url)]
    assert [one.differences for one in results] == [[], []]
    assert all(one.passed and one.events for one in results)


async def test_a_gateway_that_answers_otherwise_is_found_out(recorded_folder, tmp_path) -> None:
    captures = read(recorded_folder)
    async with gateway(captures, tmp_path, reasoning="summary") as url:
        first, second = [one async for one in resend(captures, url)]
    assert not first.passed
    assert any("reasoning" in difference for difference in first.differences)
    assert second.passed


async def test_a_gateway_that_fails_is_no_success(recorded_folder, tmp_path) -> None:
    captures = read(recorded_folder)
    async with gateway(captures[:1], tmp_path) as url:
        results = [one async for one in resend(captures, url)]
    assert [one.passed for one in results] == [True, False]


@pytest.mark.parametrize(
    "capture",
    [f.Capture(records=[]), captured(status="left"), f.Capture(records=records()[:-1])],
    ids=["no request", "client left", "cut"],
)
async def test_what_cannot_be_compared_is_skipped_and_that_is_said(capture: f.Capture) -> None:
    (result,) = [one async for one in resend([capture], "http://127.0.0.1:9/v1")]
    assert result.skipped and not result.passed


@asynccontextmanager
async def answering(body: bytes, asked: list[bytes]) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        asked.append(await request.read())
        return web.Response(body=body, content_type="text/event-stream")

    app = web.Application()
    app.router.add_post("/v1/responses", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/v1"))


@pytest.mark.parametrize(
    "line", [b"data: {not JSON", b"data: [1]", b'data: "a"', b"data: \xff\xfe"], ids=repr
)
async def test_an_answer_that_is_no_stream_of_events_differs(recorded_folder, line: bytes) -> None:
    async with answering(line + b"\n\n", []) as url:
        results = [one async for one in resend(read(recorded_folder)[:1], url)]
    assert [one.passed for one in results] == [False]
    assert results[0].differences


async def test_each_result_is_given_before_the_next_request(recorded_folder) -> None:
    asked: list[bytes] = []
    async with answering(b"data: {}\n\n", asked) as url:
        results = resend(read(recorded_folder), url)
        await anext(results)
        assert len(asked) == 1
        await results.aclose()


@pytest.mark.parametrize(
    ("head", "stream", "why"),
    [
        (f.Head(passive=True, wire="chat"), "data: {}\n\n", "Chat Completions"),
        (f.Head(passive=True, wire="responses"), '{"object":"response"}', "no stream"),
    ],
    ids=["chat", "document"],
)
async def test_what_cannot_be_asked_of_a_gateway_is_skipped(head, stream: str, why: str) -> None:
    records = [
        head,
        f.ClientRequest(body={"model": "m"}),
        f.ProviderBytes(t=[1], text=[stream]),
        f.End(status="completed"),
    ]
    (result,) = [one async for one in resend([f.Capture(records=records)], "http://127.0.0.1:9/v1")]
    assert why in result.skipped and not result.passed
