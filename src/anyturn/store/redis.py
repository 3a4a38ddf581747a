"""The store in Redis or Valkey, for more than one gateway (docs/decisions/0009-redis.md).

Keys, all of one owner in one slot of a cluster (`O` stands for `anyturn:{owner}:`):

    O i:ID     hash    an item: body, call, put
    O k:CALL   zset    the ids of the items with this call id, ranked by when they were put
    O r:ID     hash    a response: record (without events), events, parent, made, put
    O c:ID     hash    a conversation: record, put
    O o:ID     zset    its item ids in order
    O b:ID     hash    its items: id → record

`put` is when it was put, in milliseconds. Every key expires.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import msgspec

from anyturn.store.records import (
    MissingLink,
    Order,
    Stats,
    StoredConversation,
    StoredItem,
    StoredResponse,
    StoreError,
)
from anyturn.store.redis_scripts import (
    ADD,
    AGE,
    DELETE_ITEMS,
    GET_CALLS,
    PAGE,
    PUT_ITEMS,
    WALK,
)

if TYPE_CHECKING:
    from anyturn.store.redis_server import RedisServer

_TTL_S = 30 * 24 * 3600
_HOW_TO_INSTALL = (
    "The Redis store needs the Python package redis, which is not installed: pip install redis."
)
# What one answer of Redis holds at most, about: it does nothing else while it collects that.
_MOST_RECORDS = 500
_MOST_BYTES = 4 * 1024 * 1024
_SCAN = 500

_encode = msgspec.msgpack.encode
_Record = TypeVar("_Record")


class RedisStore:
    """Keep records in a Redis or Valkey server; see `Store` for the methods.

    Every operation ends within `timeout_s`; `stats` and `prune`, which look at everything, ask many
    times, each within that time. Nothing is tried again: after a `StoreError` the next operation
    connects anew. What was put lives as long as the server keeps it: its persistence and
    `maxmemory` are its own settings, there is no limit of bytes here. A conversation lives on when
    items are added to it.
    """

    def __init__(self, server: RedisServer, ttl_s: float) -> None:
        self._server = server
        self._ttl_ms = max(1, int(ttl_s * 1000))
        script = server.client.register_script
        self._put_items, self._get_calls = script(PUT_ITEMS), script(GET_CALLS)
        self._delete_items, self._walk = script(DELETE_ITEMS), script(WALK)
        self._add, self._page, self._age = script(ADD), script(PAGE), script(AGE)

    @classmethod
    async def open(cls, url: str, *, ttl_s: float = _TTL_S, timeout_s: float = 2.0) -> RedisStore:
        """Connect to the server at `redis://`, `rediss://` or `unix://`.

        Raises `StoreError` when the package `redis` is not installed, the URL cannot be read, or
        the server does not answer.
        """
        store = cls.at(url, ttl_s=ttl_s, timeout_s=timeout_s)
        try:
            async with store._server.asking() as redis:
                await redis.ping()
        except BaseException:
            await store.close()
            raise
        return store

    @classmethod
    def at(cls, url: str, *, ttl_s: float = _TTL_S, timeout_s: float = 2.0) -> RedisStore:
        """The store of a server that is not asked yet; raises as `open` does before it asks."""
        try:
            from anyturn.store.redis_server import RedisServer
        except ModuleNotFoundError:
            raise StoreError(_HOW_TO_INSTALL) from None
        return cls(RedisServer(url, timeout_s), ttl_s)

    async def put_items(self, owner: str, items: Sequence[StoredItem]) -> None:
        """Remember items; one with a known id replaces it."""
        if not items:
            return
        args: list[Any] = [self._ttl_ms, _now_ms()]
        for item in items:
            args += (item.id, item.call_id, item.body)
        async with self._server.asking():
            await self._put_items([_own(owner)], args)

    async def get_items(self, owner: str, ids: Collection[str]) -> dict[str, bytes]:
        """The bodies of those of these items that are known."""
        if not ids:
            return {}
        own = _own(owner)
        async with self._server.asking() as redis, redis.pipeline(transaction=False) as pipe:
            for id in ids:
                pipe.hget(f"{own}i:{id}", "body")
            return _known(ids, await pipe.execute())

    async def get_calls(self, owner: str, call_ids: Collection[str]) -> dict[str, bytes]:
        """The bodies of the calls with these call ids, the last put where there are several."""
        if not call_ids:
            return {}
        async with self._server.asking():
            return _known(call_ids, await self._get_calls([_own(owner)], list(call_ids)))

    async def delete_items(self, owner: str, ids: Collection[str]) -> int:
        """Forget items; returns how many of them were known."""
        if not ids:
            return 0
        async with self._server.asking():
            return int(await self._delete_items([_own(owner)], list(ids)))

    async def put_response(self, owner: str, response: StoredResponse) -> None:
        """Remember a response; one with a known id replaces it."""
        key = f"{_own(owner)}r:{response.id}"
        fields: dict[Any, Any] = {
            "record": _encode(msgspec.structs.replace(response, events=b"")),
            "events": response.events,
            "parent": response.parent,
            "made": response.created_at,
            "put": _now_ms(),
        }
        async with self._server.asking() as redis, redis.pipeline() as pipe:
            pipe.hset(key, mapping=fields)
            pipe.pexpire(key, self._ttl_ms)
            await pipe.execute()

    async def get_response(self, owner: str, id: str) -> StoredResponse | None:
        """The response, or None."""
        async with self._server.asking() as redis:
            record, events = await redis.hmget(f"{_own(owner)}r:{id}", "record", "events")
        if record is None or events is None:
            return None
        return msgspec.structs.replace(self._read(record, StoredResponse), events=events)

    async def get_chain(self, owner: str, id: str, most: int) -> list[StoredResponse]:
        """The response and everything it continues, the first one first, without `events`."""
        own, links, seen = _own(owner), list[StoredResponse](), set[str]()
        async with self._server.asking():
            while True:
                # One more than allowed, to tell a long chain from a broken one.
                part = min(_MOST_RECORDS, most + 1 - len(links))
                state, next_id, records = await self._walk([own], [id, part, _MOST_BYTES])
                if state:
                    raise MissingLink(next_id.decode())
                for link in (self._read(record, StoredResponse) for record in records):
                    if link.id in seen:
                        raise StoreError("A chain of stored responses runs in a circle.")
                    seen.add(link.id)
                    links.append(link)
                if len(links) > most:
                    raise StoreError(f"A chain of stored responses has more than {most} links.")
                if not next_id:
                    return links[::-1]
                id = next_id.decode()

    async def delete_response(self, owner: str, id: str) -> bool:
        """Forget a response; False when it was not known."""
        async with self._server.asking() as redis:
            return bool(await redis.delete(f"{_own(owner)}r:{id}"))

    async def put_conversation(self, owner: str, conversation: StoredConversation) -> None:
        """Remember a conversation; one with a known id is replaced and keeps its items."""
        key, *parts = _conversation(owner, conversation.id)
        async with self._server.asking() as redis, redis.pipeline() as pipe:
            pipe.hset(key, mapping={"record": _encode(conversation), "put": _now_ms()})
            for one in (key, *parts):
                pipe.pexpire(one, self._ttl_ms)
            await pipe.execute()

    async def get_conversation(self, owner: str, id: str) -> StoredConversation | None:
        """The conversation, or None."""
        async with self._server.asking() as redis:
            record = await redis.hget(_conversation(owner, id)[0], "record")
        return None if record is None else self._read(record, StoredConversation)

    async def delete_conversation(self, owner: str, id: str) -> bool:
        """Forget a conversation and its items; False when it was not known."""
        key, *parts = _conversation(owner, id)
        async with self._server.asking() as redis, redis.pipeline() as pipe:
            pipe.unlink(key)
            pipe.unlink(*parts)
            return bool((await pipe.execute())[0])

    async def add_to_conversation(self, owner: str, id: str, items: Sequence[StoredItem]) -> bool:
        """Append items in this order; False when the conversation is not known."""
        args: list[Any] = [id, self._ttl_ms, _now_ms()]
        for item in items:
            args += (item.id, _encode(item))
        async with self._server.asking():
            return bool(await self._add([_own(owner)], args))

    async def conversation_items(
        self, owner: str, id: str, *, after: str = "", limit: int = 0, order: Order = "asc"
    ) -> list[StoredItem]:
        """Items of a conversation in order, those behind the item `after`; `limit` 0 means all.

        Nothing stands behind an item that the conversation does not hold.
        """
        found: list[StoredItem] = []
        place: bytes | str = ""
        async with self._server.asking():
            while True:
                part = min(_MOST_RECORDS, limit - len(found)) if limit else _MOST_RECORDS
                args = [id, order, after, place, part, _MOST_BYTES]
                place, records = await self._page([_own(owner)], args)
                found += [self._read(record, StoredItem) for record in records]
                if not place or len(found) == limit:
                    return found
                after = ""

    async def delete_conversation_item(self, owner: str, id: str, item_id: str) -> bool:
        """Take one item out of a conversation; False when it was not there."""
        _, order, records = _conversation(owner, id)
        async with self._server.asking() as redis, redis.pipeline() as pipe:
            pipe.zrem(order, item_id)
            pipe.hdel(records, item_id)
            return bool((await pipe.execute())[0])

    async def stats(self) -> Stats:
        """Count what is there, while it may change.

        Items are those of `put_items`; those of conversations count with their bytes only.
        """
        kinds, size, oldest = Counter[str](), 0, list[int]()
        async for keys in self._all_keys():
            responses = [key for key in keys if _kind(key) == "r"]
            async with self._server.asking() as redis, redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.memory_usage(key)
                for key in responses:
                    pipe.hget(key, "made")
                answers = await pipe.execute()
            kinds.update(map(_kind, keys))
            size += sum(answer or 0 for answer in answers[: len(keys)])
            oldest = sorted([*oldest, *(int(made) for made in answers[len(keys) :] if made)])[:1]
        counts = (kinds["i"], kinds["r"], kinds["c"])
        return Stats("redis", *counts, bytes=size, oldest=oldest[0] if oldest else None)

    async def prune(self) -> int:
        """Forget what is too old by today's `ttl_s`, and say how many records that were.

        Redis forgets by itself what was too old by the `ttl_s` of the day it was put, and what is
        too much for its `maxmemory` as it is told to.
        """
        forgotten = 0
        async for keys in self._all_keys():
            async with self._server.asking() as redis, redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    if _kind(key) in "irc":
                        await self._age(_with_parts(key), [self._ttl_ms, _now_ms()], client=pipe)
                forgotten += sum(await pipe.execute())
        return forgotten

    async def close(self) -> None:
        """Let go of the connections."""
        await self._server.close()

    async def _all_keys(self) -> AsyncIterator[list[Any]]:
        """The keys of all owners, many at a time; one that is met twice is Redis's way of SCAN."""
        cursor, keys = 0, list[Any]()
        while True:
            async with self._server.asking() as redis:
                cursor, keys = await redis.scan(cursor, match="anyturn:{*", count=_SCAN)
            if keys:
                yield keys
            if not cursor:
                return

    def _read(self, record: Any, kind: type[_Record]) -> _Record:
        try:
            return msgspec.msgpack.decode(record, type=kind)
        except msgspec.MsgspecError:
            raise StoreError(
                f"Redis at {self._server.name} holds a record that this version cannot read."
            ) from None


def _own(owner: str) -> str:
    """What all keys of an owner begin with.

    Between the braces stands the hash tag: a cluster keeps keys with the same tag in the same slot.
    It must not be empty or hold a brace.
    """
    return f"anyturn:{{{quote(owner, safe='') or '%'}}}:"


def _conversation(owner: str, id: str) -> tuple[str, str, str]:
    """The keys of a conversation, of the order of its items, and of its items."""
    own = _own(owner)
    return f"{own}c:{id}", f"{own}o:{id}", f"{own}b:{id}"


def _kind(key: bytes) -> str:
    return key[key.index(b"}:") + 2 :].partition(b":")[0].decode()


def _with_parts(key: bytes) -> list[bytes]:
    """A record's key, and for a conversation those of its items."""
    own, c, id = key.partition(b"}:c:")
    return [key, own + b"}:o:" + id, own + b"}:b:" + id] if c else [key]


def _known(ids: Collection[str], bodies: Sequence[bytes | None]) -> dict[str, bytes]:
    pairs = zip(ids, bodies, strict=True)
    return {id: body for id, body in pairs if body is not None}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
