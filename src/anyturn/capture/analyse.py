"""A format described from what was really sent: types, order, fields and counts, as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, TypeAlias

from anyturn.capture.compare import Shape, course, shapes_of
from anyturn.capture.format import Capture

JSON: TypeAlias = dict[str, Any]

_COURSE_MAX = 40
_COURSES_MAX = 5


def analysis(captures: Iterable[Capture]) -> str:
    """Describe both sides of these captures as one Markdown document."""
    captures = list(captures)
    events = [capture.events for capture in captures]
    chunks = [capture.chunks for capture in captures]
    asked = [[capture.request] for capture in captures if capture.head.passive and capture.request]
    wires = {capture.head.wire for capture in captures}
    parts = ["# What was sent", _sources(captures)]
    if asked:
        parts += ["## From the client: requests", *_requests(captures, asked)]
    if wires != {"chat"}:
        parts += ["## To the client: Responses events", *_section(events)]
    if wires != {"responses"}:
        parts += ["## From the provider: Chat Completions chunks", *_section(chunks)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _sources(captures: list[Capture]) -> str:
    titles = ("turns", "client", "provider", "model", "Anyturn", "outcome")
    return table(titles, _counted(map(_source, captures)))


def _source(capture: Capture) -> tuple[str, ...]:
    head = capture.head
    client = f"{head.client} {head.client_version}".strip()
    return client, head.provider, head.model, head.gateway, capture.status


def _requests(captures: list[Capture], asked: list[list[JSON]]) -> list[str]:
    """What a client sends, for whoever wants to be asked by it."""
    passive = [capture for capture in captures if capture.head.passive]
    sent = _counted(
        (
            capture.head.transport,
            code(capture.asked[0].url) if capture.asked else "",
            ", ".join(map(code, capture.headers)),
        )
        for capture in passive
    )
    answers = _counted(
        (str(capture.end.http_status), ", ".join(map(code, capture.end.headers)))
        for capture in passive
        if capture.end is not None
    )
    return [
        table(("turns", "over", "to", "headers"), sent),
        table(("turns", "HTTP status of the answer", "its headers"), answers),
        *[_fields(shape) for shape in shapes_of(asked).values()],
    ]


def _counted(rows: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Each row once, behind how often it is there."""
    return [(str(count), *row) for row, count in Counter(rows).items()]


def _section(streams: list[list[JSON]]) -> list[str]:
    streams = [stream for stream in streams if stream]
    if not streams:
        return ["Nothing was recorded."]
    shapes = shapes_of(streams)
    total = sum(shape.count for shape in shapes.values())
    rows = [(code(s.type), str(s.count), _after(s)) for s in shapes.values()]
    return [
        f"{total} in {len(streams)} {'stream' if len(streams) == 1 else 'streams'}.",
        table(("type", "count", "comes after"), rows),
        "### Order",
        *_courses(streams),
        "### Fields",
        *[_fields(shape) for shape in shapes.values()],
    ]


def _after(shape: Shape) -> str:
    found = sorted(shape.follows.items(), key=lambda one: -one[1])[:4]
    return ", ".join(f"{code(name) if name else 'the beginning'} ({n})" for name, n in found)


def _courses(streams: list[list[JSON]]) -> list[str]:
    """The orders that were seen, the most frequent ones first; counts of neighbours as `× n`."""
    seen: dict[tuple[str, ...], int] = {}
    for stream in streams:
        names = tuple(name if n == 1 else f"{name} × n" for name, n in course(stream))
        seen[names] = seen.get(names, 0) + 1
    found = sorted(seen.items(), key=lambda one: -one[1])
    parts = []
    for names, count in found[:_COURSES_MAX]:
        shown = [code(name) for name in names[:_COURSE_MAX]]
        shown += [f"and {len(names) - _COURSE_MAX} more"] if len(names) > _COURSE_MAX else []
        lines = "\n".join(f"{n}. {name}" for n, name in enumerate(shown, 1))
        parts.append(f"In {count} of {len(streams)}:\n\n{lines}")
    if len(found) > _COURSES_MAX:
        parts.append(f"And {len(found) - _COURSES_MAX} other orders.")
    return parts


def _fields(shape: Shape) -> str:
    order = max(shape.orders, key=lambda one: shape.orders[one], default=())
    rows = []
    for path, kinds in shape.fields.items():
        seen = sum(kinds.values())
        values = ", ".join(sorted(kinds, key=lambda kind: -kinds[kind])[:8])
        rows.append((code(path), "" if "." in path else _share(seen, shape.count), values))
    orders = f", {len(shape.orders)} orders of fields" if len(shape.orders) > 1 else ""
    return "\n\n".join(
        (
            f"#### {code(shape.type)}",
            f"{shape.count} times{orders}; as a rule: {', '.join(map(code, order))}",
            table(("field", "present", "values"), rows),
        )
    )


def _share(seen: int, count: int) -> str:
    return "always" if seen >= count else f"{seen} of {count}"


def code(text: str) -> str:
    """A text in Markdown that stays one word whatever is in it."""
    plain = "".join(c if c.isprintable() else "�" for c in text).replace("`", "'")
    return f"`{plain.replace('|', '¦')}`" if plain else ""


def table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [titles, tuple("---" for _ in titles), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    plain = "".join(c if c.isprintable() else "�" for c in text)
    return plain.replace("|", "¦")
