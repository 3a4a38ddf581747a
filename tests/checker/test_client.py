"""The HTTP client of live checks: limits, keys, and what a server may do instead of answering."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from anyturn.checker.client import HIDDEN, CheckClient
from anyturn.conformance.judging import CUT, ENDLESS, NO_ANSWER, Exchange
from support.model_server import serving, serving_bytes

KEY = "sk-planted-77c1e2"


async def ask(base_url: str, **options: Any) -> Exchange:
    async with CheckClient(base_url, **{"timeout_s": 5.0, "user_agent": "t", **options}) as client:
        return await client.post("/responses", b"{}", stream=True)


async def _echo(request: web.Request) -> web.StreamResponse:
    text = f"{request.headers.get('Authorization')} {request.headers['User-Agent']}"
    return web.Response(text=text, headers={"x-seen": text})


async def test_the_key_is_sent_and_seen_nowhere_else() -> None:
    async with serving(_echo) as base_url:
        exchange = await ask(base_url, key=KEY)
    assert exchange.body.decode() == f"Bearer {HIDDEN} t"
    assert exchange.headers["x-seen"] == f"Bearer {HIDDEN} t"
    assert KEY not in repr(exchange)


async def test_without_a_key_no_header_is_sent() -> None:
    async with serving(_echo) as base_url:
        assert (await ask(base_url)).body == b"None t"


async def test_the_key_goes_to_no_other_address() -> None:
    asked = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response()

    async with serving(elsewhere) as other:

        async def moved(request: web.Request) -> web.StreamResponse:
            raise web.HTTPTemporaryRedirect(f"{other}/responses")

        async with serving(moved) as base_url:
            exchange = await ask(base_url, key=KEY)
    assert (exchange.status, asked) == (307, [])
    assert exchange.headers["location"].startswith(other)


async def test_bytes_have_a_limit() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b"x" * 65536)

    async with serving(endless) as base_url:
        exchange = await ask(base_url, max_bytes=300_000)
    assert (exchange.status, exchange.problem) == (200, ENDLESS)
    assert 300_000 < len(exchange.body) < 600_000
    assert "more than 300,000 bytes" in exchange.words


@pytest.mark.parametrize(
    ("answer", "problem", "status"),
    [
        (b"", NO_ANSWER, None),
        (b"HTTP/1.1 200 OK\r\n\r\nsome", ENDLESS, 200),
    ],
    ids=["no head", "no end"],
)
async def test_time_has_a_limit(answer: bytes, problem: str, status: int | None) -> None:
    async with serving_bytes(answer, drops=False) as base_url:
        exchange = await ask(base_url, timeout_s=0.2)
    assert (exchange.problem, exchange.status) == (problem, status)
    assert "after 0.2 s" in exchange.words


async def test_a_body_that_breaks_off_is_kept_as_far_as_it_came() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving_bytes(head + b"4\r\nsome\r\n9\r\nmo") as base_url:
        exchange = await ask(base_url)
    assert (exchange.problem, exchange.status) == (CUT, 200)
    assert exchange.body.startswith(b"some")
    assert exchange.words == "the body broke off in the middle"


async def test_whoever_cannot_be_reached_is_told_about_in_words() -> None:
    async with serving_bytes(b"") as base_url:
        pass
    exchange = await ask(base_url)
    assert (exchange.status, exchange.problem) == (None, NO_ANSWER)
    assert exchange.words == "nothing listens there, or it refuses connections"


async def test_plain_http_behind_https_is_recognised() -> None:
    async with serving(_echo) as base_url:
        exchange = await ask(base_url.replace("http:", "https:"))
    assert exchange.words == "TLS failed: is it plain http?"


async def test_a_websocket_that_says_nothing_has_a_limit_too() -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await asyncio.Event().wait()
        return socket

    async with (
        serving(silent) as base_url,
        CheckClient(base_url, timeout_s=0.3, user_agent="t") as client,
    ):
        exchange = await client.converse({"model": "m"})
    assert (exchange.status, exchange.problem, exchange.frames) == (101, ENDLESS, ())
