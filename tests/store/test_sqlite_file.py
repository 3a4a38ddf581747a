from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from anyturn.store import StoreError
from anyturn.store.records import StoredItem
from anyturn.store.sqlite import SqliteStore

ITEM = StoredItem("a", b"1")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_umask():
    """A umask that would let everybody read and write."""
    before = os.umask(0)
    yield
    os.umask(before)


async def test_the_files_and_their_folders_are_the_owners_alone(open_umask, tmp_path: Path) -> None:
    path = tmp_path / "state" / "anyturn" / "s.db"
    store = SqliteStore(path)
    await store.put_items("me", [ITEM])
    modes = {part.name: mode(part) for part in path.parent.iterdir()}
    assert modes == {"s.db": 0o600, "s.db-wal": 0o600, "s.db-shm": 0o600}
    assert (mode(path.parent), mode(path.parent.parent)) == (0o700, 0o700)
    await store.close()


async def test_a_file_of_ours_that_others_may_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    for _ in range(2):
        store = SqliteStore(path)
        await store.put_items("me", [ITEM])
        assert {mode(part) for part in tmp_path.iterdir()} == {0o600}
        await store.close()
        path.chmod(0o644)


@pytest.mark.parametrize("name", ["a b.db", "50%.db", "what?.db", "#1.db", "ü.db", "x;y&z.db"])
async def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    store = SqliteStore(tmp_path / name)
    await store.put_items("me", [ITEM])
    assert (tmp_path / name).stat().st_size > 0
    await store.close()
    assert os.listdir(tmp_path) == [name]


async def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "s.db").touch()
    store = SqliteStore(tmp_path / "s.db")
    await store.put_items("me", [ITEM])
    await store.close()


@pytest.mark.parametrize("statement", ["CREATE TABLE diary (day TEXT)", "PRAGMA user_version = 7"])
async def test_a_database_of_another_program_is_refused_and_not_touched(
    tmp_path: Path, statement: str
) -> None:
    path = tmp_path / "diary.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()
    path.chmod(0o644)
    before = path.read_bytes()
    store = SqliteStore(path)
    with pytest.raises(StoreError) as refused:
        await store.put_items("me", [ITEM])
    assert str(refused.value) == (
        f"The file {path} is a database of another program: the store needs one of its own."
    )
    await store.close()
    assert (path.read_bytes(), mode(path), os.listdir(tmp_path)) == (before, 0o644, ["diary.db"])


@pytest.mark.parametrize("kind", ["file", "folder"])
async def test_a_path_that_cannot_be_a_file_is_said(tmp_path: Path, kind: str) -> None:
    if kind == "file":
        (tmp_path / "x").write_text("not a folder")
    path = tmp_path / "x" / "s.db" if kind == "file" else tmp_path
    store = SqliteStore(path)
    words = "Not a directory" if kind == "file" else "Is a directory"
    with pytest.raises(StoreError) as refused:
        await store.stats()
    assert str(refused.value) == f"The store {path} cannot be opened: {words}."
    await store.close()
