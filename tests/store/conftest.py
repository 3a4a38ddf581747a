"""Every kind of store, opened in the same way. A new kind is one more entry of `OPENERS`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from inspect import signature
from pathlib import Path

import pytest

from anyturn.store import Store
from anyturn.store.memory import MemoryStore
from anyturn.store.redis import RedisStore
from anyturn.store.sqlite import SqliteStore

TTL_S = 1000.0


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += seconds


# An empty store whose records live for `ttl_s`, with a folder that is its own.
Opener = Callable[[Path, float, Clock], Store]
OPENERS: dict[str, Opener] = {
    "memory": lambda folder, ttl_s, clock: MemoryStore(ttl_s=ttl_s, now=clock),
    "sqlite": lambda folder, ttl_s, clock: SqliteStore(folder / "s.db", ttl_s=ttl_s, now=clock),
}


@pytest.fixture
def clock() -> Clock:
    """The clock of the stores of this test."""
    return Clock()


@pytest.fixture(params=[*OPENERS, "redis"])
def open_one(request: pytest.FixtureRequest) -> Opener:
    """Opens a store, of each kind in turn."""
    if request.param != "redis":
        return OPENERS[request.param]
    if "clock" in signature(request.function).parameters:
        pytest.skip("Redis has a clock of its own: test_redis.py moves that")
    url = request.getfixturevalue("redis_server").url
    return lambda folder, ttl_s, clock: RedisStore.at(url, ttl_s=ttl_s, timeout_s=30.0)


@pytest.fixture
async def store(open_one: Opener, tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    """A store of each kind in turn, whose records live for 1,000 s."""
    opened = open_one(tmp_path, TTL_S, clock)
    yield opened
    await opened.close()
