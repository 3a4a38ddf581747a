"""The Responses API over a WebSocket: one connection, one turn after the other.

A frame from the client is one `response.create`; a frame to the client is one event. Every message
gets its answer in order: events, or an error frame. The connection outlives all of that; it ends
when the client leaves, after an hour, or with the gateway (responses-api.md section 2.9).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any, Self

from aiohttp import WSCloseCode, WSMsgType, web

from anyturn.errors import Fault, Kind, TurnError
from anyturn.gateway import BROKEN, Gateway
from anyturn.memory import Caller, Nearby
from anyturn.own_faults import where_from
from anyturn.server.callers import caller_of
from anyturn.server.dialect import Dialect, dialect_of
from anyturn.server.frames import BINARY, Waiting, error_frame, read_message, request_of
from anyturn.translate.adaptations import Adaptation
from anyturn.wire import responses as r

log = logging.getLogger("anyturn")

# OpenAI's limit for one connection; clients open the next one by themselves.
LIFETIME_S = 3600.0
# How long a client has to answer the closing of the connection.
_GOODBYE_S = 2.0

_LIMIT_REACHED = TurnError(
    Kind.CONNECTION_LIMIT,
    "This connection has reached its time limit. Open a new one and send the whole input.",
)
_STOPPED = TurnError(Kind.SHUTTING_DOWN, "The gateway is being stopped.")
_OVER = frozenset({WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR})


class FrameSink:
    """Writes each event of a turn as one text frame. An async context manager.

    Codex counts only events as signs of life, so it gets one when nothing else comes; other
    clients have the connection's pings.
    """

    def __init__(self, socket: web.WebSocketResponse, dialect: Dialect, keepalive_s: float) -> None:
        self._socket = socket
        self._dialect = dialect
        self._keepalive_s = keepalive_s
        self._begun = False
        self._loop = asyncio.get_running_loop()
        self._last_write = self._loop.time()
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._dialect.keepalive_frame:
            self._keeper = self._loop.create_task(self._keep_alive())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await self._keeper

    def accepts(self, error: TurnError) -> bool:
        """Once there were events; before, an error frame says more."""
        return self._begun

    async def begin(self, adaptations: list[Adaptation]) -> None:
        """Nothing is sent: a frame has no headers, and the log has what was adapted."""
        self._begun = True

    async def send(self, events: list[r.Event]) -> None:
        """Write these events; returns when the client has taken most of what was written."""
        for event in events:
            await self._write(r.encode_json(event))

    async def _write(self, frame: bytes) -> None:
        self._last_write = self._loop.time()
        await self._socket.send_frame(frame, WSMsgType.TEXT)

    async def _keep_alive(self) -> None:
        while True:
            silence = self._loop.time() - self._last_write
            if silence >= self._keepalive_s:
                await self._write(self._dialect.keepalive_frame)
            else:
                await asyncio.sleep(self._keepalive_s - silence)


class Session:
    """One connection. `run` returns when it is over; `expire` and `leave` end it after the turn."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        gateway: Gateway,
        dialect: Dialect,
        caller: Caller,
        *,
        max_body_bytes: int,
        keepalive_s: float,
    ) -> None:
        self._socket = socket
        self._gateway = gateway
        self._dialect = dialect
        self._caller = caller
        self._max_body_bytes = max_body_bytes
        self._keepalive_s = keepalive_s
        assert caller.nearby is not None
        self._nearby = caller.nearby
        self._waiting = Waiting(max_body_bytes)
        self._news = asyncio.Event()
        self._last_word: TurnError | None = None

    async def run(self) -> None:
        """Read and answer until the connection is over. A turn that still runs then is given up."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(LIFETIME_S, self.expire)
        tasks = [loop.create_task(self._read_all()), loop.create_task(self._answer_all())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError, ConnectionError):
                    await task

    def expire(self) -> None:
        """Say that the time is over, once the running turn has ended, and close."""
        self._end(_LIMIT_REACHED)

    def leave(self) -> None:
        """Close with 1001, once the running turn has ended."""
        self._end(_STOPPED)

    def _end(self, last_word: TurnError) -> None:
        self._last_word = self._last_word or last_word
        self._news.set()

    # ---------------------------------------------------------------- reading

    async def _read_all(self) -> None:
        """Read all the time: who does not read does not notice that the client left (F73)."""
        while (message := await self._socket.receive()).type not in _OVER:
            if message.type is WSMsgType.TEXT:
                self._waiting.put(message.data.encode())
            else:
                self._waiting.put(BINARY)
            self._news.set()

    # ---------------------------------------------------------------- answering

    async def _answer_all(self) -> None:
        while self._last_word is None:
            if (frame := self._waiting.take()) is not None:
                await self._answer(frame)
            else:
                await self._news.wait()
                self._news.clear()
        await self._close(self._last_word)

    async def _close(self, last_word: TurnError) -> None:
        expired = last_word is _LIMIT_REACHED
        for _ in range(max(len(self._waiting), int(expired))):
            await self._refuse(last_word)
        code = WSCloseCode.OK if expired else WSCloseCode.GOING_AWAY
        await self._socket.close(code=code, message=last_word.kind.code.encode())

    async def _answer(self, frame: bytes | TurnError) -> None:
        try:
            if isinstance(frame, TurnError):
                raise frame
            await self._run_turn(frame)
        except TurnError as error:
            if error.kind.fault is not Fault.PROVIDER:
                log.info("a message on a WebSocket was refused: %s", error.message)
            await self._refuse(error)
        except ConnectionError:
            raise
        except Exception as error:
            log.error("the gateway itself failed on a WebSocket\n%s", where_from(error))
            await self._refuse(TurnError(Kind.GATEWAY_BROKEN, BROKEN))

    async def _run_turn(self, frame: bytes) -> None:
        """Run one turn. What it continued is forgotten when it fails (responses-api.md 2.9)."""
        message = read_message(frame)
        previous = message.get("previous_response_id")
        failed = True
        try:
            self._check_size(frame, previous)
            request = request_of(message)
            async with FrameSink(self._socket, self._dialect, self._keepalive_s) as sink:
                response = await self._gateway.run(request, sink, self._caller)
            failed = response.status == "failed"
        finally:
            if failed and isinstance(previous, str):
                self._nearby.forget(previous)

    def _check_size(self, frame: bytes, previous: Any) -> None:
        """Bound what is remembered as a body that says it all would be (A1)."""
        near = self._nearby.get(previous) if isinstance(previous, str) else None
        if near and len(frame) + len(r.encode_json(near)) > self._max_body_bytes:
            raise TurnError(
                Kind.BODY_TOO_LARGE,
                f"With what it continues the input is larger than {self._max_body_bytes:,} bytes "
                "(max_body_bytes).",
                param="previous_response_id",
            )

    async def _refuse(self, error: TurnError) -> None:
        await self._socket.send_frame(error_frame(error), WSMsgType.TEXT)


class Sockets:
    """All WebSocket connections of a server."""

    def __init__(self, gateway: Gateway, *, max_body_bytes: int, keepalive_s: float) -> None:
        self._gateway = gateway
        self._max_body_bytes = max_body_bytes
        self._keepalive_s = keepalive_s
        self._open: set[Session] = set()
        self._leaving = False

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Take a handshake and answer what comes, until the connection is over.

        Raises `TurnError` for a handshake that is broken.
        """
        if self._leaving:
            raise _STOPPED
        socket = web.WebSocketResponse(
            timeout=_GOODBYE_S, heartbeat=self._keepalive_s, max_msg_size=self._max_body_bytes
        )
        await _shake_hands(socket, request)
        session = Session(
            socket,
            self._gateway,
            dialect_of(request.headers),
            caller_of(request, Nearby()),
            max_body_bytes=self._max_body_bytes,
            keepalive_s=self._keepalive_s,
        )
        self._open.add(session)
        try:
            await session.run()
        finally:
            self._open.discard(session)
            unclean = socket.close_code in (None, WSCloseCode.ABNORMAL_CLOSURE)
            if unclean and request.transport is not None:
                # What a client that reads nothing was sent would stand in the way for ever.
                request.transport.abort()
        return socket

    def leave(self) -> None:
        """Take no more connections, and close the open ones, each after its running turn."""
        self._leaving = True
        for session in self._open:
            session.leave()


async def _shake_hands(socket: web.WebSocketResponse, request: web.Request) -> None:
    try:
        await socket.prepare(request)
    except web.HTTPBadRequest:
        raise TurnError(
            Kind.INVALID_REQUEST,
            "The WebSocket handshake is not valid: it needs Connection: Upgrade, "
            "Sec-WebSocket-Version: 13 and a Sec-WebSocket-Key.",
        ) from None
