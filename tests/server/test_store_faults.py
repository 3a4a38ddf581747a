"""A whole gateway when its store fails, and when clients name what they should not.

Each fault: the right error, nothing lost, nothing shown to the wrong caller, and it recovers.
"""

from __future__ import annotations

import asyncio
import resource
import secrets as secrets_module
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from anyturn import memory
from anyturn.store import Store
from anyturn.store.memory import MemoryStore
from anyturn.store.records import StoredItem, StoredResponse
from anyturn.store.redis import RedisStore
from anyturn.store.sqlite import SqliteStore
from anyturn.testing import Answer, ScriptedProvider, call, text
from anyturn.wire import sse
from support import store_processes
from support.gateway_processes import GatewayProcess
from support.http_clients import ASK, JSON, STREAM, TOOL
from support.redis_server import LocalRedis
from support.stream_rules import check_stream

NAMED = {"previous_response_id": "resp_1"}
MINE, OTHER = {"Authorization": "Bearer mine"}, {"Authorization": "Bearer other"}


ONES = [text("One.")] * 50
BIG = {"role": "user", "content": "x" + secrets_module.token_hex(20_000)}
NewRedis = Callable[..., LocalRedis]


def chained(count: int, first_parent: str = "") -> list[StoredResponse]:
    """Responses that continue each other."""
    return [
        StoredResponse(
            id=f"resp_{n}",
            created_at=1,
            body=msgspec.json.encode({"output": [answered(f"a{n}", n)]}),
            input=msgspec.json.encode([{"role": "user", "content": f"q{n}"}]),
            parent=f"resp_{n - 1}" if n else first_parent,
        )
        for n in range(count)
    ]


def answered(words: str, number: int) -> JSON:
    content = [{"type": "output_text", "text": words, "annotations": []}]
    return {"id": f"msg_{number}", "type": "message", "role": "assistant", "content": content}


@pytest.fixture(params=["sqlite", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """A store of each kind that outlives the gateway, in turn."""
    opened: Store
    if request.param == "redis":
        opened = RedisStore.at(request.getfixturevalue("redis_server").url)
    else:
        opened = SqliteStore(tmp_path / "store.sqlite3", lock_wait_s=0.2)
    yield opened
    await opened.close()


@asynccontextmanager
async def closing_store(store: Store) -> AsyncIterator[Store]:
    """Close it in the end, whoever used it."""
    yield store
    await store.close()


# ---------------------------------------------------------------- ids that nobody handed out

# What a URL takes, and what may be in the bodies of requests.
NAMES = st.one_of(
    st.text(min_size=1, max_size=40),
    st.sampled_from(
        [
            *("resp_", "..", "%00", "%2e%2e", "%ED%A0%80", "\x00", "é", "'; --", "*", "{x}", ":"),
            *("x" * 4000, "-1", "null", "conv_1", "msg_1", "beat_resp_1"),
        ]
    ),
)
FIELDS = st.sampled_from(
    [
        *("id", "type", "role", "content", "call_id", "output", "items", "metadata", "input"),
        *("previous_response_id", "conversation", "summary", "arguments", "name", "tools"),
    ]
)
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | FIELDS, inner, max_size=4),
    max_leaves=8,
)
ITEM_FIELDS = ("id", "type", "role", "content", "call_id", "output", "summary", "name", "arguments")
ROUTES = [
    *(("GET", "/v1/responses/{}"), ("DELETE", "/v1/responses/{}")),
    *(("POST", "/v1/responses/{}/cancel"), ("GET", "/v1/responses/{}/input_items")),
    *(("GET", "/v1/conversations/{}"), ("POST", "/v1/conversations/{}")),
    *(("DELETE", "/v1/conversations/{}"), ("GET", "/v1/conversations/{}/items")),
    *(("POST", "/v1/conversations/{}/items"), ("GET", "/v1/conversations/{}/items/{}")),
    *(("DELETE", "/v1/conversations/{}/items/{}"), ("POST", "/v1/conversations")),
    *(("POST", "/v1/responses"), ("POST", "/v1/responses/input_tokens")),
]
QUERIES = st.dictionaries(
    st.sampled_from(["stream", "starting_after", "limit", "after", "order", "include[]"]),
    st.sampled_from(["true", "-1", "0", "7", "9" * 5000, "desc", "asc", "²", "x", "msg_1"]) | NAMES,
    max_size=3,
)


SECRET = "of-the-owner-only"


async def give_secrets(on: Any) -> tuple[list[str], list[JSON]]:
    """Store something for one caller: all its ids, and how they are named in requests."""
    body = {**ASK, "tools": [TOOL], "input": SECRET}
    given = (await on.post(body, **MINE)).json
    start = {"items": [{"role": "user", "content": SECRET}], "metadata": {"s": SECRET}}
    made = (await on.post(start, "/v1/conversations", **MINE)).json
    path = f"/v1/conversations/{made['id']}/items"
    listed = (await on.call("GET", path, headers=MINE)).json["data"]
    items = [*(item["id"] for item in given["output"]), listed[0]["id"]]
    output = {"type": "function_call_output", "call_id": "call_9f3ab27e", "output": "ok"}
    named = [
        {"previous_response_id": given["id"]},
        {"conversation": made["id"]},
        {"conversation": {"id": made["id"]}},
        {"input": [output]},
        {"input": [{"type": "function_call", "call_id": "call_9f3ab27e"}, output]},
        *({"input": [{"type": "item_reference", "id": id}]} for id in items),
    ]
    return [given["id"], made["id"], *items], named


@pytest.fixture
async def secrets(stage: Any, store: Store) -> tuple[Any, list[str], list[JSON]]:
    """A stage on which one caller stored something."""
    answer = Answer(text(SECRET), call("f", {"s": SECRET}, id="call_9f3ab27e"))
    on = await stage(answer, *ONES, store=store)
    return on, *await give_secrets(on)


async def test_no_route_shows_or_changes_what_belongs_to_another(
    secrets: tuple[Any, list[str], list[JSON]],
) -> None:
    on, ids, named = secrets
    for method, route in ROUTES:
        for one in ids:
            for two in ids if route.count("{}") == 2 else ids[:1]:
                path = route.format(one, two)
                body = {"items": [], "metadata": {}} if method == "POST" else None
                reply = await on.call(method, path, headers=OTHER, json=body)
                assert SECRET not in reply.raw.decode()
                assert reply.status < 500
                assert reply.status == 404 or "{}" not in route, path
    for fields in named:
        reply = await on.post({**ASK, **fields}, **OTHER)
        assert SECRET not in reply.raw.decode()
        assert reply.status in (200, 400, 404)
    assert (
        SECRET
        not in msgspec.json.encode([request.body for request in on.provider.requests[1:]]).decode()
    )
    # Its owner finds all of it as it was.
    response, conversation, *_ = ids
    for path in (f"/v1/responses/{response}", f"/v1/conversations/{conversation}/items"):
        found = await on.call("GET", path, headers=MINE)
        assert found.status == 200 and SECRET in found.raw.decode()


class Asked(NamedTuple):
    """A request that somebody makes up."""

    method: str
    path: str
    body: JSON | None
    query: dict[str, str]


@st.composite
def asked(draw: st.DrawFn, known: list[str]) -> Asked:
    """Any route with any names, among them ids that exist."""
    method, route = draw(st.sampled_from(ROUTES))
    names = st.one_of(NAMES, st.sampled_from(known))
    path = route.format(*(quote(draw(names), safe="%") for _ in range(route.count("{}"))))
    values = JUNK | st.sampled_from(known)
    items = st.fixed_dictionaries({}, optional=dict.fromkeys(ITEM_FIELDS, values))
    fields = {"input": st.lists(items, max_size=3), "items": st.lists(items, max_size=3)}
    named = dict.fromkeys(("previous_response_id", "conversation"), st.sampled_from(known))
    whole = st.fixed_dictionaries({}, optional={**fields, **named})
    body = draw(st.none() | whole | st.dictionaries(FIELDS, values, max_size=4))
    return Asked(method, path, body if method == "POST" else None, draw(QUERIES))


async def test_no_made_up_name_or_body_breaks_the_gateway_or_shows_what_is_anothers(
    stage: Any, store: Store
) -> None:
    secret = Answer(text(SECRET), call("f", id="call_9f3ab27e"))
    on = await stage(secret, *[text("One.")] * 1000, store=store)
    theirs, _ = await give_secrets(on)
    mine = (await on.post({**ASK, "input": "mine"}, **OTHER)).json["id"]
    made = (await on.post({}, "/v1/conversations", **OTHER)).json["id"]

    async def ask(one: Asked) -> Any:
        url = URL(f"{on.root}{one.path}?{urlencode(one.query)}", encoded=True)
        body = None if one.body is None else msgspec.json.encode(one.body)
        async with on.http.request(one.method, url, data=body, headers=OTHER) as response:
            return response.status, await response.read()

    loop = asyncio.get_running_loop()

    @settings(max_examples=200, database=None)
    @given(asked([*theirs, mine, made, "call_9f3ab27e"]))
    def nothing_breaks(one: Asked) -> None:
        status, raw = asyncio.run_coroutine_threadsafe(ask(one), loop).result(20)
        assert status < 500, raw
        assert SECRET.encode() not in raw

    await asyncio.to_thread(nothing_breaks)
    assert not on.provider.refusals
    told = [msgspec.json.encode(request.body) for request in on.provider.requests[1:]]
    assert SECRET.encode() not in b"".join(told)


@pytest.mark.parametrize("limit", ["9" * 5000, "²", "0x10", "1_0", "+5"], ids=lambda x: x[:4])
async def test_a_limit_that_is_no_number_is_refused(stage: Any, limit: str) -> None:
    on = await stage(store=MemoryStore())
    made = (await on.post({}, "/v1/conversations")).json["id"]
    reply = await on.call("GET", f"/v1/conversations/{made}/items?limit={quote(limit)}")
    assert (reply.status, reply.error["param"]) == (400, "limit")


@pytest.mark.parametrize("call_id", [5, 1.5, True, {"a": 1}], ids=repr)
async def test_a_call_id_that_is_no_text_is_kept_as_it_came(
    stage: Any, store: Store, call_id: Any
) -> None:
    item = {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}"}
    for kept in (store, MemoryStore()):
        on = await stage(store=kept)
        made = (await on.post({"items": [item]}, "/v1/conversations")).json["id"]
        listed = (await on.call("GET", f"/v1/conversations/{made}/items")).json["data"]
        assert [one["call_id"] for one in listed] == [call_id]
        reply = await on.post({**ASK, "conversation": made})
        assert (reply.status, reply.error["param"]) == (400, "input[0].call_id")


async def test_a_beat_of_a_background_response_is_no_item(stage: Any, store: Store) -> None:
    on = await stage(Answer(text("One."), hold_after=1), store=store)
    queued = (await on.post({**ASK, "background": True})).json["id"]
    await on.provider.request(1)
    for name in (queued, f"beat_{queued}"):
        reply = await on.post({**ASK, "input": [{"type": "item_reference", "id": name}]})
        assert (reply.status, reply.error["code"]) == (400, "previous_response_not_found")
    on.provider.release(1)


async def test_a_counted_call_id_brings_no_call_of_another_conversation(
    stage: Any, store: Store
) -> None:
    on = await stage(Answer(call("f", {"s": SECRET}, id="call_1")), *ONES, store=store)
    first = (await on.post({**ASK, "tools": [TOOL]})).json
    assert first["output"][0]["call_id"] == "call_1"
    output = {"type": "function_call_output", "call_id": "call_1", "output": "ok"}
    stray = await on.post({**ASK, "tools": [TOOL], "input": [output]})
    assert "history.orphan_output" in stray.headers["x-anyturn-adaptations"]
    assert SECRET not in str(on.provider.requests[1].messages)
    follow = {**ASK, "tools": [TOOL], "input": [output], "previous_response_id": first["id"]}
    await on.post(follow)
    assert SECRET in str(on.provider.requests[2].messages)


# ---------------------------------------------------------------- chains


async def test_a_chain_that_bites_its_tail_ends_in_a_sentence(stage: Any, store: Store) -> None:
    on = await stage(store=store)
    for response in chained(3, first_parent="resp_2"):
        await store.put_response("", response)
    async with asyncio.timeout(20):
        reply = await on.post({**ASK, "previous_response_id": "resp_1"})
    assert (reply.status, reply.error["code"]) == (503, "store_unavailable")
    assert on.provider.requests == []


async def test_ten_thousand_links_are_continued_in_time(stage: Any, store: Store) -> None:
    on = await stage(text("One."), store=store)
    for response in chained(10_000):
        await store.put_response("", response)
    async with asyncio.timeout(20):
        reply = await on.post({**ASK, "previous_response_id": "resp_9999"})
    assert reply.status == 200
    messages = on.provider.requests[0].messages
    assert len(messages) == 20_001
    assert [one["content"] for one in (*messages[:2], *messages[-3:])] == [
        *("q0", "a0", "q9999", "a9999", "Hi")
    ]


# ---------------------------------------------------------------- the SQLite file


async def needs_nothing_and_goes_on(on: Any) -> None:
    """Turns that name nothing, within the time limit."""
    async with asyncio.timeout(10):
        for body in (ASK, STREAM):
            assert (await on.post(body)).status == 200


async def fails_in_words(on: Any, words: str) -> None:
    """What needs memory is refused for now, and said why."""
    async with asyncio.timeout(10):
        for fields in (NAMED, {"conversation": "conv_1"}):
            reply = await on.post({**ASK, **fields})
            assert (reply.status, reply.error["code"]) == (503, "store_unavailable")
            assert words in reply.error["message"]


async def is_remembered(on: Any) -> None:
    """A chain and a conversation over HTTP, begun now."""
    first = (await on.post(ASK)).json
    assert (await on.call("GET", f"/v1/responses/{first['id']}")).status == 200
    chained = await on.post({**ASK, "previous_response_id": first["id"]})
    assert chained.status == 200
    made = (await on.post({}, "/v1/conversations")).json["id"]
    assert (await on.post({**ASK, "conversation": made})).status == 200
    assert len((await on.call("GET", f"/v1/conversations/{made}/items")).json["data"]) == 2


@contextmanager
def locked(path: Path, how: str) -> Iterator[None]:
    """Another process holds the file."""
    command = [sys.executable, store_processes.__file__, how, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin and other.stdout
        assert other.stdout.readline() == "locked\n"
        try:
            yield
        finally:
            other.stdin.write("\n")
            other.stdin.close()
            other.wait()


@pytest.fixture
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that failed is asked again at once."""
    monkeypatch.setattr(memory, "PAUSE_S", 0.0)


@pytest.fixture
async def sqlite_store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A store in a file, which is not there yet."""
    opened = SqliteStore(tmp_path / "store.sqlite3", lock_wait_s=0.2)
    yield opened
    await opened.close()


async def test_while_another_writes_turns_go_on_and_what_is_stored_is_found(
    stage: Any, sqlite_store: SqliteStore, no_rest: None
) -> None:
    on = await stage(*ONES, store=sqlite_store)
    before = (await on.post(ASK)).json["id"]
    with locked(sqlite_store.path, "lock"):
        await needs_nothing_and_goes_on(on)
        # Readers do not wait for a writer.
        assert (await on.post({**ASK, "previous_response_id": before})).status == 200
        reply = await on.post({}, "/v1/conversations")
        assert (reply.status, reply.error["code"]) == (503, "store_unavailable")
        assert "is locked by another process" in reply.error["message"]
    await is_remembered(on)


async def test_a_file_that_is_locked_at_the_start_is_used_when_it_is_free(
    stage: Any, sqlite_store: SqliteStore, no_rest: None, caplog: pytest.LogCaptureFixture
) -> None:
    await sqlite_store.put_items("", [StoredItem("msg_1", b"{}")])
    path = sqlite_store.path
    await sqlite_store.close()
    async with closing_store(SqliteStore(path, lock_wait_s=0.2)) as store:
        with locked(path, "lock_out"):
            on = await stage(*ONES, store=store)
            assert "is locked by another process" in caplog.text
            await needs_nothing_and_goes_on(on)
            await fails_in_words(on, "is locked by another process")
        await is_remembered(on)


async def test_a_file_that_is_no_database_is_left_alone_until_it_is_moved_away(
    stage: Any, sqlite_store: SqliteStore, no_rest: None, caplog: pytest.LogCaptureFixture
) -> None:
    path, kept = sqlite_store.path, b"no database at all " * 100
    path.write_bytes(kept)
    on = await stage(*ONES, store=sqlite_store)
    assert "is damaged or no database" in caplog.text
    await needs_nothing_and_goes_on(on)
    await fails_in_words(on, "is damaged or no database")
    assert path.read_bytes() == kept
    path.rename(path.with_suffix(".damaged"))
    await is_remembered(on)


async def test_a_file_that_breaks_while_it_is_used_is_said_and_can_be_moved_away(
    stage: Any, sqlite_store: SqliteStore, no_rest: None
) -> None:
    on = await stage(*ONES, store=sqlite_store)
    first = (await on.post(ASK)).json["id"]
    for name in (sqlite_store.path.name, f"{sqlite_store.path.name}-wal"):
        path = sqlite_store.path.with_name(name)
        path.write_bytes(b"\xa5" * path.stat().st_size)
    await needs_nothing_and_goes_on(on)
    # What SQLite still has in memory may be found; what it has not is no fault of ours.
    reply = await on.post({**ASK, "previous_response_id": first})
    assert reply.status == 200 or reply.error["code"] == "store_unavailable"
    for path in sqlite_store.path.parent.glob("store.sqlite3*"):
        path.rename(path.with_name(f"damaged-{path.name}"))
    await is_remembered(on)


async def test_on_a_full_disk_turns_go_on_and_nothing_is_lost(tmp_path: Path) -> None:
    path = str(tmp_path / "store.sqlite3")
    async with (
        ScriptedProvider(repeat(text("One."))) as provider,
        GatewayProcess(provider.base_url, file_bytes=400_000, ANYTURN_STORE_PATH=path) as gateway,
    ):
        kept = []
        while "cannot be read or written" not in gateway.log and len(kept) < 100:
            kept.append((await gateway.turn(secrets_module.token_hex(20_000)))["id"])
        last = kept.pop()
        assert 2 <= len(kept) < 99
        assert (await gateway.call("GET", f"/v1/responses/{last}"))[0] == 404
        status, refused = await gateway.call("POST", "/v1/conversations", {"items": [BIG]})
        assert (status, refused["error"]["code"]) == (503, "store_unavailable")
        assert "cannot be read or written" in refused["error"]["message"]
        for response_id in kept:
            assert (await gateway.call("GET", f"/v1/responses/{response_id}"))[0] == 200
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        status, made = await gateway.call("POST", "/v1/conversations", {"items": [BIG]})
        assert status == 200
        assert (await gateway.turn("Hi", conversation=made["id"]))["status"] == "completed"


# ---------------------------------------------------------------- Redis


async def test_a_redis_that_is_down_at_the_start_is_used_when_it_comes(
    stage: Any, new_redis: NewRedis, no_rest: None, caplog: pytest.LogCaptureFixture
) -> None:
    server = new_redis()
    server.stop()
    async with closing_store(RedisStore.at(server.url)) as store:
        on = await stage(*ONES, store=store)
        assert f"Redis at {server.address} cannot be reached" in caplog.text
        await needs_nothing_and_goes_on(on)
        await fails_in_words(on, "cannot be reached")
        assert server.start()
        await is_remembered(on)


async def test_a_redis_that_is_restarted_in_the_middle_of_a_turn_is_not_missed(
    stage: Any, new_redis: NewRedis, no_rest: None
) -> None:
    server = new_redis("--appendonly", "yes", "--appendfsync", "always")
    async with closing_store(RedisStore.at(server.url)) as store:
        on = await stage(text("One."), Answer(text("Two."), hold_after=1), *ONES, store=store)
        first = (await on.post(ASK)).json["id"]
        turn = asyncio.ensure_future(on.post({**ASK, "previous_response_id": first}))
        await on.provider.request(2)
        server.stop()
        assert server.start()
        on.provider.release(2)
        second = (await turn).json
        assert (second["status"], second["previous_response_id"]) == ("completed", first)
        third = await on.post({**ASK, "previous_response_id": second["id"]})
        assert third.status == 200
        assert [one["content"] for one in on.provider.requests[2].messages] == [
            *("Hi", "One.", "Hi", "Two.", "Hi")
        ]


async def test_a_redis_that_goes_in_the_middle_of_a_turn_takes_nothing_from_it(
    stage: Any, new_redis: NewRedis, no_rest: None
) -> None:
    server = new_redis()
    async with closing_store(RedisStore.at(server.url)) as store:
        on = await stage(Answer(text("One."), hold_after=1), *ONES, store=store)
        turn = asyncio.ensure_future(on.post(STREAM))
        await on.provider.request(1)
        server.stop()
        on.provider.release(1)
        reply = await turn
        assert check_stream(reply.events)["status"] == "completed"
        await fails_in_words(on, "cannot be reached")
        assert server.start()
        await is_remembered(on)


# ---------------------------------------------------------------- clients that go


async def test_a_client_that_vanishes_in_the_middle_leaves_its_done_items_only(
    stage: Any, store: Store
) -> None:
    """F73. What it has seen done can be referred to; a response that did not end is not there."""
    held = Answer(text("One."), call("f", id="call_9f3ab27e"), fragment=1, hold_after=6)
    on = await stage(held, *ONES, store=store)
    async with on.open({**STREAM, "tools": [TOOL]}) as reply:
        seen = b""
        while b"response.output_item.done" not in seen:
            seen += await reply.content.readany()
    await on.provider.cancelled(1)
    events = [msgspec.json.decode(one.data) for one in sse.Decoder().feed(seen)]
    (done,) = [e["item"] for e in events if e["type"] == "response.output_item.done"]
    response_id = events[0]["response"]["id"]
    assert (await on.call("GET", f"/v1/responses/{response_id}")).status == 404
    assert (await on.post({**ASK, "previous_response_id": response_id})).status == 400
    reference = {"type": "item_reference", "id": done["id"]}
    assert (await on.post({**ASK, "input": [reference, {"role": "user", "content": "So?"}]})).json
    assert [one["content"] for one in on.provider.requests[1].messages] == ["One.", "So?"]
    await is_remembered(on)


async def test_many_that_vanish_leave_no_trace_in_the_turns_of_others(
    stage: Any, store: Store
) -> None:
    held = [Answer(text("Gone."), fragment=1, hold_after=2)] * 20
    on = await stage(text("One."), *held, *ONES, store=store)
    first = (await on.post(ASK)).json["id"]
    follow = {**STREAM, "previous_response_id": first}

    async def vanish() -> None:
        async with on.open(follow) as reply:
            await reply.content.readany()

    await asyncio.gather(*(vanish() for _ in range(20)))
    await asyncio.gather(*(on.provider.cancelled(n) for n in range(2, 22)))
    assert (await store.stats()).responses == 1
    assert (await on.post({**ASK, "previous_response_id": first})).status == 200
    assert [m["content"] for m in on.provider.requests[-1].messages] == ["Hi", "One.", "Hi"]


async def test_a_background_response_outlives_whoever_follows_it(stage: Any, store: Store) -> None:
    on = await stage(Answer(text("One."), fragment=1, hold_after=2), store=store)
    queued = (await on.post({**ASK, "background": True})).json["id"]
    path = f"/v1/responses/{queued}"
    await on.provider.request(1)
    async with on.http.get(f"{on.root}{path}?stream=true") as reply:
        await reply.content.readany()
    on.provider.release(1)
    assert check_stream((await on.call("GET", f"{path}?stream=true")).events)["status"] == (
        "completed"
    )
    assert not on.provider.requests[0].cancelled


# ---------------------------------------------------------------- no store at all


@pytest.mark.parametrize(("method", "route"), ROUTES, ids=lambda value: value)
async def test_without_a_store_every_route_says_so(stage: Any, method: str, route: str) -> None:
    on = await stage(text("One."), store=None)
    body = {**ASK, "previous_response_id": "resp_1"} if method == "POST" else None
    reply = await on.call(method, route.format("resp_1", "msg_1"), json=body)
    assert reply.status in (400, 404)
    assert reply.status == 404 or "without a store" in reply.error["message"]
    assert on.provider.requests == []
