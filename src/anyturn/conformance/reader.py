"""Bytes to events: a stream of server-sent events, or a file with one JSON object on each line.

Content decides, not the file's name. Nothing here judges: what is no event becomes one with a type
of its own, and the rules of transport look at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from anyturn.conformance.events import (
    CHAT,
    CREATED,
    DONE,
    NO_STREAM,
    TERMINAL,
    TOO_LONG,
    UNREADABLE,
    UNTYPED,
    Event,
    type_of,
)
from anyturn.wire.sse import MAX_MESSAGE_BYTES, Decoder, Message, SSEError

_BLANK = b" \t\r\n\xef\xbb\xbf"
_EXCERPT = 400


class Reader:
    """Bytes in, events out. `framing` is sse, lines, or '' as long as nothing told which."""

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self.framing = ""
        self._max = max_message_bytes
        self._sse = Decoder(max_message_bytes)
        self._line: list[bytes] = []
        self._line_size = 0
        self._start = b""
        self._count = 0
        self._is_over = False
        self._is_nothing = False

    def feed(self, block: bytes) -> list[Event]:
        """Take the next bytes and return the events that they complete."""
        if len(self._start) < _EXCERPT:
            self._start += block[: _EXCERPT - len(self._start)]
        if self._is_over:
            return []
        if not self.framing:
            block = block.lstrip(_BLANK)
            if not block:
                return []
            self.framing = "lines" if block[:1] in b"{[<" else "sse"
        return self._feed_sse(block) if self.framing == "sse" else self._feed_lines(block)

    def close(self) -> list[Event]:
        """Say that no more bytes come, and return what was left, or that it was no stream."""
        events: list[Event] = []
        if self.framing == "sse" and not self._is_over:
            events = [self._event(message, ended=False) for message in self._sse.close()]
        elif self.framing == "lines" and self._line and not self._is_over:
            events = self._close_lines()
        if self._is_nothing or (self._count == len(events) and not _has_event(events)):
            return [Event(NO_STREAM, {}, 0, raw=self._start)]
        return events

    def _feed_sse(self, block: bytes) -> list[Event]:
        try:
            return [self._event(message) for message in self._sse.feed(block)]
        except SSEError as error:
            return [*map(self._event, error.before), self._too_long(str(error))]

    def _feed_lines(self, block: bytes) -> list[Event]:
        events = []
        *whole, rest = block.split(b"\n")
        for line in whole:
            text = b"".join([*self._line, line]).strip(_BLANK)
            self._line, self._line_size = [], 0
            if text:
                events.append(self._event(Message(text)))
        if rest:
            self._line.append(rest)
            self._line_size += len(rest)
        if self._line_size > self._max:
            events.append(self._too_long("one line is longer than a message may be"))
        return self._unless_no_stream(events)

    def _close_lines(self) -> list[Event]:
        text = b"".join(self._line).strip(_BLANK)
        return self._unless_no_stream([self._event(Message(text))] if text else [])

    def _unless_no_stream(self, events: list[Event]) -> list[Event]:
        """A body whose first line is no event is no file of events: `close` says so."""
        first = events[0] if events and self._count == len(events) else None
        if first is None or first.type not in (UNREADABLE, UNTYPED):
            return events
        self._is_over = self._is_nothing = True
        return []

    def _event(self, message: Message, ended: bool = True) -> Event:
        event = event_of(message.data, self._count, message.event)
        event.ended = ended
        self._count += 1
        return event

    def _too_long(self, said: str) -> Event:
        self._is_over = True
        self._count += 1
        return Event(TOO_LONG, {"said": said}, self._count - 1)


class Recording(msgspec.Struct, frozen=True):
    """A file that was read. `kind`: responses, chat, foreign or nothing.

    `turns` are its streams: a file of lines may hold several, one after another.
    """

    kind: str
    framing: str
    turns: tuple[tuple[Event, ...], ...]


def read_stream(data: bytes) -> Recording:
    """Read a recorded stream, `.sse` or `.jsonl`, Responses or Chat. Never raises."""
    reader = Reader()
    events = [*reader.feed(data), *reader.close()]
    turns: list[list[Event]] = [[]]
    for event in events:
        ended = any(earlier.type in TERMINAL for earlier in turns[-1][-3:])
        if reader.framing == "lines" and event.type == CREATED and ended:
            turns.append([])
        turns[-1].append(event)
    return Recording(kind_of(events), reader.framing, tuple(map(tuple, turns)))


def kind_of(events: Iterable[Event]) -> str:
    """What a stream is, by its events."""
    types = {event.type for event in events}
    if any(type.startswith("response.") or type == "error" for type in types):
        return "responses"
    if CHAT in types:
        return "chat"
    return "foreign" if any(" " not in type for type in types) else "nothing"


def event_of(data: bytes | str | Mapping[str, Any], number: int, name: str = "") -> Event:
    """One event, from its JSON or from what was decoded already. Never raises."""
    if isinstance(data, Mapping):
        return Event(type_of(data), dict(data), number, name)
    raw = data.encode("utf-8", "replace") if isinstance(data, str) else data
    if raw.strip() == b"[DONE]":
        return Event(DONE, {}, number, name, raw)
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return Event(UNREADABLE, {}, number, name, raw)
    if not isinstance(body, dict):
        return Event(UNTYPED, {}, number, name, raw)
    return Event(type_of(body), body, number, name, raw)


def _has_event(events: list[Event]) -> bool:
    return any(event.type not in (UNREADABLE, UNTYPED) for event in events)
