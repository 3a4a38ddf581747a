"""Where a turn's events go: a stream of server-sent events, or one JSON answer."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from aiohttp import web

from anyturn.errors import Kind, TurnError
from anyturn.own_faults import where_from
from anyturn.server.dialect import Dialect
from anyturn.server.replies import EVENT_STREAM
from anyturn.translate.adaptations import HEADER, Adaptation, header_value
from anyturn.wire import responses as r

log = logging.getLogger("anyturn")


class EventStream:
    """Writes events as they come, one write for a burst, and keep-alives when nothing comes.

    The status line is sent with the first event, or with the first keep-alive: until then an
    error can still have its own status (F68). An async context manager.
    """

    def __init__(self, request: web.Request, dialect: Dialect, keepalive_s: float) -> None:
        self._request = request
        self._dialect = dialect
        self._keepalive_s = keepalive_s
        self._response = web.StreamResponse(headers=EVENT_STREAM)
        self._preparing = asyncio.Lock()
        self._started = False
        self._loop = asyncio.get_running_loop()
        self._last_write = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> EventStream:
        self._wind(self._keepalive_s)
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._stop_keeping()
        if isinstance(error, Exception) and self._started:
            self._break_off(error)

    def _break_off(self, error: Exception) -> None:
        """End a body that cannot be finished: an HTTP error would be written into the middle of it.

        A connection that breaks is what clients ask again for. Raises `ConnectionResetError`.
        """
        if not isinstance(error, ConnectionError):
            where = where_from(error)
            log.error("The gateway itself failed in the middle of an answer.\n%s", where)
        if self._request.transport is not None:
            self._request.transport.abort()
        raise ConnectionResetError("The answer cannot be finished.") from error

    @property
    def response(self) -> web.StreamResponse:
        """The response that was written to."""
        return self._response

    def accepts(self, error: TurnError) -> bool:
        """Once the status is sent, always; before, when the client acts better on events.

        A 429 with Retry-After is what Codex waits for; a 5xx is what it hammers.
        """
        if self._started:
            return True
        passing = error.kind.transient and error.kind is not Kind.RATE_LIMITED
        return passing and self._dialect.transient_as_stream

    async def begin(self, adaptations: list[Adaptation]) -> None:
        """Send the headers, with what was adapted; after a keep-alive it is too late for that."""
        if adaptations and not self._started:
            self._response.headers[HEADER] = header_value(adaptations)
        await self._start()

    async def send(self, events: list[r.Event]) -> None:
        """Write these events as one piece."""
        await self._start()
        self._last_write = self._loop.time()
        await self._response.write(b"".join([r.encode_event(event) for event in events]))

    async def finish(self) -> None:
        """End the body."""
        # A keep-alive behind the end would belong to no body.
        await self._stop_keeping()
        await self._start()
        await self._response.write_eof()

    async def _start(self) -> None:
        if self._started:
            return
        async with self._preparing:
            if not self._started:
                await self._response.prepare(self._request)
                self._started = True

    async def _stop_keeping(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await self._keeper

    def _wind(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._tick)

    def _tick(self) -> None:
        """Send a keep-alive if the last write is long enough ago; else wait for the rest."""
        silence = self._loop.time() - self._last_write
        if silence < self._keepalive_s:
            self._wind(self._keepalive_s - silence)
        else:
            self._keeper = self._loop.create_task(self._keep_alive())

    async def _keep_alive(self) -> None:
        await self._start()
        self._last_write = self._loop.time()
        await self._response.write(self._dialect.keepalive)
        self._wind(self._keepalive_s)


class Collected:
    """Takes the events of a request that did not ask for a stream: the turn returns the answer."""

    def __init__(self) -> None:
        self.adaptations: list[Adaptation] = []

    def accepts(self, error: TurnError) -> bool:
        """Never: a failure has its own HTTP status."""
        return False

    async def begin(self, adaptations: list[Adaptation]) -> None:
        """Remember what was adapted, for the answer's header."""
        self.adaptations = adaptations

    async def send(self, events: list[r.Event]) -> None:
        """Take events, which the response holds all of."""
