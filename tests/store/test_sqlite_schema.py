from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from anyturn.store import StoreError, sqlite_schema
from anyturn.store.records import StoredItem
from anyturn.store.sqlite import SqliteStore
from anyturn.store.sqlite_schema import MIGRATIONS

ITEM = StoredItem("a", b"1")
STEP = ("ALTER TABLE items ADD COLUMN note TEXT NOT NULL DEFAULT 'none'",)


def versions(monkeypatch: pytest.MonkeyPatch, *steps: tuple[str, ...]) -> None:
    """The world in which these steps follow those of today."""
    for module in ("sqlite_schema", "sqlite_file"):
        monkeypatch.setattr(f"anyturn.store.{module}.MIGRATIONS", (*MIGRATIONS, *steps))


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A file of today's version with one item."""
    store = SqliteStore(tmp_path / "s.db")
    await store.put_items("me", [ITEM])
    await store.close()
    return tmp_path / "s.db"


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return sqlite_schema.version_of(connection)


async def test_an_older_file_is_lifted_and_keeps_what_is_in_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert version(path) == len(MIGRATIONS)
    versions(monkeypatch, STEP)
    store = SqliteStore(path)
    assert await store.get_items("me", ["a"]) == {"a": b"1"}
    notes = await store._reader.run(lambda c: c.execute("SELECT note FROM items").fetchall())
    assert notes == [("none",)]
    await store.close()
    assert version(path) == len(MIGRATIONS) + 1


async def test_a_file_of_a_newer_version_is_refused_and_not_touched(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        versions(newer, STEP)
        store = SqliteStore(path)
        await store.stats()
        await store.close()
    before = path.read_bytes()
    store = SqliteStore(path)
    with pytest.raises(StoreError) as refused:
        await store.get_items("me", ["a"])
    known = len(MIGRATIONS)
    assert str(refused.value) == (
        f"The store {path} was written by a newer Anyturn (its format is {known + 1}, this one "
        f"knows {known}): use that one, or another store_path."
    )
    await store.close()
    assert path.read_bytes() == before


async def test_a_step_that_fails_leaves_the_older_version(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        versions(newer, (*STEP, "CREATE TABLE items (id TEXT)"))
        store = SqliteStore(path)
        with pytest.raises(StoreError, match="table items already exists"):
            await store.stats()
        await store.close()
    assert version(path) == len(MIGRATIONS)
    store = SqliteStore(path)
    assert await store.get_items("me", ["a"]) == {"a": b"1"}
    await store.close()
