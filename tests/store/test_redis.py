from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.crc import key_slot

from anyturn.store.records import (
    MissingLink,
    Stats,
    StoredConversation,
    StoredItem,
    StoredResponse,
    StoreError,
)
from anyturn.store.redis import RedisStore
from support.redis_server import LocalRedis

DAY_MS = 24 * 3600 * 1000


@asynccontextmanager
async def opened(server: LocalRedis, **options: Any) -> AsyncIterator[RedisStore]:
    store = await RedisStore.open(server.url, **options)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(redis_server: LocalRedis) -> AsyncIterator[RedisStore]:
    async with opened(redis_server) as store:
        yield store


def call(id: str, call_id: str, body: bytes = b"{}") -> StoredItem:
    return StoredItem(id, body, call_id)


def response(id: str, parent: str = "", **members: Any) -> StoredResponse:
    return StoredResponse(id=id, created_at=1_700_000_000, body=b"{}", parent=parent, **members)


async def fill(store: RedisStore, owner: str) -> None:
    """Put one record of each kind."""
    await store.put_items(owner, [call("fc_1", "call_1"), StoredItem("msg_1", b"1")])
    await store.put_response(owner, response("resp_1", events=b"stream"))
    await store.put_conversation(owner, StoredConversation("conv_1", 1))
    assert await store.add_to_conversation(owner, "conv_1", [StoredItem("msg_1", b"1")])


async def use_everything(store: RedisStore, owner: str) -> None:
    await fill(store, owner)
    await store.put_items(owner, [call("fc_1", "call_2")])
    assert await store.get_calls(owner, ["call_1", "call_2"]) == {"call_2": b"{}"}
    assert await store.get_items(owner, ["fc_1", "msg_1"]) == {"fc_1": b"{}", "msg_1": b"1"}
    assert await store.delete_items(owner, ["fc_1", "fc_2"]) == 1
    await store.put_response(owner, response("resp_2", "resp_1"))
    assert [link.id for link in await store.get_chain(owner, "resp_2", 9)] == ["resp_1", "resp_2"]
    assert await store.conversation_items(owner, "conv_1") == [StoredItem("msg_1", b"1")]
    assert await store.delete_conversation_item(owner, "conv_1", "msg_1")
    assert await store.delete_conversation(owner, "conv_1")
    assert await store.delete_response(owner, "resp_2")
    assert (await store.stats()).responses >= 1
    assert await store.prune() == 0


# ---------------------------------------------------------------- against a model


class DictStore:
    """What a store does, said with dictionaries."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], StoredItem] = {}
        self.responses: dict[tuple[str, str], StoredResponse] = {}
        self.conversations: dict[tuple[str, str], StoredConversation] = {}
        self.members: dict[tuple[str, str], dict[str, StoredItem]] = {}

    def put_items(self, owner: str, items: list[StoredItem]) -> None:
        for item in items:
            self.items.pop((owner, item.id), None)
            self.items[owner, item.id] = item

    def get_items(self, owner: str, ids: list[str]) -> dict[str, bytes]:
        return {id: self.items[owner, id].body for id in ids if (owner, id) in self.items}

    def get_calls(self, owner: str, call_ids: list[str]) -> dict[str, bytes]:
        calls = {item.call_id: item.body for (own, _), item in self.items.items() if own == owner}
        return {id: calls[id] for id in call_ids if id in calls}

    def delete_items(self, owner: str, ids: list[str]) -> int:
        return sum(self.items.pop((owner, id), None) is not None for id in ids)

    def put_response(self, owner: str, response: StoredResponse) -> None:
        self.responses[owner, response.id] = response

    def get_response(self, owner: str, id: str) -> StoredResponse | None:
        return self.responses.get((owner, id))

    def get_chain(self, owner: str, id: str, most: int) -> list[StoredResponse]:
        chain: list[StoredResponse] = []
        while id:
            if (owner, id) not in self.responses:
                raise MissingLink(id)
            chain.insert(0, msgspec.structs.replace(self.responses[owner, id], events=b""))
            if len(chain) > most:
                raise StoreError("too long, or a circle")
            id = chain[0].parent
        return chain

    def delete_response(self, owner: str, id: str) -> bool:
        return self.responses.pop((owner, id), None) is not None

    def put_conversation(self, owner: str, conversation: StoredConversation) -> None:
        self.conversations[owner, conversation.id] = conversation
        self.members.setdefault((owner, conversation.id), {})

    def get_conversation(self, owner: str, id: str) -> StoredConversation | None:
        return self.conversations.get((owner, id))

    def delete_conversation(self, owner: str, id: str) -> bool:
        self.members.pop((owner, id), None)
        return self.conversations.pop((owner, id), None) is not None

    def add_to_conversation(self, owner: str, id: str, items: list[StoredItem]) -> bool:
        if (owner, id) in self.conversations:
            self.members[owner, id].update((item.id, item) for item in items)
        return (owner, id) in self.conversations

    def conversation_items(
        self, owner: str, id: str, *, after: str, limit: int, order: str
    ) -> list[StoredItem]:
        found = list(self.members.get((owner, id), {}).values())[:: 1 if order == "asc" else -1]
        ids = ["", *(item.id for item in found)] if not after else [item.id for item in found]
        if after not in ids:
            return []
        rest = found[ids.index(after) + bool(after) :]
        return rest[:limit] if limit else rest

    def delete_conversation_item(self, owner: str, id: str, item_id: str) -> bool:
        return self.members.get((owner, id), {}).pop(item_id, None) is not None

    def stats(self) -> Stats:
        oldest = min((one.created_at for one in self.responses.values()), default=None)
        counts = (len(self.items), len(self.responses), len(self.conversations))
        return Stats("redis", *counts, bytes=0, oldest=oldest)


OWNERS = st.sampled_from(["", "a", "a}b"])
IDS = st.sampled_from(["1", "2", "3", "}:r:1", "é"])
MANY = st.lists(IDS, max_size=4)
BODIES = st.binary(max_size=4)
ITEMS = st.lists(
    st.builds(StoredItem, id=IDS, body=BODIES, call_id=st.sampled_from(["", "x", "y"])), max_size=4
)
RESPONSES = st.builds(
    StoredResponse,
    id=IDS,
    created_at=st.integers(0, 9),
    body=BODIES,
    input=BODIES,
    parent=st.just("") | IDS,
    conversation=st.just("") | IDS,
    events=BODIES,
)
CONVERSATIONS = st.builds(StoredConversation, id=IDS, created_at=st.integers(0, 9), metadata=BODIES)
PAGES = st.fixed_dictionaries(
    {
        "after": st.just("") | IDS,
        "limit": st.integers(0, 3),
        "order": st.sampled_from(["asc", "desc"]),
    }
)


def step(name: str, *arguments: st.SearchStrategy[Any], **named: Any) -> st.SearchStrategy[Any]:
    keywords = named.get("keywords", st.just({}))
    return st.tuples(st.just(name), st.tuples(OWNERS, *arguments), keywords)


STEPS = st.one_of(
    step("put_items", ITEMS),
    step("get_items", MANY),
    step("get_calls", st.lists(st.sampled_from(["x", "y", "z"]))),
    step("delete_items", MANY),
    step("put_response", RESPONSES),
    step("get_response", IDS),
    step("get_chain", IDS, st.integers(1, 4)),
    step("delete_response", IDS),
    step("put_conversation", CONVERSATIONS),
    step("get_conversation", IDS),
    step("delete_conversation", IDS),
    step("add_to_conversation", IDS, ITEMS),
    step("conversation_items", IDS, keywords=PAGES),
    step("delete_conversation_item", IDS, IDS),
)


async def outcome(do: Callable[[], Any]) -> Any:
    """What it returns, or which error it raises."""
    try:
        result = do()
        return await result if isinstance(result, Awaitable) else result
    except (MissingLink, StoreError) as error:
        return type(error), getattr(error, "id", "")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=25))
def test_it_does_what_dictionaries_do(redis_server: LocalRedis, steps: list[Any]) -> None:
    async def play() -> None:
        redis_server.ask("FLUSHALL")
        model = DictStore()
        async with opened(redis_server) as store:
            for name, arguments, named in steps:
                expected = await outcome(lambda: getattr(model, name)(*arguments, **named))  # noqa: B023
                got = await outcome(lambda: getattr(store, name)(*arguments, **named))  # noqa: B023
                assert got == expected, name
            assert msgspec.structs.replace(await store.stats(), bytes=0) == model.stats()

    asyncio.run(play())


# ---------------------------------------------------------------- keys and expiry


@pytest.mark.parametrize("owner", ["", "someone", "}", "{}", "a:b/ü"])
async def test_all_keys_of_an_owner_share_a_slot(
    store: RedisStore, redis_server: LocalRedis, owner: str
) -> None:
    await fill(store, owner)
    keys = redis_server.ask("KEYS", "*")
    assert len(keys) == 7
    assert all(key.startswith(b"anyturn:{") for key in keys)
    assert len(set(map(key_slot, keys))) == 1


async def test_everything_works_in_a_cluster(new_redis: Callable[..., LocalRedis]) -> None:
    """A server in cluster mode refuses whatever touches two slots."""
    server = new_redis("--cluster-enabled", "yes")
    server.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    while "cluster_state:ok" not in str(server.ask("CLUSTER", "INFO")):
        server.ask("WAIT", 1, 50)  # it takes two seconds for that
    async with opened(server) as store:
        for owner in ("a", "b"):
            await use_everything(store, owner)


async def test_every_key_expires(redis_server: LocalRedis) -> None:
    async with opened(redis_server, ttl_s=3600) as store:
        await fill(store, "a")
    left = [redis_server.ask("PTTL", key) for key in redis_server.ask("KEYS", "*")]
    assert len(left) == 7
    assert all(3_500_000 < one <= 3_600_000 for one in left)


async def test_a_conversation_lives_on_when_items_are_added(redis_server: LocalRedis) -> None:
    async with opened(redis_server, ttl_s=60) as store:
        await fill(store, "a")
    async with opened(redis_server, ttl_s=3600) as store:
        await store.add_to_conversation("a", "conv_1", [StoredItem("msg_2", b"2")])
    keys = [f"anyturn:{{a}}:{kind}:conv_1" for kind in "cob"]
    assert all(redis_server.ask("PTTL", key) > 3_500_000 for key in keys)


async def test_a_shorter_life_holds_for_what_is_there(redis_server: LocalRedis) -> None:
    async with opened(redis_server) as store:
        await fill(store, "a")
        await store.put_response("a", response("resp_old"))
    put = time.time_ns() // 1_000_000 - 2 * DAY_MS
    for key in ("r:resp_old", "c:conv_1"):
        redis_server.ask("HSET", f"anyturn:{{a}}:{key}", "put", put)
    async with opened(redis_server, ttl_s=24 * 3600) as store:
        assert await store.prune() == 2
        assert await store.prune() == 0
        assert await store.get_response("a", "resp_old") is None
        assert await store.conversation_items("a", "conv_1") == []
    assert 0 < redis_server.ask("PTTL", "anyturn:{a}:r:resp_1") <= DAY_MS


async def test_a_call_id_used_again_and_again_forgets_expired_items(
    store: RedisStore, redis_server: LocalRedis
) -> None:
    await store.put_items("a", [call(f"fc_{n}", "call_0") for n in range(20)])
    redis_server.ask("DEL", *(f"anyturn:{{a}}:i:fc_{n}" for n in range(19)))
    assert await store.get_calls("a", ["call_0"]) == {"call_0": b"{}"}
    for n in range(10):
        await store.put_items("a", [call(f"new_{n}", "call_0")])
    assert redis_server.ask("ZCARD", "anyturn:{a}:k:call_0") == 11


async def test_keys_of_others_are_left_alone(store: RedisStore, redis_server: LocalRedis) -> None:
    redis_server.ask("SET", "elsewhere", "1")
    redis_server.ask("SET", "anyturn-too", "1")
    await use_everything(store, "a")
    assert redis_server.ask("GET", "elsewhere") == redis_server.ask("GET", "anyturn-too") == b"1"


async def test_a_record_of_another_version_is_a_store_error(
    store: RedisStore, redis_server: LocalRedis
) -> None:
    await fill(store, "a")
    redis_server.ask("HSET", "anyturn:{a}:r:resp_1", "record", b"\xc1 secret")
    for read in (store.get_response("a", "resp_1"), store.get_chain("a", "resp_1", 9)):
        with pytest.raises(StoreError, match="cannot read") as refused:
            await read
        assert "secret" not in str(refused.value)


# ---------------------------------------------------------------- long ones


async def put_chain(server: LocalRedis, links: int) -> None:
    """Put a chain, many responses at a time: as many single puts would take seconds."""
    async with opened(server, timeout_s=20) as store:
        for start in range(0, links, 500):
            await asyncio.gather(
                *(
                    store.put_response("a", response(f"r{n}", f"r{n - 1}" if n else ""))
                    for n in range(start, min(start + 500, links))
                )
            )


async def test_a_chain_of_ten_thousand_links_loads_in_a_few_exchanges(
    redis_server: LocalRedis,
) -> None:
    await put_chain(redis_server, 10_000)
    async with opened(redis_server, timeout_s=20) as store:
        redis_server.ask("CONFIG", "RESETSTAT")
        chain = await store.get_chain("a", "r9999", 10_000)
        sent = redis_server.ask("INFO", "commandstats")["cmdstat_evalsha"]["calls"]
        assert len(chain) == 10_000 and chain[0].id == "r0"
        assert all(after.parent == before.id for before, after in pairwise(chain))
        assert sent == 20
        with pytest.raises(StoreError, match="more than 9999 links"):
            await store.get_chain("a", "r9999", 9_999)
        await store.delete_response("a", "r700")
        with pytest.raises(MissingLink, match="r700"):
            await store.get_chain("a", "r9999", 10_000)


async def test_long_bodies_come_in_parts(store: RedisStore) -> None:
    body = b"x" * 1_500_000
    for n in range(7):
        await store.put_response(
            "a", msgspec.structs.replace(response(f"r{n}", f"r{n - 1}" if n else ""), body=body)
        )
    assert [link.body for link in await store.get_chain("a", "r6", 9)] == [body] * 7
    await store.put_conversation("a", StoredConversation("c", 1))
    items = [StoredItem(str(n), body) for n in range(7)]
    await store.add_to_conversation("a", "c", items)
    assert await store.conversation_items("a", "c") == items
    assert (
        await store.conversation_items("a", "c", order="desc", after="6", limit=5) == items[5:0:-1]
    )


@pytest.mark.parametrize("links", [1, 2, 700])
async def test_a_circle_ends_with_a_store_error(redis_server: LocalRedis, links: int) -> None:
    await put_chain(redis_server, links)
    async with opened(redis_server) as store:
        await store.put_response("a", response("r0", f"r{links - 1}"))
        with pytest.raises(StoreError, match="circle"):
            await store.get_chain("a", "r0", 10_000)


async def test_a_conversation_of_many_items_keeps_its_order(store: RedisStore) -> None:
    await store.put_conversation("a", StoredConversation("c", 1))
    items = [StoredItem(str(n), b"") for n in range(1_201)]
    await store.add_to_conversation("a", "c", items)
    await store.add_to_conversation("a", "c", [StoredItem("600", b"new")])
    items[600] = StoredItem("600", b"new")
    assert await store.conversation_items("a", "c") == items
    assert await store.conversation_items("a", "c", order="desc") == items[::-1]
    assert await store.conversation_items("a", "c", after="99", limit=700) == items[100:800]


async def test_bytes_are_those_of_the_stores_keys(
    store: RedisStore, redis_server: LocalRedis
) -> None:
    redis_server.ask("SET", "elsewhere", b"x" * 100_000)
    assert (await store.stats()).bytes == 0
    await store.put_items("a", [StoredItem("1", b"x" * 10_000)])
    assert 10_000 < (await store.stats()).bytes < 20_000


# ---------------------------------------------------------------- the library


async def test_without_the_library_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "anyturn.store.redis_server", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(StoreError, match="pip install redis"):
        await RedisStore.open("redis://127.0.0.1:1")
