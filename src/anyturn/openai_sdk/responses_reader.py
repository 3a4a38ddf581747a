"""Events of a Responses stream as the SDK hands them out, read as signals.

Function calls, freeform calls and the shells are calls that the program has to execute; what a
hosted tool does is not. The object of an answer that was not streamed is read as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from anyturn.errors import Kind, TurnError
from anyturn.translate.signals import (
    Call,
    Failure,
    Finish,
    Outcome,
    Reasoning,
    RefusalText,
    Signal,
    Text,
    UsageSeen,
)
from anyturn.translate.usage import convert_usage
from anyturn.wire.profile import Profile

_ANY_PROVIDER = Profile(name="provider", title="The provider")

# Item type → the member with what the model wrote for the tool.
_FUNCTION = "function_call"
_CALL_ITEMS = {
    _FUNCTION: "arguments",
    "custom_tool_call": "input",
    "local_shell_call": "action",
    "shell_call": "action",
    "apply_patch_call": "operation",
    "computer_call": "action",
}


class WholeCall(msgspec.Struct, frozen=True):
    """A call is whole, and this is all of it. `is_json` is false for freeform input."""

    key: int
    id: str
    name: str
    arguments: str
    is_json: bool


Said = Signal | WholeCall


class ResponsesReader:
    """Reads the events of one answer in order."""

    def __init__(self) -> None:
        self._keys: dict[Any, int] = {}
        """Place in the output → number of the call."""

    def read(self, event: Any) -> list[Said]:
        """Everything that an event says."""
        reader = _READERS.get(event.type)
        return reader(self, event) if reader is not None else []

    def read_whole(self, response: Any) -> list[Said]:
        """Everything that a whole response says."""
        said: list[Said] = []
        for place, item in enumerate(response.output or ()):
            said += self._whole_item(place, item)
        return said + self._finished(response)

    def flush(self) -> list[Said]:
        """Nothing is held back."""
        return []

    def close(self) -> list[Said]:
        """Nothing is held back."""
        return []

    def _whole_item(self, place: int, item: Any) -> list[Said]:
        if item.type == "reasoning":
            return [Reasoning("reasoning")]
        if item.type == "message":
            parts = [getattr(part, "text", None) for part in item.content or ()]
            return [Text(part) for part in parts if isinstance(part, str) and part]
        if item.type in _CALL_ITEMS:
            return [self._call(place, item, ""), self._whole_call(place, item)]
        return []

    def _added(self, event: Any) -> list[Said]:
        item = event.item
        if item.type == "reasoning":
            return [Reasoning("")]
        return [self._call(event.output_index, item, "")] if item.type in _CALL_ITEMS else []

    def _done(self, event: Any) -> list[Said]:
        item = event.item
        if item.type not in _CALL_ITEMS:
            return []
        return [
            self._call(event.output_index, item, ""),
            self._whole_call(event.output_index, item),
        ]

    def _arguments(self, event: Any) -> list[Said]:
        key = self._key(event.output_index)
        return [Call(key, "", "", event.delta if isinstance(event.delta, str) else "")]

    def _call(self, place: Any, item: Any, arguments: str) -> Call:
        return Call(self._key(place), _words(item, "call_id"), _name(item), arguments)

    def _whole_call(self, place: Any, item: Any) -> WholeCall:
        written = getattr(item, _CALL_ITEMS[item.type], None)
        if not isinstance(written, str):
            dump = getattr(written, "model_dump_json", None)
            written = dump(warnings=False) if dump is not None else ""
        return WholeCall(
            self._key(place),
            _words(item, "call_id"),
            _name(item),
            written,
            is_json=item.type == _FUNCTION,
        )

    def _key(self, place: Any) -> int:
        return self._keys.setdefault(place, len(self._keys))

    def _finished(self, response: Any) -> list[Said]:
        said: list[Said] = []
        usage = getattr(response, "usage", None)
        dump = getattr(usage, "model_dump", None)
        counted = convert_usage(dump(warnings=False), _ANY_PROVIDER) if dump is not None else None
        if counted is not None:
            said.append(UsageSeen(counted))
        status = _words(response, "status")
        if status == "failed":
            return [*said, _failure(response.error)]
        if status == "incomplete":
            reason = _words(getattr(response, "incomplete_details", None), "reason")
            filtered = reason == "content_filter"
            outcome = Outcome.FILTERED if filtered else Outcome.LENGTH
            return [*said, Finish(outcome, reason or status)]
        # A background response is queued, and no answer yet.
        return [*said, Finish(Outcome.COMPLETE, status or "completed")]


# Not of the instance: bound methods there would be a circle that only the collector frees.
_READERS: dict[str, Callable[[ResponsesReader, Any], list[Said]]] = {
    "response.output_text.delta": lambda reader, event: _text(event.delta),
    "response.refusal.delta": lambda reader, event: [RefusalText(str(event.delta))],
    "response.reasoning_text.delta": lambda reader, event: [Reasoning(str(event.delta))],
    "response.reasoning_summary_text.delta": lambda reader, event: [Reasoning(str(event.delta))],
    "response.function_call_arguments.delta": ResponsesReader._arguments,
    "response.custom_tool_call_input.delta": ResponsesReader._arguments,
    "response.output_item.added": ResponsesReader._added,
    "response.output_item.done": ResponsesReader._done,
    "response.completed": lambda reader, event: reader._finished(event.response),
    "response.incomplete": lambda reader, event: reader._finished(event.response),
    "response.failed": lambda reader, event: reader._finished(event.response),
    "error": lambda reader, event: [_failure(event)],
}


def _text(delta: Any) -> list[Said]:
    return [Text(delta)] if isinstance(delta, str) and delta else []


def _name(item: Any) -> str:
    return _words(item, "name") or ("" if item.type == _FUNCTION else str(item.type))


def _words(holder: Any, name: str) -> str:
    value = getattr(holder, name, None)
    return value if isinstance(value, str) else ""


def _failure(error: Any) -> Failure:
    code, message = _words(error, "code"), _words(error, "message")
    words = ": ".join(part for part in (code, message) if part)
    return Failure(TurnError(Kind.PROVIDER_BROKEN, words or "no reason given"))
