"""Chunks become one compaction item (F61).

The answer runs through the ordinary machine, whose events nobody sees: it knows when an answer is
whole. Only a clean completed one becomes an item. Everything else fails the turn in a way that
clients try again, because half a summary would replace a whole history for good.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import msgspec

from anyturn.errors import Kind, TurnError
from anyturn.translate import signals as s
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.chat_to_responses import ChatToResponses, stream_error
from anyturn.translate.compaction import seal_summary
from anyturn.wire import responses as r
from anyturn.wire.chat import Chunk
from anyturn.wire.profile import Profile


class ChatToCompaction:
    """One summary. It is used as `ChatToResponses` is, and wraps the one of this answer.

    Nothing is sent between the opening and the item, which comes at the end and in one piece.
    """

    def __init__(
        self, answer: ChatToResponses, profile: Profile, *, new_id: Callable[[str], str]
    ) -> None:
        self._answer = answer
        self._profile = profile
        self._new_id = new_id
        # The opening has the numbers 0 and 1.
        self._numbers = count(2)
        self.error: TurnError | None = None
        self.terminal: r.Terminal | None = None

    @property
    def finish(self) -> s.Finish | None:
        """Why the provider stopped, once it has."""
        return self._answer.finish

    @property
    def adaptations(self) -> Adaptations:
        """What was changed in the provider's answer."""
        return self._answer.adaptations

    def start(self) -> list[r.Event]:
        """The two events that open every stream."""
        return self._answer.start()

    def so_far(self, status: str) -> r.Response:
        """The response without an item, for a turn that ends without an event."""
        return msgspec.structs.replace(self._answer.so_far(status), output=())

    def skip(self) -> list[r.Event]:
        """End without a summary, which nobody may take for one (`generate: false`)."""
        return self.fail(self._unusable("generate is false"))

    def receive_chunk(self, chunk: Chunk, event: str = "") -> list[r.Event]:
        """Take a chunk; there are events only when the provider fails in it."""
        if self.terminal is not None:
            return []
        self._answer.receive_chunk(chunk, event)
        return self.fail(self._answer.error) if self._answer.error is not None else []

    def end(self) -> list[r.Event]:
        """The provider's stream is over: hand out the summary if it is good, or fail."""
        if self.terminal is not None:
            return []
        self._answer.end()
        ended = self._answer.terminal
        assert ended is not None
        text = _summary_of(ended.response)
        sealed = seal_summary(text)
        error = self._why_unusable(ended, text, sealed)
        if error is not None:
            return self.fail(error)
        assert sealed is not None
        return self._hand_out(ended.response, sealed)

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
        response = msgspec.structs.replace(
            ended.response,
            status="failed",
            completed_at=None,
            incomplete_details=None,
            error=r.ErrorBody(event.code, event.message),
            output=(),
        )
        self.terminal = r.Failed(response, next(self._numbers))
        return [event, self.terminal]

    def _hand_out(self, response: r.Response, sealed: str) -> list[r.Event]:
        item = r.CompactionItem(self._new_id("cmp"), sealed)
        empty = r.CompactionItem(item.id, "")
        events: list[r.Event] = [
            r.ItemAdded(0, empty, next(self._numbers)),
            r.ItemDone(0, item, next(self._numbers)),
        ]
        whole = msgspec.structs.replace(response, output=(item,))
        self.terminal = r.Completed(whole, next(self._numbers))
        return [*events, self.terminal]

    def _why_unusable(self, ended: r.Terminal, text: str, sealed: str | None) -> TurnError | None:
        """What forbids to take the answer for the summary; None when nothing does."""
        label = self._profile.label
        if called := self._answer.called:
            return self._unusable(f"the model called the tool {called[0][:80]!r} instead")
        if self._answer.error is not None:
            return self._answer.error
        details = ended.response.incomplete_details
        if details is not None and details.reason == "content_filter":
            return self._unusable(f"{label}'s content filter stopped the summary")
        if isinstance(ended, r.Incomplete):
            return self._unusable(f"the summary was cut off at {label}'s token limit")
        if refusal := _refusal_in(ended.response):
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


def _summary_of(response: r.Response) -> str:
    texts = [
        "".join(part.text for part in item.content if isinstance(part, r.OutputText))
        for item in response.output
        if isinstance(item, r.MessageItem)
    ]
    return "\n".join(texts).strip()


def _refusal_in(response: r.Response) -> str:
    return "".join(
        part.refusal
        for item in response.output
        if isinstance(item, r.MessageItem)
        for part in item.content
        if isinstance(part, r.Refusal)
    )
