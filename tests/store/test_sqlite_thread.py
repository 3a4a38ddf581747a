from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from anyturn.store import StoreError
from anyturn.store.records import StoredItem
from anyturn.store.sqlite import SqliteStore


@pytest.fixture
async def store(tmp_path: Path):
    opened = SqliteStore(tmp_path / "s.db", lock_wait_s=0.1)
    await opened.stats()
    yield opened
    await opened.close()


class Gate:
    """A job that keeps the writer busy until it is opened."""

    def __init__(self, store: SqliteStore) -> None:
        self._reached, self._open = threading.Event(), threading.Event()
        self.passed = asyncio.ensure_future(store._writer.run(self._wait))

    def _wait(self, _: sqlite3.Connection) -> None:
        self._reached.set()
        self._open.wait(20)

    async def reached(self) -> None:
        await asyncio.to_thread(self._reached.wait, 20)

    def open(self) -> None:
        self._open.set()


@pytest.fixture
async def gate(store: SqliteStore) -> Iterator[Gate]:
    """The writer of the store is busy."""
    made = Gate(store)
    await made.reached()
    yield made
    made.open()
    await made.passed


def put(store: SqliteStore, id: str) -> asyncio.Future[None]:
    return asyncio.ensure_future(store.put_items("me", [StoredItem(id, b"1")]))


async def transactions(store: SqliteStore) -> list[str]:
    """What the writer's connection does from now on."""
    done: list[str] = []
    await store._writer.run(lambda connection: connection.set_trace_callback(done.append))
    return done


async def test_puts_that_wait_share_one_transaction(store: SqliteStore) -> None:
    done = await transactions(store)
    gate = Gate(store)
    await gate.reached()
    puts = [put(store, f"i{n}") for n in range(100)]
    await asyncio.sleep(0)
    done.clear()
    gate.open()
    await asyncio.gather(gate.passed, *puts)
    # The one of the gate, and one for all of them.
    assert done.count("COMMIT") == 2
    assert (await store.stats()).items == 100


async def test_a_put_returns_only_after_its_commit(store: SqliteStore) -> None:
    done = await transactions(store)
    await put(store, "a")
    assert done[-1] == "COMMIT"


async def test_the_loop_goes_on_and_reads_go_on_while_the_writer_is_busy(
    store: SqliteStore, gate: Gate
) -> None:
    waiting = put(store, "a")
    assert await store.get_items("me", ["a"]) == {}
    assert not waiting.done()
    gate.open()
    await waiting
    assert await store.get_items("me", ["a"]) == {"a": b"1"}


async def test_a_caller_that_leaves_does_not_take_the_others_along(
    store: SqliteStore, gate: Gate
) -> None:
    puts = [put(store, id) for id in ("a", "b", "c")]
    await asyncio.sleep(0)
    puts[1].cancel()
    gate.open()
    ends = await asyncio.gather(*puts, return_exceptions=True)
    assert [type(end) for end in ends] == [type(None), asyncio.CancelledError, type(None)]
    assert await store.get_items("me", ["a", "c"]) == {"a": b"1", "c": b"1"}


async def test_the_queue_is_bounded(store: SqliteStore, gate: Gate) -> None:
    puts = [put(store, f"i{n}") for n in range(1100)]
    done, _ = await asyncio.wait(puts, timeout=10, return_when=asyncio.FIRST_EXCEPTION)
    refused = {str(one.exception()) for one in done}
    assert refused == {
        f"The store {store.path} is too slow: 1024 others wait, for more than 0.2 s."
    }
    gate.open()
    ends = await asyncio.gather(*puts, return_exceptions=True)
    kept = sum(not isinstance(end, StoreError) for end in ends)
    # The gate's own job is one of those that wait, unless the thread was quick to tell its end.
    assert kept in (1023, 1024)
    assert (await store.stats()).items == kept
    await put(store, "another")


async def test_one_bad_job_fails_alone(store: SqliteStore, gate: Gate) -> None:
    good = [put(store, "a"), put(store, "b")]
    bad = asyncio.ensure_future(store._writer.run(lambda c: c.execute("SELECT * FROM nowhere")))
    more = put(store, "c")
    await asyncio.sleep(0)
    gate.open()
    await asyncio.gather(*good, more)
    with pytest.raises(StoreError, match=r"s\.db failed: no such table: nowhere\."):
        await bad
    assert (await store.stats()).items == 3


async def test_what_is_too_old_is_forgotten_without_anybody_asking(
    tmp_path: Path, clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anyturn.store.sqlite._PRUNE_EVERY_S", 0.01)
    store = SqliteStore(tmp_path / "s.db", ttl_s=10, now=clock)
    await store.put_items("me", [StoredItem(f"i{n}", b"1") for n in range(600)])
    clock.move(10)
    async with asyncio.timeout(20):
        while await store._reader.run(
            lambda c: c.execute("SELECT count(*) FROM items").fetchone()[0]
        ):
            await asyncio.sleep(0.01)
    await store.close()


async def test_no_thread_is_left_behind(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    assert [one for one in threading.enumerate() if one.name == "anyturn-store"] == []
    await store.put_items("me", [StoredItem("a", b"1")])
    await store.get_items("me", ["a"])
    assert len([one for one in threading.enumerate() if one.name == "anyturn-store"]) == 2
    await store.close()
    assert [one for one in threading.enumerate() if one.name == "anyturn-store"] == []
