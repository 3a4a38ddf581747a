"""Chunks become events: THE state machine.

Two machines. The response: `start` → items → exactly one terminal event (I5). The items, in the
order in which the provider began them: the first unfinished one is open and streams, later ones
wait (`output_items`). A message or reasoning ends when something else begins; calls end when the
answer ends, because arguments that parse may still be a prefix (Q53). Nothing is finalised before
the end of the stream is known to be good: a call that was cut off is never handed out (I6).

Clock and ids are passed in, so the same chunks give the same bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec

from anyturn.errors import Kind, TurnError
from anyturn.translate import signals as s
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.built_in_tools import ToolKind
from anyturn.translate.envelope import REASONING, seal
from anyturn.translate.leaked_calls import FoundCall, Rescue, rescue_calls
from anyturn.translate.leaked_forms import FORMS
from anyturn.translate.output_calls import CallState
from anyturn.translate.output_items import (
    COMPLETED,
    INCOMPLETE,
    MessageState,
    Place,
    ReasoningState,
)
from anyturn.translate.reasoning_carrier import ReasoningCarrier
from anyturn.translate.tool_map import ToolMap
from anyturn.translate.usage import estimate_usage
from anyturn.wire import responses as r
from anyturn.wire.chat_stream import Frame
from anyturn.wire.profile import Profile

# 128k tokens of output are about half a megabyte; past this the provider is broken (A1).
MAX_ANSWER_CHARACTERS = 64 * 1024 * 1024
MAX_CALLS = 1024
ItemState = MessageState | ReasoningState | CallState
_ANNOUNCES_CALLS = frozenset({"tool_calls", "function_call"})


class ChatToResponses:
    """One answer. Call `start` once, `receive` for each chunk, then `end` or `fail`.

    `new_id` makes an item id for a prefix (`msg`, `rs`, `fc`, `call` ...); `now` gives POSIX
    seconds. `open_reasoning_names` asks for Open Responses' names of events (responses-api.md
    section 6.1), `refusals_as_text` is for clients that drop a message with a refusal part. What
    the answer needed joins `adaptations`, the list that the request began. After the terminal event
    every method returns no events.
    """

    __slots__ = (
        "_as_summary",
        "_call_ids",
        "_calls",
        "_carried",
        "_carrier",
        "_characters",
        "_has_refused",
        "_new_id",
        "_now",
        "_open_names",
        "_opened",
        "_output",
        "_profile",
        "_reader",
        "_refusals_as_text",
        "_request_bytes",
        "_sealed_for",
        "_sequence",
        "_tail",
        "_tools",
        "_usage",
        "_waiting",
        "adaptations",
        "error",
        "finish",
        "snapshot",
        "terminal",
    )

    def __init__(
        self,
        snapshot: r.Response,
        tools: ToolMap,
        profile: Profile,
        *,
        new_id: Callable[[str], str],
        now: Callable[[], int],
        reasoning_as_summary: bool = False,
        open_reasoning_names: bool = False,
        refusals_as_text: bool = False,
        seal_reasoning: bool = False,
        request_bytes: int = 0,
        adaptations: Adaptations | None = None,
    ) -> None:
        self.snapshot = snapshot
        self._tools = tools
        self._profile = profile
        self._new_id = new_id
        self._now = now
        self._as_summary = reasoning_as_summary
        self._open_names = open_reasoning_names
        self._refusals_as_text = refusals_as_text
        self._has_refused = False
        self._sealed_for = profile.name if seal_reasoning else ""
        self._carrier = ReasoningCarrier()
        self._request_bytes = request_bytes
        self._reader = s.SignalReader(profile)
        self._sequence = 0
        self._waiting: deque[ItemState] = deque()
        self._tail: ItemState | None = None
        self._calls: dict[int, CallState] = {}
        self._call_ids: set[str] = set()
        self._output: list[r.Item] = []
        self._opened = 0
        self._characters = 0
        self._carried = 0
        self._usage: r.Usage | None = None
        self.finish: s.Finish | None = None
        self.adaptations = Adaptations() if adaptations is None else adaptations
        self.error: TurnError | None = None
        self.terminal: r.Terminal | None = None

    # ---------------------------------------------------------------- the response machine

    def start(self) -> list[r.Event]:
        """The two events that open every stream."""
        if self.terminal is not None:
            return []
        return [
            r.Created(self.snapshot, self._number()),
            r.InProgress(self.snapshot, self._number()),
        ]

    def skip(self) -> list[r.Event]:
        """End the answer without asking anybody: the client only warms up (`generate: false`)."""
        self._usage = r.Usage(0, 0, 0)
        return self._terminate(r.Completed, "completed", completed_at=self._now())

    def receive(self, frame: Frame) -> list[r.Event]:
        """The events that one chunk causes."""
        return self._obey(self._reader.read(frame.chunk, frame.event))

    def _obey(self, signals: list[s.Signal]) -> list[r.Event]:
        events: list[r.Event] = []
        for signal in signals:
            if self.terminal is not None:
                break
            events += self._ON[type(signal)](self, signal)
        return events

    def end(self) -> list[r.Event]:
        """The provider's stream is over: finish what is good, or fail (I6, F39)."""
        if self.terminal is not None:
            return []
        events = self._obey(self._reader.close())
        if self.terminal is not None:
            return events
        self._guess_tools()
        error = self._why_unusable()
        if error is not None:
            return events + self.fail(error)
        assert self.finish is not None
        events += self._close_all(self.finish.outcome is s.Outcome.COMPLETE)
        events += self._carry()
        if self.finish.outcome is s.Outcome.COMPLETE:
            events += self._terminate(r.Completed, "completed", completed_at=self._now())
        else:
            filtered = self.finish.outcome is s.Outcome.FILTERED
            reason = "content_filter" if filtered else "max_output_tokens"
            details = r.IncompleteDetails(reason)
            events += self._terminate(r.Incomplete, "incomplete", incomplete_details=details)
        return events

    def fail(self, error: TurnError) -> list[r.Event]:
        """End the stream with this error. Items that are not done are not handed out.

        An error that tells the calls which the provider refused to read ends the answer with them
        instead (Q29).
        """
        if self.terminal is not None:
            return []
        if (rescue := self._refused_calls(error)) is not None:
            return self._end_with(rescue)
        self.error = error
        event = stream_error(error, self._number())
        body = r.ErrorBody(event.code, event.message)
        return [event, *self._terminate(r.Failed, "failed", error=body)]

    def take_back(self, events: list[r.Event]) -> None:
        """Forget these events, the last ones made, which were not sent. Only `fail` may follow."""
        if events:
            self._sequence = events[0].sequence_number
        done = sum(isinstance(event, r.ItemDone) for event in events)
        del self._output[len(self._output) - done :]
        self.terminal = None

    @property
    def called(self) -> list[str]:
        """The names of the tools that the model called so far, as it wrote them."""
        return [call.name for call in self._calls.values() if call.name]

    def so_far(self, status: str) -> r.Response:
        """The response with the items that are done, for a turn that ends without an event."""
        return msgspec.structs.replace(
            self.snapshot, status=status, output=tuple(self._output), usage=self._usage
        )

    def _refused_calls(self, error: TurnError) -> Rescue | None:
        if not error.failed_generation or self._calls:
            return None
        rescue = rescue_calls(error.failed_generation, FORMS, self._tools)
        return rescue if rescue is not None and rescue.calls else None

    def _end_with(self, rescue: Rescue) -> list[r.Event]:
        events = self._obey(self._reader.close())
        self.finish = s.Finish(s.Outcome.COMPLETE, "tool_calls")
        for call in rescue.calls:
            events += self._on_rescued(call, "the provider's error")
        return events + self.end()

    def _terminate(
        self, form: type[r.Completed | r.Incomplete | r.Failed], status: str, **members: Any
    ) -> list[r.Event]:
        response = msgspec.structs.replace(
            self.snapshot,
            status=status,
            output=tuple(self._output),
            usage=self._final_usage(),
            **members,
        )
        self.terminal = form(response, self._number())
        return [self.terminal]

    def _final_usage(self) -> r.Usage:
        if self._usage is None:
            self.adaptations.note("usage.estimated", "usage", "the provider reported no tokens")
            return estimate_usage(self._request_bytes, self._characters)
        return self._usage

    def _why_unusable(self) -> TurnError | None:
        """What forbids to call the answer complete; None when nothing does."""
        label = self._profile.label
        if self.finish is None:
            return self._broken(f"{label}'s stream ended before the answer did.")
        whole = self.finish.outcome is s.Outcome.COMPLETE
        for call in self._calls.values():
            if problem := self._why_not_callable(call, whole):
                return self._broken(problem)
        if not whole:
            return None
        named = any(call.name for call in self._calls.values())
        if self.finish.raw in _ANNOUNCES_CALLS and not named:
            return self._broken(f"{label} announced tool calls but sent none.")  # Q59
        if self._is_silent():
            return self._broken(f"{label} sent reasoning but no answer.")  # Q26
        return None

    def _why_not_callable(self, call: CallState, whole: bool) -> str:
        """What forbids to hand out a call of a whole or a cut-off answer; '' when nothing does."""
        if call.name and call.tool is None:
            known = ", ".join(t.chat_name for t in self._tools) or "none"
            return (
                f"The model called the tool {call.name[:80]!r}, which this request does not offer. "
                f"Offered: {known[:500]}."
            )
        if whole and not call.name and call.is_begun:
            return "The model called a tool without naming it."  # F47, Q57
        return call.complaint if whole and call.tool is not None else ""

    @property
    def _is_whole(self) -> bool:
        return self.finish is not None and self.finish.outcome is s.Outcome.COMPLETE

    def _guess_tools(self) -> None:
        """Give whole calls of unknown names the tool that they can only have meant (Q28, Q30)."""
        if not self._is_whole:
            return
        for call in self._calls.values():
            guess = self._tools.guess(call.name, call.arguments) if call.tool is None else None
            if guess is not None:
                call.become(*guess)
                what = f"{call.name[:80]!r} can only have meant {guess[0].chat_name!r}"
                self.adaptations.note("calls.renamed", f"call {call.key}", what)

    def _is_silent(self) -> bool:
        """Whether there is reasoning and nothing else. No item at all is an answer: "no more"."""
        done = [item for item in self._output if not isinstance(item, r.ReasoningItem)]
        states = [i for i in self._waiting if isinstance(i, MessageState) or _is_named(i)]
        return not done and not states and bool(self._output or self._waiting)

    def _broken(self, message: str) -> TurnError:
        return TurnError(Kind.PROVIDER_BROKEN, message, provider=self._profile.name)

    def _number(self) -> int:
        number = self._sequence
        self._sequence = number + 1
        return number

    # ---------------------------------------------------------------- signals

    def _on_text(self, signal: s.Text) -> list[r.Event]:
        return self._say(signal.text, refusal=False, logprobs=signal.logprobs)

    def _on_leaked_text(self, signal: s.LeakedText) -> list[r.Event]:
        """Calls, if the answer came to its end and there is no doubt; else the text as it came."""
        text = "".join(piece.text for piece in signal.pieces)
        rescue = self.finish and rescue_calls(text, self._profile.text_calls, self._tools)
        if not rescue or (rescue.calls and not self._is_whole):
            return self._obey(list(signal.pieces))
        if len(rescue.calls) < len(rescue.parts):
            self.adaptations.note("text.channels", "output", "the markers of channels were cut off")
        events: list[r.Event] = []
        for part in rescue.parts:
            if isinstance(part, FoundCall):
                events += self._on_rescued(part, f"text ({rescue.form})")
            else:
                said = s.Reasoning if part.is_reasoning else s.Text
                events += self._obey([said(part.text)])
        return events

    def _on_rescued(self, call: FoundCall, source: str) -> list[r.Event]:
        key = len(self._calls)
        what = f"{call.chat_name} came as {source}"
        self.adaptations.note("calls.recovered", f"call {key}", what)
        return self._obey([s.Call(key, "", call.chat_name, call.arguments)])

    def _on_refusal(self, signal: s.RefusalText) -> list[r.Event]:
        if self._refusals_as_text and not self._has_refused:
            self._has_refused = True
            what = "the client shows no refusal parts: the model's refusal is text"
            self.adaptations.note("content.refusal_as_text", f"output[{len(self._output)}]", what)
        return self._say(signal.text, refusal=not self._refusals_as_text, logprobs=None)

    def _say(self, text: str, refusal: bool, logprobs: Any) -> list[r.Event]:
        self._characters += len(text)
        message = self._tail
        if type(message) is MessageState:
            events = message.add(text, refusal, logprobs, self._number)
        else:
            message = MessageState()
            events = self._begin(message)
            events += message.add(text, refusal, logprobs, self._number)
        return events if self._characters < MAX_ANSWER_CHARACTERS else self._too_long(events)

    def _on_reasoning(self, signal: s.Reasoning) -> list[r.Event]:
        self._characters += len(signal.text)
        reasoning = self._tail
        if type(reasoning) is ReasoningState:
            events = reasoning.add(signal.text, self._number)
        else:
            details = self._carrier.take_details()
            reasoning = ReasoningState(
                self._as_summary, self._sealed_for, details, open_names=self._open_names
            )
            events = self._begin(reasoning)
            events += reasoning.add(signal.text, self._number)
        return events if self._characters < MAX_ANSWER_CHARACTERS else self._too_long(events)

    def _on_details(self, signal: s.Details) -> list[r.Event]:
        if not self._sealed_for:
            return []
        tail = self._tail
        holder = tail if isinstance(tail, ReasoningState) else self._carrier
        return self._count_carried(holder.details.add(signal.pieces))

    def _on_think_block(self, signal: s.ThinkBlock) -> list[r.Event]:
        if isinstance(self._tail, ReasoningState):
            self._tail.think = (signal.before, signal.gap)
        return []

    def _on_extra_content(self, signal: s.ExtraContent) -> list[r.Event]:
        if not self._sealed_for:
            return []
        return self._count_carried(self._carrier.add_extra(signal.key, signal.extra))

    def _count_carried(self, size: int) -> list[r.Event]:
        self._carried += size
        return [] if self._carried < MAX_ANSWER_CHARACTERS else self._too_long([])

    def _on_annotation(self, signal: s.Annotation) -> list[r.Event]:
        events: list[r.Event] = []
        message = self._tail
        if not isinstance(message, MessageState):
            message = MessageState()
            events = self._begin(message)
        return events + message.annotate(signal.value, self._number)

    def _on_call(self, signal: s.Call) -> list[r.Event]:
        self._characters += len(signal.arguments)
        call, events = self._calls.get(signal.key), []
        is_new = call is None
        if call is None:
            if len(self._calls) >= MAX_CALLS:
                return self.fail(self._broken(f"more than {MAX_CALLS} tool calls in one answer"))
            call = self._calls[signal.key] = CallState(signal.key)
        if signal.id and not call.provider_id:
            call.provider_id = signal.id
        is_named = bool(signal.name and not call.name)
        if is_named:
            call.name = signal.name
            call.tool = self._tools.resolve(signal.name)
        if is_new:
            events = self._begin(call)
        elif is_named:
            events = self._advance()
        if signal.arguments:
            events += call.add(signal.arguments, self._number)
        return events if self._characters < MAX_ANSWER_CHARACTERS else self._too_long(events)

    def _on_finish(self, signal: s.Finish) -> list[r.Event]:
        # A reason that comes later does not make a cut answer whole (I6).
        if self.finish is None or self.finish.outcome is s.Outcome.COMPLETE:
            self.finish = signal
        return []

    def _on_usage(self, signal: s.UsageSeen) -> list[r.Event]:
        self._usage = signal.usage
        return []

    def _on_failure(self, signal: s.Failure) -> list[r.Event]:
        return self.fail(signal.error)

    _ON: ClassVar[dict[type, Callable[[ChatToResponses, Any], list[r.Event]]]] = {
        s.Text: _on_text,
        s.LeakedText: _on_leaked_text,
        s.Reasoning: _on_reasoning,
        s.Details: _on_details,
        s.ThinkBlock: _on_think_block,
        s.ExtraContent: _on_extra_content,
        s.RefusalText: _on_refusal,
        s.Annotation: _on_annotation,
        s.Call: _on_call,
        s.Finish: _on_finish,
        s.UsageSeen: _on_usage,
        s.Failure: _on_failure,
    }

    def _too_long(self, events: list[r.Event]) -> list[r.Event]:
        limit = MAX_ANSWER_CHARACTERS // (1024 * 1024)
        return events + self.fail(self._broken(f"an answer of more than {limit} Mi characters"))

    # ---------------------------------------------------------------- the item machine

    def _begin(self, item: ItemState) -> list[r.Event]:
        """Queue a new item behind the others and let the queue move."""
        self._waiting.append(item)
        self._tail = item
        return self._advance()

    def _advance(self) -> list[r.Event]:
        """Finish the items at the head that have ended, and open the next."""
        events: list[r.Event] = []
        while self._waiting:
            head = self._waiting[0]
            if head.place is None:
                if isinstance(head, CallState) and not head.may_open_early:
                    break
                events += self._open(head)
            if head is self._tail or isinstance(head, CallState):
                break
            events += self._close_head(COMPLETED)
        return events

    def _open(self, item: ItemState) -> list[r.Event]:
        if isinstance(item, CallState):
            item.call_id = self._fresh_call_id(item.provider_id)
        place = Place(self._new_id(item.id_prefix), self._opened)
        self._opened += 1
        return item.open(place, self._number)

    def _close_head(self, status: str) -> list[r.Event]:
        head = self._waiting.popleft()
        if isinstance(head, MessageState) and status == COMPLETED:
            head.phase = "commentary" if self._goes_on() else "final_answer"
        events, item = head.close(status, self._number)
        if isinstance(head, CallState) and head.repairs:
            self.adaptations.note(
                "arguments.repaired", f"output[{len(self._output)}]", ", ".join(head.repairs)
            )
        if isinstance(head, ReasoningState) and head.is_unsealed:
            self._report_unsealed()
        self._output.append(item)
        return events

    def _goes_on(self) -> bool:
        """Whether the model did or will do more than say the message that ends (F52)."""
        if any(call.is_begun for call in self._calls.values()):
            return True
        return any(not isinstance(item, CallState) for item in self._waiting)

    def _close_all(self, whole: bool) -> list[r.Event]:
        """Finish everything at the end of the answer; `whole` is false when it was cut off."""
        self._tail = None
        events: list[r.Event] = []
        while self._waiting:
            head = self._waiting[0]
            if isinstance(head, CallState) and not self._may_hand_out(head, whole):
                self._withhold(head)
                continue
            if head.place is None:
                events += self._open(head)
            if whole:
                status = COMPLETED
            elif isinstance(head, CallState):
                status = COMPLETED if head.is_whole() else INCOMPLETE
            else:
                status = INCOMPLETE if len(self._waiting) == 1 else COMPLETED
            events += self._close_head(status)
        return events

    def _carry(self) -> list[r.Event]:
        """Hand out what the provider wants back and no other item carries, when all is said."""
        call_ids = {key: call.call_id for key, call in self._calls.items() if call.place}
        content = self._carrier.content(call_ids)
        sealed = seal(REASONING, self._sealed_for, content) if content else None
        if self._carrier.is_too_large or (content and sealed is None):
            self._report_unsealed()
        if sealed is None:
            return []
        place = Place(self._new_id(ReasoningState.id_prefix), self._opened)
        self._opened += 1
        announced = r.ReasoningItem(place.item_id, status="in_progress")
        item = r.ReasoningItem(place.item_id, encrypted_content=sealed, status=COMPLETED)
        self._output.append(item)
        return [
            r.ItemAdded(place.index, announced, self._number()),
            r.ItemDone(place.index, item, self._number()),
        ]

    def _report_unsealed(self) -> None:
        what = f"too large to be carried: {self._profile.label} will not get it back"
        self.adaptations.loss("reasoning.too_large", f"output[{len(self._output)}]", what)

    def _withhold(self, call: CallState) -> None:
        """Keep back the call at the head, which was never announced."""
        self._waiting.popleft()
        where = f"output[{len(self._output)}]"
        if call.is_begun:
            self.adaptations.loss("calls.cut_off", where, f"{call.name or 'a call'} was cut off")
        else:
            self.adaptations.note("calls.empty", where, "a call with neither name nor text")

    def _may_hand_out(self, call: CallState, whole: bool) -> bool:
        """Whether a call may reach the client: declared, and nothing that was cut but could run.

        A truncated JSON text cannot be executed; a truncated patch or script could be (F44).
        """
        if call.tool is None:
            return False
        return whole or call.tool.kind is ToolKind.FUNCTION or call.is_whole()

    def _fresh_call_id(self, provider_id: str) -> str:
        """The provider's id where it can serve: short and not used yet (F13, Q49)."""
        call_id = provider_id
        if not call_id or len(call_id) > 64 or call_id in self._call_ids:
            call_id = self._new_id("call")
        self._call_ids.add(call_id)
        return call_id


def stream_error(error: TurnError, number: int) -> r.StreamError:
    """The event that comes before `response.failed`."""
    envelope = error.envelope()["error"]
    return r.StreamError(number, error.kind.code, error.message, envelope, error.param)


def _is_named(item: ItemState) -> bool:
    return isinstance(item, CallState) and bool(item.name)
