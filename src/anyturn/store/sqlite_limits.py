"""How the SQLite store stays within its time and its bytes.

The limit counts pages of the file that hold something. Pages that were freed are filled again
before the file grows, and are given back to the system when the file is larger than it may be.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable

from anyturn.store import sqlite_rows
from anyturn.store.sqlite_rows import Old

# One transaction forgets no more than this: others wait for it.
_RECORDS_AT_ONCE = 256
_PAGES_AT_ONCE = 1000
_BUDGET_S = 0.2


# The index of the log, `-shm`: it grows in steps of this, and our logs need one.
_INDEX_BYTES = 32 * 1024


class Limits:
    """What may stay. `log_bytes` of `max_bytes` are left to the write-ahead log."""

    def __init__(self, max_bytes: int, since: Callable[[], float]) -> None:
        self.log_bytes = min(16 * 1024 * 1024, max_bytes // 8)
        self.max_bytes = max_bytes - self.log_bytes - _INDEX_BYTES
        self._since = since

    def make_room(self, connection: sqlite3.Connection) -> int:
        """Forget the oldest records until the rest fits, and say how many they were.

        Runs in the transaction that wrote, so that the file does not grow over its limit first.
        After a while it leaves the rest to the next transaction.
        """
        page_bytes = _number(connection, "page_size")
        most, forgotten = self.max_bytes // page_bytes, 0
        give_up_at = time.monotonic() + _BUDGET_S
        while (used := _used_pages(connection)) > most and time.monotonic() < give_up_at:
            # A little more than needed, so that not every write has to.
            excess = (used - most + most // 64) * page_bytes
            records = _first(sqlite_rows.oldest(connection, _RECORDS_AT_ONCE, math.inf), excess)
            if not records:
                break
            sqlite_rows.delete(connection, records)
            forgotten += len(records)
        excess = min(_number(connection, "page_count") - most, _PAGES_AT_ONCE)
        if excess > 0:
            give_back(connection, excess)
        return forgotten

    def forget(self, connection: sqlite3.Connection) -> int:
        """Forget some of what is too old or too much, and say how many records; 0 at the end."""
        old = sqlite_rows.oldest(connection, _RECORDS_AT_ONCE, self._since())
        sqlite_rows.delete(connection, old)
        return len(old) + self.make_room(connection)


def give_back(connection: sqlite3.Connection, pages: int = _PAGES_AT_ONCE) -> int:
    """Give free pages back to the system, and say how many are still free."""
    free = _number(connection, "freelist_count")
    # SQLite takes one step for each page, and sqlite3 no more than one step for a statement without
    # columns: a larger number would free one page just so.
    for _ in range(min(pages, free)):
        connection.execute("PRAGMA incremental_vacuum(1)")
    return max(0, free - pages)


def _first(records: list[Old], excess: int) -> list[Old]:
    """The first of these records that take as much as `excess` together."""
    for number, record in enumerate(records, 1):
        excess -= record.size
        if excess <= 0:
            return records[:number]
    return records


def _used_pages(connection: sqlite3.Connection) -> int:
    return _number(connection, "page_count") - _number(connection, "freelist_count")


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
