"""What a relayed turn says, read from its bytes: in the recorder's thread, behind the relay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from anyturn.capture.redact import KEPT_HEADERS, MASK
from anyturn.relay.decoding import Decoder
from anyturn.turn_recording import Begun, Ending
from anyturn.wire import sse

JSON: TypeAlias = dict[str, Any]

# What is kept of a body, once decoded.
MAX_BODY_BYTES = 128 * 1024 * 1024
# An answer that is no stream is read as a whole to learn how it ended.
_MAX_JSON = 16 * 1024 * 1024
_ENDS = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "error": "failed",
}
TERMINAL = frozenset(_ENDS)
"""The events that end a turn of the Responses API."""
# Of an answer's headers: what says something about the format. Of the others only the name.
_KEPT_ANSWERS = KEPT_HEADERS | {
    *("content-length", "transfer-encoding", "cache-control", "date", "server", "retry-after"),
    *("openai-model", "openai-version", "openai-processing-ms", "vary", "upgrade"),
    *("sec-websocket-extensions", "x-models-etag", "x-reasoning-included"),
}
_KEPT_PREFIXES = ("x-ratelimit-", "ratelimit-")


class _Chunk(msgspec.Struct):
    """As much of a chunk, an event, or a whole answer as tells how a turn ends."""

    type: Any = None
    object: Any = None
    status: Any = None
    choices: Any = None
    response: Any = None
    error: Any = None
    detail: Any = None
    message: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


class TurnReader:
    """Reads one turn: the `Reader` of its recording.

    `body` is the request's body as it was sent. `answered` is called before the first block, and
    everything else in the recorder's thread.
    """

    def __init__(self, wire: str, body: bytes, encoding: str) -> None:
        self._wire = wire
        self._body = body
        self._encoding = encoding
        self._decoder = Decoder("", MAX_BODY_BYTES)
        self._messages = sse.Decoder()
        self._whole = ""
        self._status = ""
        self._error: JSON | None = None
        self._http_status: int | None = None
        self._left_out: list[str] = []

    def answered(self, encoding: str) -> None:
        """Note how the answer is encoded."""
        self._decoder = Decoder(encoding, MAX_BODY_BYTES)

    # ---------------------------------------------------------------- in the recorder's thread

    def begun(self, begun: Begun) -> Begun:
        """The same with the request's body, and the model that it names."""
        decoder = Decoder(self._encoding, MAX_BODY_BYTES)
        decoded = decoder.feed(self._body)
        # A long history should not stay in memory for as long as its answer streams.
        self._body = b""
        try:
            body = msgspec.json.decode(decoded, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            why = decoder.problem or "it is no JSON object"
            self._left_out.append(f"the body of the request: {why}")
            return begun
        model = body.get("model")
        return msgspec.structs.replace(
            begun, body=body, model=model if isinstance(model, str) else ""
        )

    def decoded(self, block: bytes) -> bytes:
        """A block of the answer without its content encoding."""
        return self._decoder.feed(block)

    def events(self, text: str) -> list[Any]:
        """The Responses events in whole messages; none of other traffic."""
        if self._whole or (not self._status and text.lstrip()[:1] in ("{", "[")):
            self._whole += text[: _MAX_JSON - len(self._whole)]
            return []
        try:
            messages = self._messages.feed(text.encode())
        except sse.SSEError as error:
            messages = error.before
        found = [self._event(message.data) for message in messages]
        return [event for event in found if event is not None]

    def ending(self, ending: Ending) -> Ending:
        """The same with what the answer says of its end, where the relay knows no better."""
        if self._decoder.problem:
            self._left_out.append(f"the rest of the answer: {self._decoder.problem}")
        ending = msgspec.structs.replace(ending, left_out=self._left_out)
        # Codex hangs up once it has the terminal event, without reading to the stream's end.
        if ending.status == "left" and self._status:
            ending = msgspec.structs.replace(ending, status="")
        return ending if ending.status else self._judged(ending)

    def _judged(self, ending: Ending) -> Ending:
        if self._whole:
            self._read_whole(self._whole.encode())
        http_status = self._http_status or ending.http_status
        if http_status >= 400:
            self._status = "failed"
        error = self._error
        if not self._status:
            self._status = "failed"
            error = dict(ending.error or _CUT)
        elif self._status == "failed":
            error = _provider_error(error, http_status)
        return msgspec.structs.replace(
            ending,
            status=self._status,
            error=error if self._status == "failed" else None,
            http_status=http_status,
        )

    def _event(self, data: bytes) -> Any:
        try:
            chunk = _decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
        self._note(chunk)
        if self._wire != "responses" or not isinstance(chunk.type, str):
            return None
        # As it came, to the order and the form of numbers; a capture's records are lines.
        if b"\n" in data or b"\r" in data:
            return msgspec.json.decode(data)
        return msgspec.Raw(data)

    def _note(self, chunk: _Chunk) -> None:
        if self._wire == "chat":
            if chunk.error:
                self._status, self._error = "failed", _words_of(chunk)
            elif reason := _finish_of(chunk):
                cut = reason in ("length", "content_filter")
                self._status = "incomplete" if cut else "completed"
        elif isinstance(chunk.type, str) and chunk.type in _ENDS:
            self._status = _ENDS[chunk.type]
            self._error = _words_of(chunk)
            if chunk.type == "error" and isinstance(chunk.status, int):
                self._http_status = chunk.status

    def _read_whole(self, body: bytes) -> None:
        """Learn from an answer that is one JSON document."""
        try:
            chunk = _decode(body)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return
        self._note(chunk)
        self._error = self._error or _words_of(chunk)
        if chunk.object == "response" and isinstance(chunk.status, str):
            self._status = chunk.status


_CUT: JSON = {
    "code": "stream_cut",
    "message": "The answer stopped before its end.",
    "source": "provider",
}


def _finish_of(chunk: _Chunk) -> str:
    found = ""
    for choice in chunk.choices if isinstance(chunk.choices, list) else ():
        reason = choice.get("finish_reason") if isinstance(choice, dict) else None
        found = reason if isinstance(reason, str) else found
    return found


def _words_of(chunk: _Chunk) -> JSON | None:
    """What an answer says of an error: `code` and `message`; None when it says nothing."""
    error: Any = chunk.error or chunk.detail
    if error is None and isinstance(chunk.response, dict):
        error = chunk.response.get("error")
    if error is None and isinstance(chunk.message, str):
        error = chunk.message
    if isinstance(error, str):
        return {"message": error}
    return dict(error) if isinstance(error, Mapping) else None


def _provider_error(error: JSON | None, http_status: int) -> JSON:
    told = error or {}
    words = told.get("message")
    code = told.get("code") or told.get("type")
    return {
        "code": code if isinstance(code, str) else "",
        "message": words if isinstance(words, str) else f"The backend answered HTTP {http_status}.",
        "source": "provider",
        "provider_status": http_status,
    }


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The names of an answer's headers, in lower case, and the values that say what it is."""
    kept = {}
    for name, value in headers.items():
        low = name.lower()
        told = low in _KEPT_ANSWERS or low.startswith(_KEPT_PREFIXES)
        kept[low] = value if told else MASK
    return kept
