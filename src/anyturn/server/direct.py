"""The gateway's routes without a connection: requests handed over, answers taken, as objects.

The application is the one that listens elsewhere, so every route, check and error is the same. Only
the reading and writing of HTTP is left out (decision 13).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec
from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11, RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from anyturn.config import Settings
from anyturn.gateway import Tap
from anyturn.own_faults import where_from
from anyturn.routing import Routing
from anyturn.server.lifecycle import assembled
from anyturn.store import Store

log = logging.getLogger("anyturn")

Headers = list[tuple[str, str]]

_FAREWELL_S = 1.0
# How bytes travel on a connection: an answer that is handed over says nothing about it.
_OF_CONNECTIONS = frozenset({"transfer-encoding", "connection"})
_CUT = "The gateway ended before its answer did."


class Asked(msgspec.Struct, frozen=True):
    """One HTTP request. `target` is the path with its query, as it would be sent."""

    method: str
    target: str
    headers: Headers
    body: bytes


class Reply(Protocol):
    """Takes the answer to one request. It is called in the gateway's loop."""

    def head(self, status: int, headers: Headers) -> None:
        """Take the status and the headers; they come once and first."""

    async def body(self, piece: bytes) -> None:
        """Take bytes of the body; waits while whoever reads has enough of them."""

    def end(self, fault: str) -> None:
        """Take note that nothing more comes; `fault` says why the answer is not whole, if so."""


class Direct:
    """Answers requests that come without a connection; to be used in the gateway's loop."""

    def __init__(self, application: web.Server) -> None:
        self._application = application
        self._loop = asyncio.get_running_loop()
        self._protocol = _NoConnection(application, loop=self._loop)
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, asked: Asked, reply: Reply) -> asyncio.Task[None]:
        """Begin to answer; the task can be cancelled, which is what a client's leaving is."""
        task = self._loop.create_task(self._answer(asked, reply))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Wait a moment for the answers that are being taken, and cut the others."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=_FAREWELL_S)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def _answer(self, asked: Asked, reply: Reply) -> None:
        fault = _CUT
        try:
            request = self._request(asked, _Writer(reply))
            response = await self._application.request_handler(request)
            await response.prepare(request)
            await response.write_eof()
            fault = ""
        except asyncio.CancelledError:
            # Of the reader's own wish, or when the gateway ends: nothing is left to be done.
            pass
        except Exception as error:
            if not isinstance(error, ConnectionError):
                # Of a connection that breaks off, whoever broke it has told why.
                where = where_from(error)
                log.error(
                    "the gateway itself failed at %s %s\n%s", asked.method, asked.target, where
                )
            fault = f"The gateway itself failed: {type(error).__name__}."
        finally:
            reply.end(fault)

    def _request(self, asked: Asked, writer: _Writer) -> web.BaseRequest:
        headers = CIMultiDict(asked.headers)
        # No page can be behind this: the name that the client gave the gateway does not matter.
        headers["Host"] = "localhost"
        message = RawRequestMessage(
            asked.method,
            asked.target,
            HttpVersion11,
            CIMultiDictProxy(headers),
            raw_headers=(),
            should_close=False,
            compression=None,
            upgrade=False,
            chunked=False,
            url=URL(asked.target, encoded=True),
        )
        payload = StreamReader(self._protocol, limit=len(asked.body), loop=self._loop)
        payload.feed_data(asked.body)
        payload.feed_eof()
        task = asyncio.current_task()
        assert task is not None
        return self._application.request_factory(message, payload, self._protocol, writer, task)


class _NoConnection(web.RequestHandler):
    """What aiohttp asks for where a connection would be."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Nothing comes: a body that was read has more room, and that is all this says."""


class _Writer(AbstractStreamWriter):
    """What aiohttp's responses write to."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    async def write_headers(self, status_line: str, headers: CIMultiDict[str]) -> None:
        _version, status, *_reason = status_line.split(" ", 2)
        kept = [
            (key, value) for key, value in headers.items() if key.lower() not in _OF_CONNECTIONS
        ]
        self._reply.head(int(status), kept)

    async def write(self, chunk: bytes | bytearray | memoryview) -> None:
        if chunk:
            await self._reply.body(bytes(chunk))

    async def write_eof(self, chunk: bytes = b"") -> None:
        await self.write(chunk)

    async def drain(self) -> None:
        """Nothing waits here."""

    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None:
        """No answer of ours is compressed."""

    def enable_chunking(self) -> None:
        """Pieces need no frames."""


@asynccontextmanager
async def direct(
    settings: Settings, routing: Routing, *, taps: Iterable[Tap] = (), store: Store | None = None
) -> AsyncIterator[Direct]:
    """Run a gateway that only this program reaches, while the block runs.

    Raises `CaptureError` when turns cannot be recorded, `StoreError` when the store cannot work.
    """
    async with assembled(settings, routing, taps=taps, store=store) as gateway:
        runner = web.AppRunner(gateway.app)
        await runner.setup()
        assert runner.server is not None
        answering = Direct(runner.server)
        try:
            yield answering
        finally:
            await gateway.stop()
            await answering.close()
            await runner.cleanup()
