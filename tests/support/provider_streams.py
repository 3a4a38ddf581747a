"""Whole provider streams, made up by Hypothesis, and what a client must learn from each.

A `Script` says what the model says and how its provider bends that on the wire; what is expected
follows from the script alone, never from the chunks. Call deltas are bent only as far as a reader
can still tell the calls apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st

JSON = dict[str, Any]

# ---------------------------------------------------------------- what the model says

WORDS = [
    *(
        "Hello",
        " world",
        "\n",
        " ",
        "ä€",
        "😀",
        "\u2028",
        "\x85",
        "data: x\n\n",
        "[DONE]",
        '"',
        "\\",
    ),
    *("<think>", "\x00", "{}", "\r\n", "null", "</s>", "🏳️\u200d🌈", "event: error"),
]
OBJECTS = [
    "{}",
    '{"a":1}',
    '{ "cmd" : "ls -l \\"x\\"\\n" }',
    '{"deep":{"b":[1,2,{"c":"}{"}]},"n":1e40}',
    '{"text":"ä😀\u2028\\u00e9"}',
    '{"a":1} ',
]
OTHER_ARGUMENTS = ["", " \n", "ls -l", '{"a":', "[1]", '"x"', "null", '{"a":1}}']
# What a freeform tool was called with, and the raw input that the client must get (F24).
FREEFORM = [
    ('{"input":"*** Begin Patch\\n+ä\\n*** End Patch"}', "*** Begin Patch\n+ä\n*** End Patch"),
    ('{"input":""}', ""),
    ('{"patch":"a\\tb"}', "a\tb"),
    ('"text"', "text"),
    ("*** Begin Patch\n*** End Patch", "*** Begin Patch\n*** End Patch"),
    ('{"a":"b","c":"d"}', '{"a":"b","c":"d"}'),
    ("12", "12"),
    ("", ""),
]


class ToolSpec(NamedTuple):
    """A declared tool: the provider's name, and what the client knows it by."""

    chat_name: str
    name: str
    namespace: str = ""
    freeform: bool = False


SPECS = [
    ToolSpec("shell", "shell"),
    ToolSpec("now", "now"),
    ToolSpec("apply_patch", "apply_patch", freeform=True),
    ToolSpec("mcp__docs__search", "search", "mcp__docs"),
    ToolSpec("mcp__docs__note", "note", "mcp__docs", freeform=True),
]


@dataclass
class Spoken:
    """Text, reasoning or a refusal, in the pieces in which it comes."""

    kind: str
    pieces: list[str]
    field: str


@dataclass
class Called:
    """One call: what was meant, and the pieces of arguments in which it comes."""

    tool: ToolSpec
    arguments: str | JSON
    pieces: list[Any]
    id: str
    raw_input: str = ""

    @property
    def whole(self) -> bool:
        """Whether the arguments are one JSON object."""
        return isinstance(self.arguments, dict) or self.arguments in (
            *OBJECTS,
            *(text for text, _ in FREEFORM if text.startswith("{")),
        )


@dataclass
class Calls:
    """Calls that come together, interleaved or one after another."""

    calls: list[Called]


@dataclass
class Style:
    """How a provider numbers, names and repeats its calls (Q44 to Q55)."""

    index: str  # own, zero, none
    ids: str  # first, each, rotating, late, never
    names: str  # first, each, late
    interleaves: bool
    """Whether deltas of several calls can be told apart in any order."""
    whole_objects: bool = False
    """Calls can be told apart only if each has a whole JSON object for arguments."""
    first_index: int = 0
    index_type: str = "int"
    filler: str = "absent"
    """What an id or name is where it is not told: absent, null, empty."""


STYLES = [
    Style("own", ids, names, interleaves=True)
    for ids in ("first", "each", "rotating", "late", "never")
    for names in ("first", "each", "late")
    # Without id and name a delta on a new index is more of the last call (Q55); a new id with a
    # name is a new call.
    if not (names == "late" and ids in ("late", "never"))
    and not (names != "first" and ids == "rotating")
] + [
    Style("zero", "first", "first", interleaves=False),
    Style("zero", "first", "each", interleaves=False),
    Style("zero", "each", "first", interleaves=True),
    Style("zero", "each", "each", interleaves=True),
    Style("none", "first", "first", interleaves=False),
    Style("none", "first", "each", interleaves=False),
    Style("none", "each", "first", interleaves=True),
    Style("none", "each", "each", interleaves=True),
    Style("none", "rotating", "first", interleaves=False),
    Style("none", "never", "first", interleaves=False, whole_objects=True),
    Style("split", "first", "first", interleaves=False, whole_objects=True),
]

# ---------------------------------------------------------------- how it ends

FINISHES = {
    "stop": "completed",
    "tool_calls": "completed",
    "function_call": "completed",
    "end": "completed",
    "weird": "completed",
    "length": "incomplete",
    "model_length": "incomplete",
    "content_filter": "incomplete",
    "sensitive": "incomplete",
    "error": "failed",
    "network_error": "failed",
    "model_context_window_exceeded": "failed",
    None: "failed",
}
USAGE_PLACES = ("own chunk", "finish chunk", "every chunk", "choice", "x_groq", "none")
ERROR_WORDS = "the engine burned down"
ERRORS: list[tuple[bytes, JSON]] = [
    (b"", {"error": {"message": ERROR_WORDS, "code": 500}}),
    (b"error", {"error": {"message": ERROR_WORDS, "code": "tool_use_failed"}}),
    (b"", {"object": "error", "message": ERROR_WORDS, "code": 400}),
    (b"", {"error": {"message": ERROR_WORDS}, "status_code": 503}),
    (
        b"",
        {"error": ERROR_WORDS, "choices": [{"finish_reason": "error", "delta": {"content": ""}}]},
    ),
    (b"", {"choices": [{"index": 0, "delta": {}, "error": {"message": ERROR_WORDS}}]}),
    (b"", {"success": False, "message": ERROR_WORDS, "data": {}}),
    (b"", {"base_resp": {"status_code": 1000, "status_msg": ERROR_WORDS}, "choices": []}),
    (b"", {"detail": ERROR_WORDS}),
]
JUNK = [b"data: {broken\n\n", b"data: [1]\n\n", b'data: {"choices":7}\n\n']
NOISE = [
    {"choices": []},
    {"choices": [], "prompt_filter_results": [{}], "id": "", "model": ""},
    {"choices": [{"index": 0, "delta": None, "finish_reason": None}]},
    {"choices": [{"index": 0}]},
    {"choices": [{"index": 1, "delta": {"content": "NOT OURS"}, "finish_reason": "length"}]},
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "", "refusal": None}}]},
    {"choices": [{"index": 0, "delta": {"role": "", "content": None, "tool_calls": []}}]},
    {"choices": [{"index": 0, "delta": {"audio": {"id": "a"}, "channel": "x"}, "logprobs": None}]},
    {"usage": None, "choices": None, "time_info": {}},
]
FRAMES_BETWEEN = [
    b": OPENROUTER PROCESSING\n\n",
    b":\n\n",
    b"\n",
    b"event: ping\n\n",
    b"retry: 3000\nid: 7\n\n",
    b"data: null\n\n",
    b"data:\n\n",
]


@dataclass
class Script:
    """One answer: its meaning, and every choice that its provider makes on the wire."""

    parts: list[Spoken | Calls]
    style: Style
    deltas: list[JSON]
    finish: str | None
    finish_with_last_delta: bool
    usage: tuple[int, int, int, int] | None
    """Prompt, completion, cached and reasoning tokens."""
    usage_place: str
    error: tuple[int, bytes] | None
    """After so many frames comes this one, which ends the answer."""
    error_words: str
    done: bool
    last_blank_line: bool
    line_end: bytes
    bom: bool
    between: dict[int, bytes] = field(default_factory=dict)
    noise: dict[int, JSON] = field(default_factory=dict)

    # ------------------------------------------------------------ on the wire

    @property
    def frames(self) -> list[bytes]:
        """The messages, with LF line ends."""
        frames = [b"data: %b\n\n" % msgspec.json.encode(chunk) for chunk in self._chunks()]
        if self.error is not None:
            after, frame = self.error
            frames[after:] = [frame]
        for position, extra in sorted(self.between.items(), reverse=True):
            if position < len(frames):
                frames.insert(position, extra)
        if self.done:
            frames.append(b"data: [DONE]\n\n")
        return frames

    def stream(self, line_end: bytes | None = None) -> bytes:
        """The bytes of the body."""
        body = b"".join(self.frames)
        if not self.last_blank_line:
            body = body.removesuffix(b"\n\n")
        mark = b"\xef\xbb\xbf" if self.bom else b""
        return mark + body.replace(b"\n", self.line_end if line_end is None else line_end)

    def _chunks(self) -> list[JSON]:
        chunks = [_chunk(delta) for delta in self.deltas]
        if self.finish is not None:
            if self.finish_with_last_delta and chunks:
                chunks[-1]["choices"][0]["finish_reason"] = self.finish
            else:
                chunks.append(_chunk({}, self.finish))
        self._add_usage(chunks)
        for position, noise in sorted(self.noise.items(), reverse=True):
            chunks.insert(position, noise)
        return chunks

    def _add_usage(self, chunks: list[JSON]) -> None:
        if self.usage is None or self.usage_place == "none" or not chunks:
            return
        usage = _usage(*self.usage)
        if self.usage_place == "own chunk":
            chunks.append({"id": "c1", "choices": [], "usage": usage})
        elif self.usage_place == "finish chunk":
            chunks[-1]["usage"] = usage
        elif self.usage_place == "choice":
            chunks[-1]["choices"][0]["usage"] = usage
        elif self.usage_place == "x_groq":
            chunks[-1]["x_groq"] = {"id": "req_1", "usage": usage}
        else:
            for number, chunk in enumerate(chunks):
                chunk["usage"] = _usage(self.usage[0], number, 0, 0) if number % 2 else None
            chunks[-1]["usage"] = usage

    # ------------------------------------------------------------ what is expected

    @property
    def status(self) -> str:
        """The status that the response must end with."""
        if self.error is not None:
            return "failed"
        status = FINISHES[self.finish]
        if status != "completed":
            return status
        if self.finish in ("tool_calls", "function_call") and not self.calls:
            return "failed"
        kinds = {item[0] for item in self.items}
        return "failed" if kinds == {"reasoning"} else "completed"

    @property
    def calls(self) -> list[Called]:
        """All calls, in the order in which they begin."""
        return [call for part in self.parts if isinstance(part, Calls) for call in part.calls]

    @property
    def items(self) -> list[tuple[Any, ...]]:
        """The items of a whole answer: `(kind, parts or text)`, or `("call", call)`."""
        items: list[tuple[Any, ...]] = []
        for part in self.parts:
            if isinstance(part, Calls):
                items += [("call", call) for call in part.calls]
                continue
            words = "".join(part.pieces)
            if not words:
                continue
            kind = "reasoning" if part.kind == "reasoning" else "message"
            if not items or items[-1][0] != kind:
                items.append((kind, []))
            told = items[-1][1]
            if told and told[-1][0] == part.kind:
                told[-1] = (part.kind, told[-1][1] + words)
            else:
                told.append((part.kind, words))
        return items


def _chunk(delta: JSON, finish: str | None = None) -> JSON:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "choices": [choice]}


def _usage(prompt: int, completion: int, cached: int, reasoning: int) -> JSON:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": None},
        "cost": 0.25,
    }


# ---------------------------------------------------------------- strategies

_SMALL = st.integers(0, 3)


@st.composite
def _pieces(draw: st.DrawFn, words: str) -> list[str]:
    cuts = draw(st.lists(st.integers(0, len(words)), max_size=4))
    edges = [0, *sorted(cuts), len(words)]
    return [words[a:b] for a, b in pairwise(edges)]


@st.composite
def _spoken(draw: st.DrawFn) -> Spoken:
    kind = draw(st.sampled_from(["text", "text", "reasoning", "refusal"]))
    fields = {"text": ["content"], "refusal": ["refusal"]}.get(
        kind, ["reasoning", "reasoning_content", "reasoning_text"]
    )
    pieces = draw(st.lists(st.sampled_from(WORDS), max_size=4))
    return Spoken(kind, pieces, draw(st.sampled_from(fields)))


@st.composite
def _called(draw: st.DrawFn, style: Style, number: int) -> Called:
    tool = draw(st.sampled_from(SPECS))
    raw_input = ""
    arguments: str | JSON
    if tool.freeform:
        forms = FREEFORM[:3] if style.whole_objects else FREEFORM
        arguments, raw_input = draw(st.sampled_from(forms))
    else:
        forms_ = OBJECTS if style.whole_objects else OBJECTS + OTHER_ARGUMENTS
        arguments = draw(st.sampled_from(forms_))
    pieces: list[Any] = draw(_pieces(arguments))
    if not tool.freeform and style.index != "split" and draw(_SMALL) == 0:
        arguments = {"a": {"b": ["ä", 1]}}
        pieces = [arguments]
    call_id = draw(st.sampled_from([f"call_{number}", f"call_{number}", "x" * 65 + str(number)]))
    return Called(tool, arguments, pieces, call_id, raw_input)


@st.composite
def _style(draw: st.DrawFn) -> Style:
    style = draw(st.sampled_from(STYLES))
    return Style(
        style.index,
        style.ids,
        style.names,
        style.interleaves,
        style.whole_objects,
        draw(st.sampled_from([0, 0, 1, 5])),
        draw(st.sampled_from(["int", "int", "str", "float"])),
        draw(st.sampled_from(["absent", "null", "empty"])),
    )


def _entries(call: Called, number: int, style: Style) -> list[JSON]:
    """The members of `delta.tool_calls` that tell one call, in order."""
    pieces = call.pieces
    if style.names == "late" or style.ids == "late":
        pieces = ["", *pieces] if len(pieces) < 2 else pieces
    entries = []
    late = len(pieces) // 2
    for place, piece in enumerate(pieces):
        entry: JSON = {"type": "function", "function": {}}
        _tell(entry, "id", _id_at(call, place, late, style), style.filler)
        told = style.names == "each" or place == (late if style.names == "late" else 0)
        _tell(entry["function"], "name", call.tool.chat_name if told else None, style.filler)
        _tell(entry["function"], "arguments", piece or None, style.filler)
        if (index := _index_at(call, place, number, style)) is not None:
            entry["index"] = index
        entries.append(entry)
    return entries


def _tell(members: JSON, name: str, value: Any, filler: str) -> None:
    if value is None and filler == "absent":
        return
    members[name] = {"null": None, "empty": ""}.get(filler) if value is None else value


def _id_at(call: Called, place: int, late: int, style: Style) -> str | None:
    if style.ids == "rotating":
        return call.id if place == 0 else f"{call.id}_{place}"
    at = {"first": place == 0, "each": True, "late": place == max(late, 1), "never": False}
    return call.id if at[style.ids] else None


def _index_at(call: Called, place: int, number: int, style: Style) -> Any:
    if style.index == "none":
        return None
    index = style.first_index + (0 if style.index == "zero" else number)
    if style.index == "split":
        # Q55: from the middle on the deltas stand under an index of their own.
        told = "".join(call.pieces[:place])
        index = style.first_index + 2 * number
        if place and told.strip() and not _parses(told):
            index += 1
    return {"int": int, "str": str, "float": float}[style.index_type](index)


def _parses(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True


@st.composite
def _call_deltas(draw: st.DrawFn, group: Calls, numbers: count[int], style: Style) -> list[JSON]:
    """The deltas of a group; puts its calls in the order in which they begin."""
    queues = [_entries(call, next(numbers), style) for call in group.calls]
    order: list[int] = []
    if style.interleaves and draw(st.booleans()):
        turns = [place for place, queue in enumerate(queues) for _ in queue]
        order = draw(st.permutations(turns))
        begun = list(dict.fromkeys(order))
        group.calls = [group.calls[place] for place in begun]
    else:
        order = [place for place, queue in enumerate(queues) for _ in queue]
    entries = [queues[place].pop(0) for place in order]
    deltas = []
    while entries:
        together = draw(st.sampled_from([1, 1, 2, 5]))
        deltas.append({"tool_calls": entries[:together]})
        del entries[:together]
    return deltas


_RANK = {"reasoning_text": 0, "reasoning_content": 0, "reasoning": 0, "content": 1, "refusal": 2}


def _merged(deltas: Sequence[JSON], joins: set[int]) -> list[JSON]:
    """The deltas with some neighbours in one, where that does not change what is said first."""
    merged: list[JSON] = []
    for place, delta in enumerate(deltas):
        if merged and place in joins:
            last = max(_RANK.get(name, 3) for name in merged[-1])
            if last < min(_RANK.get(name, 3) for name in delta):
                merged[-1] = {**merged[-1], **delta}
                continue
        merged.append(delta)
    return merged


@st.composite
def scripts(
    draw: st.DrawFn, *, errors: bool = True, finishes: Sequence[str | None] = tuple(FINISHES)
) -> Script:
    """Any answer of any provider."""
    style = draw(_style())
    numbers, indexes = count(), count()
    parts: list[Spoken | Calls] = []
    deltas: list[JSON] = []
    for kind in draw(st.lists(st.sampled_from(["spoken", "spoken", "calls"]), max_size=5)):
        if kind == "spoken":
            part: Spoken | Calls = draw(_spoken())
            deltas += [{part.field: piece} for piece in part.pieces]
        else:
            size = draw(st.integers(1, 3))
            part = Calls([draw(_called(style, next(numbers))) for _ in range(size)])
            deltas += draw(_call_deltas(part, indexes, style))
        parts.append(part)
    deltas = _merged(deltas, draw(st.sets(st.integers(1, 12), max_size=4)))
    error, error_words = None, ""
    if errors and draw(_SMALL) == 0:
        after = draw(st.integers(0, len(deltas)))
        if draw(st.booleans()):
            name, body = draw(st.sampled_from(ERRORS))
            named = b"event: %b\n" % name if name else b""
            error = (after, b"%bdata: %b\n\n" % (named, msgspec.json.encode(body)))
            error_words = ERROR_WORDS
        else:
            error = (after, draw(st.sampled_from(JUNK)))
    finish = draw(st.sampled_from(finishes))
    if error is not None and FINISHES[finish] == "failed":
        finish = None  # one failure is enough to tell which one must be told
    tokens = st.integers(0, 10**6)
    usage = draw(st.none() | st.tuples(tokens, tokens, tokens, tokens))
    done = draw(st.booleans())
    return Script(
        parts,
        style,
        deltas,
        finish,
        draw(st.booleans()),
        usage,
        draw(st.sampled_from(USAGE_PLACES)),
        error,
        error_words,
        done,
        # A last frame that is cut and one that is broken look alike.
        draw(st.booleans()) or error is not None,
        draw(st.sampled_from([b"\n", b"\r\n", b"\r"])),
        draw(_SMALL) == 0,
        draw(st.dictionaries(st.integers(0, 12), st.sampled_from(FRAMES_BETWEEN), max_size=3)),
        draw(
            st.dictionaries(st.integers(0, len(deltas)), st.sampled_from(NOISE), max_size=2)
            if error is None
            else st.just({})
        ),
    )
