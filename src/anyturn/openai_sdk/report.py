"""Where events go: to the callback of the program, and as lines to its log.

Each record carries `llm_event` (the event's name) and `llm` (its members) for structured logs. Text
that may hold secrets is masked on the way (`redaction`), in the lines and in the records.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import count
from typing import Any

import msgspec

from anyturn.openai_sdk.events import (
    Event,
    Finding,
    MessagesSent,
    OnEvent,
    RequestFailed,
    RequestSent,
)
from anyturn.openai_sdk.lines import lines
from anyturn.openai_sdk.redaction import redacted
from anyturn.openai_sdk.requests import Sent

Logger = logging.Logger | logging.LoggerAdapter[Any]

# Known before the lines are made: a log that is off must cost nothing.
_LEAST = {Finding: logging.WARNING, RequestFailed: logging.ERROR}
_MAX_ERROR = 500
_MAX_CAUSES = 5
_turns = count(1)


class Listeners:
    """Who is told: one for an intercepted client and all its copies. Nobody is, once it is off."""

    def __init__(
        self, on_event: OnEvent | None, logger: Logger | None, log_messages: bool = False
    ) -> None:
        self.is_on = True
        self.set(on_event, logger, log_messages)

    def set(self, on_event: OnEvent | None, logger: Logger | None, log_messages: bool) -> None:
        """Tell these from now on."""
        self.on_event = on_event
        self.logger: Logger = logger or logging.getLogger("anyturn.openai_sdk")
        self.log_messages = log_messages


class Report:
    """The events of one request. Calling it with an event never raises."""

    def __init__(self, listeners: Listeners, secrets: Iterable[str] = ()) -> None:
        self.turn = next(_turns)
        self._listeners = listeners
        self._secrets = tuple(secrets)

    def __call__(self, event: Event) -> None:
        """Tell the callback, then the log."""
        listeners = self._listeners
        if not listeners.is_on:
            return
        if listeners.on_event is not None:
            try:
                listeners.on_event(event)
            except Exception:
                self._complain("on_event raised")
        try:
            self._log(event, listeners.logger)
        except Exception:
            self._complain("an event could not be logged")

    def sent(self, sent: Sent) -> None:
        """Tell that a request leaves."""
        self(
            RequestSent(
                turn=self.turn,
                at=0.0,
                api=sent.api,
                model=sent.model,
                stream=sent.stream,
                messages=len(sent.messages),
                tools=sent.tools,
                tool_choice=sent.tool_choice,
            )
        )
        if self._listeners.log_messages:
            self(MessagesSent(turn=self.turn, at=0.0, messages=sent.messages))

    def failed(self, error: BaseException, at: float) -> None:
        """Tell that the SDK raised. Never raises itself."""
        try:
            status = getattr(error, "status_code", 0)
            event = RequestFailed(
                turn=self.turn,
                at=at,
                error=type(error).__name__,
                words=self._clean(str(error))[:_MAX_ERROR],
                cause=self._clean(_causes(error))[:_MAX_ERROR],
                status=status if isinstance(status, int) else 0,
            )
        except Exception:
            self._complain("an error could not be described")
            return
        self(event)

    def gave_up(self, error: Exception) -> None:
        """Say that an answer could not be read; the program is not concerned."""
        if self._listeners.is_on:
            self._complain(f"an answer could not be read, {type(error).__name__}")

    def _log(self, event: Event, logger: Logger) -> None:
        if not logger.isEnabledFor(_LEAST.get(type(event), logging.INFO)):
            return
        level, texts = lines(event, self._clean)
        members = msgspec.to_builtins(event, builtin_types=(bytes,), enc_hook=repr)
        extra = {"llm_event": type(event).__name__, "llm": self._cleaned(members)}
        for text in texts:
            logger.log(level, "%s", text, extra=extra)

    def _clean(self, text: str) -> str:
        return redacted(text, self._secrets)

    def _cleaned(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._clean(value)
        if isinstance(value, dict):
            return {key: self._cleaned(below) for key, below in value.items()}
        if isinstance(value, list | tuple):
            return [self._cleaned(below) for below in value]
        return value

    def _complain(self, what: str) -> None:
        try:
            # No traceback: its text could hold what must not be logged.
            self._listeners.logger.warning("[LLM] The request goes on, but %s", what)
        except Exception:
            return


def _causes(error: BaseException) -> str:
    """The exceptions behind an exception: an `APIConnectionError` alone says nothing."""
    told: list[str] = []
    behind = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    while behind is not None and len(told) < _MAX_CAUSES:
        told.append(f"{type(behind).__name__}: {behind}".removesuffix(": "))
        behind = behind.__cause__ or behind.__context__
    return " ← ".join(told)
