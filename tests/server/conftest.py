"""The real gateway on loopback, between a provider of the test's and plain HTTP clients."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Self

import aiohttp
import msgspec
import pytest
from aiohttp import web

from anyturn.config import Settings
from anyturn.gateway import Tap
from anyturn.routing import Routing
from anyturn.server.lifecycle import running
from anyturn.store.records import Store
from anyturn.testing import Entry, ScriptedProvider
from anyturn.wire import sse
from support.http_clients import SDK
from support.websockets import Connect, Wire

JSON = dict[str, Any]
MODEL = "gpt-oss-120b"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HandlerProvider:
    """A provider whose answer is a function: for what no script can say, like silence."""

    def __init__(self, handler: Handler) -> None:
        self.asked = asyncio.Event()
        self.left = asyncio.Event()
        self.left_at = 0.0
        self.connections: set[Any] = set()
        self.requests = 0
        self._handler = handler
        app = web.Application(client_max_size=2**28)
        app.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1
        )

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        assert request.transport is not None
        self.connections.add(request.transport.get_extra_info("peername"))
        self.requests += 1
        self.asked.set()
        try:
            return await self._handler(request)
        except (asyncio.CancelledError, ConnectionError):
            self.left_at = asyncio.get_running_loop().time()
            self.left.set()
            raise


class Reply:
    """A whole HTTP answer."""

    def __init__(self, status: int, headers: Any, raw: bytes) -> None:
        self.status = status
        self.headers = headers
        self.raw = raw

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.raw)

    @property
    def error(self) -> JSON:
        """The error of OpenAI's envelope."""
        assert self.headers["Content-Type"] == "application/json"
        assert set(self.json) == {"error"}
        error: JSON = self.json["error"]
        assert set(error) >= {"message", "type", "param", "code", "source"}
        return error

    @property
    def messages(self) -> list[sse.Message]:
        """The server-sent messages."""
        assert self.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        return sse.Decoder().feed(self.raw)

    @property
    def events(self) -> list[JSON]:
        """The events, without what only keeps the connection alive."""
        decoded = [msgspec.json.decode(message.data) for message in self.messages]
        return [event for event in decoded if event["type"] != "keepalive"]

    @property
    def names(self) -> list[str]:
        return [event["type"] for event in self.events]


class Stage:
    """A gateway, its provider, and a client of it."""

    def __init__(self, base_url: str, provider: Any, http: aiohttp.ClientSession) -> None:
        self.base_url = base_url
        self.root = base_url.removesuffix("/v1")
        self.port = int(self.root.rpartition(":")[2])
        self.provider = provider
        self.http = http

    def open(
        self, body: JSON | bytes | Any, path: str = "/v1/responses", **headers: str
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Post a body and give the open answer. Names of headers are written with `_`."""
        data = msgspec.json.encode(body) if isinstance(body, dict) else body
        if isinstance(data, bytes) and len(data) > 2**20:
            # aiohttp warns of large bodies in one piece.
            data = io.BytesIO(data)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post(
            self.root + path, data=data, headers={"Content-Type": "application/json", **named}
        )

    async def post(
        self, body: JSON | bytes | Any, path: str = "/v1/responses", **headers: str
    ) -> Reply:
        """Post a body and give the whole answer."""
        async with self.open(body, path, **headers) as response:
            return Reply(response.status, response.headers, await response.read())

    async def call(self, method: str, path: str, **options: Any) -> Reply:
        async with self.http.request(method, self.root + path, **options) as response:
            return Reply(response.status, response.headers, await response.read())

    async def serves(self) -> bool:
        """Whether it still answers."""
        return (await self.call("GET", "/health")).status == 200


@pytest.fixture(autouse=True)
def _full_log() -> Iterator[None]:
    """Some verbs keep the gateway's log off the screen, and they too run in this process."""
    log = logging.getLogger("anyturn")
    level = log.level
    log.setLevel(logging.NOTSET)
    yield
    log.setLevel(level)


OpenStage = Callable[..., Awaitable[Stage]]


@pytest.fixture
async def stage() -> AsyncIterator[OpenStage]:
    """Open a stage: `await stage(*script)`, or `handler=`; the rest are options of the gateway.

    The provider is asked once, unless `retries` says otherwise, and leaving takes no time.
    """
    async with AsyncExitStack() as closing:

        async def open_stage(
            *script: Entry,
            handler: Handler | None = None,
            provider: Any = None,
            environ: dict[str, str] | None = None,
            taps: Iterable[Tap] = (),
            store: Store | None = None,
            profile: str = "",
            **settings: Any,
        ) -> Stage:
            if provider is None:
                made: Any = HandlerProvider(handler) if handler else ScriptedProvider(script)
                provider = await closing.enter_async_context(made)
            given = {"base_url": provider.base_url, "model": MODEL, "port": 0, "retries": 0}
            given |= {"shutdown_timeout_s": 0.0, "store": "off", "provider": profile, **settings}
            options = Settings(**given)
            gateway = await closing.enter_async_context(
                running(options, Routing(options, environ or {}), taps=taps, store=store)
            )
            http = await closing.enter_async_context(
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
            )
            return Stage(gateway.base_url, provider, http)

        yield open_stage


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
