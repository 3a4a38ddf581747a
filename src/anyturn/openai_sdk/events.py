"""What a program is told about its requests: objects, of which the log lines are a rendering.

Times are seconds since the request was sent (`at`), or durations; `turn` numbers the requests of
the process, so that what concurrent requests say can be told apart.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum, unique
from typing import Any, Literal, TypeAlias

import msgspec

Api: TypeAlias = Literal["chat", "responses"]


@unique
class Rule(StrEnum):
    """What a `Finding` is about. `docs/openai-sdk.md` says what to do about each."""

    ARGUMENTS_INVALID = "arguments_invalid"
    """The arguments of a finished call are no JSON object."""
    ARGUMENTS_TRUNCATED = "arguments_truncated"
    """The answer ended in the middle of a call (Q60, F39)."""
    ARGUMENTS_MISFIT = "arguments_misfit"
    """The arguments do not fit the schema that the request declared (F46)."""
    ARGUMENTS_CHANGED = "arguments_changed"
    """The whole arguments of a call are not the sum of its deltas (F42)."""
    NAME_MISSING = "name_missing"
    """A call never got a name (Q57)."""
    UNKNOWN_TOOL = "unknown_tool"
    """A call names a tool that the request did not declare."""
    ID_MISSING = "id_missing"
    """A call never got an id (Q49)."""
    ID_CHANGED = "id_changed"
    """The id of a call changes from delta to delta (Q46)."""
    INDEX_MIXED = "index_mixed"
    """Indexes are missing, shared, split or do not start at 0 (Q44, Q45, Q50, Q55)."""
    ENDED_EARLY = "ended_early"
    """The stream ended without a finish reason (Q8, Q9)."""
    CUT_OFF = "cut_off"
    """The answer reached the limit of output tokens, or a filter stopped it (Q60)."""
    CALLS_MISSING = "calls_missing"
    """The finish reason announces tool calls and there are none (Q59)."""
    FINISH_MISMATCH = "finish_mismatch"
    """There are tool calls and the finish reason is another one (Q58)."""
    LATE_CALL = "late_call"
    """A delta of a call came after the finish reason."""
    LEAKED_CALL = "leaked_call"
    """The answer is text in the form of a call that the server did not read (F48, F49)."""
    EMPTY_ANSWER = "empty_answer"
    """Neither text nor calls."""
    PROVIDER_ERROR = "provider_error"
    """An error inside an answer with status 200 (F55)."""
    TOO_LONG = "too_long"
    """More arguments than are looked at; the program still gets all of them."""


@unique
class Ending(StrEnum):
    """How an answer ended."""

    COMPLETE = "complete"
    CUT = "cut"
    """Without a finish reason."""
    FAILED = "failed"
    CLOSED = "closed"
    """By the program, before the end."""
    CANCELLED = "cancelled"
    UNREAD = "unread"
    """It was handed to the program as a raw response, and is not looked at."""


class ToolCall(msgspec.Struct, frozen=True):
    """A tool call as it was told. `index` numbers the calls of an answer from 0.

    `id` and `name` are '' where the provider told none; `arguments` is the text as it came.
    """

    index: int
    id: str
    name: str
    arguments: str


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    turn: int
    at: float


class RequestSent(_Told, frozen=True, kw_only=True, tag=True):
    """A request leaves. `messages` counts them; `tool_choice` is '' when none was sent."""

    api: Api | None
    model: str
    stream: bool
    messages: int
    tools: tuple[str, ...]
    tool_choice: str


class MessagesSent(_Told, frozen=True, kw_only=True, tag=True):
    """The messages or input items of a request; only told with `log_messages=True`."""

    messages: tuple[Any, ...]


class CallDetected(_Told, frozen=True, kw_only=True, tag=True):
    """A tool call began."""

    index: int


class CallNamed(_Told, frozen=True, kw_only=True, tag=True):
    """The name of a call is known, which may be later than its beginning (Q51)."""

    index: int
    id: str
    name: str


class TextStarted(_Told, frozen=True, kw_only=True, tag=True):
    """The first text of an answer."""


class ReasoningStarted(_Told, frozen=True, kw_only=True, tag=True):
    """The first reasoning of an answer."""


class CallsCompleted(_Told, frozen=True, kw_only=True, tag=True):
    """The provider gave its finish reason. `calls` is empty for an answer without calls."""

    streamed: bool
    finish_reason: str
    is_whole: bool
    """False when a limit or a filter stopped the answer: its last call may be torn."""
    calls: tuple[ToolCall, ...]
    has_text: bool


class Finding(_Told, frozen=True, kw_only=True, tag=True):
    """Something is wrong, or will be. `index` is the call's, None when it is about the answer."""

    rule: Rule
    words: str
    index: int | None = None


class Answered(_Told, frozen=True, kw_only=True, tag=True):
    """The end of a request, whatever the end was; told once.

    `calls` are complete only if `ending` is COMPLETE. `first_delta` and `first_call` are seconds
    from the request, None when there was none; the whole took `at` seconds. Token counts are None
    when the provider sent none.
    """

    streamed: bool
    ending: Ending
    finish_reason: str
    calls: tuple[ToolCall, ...]
    has_text: bool
    has_reasoning: bool
    chunks: int
    first_delta: float | None
    first_call: float | None
    input_tokens: int | None
    output_tokens: int | None
    rules: tuple[Rule, ...]
    """Of the findings, in order."""


class RequestFailed(_Told, frozen=True, kw_only=True, tag=True):
    """The SDK raised: before the answer, or in the middle of it. `words` holds no secrets.

    `cause` is the exception behind the exception; `status` is 0 when no HTTP answer came.
    """

    error: str
    words: str
    cause: str
    status: int


Event: TypeAlias = (
    RequestSent
    | MessagesSent
    | CallDetected
    | CallNamed
    | TextStarted
    | ReasoningStarted
    | CallsCompleted
    | Finding
    | Answered
    | RequestFailed
)
OnEvent: TypeAlias = Callable[[Event], object]
