"""Runs: what streams in many small pieces, written as what its pieces have in common and the rest.

Almost all of a stream are chunks that differ in their words only, and deltas that differ in `delta`
and `sequence_number`. What a run unfolds to is exactly what it was made of; whatever does not
follow the rule is no run.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec

from anyturn.wire import responses as r

JSON: TypeAlias = dict[str, Any]

# Where the words of a run meet: no JSON needs this character, and it takes one byte.
CUT = "\x7f"
_CUT = CUT.encode()
# Shorter ones save nothing.
_RUN_MIN = 3
# What a delta takes in memory, about, and the most members that an event with one has.
DELTA_BYTES = 300
_MEMBERS_MAX = 16

_encode = msgspec.json.Encoder().encode


class ChunkRun(msgspec.Struct, tag="chunks", tag_field="kind", frozen=True, kw_only=True):
    """What the provider sent: `text` with `between` at each cut, in blocks of so many bytes."""

    t: list[int] = []
    sizes: list[int] = []
    between: str = ""
    text: str = ""

    @property
    def size(self) -> int:
        """How many bytes it unfolds to, or a few more."""
        between = len(self.between.encode("utf-8", "surrogatepass"))
        return len(self.text.encode("utf-8", "surrogatepass")) + self.text.count(CUT) * between

    def blocks(self) -> list[tuple[int, bytes]]:
        """Times and bytes. Raises `ValueError` when they are not of one length."""
        data = self.text.encode().replace(_CUT, self.between.encode())
        if sum(self.sizes) != len(data) or min(self.sizes, default=0) < 0:
            raise ValueError(f"its blocks do not have {len(data)} bytes together")
        ends = accumulate(self.sizes, initial=0)
        found = [data[begin:end] for begin, end in pairwise(ends)]
        return list(zip(self.t, found, strict=True))


class DeltaRun(msgspec.Struct, tag="deltas", tag_field="kind", frozen=True, kw_only=True):
    """What the client got: events like `first`, numbered on from it, with times and deltas."""

    t: list[int] = []
    first: JSON = {}
    delta: list[str] = []

    @property
    def size(self) -> int:
        """How many bytes it unfolds to, about: each event has what stands beside a delta."""
        beside = len(_encode({**self.first, "delta": ""}))
        return max(DELTA_BYTES, beside) * len(self.delta)

    def events(self) -> list[tuple[int, JSON]]:
        """Times and events. Raises `ValueError` when these are no events."""
        number = self.first.get("sequence_number")
        if not isinstance(number, int):
            raise ValueError("its first event has no number")
        if len(self.first) > _MEMBERS_MAX:
            raise ValueError("its first event is none that has a delta")
        return [
            (t, {**self.first, "delta": delta, "sequence_number": count})
            for count, (t, delta) in enumerate(zip(self.t, self.delta, strict=True), number)
        ]


def chunk_run(
    times: Sequence[int], sizes: Sequence[int], between: bytes, pieces: Sequence[bytes]
) -> bytes | None:
    """The line of a run: blocks of these sizes that are the pieces with `between` between them.

    None when it is better written as it is. Raises `UnicodeDecodeError` for what is no UTF-8.
    """
    if len(pieces) < _RUN_MIN:
        return None
    text = _CUT.join(pieces)
    if text.count(_CUT) != len(pieces) - 1:
        return None
    run = ChunkRun(t=list(times), sizes=list(sizes), between=between.decode(), text=text.decode())
    return _encode(run) + b"\n"


def deltas_of(events: list[r.Event]) -> list[str] | None:
    """The deltas of events that make a run; None when they do not."""
    first, count = events[0], len(events)
    members = first.__struct_fields__
    if count < _RUN_MIN or "delta" not in members:
        return None
    if list(map(type, events)).count(type(first)) != count:
        return None
    for name in members:
        # Column by column: what is made for each event costs more than all the rest.
        column = list(map(attrgetter(name), events))
        if name == "delta":
            deltas: list[str] = column
        elif name == "sequence_number":
            if column != list(range(column[0], column[0] + count)):
                return None
        elif column.count(column[0]) != count:
            return None
    return deltas


def delta_run(times: list[int], first: r.Event, deltas: list[str]) -> bytes:
    """The line of a run that begins with this event."""
    return b'{"kind":"deltas","t":%b,"first":%b,"delta":%b}\n' % (
        _encode(times),
        r.encode_json(first),
        _encode(deltas),
    )
