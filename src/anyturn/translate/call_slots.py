"""Which call does a delta belong to? Providers number, name and repeat as they please (Q44–Q57).

The rules are those of chat-providers.md section 3.1, in one place: a delta finds its slot by
index, then by id, else it belongs to the latest call; only a delta with a name opens another call
where one is already told.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Slot:
    """One call as the provider tells it. `key` numbers the calls of an answer from 0."""

    __slots__ = ("arguments", "id", "index", "key", "name", "touched_in")

    def __init__(self, key: int, index: Any, touched_in: int) -> None:
        self.key = key
        self.index = index
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []
        self.touched_in = touched_in

    def is_complete(self) -> bool:
        """Whether the arguments so far are one whole JSON object."""
        tail = self.arguments[-1].rstrip() if self.arguments else "?"
        if tail and tail[-1] != "}":
            return False  # Nearly every delta ends here; parsing each time would be quadratic.
        try:
            return isinstance(msgspec.json.decode("".join(self.arguments)), dict)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return False


class CallSlots:
    """The calls of one answer. `place` finds or opens the slot of a delta."""

    __slots__ = ("_by_id", "_by_index", "_chunk_number", "_slots")

    def __init__(self) -> None:
        self._slots: list[Slot] = []
        self._by_index: dict[Any, Slot] = {}
        self._by_id: dict[str, Slot] = {}
        self._chunk_number = 0

    def next_chunk(self) -> None:
        """Say that the following deltas come in another chunk."""
        self._chunk_number += 1

    def place(self, index: Any, call_id: str, name: str, arguments: str) -> Slot:
        """The slot of a delta, with the delta's arguments added to it.

        `index` is None, `call_id` and `name` are '' where the delta does not tell them. Id and
        name of a slot are told once: later ones are repeats.
        """
        slot = self._find(index, call_id, name, arguments)
        if slot is None:
            slot = self._open(index)
        slot.touched_in = self._chunk_number
        if call_id and not slot.id:
            slot.id = call_id
            self._by_id.setdefault(call_id, slot)
        if name and not slot.name:
            slot.name = name
        if arguments:
            slot.arguments.append(arguments)
        return slot

    def _find(self, index: Any, call_id: str, name: str, arguments: str) -> Slot | None:
        known = self._by_id.get(call_id) if call_id else None
        if index is None:
            slot = known or self._latest()
        else:
            slot = self._by_index.get(index)
            if slot is None:
                return None if name else known or self._continued(call_id)
            if known is not None and known.index == index:
                slot = known  # Q45: all calls under index 0, told apart by their ids
        if slot is None or not name:
            return slot  # Q46: a new id without a name continues
        return None if self._is_another(slot, index, call_id, name, arguments) else slot

    def _continued(self, call_id: str) -> Slot | None:
        """The latest call, if a nameless delta on a new index is more of it.

        Q55: speculative decoding splits the arguments of one call over two indexes.
        """
        latest = self._latest()
        if call_id or latest is None or not latest.name or latest.is_complete():
            return None
        return latest

    def _is_another(self, slot: Slot, index: Any, call_id: str, name: str, arguments: str) -> bool:
        """Whether a delta with a name opens another call than the one told in its slot."""
        if call_id and slot.id and call_id != slot.id:
            return True  # Q45
        if not slot.name:
            return False  # Q51: the name comes late
        if name != slot.name:
            return True
        if call_id and slot.id:
            return False  # Q48: id and name are repeated
        if arguments.lstrip().startswith("{") and slot.is_complete():
            return True  # a second object could only break the first (F42)
        if slot.id or index is not None:
            return False  # Q48: only the name is repeated
        return slot.touched_in == self._chunk_number or slot.is_complete()

    def _latest(self) -> Slot | None:
        return self._slots[-1] if self._slots else None

    def _open(self, index: Any) -> Slot:
        slot = Slot(len(self._slots), index, self._chunk_number)
        self._slots.append(slot)
        if index is not None:
            self._by_index[index] = slot
        return slot
