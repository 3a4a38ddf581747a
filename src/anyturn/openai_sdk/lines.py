"""How an event reads in a log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from anyturn.openai_sdk.events import (
    Answered,
    CallDetected,
    CallNamed,
    CallsCompleted,
    Ending,
    Event,
    Finding,
    MessagesSent,
    ReasoningStarted,
    RequestFailed,
    RequestSent,
    TextStarted,
    ToolCall,
)

Clean: TypeAlias = Callable[[str], str]

MAX_ARGUMENTS = 200
"""Characters of arguments, or of a message, in a line."""
_STREAM, _WHOLE = "[LLM STREAM]", "[LLM RESPONSE]"


def lines(event: Event, clean: Clean) -> tuple[int, list[str]]:
    """Return the level of an event and its lines; `clean` masks what no log may hold."""
    match event:
        case RequestSent():
            return logging.INFO, _request(event)
        case MessagesSent():
            return logging.INFO, [_message(one, clean) for one in event.messages]
        case CallDetected():
            return logging.INFO, [f"{_STREAM} New tool call detected at index {event.index}"]
        case CallNamed():
            return logging.INFO, [f"{_STREAM} Tool call [{event.index}] name: {event.name}"]
        case TextStarted():
            return logging.INFO, [f"{_STREAM} Text content started"]
        case ReasoningStarted():
            return logging.INFO, [f"{_STREAM} Reasoning started"]
        case CallsCompleted():
            return logging.INFO, _completed(event, clean)
        case Finding():
            return logging.WARNING, [clean(_finding(event))]
        case RequestFailed():
            return logging.ERROR, [clean(_failed(event))]
        case Answered():
            return logging.INFO, _answered(event, clean)


def _request(event: RequestSent) -> list[str]:
    told = [
        f"[LLM REQUEST] stream={event.stream} model={event.model} "
        f"messages={event.messages} api={event.api}"
    ]
    if event.tools:
        told += [
            f"[OK] Tools: {list(event.tools)}",
            f"Tool choice: {event.tool_choice or 'auto'}",
        ]
    else:
        told.append("No tools in this request")
    return told


def _message(message: Any, clean: Clean) -> str:
    role = message.get("role") or message.get("type") if isinstance(message, dict) else ""
    content = message.get("content", message) if isinstance(message, dict) else message
    text = content if isinstance(content, str) else _json(content)
    return f"  {role}: {_cut(text, clean)}"


def _json(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=repr).decode()


def _completed(event: CallsCompleted, clean: Clean) -> list[str]:
    prefix = _STREAM if event.streamed else _WHOLE
    told = [f"{prefix} Finish reason: {event.finish_reason}"]
    if event.calls:
        how = "completed" if event.is_whole else "perhaps cut off"
        told.append(f"{prefix} Tool calls {how}: {len(event.calls)}")
        told += [_call(call, clean) for call in event.calls]
    elif event.has_text:
        told.append(f"{prefix} Response was text-only (no tool calls)")
    return told


def _call(call: ToolCall, clean: Clean) -> str:
    return f"  [{call.index}] {call.name}(id={call.id}) args={_cut(call.arguments, clean)}"


def _cut(text: str, clean: Clean) -> str:
    # Cleaned before it is cut: nobody recognises half a secret.
    text = clean(text[: 20 * MAX_ARGUMENTS])
    return text if len(text) <= MAX_ARGUMENTS else f"{text[:MAX_ARGUMENTS]}..."


def _finding(event: Finding) -> str:
    words = event.words if event.index is None else f"Call [{event.index}] {event.words}"
    return f"[LLM WARNING] {event.rule}: {words}"


def _failed(event: RequestFailed) -> str:
    status = f" (HTTP {event.status})" if event.status else ""
    cause = f" ← {event.cause}" if event.cause else ""
    return f"[LLM ERROR] {event.error}{status}: {event.words}{cause}"


def _answered(event: Answered, clean: Clean) -> list[str]:
    prefix = _STREAM if event.streamed else _WHOLE
    told = []
    if event.calls and not event.finish_reason:
        told.append(f"{prefix} Tool calls begun, not completed: {len(event.calls)}")
        told += [_call(call, clean) for call in event.calls]
    parts = [f"{prefix} {_ENDINGS[event.ending]} after {event.at:.3f} s"]
    if event.streamed:
        parts.append(f"{event.chunks} chunks")
    if event.first_delta is not None:
        parts.append(f"first delta {event.first_delta:.3f} s")
    if event.first_call is not None:
        parts.append(f"first call {event.first_call:.3f} s")
    if event.output_tokens is not None:
        parts.append(f"tokens {event.input_tokens} in, {event.output_tokens} out")
    return [*told, ", ".join(parts)]


_ENDINGS = {
    Ending.COMPLETE: "Complete",
    Ending.CUT: "Cut off",
    Ending.FAILED: "Failed",
    Ending.CLOSED: "Closed by the program",
    Ending.CANCELLED: "Cancelled",
    Ending.UNREAD: "Handed over unread",
}
