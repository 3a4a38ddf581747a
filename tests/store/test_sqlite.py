"""What is particular to the SQLite store: processes, sudden ends, faults of the disk, its size."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from anyturn.store import StoreError, sqlite_rows
from anyturn.store.records import MissingLink, StoredConversation, StoredItem, StoredResponse
from anyturn.store.sqlite import SqliteStore
from support import store_processes

MIB = 1024 * 1024

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process of `support/store_processes.py`; it ends with the test at the latest."""
    started: list[subprocess.Popen[str]] = []

    def start_process(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, store_processes.__file__, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start_process
    for process in started:
        with process:
            process.kill()


def lines(process: subprocess.Popen[str]) -> list[str]:
    """What a process says until its end, which has to be a good one."""
    said, _ = process.communicate(timeout=50)
    assert process.returncode == 0
    return said.splitlines()


def items(count: int, size: int = 1000) -> list[StoredItem]:
    """Items that no compression makes smaller."""
    return [StoredItem(f"i{n}", os.urandom(size)) for n in range(count)]


def size_of(path: Path) -> int:
    return sum(part.stat().st_size for part in path.parent.glob(f"{path.name}*"))


# ---------------------------------------------------------------- sudden ends


async def test_a_process_that_is_killed_loses_nothing_that_was_acknowledged(
    start: Start, tmp_path: Path
) -> None:
    path, acknowledged = tmp_path / "s.db", []
    for turn in range(12):
        process = start("write", path, f"t{turn}")
        assert process.stdout is not None
        acknowledged += [process.stdout.readline().strip() for _ in range(20 + 13 * turn)]
        process.kill()
        # What it still said before its end counts as well.
        acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]
        process.wait()
    store = SqliteStore(path)
    found = await store.get_items("me", acknowledged)
    assert len(acknowledged) > 12 * 20
    assert [id for id in acknowledged if found.get(id) != store_processes.BODY] == []
    await store.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    whole = StoredResponse(id="r", created_at=1, body=b"x" * 9000, input=b"[1]", events=b"e")
    first = SqliteStore(path)
    await first.put_items("me", [StoredItem("a", b"1", "call")])
    await first.put_response("me", whole)
    await first.put_conversation("me", StoredConversation("c", 1))
    await first.add_to_conversation("me", "c", [StoredItem("x", b"2")])
    await first.close()
    second = SqliteStore(path)
    assert await second.get_calls("me", ["call"]) == {"call": b"1"}
    assert await second.get_response("me", "r") == whole
    assert await second.conversation_items("me", "c") == [StoredItem("x", b"2")]
    await second.close()


async def test_a_store_that_is_closed_refuses_in_words_and_has_finished_what_waited(
    tmp_path: Path,
) -> None:
    store = SqliteStore(tmp_path / "s.db")
    puts = [asyncio.ensure_future(store.put_items("me", [one])) for one in items(50)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*puts)
    with pytest.raises(StoreError, match=r"The store .*s\.db is closed\."):
        await store.get_items("me", ["i0"])
    assert [path.name for path in tmp_path.iterdir()] == ["s.db"]


# ---------------------------------------------------------------- several processes


async def test_several_processes_share_one_file(start: Start, tmp_path: Path) -> None:
    """They begin at the same time, on a file that is not there yet."""
    path = tmp_path / "s.db"
    processes = [start("share", path, f"p{n}", 300) for n in range(3)]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [lines(process) for process in processes] == [["300"]] * 3
    store = SqliteStore(path)
    assert (await store.stats()).items == 900
    await store.close()


@pytest.mark.parametrize("round", range(15))
async def test_many_stores_may_make_the_same_file_at_the_same_time(
    tmp_path: Path, round: int
) -> None:
    stores = [SqliteStore(tmp_path / "s.db") for _ in range(6)]
    await asyncio.gather(*(store.put_items(f"{n}", items(1)) for n, store in enumerate(stores)))
    assert [(await store.stats()).items for store in stores] == [6] * 6
    await asyncio.gather(*(store.close() for store in stores))


@pytest.mark.parametrize("made_before", [False, True])
async def test_a_file_that_gets_its_log_only_now_is_waited_for(
    tmp_path: Path, made_before: bool
) -> None:
    path = tmp_path / "s.db"
    if made_before:
        store = SqliteStore(path)
        await store.put_items("me", items(1))
        await store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN IMMEDIATE")
        store = SqliteStore(path)
        put = asyncio.ensure_future(store.put_items("me", items(1)))
        await asyncio.wait([put], timeout=0.1)
        assert not put.done()
        other.execute("COMMIT")
        await put
    await store.close()


async def test_a_put_of_one_store_is_seen_by_the_other_at_once(tmp_path: Path) -> None:
    one, other = SqliteStore(tmp_path / "s.db"), SqliteStore(tmp_path / "s.db")
    for n in range(20):
        await one.put_items("me", [StoredItem("a", b"%d" % n)])
        assert await other.get_items("me", ["a"]) == {"a": b"%d" % n}
    await one.close()
    await other.close()


async def test_a_file_that_stays_locked_is_said_and_works_again(
    start: Start, tmp_path: Path
) -> None:
    path = tmp_path / "s.db"
    store = SqliteStore(path, lock_wait_s=0.2)
    await store.put_items("me", [StoredItem("a", b"1")])
    process = start("lock", path)
    assert process.stdout is not None and process.stdout.readline() == "locked\n"
    begun: list[str] = []
    assert store._writer._connection is not None
    store._writer._connection.set_trace_callback(begun.append)
    puts = (store.put_items("me", [StoredItem(f"b{n}", b"2")]) for n in range(5))
    failed = await asyncio.gather(*puts, return_exceptions=True)
    sentence = f"The store {path} is locked by another process, for more than 0.2 s."
    assert [str(error) for error in failed] == [sentence] * 5
    # They waited together: the first, and those that came meanwhile.
    assert begun.count("BEGIN IMMEDIATE") <= 2
    assert await store.get_items("me", ["a", "b0"]) == {"a": b"1"}
    process.communicate("go on\n")
    await store.put_items("me", [StoredItem("b0", b"2")])
    assert await store.get_items("me", ["a", "b0"]) == {"a": b"1", "b0": b"2"}
    await store.close()


# ---------------------------------------------------------------- faults of the disk


def test_a_full_disk_is_said_and_the_store_goes_on_when_there_is_room(
    start: Start, tmp_path: Path
) -> None:
    full, kept, again = lines(start("fill", tmp_path / "s.db", 1_000_000))
    assert full.startswith(f"The store {tmp_path / 's.db'} cannot be read or written (disk I/O")
    number = int(kept.split()[0])
    assert number > 100 and kept == f"{number} taken, {number} kept"
    assert again == "done"


async def test_a_database_that_may_not_grow_is_said(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = SqliteStore(path)
    await store.put_items("me", items(10))
    await store._writer.run(lambda connection: connection.execute("PRAGMA max_page_count = 40"))
    with pytest.raises(StoreError) as full:
        await store.put_items("me", items(500))
    assert str(full.value) == f"The disk of the store {path} is full."
    assert len(await store.get_items("me", [f"i{n}" for n in range(500)])) == 10
    await store._writer.run(lambda connection: connection.execute("PRAGMA max_page_count = 4000"))
    await store.put_items("me", items(500))
    assert (await store.stats()).items == 500
    await store.close()


def test_a_folder_that_may_not_be_written_to_is_said(start: Start) -> None:
    # Not below tmp_path: another user, which the process becomes, must reach it.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        put, get, again = lines(start("read_only", folder))
        path = folder / "store.sqlite3"
        assert put == get == f"The store {path} cannot be opened: Permission denied."
        assert again == "done"


@pytest.mark.parametrize("size", [40, 512, 20_000])
async def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path, size: int) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"Dear diary, today I found a gateway. " * (size // 37 + 1))
    before = path.read_bytes()
    store = SqliteStore(path)
    for work in (store.stats, store.prune, store.vacuum):
        with pytest.raises(StoreError) as refused:
            await work()
        assert str(refused.value) == (
            f"The store {path} is damaged or no database (file is not a database). It is left as "
            "it is: move it away, and a new one is made."
        )
    assert path.read_bytes() == before
    path.rename(tmp_path / "diary.txt")
    await store.put_items("me", items(1))
    assert (await store.stats()).items == 1
    await store.close()


async def test_a_damaged_file_is_said_and_never_deleted(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = SqliteStore(path)
    await store.put_items("me", items(200))
    await store.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    before = path.read_bytes()
    store = SqliteStore(path)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"s\.db is damaged .* left as it is"):
            await store.get_items("me", ["i1"])
        with pytest.raises(StoreError, match=r"s\.db is damaged .* left as it is"):
            await store.put_items("me", items(1))
    assert path.read_bytes() == before
    await store.close()


async def test_a_damaged_body_is_said(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    await store.put_items("me", [StoredItem("a", b"x" * 9000)])
    for damage in ("substr(body, 1, 12)", "x'28b52ffd' || x'e0ffffffffffffff7f'"):
        await store._writer.run(lambda c, d=damage: c.execute(f"UPDATE items SET body = {d}"))
        with pytest.raises(StoreError, match="damaged"):
            await store.get_items("me", ["a"])
    await store.close()


def test_a_damaged_size_does_not_ask_for_all_of_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = sqlite_rows.pack(b"x" * 9000)
    assert sqlite_rows.unpack(stored) == b"x" * 9000
    monkeypatch.setattr(sqlite_rows, "_MOST_UNPACKED", 8999)
    with pytest.raises(StoreError):
        sqlite_rows.unpack(stored)


async def test_a_file_that_was_deleted_is_made_anew(tmp_path: Path) -> None:
    """Otherwise everything would go into a file that nobody can open."""
    path = tmp_path / "folder" / "s.db"
    store = SqliteStore(path)
    await store.put_items("me", items(2))
    await store.get_items("me", ["i0"])
    for part in path.parent.glob("*"):
        part.unlink()
    path.parent.rmdir()
    await store.put_items("me", items(1))
    assert list(await store.get_items("me", ["i0", "i1"])) == ["i0"]
    await store.close()
    store = SqliteStore(path)
    assert list(await store.get_items("me", ["i0", "i1"])) == ["i0"]
    await store.close()


async def test_a_file_that_was_moved_takes_everything_along(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = SqliteStore(path)
    await store.put_items("me", items(2))
    await store.get_items("me", ["i0"])
    for part in tmp_path.glob("s.db*"):
        part.rename(part.with_name(part.name.replace("s.db", "old.db")))
    assert await store.get_items("me", ["i0"]) == {}
    await store.put_items("me", [StoredItem("new", b"1")])
    assert await store.get_items("me", ["i0", "new"]) == {"new": b"1"}
    await store.close()
    old = SqliteStore(tmp_path / "old.db")
    assert len(await old.get_items("me", ["i0", "i1", "new"])) == 2
    await old.close()


async def test_a_file_that_was_moved_without_its_log_does_not_disturb_the_new_one(
    tmp_path: Path,
) -> None:
    """Two files that share one log, by its name, would damage each other."""
    path = tmp_path / "s.db"
    store = SqliteStore(path)
    await store.put_items("me", items(20))
    await store.get_items("me", ["i0"])
    path.rename(tmp_path / "old.db")
    for n in range(30):
        await store.put_items("me", [StoredItem(f"new{n}", b"x" * 3000)])
    news = [f"new{n}" for n in range(30)]
    assert sorted(await store.get_items("me", ["i0", *news])) == sorted(news)
    await store.close()
    store = SqliteStore(path)
    assert sorted(await store.get_items("me", ["i0", *news])) == sorted(news)
    await store.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_name_that_is_no_text_fails_alone(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    puts = (store.put_items("me", [StoredItem(id, b"1")]) for id in ("a", "\ud800", "b"))
    _, odd, _ = await asyncio.gather(*puts, return_exceptions=True)
    assert isinstance(odd, StoreError)
    assert sorted(await store.get_items("me", ["a", "b"])) == ["a", "b"]
    await store.close()


# ---------------------------------------------------------------- size


async def test_the_oldest_go_when_there_is_too_much(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = SqliteStore(path, max_bytes=2 * MIB)
    largest = 0
    for n in range(60):
        await store.put_items("me", [StoredItem(f"i{n}_{k}", os.urandom(5000)) for k in range(20)])
        # The log is shortened behind the answer, and before the next job.
        await store._writer.run(lambda connection: None)
        largest = max(largest, size_of(path))
    stats = await store.stats()
    assert largest <= 2 * MIB
    assert stats.bytes == size_of(path)
    # Most of the room is used, and what is left are the last that came.
    assert 250 <= stats.items <= 350
    kept = await store.get_items("me", [f"i{n}_{k}" for n in range(60) for k in range(20)])
    assert set(kept) == {f"i{n // 20}_{n % 20}" for n in range(1200 - stats.items, 1200)}
    await store.close()


async def test_the_oldest_of_every_kind_go(tmp_path: Path, clock) -> None:
    store = SqliteStore(tmp_path / "s.db", max_bytes=MIB, now=clock)
    large = os.urandom(150_000)
    await store.put_conversation("me", StoredConversation("c", 1))
    clock.move(1)
    await store.put_response("me", StoredResponse(id="r", created_at=1, body=large))
    clock.move(1)
    await store.put_items("me", [StoredItem("a", large)])
    clock.move(1)
    await store.add_to_conversation("me", "c", [StoredItem("x", large)])
    for n in range(2):
        clock.move(1)
        await store.put_items("me", [StoredItem(f"b{n}", large)])
    for n in range(2):
        clock.move(1)
        await store.put_items("me", [StoredItem(f"c{n}", large)])
    assert await store.get_response("me", "r") is None
    assert list(await store.get_items("me", ["a", "b0", "b1", "c1"])) == ["b0", "b1", "c1"]
    assert await store.get_conversation("me", "c")
    for n in range(2):
        clock.move(1)
        await store.put_items("me", [StoredItem(f"d{n}", large)])
    assert await store.get_conversation("me", "c") is None
    assert await store.conversation_items("me", "c") == []
    await store.close()


@pytest.mark.parametrize("what", ["items", "response", "conversation", "added"])
async def test_what_alone_is_too_much_is_refused(tmp_path: Path, what: str) -> None:
    store = SqliteStore(tmp_path / "s.db", max_bytes=MIB)
    await store.put_items("me", items(1))
    await store.put_conversation("me", StoredConversation("c", 1))
    large = b"x" * MIB
    puts = {
        "items": lambda: store.put_items("me", [StoredItem("a", large)]),
        "response": lambda: store.put_response(
            "me", StoredResponse(id="r", created_at=1, body=b"", input=large)
        ),
        "conversation": lambda: store.put_conversation("me", StoredConversation("d", 1, large)),
        "added": lambda: store.add_to_conversation("me", "c", [StoredItem("a", large)]),
    }
    with pytest.raises(StoreError, match=r"at most, not 1048576 at once\."):
        await puts[what]()
    assert (await store.stats()).items == 1
    await store.close()


async def test_a_lower_limit_and_a_shorter_time_hold_for_what_is_there(
    tmp_path: Path, clock
) -> None:
    path = tmp_path / "s.db"
    store = SqliteStore(path, now=clock)
    await store.put_items("me", [StoredItem("old", b"1")])
    clock.move(10)
    await store.put_items("me", items(3000))
    await store.close()
    store = SqliteStore(path, now=clock, ttl_s=5)
    assert await store.get_items("me", ["old"]) == {}
    assert await store.prune() == 1
    await store.close()
    store = SqliteStore(path, now=clock, max_bytes=MIB)
    assert await store.prune() > 1500
    assert (await store.stats()).items > 500
    await store.vacuum()
    assert size_of(path) <= MIB
    await store.close()


async def test_room_is_used_again_and_given_back_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = SqliteStore(path)
    await store.put_items("me", items(4000))
    await store.vacuum()
    before = size_of(path)
    await store.delete_items("me", [f"i{n}" for n in range(4000)])
    await store.put_items("me", items(3500))
    await store.delete_items("me", [f"i{n}" for n in range(3400)])
    other = SqliteStore(path)
    assert path.stat().st_size <= before
    freed = await store.vacuum()
    assert freed > 3 * MIB
    assert size_of(path) < MIB
    assert len(await other.get_items("me", [f"i{n}" for n in range(3500)])) == 100
    await other.close()
    await store.close()


async def test_what_was_deleted_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = SqliteStore(path)
    secret = b"the launch code is 1234"
    await store.put_items("me", [StoredItem("a", secret), *items(20)])
    await store.vacuum()
    assert secret in path.read_bytes()
    await store.delete_items("me", ["a"])
    await store.vacuum()
    assert all(secret not in part.read_bytes() for part in tmp_path.glob("s.db*"))
    await store.close()


async def test_large_bodies_are_compressed(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    body = b'{"type":"function_call_output","output":"total 0"}' * 1000
    await store.put_response("me", StoredResponse(id="r", created_at=1, body=body, input=body))
    assert (await store.stats()).bytes < 2.5 * len(body)
    found = await store._reader.run(
        lambda c: c.execute("SELECT length(body), length(input) FROM responses").fetchone()
    )
    assert sum(found) < len(body) / 10
    await store.close()


# ---------------------------------------------------------------- chains


async def test_a_refused_chain_is_not_read_into_memory_first(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    await store.put_response(
        "me", StoredResponse(id="a", created_at=1, body=b"x" * MIB, parent="a")
    )
    read: list[str] = []
    await store._reader.run(lambda connection: connection.set_trace_callback(read.append))
    with pytest.raises(StoreError, match="more than 5000"):
        await store.get_chain("me", "a", 5000)
    assert not [question for question in read if "body" in question]
    await store.close()


async def test_a_broken_chain_fails_alone(tmp_path: Path) -> None:
    """Reads that are asked for at once share a transaction, and not a fate."""
    store = SqliteStore(tmp_path / "s.db")
    await store.put_response("me", StoredResponse(id="a", created_at=1, body=b"1"))
    good, broken = await asyncio.gather(
        store.get_chain("me", "a", 5), store.get_chain("me", "b", 5), return_exceptions=True
    )
    assert [one.id for one in good] == ["a"]
    assert isinstance(broken, MissingLink)
    await store.close()
