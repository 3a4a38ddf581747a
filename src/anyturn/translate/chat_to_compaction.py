"""An answer becomes one compaction item (F61).

It runs through the machine of its provider's API, whose events nobody sees: it knows when an
answer is whole. Only a clean completed one becomes an item. Everything else fails the turn in a
way that clients try again, because half a summary would replace a whole history for good.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec

from anyturn.errors import Kind, TurnError
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.chat_to_responses import stream_error
from anyturn.translate.compaction import seal_summary
from anyturn.translate.machine import Machine
from anyturn.wire import responses as r
from anyturn.wire.profile import Profile


class ChatToCompaction:
    """One summary. It is used as the machine of the answer is, which it wraps.

    Nothing is sent between the opening and the item, which comes at the end and in one piece.
    """

    def __init__(self, answer: Machine, profile: Profile, *, new_id: Callable[[str], str]) -> None:
        self._answer = answer
        self._profile = profile
        self._new_id = new_id
        # The opening has the numbers 0 and 1.
        self._numbers = count(2)
        self.snapshot = answer.snapshot
        self.adaptations: Adaptations = answer.adaptations
        self.error: TurnError | None = None
        self.terminal: r.Terminal | None = None

    @property
    def finish(self) -> object | None:
        """Why the provider stopped, once it has."""
        return self._answer.finish

    @property
    def called(self) -> list[str]:
        """The names of the tools that the model called instead."""
        return self._answer.called

    def start(self) -> list[r.Event]:
        """The two events that open every stream."""
        self._answer.start()
        return [r.Created(self.snapshot, 0), r.InProgress(self.snapshot, 1)]

    def so_far(self, status: str) -> r.Response:
        """The response without an item, for a turn that ends without an event."""
        return self._response(self._answer.so_far(status), status)

    def skip(self) -> list[r.Event]:
        """End without a summary, which nobody may take for one (`generate: false`)."""
        return self.fail(self._unusable("generate is false"))

    def receive(self, said: Any) -> list[r.Event]:
        """Take what the provider said; there are events only when it fails in that."""
        if self.terminal is not None:
            return []
        self._answer.receive(said)
        return self.fail(self._answer.error) if self._answer.error is not None else []

    def end(self) -> list[r.Event]:
        """The provider's stream is over: hand out the summary if it is good, or fail."""
        if self.terminal is not None:
            return []
        self._answer.end()
        ended = self._answer.terminal
        assert ended is not None
        body = r.as_object(ended.response)
        text = _summary_of(body)
        sealed = seal_summary(text)
        error = self._why_unusable(body, text, sealed)
        if error is not None:
            return self.fail(error)
        assert sealed is not None
        return self._hand_out(ended.response, sealed, body.get("completed_at"))

    def take_back(self, events: list[r.Event]) -> None:
        """Forget these events, the last ones made, which were not sent. Only `fail` may follow."""
        if events:
            self._numbers = count(events[0].sequence_number)
        self.terminal = None

    def fail(self, error: TurnError) -> list[r.Event]:
        """End the stream with this error, and without an item."""
        if self.terminal is not None:
            return []
        self._answer.fail(error)
        ended = self._answer.terminal
        assert ended is not None
        self.error = error
        event = stream_error(error, next(self._numbers))
        told = r.ErrorBody(event.code, event.message)
        response = self._response(ended.response, "failed", error=told)
        self.terminal = r.Failed(response, next(self._numbers))
        return [event, self.terminal]

    def _response(self, ended: r.AnyResponse, status: str, **members: Any) -> r.Response:
        """The response of this turn, which is ours, with the token counts of the answer's."""
        return msgspec.structs.replace(self.snapshot, status=status, usage=ended.usage, **members)

    def _hand_out(self, response: r.AnyResponse, sealed: str, completed_at: Any) -> list[r.Event]:
        item = r.CompactionItem(self._new_id("cmp"), sealed)
        empty = r.CompactionItem(item.id, "")
        events: list[r.Event] = [
            r.ItemAdded(0, empty, next(self._numbers)),
            r.ItemDone(0, item, next(self._numbers)),
        ]
        at = completed_at if isinstance(completed_at, int) else response.created_at
        whole = self._response(response, "completed", completed_at=at, output=(item,))
        self.terminal = r.Completed(whole, next(self._numbers))
        return [*events, self.terminal]

    def _why_unusable(
        self, ended: dict[str, Any], text: str, sealed: str | None
    ) -> TurnError | None:
        """What forbids to take the answer for the summary; None when nothing does."""
        label = self._profile.label
        if called := self._answer.called:
            return self._unusable(f"the model called the tool {called[0][:80]!r} instead")
        if self._answer.error is not None:
            return self._answer.error
        details = ended.get("incomplete_details") or {}
        if details.get("reason") == "content_filter":
            return self._unusable(f"{label}'s content filter stopped the summary")
        if ended.get("status") == "incomplete":
            return self._unusable(f"the summary was cut off at {label}'s token limit")
        if refusal := _refusal_in(ended):
            return self._unusable(f"the model refused ({refusal[:200]})")
        if not text:
            return self._unusable(f"{label} sent an empty summary")
        if sealed is None:
            return self._unusable("the summary is far too long")
        return None

    def _unusable(self, why: str) -> TurnError:
        return TurnError(
            Kind.PROVIDER_BROKEN,
            f"The history was not compacted: {why}.",
            provider=self._profile.name,
        )


def _summary_of(response: dict[str, Any]) -> str:
    texts = [_words(item, "output_text", "text") for item in _messages(response)]
    return "\n".join(texts).strip()


def _refusal_in(response: dict[str, Any]) -> str:
    return "".join(_words(item, "refusal", "refusal") for item in _messages(response))


def _messages(response: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for item in response.get("output") or () if item.get("type") == "message"]


def _words(message: dict[str, Any], kind: str, member: str) -> str:
    parts = [part for part in message.get("content") or () if part.get("type") == kind]
    return "".join(str(part.get(member) or "") for part in parts)
