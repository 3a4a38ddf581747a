"""Rules of fidelity: what the provider said in chunks is what the client read in events (I6, I7).

Chunks are read here without a line of the translator, so that the two cannot share a mistake. What
cannot be told from the chunks alone (calls without index and id, reasoning inside the text) is not
judged.
"""

from __future__ import annotations

from typing import Any

import msgspec

from anyturn.conformance.contents import is_json_object
from anyturn.conformance.events import (
    CALLS,
    COMPARED,
    COMPLETED,
    ITEM_DONE,
    JSON,
    MESSAGE,
    REASONING,
    TERMINAL,
    Event,
    as_list,
    as_object,
    shown,
)
from anyturn.conformance.rules import ALL, Fault, rule
from anyturn.conformance.turn import Turn

_MAX_TEXT = 64 * 1024 * 1024
_REASONING_FIELDS = ("reasoning_content", "reasoning", "reasoning_text")
# Where the text holds one of these, a gateway may rightly tell another text.
_MARKS = ("<think", "<|", "<tool_call", "<function", "to=functions", "[TOOL_CALLS]")


class Said(msgspec.Struct):
    """What one side said in all: text (refusals are text), reasoning, calls, usage and the end."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str]] = []
    usage: tuple[int, int] | None = None
    end: str | None = None


class Chunks:
    """A provider's stream, added up. `unclear` holds what cannot be judged."""

    def __init__(self) -> None:
        self.count = 0
        self.unclear: set[str] = set()
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[Any, list[str]] = {}
        self._ids: dict[Any, str] = {}
        self._usage: JSON = {}
        self._finish: str | None = None
        self._held = 0

    def take(self, chunk: JSON) -> None:
        """Add one chunk, or a whole answer that was not streamed."""
        self.count += 1
        self._usage = _usage_of(chunk) or self._usage
        if chunk.get("error") or "choices" not in chunk:
            self.unclear |= {"text", "reasoning", "calls", "usage", "end"}
        for choice in map(as_object, as_list(chunk.get("choices"))):
            if choice.get("index") in (0, None):
                self._take_choice(choice)

    def said(self) -> Said:
        """The sum."""
        text = "".join(self._text)
        if any(mark in text for mark in _MARKS):
            self.unclear |= {"text", "reasoning", "calls"}
        usage = _counts(self._usage, "prompt_tokens", "completion_tokens")
        calls = [(pieces[0], "".join(pieces[1:])) for pieces in self._calls.values()]
        if not all(name for name, _ in calls):
            self.unclear.add("calls")  # perhaps more of the call before it
        return Said(text, "".join(self._reasoning), calls, usage, self._finish)

    def _take_choice(self, choice: JSON) -> None:
        delta = as_object(choice.get("delta")) or as_object(choice.get("message"))
        if choice.get("error"):
            self.unclear |= {"text", "reasoning", "calls", "usage", "end"}
        self._add(self._text, delta.get("content"), "text")
        self._add(self._text, delta.get("refusal"), "text")
        self._add_reasoning(delta)
        for place, call in enumerate(map(as_object, as_list(delta.get("tool_calls")))):
            self._add_call(call, place)
        if delta.get("function_call"):
            self.unclear.add("calls")
        if isinstance(choice.get("finish_reason"), str):
            self._finish = choice["finish_reason"]

    def _add_reasoning(self, delta: JSON) -> None:
        told = [delta[name] for name in _REASONING_FIELDS if isinstance(delta.get(name), str)]
        if len({text for text in told if text}) > 1 or delta.get("reasoning_details"):
            self.unclear.add("reasoning")
        self._add(self._reasoning, next((text for text in told if text), None), "reasoning")

    def _add(self, pieces: list[str], value: Any, member: str) -> None:
        if isinstance(value, str) and self._held < _MAX_TEXT:
            pieces.append(value)
            self._held += len(value)
        elif value is not None:
            self.unclear |= {member, "reasoning"}

    def _add_call(self, call: JSON, place: int) -> None:
        function = as_object(call.get("function"))
        index, named = call.get("index"), call.get("id")
        key = index if type(index) is int else (named or place)
        if type(index) is not int:
            self.unclear.add("calls")
        if isinstance(named, str) and named and self._ids.setdefault(key, named) != named:
            self.unclear.add("calls")
        pieces = self._calls.setdefault(key, [""])
        if isinstance(function.get("name"), str) and function["name"] not in ("", pieces[0]):
            self.unclear |= {"calls"} if pieces[0] else set()
            pieces[0] = function["name"]
        if isinstance(function.get("arguments"), str) and self._held < _MAX_TEXT:
            pieces.append(function["arguments"])
            self._held += len(function["arguments"])
        elif function.get("arguments") is not None:
            self.unclear.add("calls")


class Events:
    """A client's stream, added up from what is done."""

    def __init__(self) -> None:
        self._said = Said(calls=[])
        self._held = 0

    def take(self, event: Event) -> None:
        """Add one event."""
        if event.type == ITEM_DONE and self._held < _MAX_TEXT:
            self._held += len(event.raw)
            self._take_item(event.kind, event.spoken)
        elif event.type in TERMINAL and self._said.end is None:
            self._said.end = event.type
            usage = as_object(event.response.get("usage"))
            self._said.usage = _counts(usage, "input_tokens", "output_tokens")

    def said(self) -> Said:
        """The sum."""
        return self._said

    def _take_item(self, kind: str, item: JSON) -> None:
        if kind == MESSAGE:
            self._said.text += _texts(item.get("content"))
        elif kind == REASONING:
            self._said.reasoning += _texts(item.get("content")) or _texts(item.get("summary"))
        elif kind in CALLS:
            payload = item.get("arguments", item.get("input"))
            name = f"{item.get('namespace') or ''} {item.get('name')}".strip()
            self._said.calls.append((name, payload if isinstance(payload, str) else ""))


class Compared(msgspec.Struct, frozen=True):
    """Both sides, and what of the provider's side is unclear."""

    provider: Said
    client: Said
    unclear: frozenset[str]


def _whole(event: Event, member: str) -> Compared | None:
    """Both sides where the answer came to a good end and this member can be judged."""
    both: Compared = event.body["compared"]
    judged = member not in both.unclear and both.client.end == COMPLETED and both.provider.end
    return both if judged else None


@rule(
    "fidelity.text",
    on=(COMPARED,),
    expected="the text of the provider, all of it and nothing else",
    why="The user reads something else than what the model wrote, and the model's own words are "
    "missing from the history.",
    fix="Pass every content delta on, once and in order.",
    degrades=ALL,
    seen="codex_plus loses the text after reasoning",
)
def text(turn: Turn, event: Event) -> str | None:
    both = _whole(event, "text")
    if both is None or both.provider.text.strip() == both.client.text.strip():
        return None
    return f"provider: {shown(both.provider.text, 70)}; client: {shown(both.client.text, 70)}"


@rule(
    "fidelity.reasoning",
    on=(COMPARED,),
    expected="the reasoning of the provider, all of it and nothing else",
    why="Providers that want their reasoning back refuse the next request, or think again.",
    fix="Pass reasoning on in a reasoning item, whatever field it came in.",
    degrades=ALL,
    seen="bridges that know one of reasoning, reasoning_content and reasoning_text",
)
def reasoning(turn: Turn, event: Event) -> str | None:
    both = _whole(event, "reasoning")
    if both is None or both.provider.reasoning.strip() == both.client.reasoning.strip():
        return None
    said = shown(both.provider.reasoning, 70)
    return f"provider: {said}; client: {shown(both.client.reasoning, 70)}"


@rule(
    "fidelity.calls",
    on=(COMPARED,),
    expected="each call of the provider once, under a name that can be traced to it",
    why="A tool does not run that the model called, or one runs that it did not call.",
    fix="Keep the calls of an answer apart by index and id, and hand out every one.",
    breaks=ALL,
    seen="codex_plus opens an item for the first of several calls only",
)
def calls(turn: Turn, event: Event) -> str | None:
    both = _whole(event, "calls")
    if both is None:
        return None
    ours, theirs = both.client.calls, both.provider.calls
    if len(ours) != len(theirs):
        names = [", ".join(name for name, _ in side) or "none" for side in (theirs, ours)]
        return f"provider: {shown(names[0], 70)}; client: {shown(names[1], 70)}"
    for (meant, _), (name, _) in zip(theirs, ours, strict=True):
        if not _is_traceable(meant, name):
            return f"provider: {meant}; client: {name}"
    return None


@rule(
    "fidelity.arguments",
    on=(COMPARED,),
    expected="the arguments of the provider, where they are JSON, with the same values",
    why="The tool runs with something else than what the model asked for.",
    fix="Join the pieces of one call, in order, and change nothing that parses.",
    breaks=ALL,
    seen="bridges that mix parallel calls (F43)",
)
def arguments(turn: Turn, event: Event) -> str | None:
    both = _whole(event, "calls")
    if both is None or len(both.client.calls) != len(both.provider.calls):
        return None
    for (name, meant), (_, given) in zip(both.provider.calls, both.client.calls, strict=True):
        if is_json_object(meant) and not _is_same(meant, given):
            return f"{name}: provider: {shown(meant, 70)}; client: {shown(given, 70)}"
    return None


@rule(
    "fidelity.usage",
    on=(COMPARED,),
    expected="the tokens that the provider counted",
    why="Codex compacts by them, and users pay by them.",
    fix="Pass the last usage of the stream on, wherever it stood.",
    degrades=ALL,
)
def usage(turn: Turn, event: Event) -> str | None:
    both = _whole(event, "usage")
    if both is None or both.provider.usage is None or both.provider.usage == both.client.usage:
        return None
    return f"provider: {both.provider.usage}; client: {both.client.usage}"


@rule(
    "fidelity.end",
    on=(COMPARED,),
    expected="`response.completed` only where the provider came to a good end (I6)",
    why="Half an answer passes for a whole one, and half a call runs.",
    fix="length and content_filter are `response.incomplete`; an end without finish_reason is "
    "`response.failed`.",
    degrades=ALL,
    fault=Fault.SERVER,
    seen="bridges that take every end for a good one (F39, F53)",
)
def end(turn: Turn, event: Event) -> str | None:
    both: Compared = event.body["compared"]
    if "end" in both.unclear or both.client.end != COMPLETED:
        return None
    if both.provider.end is None:
        return "response.completed, though the provider's stream broke off"
    cut = both.provider.end in ("length", "content_filter")
    return f"response.completed, though finish_reason is {both.provider.end}" if cut else None


def _is_traceable(meant: str, name: str) -> bool:
    own = name.rpartition(" ")[2]
    # A name at the limit of 64 characters was cut, and ends with a digest.
    return own in meant or meant in own or len(meant) >= 60


def _is_same(meant: str, given: str) -> bool:
    if not is_json_object(meant) or meant.strip() == given.strip():
        return meant.strip() == given.strip() or not is_json_object(meant)
    values: JSON = msgspec.json.decode(meant)
    if list(values.values()) == [given]:
        return True  # a freeform tool's input, unwrapped
    # Repairs that lose nothing write 120.0 as 120 (F46): Python takes both for the same.
    return is_json_object(given) and bool(msgspec.json.decode(given) == values)


def _counts(usage: JSON, first: str, second: str) -> tuple[int, int] | None:
    given, made = usage.get(first), usage.get(second)
    return (given, made) if isinstance(given, int) and isinstance(made, int) else None


def _usage_of(chunk: JSON) -> JSON:
    places = [chunk, as_object(chunk.get("x_groq"))]
    places += [as_object(choice) for choice in as_list(chunk.get("choices"))]
    return next((found for place in places if (found := as_object(place.get("usage")))), {})


def _texts(parts: Any) -> str:
    words = (part.get("text", part.get("refusal")) for part in map(as_object, as_list(parts)))
    return "".join(word for word in words if isinstance(word, str))
