"""The state of one output item, from its first word to its `done`.

An item is born when the provider first says something of its kind. It is `opened` when it becomes
the first unfinished item: only then does it have an index, and only then are its events sent.
What came earlier waits in it. So items never overlap on the wire, whatever the provider does
(F40, F43), and an index or id is fixed once and never computed again (I2, I3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from anyturn.translate.envelope import REASONING, seal
from anyturn.translate.reasoning_details import ReasoningDetails
from anyturn.wire import responses as r

Number = Callable[[], int]
"""Gives the next sequence number."""

COMPLETED, INCOMPLETE = "completed", "incomplete"


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where an opened item stands, for good."""

    item_id: str
    index: int


class MessageState:
    """An assistant message: text and refusal parts, in the order in which they came."""

    id_prefix = "msg"

    def __init__(self) -> None:
        self.place: Place | None = None
        self.phase: str | UnsetType = UNSET
        """`commentary` when the model goes on after it, `final_answer` when not, once known."""
        self._parts: list[_PartState] = []

    def add(self, text: str, refusal: bool, logprobs: Any, number: Number) -> list[r.Event]:
        """Take more text; returns its events when the item is open."""
        part = self._parts[-1] if self._parts else None
        events: list[r.Event] = []
        if part is None or part.refusal != refusal:
            if part is not None and self.place is not None:
                events += part.close(self.place, number)
            part = _PartState(len(self._parts), refusal)
            self._parts.append(part)
        if self.place is None:
            part.hold(text, logprobs)
        else:
            events += part.send(text, logprobs, self.place, number)
        return events

    def annotate(self, annotation: dict[str, Any], number: Number) -> list[r.Event]:
        """Take a citation of the text so far."""
        if not self._parts:
            self._parts.append(_PartState(0, refusal=False))
        part = self._parts[-1]
        if part.refusal:
            return []  # a refusal part has no room for one
        part.annotations.append(annotation)
        if self.place is None:
            return []
        position = len(part.annotations) - 1
        events = part.open(self.place, number)
        events.append(
            r.AnnotationAdded(
                self.place.item_id, self.place.index, part.index, position, annotation, number()
            )
        )
        return events

    def open(self, place: Place, number: Number) -> list[r.Event]:
        """Announce the item and say what waited in it."""
        self.place = place
        item = r.MessageItem(place.item_id, "in_progress")
        events: list[r.Event] = [r.ItemAdded(place.index, item, number())]
        for part in self._parts:
            events += part.flush(place, number)
            if part is not self._parts[-1]:
                events += part.close(place, number)
        return events

    def close(self, status: str, number: Number) -> tuple[list[r.Event], r.Item]:
        """Finish the item; returns the last events and the item itself."""
        assert self.place is not None
        events = self._parts[-1].close(self.place, number) if self._parts else []
        content = tuple(part.snapshot() for part in self._parts)
        item = r.MessageItem(self.place.item_id, status, content, phase=self.phase)
        events.append(r.ItemDone(self.place.index, item, number()))
        return events, item


class _PartState:
    """One part of a message."""

    def __init__(self, index: int, refusal: bool) -> None:
        self.index = index
        self.refusal = refusal
        self.annotations: list[Any] = []
        self._texts: list[str] = []
        self._logprobs: list[Any] = []
        self._opened = False

    def hold(self, text: str, logprobs: Any) -> None:
        self._texts.append(text)
        self._logprobs += _token_logprobs(logprobs)

    def open(self, place: Place, number: Number) -> list[r.Event]:
        if self._opened:
            return []
        self._opened = True
        part: r.OutputText | r.Refusal = r.Refusal("") if self.refusal else r.OutputText("")
        return [r.PartAdded(place.item_id, place.index, self.index, part, number())]

    def send(self, text: str, logprobs: Any, place: Place, number: Number) -> list[r.Event]:
        events = [] if self._opened else self.open(place, number)
        self._texts.append(text)
        if self.refusal:
            events.append(r.RefusalDelta(place.item_id, place.index, self.index, text, number()))
            return events
        tokens: tuple[Any, ...] = ()
        if logprobs is not None:
            tokens = tuple(_token_logprobs(logprobs))
            self._logprobs += tokens
        events.append(r.TextDelta(place.item_id, place.index, self.index, text, number(), tokens))
        return events

    def flush(self, place: Place, number: Number) -> list[r.Event]:
        """Open the part and send what was held as one delta."""
        events = self.open(place, number)
        if self._texts:
            text, self._texts = "".join(self._texts), []
            tokens, self._logprobs = self._logprobs, []
            events += self.send(text, {"content": tokens} if tokens else None, place, number)
        for position, annotation in enumerate(self.annotations):
            events.append(
                r.AnnotationAdded(
                    place.item_id, place.index, self.index, position, annotation, number()
                )
            )
        return events

    def close(self, place: Place, number: Number) -> list[r.Event]:
        at = (place.item_id, place.index, self.index)
        text = "".join(self._texts)
        done: r.Event
        if self.refusal:
            done = r.RefusalDone(*at, text, number())
        else:
            done = r.TextDone(*at, text, number(), tuple(self._logprobs))
        return [done, r.PartDone(*at, self.snapshot(), number())]

    def snapshot(self) -> r.OutputText | r.Refusal:
        text = "".join(self._texts)
        if self.refusal:
            return r.Refusal(text)
        return r.OutputText(text, tuple(self.annotations), tuple(self._logprobs))


def _token_logprobs(logprobs: Any) -> list[Any]:
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    return [_whole_token(token) for token in _objects(content)]


def _whole_token(token: dict[str, Any]) -> dict[str, Any]:
    """A token with the members that clients' parsers demand (responses-api.md section 2.5)."""
    top = [_with_bytes(one) for one in _objects(token.get("top_logprobs"))]
    return {**_with_bytes(token), "top_logprobs": top}


def _with_bytes(token: dict[str, Any]) -> dict[str, Any]:
    if isinstance(token.get("bytes"), list):
        return token
    return {**token, "bytes": list(str(token.get("token", "")).encode())}


def _objects(values: Any) -> list[dict[str, Any]]:
    return [one for one in values if isinstance(one, dict)] if isinstance(values, list) else []


class ReasoningState:
    """Reasoning, shown as a summary where the client asked for one, as raw text otherwise.

    Codex and the AI SDK show only summaries; clients that did not ask for a summary expect the
    text of an open model as `reasoning_text` (responses-api.md sections 2.3 and 6.1). With
    `sealed_for`, a provider's name, the item also carries its text and `details` in
    `encrypted_content`: clients give that back verbatim, and the provider gets its own words again
    (F8, G8). `think` is what stood around a <think> block in the content, where it was one (Q19).
    The events of raw text have OpenAI's names, or with `open_names` those of Open Responses.
    """

    id_prefix = "rs"

    def __init__(
        self,
        as_summary: bool,
        sealed_for: str = "",
        details: ReasoningDetails | None = None,
        *,
        open_names: bool = False,
    ) -> None:
        self.place: Place | None = None
        self.details = details or ReasoningDetails()
        self.think: tuple[str, str] | None = None
        self.is_unsealed = False
        """Whether the seal was left out, because it would be too large."""
        self._as_summary = as_summary
        self._sealed_for = sealed_for
        self._delta_form = r.OpenReasoningDelta if open_names else r.ReasoningDelta
        self._done_form = r.OpenReasoningDone if open_names else r.ReasoningDone
        self._texts: list[str] = []

    def add(self, text: str, number: Number) -> list[r.Event]:
        """Take more reasoning; returns its event when the item is open."""
        self._texts.append(text)
        if self.place is None:
            return []
        return [self._delta(text, self.place, number)]

    def open(self, place: Place, number: Number) -> list[r.Event]:
        """Announce the item and say what waited in it."""
        self.place = place
        item_id, index = place.item_id, place.index
        item = r.ReasoningItem(item_id, status="in_progress")
        events: list[r.Event] = [r.ItemAdded(index, item, number())]
        if self._as_summary:
            events.append(r.SummaryPartAdded(item_id, index, 0, r.SummaryText(""), number()))
        else:
            events.append(r.PartAdded(item_id, index, 0, r.ReasoningText(""), number()))
        if text := "".join(self._texts):
            events.append(self._delta(text, place, number))
        return events

    def close(self, status: str, number: Number) -> tuple[list[r.Event], r.Item]:
        """Finish the item; returns the last events and the item itself."""
        assert self.place is not None
        item_id, index = self.place.item_id, self.place.index
        text = "".join(self._texts)
        events: list[r.Event]
        if self._as_summary:
            summary = r.SummaryText(text)
            item = r.ReasoningItem(item_id, (summary,), UNSET, self._seal(text), status)
            events = [
                r.SummaryDone(item_id, index, 0, text, number()),
                r.SummaryPartDone(item_id, index, 0, summary, number()),
            ]
        else:
            part = r.ReasoningText(text)
            item = r.ReasoningItem(item_id, (), (part,), self._seal(text), status)
            events = [
                self._done_form(item_id, index, 0, text, number()),
                r.PartDone(item_id, index, 0, part, number()),
            ]
        events.append(r.ItemDone(index, item, number()))
        return events, item

    def _seal(self, text: str) -> str | UnsetType:
        if not self._sealed_for:
            return UNSET
        content: dict[str, Any] = {"text": text}
        if details := self.details.whole():
            content["details"] = details
        if self.think is not None:
            content["think"] = self.think
        sealed = seal(REASONING, self._sealed_for, content)
        if sealed is None or self.details.is_too_large:
            self.is_unsealed = True
            return UNSET
        return sealed

    def _delta(self, text: str, place: Place, number: Number) -> r.Event:
        if self._as_summary:
            return r.SummaryDelta(place.item_id, place.index, 0, text, number())
        return self._delta_form(place.item_id, place.index, 0, text, number())
