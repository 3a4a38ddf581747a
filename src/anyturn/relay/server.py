"""The relay: every request goes to the backend and every answer to the client, unchanged."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
from aiohttp import web
from yarl import URL

from anyturn.recorder import Recorder
from anyturn.relay.headers import note_sent, passed_on, without_additions
from anyturn.relay.sockets import NoHandshake, relay_socket
from anyturn.relay.turns import (
    RelayedTurn,
    SocketTurns,
    broken_answer,
    no_answer,
    whole_answer,
    wire_of,
)
from anyturn.server.lifecycle import listening
from anyturn.wire.address import is_local

log = logging.getLogger("anyturn")

_CONNECT_S = 30.0
_READ_BUFFER = 256 * 1024
# Cookies and tokens of logins are long.
_LONG_HEADERS: dict[str, Any] = {"max_line_size": 64 * 1024, "max_field_size": 64 * 1024}
# What aiohttp would add by itself.
_ADDED_TO_REQUESTS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_CUT = (aiohttp.ClientError, ConnectionError, TimeoutError)


class BackendError(Exception):
    """The backend's address is none. `str()` says why and what to do."""


class Backend(msgspec.Struct, frozen=True):
    """Where everything goes: an origin, and the path that clients are pointed below."""

    origin: str
    path: str

    @property
    def url(self) -> str:
        """Its base URL."""
        return self.origin + self.path


def backend_of(url: str) -> Backend:
    """The backend with this base URL. Raises `BackendError`."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise BackendError(f"--to {url!r} is no URL: {error}.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BackendError(
            f"--to takes the backend's base URL with http:// or https:// in front, for instance "
            f"https://api.openai.com/v1, not {url!r}."
        )
    if parts.query or parts.fragment or parts.username is not None:
        raise BackendError(
            "--to takes an address and a path only. Keys and query parameters are the client's to "
            "send: they are passed on as they are."
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Backend(
        f"{parts.scheme}://{host}{f':{port}' if port is not None else ''}", parts.path.rstrip("/")
    )


class Relay:
    """Answers every request with the backend's answer. `recorder` None records nothing."""

    def __init__(
        self, backend: Backend, recorder: Recorder | None, http: aiohttp.ClientSession
    ) -> None:
        self.backend = backend
        self.relayed = 0
        """Requests that were answered, of whatever kind."""
        self._recorder = recorder
        self._http = http
        self._proxy = _proxy_for(backend)

    def app(self) -> web.Application:
        """The application: one route for everything."""
        app = web.Application()
        app.router.add_route("*", r"/{path:[\s\S]*}", self.answer)
        app.on_response_prepare.append(without_additions)
        return app

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Relay one request, whatever it is."""
        self.relayed += 1
        try:
            url = self.backend.origin + _target_of(request)
            is_socket = request.headers.get("Upgrade", "").lower() == "websocket"
            headers = passed_on(request.raw_headers, handshake=is_socket)
        except UnicodeError:
            return _own_words(400, "a header of this request is no UTF-8 and cannot be passed on.")
        if is_socket:
            return await self._socket(request, url, headers)
        wire = wire_of(url) if request.method == "POST" else ""
        turn = None
        if wire and self._recorder is not None:
            turn = RelayedTurn(self._recorder, url, _mapping(request), wire)
        try:
            return await self._exchange(request, url, headers, turn)
        finally:
            # Whoever did not say how it ended was interrupted by the client.
            if turn is not None:
                turn.left()

    async def _socket(
        self, request: web.Request, url: str, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        turns = SocketTurns(self._recorder, url, _mapping(request))
        try:
            out = await relay_socket(request, url, headers, turns, _open_session, self._proxy)
        except NoHandshake as error:
            return self._unreachable(request, error.why, None)
        if out.status != 101:
            self._log(request, out.status)
        return out

    async def _exchange(
        self,
        request: web.Request,
        url: str,
        headers: Mapping[str, str],
        turn: RelayedTurn | None,
    ) -> web.StreamResponse:
        try:
            response = await self._http.request(
                request.method,
                URL(url, encoded=True),
                headers=headers,
                data=_body(request, turn) if request.body_exists else None,
                allow_redirects=False,
                skip_auto_headers=_ADDED_TO_REQUESTS,
                proxy=self._proxy,
            )
        except _CUT as error:
            return self._unreachable(request, error, turn)
        try:
            if turn is None:
                self._log(request, response.status)
            else:
                turn.answered(response.status, response.headers)
                if hint := self._hint(request, response.status):
                    log.warning("%s %s: 404%s", request.method, _shown(request), hint)
            return await _pass_answer(request, response, turn)
        finally:
            response.close()

    def _unreachable(
        self, request: web.Request, error: BaseException, turn: RelayedTurn | None
    ) -> web.Response:
        sentence = (
            f"the backend cannot be reached at {self.backend.url}: {_why(error)}. Nothing was "
            "answered by it: these words are the relay's. Is it running, and is --to its address?"
        )
        if turn is not None:
            turn.ended(no_answer(sentence))
        else:
            log.warning("%s %s: %s", request.method, _shown(request), sentence)
        return _own_words(502, sentence)

    def _log(self, request: web.Request, status: int) -> None:
        hint = self._hint(request, status)
        log.info(
            "%s %s: %d, relayed and not recorded%s", request.method, _shown(request), status, hint
        )

    def _hint(self, request: web.Request, status: int) -> str:
        if status != 404 or _target_of(request).startswith(self.backend.path):
            return ""
        return f"; it is not below {self.backend.path}: is the client's base URL right?"


def _proxy_for(backend: Backend) -> str | None:
    """The system's proxy. aiohttp's own look would take passwords from .netrc along."""
    parts = urlsplit(backend.url)
    if is_local(backend.url) or proxy_bypass(parts.netloc):
        return None
    return getproxies().get(parts.scheme)


def _open_session(**options: Any) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        # A connection of an earlier request may be closed by now, and a body can be sent only once.
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        timeout=aiohttp.ClientTimeout(total=None, connect=_CONNECT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        read_bufsize=_READ_BUFFER,
        **_LONG_HEADERS,
        **options,
    )


def _target_of(request: web.Request) -> str:
    """The path and the query as they were sent."""
    target = request.raw_path
    if target.startswith("/"):
        return target
    parts = urlsplit(target)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _shown(request: web.Request) -> str:
    """The path for a log: a query may hold a key."""
    return _target_of(request).partition("?")[0]


def _mapping(request: web.Request) -> dict[str, str]:
    """The headers for the record; of those that come twice every value counts."""
    headers = request.headers
    return {name: ", ".join(headers.getall(name)) for name in headers}


async def _body(request: web.Request, turn: RelayedTurn | None) -> AsyncIterator[bytes]:
    """The request's body in the pieces in which it comes."""
    while piece := await request.content.readany():
        if turn is not None:
            turn.sends(piece)
        yield piece
    if turn is not None:
        turn.asked()


async def _pass_answer(
    request: web.Request, response: aiohttp.ClientResponse, turn: RelayedTurn | None
) -> web.StreamResponse:
    """Pass an answer on, each block as it comes. Raises `ConnectionResetError` where it breaks."""
    headers = passed_on(response.raw_headers)
    note_sent(request, headers)
    out = web.StreamResponse(status=response.status, reason=response.reason, headers=headers)
    await out.prepare(request)
    try:
        while block := await response.content.readany():
            if turn is not None:
                turn.received(block)
            await out.write(block)
    except _CUT as error:
        if request.transport is None or request.transport.is_closing():
            raise
        if turn is not None:
            turn.ended(broken_answer(response.status, response.headers, f"It broke off: {error}."))
        # What came is still sent; then aiohttp closes the client's connection, which breaks too.
        raise ConnectionResetError("The backend broke the answer off.") from error
    if turn is not None:
        turn.ended(whole_answer(response.status, response.headers))
    await out.write_eof()
    return out


def _own_words(status: int, sentence: str) -> web.Response:
    """An answer of the relay's, in OpenAI's envelope."""
    error = {
        "message": f"anyturn record: {sentence}",
        "type": "server_error" if status >= 500 else "invalid_request_error",
        "param": None,
        "code": "backend_unreachable" if status == 502 else "not_relayed",
        "source": "relay",
    }
    return web.Response(
        status=status,
        body=msgspec.json.encode({"error": error}),
        content_type="application/json",
    )


def _why(error: BaseException) -> str:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, socket.gaierror):
        return "no host has this name"
    return str(cause) or "it does not answer"


@asynccontextmanager
async def relaying(
    backend: Backend, recorder: Recorder | None, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[tuple[Relay, str]]:
    """Relay while the block runs: the relay, and the base URL for clients.

    Raises `CannotListen`. Leaving the block breaks off what still runs.
    """
    async with _open_session() as http:
        relay = Relay(backend, recorder, http)
        async with listening(relay.app(), host, port, **_LONG_HEADERS) as bound:
            shown = f"[{host}]" if ":" in host else host
            yield relay, f"http://{shown}:{bound}{backend.path}"
