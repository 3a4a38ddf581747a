"""The HTTP client of live checks: whatever a server does becomes an `Exchange`, never an exception.

Every exchange has a time limit and a byte limit. Redirects are not followed: the key must not go
where nobody meant it to go.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from anyturn.conformance.judging import CUT, ENDLESS, NO_ANSWER, Exchange

MAX_BYTES = 8 * 1024 * 1024
HIDDEN = "[the key]"
# A shorter one is a word that answers may well contain, and no secret.
_SECRET = 8
_BLOCK = 64 * 1024
_TERMINAL = frozenset({"response.completed", "response.failed", "response.incomplete", "error"})

_WHY_NOT = (
    (aiohttp.ClientConnectorDNSError, "the name of the host is not known"),
    (aiohttp.ClientConnectorCertificateError, "its TLS certificate is not trusted"),
    (aiohttp.ClientSSLError, "TLS failed: is it plain http?"),
    (aiohttp.ClientConnectorError, "nothing listens there, or it refuses connections"),
    (aiohttp.ServerDisconnectedError, "it closed the connection without an answer"),
    (aiohttp.ClientOSError, "the connection broke before the answer"),
)


class CheckClient:
    """One server. An async context manager."""

    def __init__(
        self,
        base_url: str,
        *,
        key: str = "",
        timeout_s: float,
        max_bytes: int = MAX_BYTES,
        user_agent: str,
    ) -> None:
        self._base_url = base_url
        self._key = key
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._headers = {"User-Agent": user_agent}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(force_close=True),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def get(self, path: str) -> Exchange:
        """GET a path below the base address."""
        return await self._exchange("GET", path, None, "application/json")

    async def post(self, path: str, body: bytes, *, stream: bool = False) -> Exchange:
        """POST a body that is, or claims to be, JSON."""
        accept = "text/event-stream" if stream else "application/json"
        return await self._exchange("POST", path, body, accept)

    async def _exchange(self, method: str, path: str, body: bytes | None, accept: str) -> Exchange:
        started, coming = time.monotonic(), _Coming()
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._receive(coming, method, path, body, headers)
        except TimeoutError:
            coming.fail(f"after {self._timeout_s:g} s", ENDLESS)
        except aiohttp.InvalidURL:
            coming.fail("the address is not valid", NO_ANSWER)
        except (aiohttp.ClientError, OSError, ValueError, EOFError) as error:
            coming.fail(_reason(error), CUT)
        return self._told(coming, time.monotonic() - started)

    async def _receive(
        self,
        coming: _Coming,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
    ) -> None:
        assert self._session is not None
        async with self._session.request(
            method, self._base_url + path, data=body, headers=headers, allow_redirects=False
        ) as answer:
            coming.status = answer.status
            coming.headers = {name.lower(): value for name, value in answer.headers.items()}
            while block := await answer.content.read(_BLOCK):
                coming.body += block
                if len(coming.body) > self._max_bytes:
                    coming.fail(f"more than {self._max_bytes:,} bytes", ENDLESS)
                    answer.close()
                    return

    async def converse(self, body: dict[str, Any]) -> Exchange:
        """Open a WebSocket, send one `response.create`, and take the frames of its answer."""
        started, coming, frames = time.monotonic(), _Coming(), list[bytes]()
        message = msgspec.json.encode({"type": "response.create", **body}).decode()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._converse(coming, frames, message)
        except TimeoutError:
            coming.fail(f"after {self._timeout_s:g} s", ENDLESS)
        except aiohttp.WSServerHandshakeError as refusal:
            coming.status = refusal.status
        except (aiohttp.ClientError, OSError, ValueError, EOFError) as error:
            coming.fail(_reason(error), CUT)
        told = self._told(coming, time.monotonic() - started)
        return msgspec.structs.replace(told, frames=tuple(map(self._without_key, frames)))

    async def _converse(self, coming: _Coming, frames: list[bytes], message: str) -> None:
        assert self._session is not None
        headers = {"OpenAI-Beta": "responses_websockets=2026-02-06"}
        url = self._base_url + "/responses"
        async with self._session.ws_connect(
            url,
            headers=headers,
            max_msg_size=self._max_bytes,
            timeout=aiohttp.ClientWSTimeout(1, 1),
        ) as socket:
            coming.status = 101
            await socket.send_str(message)
            size = 0
            async for frame in socket:
                if frame.type is not aiohttp.WSMsgType.TEXT:
                    break
                frames.append(frame.data.encode())
                size += len(frames[-1])
                if _type_of(frames[-1]) in _TERMINAL:
                    break
                if size > self._max_bytes:
                    coming.fail(f"more than {self._max_bytes:,} bytes", ENDLESS)
                    break

    def _told(self, coming: _Coming, took_s: float) -> Exchange:
        hide = self._hide
        return Exchange(
            coming.status,
            {name: hide(value) for name, value in coming.headers.items()},
            self._without_key(bytes(coming.body)),
            coming.problem,
            hide(coming.words),
            took_s=took_s,
        )

    def _hide(self, text: str) -> str:
        return text.replace(self._key, HIDDEN) if len(self._key) >= _SECRET else text

    def _without_key(self, raw: bytes) -> bytes:
        if len(self._key) < _SECRET:
            return raw
        return raw.replace(self._key.encode(), HIDDEN.encode())


class _Coming:
    """An answer as far as it has come."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.problem = ""
        self.words = ""

    def fail(self, words: str, problem: str) -> None:
        if self.problem:
            return
        self.problem = NO_ANSWER if self.status is None else problem
        began = "no answer" if self.status is None else f"{len(self.body):,} bytes"
        if self.problem == ENDLESS:
            self.words = f"no end {words}; {began} came"
        elif self.status is None and problem == ENDLESS:
            self.words = f"no answer {words}"
        else:
            self.words = words


def _type_of(frame: bytes) -> object:
    try:
        event = msgspec.json.decode(frame)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return event.get("type") if isinstance(event, dict) else None


def _reason(error: Exception) -> str:
    """Why there is no answer, or no whole one; without the words of a library."""
    for kind, words in _WHY_NOT:
        if isinstance(error, kind):
            return words
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the body broke off in the middle"
    if isinstance(error, aiohttp.ClientResponseError):
        return "what it answers is no HTTP"
    return f"the connection failed ({type(error).__name__})"
