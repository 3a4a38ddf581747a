"""What a scripted provider answers, and the bytes that such an answer makes.

An entry of a script is an `Answer`, a bare part of one, a `Refusal`, `Raw` bytes, a `Recorded`
stream, `Dropped`, or a function of the request's body that returns one of these. Nothing here
waits or keeps state: what differs from request to request comes in a `Stamp`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from itertools import count, zip_longest
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from anyturn.wire import sse

JSON: TypeAlias = dict[str, Any]

SSE_TYPE = "text/event-stream"
JSON_TYPE = "application/json"

# A blank line in any of the three line ends; the last frame may lack its own.
_FRAME = re.compile(rb".+?(?:\r\n\r\n|\n\n|\r\r)|.+\Z", re.DOTALL)


class ScriptError(ValueError):
    """A script asks for something that cannot be sent."""


# ---------------------------------------------------------------- parts of an answer


@unique
class Quirk(StrEnum):
    """How a provider may bend the deltas of one call. A wrong `index` is an argument of `call`."""

    ARGUMENTS_AS_OBJECT = "arguments as object"
    """The arguments are JSON, not text, and come whole (Q34)."""
    NO_INDEX = "no index"
    """Q44."""
    NEW_IDS = "new ids"
    """Every later delta has an id of its own and a null name (Q46)."""
    EMPTY_REPEATS = "empty repeats"
    """Every later delta has an empty id and name (Q47)."""
    REPEATS = "repeats"
    """Every later delta has the id and the name again (Q48)."""
    NO_ID = "no id"
    """Q49."""
    LATE_NAME = "late name"
    """The name comes with the last delta (Q51)."""
    WHOLE = "whole"
    """The call comes in one chunk (Q52)."""


class Text(msgspec.Struct, frozen=True):
    """A part that the user reads."""

    text: str


class Reasoning(msgspec.Struct, frozen=True):
    """A part that the model thinks."""

    text: str


class Call(msgspec.Struct, frozen=True):
    """A tool call. `arguments` is the text on the wire, or an object for `ARGUMENTS_AS_OBJECT`."""

    name: str
    arguments: str | JSON
    id: str | None = None
    index: int | None = None
    quirks: frozenset[Quirk] = frozenset()


class Interleaved(msgspec.Struct, frozen=True):
    """Calls whose deltas take turns (F43)."""

    calls: tuple[Call, ...]


class Verbatim(msgspec.Struct, frozen=True):
    """Chunks that are sent as they are given."""

    chunks: tuple[JSON, ...]


Part: TypeAlias = Text | Reasoning | Call | Interleaved | Verbatim


def text(words: str) -> Text:
    """Answer with text."""
    return Text(words)


def reasoning(words: str) -> Reasoning:
    """Think aloud, in the answer's `reasoning_field`."""
    return Reasoning(words)


def call(
    name: str,
    arguments: Mapping[str, Any] | str = "{}",
    *quirks: Quirk,
    id: str | None = None,
    index: int | None = None,
) -> Call:
    """Call a tool.

    Arguments given as a mapping are written compactly, given as a string they are sent as they
    are, broken JSON too. The default `id` is `call_N` for the Nth call of the provider's life, the
    default `index` the call's place in the answer; zero for all calls is Q45, one for the first
    is Q50.
    """
    if Quirk.ARGUMENTS_AS_OBJECT in quirks:
        shown: str | JSON = (
            msgspec.json.decode(arguments) if isinstance(arguments, str) else dict(arguments)
        )
    else:
        shown = arguments if isinstance(arguments, str) else _compact(arguments)
    return Call(name, shown, id, index, frozenset(quirks))


def interleaved(*calls: Call) -> Interleaved:
    """Call several tools with their deltas in turns (F43)."""
    return Interleaved(calls)


def raw_chunks(chunks: Sequence[JSON]) -> Verbatim:
    """Send these chunks as they are, for every shape that nothing else here makes.

    An answer of nothing else gets no opening chunk, no finish and no usage of its own.
    """
    return Verbatim(tuple(chunks))


def _compact(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# ---------------------------------------------------------------- entries of a script


class Usage(msgspec.Struct, frozen=True):
    """Token counts, as OpenAI and Cerebras lay them out."""

    prompt: int
    completion: int
    cached: int = 0
    reasoning: int = 0

    def as_json(self) -> JSON:
        """The `usage` object."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning},
        }


@dataclass(frozen=True, init=False)
class Answer:
    """One answer of the model, and how it travels. The options have the defaults of `__init__`."""

    parts: tuple[Part, ...]
    fragment: int
    """Characters of text, reasoning or arguments in one delta."""
    pace: float
    """Seconds between two chunks."""
    finish: str | UnsetType | None
    """`finish_reason`; inferred from the parts when unset, never sent when None (Q9, F39)."""
    usage: Usage | JSON | UnsetType | None
    """Made up when unset, and then sent apart only if the request asked with `include_usage`.
    Usage that is given is always sent; None sends none (F58)."""
    usage_in_finish: bool
    """Whether usage comes in the finish chunk, as Cerebras sends it (Q61)."""
    done: bool
    """Whether `[DONE]` ends the stream (Q8)."""
    crlf: bool
    """Whether lines end with CRLF (Q2, F54)."""
    reasoning_field: str
    """The delta's member for reasoning (Q17)."""
    cut_after: int | None
    """Close the connection after so many chunks (at the latest after the last), in the middle of
    the body."""
    hold_after: int | None
    """Fall silent after so many chunks, until the provider releases the request or closes (Q16)."""
    error_after: tuple[int, JSON] | None
    """After so many chunks send this as `error`, and nothing else but `[DONE]` (Q4, F55)."""
    event_error: bool
    """Whether that message is named `event: error` (Q3; Groq sends it with `done=False`)."""

    def __init__(
        self,
        *parts: Part,
        fragment: int = 12,
        pace: float = 0.0,
        finish: str | UnsetType | None = UNSET,
        usage: Usage | JSON | UnsetType | None = UNSET,
        usage_in_finish: bool = False,
        done: bool = True,
        crlf: bool = False,
        reasoning_field: str = "reasoning",
        cut_after: int | None = None,
        hold_after: int | None = None,
        error_after: tuple[int, JSON] | None = None,
        event_error: bool = False,
    ) -> None:
        # Parts come as positional arguments, which a generated `__init__` cannot take.
        given = dict(locals())
        del given["self"]
        self.__dict__.update(given)
        if fragment < 1:
            raise ScriptError(f"fragment must be at least 1, not {fragment}")

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls in order, the interleaved ones included."""
        found: list[Call] = []
        for part in self.parts:
            if isinstance(part, Call):
                found.append(part)
            elif isinstance(part, Interleaved):
                found.extend(part.calls)
        return tuple(found)

    @property
    def verbatim(self) -> bool:
        """Whether the answer consists of chunks as given and of nothing else."""
        return bool(self.parts) and all(isinstance(part, Verbatim) for part in self.parts)


class Refusal(msgspec.Struct, frozen=True):
    """An HTTP error. A mapping is sent as JSON, a string as it is: HTML if it starts with `<`."""

    status: int
    body: JSON | str = ""
    headers: dict[str, str] = {}


class Raw(msgspec.Struct, frozen=True):
    """Any bytes as the body of an answer."""

    body: bytes
    content_type: str = SSE_TYPE
    status: int = 200


class Recorded(msgspec.Struct, frozen=True):
    """A recorded stream: `.jsonl` holds one chunk on each line, any other file the body itself."""

    path: str | Path
    pace: float = 0.0
    cut_after: int | None = None
    hold_after: int | None = None

    def frames(self) -> tuple[bytes, ...]:
        """Read the file and return its server-sent messages, framed."""
        content = Path(self.path).read_bytes()
        if Path(self.path).suffix != ".jsonl":
            return tuple(_FRAME.findall(content))
        lines = (line.strip() for line in content.split(b"\n"))
        return (*(sse.encode(line) for line in lines if line), sse.DONE)


class Dropped(msgspec.Struct, frozen=True):
    """No answer: the connection is closed without a byte."""


Reply: TypeAlias = Answer | Part | Refusal | Raw | Recorded | Dropped
Entry: TypeAlias = Reply | Callable[[JSON], Reply]


def openai_error(
    message: str,
    *,
    code: str | None = None,
    type: str = "invalid_request_error",
    param: str | None = None,
) -> JSON:
    """Make OpenAI's error body, for `Refusal` and as the form of every refusal of our own."""
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


# ---------------------------------------------------------------- what leaves


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer takes from its request and from the provider's life so far."""

    number: int = 1
    """The request's number; ids and times follow from it."""
    model: str = "gpt-oss-120b"
    first_call: int = 1
    """The N of the answer's first `call_N`."""
    prompt_tokens: int = 100
    include_usage: bool = True
    """Whether the request asked for usage."""
    stream: bool = True


class Sending(msgspec.Struct, frozen=True):
    """The bytes of one answer and how they leave, one write for each frame."""

    frames: tuple[bytes, ...]
    content_type: str = SSE_TYPE
    status: int = 200
    pace: float = 0.0
    cut_after: int | None = None
    hold_after: int | None = None


def sending(reply: Answer | Raw | Recorded, stamp: Stamp) -> Sending:
    """Turn a reply into bytes.

    An answer to a request without `stream` is one JSON document: cut or held at once if it is to
    be cut or held at all, unpaced. Raises `ScriptError` as `completion` does.
    """
    if isinstance(reply, Raw):
        return Sending((reply.body,), reply.content_type, reply.status)
    if isinstance(reply, Recorded):
        frames, kind = reply.frames(), SSE_TYPE
    elif stamp.stream:
        frames, kind = tuple(chunks(reply, stamp)), SSE_TYPE
    else:
        frames, kind = (msgspec.json.encode(completion(reply, stamp)),), JSON_TYPE
    last = len(frames) if kind == SSE_TYPE else 0
    return Sending(
        frames,
        kind,
        pace=reply.pace,
        cut_after=_at_most(reply.cut_after, last),
        hold_after=_at_most(reply.hold_after, last),
    )


def _at_most(after: int | None, last: int) -> int | None:
    return None if after is None else min(after, last)


_STAMP = Stamp()


def chunks(answer: Answer, stamp: Stamp = _STAMP) -> list[bytes]:
    """Stream an answer: one server-sent message for each chunk, then `[DONE]`."""
    frames = [sse.encode(msgspec.json.encode(body)) for body in _bodies(answer, stamp)]
    if answer.error_after is not None:
        after, error = answer.error_after
        name = b"error" if answer.event_error else b""
        frames[after:] = [sse.encode(msgspec.json.encode({"error": error}), name)]
    if answer.done:
        frames.append(sse.DONE)
    if answer.crlf:
        # JSON writes its own line ends as escapes, so only those of the framing change.
        frames = [frame.replace(b"\n", b"\r\n") for frame in frames]
    return frames


def completion(answer: Answer, stamp: Stamp = _STAMP) -> JSON:
    """Give an answer whole, as one `chat.completion`.

    An answer with `error_after` becomes a body with `error` (Q7). Raises `ScriptError` for chunks
    as given, whose sum is not ours to guess.
    """
    if any(isinstance(part, Verbatim) for part in answer.parts):
        raise ScriptError("raw_chunks cannot answer a request without stream: script Raw instead")
    if answer.error_after is not None:
        return {"error": answer.error_after[1]}
    message: JSON = {"role": "assistant", "content": _joined(answer, Text) or None}
    if thought := _joined(answer, Reasoning):
        message[answer.reasoning_field] = thought
    calls = Answer(*_settled(answer.parts, stamp.first_call)).calls
    if calls:
        message["tool_calls"] = [_whole_call(one) for one in calls]
    choice = {"index": 0, "message": message, "finish_reason": _finish(answer)}
    whole = {**_head(stamp, "chat.completion"), "choices": [choice]}
    usage = _usage(answer, stamp)
    return whole if usage is None else {**whole, "usage": usage}


# ---------------------------------------------------------------- chunks


def _bodies(answer: Answer, stamp: Stamp) -> Iterator[JSON]:
    head = _head(stamp, "chat.completion.chunk")

    def chunk(delta: JSON, finish: str | None = None) -> JSON:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    if not answer.verbatim:
        yield chunk({"role": "assistant", "content": ""})
    for part in _settled(answer.parts, stamp.first_call):
        if isinstance(part, Verbatim):
            yield from part.chunks
        else:
            yield from map(chunk, _deltas(part, answer))
    finish, usage = _finish(answer), _usage(answer, stamp)
    if finish is not None and answer.usage_in_finish and usage is not None:
        yield {**chunk({}, finish), "usage": usage}
        return
    if finish is not None:
        yield chunk({}, finish)
    if usage is not None and (stamp.include_usage or answer.usage is not UNSET):
        yield {**head, "choices": [], "usage": usage}


def _deltas(part: Text | Reasoning | Call | Interleaved, answer: Answer) -> Iterator[JSON]:
    match part:
        case Text(words):
            yield from ({"content": piece} for piece in _pieces(words, answer.fragment))
        case Reasoning(words):
            yield from (
                {answer.reasoning_field: piece} for piece in _pieces(words, answer.fragment)
            )
        case Call():
            yield from ({"tool_calls": [entry]} for entry in _entries(part, answer.fragment))
        case Interleaved(calls):
            rounds = zip_longest(*(_entries(one, answer.fragment) for one in calls))
            for entries in rounds:
                yield from ({"tool_calls": [entry]} for entry in entries if entry is not None)


def _entries(call: Call, fragment: int) -> list[JSON]:
    """The members of `delta.tool_calls` that make up a settled call, in order."""
    entries = [_whole_call(call)]
    if isinstance(call.arguments, str) and Quirk.WHOLE not in call.quirks:
        entries[0]["function"]["arguments"] = ""
        entries += [
            {"function": {"arguments": piece}} for piece in _pieces(call.arguments, fragment)
        ]
    if Quirk.NO_INDEX not in call.quirks:
        entries = [{"index": call.index, **entry} for entry in entries]
    for place, entry in enumerate(entries[1:], 1):
        _repeat(call, place, entry)
    if Quirk.LATE_NAME in call.quirks:
        del entries[0]["function"]["name"]
        entries[-1]["function"]["name"] = call.name
    if Quirk.NO_ID in call.quirks:
        for entry in entries:
            entry.pop("id", None)
    return entries


def _repeat(call: Call, place: int, entry: JSON) -> None:
    """Add to a later delta what a provider with a quirk repeats there."""
    if Quirk.NEW_IDS in call.quirks:
        entry["id"] = f"{call.id}_{place}"
        entry["function"]["name"] = None
    elif Quirk.EMPTY_REPEATS in call.quirks:
        entry["id"] = ""
        entry["function"]["name"] = ""
    elif Quirk.REPEATS in call.quirks:
        entry["id"] = call.id
        entry["function"]["name"] = call.name


def _whole_call(call: Call) -> JSON:
    function = {"name": call.name, "arguments": call.arguments}
    if Quirk.NO_ID in call.quirks:
        return {"type": "function", "function": function}
    return {"id": call.id, "type": "function", "function": function}


def _settled(parts: Sequence[Part], first_call: int) -> list[Part]:
    """Give every call the id and the index that the script left open."""
    numbers, places = count(first_call), count()

    def settle(call: Call) -> Call:
        number, place = next(numbers), next(places)
        return msgspec.structs.replace(
            call,
            id=f"call_{number}" if call.id is None else call.id,
            index=place if call.index is None else call.index,
        )

    settled: list[Part] = []
    for part in parts:
        if isinstance(part, Call):
            settled.append(settle(part))
        elif isinstance(part, Interleaved):
            settled.append(Interleaved(tuple(settle(one) for one in part.calls)))
        else:
            settled.append(part)
    return settled


def _pieces(words: str, fragment: int) -> list[str]:
    return [words[start : start + fragment] for start in range(0, len(words), fragment)]


def _head(stamp: Stamp, kind: str) -> JSON:
    return {
        "id": f"chatcmpl-{stamp.number}",
        "object": kind,
        "created": 1_700_000_000 + stamp.number,
        "model": stamp.model,
    }


def _finish(answer: Answer) -> str | None:
    if answer.finish is not UNSET:
        return answer.finish
    if answer.verbatim:
        return None
    return "tool_calls" if answer.calls else "stop"


def _usage(answer: Answer, stamp: Stamp) -> JSON | None:
    usage = answer.usage
    if usage is UNSET:
        if answer.verbatim:
            return None
        usage = _plausible_usage(answer, stamp)
    return usage.as_json() if isinstance(usage, Usage) else usage


def _plausible_usage(answer: Answer, stamp: Stamp) -> Usage:
    """Count about four characters to the token."""
    thought = len(_joined(answer, Reasoning)) // 4
    called = sum(len(one.name) + len(_as_text(one.arguments)) for one in answer.calls)
    said = (len(_joined(answer, Text)) + called) // 4
    return Usage(stamp.prompt_tokens, said + thought + 1, reasoning=thought)


def _as_text(arguments: str | JSON) -> str:
    return arguments if isinstance(arguments, str) else _compact(arguments)


def _joined(answer: Answer, kind: type[Text] | type[Reasoning]) -> str:
    return "".join(part.text for part in answer.parts if isinstance(part, kind))
