"""What every store promises (store/records.py), whatever its kind."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from anyturn.store import Store, StoreError
from anyturn.store.records import (
    MissingLink,
    Order,
    StoredConversation,
    StoredItem,
    StoredResponse,
)

TTL_S = 1000.0


def item(id: str, body: bytes = b"{}", call_id: str = "") -> StoredItem:
    return StoredItem(id, body, call_id)


def items(*ids: str) -> list[StoredItem]:
    return [item(id, f'"{id}"'.encode()) for id in ids]


def response(id: str, parent: str = "", **facts: Any) -> StoredResponse:
    given = {"created_at": 7, "body": f'{{"id":"{id}"}}'.encode(), **facts}
    return StoredResponse(id=id, parent=parent, **given)


async def ids_of_chain(store: Store, id: str, most: int = 100) -> list[str]:
    return [one.id for one in await store.get_chain("me", id, most)]


async def ids_in(store: Store, **facts: Any) -> list[str]:
    return [one.id for one in await store.conversation_items("me", "conv", **facts)]


@pytest.fixture
async def conversation(store: Store) -> Store:
    """The store, with a conversation of four items."""
    await store.put_conversation("me", StoredConversation("conv", 5, b'{"topic":"a"}'))
    assert await store.add_to_conversation("me", "conv", items("a", "b", "c", "d"))
    return store


# ---------------------------------------------------------------- items


async def test_items_come_back_as_they_were_put(store: Store) -> None:
    bodies = [b"", b"{}", "\N{SNOWMAN} \x00".encode(), b"x" * 5000, b"\x28\xb5\x2f\xfd", b"\xff"]
    await store.put_items("me", [item(f"i{n}", body) for n, body in enumerate(bodies)])
    assert await store.get_items("me", [f"i{n}" for n in range(6)]) == {
        f"i{n}": body for n, body in enumerate(bodies)
    }


async def test_unknown_items_are_left_out(store: Store) -> None:
    await store.put_items("me", items("a"))
    assert await store.get_items("me", {"a", "b"}) == {"a": b'"a"'}
    assert await store.get_items("me", []) == {}


async def test_many_items_can_be_asked_for_at_once(store: Store) -> None:
    ids = [f"item_{n}" for n in range(2001)]
    await store.put_items("me", items(*ids))
    found = await store.get_items("me", ids)
    assert found == {id: f'"{id}"'.encode() for id in ids}


async def test_an_item_with_a_known_id_replaces_it(store: Store) -> None:
    await store.put_items("me", [item("a", b"1", "call_1")])
    await store.put_items("me", [item("a", b"2", "call_2"), item("a", b"3", "call_3")])
    assert await store.get_items("me", ["a"]) == {"a": b"3"}
    assert await store.get_calls("me", ["call_1", "call_2", "call_3"]) == {"call_3": b"3"}
    assert (await store.stats()).items == 1


async def test_a_call_is_found_by_its_call_id(store: Store) -> None:
    await store.put_items("me", [item("fc", b"1", "call_1"), item("msg", b"2")])
    assert await store.get_calls("me", ["call_1", "call_2"]) == {"call_1": b"1"}


async def test_items_without_a_call_id_are_no_calls(store: Store) -> None:
    await store.put_items("me", [item("msg", b"2")])
    assert await store.get_calls("me", [""]) == {}


async def test_of_several_items_of_a_call_the_last_put_counts(store: Store) -> None:
    await store.put_items("me", [item("b", b"1", "call"), item("a", b"2", "call")])
    assert await store.get_calls("me", ["call"]) == {"call": b"2"}
    await store.put_items("me", [item("b", b"3", "call")])
    assert await store.get_calls("me", ["call"]) == {"call": b"3"}
    await store.delete_items("me", ["b"])
    assert await store.get_calls("me", ["call"]) == {"call": b"2"}


async def test_deleted_items_are_counted_and_gone(store: Store) -> None:
    await store.put_items("me", [item("a", b"1", "call"), item("b")])
    assert await store.delete_items("me", ["a", "unknown"]) == 1
    assert await store.delete_items("me", ["a"]) == 0
    assert await store.get_items("me", ["a", "b"]) == {"b": b"{}"}
    assert await store.get_calls("me", ["call"]) == {}


# ---------------------------------------------------------------- responses


async def test_a_response_comes_back_as_it_was_put(store: Store) -> None:
    whole = StoredResponse(
        id="resp",
        created_at=1_700_000_000,
        body=b"b" * 9000,
        input=b'["' + b"i" * 9000 + b'"]',
        parent="resp_0",
        conversation="conv",
        events=b"\x28\xb5\x2f\xfd\x00\x01",
    )
    await store.put_response("me", whole)
    assert await store.get_response("me", "resp") == whole
    assert await store.get_response("me", "resp_0") is None


async def test_a_response_with_a_known_id_replaces_it(store: Store) -> None:
    await store.put_response("me", response("resp", body=b"1", events=b"e"))
    await store.put_response("me", response("resp", body=b"2"))
    assert await store.get_response("me", "resp") == response("resp", body=b"2")
    assert (await store.stats()).responses == 1


async def test_a_chain_begins_with_the_first_response_and_has_no_events(store: Store) -> None:
    first = response("a", input=b"[1]", events=b"stream")
    second = response("b", "a", input=b"[2]", conversation="conv")
    await store.put_response("me", second)
    await store.put_response("me", first)
    chain = await store.get_chain("me", "b", 2)
    assert chain == [msgspec.structs.replace(first, events=b""), second]
    assert await store.get_chain("me", "a", 1) == chain[:1]


async def test_two_responses_may_continue_the_same_one(store: Store) -> None:
    for id, parent in [("a", ""), ("b", "a"), ("left", "b"), ("right", "b")]:
        await store.put_response("me", response(id, parent))
    assert await ids_of_chain(store, "left") == ["a", "b", "left"]
    assert await ids_of_chain(store, "right") == ["a", "b", "right"]


@pytest.mark.parametrize("missing", ["a", "b", "c"])
async def test_a_broken_chain_names_what_is_missing(store: Store, missing: str) -> None:
    for id, parent in [("a", ""), ("b", "a"), ("c", "b")]:
        await store.put_response("me", response(id, parent))
    assert await store.delete_response("me", missing)
    with pytest.raises(MissingLink) as broken:
        await store.get_chain("me", "c", 100)
    assert broken.value.id == missing


async def test_a_chain_that_is_too_long_is_refused(store: Store) -> None:
    for id, parent in [("a", ""), ("b", "a"), ("c", "b")]:
        await store.put_response("me", response(id, parent))
    assert await ids_of_chain(store, "c", most=3) == ["a", "b", "c"]
    with pytest.raises(StoreError, match="more than 2"):
        await store.get_chain("me", "c", 2)


@pytest.mark.parametrize("links", [[("a", "a")], [("a", "b"), ("b", "c"), ("c", "b")]])
async def test_a_chain_that_bites_its_own_tail_ends(
    store: Store, links: list[tuple[str, str]]
) -> None:
    for id, parent in links:
        await store.put_response("me", response(id, parent))
    with pytest.raises(StoreError, match=r"more than 1000|in a circle"):
        await store.get_chain("me", "a", 1000)


async def test_a_chain_of_ten_thousand_links_can_be_read(store: Store) -> None:
    many = [response(f"r{n}", f"r{n - 1}" if n else "") for n in range(10_000)]
    await asyncio.gather(*(store.put_response("me", one) for one in many))
    assert await store.get_chain("me", "r9999", 10_000) == many


async def test_a_deleted_response_is_gone_and_its_items_stay(store: Store) -> None:
    await store.put_items("me", items("a"))
    await store.put_response("me", response("resp"))
    assert await store.delete_response("me", "resp")
    assert not await store.delete_response("me", "resp")
    assert await store.get_response("me", "resp") is None
    assert await store.get_items("me", ["a"]) == {"a": b'"a"'}


# ---------------------------------------------------------------- conversations


async def test_a_conversation_comes_back_as_it_was_put(conversation: Store) -> None:
    found = await conversation.get_conversation("me", "conv")
    assert found == StoredConversation("conv", 5, b'{"topic":"a"}')
    assert await conversation.get_conversation("me", "other") is None


async def test_a_conversation_that_is_put_again_keeps_its_items(conversation: Store) -> None:
    await conversation.put_conversation("me", StoredConversation("conv", 6, b"{}"))
    assert await conversation.get_conversation("me", "conv") == StoredConversation("conv", 6)
    assert await ids_in(conversation) == ["a", "b", "c", "d"]


async def test_a_deleted_conversation_takes_its_items_along(conversation: Store) -> None:
    assert await conversation.delete_conversation("me", "conv")
    assert not await conversation.delete_conversation("me", "conv")
    assert await conversation.get_conversation("me", "conv") is None
    assert await ids_in(conversation) == []
    await conversation.put_conversation("me", StoredConversation("conv", 7))
    assert await ids_in(conversation) == []


async def test_items_are_only_added_to_a_known_conversation(store: Store) -> None:
    assert not await store.add_to_conversation("me", "conv", items("a"))
    assert await ids_in(store) == []
    assert not await store.delete_conversation_item("me", "conv", "a")


async def test_items_of_a_conversation_come_back_whole(store: Store) -> None:
    await store.put_conversation("me", StoredConversation("conv", 5))
    whole = [item("a", b"x" * 9000, "call"), item("b", b"{}")]
    await store.add_to_conversation("me", "conv", whole)
    assert await store.conversation_items("me", "conv") == whole


async def test_an_item_that_a_conversation_holds_is_replaced_where_it_stands(
    conversation: Store,
) -> None:
    added = [item("e", b"5"), item("b", b"2", "call"), item("e", b"6")]
    assert await conversation.add_to_conversation("me", "conv", added)
    found = await conversation.conversation_items("me", "conv")
    assert [one.id for one in found] == ["a", "b", "c", "d", "e"]
    assert (found[1], found[4]) == (item("b", b"2", "call"), item("e", b"6"))


@pytest.mark.parametrize(
    ("after", "limit", "order", "ids"),
    [
        ("", 0, "asc", "abcd"),
        ("", 0, "desc", "dcba"),
        ("", 2, "asc", "ab"),
        ("", 3, "desc", "dcb"),
        ("b", 0, "asc", "cd"),
        ("b", 0, "desc", "a"),
        ("b", 1, "asc", "c"),
        ("d", 0, "asc", ""),
        ("a", 5, "desc", ""),
        ("unknown", 0, "asc", ""),
        ("unknown", 2, "desc", ""),
    ],
)
async def test_items_of_a_conversation_are_read_in_pages(
    conversation: Store, after: str, limit: int, order: Order, ids: str
) -> None:
    assert await ids_in(conversation, after=after, limit=limit, order=order) == list(ids)


async def test_an_item_is_taken_out_of_a_conversation(conversation: Store) -> None:
    assert await conversation.delete_conversation_item("me", "conv", "b")
    assert not await conversation.delete_conversation_item("me", "conv", "b")
    assert await ids_in(conversation) == ["a", "c", "d"]
    await conversation.add_to_conversation("me", "conv", items("b"))
    assert await ids_in(conversation) == ["a", "c", "d", "b"]


async def test_an_item_of_a_conversation_is_none_of_the_others(conversation: Store) -> None:
    assert await conversation.get_items("me", ["a"]) == {}
    await conversation.put_items("me", [item("a", b"other")])
    assert await conversation.delete_items("me", ["a"]) == 1
    assert await ids_in(conversation) == ["a", "b", "c", "d"]


# ---------------------------------------------------------------- owners


async def test_what_one_owner_stored_does_not_exist_for_another(conversation: Store) -> None:
    store = conversation
    await store.put_items("me", [item("a", b"1", "call")])
    await store.put_response("me", response("resp"))
    assert await store.get_items("you", ["a"]) == {}
    assert await store.get_calls("you", ["call"]) == {}
    assert await store.delete_items("you", ["a"]) == 0
    assert await store.get_response("you", "resp") is None
    assert not await store.delete_response("you", "resp")
    assert await store.get_conversation("you", "conv") is None
    assert not await store.delete_conversation("you", "conv")
    assert not await store.add_to_conversation("you", "conv", items("z"))
    assert await store.conversation_items("you", "conv") == []
    assert not await store.delete_conversation_item("you", "conv", "a")
    with pytest.raises(MissingLink):
        await store.get_chain("you", "resp", 10)
    assert await store.get_items("me", ["a"]) == {"a": b"1"}
    assert await ids_in(store) == ["a", "b", "c", "d"]


async def test_two_owners_may_use_the_same_ids(store: Store) -> None:
    for owner in ("me", "you"):
        await store.put_items(owner, [item("a", owner.encode(), "call")])
        await store.put_response(owner, response("resp", body=owner.encode()))
        await store.put_conversation(owner, StoredConversation("conv", 5, owner.encode()))
        await store.add_to_conversation(owner, "conv", items(owner))
    assert await store.delete_items("you", ["a"]) == 1
    assert await store.delete_response("you", "resp")
    assert await store.delete_conversation("you", "conv")
    assert await store.get_calls("me", ["call"]) == {"call": b"me"}
    assert await store.get_response("me", "resp") == response("resp", body=b"me")
    assert await ids_in(store) == ["me"]


async def test_a_chain_does_not_lead_to_another_owner(store: Store) -> None:
    await store.put_response("you", response("a"))
    await store.put_response("me", response("b", "a"))
    with pytest.raises(MissingLink) as broken:
        await store.get_chain("me", "b", 10)
    assert broken.value.id == "a"


# ---------------------------------------------------------------- time


async def test_records_are_forgotten_when_their_time_is_over(conversation: Store, clock) -> None:
    store = conversation
    await store.put_items("me", [item("a", b"1", "call")])
    await store.put_response("me", response("resp"))
    clock.move(TTL_S - 1)
    assert await store.get_items("me", ["a"])
    assert await store.get_response("me", "resp")
    assert await ids_in(store, limit=1) == ["a"]
    clock.move(1)
    assert await store.get_items("me", ["a"]) == {}
    assert await store.get_calls("me", ["call"]) == {}
    assert await store.delete_items("me", ["a"]) == 0
    assert await store.get_response("me", "resp") is None
    assert not await store.delete_response("me", "resp")
    assert await store.get_conversation("me", "conv") is None
    assert not await store.add_to_conversation("me", "conv", items("z"))
    assert await ids_in(store) == []
    assert not await store.delete_conversation("me", "conv")
    stats = await store.stats()
    assert (stats.items, stats.responses, stats.conversations) == (0, 0, 0)


async def test_the_time_begins_anew_with_every_put(conversation: Store, clock) -> None:
    store = conversation
    await store.put_items("me", items("a"))
    await store.put_response("me", response("resp"))
    clock.move(TTL_S - 1)
    await store.put_items("me", items("a"))
    await store.put_response("me", response("resp"))
    await store.add_to_conversation("me", "conv", items("e"))
    clock.move(TTL_S - 1)
    assert await store.get_items("me", ["a"])
    assert await store.get_response("me", "resp")
    assert await ids_in(store) == ["a", "b", "c", "d", "e"]


async def test_a_conversation_that_was_forgotten_begins_empty(conversation: Store, clock) -> None:
    clock.move(TTL_S)
    await conversation.put_conversation("me", StoredConversation("conv", 9))
    assert await ids_in(conversation) == []


async def test_a_chain_breaks_where_its_time_is_over(store: Store, clock) -> None:
    await store.put_response("me", response("a"))
    clock.move(TTL_S / 2)
    await store.put_response("me", response("b", "a"))
    clock.move(TTL_S / 2)
    with pytest.raises(MissingLink) as broken:
        await store.get_chain("me", "b", 10)
    assert broken.value.id == "a"


async def test_pruning_counts_what_it_forgets_and_leaves_the_rest(store: Store, clock) -> None:
    assert await store.prune() == 0
    await store.put_items("me", items("a", "b"))
    await store.put_response("me", response("resp"))
    await store.put_conversation("me", StoredConversation("conv", 5))
    await store.add_to_conversation("me", "conv", items("x", "y"))
    clock.move(TTL_S - 1)
    await store.put_items("me", items("c"))
    clock.move(1)
    assert await store.prune() == 4
    assert await store.prune() == 0
    assert await store.get_items("me", ["a", "b", "c"]) == {"c": b'"c"'}


# ---------------------------------------------------------------- the whole


async def test_the_statistics_count_over_all_owners(conversation: Store) -> None:
    store = conversation
    await store.put_items("me", items("a", "b"))
    await store.put_items("you", items("a"))
    await store.put_response("me", response("late", created_at=9))
    await store.put_response("you", response("early", created_at=3))
    stats = await store.stats()
    assert (stats.items, stats.responses, stats.conversations, stats.oldest) == (3, 2, 1, 3)
    assert stats.bytes > 0


async def test_an_empty_store_has_no_oldest_response(store: Store) -> None:
    stats = await store.stats()
    assert (stats.items, stats.responses, stats.conversations) == (0, 0, 0)
    assert stats.oldest is None


async def test_many_may_use_a_store_at_once(store: Store) -> None:
    async def work(n: int) -> None:
        await store.put_items("me", [item(f"i{n}", b"%d" % n)])
        assert await store.get_items("me", [f"i{n}"]) == {f"i{n}": b"%d" % n}
        await store.put_response("me", response(f"r{n}"))
        assert await store.delete_items("me", [f"i{n}"]) == 1

    await asyncio.gather(*(work(n) for n in range(300)))
    stats = await store.stats()
    assert (stats.items, stats.responses) == (0, 300)


async def test_a_store_may_be_closed_twice(store: Store) -> None:
    await store.put_items("me", items("a"))
    await store.close()
    await store.close()
