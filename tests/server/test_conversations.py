"""Conversations over HTTP: made, filled by turns and by clients, listed, deleted."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from yarl import URL

from anyturn.memory import conversation_items, stored_form
from anyturn.store.memory import MemoryStore
from anyturn.store.records import Store, StoredConversation, StoredItem
from anyturn.testing import Answer, Refusal, call, openai_error, reasoning, text
from support.http_clients import ASK, JSON, TOOL
from support.stores import TroubledStore


@pytest.fixture
def store() -> Store:
    return MemoryStore()


def messages(on: Any, number: int) -> list[JSON]:
    """The Chat messages of the provider's request, counted from 1."""
    found: list[JSON] = on.provider.requests[number - 1].messages
    return found


async def new_conversation(on: Any, *items: JSON, **metadata: str) -> str:
    """The path of a new conversation."""
    body = {"items": list(items), "metadata": metadata}
    return f"/v1/conversations/{(await on.post(body, '/v1/conversations')).json['id']}"


def user(words: str, **members: Any) -> JSON:
    return {"role": "user", "content": words, **members}


async def texts(on: Any, path: str) -> list[str]:
    """What the messages of a conversation say, the first one first."""
    listed = (await on.call("GET", f"{path}/items?order=asc&limit=100")).json["data"]
    return [item["content"][0]["text"] for item in listed if item["type"] == "message"]


async def test_a_conversation_holds_what_was_asked_and_answered(stage: Any, store: Store) -> None:
    on = await stage(text("One."), text("Two."), store=store)
    start = {"items": [{"role": "user", "content": "Before."}], "metadata": {"k": "v"}}
    made = (await on.post(start, "/v1/conversations")).json
    assert (made["object"], made["metadata"]) == ("conversation", {"k": "v"})
    for form in (made["id"], {"id": made["id"]}):
        reply = (await on.post({**ASK, "conversation": form})).json
        assert reply["conversation"] == {"id": made["id"]}
    assert [one["content"] for one in messages(on, 2)] == ["Before.", "Hi", "One.", "Hi"]
    path = f"/v1/conversations/{made['id']}/items"
    items = (await on.call("GET", f"{path}?order=asc")).json["data"]
    texts = [item["content"][0]["text"] for item in items]
    assert texts == ["Before.", "Hi", "One.", "Hi", "Two."]
    assert (await on.call("GET", f"{path}/{items[1]['id']}")).json == items[1]
    assert (await on.call("DELETE", f"{path}/{items[1]['id']}")).json["id"] == made["id"]
    assert (await on.call("GET", f"{path}/{items[1]['id']}")).status == 404
    added = (await on.post({"items": [{"role": "user", "content": "More."}]}, path)).json
    assert added["data"][0]["content"] == [{"type": "input_text", "text": "More."}]
    assert len((await on.call("GET", path)).json["data"]) == 5


async def test_a_conversation_is_changed_and_deleted(stage: Any, store: Store) -> None:
    on = await stage(store=store)
    made = (await on.post({}, "/v1/conversations")).json
    path = f"/v1/conversations/{made['id']}"
    changed = (await on.post({"metadata": {"a": "b"}}, path)).json
    assert changed == {**made, "metadata": {"a": "b"}} == (await on.call("GET", path)).json
    gone = (await on.call("DELETE", path)).json
    assert gone == {"id": made["id"], "object": "conversation.deleted", "deleted": True}
    for method, route in [("GET", path), ("DELETE", path), ("GET", f"{path}/items")]:
        assert (await on.call(method, route)).status == 404
    reply = await on.post({**ASK, "conversation": made["id"]})
    assert (reply.status, reply.error["param"]) == (404, "conversation")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"items": "x"}, "items"),
        ({"items": [5]}, "items"),
        ({"items": [{"role": "user", "content": "x"}] * 21}, "items"),
        ({"metadata": {"a": 5}}, "metadata.a"),
        ({"metadata": {"a": None}}, "metadata.a"),
        ({"metadata": {"a": "x" * 513}}, "metadata.a"),
        ({"metadata": {"ä" * 65: "x"}}, "metadata." + "ä" * 64),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
        ({"metadata": [["a", "b"]]}, "metadata"),
    ],
)
async def test_a_wrong_conversation_is_refused(
    stage: Any, store: Store, body: JSON, param: str
) -> None:
    on = await stage(store=store)
    reply = await on.post(body, "/v1/conversations")
    assert (reply.status, reply.error["param"]) == (400, param)


async def test_a_conversation_and_a_previous_response_exclude_each_other(
    stage: Any, store: Store
) -> None:
    on = await stage(store=store)
    reply = await on.post({**ASK, "conversation": "conv_1", "previous_response_id": "resp_1"})
    assert (reply.status, reply.error["param"]) == (400, "conversation")


async def test_a_turn_that_failed_is_not_added_to_its_conversation(
    stage: Any, store: Store
) -> None:
    on = await stage(Refusal(400, openai_error("no")), store=store)
    made = (await on.post({}, "/v1/conversations")).json["id"]
    assert (await on.post({**ASK, "conversation": made})).status == 400
    assert (await on.call("GET", f"/v1/conversations/{made}/items")).json["data"] == []


# ---------------------------------------------------------------- what is in a conversation


async def test_metadata_may_be_as_large_as_allowed_and_is_replaced_as_a_whole(
    stage: Any, store: Store
) -> None:
    on = await stage(store=store)
    large = {f"{n:02}" + "ü" * 62: "ß" * 512 for n in range(16)}
    path = await new_conversation(on, **large)
    assert (await on.call("GET", path)).json["metadata"] == large
    assert (await on.post({"metadata": None}, path)).json["metadata"] == {}
    refused = await on.post({}, path)
    assert (refused.status, refused.error["param"]) == (400, "metadata")


async def test_items_that_are_no_messages_are_kept_as_they_are(stage: Any, store: Store) -> None:
    items = [
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "id": "fc_1"},
        {"type": "function_call_output", "call_id": "c1", "output": "ok"},
        {"type": "reasoning", "summary": [], "id": "rs_1"},
        {"type": "acme:made_up", "payload": {"ä": [1, None]}},
        {"type": "message", "role": "user", "content": [{"type": "input_image", "detail": "low"}]},
    ]
    on = await stage(store=store)
    path = await new_conversation(on, *items)
    listed = (await on.call("GET", f"{path}/items?order=asc")).json["data"]
    for given, kept in zip(items, listed, strict=True):
        assert kept.items() >= given.items() and kept["id"]
        assert (await on.call("GET", f"{path}/items/{kept['id']}")).json == kept


async def test_a_turn_adds_its_calls_and_its_reasoning_and_the_next_one_gives_them_back(
    stage: Any, store: Store
) -> None:
    """F8: also with `store: false`, where nothing but the conversation is kept."""
    answer = Answer(reasoning("I look."), call("f", "{}"))
    on = await stage(answer, text("Done."), store=store, profile="cerebras")
    path = await new_conversation(on)
    turn = {**ASK, "tools": [TOOL], "store": False, "conversation": path.rpartition("/")[2]}
    first = (await on.post(turn)).json
    thought, called = first["output"]
    assert first["store"] is False and "encrypted_content" not in thought
    assert (await on.call("GET", f"/v1/responses/{first['id']}")).status == 404
    output = {"type": "function_call_output", "call_id": called["call_id"], "output": "ok"}
    assert (await on.post({**turn, "input": [output]})).json["status"] == "completed"
    asked, assistant, tool = messages(on, 2)
    assert (asked["content"], assistant["reasoning"], tool["content"]) == ("Hi", "I look.", "ok")
    stats = await store.stats()
    assert (stats.responses, stats.items, stats.conversations) == (0, 0, 1)


async def test_items_that_are_numbered_anew_in_each_request_do_not_replace_each_other(
    stage: Any, store: Store
) -> None:
    on = await stage(text("One."), text("Two."), store=store)
    path = await new_conversation(on, user("a", id="msg_1"), user("b", id="msg_1"))
    turn = {**ASK, "conversation": path.rpartition("/")[2]}
    await on.post({**turn, "input": [user("c", id="msg_1")]})
    await on.post({**turn, "input": [user("d", id="msg_1"), user("e", id="msg_1")]})
    assert await texts(on, path) == ["a", "b", "c", "One.", "d", "e", "Two."]
    listed = (await on.call("GET", f"{path}/items")).json["data"]
    assert len({item["id"] for item in listed}) == 7


async def test_what_is_sent_again_is_in_the_conversation_once(stage: Any, store: Store) -> None:
    """F4."""
    on = await stage(Answer(text("One."), call("f", "{}")), text("Two."), store=store)
    path = await new_conversation(on)
    turn = {**ASK, "tools": [TOOL], "conversation": path.rpartition("/")[2]}
    said, called = (await on.post(turn)).json["output"]
    output = {"type": "function_call_output", "call_id": called["call_id"], "output": "ok"}
    await on.post({**turn, "input": [user("Hi", type="message"), said, called, output]})
    listed = (await on.call("GET", f"{path}/items?order=asc")).json["data"]
    kinds = [item["type"] for item in listed]
    assert kinds == [
        *("message", "message", "function_call"),
        *("function_call_output", "message"),
    ]


async def test_two_turns_at_the_same_time_are_both_added_each_in_one_piece(
    stage: Any, store: Store
) -> None:
    on = await stage(Answer(text("A."), hold_after=1), Answer(text("B.")), store=store)
    path = await new_conversation(on, user("Before."))
    turn = {**ASK, "stream": True, "conversation": path.rpartition("/")[2]}
    async with on.open({**turn, "input": "a"}) as first:
        await on.provider.request(1)
        await on.post({**turn, "input": "b"})
        on.provider.release(1)
        await first.read()
    assert await texts(on, path) == ["Before.", "b", "B.", "a", "A."]
    assert [one["content"] for one in messages(on, 2)] == ["Before.", "b"]


async def test_a_compaction_leaves_its_conversation_as_it_is(stage: Any, store: Store) -> None:
    on = await stage(text("One."), text("All of it."), text("Two."), store=store)
    path = await new_conversation(on)
    turn = {**ASK, "conversation": path.rpartition("/")[2]}
    await on.post(turn)
    compacted = (await on.post({**turn, "input": [{"type": "compaction_trigger"}]})).json
    assert [item["type"] for item in compacted["output"]] == ["compaction"]
    assert (await on.post({**turn, "input": "on"})).json["status"] == "completed"
    assert await texts(on, path) == ["Hi", "One.", "on", "Two."]


async def test_a_cut_answer_is_added_and_a_client_that_leaves_adds_nothing(
    stage: Any, store: Store
) -> None:
    on = await stage(
        Answer(text("One."), finish="length"),
        Answer(text("Two."), hold_after=1),
        store=store,
    )
    path = await new_conversation(on)
    turn = {**ASK, "conversation": path.rpartition("/")[2]}
    assert (await on.post(turn)).json["status"] == "incomplete"
    async with on.open({**turn, "stream": True}):
        await on.provider.request(2)
    await on.provider.cancelled(2)
    assert await texts(on, path) == ["Hi", "One."]


# ---------------------------------------------------------------- who, how many, and damage


async def test_a_conversation_does_not_exist_for_another_caller(stage: Any, store: Store) -> None:
    on = await stage(store=store)
    body = {"items": [user("secret", id="msg_1")]}
    made = (await on.post(body, "/v1/conversations", Authorization="Bearer mine")).json["id"]
    path = f"/v1/conversations/{made}"
    for other in ({}, {"Authorization": "Bearer other"}):
        for method, route, data in [
            *(("GET", path, None), ("GET", f"{path}/items", None), ("DELETE", path, None)),
            *(("GET", f"{path}/items/msg_1", None), ("DELETE", f"{path}/items/msg_1", None)),
            *(("POST", path, {"metadata": {}}), ("POST", f"{path}/items", {"items": []})),
            ("POST", "/v1/responses", {**ASK, "conversation": made}),
            ("POST", "/v1/responses/input_tokens", {**ASK, "conversation": made}),
        ]:
            reply = await on.call(method, route, headers=other, json=data)
            assert reply.status == 404, (method, route)
            assert b"secret" not in reply.raw
    mine = {"Authorization": "Bearer mine"}
    assert (await on.call("GET", f"{path}/items/msg_1", headers=mine)).status == 200


@pytest.mark.parametrize(
    ("id", "quoted"),
    [
        ("msg/1", "msg%2F1"),
        ("..", "%2E%2E"),
        ("a b?c#d&e", "a%20b%3Fc%23d%26e"),
        ("ä 漢 \U0001f600", "%C3%A4%20%E6%BC%A2%20%F0%9F%98%80"),
        ("50%25", "50%2525"),
        ("{id}", "%7Bid%7D"),
        ("a:b\x00\nc", "a%3Ab%00%0Ac"),
        ("x" * 3000, "x" * 3000),
    ],
)
async def test_an_item_with_an_odd_id_is_found_paged_and_deleted(
    stage: Any, store: Store, id: str, quoted: str
) -> None:
    on = await stage(store=store)
    path = await new_conversation(on, user("a", id=id), user("b"))
    items = f"{on.root}{path}/items"
    async with on.http.get(URL(f"{items}/{quoted}", encoded=True)) as reply:
        if id != "..":
            assert reply.status == 200
            assert msgspec.json.decode(await reply.read())["id"] == id
    page = await on.call("GET", f"{path}/items", params={"after": id, "order": "asc"})
    assert [item["content"][0]["text"] for item in page.json["data"]] == ["b"]


async def test_a_long_conversation_is_listed_and_continued_in_time(
    stage: Any, store: Store
) -> None:
    """10,000 items: a page is read and a turn begins while nobody is kept waiting."""
    on = await stage(text("One."), store=store)
    await store.put_conversation("", StoredConversation("conv_1", 1))
    items = stored_form(user(f"number {n}") for n in range(10_000))
    await store.add_to_conversation("", "conv_1", conversation_items(items))
    page = (await on.call("GET", "/v1/conversations/conv_1/items?limit=2")).json
    assert [item["content"][0]["text"] for item in page["data"]] == ["number 9999", "number 9998"]
    reply = await on.post({**ASK, "conversation": "conv_1"})
    assert reply.status == 200 and len(messages(on, 1)) == 10_001


DAMAGED = [b"", b"{", b"\xff", b"[]", b"5", b"null"]


@pytest.mark.parametrize("body", DAMAGED, ids=repr)
async def test_a_damaged_conversation_is_a_sentence_and_can_be_deleted(
    stage: Any, store: Store, body: bytes
) -> None:
    on = await stage(store=store)
    await store.put_conversation("", StoredConversation("conv_1", 1, body))
    await store.add_to_conversation("", "conv_1", [StoredItem("msg_1", body)])
    path = "/v1/conversations/conv_1"
    for reply in (
        await on.call("GET", path),
        await on.call("GET", f"{path}/items"),
        await on.call("GET", f"{path}/items/msg_1"),
        await on.post({**ASK, "conversation": "conv_1"}),
    ):
        assert (reply.status, reply.error["code"]) == (503, "store_unavailable")
        assert "nobody can read" in reply.error["message"]
    assert (await on.call("DELETE", path)).status == 200


async def test_a_store_that_fails_is_said_on_every_route(stage: Any) -> None:
    store = TroubledStore()
    on = await stage(store=store)
    path = await new_conversation(on, user("a", id="msg_1"))
    store.fails = {"get_conversation", "put_conversation"}
    for method, route in [
        *(("GET", path), ("POST", path), ("DELETE", path), ("GET", f"{path}/items")),
        *(("POST", f"{path}/items"), ("GET", f"{path}/items/msg_1")),
        *(("DELETE", f"{path}/items/msg_1"), ("POST", "/v1/conversations")),
    ]:
        reply = await on.call(method, route, json={} if method == "POST" else None)
        assert (reply.status, reply.error["code"]) == (503, "store_unavailable"), route
        assert "the disk is full" in reply.error["message"]
