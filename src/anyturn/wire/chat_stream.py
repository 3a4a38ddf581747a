"""A provider's answer, byte by byte, as chunks.

Content decides, not headers: the first byte tells server-sent events from one JSON body (a
provider that ignored `stream`, or an error under a 200) and both from a web page (F54, F57).
"""

from __future__ import annotations

from typing import Generic, TypeAlias, TypeVar

import msgspec

from anyturn.wire.chat import Chunk, decode_chunk
from anyturn.wire.sse import Decoder, Message, SSEError

# A whole JSON answer may be long; of anything else only the beginning is worth showing.
MAX_BODY_BYTES = 64 * 1024 * 1024
EXCERPT_BYTES = 4096
_FIELDS = frozenset({b"", b"data", b"event", b"id", b"retry"})


class Unreadable(msgspec.Struct, frozen=True):
    """Bytes that are no chunk: broken JSON in a frame, or a body of another kind (Q11)."""

    data: bytes


class Frame(msgspec.Struct, frozen=True):
    """A chunk, and the `event` name it came under ('' as a rule, 'error' at Groq, Q3)."""

    chunk: Chunk
    event: str = ""


Read: TypeAlias = Frame | Unreadable


R = TypeVar("R")


class AnswerReader(Generic[R]):
    """Bytes in, what they say out. `done` is true once `[DONE]` came; what follows is not read."""

    __slots__ = ("_body", "_body_size", "_is_sse", "_sse", "_unheard", "done")

    def __init__(self) -> None:
        self._sse = Decoder()
        self._body: list[bytes] = []
        self._body_size = 0
        self._is_sse: bool | None = None
        self._unheard: bytes | None = b""
        """The first bytes of a stream of which no message came yet."""
        self.done = False

    def read(self, data: bytes, event: str) -> R | Unreadable:
        """One message, or a body that is none."""
        raise NotImplementedError

    def read_done(self) -> list[R | Unreadable]:
        """What `[DONE]` says, beside that nothing follows."""
        return []

    def feed(self, data: bytes) -> list[R | Unreadable]:
        """Take the next bytes and return what they complete."""
        if self._is_sse:
            return self._read_sse(data)
        if self._is_sse is None:
            # Blank lines and a byte order mark; some servers send them while a prompt waits.
            data = data.lstrip(b" \t\r\n\xef\xbb\xbf")
            if not data:
                return []
            self._is_sse = data[:1] not in b"{[<"
            if self._is_sse:
                return self._read_sse(data)
        self._body.append(data)
        self._body_size += len(data)
        if self._body_size > MAX_BODY_BYTES:
            self._body = []
            self.done = True
            return [Unreadable(b"a body of more than 64 MiB")]
        return []

    def close(self) -> list[R | Unreadable]:
        """Say that no more bytes come, and return what was still to be read."""
        if self.done:
            return []
        if self._is_sse:
            return self._close_sse()
        body, self._body = b"".join(self._body), []
        return [self.read(body, "")] if body else []

    def _read_sse(self, data: bytes) -> list[R | Unreadable]:
        if self._unheard is not None:
            self._unheard = (self._unheard + data)[:EXCERPT_BYTES]
        try:
            messages = self._sse.feed(data)
        except SSEError as error:
            frames = self._read_messages(error.before)
            if not self.done:
                frames.append(Unreadable(str(error).encode()))
            self.done = True
            return frames
        return self._read_messages(messages)

    def _close_sse(self) -> list[R | Unreadable]:
        """Read a last message without its blank line, and words that were no message at all."""
        silent = self._unheard is not None
        frames = self._read_messages(self._sse.close())
        if not silent:
            # The last message was cut off with the connection, which says enough.
            return [frame for frame in frames if not isinstance(frame, Unreadable)]
        if self._unheard is not None and not _is_sse(self._unheard):
            return [Unreadable(self._unheard)]
        return frames

    def _read_messages(self, messages: list[Message]) -> list[R | Unreadable]:
        frames: list[R | Unreadable] = []
        if messages:
            self._unheard = None
        for message in messages:
            if self.done:
                break
            if message.data == b"[DONE]":
                self.done = True
                frames += self.read_done()
            elif message.data and message.data != b"null":
                frames.append(self.read(message.data, message.event))
        return frames


class ChunkReader(AnswerReader[Frame]):
    """Bytes in, chunks out; `done` as in `AnswerReader`."""

    __slots__ = ()

    def read(self, data: bytes, event: str) -> Read:
        """One chunk."""
        try:
            return Frame(decode_chunk(data), event)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return Unreadable(data[:EXCERPT_BYTES])


def _is_sse(start: bytes) -> bool:
    """Whether a body without any message is one of the format by its first line.

    LM Studio answers a context overflow under a 200 with a bare sentence.
    """
    line = start.replace(b"\r", b"\n").partition(b"\n")[0]
    return line.partition(b":")[0] in _FIELDS
