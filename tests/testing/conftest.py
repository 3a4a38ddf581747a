from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from anyturn.wire import sse

JSON = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ResponsesServer:
    """A Responses server that plays canned streams, one for each request, and keeps what came.

    A stream is a list of events, or a handler for everything that is not a plain stream.
    """

    def __init__(self, *turns: list[JSON] | Handler) -> None:
        self.bodies: list[JSON] = []
        self.headers: list[dict[str, str]] = []
        self.base_url = ""
        self._turns = iter(turns)
        app = web.Application()
        app.router.add_post("/v1/responses", self._respond)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1.0)

    async def __aenter__(self) -> ResponsesServer:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(msgspec.json.decode(await request.read()))
        self.headers.append(dict(request.headers))
        turn = next(self._turns)
        if not isinstance(turn, list):
            return await turn(request)
        stream = b"".join(sse.encode(msgspec.json.encode(event)) for event in turn)
        return web.Response(body=stream, headers={"Content-Type": "text/event-stream"})


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[ResponsesServer]]]:
    """Start a `ResponsesServer` that plays these turns."""
    async with AsyncExitStack() as servers:

        async def start(*turns: list[JSON] | Handler) -> ResponsesServer:
            return await servers.enter_async_context(ResponsesServer(*turns))

        yield start


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session
