"""Two recordings of events side by side: are they equal, and if not, in what."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeAlias

import msgspec

JSON: TypeAlias = dict[str, Any]

_ID_NAMES = {"id", "item_id", "call_id", "response_id", "previous_response_id"}
_CLOCK_NAMES = {"created_at", "completed_at", "created"}
_SHOWN = 80


def normalised(events: Iterable[JSON]) -> list[JSON]:
    """The events with ids numbered in the order of their appearance, and without clock times."""
    known: dict[str, str] = {}
    return [_normal(event, known) for event in events]


def _normal(value: Any, known: dict[str, str], name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _normal(one, known, key) for key, one in value.items()}
    if isinstance(value, list):
        return [_normal(one, known) for one in value]
    if name in _CLOCK_NAMES and isinstance(value, int | float):
        return 0
    if name in _ID_NAMES and isinstance(value, str):
        if value not in known:
            word = re.split(r"[_-]", value, maxsplit=1)[0]
            known[value] = f"{word[:12]}_{len(known) + 1}"
        return known[value]
    return value


def differences(expected: Iterable[JSON], actual: Iterable[JSON]) -> list[str]:
    """What differs between two streams of events, ids and clock aside; empty when nothing does."""
    left, right = normalised(expected), normalised(actual)
    found: list[str] = []
    for number, (one, other) in enumerate(zip(left, right, strict=False), 1):
        _differ(one, other, f"event {number} ({one.get('type')})", found)
    if len(left) != len(right):
        longer, word = (left, "is missing") if len(left) > len(right) else (right, "is too many")
        extra = longer[min(len(left), len(right))]
        found.append(
            f"{len(left)} events were expected and {len(right)} came; the first that {word}: "
            f"{extra.get('type')}"
        )
    return found


def _differ(one: Any, other: Any, where: str, found: list[str]) -> None:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            if key not in other:
                found.append(f"{where}: {key} is missing")
            elif key not in one:
                found.append(f"{where}: {key} is new: {_shown(other[key])}")
            else:
                _differ(one[key], other[key], f"{where}.{key}", found)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for position, (a, b) in enumerate(zip(one, other, strict=True)):
            _differ(a, b, f"{where}[{position}]", found)
    elif one != other:
        found.append(f"{where}: {_shown(one)} was expected, not {_shown(other)}")


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def without_deltas(events: Iterable[JSON]) -> list[JSON]:
    """The events without their deltas' sizes: neighbouring deltas of one item are joined."""
    joined: list[JSON] = []
    for event in events:
        last = joined[-1] if joined else {}
        if isinstance(event.get("delta"), str) and _continues(last, event):
            joined[-1] = {**last, "delta": last["delta"] + event["delta"]}
        else:
            joined.append(dict(event))
    for number, event in enumerate(joined):
        if "sequence_number" in event:
            event["sequence_number"] = number
    return joined


def _continues(last: JSON, event: JSON) -> bool:
    return all(last.get(name) == event.get(name) for name in ("type", "item_id")) and isinstance(
        last.get("delta"), str
    )


# ---------------------------------------------------------------- structures


class Shape(msgspec.Struct, kw_only=True):
    """What events of one type look like."""

    type: str
    count: int = 0
    orders: dict[tuple[str, ...], int] = {}
    """The order of the fields, and how often it was seen."""
    fields: dict[str, dict[str, int]] = {}
    """The kinds of values that stand at each path (`item.type`), and how often."""
    follows: dict[str, int] = {}
    """The types that came before; empty for the first of a stream."""


_MAX_DEPTH = 4
_FIELDS_MAX = 400
# Below these, names are the user's own and say nothing about the format.
_OPAQUE = {"tools", "metadata", "parameters", "schema", "logprobs"}
_SPOKEN = {"type", "status", "role", "object", "finish_reason", "phase", "execution"}


def shapes_of(streams: Iterable[list[JSON]]) -> dict[str, Shape]:
    """The structure of events, or of chunks, over some streams, in the order of appearance."""
    shapes: dict[str, Shape] = {}
    for events in streams:
        before = ""
        for event in events:
            name = type_of(event)
            shape = shapes.setdefault(name, Shape(type=name, orders={}, fields={}, follows={}))
            shape.count += 1
            order = tuple(map(str, event))
            shape.orders[order] = shape.orders.get(order, 0) + 1
            shape.follows[before] = shape.follows.get(before, 0) + 1
            _note_fields(shape, event, "", 0)
            before = name
    return shapes


def type_of(event: JSON) -> str:
    """The type of an event, with its item's or part's; of a chunk, what its delta holds."""
    if isinstance(event.get("type"), str):
        inner = event.get("item") or event.get("part")
        kind = inner.get("type") if isinstance(inner, dict) else None
        return f"{event['type']}: {kind}" if isinstance(kind, str) else str(event["type"])
    if "error" in event and "choices" not in event:
        return "error"
    choices = event.get("choices")
    if "input" in event or "messages" in event:
        return "request"
    if not isinstance(choices, list):
        return str(event.get("object") or "unknown")
    said: set[str] = set()
    for choice in choices:
        said |= _said_in(choice) if isinstance(choice, dict) else set()
    if not choices or not said:
        said.add("usage" if event.get("usage") else "nothing")
    return "chunk: " + ", ".join(sorted(said))


def _said_in(choice: JSON) -> set[str]:
    delta = choice.get("delta") or choice.get("message")
    said = {name for name, value in delta.items() if value} if isinstance(delta, dict) else set()
    if choice.get("finish_reason"):
        said.add("finish_reason")
    return said


def _note_fields(shape: Shape, value: JSON, prefix: str, depth: int) -> None:
    for key, one in value.items():
        path = f"{prefix}{key}"
        if len(shape.fields) >= _FIELDS_MAX and path not in shape.fields:
            return
        kinds = shape.fields.setdefault(path, {})
        kind = _kind_of(key, one)
        kinds[kind] = kinds.get(kind, 0) + 1
        if depth >= _MAX_DEPTH or key in _OPAQUE:
            continue
        if isinstance(one, dict):
            _note_fields(shape, one, f"{path}.", depth + 1)
        elif isinstance(one, list):
            for member in one:
                if isinstance(member, dict):
                    _note_fields(shape, member, f"{path}[].", depth + 1)


def _kind_of(key: str, value: Any) -> str:
    if key in _SPOKEN and isinstance(value, str):
        return f'"{value[:40]}"'
    return {
        bool: "boolean",
        int: "number",
        float: "number",
        str: "text",
        list: "list" if value else "empty list",
        dict: "object" if value else "empty object",
    }.get(type(value), "null")


class Contrast(msgspec.Struct, frozen=True, kw_only=True):
    """One type of event on both sides. The lists are empty where both sides agree."""

    type: str
    left: int
    right: int
    only_left: list[str] = []
    only_right: list[str] = []
    other_kinds: list[tuple[str, str, str]] = []
    orders: tuple[list[str], list[str]] | None = None

    @property
    def agrees(self) -> bool:
        """Whether both sides send it, in the same form."""
        both = bool(self.left) == bool(self.right)
        return both and not (self.only_left or self.only_right or self.other_kinds or self.orders)


def contrast(left: list[JSON], right: list[JSON]) -> list[Contrast]:
    """What one side sends that the other does not: by type, field, kind and order."""
    one, other = shapes_of([left]), shapes_of([right])
    names = [*one, *(name for name in other if name not in one)]
    return [_contrast(name, one.get(name), other.get(name)) for name in names]


def _contrast(name: str, one: Shape | None, other: Shape | None) -> Contrast:
    if one is None or other is None:
        return Contrast(type=name, left=one.count if one else 0, right=other.count if other else 0)
    kinds = [
        (path, _kinds(one.fields[path]), _kinds(other.fields[path]))
        for path in one.fields
        if path in other.fields and set(one.fields[path]) != set(other.fields[path])
    ]
    a, b = _usual(one.orders), _usual(other.orders)
    shared = ([key for key in a if key in b], [key for key in b if key in a])
    return Contrast(
        type=name,
        left=one.count,
        right=other.count,
        only_left=[path for path in one.fields if path not in other.fields],
        only_right=[path for path in other.fields if path not in one.fields],
        other_kinds=kinds,
        orders=shared if shared[0] != shared[1] else None,
    )


def _kinds(seen: dict[str, int]) -> str:
    return ", ".join(sorted(seen))


def _usual(orders: dict[tuple[str, ...], int]) -> tuple[str, ...]:
    return max(orders, key=lambda order: orders[order]) if orders else ()


def course(events: Iterable[JSON]) -> list[tuple[str, int]]:
    """The types in order, with neighbours of one type counted together."""
    runs: list[tuple[str, int]] = []
    for event in events:
        name = type_of(event)
        if runs and runs[-1][0] == name:
            runs[-1] = (name, runs[-1][1] + 1)
        else:
            runs.append((name, 1))
    return runs
