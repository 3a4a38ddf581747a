"""Other processes at the SQLite store: `python store_processes.py WHAT PATH ...`.

They say on standard output, line by line, what they have done, and wait for a line of standard
input where they must not go on by themselves.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path

from anyturn.store import StoreError
from anyturn.store.records import StoredItem
from anyturn.store.sqlite import SqliteStore

BODY = b'{"type":"message"}' * 60


def say(words: str) -> None:
    """One line, at once, also when this process is killed right behind it."""
    os.write(1, f"{words}\n".encode())


async def attempt(work: Callable[[], Awaitable[object]]) -> None:
    """Say how it went: `done`, or the sentence of the `StoreError`."""
    try:
        await work()
        say("done")
    except StoreError as error:
        say(str(error))


async def write(path: Path, name: str) -> None:
    """Put items for ever, eight at once, and say the id of each that was taken."""
    store, numbers = SqliteStore(path), itertools.count()

    async def writer() -> None:
        for number in numbers:
            id = f"{name}_{number}"
            await store.put_items("me", [StoredItem(id, BODY)])
            say(id)

    await asyncio.gather(*(writer() for _ in range(8)))


async def share(path: Path, name: str, count: str) -> None:
    """Put so many items, one after another and together, and close the store."""
    store = SqliteStore(path)
    say("ready")
    sys.stdin.readline()
    ids = [f"{name}_{number}" for number in range(int(count))]
    for id in ids[::2]:
        await store.put_items("me", [StoredItem(id, BODY)])
    await asyncio.gather(*(store.put_items("me", [StoredItem(id, BODY)]) for id in ids[1::2]))
    found = await store.get_items("me", ids)
    await store.close()
    say(str(len(found)))


async def lock(path: Path) -> None:
    """Keep the file locked until a line comes."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    say("locked")
    sys.stdin.readline()
    connection.execute("COMMIT")
    connection.close()


async def lock_out(path: Path) -> None:
    """Keep everybody out of the file, readers too, until a line comes; nobody has it open."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    say("locked")
    sys.stdin.readline()
    connection.execute("COMMIT")
    connection.close()


async def fill(path: Path, most: str) -> None:
    """Put items until no file may grow any more, and again when they may."""
    store, endless = SqliteStore(path), resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), endless))
    taken: list[str] = []
    refused, said = 0, ""
    # After a refusal there may be a little room again, where the log was.
    while refused < 3:
        id = f"i{len(taken)}"
        try:
            await store.put_items("me", [StoredItem(id, os.urandom(1000))])
            taken.append(id)
            refused = 0
        except StoreError as error:
            refused, said = refused + 1, str(error)
    say(said)
    say(f"{len(taken)} taken, {len(await store.get_items('me', taken))} kept")
    resource.setrlimit(resource.RLIMIT_FSIZE, (endless, endless))
    await attempt(lambda: store.put_items("me", [StoredItem("more", BODY)]))
    await store.close()


async def read_only(folder: Path) -> None:
    """Use a store in a folder that may not be written to, and again when it may."""
    # The system's administrator may write everywhere.
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(65534)
    store = SqliteStore(folder / "store.sqlite3")
    await attempt(lambda: store.put_items("me", [StoredItem("a", BODY)]))
    await attempt(lambda: store.get_items("me", ["a"]))
    if was_root:
        os.seteuid(0)
    folder.chmod(0o700)
    await attempt(lambda: store.put_items("me", [StoredItem("a", BODY)]))
    await store.close()


if __name__ == "__main__":
    works = (write, share, lock, lock_out, fill, read_only)
    what: dict[str, Callable[..., Coroutine[None, None, None]]] = {w.__name__: w for w in works}
    asyncio.run(what[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:]))
