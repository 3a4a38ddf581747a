"""The check itself: events in, one by one, and a report at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from anyturn.conformance.catalogue import rules_at
from anyturn.conformance.events import (
    CHAT,
    COMPARED,
    CREATED,
    END,
    HEAD,
    JSON,
    NO_STREAM,
    TOO_LONG,
    UNREADABLE,
    Event,
    plain,
)
from anyturn.conformance.fidelity import Chunks, Compared, Events
from anyturn.conformance.reader import Reader, event_of
from anyturn.conformance.report import Finding, Report
from anyturn.conformance.rules import Rule
from anyturn.conformance.turn import Turn
from anyturn.wire.sse import MAX_MESSAGE_BYTES

MAX_KEPT = 8
"""Findings of one rule that are kept; the rest is counted."""

# These need the items that are no longer followed in a stream beyond all limits.
_NEED_ITEMS = ("grammar.", "terminal.output", "items.call-id")


class StreamChecker:
    """A check that goes along with a stream.

    `take` an event (a dict, or its JSON), or `feed` the bytes of the body as they come; `close`
    gives the report. `request` is the body of the client's request: with it calls are held against
    the declared tools. `status` and `headers` are those of the HTTP answer. `take_chunk` tells what
    the provider said, to be compared. Work is bounded for each event, memory for the whole.
    """

    def __init__(
        self,
        *,
        request: JSON | None = None,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        self._request = request
        self._turn = Turn(request)
        self._reader = Reader(max_message_bytes)
        self._chunks: Chunks | None = None
        self._events = Events()
        self._chunk_reader = Reader()
        self._findings: list[Finding] = []
        self._times: Counter[str] = Counter()
        self._subjects: set[tuple[str, str]] = set()
        self._number = 0
        self._types: set[str] = set()
        self._turn.status = status
        if status is not None or headers is not None:
            self._ask(Event(HEAD, _head(status, headers), 0))

    def take(self, event: Mapping[str, Any] | bytes | str) -> list[Finding]:
        """Check one event and return what is found at it."""
        return self._take(event_of(event, self._number))

    def feed(self, block: bytes) -> list[Finding]:
        """Check the events that these bytes of the body complete."""
        found: list[Finding] = []
        for event in self._reader.feed(block):
            if event.type == CREATED and self._turn.terminal and self._reader.framing == "lines":
                self._begin_turn()
            found += self._take(event)
        return found

    def take_chunk(self, chunk: Mapping[str, Any] | bytes | str) -> None:
        """Note one chunk of the provider."""
        event = event_of(chunk, 0)
        self._chunks = self._chunks or Chunks()
        if event.type != UNREADABLE:
            self._note_chunk(event)

    def feed_chunks(self, block: bytes) -> None:
        """Note bytes of the provider's stream."""
        self._chunks = self._chunks or Chunks()
        for event in self._chunk_reader.feed(block):
            self._note_chunk(event)

    def _begin_turn(self) -> None:
        """End a stream in a file that holds several, and begin the next."""
        self._end()
        self._turn = Turn(self._request)
        self._subjects.clear()
        self._events = Events()

    def close(self) -> Report:
        """Say that no more comes. Ask for it once."""
        for event in self._reader.close() if self._reader.framing or not self._number else []:
            self._take(event)
        for event in self._chunk_reader.close() if self._chunk_reader.framing else []:
            self._note_chunk(event)
        self._end()
        times = self._times
        kept = [
            msgspec.structs.replace(finding, times=max(1, times[finding.rule] - MAX_KEPT + 1))
            if self._is_last_kept(place)
            else finding
            for place, finding in enumerate(self._findings)
        ]
        return Report(self._kind(), self._number, tuple(kept))

    def _take(self, event: Event) -> list[Finding]:
        event.number = self._number
        self._number += 1
        self._types.add(event.type if " " in event.type else _family(event.type))
        self._turn.locate(event)
        found = self._ask(event)
        self._turn.take(event)
        self._events.take(event)
        return found

    def _ask(self, event: Event) -> list[Finding]:
        before = len(self._findings)
        for rule in rules_at(event.type):
            if self._turn.is_followed or not rule.id.startswith(_NEED_ITEMS):
                said = rule.check(self._turn, event)
                if said is not None:
                    self._note(rule, event, said)
        return self._findings[before:]

    def _note(self, rule: Rule, event: Event, said: str) -> None:
        subject = (rule.id, _subject(rule, event))
        if subject in self._subjects:
            return
        if len(self._subjects) < 100_000:
            self._subjects.add(subject)
        self._times[rule.id] += 1
        if self._times[rule.id] <= MAX_KEPT:
            place = None if event.type in (HEAD, END, COMPARED, NO_STREAM) else event.number
            self._findings.append(Finding(rule.id, place, plain(said)))

    def _end(self) -> None:
        turn = self._turn
        # What is no Responses stream at all has been said to be none; that it has no end either
        # says nothing more.
        if turn.count and not self._types & {TOO_LONG}:
            self._ask(Event(END, {"framing": self._reader.framing}, self._number))
        if self._chunks is not None and turn.count:
            both = Compared(
                self._chunks.said(), self._events.said(), frozenset(self._chunks.unclear)
            )
            self._ask(Event(COMPARED, {"compared": both}, self._number))

    def _note_chunk(self, event: Event) -> None:
        if event.body and self._chunks is not None:
            self._chunks.take(event.body)

    def _is_last_kept(self, place: int) -> bool:
        name = self._findings[place].rule
        return all(later.rule != name for later in self._findings[place + 1 :])

    def _kind(self) -> str:
        if "response" in self._types:
            return "responses"
        if CHAT in self._types:
            return "chat"
        return "foreign" if "foreign" in self._types else "nothing"


def check_stream(
    stream: bytes | Iterable[Mapping[str, Any] | bytes | str],
    *,
    request: JSON | None = None,
    chunks: bytes | Iterable[Mapping[str, Any] | bytes | str] | None = None,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Report:
    """Check a whole stream: the bytes of a body or file, or its events. Never raises.

    `chunks` is what the provider said, in the same forms. In a file of lines a second
    `response.created` after an end begins another stream.
    """
    checker = StreamChecker(request=request, status=status, headers=headers)
    if isinstance(chunks, bytes):
        checker.feed_chunks(chunks)
    else:
        for chunk in chunks or ():
            checker.take_chunk(chunk)
    if isinstance(stream, bytes):
        checker.feed(stream)
    else:
        for event in stream:
            checker.take(event)
    return checker.close()


def _subject(rule: Rule, event: Event) -> str:
    """What a finding is about: one item is told of once by each rule."""
    if rule.once:
        return ""
    if event.item is not None:
        return f"item {id(event.item)}"
    named = event.body.get("item_id")
    return f"id {named}" if isinstance(named, str) and named else f"event {event.number}"


def _family(type: str) -> str:
    return "response" if type.startswith("response.") or type == "error" else "foreign"


def _head(status: int | None, headers: Mapping[str, str] | None) -> JSON:
    if headers is None:
        return {"status": status}
    named = {name.lower(): value for name, value in headers.items()}
    return {
        "status": status,
        "content_type": named.get("content-type", ""),
        "openai_model": named.get("openai-model"),
    }
