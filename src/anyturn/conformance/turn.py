"""A stream as far as it was read: what was announced, what was said of it, and how it ended.

Memory is bounded (A1): of a finished item only a digest of each member stays, and beyond
`MAX_ITEMS` items or `MAX_TEXT` characters the stream is no longer followed (`is_followed`).
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from anyturn.conformance.events import (
    ADDED,
    ANNOTATION,
    CHAT,
    CREATED,
    DONE,
    ERROR,
    INSIDE,
    ITEM_DONE,
    JSON,
    KNOWN,
    PART_ADDED,
    PART_DONE,
    PAYLOAD_DELTA,
    PAYLOAD_DONE,
    PAYLOAD_OF,
    TERMINAL,
    TEXT_DELTA,
    TEXT_DONE,
    Event,
    as_list,
    as_object,
    encoded,
    is_known,
)

MAX_ITEMS = 10_000
MAX_TEXT = 64 * 1024 * 1024
_MAX_MEMBERS = 64
# What a piece of text or a part costs beside its characters.
_PIECE = 64
_PART = 1024


class Part:
    """A part of a message or of reasoning."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.pieces: list[str] = []
        self.said: str | None = None
        """What the done event of its text said."""
        self.is_done = False
        self.is_ghost = False


class Item:
    """An output item. A ghost was never announced, but something spoke of it."""

    def __init__(self, index: int | None, body: JSON, *, ghost: bool = False) -> None:
        self.index = index
        self.id = _text(body.get("id"))
        self.type = _text(body.get("type"))
        self.call_id = _text(body.get("call_id"))
        self.is_ghost = ghost
        self.is_done = False
        self.content: dict[int, Part] = {}
        self.summary: dict[int, Part] = {}
        self.announced = _text(body.get(PAYLOAD_OF.get(self.type, "")))
        self.pieces: list[str] = []
        self.said: str | None = None
        """What the done event of its arguments or input said."""
        self.held = 0
        """What it costs in memory, about."""

    @property
    def payload(self) -> str:
        """The arguments or input as far as deltas told them."""
        return "".join(self.pieces)

    def parts(self, event: Event) -> tuple[dict[int, Part], int | None]:
        """Where the parts are that an event speaks of, and the index it gives."""
        if "reasoning_summary" in event.type:
            return self.summary, event.index("summary_index")
        return self.content, event.index("content_index")

    def forget(self) -> None:
        """Let go of what was only held to be compared."""
        self.content, self.summary = {}, {}
        self.pieces, self.said, self.announced, self.held = [], None, "", 0


class DoneItem(msgspec.Struct, frozen=True):
    """What stays of a finished item."""

    id: str
    type: str
    call_id: str
    digests: dict[str, bytes]


class Turn:
    """One stream of events. Rules look at it before the event they are asked about is taken."""

    def __init__(self, request: JSON | None = None) -> None:
        self.request = request
        self.status: int | None = None
        self.count = 0
        """Events of the Responses API so far."""
        self.frames = 0
        self.is_chat = False
        self.response_id: str | None = None
        self.is_created = False
        self.sequence: int | None = None
        self.terminal: str | None = None
        self.is_error_told = False
        self.is_done_marked = False
        self.is_cut = False
        """Whether the last message lacks its blank line."""
        self.items: list[Item] = []
        self.done: list[DoneItem] = []
        self.call_ids: set[str] = set()
        self.incomplete_item = ""
        self.is_followed = True
        self.held = 0
        self._by_id: dict[str, Item] = {}
        self._by_index: dict[int, Item] = {}

    @property
    def opened(self) -> int:
        """How many items were announced."""
        return len(self.items)

    @property
    def open_items(self) -> list[Item]:
        """Those that are not done, ghosts left out."""
        return [item for item in self.items[-64:] if not (item.is_done or item.is_ghost)]

    def knows(self, item_id: str) -> Item | None:
        """The item that was announced under this id."""
        return self._by_id.get(item_id)

    def locate(self, event: Event) -> None:
        """Find what an event speaks of: by id, and where the id is unknown, by its index."""
        if event.type not in INSIDE and event.type != ITEM_DONE:
            return
        named = event.spoken.get("id") if event.type == ITEM_DONE else event.body.get("item_id")
        index = event.index()
        by_index = self._by_index.get(index) if index is not None else None
        if isinstance(named, str) and named:
            event.item = self._by_id.get(named)
            if event.item is None and by_index is not None and not by_index.is_done:
                event.item, event.claimed_id = by_index, named
        else:
            event.item = by_index
        if event.item is not None and event.type in INSIDE:
            parts, place = event.item.parts(event)
            event.part = parts.get(place) if place is not None else None

    def take(self, event: Event) -> None:
        """Remember an event that the rules have seen."""
        self.frames += 1
        kind = event.type
        self.is_done_marked = self.is_done_marked or kind == DONE
        self.is_chat = self.is_chat or kind == CHAT
        self.is_cut = not event.ended
        number = event.body.get("sequence_number")
        if type(number) is int:
            self.sequence = number if self.sequence is None else max(number, self.sequence + 1)
        if not (kind in KNOWN or is_known(kind)):
            return
        self.count += 1
        if not self.is_followed:
            self._take_end(event)
        elif kind == ADDED:
            self._add(Item(event.index(), event.spoken))
        elif kind == ITEM_DONE:
            self._finish(event)
        elif kind in INSIDE:
            self._take_inside(event)
        else:
            self._take_end(event)
        if len(self.items) > MAX_ITEMS or self.held > MAX_TEXT:
            self.is_followed = False

    def _take_end(self, event: Event) -> None:
        if event.type == CREATED:
            self.is_created = True
            self.response_id = _text(event.response.get("id")) or self.response_id
        elif event.type in TERMINAL:
            self.terminal = event.type
        elif event.type == ERROR:
            self.is_error_told = True

    def _add(self, item: Item) -> None:
        self.items.append(item)
        if item.id:
            self._by_id[item.id] = item
        if item.index is not None:
            self._by_index[item.index] = item

    def _finish(self, event: Event) -> None:
        item = event.item
        if item is None:
            item = Item(event.index(), event.spoken, ghost=True)
            self._add(item)
        if not item.is_done and event.spoken:
            self.done.append(_digested(event.spoken))
            if event.spoken.get("status") == "incomplete":
                self.incomplete_item = item.id
            if call_id := _text(event.spoken.get("call_id")):
                self.call_ids.add(call_id)
        item.is_done = True
        self.held -= item.held
        item.forget()

    def _take_inside(self, event: Event) -> None:
        item = event.item
        if item is None:
            self._add(Item(event.index(), {"id": event.body.get("item_id")}, ghost=True))
            return
        if item.is_done:
            return
        if event.type in PAYLOAD_DELTA:
            item.pieces.append(event.text("delta"))
            self._hold(item, len(item.pieces[-1]) + _PIECE)
        elif event.type in PAYLOAD_DONE:
            item.said = event.text(PAYLOAD_DONE[event.type])
            self._hold(item, len(item.said))
        else:
            self._take_part(item, event)

    def _take_part(self, item: Item, event: Event) -> None:
        parts, place = item.parts(event)
        if place is None or event.type == ANNOTATION:
            return
        part = event.part
        if event.type in PART_ADDED or part is None:
            self._hold(item, _PART)
            part = parts[place] = Part(_text(as_object(event.body.get("part")).get("type")))
            part.is_ghost = event.type not in PART_ADDED
        if event.type in TEXT_DELTA:
            part.pieces.append(event.text("delta"))
            self._hold(item, len(part.pieces[-1]) + _PIECE)
        elif event.type in TEXT_DONE:
            part.said = event.text(TEXT_DONE[event.type])
            self._hold(item, len(part.said))
        elif event.type in PART_DONE:
            part.is_done = True

    def _hold(self, item: Item, cost: int) -> None:
        item.held += cost
        self.held += cost


def differing(done: DoneItem, item: Any) -> list[str]:
    """The members in which an item of the final output is not the item that was done.

    Ids are left out, which have rules of their own, and sealed content: OpenAI seals it anew.
    """
    digests = _digested(as_object(item)).digests
    names = {*done.digests, *digests} - {"id", "call_id", "encrypted_content"}
    return sorted(name for name in names if done.digests.get(name) != digests.get(name))


def final_output(event: Event) -> list[Any]:
    """The `output` of a terminal event."""
    return as_list(event.response.get("output"))


def _digested(item: JSON) -> DoneItem:
    digests = {
        name: hashlib.blake2b(encoded(value), digest_size=12).digest()
        for name, value in sorted(item.items())[:_MAX_MEMBERS]
    }
    id, kind, call_id = (_text(item.get(name)) for name in ("id", "type", "call_id"))
    return DoneItem(id, kind, call_id, digests)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
