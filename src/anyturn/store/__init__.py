"""Memory of items, responses and conversations: in the process, in SQLite, or in Redis."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from anyturn.store.records import Store, StoreError

__all__ = ["Store", "StoreError", "StoreSettings", "open_store"]

_DAY_S = 86_400.0
_MEMORY_BYTES = 64 * 1024 * 1024
_LOCK_SHARE = 0.75


class StoreSettings(Protocol):
    """What of the configuration decides about the store."""

    @property
    def store(self) -> str:
        """`sqlite`, `memory`, `redis` or `off`."""

    @property
    def store_path(self) -> str:
        """The SQLite file, empty when nobody knows a place for it."""

    @property
    def store_url(self) -> str:
        """Where Redis is."""

    @property
    def store_ttl_days(self) -> float:
        """How long a record is kept."""

    @property
    def store_max_bytes(self) -> int:
        """What the store may take."""

    @property
    def store_timeout_s(self) -> float:
        """How long one answer may take."""

    @property
    def sources(self) -> Mapping[str, str]:
        """Where each value came from; `default` for those that nobody gave."""


def open_store(settings: StoreSettings) -> Store | None:
    """Return the store that is configured, or None when it is off.

    Nothing is read or connected before the first method is called: `await store.stats()` tells at
    once whether the store works. In memory, `store_max_bytes` is 64 MiB unless it was given. Where
    nobody chose a store and there is no home folder for a file, it is the memory. Raises
    `StoreError` when SQLite was chosen and has no place for its file, or Redis no client.
    """
    ttl_s = settings.store_ttl_days * _DAY_S
    if settings.store == "off":
        return None
    if settings.store == "redis":
        from anyturn.store.redis import RedisStore

        return RedisStore.at(settings.store_url, ttl_s=ttl_s, timeout_s=settings.store_timeout_s)
    is_chosen = settings.sources.get("store", "default") != "default"
    if settings.store == "memory" or not (settings.store_path or is_chosen):
        from anyturn.store.memory import MemoryStore

        given = settings.sources.get("store_max_bytes", "default") != "default"
        max_bytes = settings.store_max_bytes if given else _MEMORY_BYTES
        return MemoryStore(ttl_s=ttl_s, max_bytes=max_bytes)
    if not settings.store_path:
        raise StoreError(
            "There is no home folder to keep the store in: set store_path, or store to memory or "
            "off."
        )
    from anyturn.store.sqlite import SqliteStore

    return SqliteStore(
        Path(settings.store_path),
        ttl_s=ttl_s,
        max_bytes=settings.store_max_bytes,
        # Shorter than the whole, so that whoever waits still hears that the file is locked.
        lock_wait_s=_LOCK_SHARE * settings.store_timeout_s,
    )
