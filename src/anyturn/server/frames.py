"""What travels in the frames of a Responses WebSocket (responses-api.md section 2.9)."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from anyturn.errors import Kind, TurnError
from anyturn.wire.request import check_types, read_object

CREATE = "response.create"

# A client sends one and waits; more are allowed, and so many are kept.
_MOST_WAITING = 16
# Codex sends `stream` although clients must not; a frame is always answered by events.
_WITHOUT_MEANING = ("type", "stream", "stream_options", "background")

BINARY = TurnError(
    Kind.INVALID_REQUEST, f"Binary frames are not read here. Send {CREATE!r} as JSON in text."
)
CROWDED = TurnError(
    Kind.TOO_MANY_WAITING,
    f"At most {_MOST_WAITING} requests wait on one connection, in max_body_bytes together. "
    "Send the next one after an answer.",
)


def read_message(frame: bytes) -> dict[str, Any]:
    """Read a client's message: the body that `POST /responses` would have, types not yet checked.

    Raises `TurnError`: INVALID_JSON, or INVALID_REQUEST for anything but a `response.create`.
    """
    message = read_object(frame)
    kind = message.get("type")
    if kind != CREATE:
        found = repr(kind[:60]) if isinstance(kind, str) else "missing or not a string"
        sentence = f"Invalid message: its type must be {CREATE!r}, and is {found}."
        raise TurnError(Kind.INVALID_REQUEST, sentence, param="type")
    return message


def request_of(message: dict[str, Any]) -> dict[str, Any]:
    """Make a request of a message. Raises `TurnError` as `check_types` does."""
    for name in _WITHOUT_MEANING:
        message.pop(name, None)
    return check_types(message)


def error_frame(error: TurnError) -> bytes:
    """The frame that answers a message in the place of events.

    Codex treats it like an HTTP answer of that status, and waits as `retry-after` says
    (codex-cli.md section 9).
    """
    frame: dict[str, Any] = {
        "type": "error",
        "status": error.kind.status,
        **error.envelope(),
    }
    if error.retry_after_header is not None:
        frame["headers"] = {"retry-after": error.retry_after_header}
    return msgspec.json.encode(frame)


class Waiting:
    """Messages that came and were not answered yet, in order and bounded (A1).

    What finds no room is only counted, and so is what comes behind it: each of them is answered in
    its place, and nothing of it is kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._frames: deque[bytes | TurnError] = deque()
        self._max_bytes = max_bytes
        self._bytes = 0
        self._turned_away = 0

    def __len__(self) -> int:
        return len(self._frames) + self._turned_away

    def put(self, frame: bytes | TurnError) -> None:
        """Take the next message, or what is wrong with it."""
        size = _size(frame)
        too_many = len(self._frames) >= _MOST_WAITING
        # One message is always taken: the connection has limited its size.
        too_much = bool(self._frames) and self._bytes + size > self._max_bytes
        if self._turned_away or too_many or too_much:
            self._turned_away += 1
            return
        self._frames.append(frame)
        self._bytes += size

    def take(self) -> bytes | TurnError | None:
        """The next message to answer, or what is wrong with it; None when there is none."""
        if self._frames:
            frame = self._frames.popleft()
            self._bytes -= _size(frame)
            return frame
        if self._turned_away:
            self._turned_away -= 1
            return CROWDED
        return None


def _size(frame: bytes | TurnError) -> int:
    return len(frame) if isinstance(frame, bytes) else 0
