"""One answer, watched: what its chunks say becomes events, and what is wrong becomes findings.

    see ──▶ reader (chunk → signals) ──▶ the answer's state ──▶ report (events)

Nothing here ever raises into the program, and the program's objects are only read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeAlias

from anyturn.openai_sdk.chat_reader import ChatReader, Quirk
from anyturn.openai_sdk.events import (
    Answered,
    CallDetected,
    CallNamed,
    CallsCompleted,
    Ending,
    Event,
    Finding,
    ReasoningStarted,
    Rule,
    TextStarted,
    ToolCall,
)
from anyturn.openai_sdk.report import Report
from anyturn.openai_sdk.requests import Sent
from anyturn.openai_sdk.responses_reader import ResponsesReader, WholeCall
from anyturn.openai_sdk.verdict import argument_faults
from anyturn.translate.signals import (
    Call,
    Details,
    Failure,
    Finish,
    LeakedText,
    Outcome,
    Reasoning,
    RefusalText,
    Text,
    ThinkBlock,
    UsageSeen,
)

MAX_ARGUMENTS = 4 * 1024 * 1024
"""Characters of arguments that are kept of one answer (A1)."""
MAX_FINDINGS = 50
_CUT_OFF = {Outcome.LENGTH: "reached its limit of tokens", Outcome.FILTERED: "was filtered"}

Clock: TypeAlias = Callable[[], float]


class _Tracked:
    """A call as far as it has come."""

    __slots__ = ("id", "is_json", "key", "name", "pieces")

    def __init__(self, key: int) -> None:
        self.key = key
        self.id = ""
        self.name = ""
        self.pieces: list[str] = []
        self.is_json = True

    def told(self) -> ToolCall:
        return ToolCall(self.key, self.id, self.name, "".join(self.pieces))


class AnswerWatch:
    """Watches one answer.

    Call `see` with each chunk or event, or `see_whole` with the object of an answer that was not
    streamed; then one of `end`, `leave` and `fail`, of which the first counts. `sent` is what the
    request said, None when it is unknown: then no call is unknown and no schema is judged.
    """

    def __init__(
        self,
        report: Report,
        sent: Sent | None = None,
        *,
        streamed: bool = True,
        started: float | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        self._report = report
        self._sent = sent
        self._streamed = streamed
        self._clock = clock
        self._started = clock() if started is None else started
        self._reader: ChatReader | ResponsesReader | None = None
        self._calls: dict[int, _Tracked] = {}
        self._rules: dict[tuple[Rule, int | None], None] = {}
        self._chunks = 0
        self._kept = 0
        self._has_text = False
        self._has_reasoning = False
        self._first_delta: float | None = None
        self._first_call: float | None = None
        self._finish: Finish | None = None
        self._failure: Failure | None = None
        self._tokens: tuple[int | None, int | None] = (None, None)
        self._is_over = False

    # -- what is known so far

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls as far as they have come, in order."""
        if self._reader is not None:
            for signal in self._reader.flush():
                self._react(signal)
        return tuple(call.told() for call in self._calls.values())

    @property
    def finish_reason(self) -> str:
        """The provider's word, '' before it came."""
        return self._finish.raw if self._finish else ""

    # -- what is seen

    def see(self, chunk: Any) -> None:
        """Take the next chunk or event. Never raises."""
        if self._is_over:
            return
        try:
            self._chunks += 1
            if self._reader is None:
                self._reader = self._reader_of(chunk)
            for signal in self._reader.read(chunk):
                self._react(signal)
        except Exception as error:
            self.give_up(error)

    def see_whole(self, answer: Any) -> None:
        """Take a whole answer, and end. Never raises."""
        try:
            self._streamed = False
            if _is_response(answer):
                answer = _as_object(answer)
                responses = self._reader = ResponsesReader()
                said: list[Any] = [*responses.read_whole(answer)]
            else:
                chat = self._reader = ChatReader(whole=True)
                said = [*chat.read(answer)]
            self._first_delta = self._at()
            for signal in said:
                self._react(signal)
        except Exception as error:
            self.give_up(error)
        self.end()

    def end(self) -> None:
        """The stream is over. Never raises."""
        if self._failure is not None:
            self._conclude(Ending.FAILED)
        else:
            self._conclude(Ending.CUT if self._finish is None else Ending.COMPLETE)

    def leave(self) -> None:
        """The program closed the stream, perhaps before its end. Never raises."""
        self._conclude(Ending.CLOSED if self._finish is None else Ending.COMPLETE)

    def fail(self, error: BaseException) -> None:
        """The stream raised. Never raises itself."""
        if self._is_over:
            return
        if isinstance(error, asyncio.CancelledError):
            self._conclude(Ending.CANCELLED)
            return
        self._report.failed(error, self._at())
        self._conclude(Ending.FAILED)

    def hand_over(self) -> None:
        """The answer was given to the program unread. Never raises."""
        self._conclude(Ending.UNREAD)

    # -- signals

    def _reader_of(self, chunk: Any) -> ChatReader | ResponsesReader:
        if self._sent is None or self._sent.api is None:
            kind = getattr(chunk, "type", None)
            is_responses = isinstance(kind, str) and (
                kind.startswith("response.") or kind == "error"
            )
        else:
            is_responses = self._sent.api == "responses"
        return ResponsesReader() if is_responses else ChatReader()

    def _react(self, signal: Any) -> None:
        reaction = _REACTIONS.get(type(signal))
        if reaction is not None:
            reaction(self, signal)

    def _on_text(self, signal: Text | RefusalText) -> None:
        if not self._has_text:
            self._has_text = True
            self._tell_delta()
            self._tell(TextStarted(turn=self._report.turn, at=self._at()))

    def _on_reasoning(self, signal: Any) -> None:
        if not self._has_reasoning:
            self._has_reasoning = True
            self._tell_delta()
            self._tell(ReasoningStarted(turn=self._report.turn, at=self._at()))

    def _on_call(self, signal: Call) -> None:
        call = self._calls.get(signal.key)
        if call is None:
            call = self._begin(signal.key)
        if signal.id and not call.id:
            call.id = signal.id
        if signal.name and not call.name:
            call.name = signal.name
            self._tell(
                CallNamed(
                    turn=self._report.turn,
                    at=self._at(),
                    index=call.key,
                    id=call.id,
                    name=call.name,
                )
            )
        if signal.arguments:
            self._add(call, signal.arguments)

    def _begin(self, key: int) -> _Tracked:
        call = self._calls[key] = _Tracked(key)
        self._tell_delta()
        if self._first_call is None:
            self._first_call = self._at()
        self._tell(CallDetected(turn=self._report.turn, at=self._at(), index=key))
        if self._finish is not None:
            self._find(Rule.LATE_CALL, "begins after the finish reason", key)
        return call

    def _add(self, call: _Tracked, arguments: str) -> None:
        self._kept += len(arguments)
        if self._kept > MAX_ARGUMENTS:
            self._find(Rule.TOO_LONG, f"Arguments are only looked at up to {MAX_ARGUMENTS} letters")
            return
        if self._finish is not None and arguments.strip():  # Q54: white space may follow
            self._find(Rule.LATE_CALL, "goes on after the finish reason", call.key)
        call.pieces.append(arguments)

    def _on_whole_call(self, signal: WholeCall) -> None:
        call = self._calls[signal.key]
        call.is_json = signal.is_json
        if self._kept > MAX_ARGUMENTS or len(signal.arguments) > MAX_ARGUMENTS:
            return
        if call.pieces and signal.arguments != "".join(call.pieces):
            words = "has other arguments at its end than in its deltas"
            self._find(Rule.ARGUMENTS_CHANGED, words, call.key)
        call.pieces = [signal.arguments]

    def _on_quirk(self, quirk: Quirk) -> None:
        self._find(quirk.rule, quirk.words, quirk.key)

    def _on_leak(self, signal: LeakedText) -> None:
        self._on_text(signal.pieces[0])
        self._find(
            Rule.LEAKED_CALL,
            "The answer is text in the form of a tool call: the server did not read it",
        )

    def _on_usage(self, signal: UsageSeen) -> None:
        self._tokens = (signal.usage.input_tokens, signal.usage.output_tokens)

    def _on_failure(self, signal: Failure) -> None:
        self._failure = signal
        self._find(Rule.PROVIDER_ERROR, f"The provider failed: {signal.error}")

    def _on_finish(self, finish: Finish) -> None:
        if self._finish is not None:
            return
        self._release()
        self._finish = finish
        calls = self.calls
        self._report(
            CallsCompleted(
                turn=self._report.turn,
                at=self._at(),
                streamed=self._streamed,
                finish_reason=finish.raw,
                is_whole=finish.outcome is Outcome.COMPLETE,
                calls=calls,
                has_text=self._has_text,
            )
        )
        if finish.outcome in _CUT_OFF:
            words = f"The answer {_CUT_OFF[finish.outcome]} (finish reason {finish.raw})"
            self._find(Rule.CUT_OFF, words)
        elif calls and finish.raw in ("stop", "length"):
            self._find(Rule.FINISH_MISMATCH, f"There are calls, but the finish is {finish.raw}")
        elif not calls and finish.raw in ("tool_calls", "function_call"):
            self._find(Rule.CALLS_MISSING, f"The finish is {finish.raw}, but no call came")
        elif not calls and not self._has_text and finish.raw != "queued":
            self._find(Rule.EMPTY_ANSWER, "Neither text nor calls came")
        self._judge(calls, finish.outcome is Outcome.COMPLETE)

    # -- the end

    def _release(self) -> None:
        if self._reader is not None:
            for signal in self._reader.close():
                self._react(signal)

    def _judge(self, calls: tuple[ToolCall, ...], is_whole: bool) -> None:
        for call in calls:
            is_json = self._calls[call.index].is_json
            for rule, words in argument_faults(call, self._sent, is_json, is_whole):
                if rule is not Rule.ARGUMENTS_INVALID or self._kept <= MAX_ARGUMENTS:
                    self._find(rule, words, call.index)

    def _conclude(self, ending: Ending) -> None:
        if self._is_over:
            return
        try:
            if self._finish is None:
                self._release()
                if ending is Ending.CUT:
                    self._find(Rule.ENDED_EARLY, "The stream ended without a finish reason")
                if ending in (Ending.CUT, Ending.FAILED):
                    self._judge(self.calls, False)
            self._is_over = True
            self._report(self._answered(ending))
        except Exception as error:
            self.give_up(error)

    def _answered(self, ending: Ending) -> Answered:
        return Answered(
            turn=self._report.turn,
            at=self._at(),
            streamed=self._streamed,
            ending=ending,
            finish_reason=self.finish_reason,
            calls=self.calls,
            has_text=self._has_text,
            has_reasoning=self._has_reasoning,
            chunks=self._chunks,
            first_delta=self._first_delta if self._streamed else None,
            first_call=self._first_call if self._streamed else None,
            input_tokens=self._tokens[0],
            output_tokens=self._tokens[1],
            rules=tuple(dict.fromkeys(rule for rule, _ in self._rules)),
        )

    def _find(self, rule: Rule, words: str, index: int | None = None) -> None:
        """Report a finding, each rule once for each call."""
        if (rule, index) in self._rules or len(self._rules) >= MAX_FINDINGS:
            return
        self._rules[(rule, index)] = None
        self._report(
            Finding(turn=self._report.turn, at=self._at(), rule=rule, words=words, index=index)
        )

    def _tell(self, event: Event) -> None:
        """Report what only a stream has: a moment in it."""
        if self._streamed:
            self._report(event)

    def _tell_delta(self) -> None:
        if self._first_delta is None:
            self._first_delta = self._at()

    def _at(self) -> float:
        return self._clock() - self._started

    def give_up(self, error: Exception) -> None:
        """Stop watching: a shape that nobody thought of must not disturb the program."""
        self._is_over = True
        self._report.gave_up(error)


# Not of the instance: bound methods there would be a circle that only the collector frees.
_REACTIONS: dict[type, Callable[[AnswerWatch, Any], None]] = {
    Text: AnswerWatch._on_text,
    RefusalText: AnswerWatch._on_text,
    Reasoning: AnswerWatch._on_reasoning,
    Details: AnswerWatch._on_reasoning,
    ThinkBlock: AnswerWatch._on_reasoning,
    Call: AnswerWatch._on_call,
    WholeCall: AnswerWatch._on_whole_call,
    Quirk: AnswerWatch._on_quirk,
    LeakedText: AnswerWatch._on_leak,
    Finish: AnswerWatch._on_finish,
    UsageSeen: AnswerWatch._on_usage,
    Failure: AnswerWatch._on_failure,
}


def _is_response(answer: Any) -> bool:
    kind = answer.get("object") if isinstance(answer, dict) else getattr(answer, "object", None)
    return kind == "response"


def _as_object(value: Any) -> Any:
    """Decoded JSON with attributes, as the SDK's own objects have them."""
    if isinstance(value, dict):
        return SimpleNamespace(**{name: _as_object(below) for name, below in value.items()})
    return [_as_object(below) for below in value] if isinstance(value, list) else value
