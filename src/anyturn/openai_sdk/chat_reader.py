"""Chunks as the SDK hands them out, read as signals.

The objects are turned into `wire.chat.Chunk` member by member, and `translate.signals` reads them:
the provider quirks (Q44–Q57, Q17, Q20 and so on) have one home. The SDK builds its objects without
validation, so every member may have any type; plain mocks and dicts are read as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from anyturn.openai_sdk.events import Rule
from anyturn.translate.signals import Call, Reasoning, Signal, SignalReader, Text
from anyturn.wire.chat import Choice, Chunk, Delta, FunctionDelta, ToolCallDelta
from anyturn.wire.profile import Profile

# Whoever the provider is: a leading <think> block is reasoning, and a call that the server left in
# the text is one worth a warning. Not the `json` form: structured outputs look like it.
_ANY_PROVIDER = Profile(
    name="provider",
    title="The provider",
    think_tags=True,
    text_calls=("harmony", "hermes", "function_tags", "glm", "mistral"),
)
_CHUNK_EXTRAS = frozenset({"error", "message", "detail", "code", "status_code", "base_resp"})
_DELTA_EXTRAS = ("reasoning", "reasoning_content", "reasoning_text", "reasoning_details")
# Where pydantic keeps the members that a class does not declare. Doubles have no such place.
_EXTRAS = "__pydantic_extra__"
# A union (`str | list`) would be made anew in each call.
_TEXTS, _LISTS, _INDEXES = (str, list), (list, tuple), (int, str, float)


_MAX_PENDING = 500


class Quirk(msgspec.Struct, frozen=True):
    """Something a call's delta does that breaks naive clients."""

    rule: Rule
    key: int
    words: str


class ChatReader:
    """Reads the chunks of one answer in order. A `whole` one holds `message`, not `delta`.

    Nearly every chunk is more of what the last one was: such chunks are recognised and take a
    short cut, because reading one member of a fresh object costs more than anything done with it.
    """

    def __init__(self, *, whole: bool = False) -> None:
        self._signals = SignalReader(_ANY_PROVIDER)
        self._member = "message" if whole else "delta"
        self._run: type | None = None
        """The signal that the last chunk was, if it was nothing else."""
        self._index: Any = None
        """In a run of a call's arguments: under which index they come."""
        self._pending: list[str] = []
        """Arguments of the run that nobody was told about yet."""

    def read(self, chunk: Any) -> Sequence[Signal | Quirk]:
        """What a chunk says that is news; arguments of a call may come later, all at once.

        An index or id that misleads is told as a `Quirk`.
        """
        if self._run is not None and self._is_more(chunk):
            return ()
        told = self.flush()
        read = self._chunk(chunk)
        signals: list[Any] = self._signals.read(read)
        deltas = _call_deltas(read.choices) if read.choices and self._member == "delta" else []
        self._begin_run(signals, deltas)
        if deltas:
            calls = [signal for signal in signals if type(signal) is Call]
            for delta, call in zip(deltas, calls, strict=False):
                signals += _quirks(delta, call)
        return told + signals if told else signals

    def flush(self) -> list[Signal | Quirk]:
        """The arguments that came and were not told yet."""
        if not self._pending:
            return []
        arguments, self._pending = "".join(self._pending), []
        more = ToolCallDelta(index=self._index, function=FunctionDelta(None, arguments))
        return list(self._signals.read(Chunk(choices=[Choice(delta=Delta(tool_calls=[more]))])))

    def close(self) -> list[Signal | Quirk]:
        """What was held back."""
        self._run = None
        return [*self.flush(), *self._signals.close()]

    def _begin_run(self, signals: list[Any], deltas: list[ToolCallDelta]) -> None:
        self._run = None
        if len(signals) != 1 or self._member != "delta":
            return
        kind = type(signals[0])
        if kind is Call and len(deltas) == 1:
            delta = deltas[0]
            named = delta.id or (delta.function is not None and delta.function.name)
            # Without id and name an index alone says whose arguments these are (section 3.1).
            if type(delta.index) is int and not named:
                self._run, self._index = kind, delta.index
        elif kind is Text or kind is Reasoning:
            self._run = kind

    def _is_more(self, chunk: Any) -> bool:
        """Whether a chunk only goes on with the run."""
        try:
            members, extras = chunk.__dict__, chunk.__pydantic_extra__
            [choice] = members["choices"]
            told = choice.__dict__
            delta = told["delta"]
            said, beside = delta.__dict__, delta.__pydantic_extra__
            if (
                told["finish_reason"] is not None
                or told["index"] != 0
                or members.get("usage") is not None
                or said.get("refusal")
                or said.get("function_call")
                or (extras and not _CHUNK_EXTRAS.isdisjoint(extras))
            ):
                return False
            content, calls = said["content"], said["tool_calls"]
            if self._run is Reasoning:
                return not content and not calls and _has_reasoning(beside)
            if beside and any(beside.values()):
                return False
            if self._run is Text:
                return not calls and type(content) is str and content != ""
            return not content and self._is_more_of_call(calls)
        except (AttributeError, KeyError, TypeError, ValueError):
            return False  # a test double, or no proper chunk

    def _is_more_of_call(self, calls: Any) -> bool:
        [call] = calls
        members = call.__dict__
        function = members["function"].__dict__
        arguments = function["arguments"]
        if (
            members.get("id")
            or members["index"] != self._index
            or function.get("name")
            or type(arguments) is not str
            or len(self._pending) >= _MAX_PENDING
        ):
            return False
        self._pending.append(arguments)
        return True

    def _chunk(self, chunk: Any) -> Chunk:
        if type(chunk) is dict:
            return msgspec.convert(chunk, Chunk)
        choices = chunk.choices
        read = Chunk()
        if isinstance(choices, _LISTS):
            read.choices = [self._choice(choice) for choice in choices]
        usage = getattr(chunk, "usage", None)
        if usage is not None:
            read.usage = _plain(usage)
        extras = getattr(chunk, _EXTRAS, None)
        if extras and not _CHUNK_EXTRAS.isdisjoint(extras):
            for name in _CHUNK_EXTRAS & extras.keys():
                setattr(read, name, extras[name])
        return read

    def _choice(self, choice: Any) -> Choice:
        index = getattr(choice, "index", 0)
        reason = choice.finish_reason
        delta = getattr(choice, self._member, None)
        return Choice(
            index=index if type(index) is int else 0,
            delta=None if delta is None else _delta(delta),
            finish_reason=reason if isinstance(reason, str) else None,
        )


def _has_reasoning(extras: Any) -> bool:
    return any(isinstance(extras.get(name), str) and extras[name] for name in _DELTA_EXTRAS[:3])


def _delta(delta: Any) -> Delta:
    content = delta.content
    calls = delta.tool_calls
    read = Delta(content=content if isinstance(content, _TEXTS) else None)
    if isinstance(calls, _LISTS):
        read.tool_calls = [_call(call) for call in calls]
    function = getattr(delta, "function_call", None)
    if function is not None:
        read.function_call = _legacy_call(function)
    refusal = getattr(delta, "refusal", None)
    if isinstance(refusal, str):
        read.refusal = refusal
    extras = getattr(delta, _EXTRAS, delta)
    if extras:
        _add_reasoning(read, extras)
    return read


def _add_reasoning(read: Delta, source: Any) -> None:
    for name in _DELTA_EXTRAS:
        value = source.get(name) if type(source) is dict else getattr(source, name, None)
        if isinstance(value, _TEXTS):
            setattr(read, name, value)


def _call(call: Any) -> ToolCallDelta:
    function = getattr(call, "function", None)
    custom = None if function is not None else getattr(call, "custom", None)
    if custom is not None:
        name, arguments = _member(custom, "name"), _member(custom, "input")
    elif function is not None:
        name, arguments = function.name, function.arguments
    else:
        name = arguments = None
    return ToolCallDelta(
        index=getattr(call, "index", None), id=call.id, function=FunctionDelta(name, arguments)
    )


def _legacy_call(function: Any) -> FunctionDelta | None:
    name, arguments = _member(function, "name"), _member(function, "arguments")
    if isinstance(name, str) or isinstance(arguments, str):
        return FunctionDelta(name, arguments)
    return None


def _member(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, dict) else getattr(holder, name, None)


def _plain(usage: Any) -> Any:
    dump = getattr(usage, "model_dump", None)
    return dump(warnings=False) if dump is not None else usage


def _call_deltas(choices: list[Choice]) -> list[ToolCallDelta]:
    """The deltas that `SignalReader` made calls of, in its order (Q80)."""
    if len(choices) == 1:
        delta = choices[0].delta
        return (delta.tool_calls if delta is not None else None) or []
    return [
        call
        for choice in choices
        if not choice.index and choice.delta is not None
        for call in choice.delta.tool_calls or ()
    ]


def _quirks(delta: ToolCallDelta, call: Call) -> list[Quirk]:
    index, call_id = delta.index, delta.id
    found = []
    if not isinstance(index, _INDEXES):
        found.append(Quirk(Rule.INDEX_MIXED, call.key, "came without an index"))
    elif index != call.key:
        found.append(Quirk(Rule.INDEX_MIXED, call.key, f"came under index {index}"))
    if isinstance(call_id, str) and call_id and call_id != call.id:
        found.append(Quirk(Rule.ID_CHANGED, call.key, "changes its id from delta to delta"))
    return found
