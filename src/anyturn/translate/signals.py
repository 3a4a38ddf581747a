"""What a chunk says. Providers' quirks die here, each with its Q- or F-number.

`SignalReader.read` is the one tolerant place: everything behind it is strict.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeAlias

import msgspec

from anyturn.errors import Kind, TurnError
from anyturn.translate.call_slots import CallSlots
from anyturn.translate.failures import failure_from_chunk
from anyturn.translate.reasoning_details import ENCRYPTED
from anyturn.translate.think_tags import ThinkTags
from anyturn.translate.thought_signatures import has_signature
from anyturn.translate.usage import convert_usage
from anyturn.wire.chat import Choice, Chunk, Delta, FunctionDelta, ToolCallDelta
from anyturn.wire.profile import Profile
from anyturn.wire.responses import Usage


class Text(msgspec.Struct, frozen=True, gc=False):
    """More of the answer."""

    text: str
    logprobs: Any = None


class Reasoning(msgspec.Struct, frozen=True, gc=False):
    """More of the model's reasoning."""

    text: str


class Details(msgspec.Struct, frozen=True):
    """Pieces of `reasoning_details`, as they came (Q18). Their text was told as `Reasoning`."""

    pieces: list[Any]


class ThinkBlock(msgspec.Struct, frozen=True):
    """The reasoning so far stood in the content, as a <think> block between these (Q19)."""

    before: str
    gap: str


class ExtraContent(msgspec.Struct, frozen=True):
    """The `extra_content` of call `key`, or of the message: to be given back as it is (Q24)."""

    key: int | None
    extra: dict[str, Any]


class RefusalText(msgspec.Struct, frozen=True, gc=False):
    """More of a refusal (Q78)."""

    text: str


class Annotation(msgspec.Struct, frozen=True):
    """A citation (Q79)."""

    value: dict[str, Any]


class Call(msgspec.Struct, frozen=True, gc=False):
    """More of call `key`. `id` and `name` are '' until the provider has told them."""

    key: int
    id: str
    name: str
    arguments: str


class Outcome(StrEnum):
    """Why the provider stopped (Q60)."""

    COMPLETE = "complete"
    LENGTH = "length"
    FILTERED = "filtered"


class Finish(msgspec.Struct, frozen=True):
    """The provider is finished; `raw` is its own word."""

    outcome: Outcome
    raw: str


class UsageSeen(msgspec.Struct, frozen=True):
    """Token counts; the last ones count (Q61)."""

    usage: Usage


class Failure(msgspec.Struct, frozen=True):
    """The provider says that it failed, inside a 200 (F55)."""

    error: TurnError


Signal: TypeAlias = (
    Text
    | Reasoning
    | Details
    | ThinkBlock
    | ExtraContent
    | RefusalText
    | Annotation
    | Call
    | Finish
    | UsageSeen
    | Failure
)

_OUTCOMES = {
    "length": Outcome.LENGTH,
    "max_tokens": Outcome.LENGTH,
    "model_length": Outcome.LENGTH,
    "max_output_tokens": Outcome.LENGTH,
    "content_filter": Outcome.FILTERED,
    "sensitive": Outcome.FILTERED,
    "safety": Outcome.FILTERED,
}
_BROKEN = frozenset({"error", "abort", "network_error", "insufficient_system_resource"})


class SignalReader:
    """Reads the chunks of one answer in order."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._slots = CallSlots()
        self._think_tags = ThinkTags() if profile.think_tags else None

    def read(self, chunk: Chunk, event: str = "") -> list[Signal]:
        """Everything that one chunk says, in the order in which it takes effect."""
        error = failure_from_chunk(chunk, event, self._profile)
        choices = chunk.choices
        if choices is None and isinstance(chunk.data, dict) and "choices" in chunk.data:
            chunk = _unwrapped(chunk)
            choices = chunk.choices
            error = error or failure_from_chunk(chunk, event, self._profile)
        signals: list[Signal] = []
        if choices:
            for choice in choices:
                # Q80: n is never sent, so other choices are not ours.
                if not choice.index or choice.index == "0":
                    self._read_choice(choice, signals)
        usage = chunk.usage if chunk.x_groq is None else chunk.usage or _groq_usage(chunk.x_groq)
        if usage is not None:
            self._read_usage(usage, signals)
        if error is not None:
            # What the provider says tells more than its finish_reason does (Q7).
            signals = [signal for signal in signals if type(signal) is not Failure]
            signals.append(Failure(error))
        return signals

    def _read_choice(self, choice: Choice, signals: list[Signal]) -> None:
        delta = choice.delta if choice.delta is not None else choice.message
        if delta is not None:
            self._read_delta(delta, choice.logprobs, signals)
        if choice.usage is not None:
            self._read_usage(choice.usage, signals)
        if choice.finish_reason:
            signals.append(self._read_finish(str(choice.finish_reason)))

    def _read_delta(self, delta: Delta, logprobs: Any, signals: list[Signal]) -> None:
        # Q17: the same reasoning may come under two names; the first that is there counts.
        reasoning = delta.reasoning or delta.reasoning_content or delta.reasoning_text
        if reasoning and isinstance(reasoning, str):
            signals.append(Reasoning(reasoning))
            if delta.reasoning_details:
                _read_details(delta.reasoning_details, False, signals)
        elif delta.reasoning_details:
            _read_details(delta.reasoning_details, True, signals)
        content = delta.content
        if content:
            if isinstance(content, str):
                if self._think_tags is None:
                    signals.append(Text(content, logprobs))
                else:
                    self._read_tagged(content, signals)
            else:
                _read_content_parts(content, signals)
        if delta.refusal and isinstance(delta.refusal, str):
            signals.append(RefusalText(delta.refusal))
        if delta.annotations and isinstance(delta.annotations, list):
            signals += [Annotation(_flat(a)) for a in delta.annotations if isinstance(a, dict)]
        calls = delta.tool_calls
        if calls is None and delta.function_call is not None:
            calls = [ToolCallDelta(function=delta.function_call)]
        if calls:
            signals += self.close()
            self._slots.next_chunk()
            told = [self._read_call(call) for call in calls]
            signals += told
            _read_extras(calls, told, delta.extra_content, signals)
        elif delta.extra_content is not None:
            _read_extra_of_message(delta.extra_content, signals)

    def close(self) -> list[Signal]:
        """What was held back, now that no more text comes."""
        if self._think_tags is None:
            return []
        tags, self._think_tags = self._think_tags, None
        signals = [_tagged(*part) for part in tags.close()]
        return signals if tags.block is None else [*signals, ThinkBlock(*tags.block)]

    def _read_tagged(self, content: str, signals: list[Signal]) -> None:
        tags = self._think_tags
        assert tags is not None
        for is_reasoning, text in tags.feed(content):
            if not is_reasoning and tags.block is not None:
                signals.append(ThinkBlock(*tags.block))
            signals.append(_tagged(is_reasoning, text))
        if tags.is_done:
            self._think_tags = None

    def _read_call(self, delta: ToolCallDelta) -> Call:
        function = delta.function or FunctionDelta()
        # Q47, Q56: empty, null and wrongly typed ids and names are absent ones.
        call_id = delta.id if isinstance(delta.id, str) else ""
        name = function.name if isinstance(function.name, str) else ""
        index = delta.index if isinstance(delta.index, int | str | float) else None
        arguments = _arguments_text(function.arguments)
        slot = self._slots.place(index, call_id, name, arguments)
        return Call(slot.key, slot.id, slot.name, arguments)

    def _read_finish(self, reason: str) -> Signal:
        word = reason.lower()
        if word in _BROKEN:
            message = f"{self._profile.label} stopped in the middle of the answer: {reason}."
            return Failure(TurnError(Kind.PROVIDER_BROKEN, message, provider=self._profile.name))
        if word == "model_context_window_exceeded":
            message = f"{self._profile.label} says that the context window is exceeded."
            return Failure(TurnError(Kind.CONTEXT_OVERFLOW, message, provider=self._profile.name))
        return Finish(_OUTCOMES.get(word, Outcome.COMPLETE), reason)

    def _read_usage(self, usage: Any, signals: list[Signal]) -> None:
        converted = convert_usage(usage, self._profile)
        if converted is not None:
            signals.append(UsageSeen(converted))


def _tagged(is_reasoning: bool, text: str) -> Signal:
    return Reasoning(text) if is_reasoning else Text(text)


def _arguments_text(arguments: Any) -> str:
    if isinstance(arguments, str):
        return arguments
    if isinstance(arguments, dict):  # Q34
        return msgspec.json.encode(arguments).decode()
    return ""


def _read_content_parts(content: Any, signals: list[Signal]) -> None:
    """Content as a list of parts, thinking among them (Q20)."""
    if not isinstance(content, list):
        return
    for part in content:
        if not isinstance(part, dict):
            continue
        if part.get("type") == "thinking":
            thinking = part.get("thinking")
            inner = thinking if isinstance(thinking, list) else [{"text": thinking}]
            texts = [p.get("text") for p in inner if isinstance(p, dict)]
            signals += [Reasoning(text) for text in texts if isinstance(text, str) and text]
        elif isinstance(text := part.get("text"), str) and text:
            signals.append(Text(text))
        elif isinstance(refusal := part.get("refusal"), str) and refusal:  # Q78
            signals.append(RefusalText(refusal))


def _read_details(details: Any, shows_text: bool, signals: list[Signal]) -> None:
    """OpenRouter's structured form (Q18). Its text is shown where the plain form is missing."""
    if not isinstance(details, list):
        return
    for detail in details if shows_text else ():
        # Encrypted data is not for the client's eyes.
        if isinstance(detail, dict) and detail.get("type") != ENCRYPTED:
            text = detail.get("text") or detail.get("summary")
            if isinstance(text, str) and text:
                signals.append(Reasoning(text))
    signals.append(Details(details))


def _read_extras(
    deltas: list[ToolCallDelta], calls: list[Call], of_delta: Any, signals: list[Signal]
) -> None:
    """The calls' `extra_content`. Beside a first call without one, the delta's is that call's."""
    for delta, call in zip(deltas, calls, strict=True):
        extra, of_delta = delta.extra_content or of_delta, None
        if extra and isinstance(extra, dict):
            signals.append(ExtraContent(call.key, extra))


def _read_extra_of_message(extra: Any, signals: list[Signal]) -> None:
    """Only a signature is wanted back: other members tell about this one chunk."""
    if isinstance(extra, dict) and has_signature(extra):
        signals.append(ExtraContent(None, extra))


def _flat(annotation: dict[str, Any]) -> dict[str, Any]:
    """A citation in the Responses form, which does not nest; every field may be missing (Q79)."""
    cited = annotation.get("url_citation")
    if not isinstance(cited, dict):
        return annotation
    known = {"url": "", "title": "", "start_index": 0, "end_index": 0}
    told = {name: value for name, value in cited.items() if value is not None}
    return {"type": "url_citation", **known, **told}


def _unwrapped(chunk: Chunk) -> Chunk:
    """Q12: some gateways wrap the chunk in `data`."""
    try:
        return msgspec.convert(chunk.data, Chunk)
    except msgspec.ValidationError:
        return chunk


def _groq_usage(x_groq: Any) -> Any:
    return x_groq.get("usage") if isinstance(x_groq, dict) else None
