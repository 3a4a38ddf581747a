"""Serve what providers sent once: offline, and the same every time."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import msgspec
from aiohttp import WSMsgType, web

from anyturn.capture.format import Capture, ProviderRequest, messages_of
from anyturn.capture.redact import Redactor

JSON: TypeAlias = dict[str, Any]

# A session of two turns on Cerebras' stream format, for the demo and for trying replays out.
SESSION = Path(__file__).with_name("session")

# Well over any request of Codex, images included.
_MAX_BODY_BYTES = 256 * 1024 * 1024


_NO_MORE = "The recording has no more answers: it was made of fewer requests."


class ReplayError(Exception):
    """These captures cannot be replayed. `str()` says why."""


class Tape(msgspec.Struct, kw_only=True):
    """One recorded answer of a provider."""

    request: str
    """The fingerprint of what it was the answer to; empty when that is not known."""
    model: str
    blocks: list[tuple[int, bytes]]
    """Microseconds since the request, and bytes."""
    error: JSON | None = None
    status: int = 200
    wire: str = "chat"
    warms_up: bool = False
    """Whether it answered a request that wants no answer: `generate` is false."""


def fingerprint(body: JSON) -> str:
    """What tells requests apart: the model and the messages or the input, without secrets."""
    asked = [body.get("model"), body.get("messages", body.get("input"))]
    redacted = Redactor().value(asked)
    return hashlib.sha256(msgspec.json.encode(redacted, order="deterministic")).hexdigest()


def tapes_of(captures: Iterable[Capture]) -> list[Tape]:
    """The answers in these captures, in order. Raises `ReplayError` when there are none."""
    tapes = [tape for capture in captures if (tape := _tape_of(capture)) is not None]
    if not tapes:
        raise ReplayError("None of these captures holds an answer of a provider.")
    return tapes


def _tape_of(capture: Capture) -> Tape | None:
    asked = capture.asked[-1] if capture.asked else ProviderRequest()
    passive = capture.head.passive
    body = capture.request if passive else asked.body
    blocks = [(t - asked.t, data) for t, data in capture.blocks]
    error = capture.end.error if capture.end else None
    if not blocks and (error is None or error.get("source") != "provider"):
        return None
    status = capture.end.http_status if passive and capture.end else 200
    if status >= 400 and capture.head.transport == "websocket":
        # An error frame: over HTTP it has a status and a body of its own.
        blocks = []
    return Tape(
        request=fingerprint(body) if body else "",
        model=str(body.get("model") or capture.head.model),
        blocks=blocks,
        error=None if blocks else error,
        status=status if blocks else _status_of(error),
        wire=capture.head.wire or _wire_of(asked.url),
        warms_up=body.get("generate") is False,
    )


def _wire_of(url: str) -> str:
    return "responses" if url.rstrip("/").endswith("/responses") else "chat"


def _status_of(error: JSON | None) -> int:
    status = (error or {}).get("provider_status")
    return status if isinstance(status, int) and 400 <= status <= 599 else 502


class Shelf:
    """The tapes that are left: the one of the same request first, else the next one in order."""

    def __init__(self, tapes: Iterable[Tape]) -> None:
        self._left = list(tapes)

    def take(self, body: JSON, wire: str = "chat") -> Tape | None:
        """The tape for this request, which is used up by that; None when there is no more."""
        wanted = fingerprint(body)
        warms_up = body.get("generate") is False
        fitting = [one for one in self._left if (one.wire, one.warms_up) == (wire, warms_up)]
        same = [tape for tape in fitting if tape.request == wanted]
        found = next(iter(same or fitting), None)
        if found is not None:
            self._left = [tape for tape in self._left if tape is not found]
        return found


class ReplayProvider:
    """A provider made of tapes, of the API that they were recorded on; an async context manager.

    `speed` 0 sends without waiting, 1 as it was, 2 twice as fast. `sleep` is what waiting is done
    with.
    """

    def __init__(
        self,
        tapes: Iterable[Tape],
        *,
        speed: float = 0.0,
        host: str = "127.0.0.1",
        port: int = 0,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        tapes = list(tapes)
        self.served = 0
        self.refused = 0
        self.models = tuple(dict.fromkeys(tape.model for tape in tapes if tape.model))
        self._shelf = Shelf(tapes)
        self._speed = speed
        self._address = (host, port)
        self._sleep = sleep
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/responses", self._responses)
        app.router.add_get("/v1/responses", self._socket)
        app.router.add_get("/v1/models", self._list_models)
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, *self._address).start()
        self._address = self._runner.addresses[0][:2]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def base_url(self) -> str:
        """What a gateway is configured with."""
        host, port = self._address
        return f"http://{host}:{port}/v1"

    async def _chat(self, http: web.Request) -> web.StreamResponse:
        return await self._answer(http, "chat")

    async def _responses(self, http: web.Request) -> web.StreamResponse:
        return await self._answer(http, "responses")

    async def _answer(self, http: web.Request, wire: str) -> web.StreamResponse:
        try:
            body = msgspec.json.decode(await http.read(), type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            self.refused += 1
            return _error(400, "We could not parse the JSON body of your request.")
        tape = self._shelf.take(body, wire)
        if tape is None:
            self.refused += 1
            return _error(400, _NO_MORE)
        self.served += 1
        if tape.error is not None:
            return _error(tape.status, str(tape.error.get("message") or "It failed then, too."))
        return await self._send(http, tape)

    async def _send(self, http: web.Request, tape: Tape) -> web.StreamResponse:
        # Content decides, not headers: a recorded body may be one JSON document.
        is_json = tape.blocks[0][1].lstrip()[:1] in (b"{", b"[")
        kind = "application/json" if is_json else "text/event-stream"
        headers = {"Content-Type": kind, "Cache-Control": "no-cache"}
        response = web.StreamResponse(status=tape.status, headers=headers)
        await response.prepare(http)
        before = 0
        for t, data in tape.blocks:
            if self._speed and t > before:
                await self._sleep((t - before) / 1e6 / self._speed)
            before = max(before, t)
            await response.write(data)
        await response.write_eof()
        return response

    async def _socket(self, http: web.Request) -> web.StreamResponse:
        """The Responses API over a WebSocket: each event of a tape is a frame."""
        if http.headers.get("Upgrade", "").lower() != "websocket":
            return _error(405, "Ask with POST, or over a WebSocket.")
        socket = web.WebSocketResponse(max_msg_size=_MAX_BODY_BYTES)
        await socket.prepare(http)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                for frame in await self._frames(message.data):
                    await socket.send_str(frame)
        return socket

    async def _frames(self, asked: str) -> list[str]:
        try:
            body = msgspec.json.decode(asked, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            body = {}
        tape = self._shelf.take(body, "responses") if body else None
        if tape is None:
            self.refused += 1
            return [_error_frame(400, _NO_MORE)]
        self.served += 1
        sent = b"".join(data for _, data in tape.blocks)
        frames = [m.data.decode() for m in messages_of(sent) if m.data != b"[DONE]"]
        words = str((tape.error or {}).get("message") or "It failed then, too.")
        return frames or [_error_frame(tape.status, words)]

    async def _list_models(self, http: web.Request) -> web.Response:
        data = [{"id": name, "object": "model", "owned_by": "recording"} for name in self.models]
        return _json(200, {"object": "list", "data": data})


def _error(status: int, message: str) -> web.Response:
    return _json(status, {"error": _words(message)})


def _error_frame(status: int, message: str) -> str:
    frame = {"type": "error", "status": status, "error": _words(message)}
    return msgspec.json.encode(frame).decode()


def _words(message: str) -> JSON:
    return {"message": message, "type": "invalid_request_error", "param": None, "code": "replay"}


def _json(status: int, body: JSON) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json"
    )


@asynccontextmanager
async def replaying(
    captures: Iterable[Capture], *, speed: float = 0.0, port: int = 0
) -> AsyncIterator[ReplayProvider]:
    """Serve these captures while the block runs. Raises `ReplayError`, and `OSError` for a port."""
    async with ReplayProvider(tapes_of(captures), speed=speed, port=port) as provider:
        yield provider
