"""What a Responses server sends, byte by byte, as events, looked at only as far as needed."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from anyturn.wire.chat_stream import EXCERPT_BYTES, AnswerReader, Unreadable

WHOLE = "response"
"""The type of an answer that came in one piece and not as a stream."""

CHAT = ("chat.completion.chunk", "chat.completion")
"""What a server of Chat Completions sends, which has no type."""

DONE = "[DONE]"


class ServerEvent(msgspec.Struct, gc=False):
    """One event: where it belongs, and its JSON as it came. Wrongly typed members are absent."""

    type: str
    data: bytes = b""
    sequence_number: int | None = None
    output_index: int | None = None
    item_id: str | None = None
    content_index: int | None = None
    summary_index: int | None = None
    delta: str | None = None


ReadEvent: TypeAlias = ServerEvent | Unreadable


class EventReader(AnswerReader[ServerEvent]):
    """Bytes in, events out; `done` as in `AnswerReader`."""

    __slots__ = ()

    def read(self, data: bytes, event: str) -> ReadEvent:
        """One message; what is no event of the Responses API is unreadable."""
        try:
            found = _decode(data)
        except msgspec.ValidationError:
            return _read_leniently(data, event)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return Unreadable(data[:EXCERPT_BYTES])
        found.data = data
        return found

    def read_done(self) -> list[ReadEvent]:
        """The server ended its stream by itself: nothing was cut off."""
        return [ServerEvent(DONE)]


_decode = msgspec.json.Decoder(ServerEvent).decode


def _read_leniently(data: bytes, event: str) -> ReadEvent:
    """An event with members of wrong types, with its type in its name only, or a whole answer."""
    try:
        body: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return Unreadable(data[:EXCERPT_BYTES])
    if not isinstance(body, dict):
        return Unreadable(data[:EXCERPT_BYTES])
    kind = body.get("type")
    if not isinstance(kind, str) or not kind:
        kind = _kind_of(body, event)
        if not kind:
            return Unreadable(data[:EXCERPT_BYTES])
        data = msgspec.json.encode({**body, "type": kind})
        return _read_event(body, kind, data, numbered=False)
    return _read_event(body, kind, data, numbered=True)


def _kind_of(body: dict[str, Any], event: str) -> str:
    made = body.get("object")
    if made == "response":
        return WHOLE
    if made in CHAT:
        return str(made)
    return event if event.startswith("response.") else ""


def _read_event(body: dict[str, Any], kind: str, data: bytes, *, numbered: bool) -> ServerEvent:
    item_id, delta = body.get("item_id"), body.get("delta")
    return ServerEvent(
        kind,
        data,
        _number(body.get("sequence_number")) if numbered else None,
        _number(body.get("output_index")),
        item_id if isinstance(item_id, str) else None,
        _number(body.get("content_index")),
        _number(body.get("summary_index")),
        delta if isinstance(delta, str) else None,
    )


def _number(value: Any) -> int | None:
    return value if type(value) is int else None
