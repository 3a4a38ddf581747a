"""Server-sent events: bytes to messages and back.

Lines end with CR, LF or CRLF and with nothing else: `str.splitlines` also cuts at U+2028 and its
kin, which stand inside JSON strings. Reading is incremental, so a message may arrive in any
split of its bytes, and bounded (A1). https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import msgspec

# A 16 MiB message is far above any chunk seen (the largest recorded is 40 kB); past it the peer
# is broken or hostile.
MAX_MESSAGE_BYTES = 16 * 1024 * 1024

COMMENT_KEEPALIVE = b": keepalive\n\n"
DATA_KEEPALIVE = b'data: {"type":"keepalive"}\n\n'
DONE = b"data: [DONE]\n\n"


class Message(msgspec.Struct, frozen=True, gc=False):
    """One dispatched message: the `data` lines joined with LF, and the `event` name or ''."""

    data: bytes
    event: str = ""


class SSEError(ValueError):
    """The peer broke a limit of the format. `before` are the messages that came whole by then."""

    def __init__(self, said: str, before: list[Message]) -> None:
        super().__init__(said)
        self.before = before


class Decoder:
    """Bytes in, messages out.

    `feed` returns the messages that its bytes complete; `close` returns a last message that lacks
    its blank line (real providers forget it, F54). Raises `SSEError` when one message exceeds
    `max_message_bytes`.
    """

    __slots__ = ("_max", "_pieces", "_size", "_skip_lf", "_started")

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._max = max_message_bytes
        self._skip_lf = False
        self._started = False

    def feed(self, data: bytes) -> list[Message]:
        """Take the next bytes and return the messages they complete."""
        if self._skip_lf or b"\r" in data:
            data = self._unify_line_ends(data)
        if self._pieces:
            if not self._ends_message(data):
                return self._keep(data)
            self._pieces.append(data)
            data = b"".join(self._pieces)
        if not self._started:
            if b"\xef\xbb\xbf".startswith(data):
                self._pieces, self._size = [data], len(data)
                return []
            self._started = True
            data = data.removeprefix(b"\xef\xbb\xbf")
        *frames, rest = data.split(b"\n\n")
        if len(data) > self._max:
            self._check_sizes(frames, rest)
        self._pieces, self._size = [rest] if rest else [], len(rest)
        return _parse_frames(frames) if frames else []

    def close(self) -> list[Message]:
        """Say that no more bytes come, and return what was left without its blank line."""
        frame = b"".join(self._pieces)
        self._pieces, self._size = [], 0
        return _parse_frames([frame])

    def _ends_message(self, data: bytes) -> bool:
        if not self._started or b"\n\n" in data:
            return True
        return data.startswith(b"\n") and self._pieces[-1].endswith(b"\n")

    def _keep(self, data: bytes) -> list[Message]:
        """Hold the bytes of an unfinished message: joined once, however small its pieces are."""
        if data:
            self._pieces.append(data)
            self._size += len(data)
        if self._size > self._max + 1:
            raise self._too_long([])
        return []

    def _check_sizes(self, frames: list[bytes], rest: bytes) -> None:
        """Hold a block that is larger than one message may be to the same limit as small ones."""
        for position, frame in enumerate(frames):
            if len(frame) > self._max:
                raise self._too_long(frames[:position])
        # What is left may end with the first of the two line ends that close a message.
        if len(rest) > self._max + 1:
            raise self._too_long(frames)

    def _too_long(self, before: list[bytes]) -> SSEError:
        said = f"one server-sent message is longer than {self._max} bytes"
        return SSEError(said, _parse_frames(before))

    def _unify_line_ends(self, data: bytes) -> bytes:
        if self._skip_lf and data:
            # The CR that ended the previous block was already turned into a line end.
            self._skip_lf = False
            data = data.removeprefix(b"\n")
        if data.endswith(b"\r"):
            self._skip_lf = True
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _parse_frames(frames: list[bytes]) -> list[Message]:
    messages = []
    for frame in frames:
        # The shape of nearly every frame: one data line and nothing else.
        if frame.startswith(b"data: ") and b"\n" not in frame:
            messages.append(Message(frame[6:]))
        elif (message := _parse_frame(frame)) is not None:
            messages.append(message)
    return messages


def _parse_frame(frame: bytes) -> Message | None:
    """Read one block of lines; None when it carries no data (a comment, an empty block)."""
    data: list[bytes] = []
    event = ""
    for line in frame.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            event = value.decode("utf-8", "replace")
    if not data:
        return None
    return Message(b"\n".join(data), event)


def encode(data: bytes, event: bytes = b"") -> bytes:
    """Frame one JSON text, which holds no line ends, as a message."""
    if event:
        return b"event: %b\ndata: %b\n\n" % (event, data)
    return b"data: %b\n\n" % data
