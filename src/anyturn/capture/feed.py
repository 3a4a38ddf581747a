"""What waits to be recorded, between the loop that brings it and the thread that takes it."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias, TypeVar

from anyturn.wire import responses as r

# What a record and an event take in memory, beside their texts.
RECORD_BYTES = 300
EVENT_BYTES = 300

# Something to be recorded beside the streams: kind, time, payload, and an estimate of its bytes.
Waiting: TypeAlias = tuple[str, float, Any, int]

T = TypeVar("T")


class Taken(NamedTuple):
    """What was taken of a feed."""

    others: list[Waiting]
    block_times: list[float]
    blocks: list[bytes]
    event_times: list[float]
    counts: list[int]
    events: list[r.Event]

    @property
    def records(self) -> int:
        """How many records were put."""
        return len(self.others) + len(self.blocks) + len(self.counts)

    @property
    def stream_size(self) -> int:
        """What the streams take in memory, and unfold to for a reader, about."""
        parts = len(self.blocks) + len(self.counts)
        return sum(map(len, self.blocks)) + EVENT_BYTES * len(self.events) + RECORD_BYTES * parts

    @property
    def size(self) -> int:
        """What was put, in bytes."""
        return self.stream_size + sum([one[3] for one in self.others])

    @property
    def is_end(self) -> bool:
        """Whether nothing follows."""
        return bool(self.others) and self.others[-1][0] == "end"


class Feed:
    """What waits of one turn. The loop appends and the thread takes from the front: no lock.

    Times are appended last, so that what belongs to a time is there. Lists of plain parts, because
    thousands of them come in a second and wait for half a second.
    """

    __slots__ = ("block_times", "blocks", "counts", "event_times", "events", "others")

    def __init__(self) -> None:
        self.others: list[Waiting] = []
        self.blocks: list[bytes] = []
        self.block_times: list[float] = []
        self.events: list[r.Event] = []
        self.counts: list[int] = []
        """How many events each write has."""
        self.event_times: list[float] = []

    def take(self) -> Taken:
        """What is there by now."""
        others = _front(self.others, len(self.others))
        writes, blocks = len(self.event_times), len(self.block_times)
        counts = _front(self.counts, writes)
        return Taken(
            others,
            _front(self.block_times, blocks),
            _front(self.blocks, blocks),
            _front(self.event_times, writes),
            counts,
            _front(self.events, sum(counts)),
        )


def _front(parts: list[T], count: int) -> list[T]:
    taken = parts[:count]
    del parts[:count]
    return taken
