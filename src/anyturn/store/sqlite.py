"""A store in one SQLite file: it survives restarts, and several processes may share it.

One thread writes and one reads, each with its own connection, and the event loop never waits for
the disk. Why not a library for that: docs/decisions/0008-sqlite-with-a-thread-of-its-own.md.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Collection, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec

from anyturn.store import sqlite_rows
from anyturn.store.records import (
    MONTH_S,
    Clock,
    Order,
    Stats,
    StoredConversation,
    StoredItem,
    StoredResponse,
    StoreError,
)
from anyturn.store.sqlite_file import DatabaseFile
from anyturn.store.sqlite_limits import Limits, give_back
from anyturn.store.sqlite_thread import DatabaseThread

_PRUNE_EVERY_S = 600.0


class SqliteStore:
    """A `Store` in the file `path`, with mode 0600 in a folder that is made with 0700.

    A put returns after COMMIT: the end of the process, however sudden, loses nothing of it; a loss
    of power may lose the last seconds, and never damages the file. `max_bytes` bounds the file
    together with its log. `lock_wait_s` is how long another process may keep the file locked.

    The file is opened by the first method that is called, and again after a fault: a store whose
    disk was full or whose file was moved away goes on as soon as it can.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        ttl_s: float = MONTH_S,
        max_bytes: int = 1024 * 1024 * 1024,
        now: Clock = time.time,
        lock_wait_s: float = 5.0,
    ) -> None:
        self._ttl_s, self._now = ttl_s, now
        self._limits = Limits(max_bytes, self._since)
        self._file = DatabaseFile(
            Path(path), lock_wait_s=lock_wait_s, log_bytes=self._limits.log_bytes
        )
        self._writer = DatabaseThread(
            self._file,
            begin="BEGIN IMMEDIATE",
            queue_wait_s=2 * lock_wait_s,
            at_end=self._limits.make_room,
            afterwards=self._file.shorten_log,
            now_and_then=self._limits.forget,
            rest_s=_PRUNE_EVERY_S,
        )
        self._reader = DatabaseThread(self._file, begin="BEGIN", queue_wait_s=2 * lock_wait_s)
        self._writer.sibling, self._reader.sibling = self._reader, self._writer

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    # ------------------------------------------------------------ items

    async def put_items(self, owner: str, items: Sequence[StoredItem]) -> None:
        """Remember items; one with a known id replaces it."""
        self._refuse_too_much(*(item.body for item in items))
        now = self._now()
        await self._writer.run(partial(sqlite_rows.put_items, owner=owner, items=items, now=now))

    async def get_items(self, owner: str, ids: Collection[str]) -> dict[str, bytes]:
        """The bodies of those of these items that are known."""
        return await self._reader.run(
            partial(sqlite_rows.get_items, owner=owner, ids=ids, since=self._since())
        )

    async def get_calls(self, owner: str, call_ids: Collection[str]) -> dict[str, bytes]:
        """The bodies of the calls with these call ids, the last put where there are several."""
        return await self._reader.run(
            partial(sqlite_rows.get_calls, owner=owner, call_ids=call_ids, since=self._since())
        )

    async def delete_items(self, owner: str, ids: Collection[str]) -> int:
        """Forget items; returns how many of them were known."""
        return await self._writer.run(
            partial(sqlite_rows.delete_items, owner=owner, ids=ids, since=self._since())
        )

    # ------------------------------------------------------------ responses

    async def put_response(self, owner: str, response: StoredResponse) -> None:
        """Remember a response; one with a known id replaces it."""
        self._refuse_too_much(response.body, response.input, response.events)
        now = self._now()
        await self._writer.run(
            partial(sqlite_rows.put_response, owner=owner, response=response, now=now)
        )

    async def get_response(self, owner: str, id: str) -> StoredResponse | None:
        """The response, or None."""
        return await self._reader.run(
            partial(sqlite_rows.get_response, owner=owner, id=id, since=self._since())
        )

    async def get_chain(self, owner: str, id: str, most: int) -> list[StoredResponse]:
        """The response and everything it continues, the first one first, without `events`."""
        return await self._reader.run(
            partial(sqlite_rows.get_chain, owner=owner, id=id, most=most, since=self._since())
        )

    async def delete_response(self, owner: str, id: str) -> bool:
        """Forget a response; False when it was not known."""
        return await self._writer.run(
            partial(sqlite_rows.delete_response, owner=owner, id=id, since=self._since())
        )

    # ------------------------------------------------------------ conversations

    async def put_conversation(self, owner: str, conversation: StoredConversation) -> None:
        """Remember a conversation; one with a known id is replaced and keeps its items."""
        self._refuse_too_much(conversation.metadata)
        job = partial(sqlite_rows.put_conversation, owner=owner, conversation=conversation)
        await self._writer.run(partial(job, now=self._now(), since=self._since()))

    async def get_conversation(self, owner: str, id: str) -> StoredConversation | None:
        """The conversation, or None."""
        return await self._reader.run(
            partial(sqlite_rows.get_conversation, owner=owner, id=id, since=self._since())
        )

    async def delete_conversation(self, owner: str, id: str) -> bool:
        """Forget a conversation and its items; False when it was not known."""
        return await self._writer.run(
            partial(sqlite_rows.delete_conversation, owner=owner, id=id, since=self._since())
        )

    async def add_to_conversation(self, owner: str, id: str, items: Sequence[StoredItem]) -> bool:
        """Append items in this order; False when the conversation is not known."""
        self._refuse_too_much(*(item.body for item in items))
        job = partial(sqlite_rows.add_to_conversation, owner=owner, id=id, items=items)
        return await self._writer.run(partial(job, now=self._now(), since=self._since()))

    async def conversation_items(
        self, owner: str, id: str, *, after: str = "", limit: int = 0, order: Order = "asc"
    ) -> list[StoredItem]:
        """Items of a conversation in order, those behind the item `after`; `limit` 0 means all."""
        job = partial(sqlite_rows.conversation_items, owner=owner, id=id, after=after)
        return await self._reader.run(partial(job, limit=limit, order=order, since=self._since()))

    async def delete_conversation_item(self, owner: str, id: str, item_id: str) -> bool:
        """Take one item out of a conversation; False when it was not there."""
        job = partial(sqlite_rows.delete_conversation_item, owner=owner, id=id, item_id=item_id)
        return await self._writer.run(partial(job, since=self._since()))

    # ------------------------------------------------------------ the whole

    async def stats(self) -> Stats:
        """Count what is there. `bytes` is the file with its log, as they are on the disk."""
        counted = await self._reader.run(partial(sqlite_rows.count, since=self._since()))
        return msgspec.structs.replace(counted, bytes=self._file.bytes_on_disk())

    async def prune(self) -> int:
        """Forget what is too old or too much now, and say how many records that were.

        In many short transactions: other writers get their turn in between. The file keeps its
        size and fills again; `vacuum` makes it smaller.
        """
        forgotten = 0
        while some := await self._writer.run(self._limits.forget):
            forgotten += some
        return forgotten

    async def vacuum(self) -> int:
        """Give the room of what was forgotten back to the system; returns how many bytes that was.

        Online and in short transactions, unlike SQLite's own VACUUM, which keeps every writer out
        and needs the room of the file once more.
        """
        before = await self._writer.run(lambda _: self._file.bytes_on_disk())
        while await self._writer.run(give_back):
            pass
        await asyncio.to_thread(self._write_log_back)
        return max(0, before - self._file.bytes_on_disk())

    async def close(self) -> None:
        """Write what waits, and let go of the file."""
        await self._reader.close()
        await self._writer.close()

    def _write_log_back(self) -> None:
        # Only then the file shrinks. No transaction can do it, so it has a connection for itself.
        try:
            connection, _ = self._file.connect()
            with closing(connection):
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except (sqlite3.Error, OSError) as error:
            raise self._file.explain(error) from None

    def _since(self) -> float:
        return self._now() - self._ttl_s

    def _refuse_too_much(self, *bodies: bytes) -> None:
        size = sum(map(len, bodies))
        if size > self._limits.max_bytes:
            raise StoreError(
                f"The store {self.path} takes {self._limits.max_bytes} bytes at most, "
                f"not {size} at once."
            )
