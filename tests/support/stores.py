"""Stores that fail, hang, and watch: for the tests of what is remembered."""

from __future__ import annotations

import asyncio
from typing import Any

from anyturn.store.memory import MemoryStore
from anyturn.store.records import StoreError

WRITES = (
    *("put_items", "put_response", "put_conversation", "add_to_conversation"),
    *("delete_items", "delete_response", "delete_conversation", "delete_conversation_item"),
)
READS = (
    *("get_items", "get_calls", "get_response", "get_chain"),
    *("get_conversation", "conversation_items"),
)
DISK_FULL = "the disk is full"


class TroubledStore(MemoryStore):
    """A store that notes what it is asked, and whose methods fail or hang as long as they should.

    `fails` and `hangs` name methods; `asked` are those that were called.
    """

    def __init__(self, *, fails: tuple[str, ...] = (), hangs: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.fails = set(fails)
        self.hangs = set(hangs)
        self.asked: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        method = super().__getattribute__(name)
        if name not in WRITES + READS:
            return method

        async def troubled(*args: Any, **options: Any) -> Any:
            self.asked.append(name)
            if name in self.hangs:
                await asyncio.Event().wait()
            if name in self.fails:
                raise StoreError(DISK_FULL)
            return await method(*args, **options)

        return troubled

    @property
    def written(self) -> list[str]:
        """The writing methods that were called."""
        return [name for name in self.asked if name in WRITES]


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
