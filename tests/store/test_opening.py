"""`open_store`: the store that the configuration asks for."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from anyturn.config import Settings, load_settings
from anyturn.store import StoreError, open_store
from anyturn.store.memory import MemoryStore
from anyturn.store.records import StoredItem
from anyturn.store.sqlite import SqliteStore


def configured(tmp_path: Path, **flags: Any) -> Settings:
    return load_settings(flags, {"HOME": str(tmp_path)}, tmp_path)


async def test_nothing_is_opened_when_the_store_is_off(tmp_path: Path) -> None:
    assert open_store(configured(tmp_path, store="off")) is None


async def test_by_default_the_store_is_a_file_in_the_users_state(tmp_path: Path) -> None:
    store = open_store(configured(tmp_path))
    assert isinstance(store, SqliteStore)
    assert store.path == tmp_path / ".local" / "state" / "anyturn" / "store.sqlite3"
    assert list(tmp_path.iterdir()) == []
    await store.put_items("me", [StoredItem("a", b"1")])
    assert store.path.exists()
    await store.close()


async def test_without_a_home_sqlite_has_no_place_and_memory_stands_in(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no home folder .* set store_path"):
        open_store(load_settings({"store": "sqlite"}, {}, tmp_path))
    assert isinstance(open_store(load_settings({}, {}, tmp_path)), MemoryStore)


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
async def test_the_limits_are_those_of_the_configuration(tmp_path: Path, kind: str) -> None:
    store = open_store(
        configured(tmp_path, store=kind, store_max_bytes=600_000, store_ttl_days=0.01)
    )
    assert store is not None
    with pytest.raises(StoreError, match="at most"):
        await store.put_items("me", [StoredItem("a", b"x" * 600_000)])
    assert store._ttl_s == 864
    await store.close()


async def test_the_memory_takes_less_than_a_disk_unless_told_otherwise(tmp_path: Path) -> None:
    large = StoredItem("a", b"x" * 70_000_000)
    store = open_store(configured(tmp_path, store="memory"))
    assert isinstance(store, MemoryStore)
    with pytest.raises(StoreError, match="takes 67108864 bytes at most"):
        await store.put_items("me", [large])
    store = open_store(configured(tmp_path, store="memory", store_max_bytes=100_000_000))
    assert store is not None
    await store.put_items("me", [large])


async def test_redis_is_only_imported_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("anyturn.store.redis")

    class RedisStore:
        @staticmethod
        def at(url: str, *, ttl_s: float, timeout_s: float) -> tuple[str, float, float]:
            return url, ttl_s, timeout_s

    module.RedisStore = RedisStore  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "anyturn.store.redis", module)
    asked = configured(tmp_path, store="redis", store_url="redis://localhost:1/0")
    assert open_store(asked) == ("redis://localhost:1/0", 30 * 86_400.0, 2.0)
