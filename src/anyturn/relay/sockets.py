"""A WebSocket through the relay: frames both ways, with the same contents and close codes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import aiohttp
from aiohttp import WSMsgType, web
from yarl import URL

from anyturn.relay.headers import note_sent, passed_on
from anyturn.relay.turns import SocketTurns

# The largest frame that is passed on (A1): well over any request of Codex.
_MAX_FRAME_BYTES = 256 * 1024 * 1024
_MAX_REFUSAL_BYTES = 1024 * 1024
_GOODBYE_S = 5.0
_DEFLATE_BITS = 15
_FRAMES = frozenset({WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG})

_Socket: TypeAlias = "web.WebSocketResponse[bool] | aiohttp.ClientWebSocketResponse[bool]"
# A close frame: its code, 0 where there is none, and its reason.
_Close: TypeAlias = tuple[int, bytes]


class NoHandshake(Exception):
    """The backend gave no answer to the handshake; `why` is what aiohttp raised."""

    def __init__(self, why: BaseException) -> None:
        super().__init__(str(why))
        self.why = why


class _Handshake:
    """What the backend answers to the handshake, also where it refuses: aiohttp drops its words."""

    def __init__(self) -> None:
        self.response: aiohttp.ClientResponse | None = None
        self.body = b""
        self.trace = aiohttp.TraceConfig()
        self.trace.on_request_end.append(self._ended)

    async def _ended(
        self, _session: Any, _context: Any, end: aiohttp.TraceRequestEndParams
    ) -> None:
        self.response = end.response
        if end.response.status != 101:
            while len(self.body) < _MAX_REFUSAL_BYTES and (
                piece := await end.response.content.readany()
            ):
                self.body += piece

    def refusal(self, request: web.Request) -> web.Response | None:
        """The backend's own refusal; None when there is none."""
        if self.response is None or self.response.status == 101:
            return None
        headers = passed_on(self.response.raw_headers)
        note_sent(request, headers)
        headers.popall("Content-Length", None)
        return web.Response(
            status=self.response.status,
            reason=self.response.reason,
            headers=headers,
            body=self.body,
        )


async def relay_socket(
    request: web.Request,
    url: str,
    headers: Mapping[str, str],
    turns: SocketTurns,
    open_session: Callable[..., aiohttp.ClientSession],
    proxy: str | None = None,
) -> web.StreamResponse:
    """Relay one WebSocket until it is over; a refused handshake is answered as the backend did.

    Raises `NoHandshake` when the backend cannot be reached.
    """
    handshake = _Handshake()
    deflates = "permessage-deflate" in request.headers.get("Sec-WebSocket-Extensions", "")
    async with open_session(trace_configs=[handshake.trace]) as http:
        try:
            backend = await http.ws_connect(
                URL(url, encoded=True),
                headers=headers,
                protocols=_protocols(request),
                compress=_DEFLATE_BITS if deflates else 0,
                autoclose=False,
                autoping=False,
                decode_text=False,
                max_msg_size=_MAX_FRAME_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=_GOODBYE_S),
                proxy=proxy,
            )
        except aiohttp.WSServerHandshakeError as error:
            if (refused := handshake.refusal(request)) is not None:
                return refused
            raise NoHandshake(error) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NoHandshake(error) from None
        client = _client_side(backend)
        assert handshake.response is not None
        turns.answered(handshake.response.headers)
        answered = passed_on(handshake.response.raw_headers, handshake=True)
        note_sent(request, answered)
        client.headers.extend(answered)
        try:
            await client.prepare(request)
            await _run(client, backend, turns, request)
        finally:
            handshake.response.close()
    return client


def _protocols(request: web.Request) -> list[str]:
    named = ",".join(request.headers.getall("Sec-WebSocket-Protocol", ()))
    return [one.strip() for one in named.split(",") if one.strip()]


def _client_side(backend: aiohttp.ClientWebSocketResponse[Any]) -> web.WebSocketResponse[bool]:
    """The client's side of the connection, as the backend wants it."""
    return web.WebSocketResponse(
        protocols=(backend.protocol,) if backend.protocol else (),
        compress=bool(backend.compress),
        autoclose=False,
        autoping=False,
        decode_text=False,
        max_msg_size=_MAX_FRAME_BYTES,
        timeout=_GOODBYE_S,
    )


async def _run(
    client: web.WebSocketResponse[bool],
    backend: aiohttp.ClientWebSocketResponse[Any],
    turns: SocketTurns,
    request: web.Request,
) -> None:
    loop = asyncio.get_running_loop()
    up = loop.create_task(_pump(client, backend, turns.asked))
    down = loop.create_task(_pump(backend, client, turns.received))
    by_client, close = True, None
    try:
        await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        by_client = up.done()
        close = (up if by_client else down).result()
    finally:
        turns.closed(by_client=by_client, code=close[0] if close else None)
        for task in (up, down):
            task.cancel()
        await asyncio.gather(up, down, return_exceptions=True)
    if close is not None:
        first, last = (backend, client) if by_client else (client, backend)
        await _say_goodbye(first, close)
        await _say_goodbye(last, close)
    elif request.transport is not None:
        request.transport.close()


async def _pump(source: _Socket, sink: _Socket, note: Callable[[bytes], None]) -> _Close | None:
    """Pass frames on until the source is over: its close frame, or None if it had none."""
    while True:
        message = await source.receive()
        if message.type is WSMsgType.CLOSE:
            return message.data or 0, (message.extra or "").encode()
        if message.type not in _FRAMES:
            return None
        if message.type is WSMsgType.TEXT:
            note(message.data)
        try:
            await sink.send_frame(message.data, message.type)
        except ConnectionError:
            # The other direction knows how that side ended.
            await asyncio.Event().wait()


async def _say_goodbye(socket: _Socket, close: _Close) -> None:
    code, reason = close
    with suppress(ConnectionError):
        if not code:
            # Without a code: aiohttp's own `close` always sends one.
            await socket.send_frame(b"", WSMsgType.CLOSE)
            return
        await socket.close(code=code, message=reason)
