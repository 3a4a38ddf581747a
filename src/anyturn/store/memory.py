"""A store in the memory of the process: bounded, fast, and gone with the process."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import TypeVar, cast

from anyturn.store.records import (
    MONTH_S,
    Clock,
    MissingLink,
    Order,
    Stats,
    StoredConversation,
    StoredItem,
    StoredResponse,
    StoreError,
)

# What a record takes beside its bodies and names: objects, keys and places in dictionaries.
_OVERHEAD = 800


class _Conversation:
    """A conversation with its items, in order."""

    def __init__(self, head: StoredConversation) -> None:
        self.head = head
        self.items: dict[str, StoredItem] = {}


_Value = StoredItem | StoredResponse | _Conversation
_Key = tuple[type[_Value], str, str]
V = TypeVar("V", StoredItem, StoredResponse, _Conversation)


class _Record:
    """A value, when it was last put, and what it takes."""

    __slots__ = ("put_at", "size", "value")

    def __init__(self, value: _Value, put_at: float, size: int) -> None:
        self.value, self.put_at, self.size = value, put_at, size


class MemoryStore:
    """A `Store` that forgets everything when the process ends.

    `max_bytes` bounds bodies, names and an estimate of what their objects take. For one event
    loop: methods do not wait, so each of them is atomic.
    """

    def __init__(
        self, *, ttl_s: float = MONTH_S, max_bytes: int = 64 * 1024 * 1024, now: Clock = time.time
    ) -> None:
        self._ttl_s, self._max_bytes, self._now = ttl_s, max_bytes, now
        # In the order in which they were last put: the oldest comes first. A plain dictionary takes
        # ever longer to find its first member when members go in front.
        self._records: OrderedDict[_Key, _Record] = OrderedDict()
        # The ids of the items with a call id, the last put last.
        self._calls: dict[tuple[str, str], dict[str, None]] = {}
        self._bytes = 0

    # ------------------------------------------------------------ items

    async def put_items(self, owner: str, items: Sequence[StoredItem]) -> None:
        """Remember items; one with a known id replaces it."""
        self._refuse_too_much(sum(_item_size(owner, item) for item in items))
        for item in items:
            self._put(owner, item.id, item, _item_size(owner, item))
            if item.call_id:
                self._calls.setdefault((owner, item.call_id), {})[item.id] = None
        self._forget()

    async def get_items(self, owner: str, ids: Collection[str]) -> dict[str, bytes]:
        """The bodies of those of these items that are known."""
        found = {id: self._find(StoredItem, owner, id) for id in ids}
        return {id: item.body for id, item in found.items() if item}

    async def get_calls(self, owner: str, call_ids: Collection[str]) -> dict[str, bytes]:
        """The bodies of the calls with these call ids, the last put where there are several."""
        found = {}
        for call_id in call_ids:
            for id in reversed(self._calls.get((owner, call_id), {})):
                if item := self._find(StoredItem, owner, id):
                    found[call_id] = item.body
                    break
        return found

    async def delete_items(self, owner: str, ids: Collection[str]) -> int:
        """Forget items; returns how many of them were known."""
        return sum(self._delete(StoredItem, owner, id) for id in ids)

    # ------------------------------------------------------------ responses

    async def put_response(self, owner: str, response: StoredResponse) -> None:
        """Remember a response; one with a known id replaces it."""
        size = _size(owner, response.id, response.parent, response.conversation)
        size += len(response.body) + len(response.input) + len(response.events)
        self._refuse_too_much(size)
        self._put(owner, response.id, response, size)
        self._forget()

    async def get_response(self, owner: str, id: str) -> StoredResponse | None:
        """The response, or None."""
        return self._find(StoredResponse, owner, id)

    async def get_chain(self, owner: str, id: str, most: int) -> list[StoredResponse]:
        """The response and everything it continues, the first one first, without `events`."""
        chain: list[StoredResponse] = []
        while id or not chain:
            response = self._find(StoredResponse, owner, id)
            if response is None:
                raise MissingLink(id)
            if len(chain) >= most:
                raise StoreError(f"A response continues more than {most} others.")
            chain.append(_without_events(response))
            id = response.parent
        return chain[::-1]

    async def delete_response(self, owner: str, id: str) -> bool:
        """Forget a response; False when it was not known."""
        return self._delete(StoredResponse, owner, id)

    # ------------------------------------------------------------ conversations

    async def put_conversation(self, owner: str, conversation: StoredConversation) -> None:
        """Remember a conversation; one with a known id is replaced and keeps its items."""
        kept = self._find(_Conversation, owner, conversation.id)
        new = _Conversation(conversation)
        new.items = kept.items if kept else {}
        size = _conversation_size(owner, new)
        self._refuse_too_much(size)
        self._put(owner, conversation.id, new, size)
        self._forget()

    async def get_conversation(self, owner: str, id: str) -> StoredConversation | None:
        """The conversation, or None."""
        found = self._find(_Conversation, owner, id)
        return found.head if found else None

    async def delete_conversation(self, owner: str, id: str) -> bool:
        """Forget a conversation and its items; False when it was not known."""
        return self._delete(_Conversation, owner, id)

    async def add_to_conversation(self, owner: str, id: str, items: Sequence[StoredItem]) -> bool:
        """Append items in this order; False when the conversation is not known."""
        found = self._find(_Conversation, owner, id)
        if found is None:
            return False
        size = self._records[_Conversation, owner, id].size
        new = {item.id: item for item in items}
        size += sum(_item_size("", item) for item in new.values())
        size -= sum(_item_size("", found.items[known]) for known in new if known in found.items)
        self._refuse_too_much(size)
        found.items.update(new)
        self._put(owner, id, found, size)
        self._forget()
        return True

    async def conversation_items(
        self, owner: str, id: str, *, after: str = "", limit: int = 0, order: Order = "asc"
    ) -> list[StoredItem]:
        """Items of a conversation in order, those behind the item `after`; `limit` 0 means all."""
        found = self._find(_Conversation, owner, id)
        if found is None or (after and after not in found.items):
            return []
        forward = order == "asc"
        items: Iterable[StoredItem] = found.items.values()
        items = iter(items) if forward else reversed(found.items.values())
        if after:
            next(item for item in items if item.id == after)
        return list(islice(items, limit or None))

    async def delete_conversation_item(self, owner: str, id: str, item_id: str) -> bool:
        """Take one item out of a conversation; False when it was not there."""
        found = self._find(_Conversation, owner, id)
        item = found.items.pop(item_id, None) if found else None
        if item is None:
            return False
        size = _item_size("", item)
        self._records[_Conversation, owner, id].size -= size
        self._bytes -= size
        return True

    # ------------------------------------------------------------ the whole

    async def stats(self) -> Stats:
        """Count what is there."""
        living = [key for key, record in self._records.items() if self._lives(record)]
        kinds = [kind for kind, _, _ in living]
        responses = (self._find(StoredResponse, key[1], key[2]) for key in living)
        return Stats(
            kind="memory",
            items=kinds.count(StoredItem),
            responses=kinds.count(StoredResponse),
            conversations=kinds.count(_Conversation),
            bytes=self._bytes,
            oldest=min((r.created_at for r in responses if r), default=None),
        )

    async def prune(self) -> int:
        """Forget what is too old or too much now, and say how many records that were."""
        return self._forget()

    async def close(self) -> None:
        """Let go of everything."""
        self._records.clear()
        self._calls.clear()
        self._bytes = 0

    def _lives(self, record: _Record) -> bool:
        return record.put_at > self._now() - self._ttl_s

    def _find(self, kind: type[V], owner: str, id: str) -> V | None:
        record = self._records.get((kind, owner, id))
        return cast(V, record.value) if record and self._lives(record) else None

    def _refuse_too_much(self, size: int) -> None:
        if size > self._max_bytes:
            raise StoreError(
                f"The store in memory takes {self._max_bytes} bytes at most, not {size} at once."
            )

    def _put(self, owner: str, id: str, value: _Value, size: int) -> None:
        key = (type(value), owner, id)
        self._drop(key)
        self._records[key] = _Record(value, self._now(), size)
        self._bytes += size

    def _delete(self, kind: type[_Value], owner: str, id: str) -> bool:
        record = self._drop((kind, owner, id))
        return record is not None and self._lives(record)

    def _drop(self, key: _Key) -> _Record | None:
        record = self._records.pop(key, None)
        if record is None:
            return None
        self._bytes -= record.size
        if isinstance(record.value, StoredItem) and record.value.call_id:
            self._drop_call(key[1], record.value)
        return record

    def _drop_call(self, owner: str, item: StoredItem) -> None:
        ids = self._calls[owner, item.call_id]
        del ids[item.id]
        if not ids:
            del self._calls[owner, item.call_id]

    def _forget(self) -> int:
        count = 0
        while self._records:
            key, oldest = next(iter(self._records.items()))
            if self._lives(oldest) and self._bytes <= self._max_bytes:
                break
            self._drop(key)
            count += 1
        return count


def _size(*names: str) -> int:
    return _OVERHEAD + sum(map(len, names))


def _item_size(owner: str, item: StoredItem) -> int:
    return _size(owner, item.id, item.call_id) + len(item.body)


def _conversation_size(owner: str, conversation: _Conversation) -> int:
    head = conversation.head
    items = sum(_item_size("", item) for item in conversation.items.values())
    return _size(owner, head.id) + len(head.metadata) + items


def _without_events(response: StoredResponse) -> StoredResponse:
    if not response.events:
        return response
    return StoredResponse(
        id=response.id,
        created_at=response.created_at,
        body=response.body,
        input=response.input,
        parent=response.parent,
        conversation=response.conversation,
    )
