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
from anyturn.translate.leaked_calls import LeakWatch
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


class LeakedText(msgspec.Struct, frozen=True):
    """A whole answer that begins as tool calls do that a server did not read (F48, F49)."""

    pieces: tuple[Text, ...]


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
    | LeakedText
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
# A union would be built anew for every delta.
_INDEX = (int, str, float)
_BEFORE_LEAKS = (Reasoning, Details)
_BROKEN = frozenset({"error", "abort", "network_error", "insufficient_system_resource"})


class SignalReader:
    """Reads the chunks of one answer in order."""

    __slots__ = ("_is_opening", "_leak", "_profile", "_slots", "_think_tags")

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._slots = CallSlots()
        self._think_tags = ThinkTags() if profile.think_tags else None
        self._leak = LeakWatch(profile.text_calls) if profile.text_calls else None
        self._is_opening = self._think_tags is not None or self._leak is not None
        """Whether text must be looked at; as a rule the first words settle it."""

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
            if self._leak is not None and self._leak.is_leak:
                signals += self._let_out()
            signals.append(Reasoning(reasoning))
            if delta.reasoning_details:
                signals += _read_details(delta.reasoning_details, False)
        elif delta.reasoning_details:
            signals += self._beside(_read_details(delta.reasoning_details, True))
        content = delta.content
        if content:
            if isinstance(content, str):
                if not self._is_opening:
                    signals.append(Text(content, logprobs))
                else:
                    self._read_opening(content, logprobs, signals)
            else:
                signals += self._beside(_read_content_parts(content))
        if delta.refusal and isinstance(delta.refusal, str):
            signals += self._beside([RefusalText(delta.refusal)])
        if delta.annotations and isinstance(delta.annotations, list):
            cited = [a for a in delta.annotations if isinstance(a, dict)]
            signals += self._beside([Annotation(_flat(a)) for a in cited])
        calls = delta.tool_calls
        if calls is None and delta.function_call is not None:
            calls = [ToolCallDelta(function=delta.function_call)]
        if calls:
            if self._is_opening:
                signals += self._let_out()
                signals += self.close()
            self._slots.next_chunk()
            told = [self._read_call(call) for call in calls]
            signals += told
            _read_extras(calls, told, delta.extra_content, signals)
        elif delta.extra_content is not None:
            _read_extra_of_message(delta.extra_content, signals)

    def close(self) -> list[Signal]:
        """What was held back, now that no more text comes: perhaps it is calls."""
        signals: list[Signal] = []
        if self._leak is not None and self._leak.is_leak:
            leak, self._leak = self._leak, None
            signals.append(LeakedText(tuple(Text(*piece) for piece in leak.release())))
        signals += self._let_out()
        if self._think_tags is not None:
            tags, self._think_tags = self._think_tags, None
            held = tags.close()
            signals += [Reasoning(t) if is_reasoning else Text(t) for is_reasoning, t in held]
            if tags.block is not None:
                signals.append(ThinkBlock(*tags.block))
        self._is_opening = False
        return signals

    def _beside(self, said: list[Signal]) -> list[Signal]:
        """What is said by other means than text; only reasoning may come before leaked calls."""
        if self._leak is None or not said:
            return said
        if self._leak.is_leak or any(type(one) not in _BEFORE_LEAKS for one in said):
            return self._let_out() + said
        return said

    def _let_out(self) -> list[Signal]:
        """The text that was held back, now that it is not the whole answer."""
        if self._leak is None:
            return []
        leak, self._leak = self._leak, None
        self._is_opening = self._think_tags is not None
        return [Text(*piece) for piece in leak.release()]

    def _read_opening(self, content: str, logprobs: Any, signals: list[Signal]) -> None:
        if self._think_tags is None:
            self._watch(content, logprobs, signals)
        else:
            self._read_tagged(self._think_tags, content, logprobs, signals)
        self._is_opening = self._think_tags is not None or self._leak is not None

    def _read_tagged(
        self, tags: ThinkTags, content: str, logprobs: Any, signals: list[Signal]
    ) -> None:
        for is_reasoning, text in tags.feed(content):
            if is_reasoning:
                signals.append(Reasoning(text))
                continue
            if tags.block is not None:
                signals.append(ThinkBlock(*tags.block))
            self._watch(text, logprobs if text == content else None, signals)
        if tags.is_done:
            self._think_tags = None

    def _watch(self, text: str, logprobs: Any, signals: list[Signal]) -> None:
        if self._leak is None:
            signals.append(Text(text, logprobs))
            return
        signals += [Text(*piece) for piece in self._leak.feed(text, logprobs)]
        if self._leak.is_done:
            self._leak = None

    def _read_call(self, delta: ToolCallDelta) -> Call:
        function = delta.function or FunctionDelta()
        # Q47, Q56: empty, null and wrongly typed ids and names are absent ones.
        call_id = delta.id if isinstance(delta.id, str) else ""
        name = function.name if isinstance(function.name, str) else ""
        index = delta.index if isinstance(delta.index, _INDEX) else None
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


def _arguments_text(arguments: Any) -> str:
    if isinstance(arguments, str):
        return arguments
    if isinstance(arguments, dict):  # Q34
        return msgspec.json.encode(arguments).decode()
    return ""


def _read_content_parts(content: Any) -> list[Signal]:
    """Content as a list of parts, thinking among them (Q20)."""
    signals: list[Signal] = []
    for part in content if isinstance(content, list) else []:
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
    return signals


def _read_details(details: Any, shows_text: bool) -> list[Signal]:
    """OpenRouter's structured form (Q18). Its text is shown where the plain form is missing."""
    if not isinstance(details, list):
        return []
    signals: list[Signal] = []
    for detail in details if shows_text else ():
        # Encrypted data is not for the client's eyes.
        if isinstance(detail, dict) and detail.get("type") != ENCRYPTED:
            text = detail.get("text") or detail.get("summary")
            if isinstance(text, str) and text:
                signals.append(Reasoning(text))
    return [*signals, Details(details)]


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
