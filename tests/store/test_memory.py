"""What is particular to the store in memory: it is bounded, and it ends with the process."""

from __future__ import annotations

import tracemalloc

import pytest

from anyturn.store import StoreError
from anyturn.store.memory import MemoryStore
from anyturn.store.records import StoredConversation, StoredItem, StoredResponse


def items(*ids: str, size: int = 1000) -> list[StoredItem]:
    return [StoredItem(id, b"x" * size, f"call_{id}") for id in ids]


async def test_the_oldest_go_when_there_is_too_much() -> None:
    store = MemoryStore(max_bytes=510_000)
    await store.put_items("me", items("a", "b", "c", "d", "e", size=100_000))
    await store.put_items("me", items("a", size=100_000))
    await store.put_items("me", items("f", "g", size=100_000))
    assert list(await store.get_items("me", list("abcdefg"))) == ["a", "d", "e", "f", "g"]
    assert list(await store.get_calls("me", ["call_a", "call_b"])) == ["call_a"]
    assert (await store.stats()).bytes <= 510_000


async def test_the_oldest_of_every_kind_go() -> None:
    store = MemoryStore(max_bytes=750_000)
    await store.put_conversation("me", StoredConversation("c", 1))
    await store.put_response("me", StoredResponse(id="r", created_at=1, body=b"x" * 300_000))
    await store.add_to_conversation("me", "c", items("x", size=200_000))
    await store.put_items("me", items("a", size=350_000))
    assert await store.get_response("me", "r") is None
    assert await store.get_conversation("me", "c")
    await store.put_items("me", items("b", size=350_000))
    assert await store.get_conversation("me", "c") is None
    assert list(await store.get_items("me", ["a", "b"])) == ["a", "b"]


@pytest.mark.parametrize("what", ["items", "response", "conversation", "added"])
async def test_what_alone_is_too_much_is_refused_and_costs_nothing(what: str) -> None:
    store = MemoryStore(max_bytes=10_000)
    await store.put_items("me", items("kept"))
    await store.put_conversation("me", StoredConversation("c", 1))
    large = b"x" * 9_500
    puts = {
        "items": lambda: store.put_items("me", [StoredItem("a", large)]),
        "response": lambda: store.put_response(
            "me", StoredResponse(id="r", created_at=1, body=large)
        ),
        "conversation": lambda: store.put_conversation("me", StoredConversation("d", 1, large)),
        "added": lambda: store.add_to_conversation("me", "c", [StoredItem("a", large)]),
    }
    with pytest.raises(StoreError, match="takes 10000 bytes at most, not "):
        await puts[what]()
    assert list(await store.get_items("me", ["kept"])) == ["kept"]
    assert await store.conversation_items("me", "c") == []


async def test_what_is_counted_is_what_is_there() -> None:
    """However a record came and went, nothing of it stays in the count."""
    store = MemoryStore()
    await store.put_conversation("me", StoredConversation("c", 1))
    empty = (await store.stats()).bytes
    await store.add_to_conversation("me", "c", [*items("x", "y"), *items("x", size=50)])
    await store.add_to_conversation("me", "c", items("y", size=7))
    await store.put_conversation("me", StoredConversation("c", 2))
    for id in ("x", "y"):
        assert await store.delete_conversation_item("me", "c", id)
    await store.put_items("me", items("a", "a", "b"))
    await store.put_items("me", items("a", size=5))
    await store.delete_items("me", ["a", "b"])
    assert (await store.stats()).bytes == empty
    await store.delete_conversation("me", "c")
    assert (await store.stats()).bytes == 0


@pytest.mark.parametrize("size", [100, 1500], ids=["small", "as usual"])
async def test_the_count_is_not_less_than_the_memory_it_takes(size: int) -> None:
    store = MemoryStore(max_bytes=3_000_000)
    tracemalloc.start()
    try:
        for number in range(8000):
            item = StoredItem(f"fc_{number:050}", b"%d" % number * (size // 4), f"call_{number}")
            await store.put_items("owner", [item])
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    counted = (await store.stats()).bytes
    assert counted > 2_900_000
    # The dictionaries have room for more than they hold.
    assert taken < 1.25 * counted


async def test_what_is_too_old_takes_no_memory_after_the_next_put(clock) -> None:
    store = MemoryStore(ttl_s=10, now=clock)
    await store.put_items("me", items("a", "b", "c"))
    clock.move(10)
    await store.put_items("me", items("d"))
    one = MemoryStore()
    await one.put_items("me", items("d"))
    assert (await store.stats()).bytes == (await one.stats()).bytes
