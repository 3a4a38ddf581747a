"""A relayed turn as the event loop sees it: bytes handed on to the recorder, never read here."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from anyturn.capture.redact import KEPT_HEADERS, MASK, is_secret_name
from anyturn.recorder import Recorder
from anyturn.relay.reading import TERMINAL, TurnReader, kept_headers
from anyturn.turn_recording import Begun, Ending

CREATE = "response.create"
_PATHS = {"/responses": "responses", "/chat/completions": "chat"}
# What is kept of a request's body as it was sent: well over any request of Codex.
_MAX_BODY_BYTES = 64 * 1024 * 1024
# Of a query: what says something about the format. Of all others only the name.
_KEPT_QUERY = frozenset({"api-version", "client_version", "stream", "beta"})
# What a header is called that holds a key, a token or an account.
_SECRET_WORDS = ("auth", "key", "token", "cookie", "secret", "account", "organization", "project")

LEFT = Ending(status="left")


def wire_of(path: str) -> str:
    """What a request to this path speaks, `responses` or `chat`; empty for anything else."""
    plain = path.partition("?")[0].rstrip("/")
    return next((wire for end, wire in _PATHS.items() if plain.endswith(end)), "")


class RelayedTurn:
    """One turn on its way through the relay."""

    def __init__(
        self,
        recorder: Recorder,
        url: str,
        headers: Mapping[str, str],
        wire: str,
        transport: str = "http",
    ) -> None:
        # Its end stands in the file's name: turns that begin in one millisecond stay in order.
        self.id = f"{uuid.uuid4().hex[:20]}{time.monotonic_ns() & 0xFFFFFFFFFFFF:012x}"
        self._recorder = recorder
        self._url = url
        self._headers = headers
        self._wire = wire
        self._transport = transport
        self._started_at = time.monotonic()
        self._body: list[bytes] = []
        self._size = 0
        self._reader: TurnReader | None = None
        self._answer = LEFT
        self._ended = False

    def sends(self, piece: bytes) -> None:
        """Take the next piece of the request's body."""
        self._size += len(piece)
        if self._size <= _MAX_BODY_BYTES:
            self._body.append(piece)

    def asked(self) -> TurnReader:
        """Hand the request on, once: when it is whole, or when its answer begins before that."""
        if self._reader is None:
            encoding = _header(self._headers, "content-encoding")
            self._reader = TurnReader(self._wire, b"".join(self._body), encoding)
            self._body = []
            self._begin(min(self._size, _MAX_BODY_BYTES))
        return self._reader

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """Take the beginning of the answer."""
        self._answer = Ending(status="left", http_status=status, headers=kept_headers(headers))
        self.asked().answered(_header(headers, "content-encoding"))

    def received(self, block: bytes) -> None:
        """Take the next block of the answer."""
        self._recorder.put_block(self.id, block)

    def ended(self, ending: Ending) -> None:
        """Say how it ended, once; without a status the answer itself tells it."""
        if self._ended:
            return
        self._ended = True
        self.asked()
        # For a turn whose beginning had no room.
        self._begin(0)
        self._recorder.put(self.id, "end", ending, 0)

    def left(self) -> None:
        """Say that the client left, where nothing else was said: before or after the answer."""
        self.ended(self._answer)

    def _begin(self, size: int) -> None:
        begun = Begun(
            turn=self.id,
            began=self._started_at,
            wall=self._recorder.wall(self._started_at),
            provider=urlsplit(self._url).hostname or "",
            model="",
            url=without_secrets(self._url),
            headers=self._headers,
            body={},
            keys=tuple(_keys(self._url, self._headers)),
            wire=self._wire,
            transport=self._transport,
            reader=self._reader,
        )
        self._recorder.put(self.id, "begin", begun, size)


def whole_answer(status: int, headers: Mapping[str, str]) -> Ending:
    """How a turn ended whose answer came to its end."""
    return Ending(http_status=status, headers=kept_headers(headers))


def broken_answer(status: int, headers: Mapping[str, str], why: str) -> Ending:
    """How a turn ended whose backend broke the answer off."""
    error = {"code": "stream_cut", "message": why, "source": "provider"}
    return Ending(http_status=status, headers=kept_headers(headers), error=error)


def no_answer(message: str) -> Ending:
    """How a turn ended in which the backend was not reached: the words are the relay's."""
    error = {"code": "backend_unreachable", "message": message, "source": "relay"}
    return Ending(status="failed", http_status=502, error=error)


# ---------------------------------------------------------------- turns on a WebSocket


class _Message(msgspec.Struct):
    type: Any = None


_decode = msgspec.json.Decoder(_Message).decode


class SocketTurns:
    """The turns on one WebSocket: each `response.create`, and the frames up to its terminal one.

    A frame is recorded as a server-sent message is, so that a capture reads the same either way.
    """

    def __init__(self, recorder: Recorder | None, url: str, headers: Mapping[str, str]) -> None:
        self._recorder = recorder
        self._url = url
        self._headers = headers
        self._answer: Mapping[str, str] = {}
        self._running: deque[RelayedTurn] = deque()

    def answered(self, headers: Mapping[str, str]) -> None:
        """Take the headers of the handshake's answer."""
        self._answer = headers

    def asked(self, frame: bytes) -> None:
        """Take a text frame of the client."""
        if self._recorder is None or _type_of(frame) != CREATE:
            return
        turn = RelayedTurn(self._recorder, self._url, self._headers, "responses", "websocket")
        turn.sends(frame)
        turn.asked()
        self._running.append(turn)

    def received(self, frame: bytes) -> None:
        """Take a text frame of the backend."""
        if not self._running:
            return
        turn = self._running[0]
        turn.received(b"data: " + b"\ndata: ".join(frame.splitlines()) + b"\n\n")
        if _type_of(frame) in TERMINAL:
            self._running.popleft().ended(whole_answer(200, self._answer))

    def closed(self, *, by_client: bool, code: int | None) -> None:
        """The connection is over: so are the turns on it."""
        why = f"The backend closed the connection with code {code or 1006} in the middle of it."
        ending = LEFT if by_client else broken_answer(200, self._answer, why)
        while self._running:
            self._running.popleft().ended(ending)


def _type_of(frame: bytes) -> str:
    try:
        kind = _decode(frame).type
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""
    return kind if isinstance(kind, str) else ""


# ---------------------------------------------------------------- secrets


def without_secrets(url: str) -> str:
    """The URL with the names of its query and only those values that say what was asked."""
    address, mark, query = url.partition("?")
    pairs = [one.partition("=") for one in query.split("&")] if query else []
    told = [
        name + (f"={value if name.lower() in _KEPT_QUERY else MASK}" if equals else "")
        for name, equals, value in pairs
    ]
    return address + mark + "&".join(told)


def _keys(url: str, headers: Mapping[str, str]) -> Iterator[str]:
    """What must not be written wherever it stands: keys, tokens, cookies, accounts."""
    for name, value in headers.items():
        low = name.lower()
        if low in KEPT_HEADERS or not (
            is_secret_name(low) or any(word in low for word in _SECRET_WORDS)
        ):
            continue
        yield value.strip()
        yield value.strip().rpartition(" ")[2]
        if "cookie" in low:
            yield from (one.partition("=")[2].strip() for one in value.split(";"))
    for one in url.partition("?")[2].split("&"):
        name, _, value = one.partition("=")
        if name.lower() not in _KEPT_QUERY:
            yield value


def _header(headers: Mapping[str, str], name: str) -> str:
    return next((value for key, value in headers.items() if key.lower() == name), "")
