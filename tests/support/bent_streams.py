"""What is done to a good stream to make a defect of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from support.responses_streams import JSON, call, freeform, message, numbered, reasoning, stream

Events = list[JSON]
Stream = Events | bytes
Mutate = Callable[[Events], Stream]


@dataclass
class Defect:
    """A good stream, the bad one, and what else was known of the turn."""

    rule: str
    good: Stream
    bad: Stream
    known: JSON = field(default_factory=dict)
    """Arguments of `check_stream` for both: request, chunks."""
    good_known: JSON = field(default_factory=dict)
    bad_known: JSON = field(default_factory=dict)
    name: str = ""


class Defects(list[Defect]):
    """A part of the table."""

    def add(
        self, rule: str, good: Callable[[], Stream], mutate: Mutate | None = None, **known: Any
    ) -> None:
        """Append the defect that `mutate` makes of a good stream; further names are its members.

        Others are arguments of `check_stream`: known of both streams.
        """
        name = known.pop("name", "")
        good_known, bad_known = known.pop("good_known", {}), known.pop("bad_known", {})
        bad = mutate(good()) if mutate else good()  # type: ignore[arg-type]
        self.append(Defect(rule, good(), bad, known, good_known, bad_known, name))


def text() -> Events:
    """A message."""
    return stream(message())


def one_call() -> Events:
    """A call."""
    return stream(call())


def patch() -> Events:
    """A freeform call."""
    return stream(freeform())


def thought() -> Events:
    """Reasoning and a call."""
    return stream(reasoning(), call())


def two_calls() -> Events:
    """Two calls."""
    return stream(call(), call('{"cmd":"pwd"}', number=2))


def at(events: Events, kind: str, nth: int = 0) -> JSON:
    """The nth event of a type."""
    return [event for event in events if event["type"] == f"response.{kind}"][nth]


def end(events: Events) -> JSON:
    """The final response."""
    return events[-1]["response"]


def item_set(events: Events, done_only: bool = False, nth: int = 0, **members: Any) -> Events:
    """Set members of an item wherever it is told; `...` takes them out."""
    places = [at(events, "output_item.done", nth)["item"], end(events)["output"][nth]]
    if not done_only:
        places.append(at(events, "output_item.added", nth)["item"])
    for place in places:
        for name, value in members.items():
            place.pop(name, None) if value is ... else place.update({name: value})
    return events


def end_set(events: Events, **members: Any) -> Events:
    """Set members of the final response; `...` takes them out."""
    for name, value in members.items():
        end(events).pop(name, None) if value is ... else end(events).update({name: value})
    return events


def without(events: Events, *kinds: str) -> Events:
    """The stream without the events of these types."""
    return numbered([e for e in events if e["type"].removeprefix("response.") not in kinds])


def with_extra(events: Events, extra: JSON, place: int = -1) -> Events:
    """The stream with one more event."""
    return numbered([*events[:place], extra, *events[place:]])


def edited(events: Events, kind: str, nth: int = 0, **members: Any) -> Events:
    """The stream with members of an event set; `...` takes them out."""
    for name, value in members.items():
        event = at(events, kind, nth)
        event.pop(name, None) if value is ... else event.update({name: value})
    return events


REQUEST: JSON = {
    "model": "m",
    "input": "What time is it?",
    "tools": [
        {"type": "function", "name": "exec_command"},
        {"type": "custom", "name": "apply_patch"},
        {
            "type": "namespace",
            "name": "mcp__docs",
            "tools": [{"type": "function", "name": "search"}],
        },
    ],
}


def chunks(finish: str | None = "stop", **delta: Any) -> Events:
    """A provider's stream: one delta, and its end."""
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    told = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}]
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": usage}
    return [{"object": "chat.completion.chunk", **one} for one in [*told, last]]


def told_call(arguments: str = '{"cmd":"date"}', name: str = "exec_command", n: int = 1) -> JSON:
    """An entry of `tool_calls`."""
    return {
        "index": n - 1,
        "id": f"call_{n}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


CHAT = chunks(tool_calls=[told_call()])
"""A provider's stream with one call."""
