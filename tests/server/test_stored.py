"""Stored responses over HTTP: kept, continued, fetched, followed, cancelled, deleted."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from anyturn.store.memory import MemoryStore
from anyturn.store.records import Store, StoredItem, StoredResponse
from anyturn.testing import Answer, Refusal, call, openai_error, reasoning, text
from support.http_clients import ASK, CODEX, EVERYONE, JSON, STREAM, TOOL
from support.stores import READS, WRITES, TroubledStore
from support.stream_rules import check_stream

SEALS = {"include": ["reasoning.encrypted_content"]}


@pytest.fixture
def store() -> Store:
    return MemoryStore()


def messages(on: Any, number: int) -> list[JSON]:
    """The Chat messages of the provider's request, counted from 1."""
    found: list[JSON] = on.provider.requests[number - 1].messages
    return found


# ---------------------------------------------------------------- previous_response_id


async def test_a_chain_gives_the_provider_everything_that_was_said(
    stage: Any, store: Store
) -> None:
    on = await stage(text("One."), text("Two."), text("Three."), store=store)
    first = (await on.post({**ASK, "instructions": "Count."})).json
    assert first["store"] is True
    more = {**ASK, "input": "And?", "previous_response_id": first["id"]}
    second = (await on.post(more)).json
    assert second["previous_response_id"] == first["id"]
    await on.post({**more, "previous_response_id": second["id"]})
    said = [(one["role"], one["content"]) for one in messages(on, 3)]
    # Instructions do not carry over.
    assert said == [
        *[("user", "Hi"), ("assistant", "One."), ("user", "And?")],
        *[("assistant", "Two."), ("user", "And?")],
    ]


async def test_two_continuations_of_one_response_do_not_see_each_other(
    stage: Any, store: Store
) -> None:
    on = await stage(text("One."), text("A."), text("B."), text("C."), store=store)
    first = (await on.post(ASK)).json["id"]
    left = (await on.post({**ASK, "input": "left", "previous_response_id": first})).json["id"]
    await on.post({**ASK, "input": "right", "previous_response_id": first})
    await on.post({**ASK, "input": "on", "previous_response_id": left})
    assert [one["content"] for one in messages(on, 3)] == ["Hi", "One.", "right"]
    assert [one["content"] for one in messages(on, 4)] == ["Hi", "One.", "left", "A.", "on"]


async def test_only_the_output_of_a_call_is_sent_and_reasoning_goes_back(
    stage: Any, store: Store
) -> None:
    """F8, F20: the client did not ask for the seal, and the provider gets its words again."""
    on = await stage(
        Answer(reasoning("I look."), call("f", "{}")),
        text("Done."),
        store=store,
        profile="cerebras",
    )
    first = (await on.post({**ASK, "tools": [TOOL]})).json
    thought, called = first["output"]
    assert "encrypted_content" not in thought
    output = {"type": "function_call_output", "call_id": called["call_id"], "output": "ok"}
    follow = {**ASK, "tools": [TOOL], "input": [output], "previous_response_id": first["id"]}
    assert (await on.post(follow)).json["status"] == "completed"
    user, assistant, tool = messages(on, 2)
    assert (user["role"], assistant["reasoning"], tool["content"]) == (
        *("user", "I look."),
        "ok",
    )


@pytest.mark.parametrize("client", [{}, {"Authorization": "Bearer other"}], ids=["none", "other"])
async def test_what_one_caller_stored_does_not_exist_for_another(
    stage: Any, store: Store, client: JSON
) -> None:
    on = await stage(Answer(text("One."), call("f", "{}")), text("Two."), store=store)
    mine = {"Authorization": "Bearer mine"}
    first = (await on.post({**ASK, "tools": [TOOL]}, **mine)).json
    path = f"/v1/responses/{first['id']}"
    assert (await on.call("GET", path, headers=mine)).status == 200
    for method, route in [("GET", path), ("DELETE", path), ("POST", f"{path}/cancel")]:
        assert (await on.call(method, route, headers=client)).status == 404
    assert (await on.call("GET", f"{path}/input_items", headers=client)).status == 404
    chained = await on.post({**ASK, "previous_response_id": first["id"]}, **client)
    assert (chained.status, chained.error["code"]) == (400, "previous_response_not_found")
    reference = {"type": "item_reference", "id": first["output"][0]["id"]}
    referred = await on.post({**ASK, "input": [reference]}, **client)
    assert (referred.status, referred.error["param"]) == (400, "input[0]")
    assert len(on.provider.requests) == 1


async def test_a_reference_to_another_answers_item_resolves(stage: Any, store: Store) -> None:
    """F15: also without a type, and in its place."""
    on = await stage(Answer(text("One."), call("f", "{}")), text("Two."), store=store)
    first = (await on.post({**ASK, "tools": [TOOL]})).json
    said, called = first["output"]
    items = [
        {"role": "user", "content": "Hi"},
        {"type": "item_reference", "id": said["id"]},
        {"id": called["id"]},
        {"type": "function_call_output", "call_id": called["call_id"], "output": "ok"},
    ]
    assert (await on.post({**ASK, "input": items, "tools": [TOOL]})).status == 200
    user, assistant, tool = messages(on, 2)
    assert (user["content"], assistant["content"], tool["content"]) == ("Hi", "One.", "ok")
    assert assistant["tool_calls"][0]["id"] == tool["tool_call_id"] == called["call_id"]


async def test_what_is_not_to_be_stored_is_not(stage: Any, store: Store) -> None:
    on = await stage(text("One."), text("Two."), store=store)
    first = (await on.post({**ASK, "store": False})).json
    assert first["store"] is False
    assert (await on.call("GET", f"/v1/responses/{first['id']}")).status == 404
    assert (await store.stats()).items == (await store.stats()).responses == 0


# ---------------------------------------------------------------- fetch, list, delete


async def test_a_stored_response_is_what_the_client_got(stage: Any, store: Store) -> None:
    on = await stage(Answer(reasoning("Hm."), text("Hi.")), store=store)
    given = (await on.post({**ASK, **SEALS})).json
    path = f"/v1/responses/{given['id']}"
    assert (await on.call("GET", f"{path}?include[]=reasoning.encrypted_content")).json == given
    plain = (await on.call("GET", path)).json
    assert "encrypted_content" not in plain["output"][0]


async def test_a_stored_response_can_be_streamed_again(stage: Any, store: Store) -> None:
    on = await stage(Answer(reasoning("Hm."), text("Hi."), call("f", '{"a":1}')), store=store)
    given = (await on.post({**ASK, "tools": [TOOL]})).json
    path = f"/v1/responses/{given['id']}?stream=true"
    events = (await on.call("GET", path)).events
    assert check_stream(events) == given
    rest = (await on.call("GET", f"{path}&starting_after=4")).events
    assert rest == events[5:]
    wrong = await on.call("GET", f"{path}&starting_after=x")
    assert (wrong.status, wrong.error["param"]) == (400, "starting_after")


async def test_the_input_is_listed_page_by_page(stage: Any, store: Store) -> None:
    on = await stage(text("One."), store=store)
    asked = [{"role": "user", "content": word} for word in ("a", "b", "c")]
    given = (await on.post({**ASK, "input": asked})).json
    path = f"/v1/responses/{given['id']}/input_items"
    page = (await on.call("GET", f"{path}?limit=2")).json
    words = [item["content"][0]["text"] for item in page["data"]]
    assert (page["object"], words, page["has_more"]) == ("list", ["c", "b"], True)
    assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][1]["id"])
    rest = (await on.call("GET", f"{path}?limit=2&after={page['last_id']}")).json
    assert [item["content"][0]["text"] for item in rest["data"]] == ["a"]
    assert rest["has_more"] is False
    ordered = (await on.call("GET", f"{path}?order=asc")).json["data"]
    assert [item["content"][0]["text"] for item in ordered] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("query", "param"),
    [("limit=0", "limit"), ("limit=x", "limit"), ("order=up", "order"), ("after=no", "after")],
)
async def test_a_wrong_page_is_refused(stage: Any, store: Store, query: str, param: str) -> None:
    on = await stage(text("One."), store=store)
    given = (await on.post(ASK)).json
    reply = await on.call("GET", f"/v1/responses/{given['id']}/input_items?{query}")
    assert (reply.status, reply.error["param"]) == (400, param)


async def test_a_deleted_response_is_gone_with_its_items(stage: Any, store: Store) -> None:
    on = await stage(text("One."), text("Two."), store=store)
    first = (await on.post(ASK)).json
    second = (await on.post({**ASK, "previous_response_id": first["id"]})).json
    path = f"/v1/responses/{first['id']}"
    gone = (await on.call("DELETE", path)).json
    assert gone == {"id": first["id"], "object": "response", "deleted": True}
    assert (await on.call("GET", path)).status == (await on.call("DELETE", path)).status == 404
    reply = await on.post({**ASK, "previous_response_id": second["id"]})
    assert reply.status == 400
    assert first["id"] in reply.error["message"] and second["id"] in reply.error["message"]
    reference = [{"type": "item_reference", "id": first["output"][0]["id"]}]
    assert (await on.post({**ASK, "input": reference})).status == 400


async def test_only_background_responses_are_cancelled(stage: Any, store: Store) -> None:
    on = await stage(text("One."), store=store)
    given = (await on.post(ASK)).json
    reply = await on.call("POST", f"/v1/responses/{given['id']}/cancel")
    assert (reply.status, reply.error["code"]) == (400, "invalid_value")


async def test_counting_the_input_asks_nobody(stage: Any, store: Store) -> None:
    on = await stage(store=store)
    reply = (await on.post(ASK, "/v1/responses/input_tokens")).json
    assert reply["object"] == "response.input_tokens" and reply["estimated"] is True
    longer = (await on.post({**ASK, "input": "Hi " * 400}, "/v1/responses/input_tokens")).json
    assert longer["input_tokens"] > reply["input_tokens"] > 0
    assert on.provider.requests == []


# ---------------------------------------------------------------- background


async def test_a_background_response_is_queued_fetched_and_done(stage: Any, store: Store) -> None:
    on = await stage(Answer(text("Hello."), hold_after=1), store=store)
    queued = (await on.post({**ASK, "background": True})).json
    assert (queued["status"], queued["background"], queued["output"]) == ("queued", True, [])
    path = f"/v1/responses/{queued['id']}"
    await on.provider.request(1)
    assert (await on.call("GET", path)).json["status"] in ("queued", "in_progress")
    on.provider.release(1)
    events = (await on.call("GET", f"{path}?stream=true")).events
    whole = (await on.call("GET", path)).json
    assert check_stream(events) == whole
    assert (whole["status"], whole["output"][0]["content"][0]["text"]) == ("completed", "Hello.")
    # The stream is stored as it was.
    assert (await on.call("GET", f"{path}?stream=true&starting_after=3")).events == events[4:]


async def test_a_background_response_can_be_followed_at_once(stage: Any, store: Store) -> None:
    on = await stage(text("Hello."), store=store)
    reply = await on.post({**STREAM, "background": True})
    assert check_stream(reply.events)["status"] == "completed"


async def test_a_background_response_is_cancelled_with_its_providers_request(
    stage: Any, store: Store
) -> None:
    """F73."""
    on = await stage(Answer(text("Hello."), hold_after=1), store=store)
    queued = (await on.post({**ASK, "background": True})).json
    await on.provider.request(1)
    path = f"/v1/responses/{queued['id']}"
    assert (await on.call("POST", f"{path}/cancel")).json["status"] == "cancelled"
    await on.provider.cancelled(1)
    assert (await on.call("GET", path)).json["status"] == "cancelled"
    assert (await on.call("POST", f"{path}/cancel")).json["status"] == "cancelled"


async def test_a_background_response_that_fails_says_so(stage: Any, store: Store) -> None:
    on = await stage(Refusal(400, openai_error("no such thing")), store=store)
    queued = (await on.post({**ASK, "background": True})).json
    events = (await on.call("GET", f"/v1/responses/{queued['id']}?stream=true")).events
    failed = (await on.call("GET", f"/v1/responses/{queued['id']}")).json
    assert failed["status"] == "failed" and "no such thing" in failed["error"]["message"]
    assert not events or events[-1]["type"] == "response.failed"


async def test_a_background_response_must_be_stored(stage: Any, store: Store) -> None:
    on = await stage(store=store)
    reply = await on.post({**ASK, "background": True, "store": False})
    assert (reply.status, reply.error["param"]) == (400, "background")


async def test_a_background_response_whose_process_is_gone_has_failed(
    stage: Any, store: Store
) -> None:
    on = await stage(store=store)
    body = {"id": "resp_1", "status": "in_progress", "background": True, "output": []}
    record = StoredResponse(id="resp_1", created_at=1, body=msgspec.json.encode(body))
    await store.put_response("", record)
    found = (await on.call("GET", "/v1/responses/resp_1")).json
    assert found["status"] == "failed" and "was stopped" in found["error"]["message"]


async def test_what_runs_in_the_background_is_seen_by_its_owner_only(
    stage: Any, store: Store
) -> None:
    on = await stage(Answer(text("Hello."), hold_after=1), store=store)
    mine = {"Authorization": "Bearer mine"}
    queued = (await on.post({**ASK, "background": True}, **mine)).json
    await on.provider.request(1)
    path = f"/v1/responses/{queued['id']}"
    for other in ({}, {"Authorization": "Bearer other"}):
        for method, route in [
            *(("GET", path), ("GET", f"{path}?stream=true"), ("DELETE", path)),
            *(("POST", f"{path}/cancel"), ("GET", f"{path}/input_items")),
        ]:
            assert (await on.call(method, route, headers=other)).status == 404, route
    on.provider.release(1)
    events = (await on.call("GET", f"{path}?stream=true", headers=mine)).events
    assert check_stream(events)["status"] == "completed"


@EVERYONE
async def test_whoever_follows_gets_the_keepalives_of_their_dialect(
    stage: Any, store: Store, client: JSON
) -> None:
    on = await stage(Answer(text("Hello."), hold_after=1), store=store, keepalive_s=0.02)
    keepalive = b"keepalive" if client is CODEX else b": "
    async with on.open({**STREAM, "background": True}, **client) as first:
        await on.provider.request(1)
        seen = b""
        while keepalive not in seen:
            seen += await first.content.readany()
        id = seen.partition(b'"id":"')[2].partition(b'"')[0].decode()
        headers = {name.replace("_", "-"): value for name, value in client.items()}
        path = f"{on.root}/v1/responses/{id}?stream=true"
        async with on.http.get(path, headers=headers) as second:
            again = b""
            while keepalive not in again:
                again += await second.content.readany()
            on.provider.release(1)
            again += await second.read()
        seen += await first.read()
    for raw in (seen, again):
        assert b"response.completed" in raw and b"response.queued" in raw


async def test_a_follower_gets_its_first_events_before_the_provider_answers(
    stage: Any, store: Store
) -> None:
    on = await stage(Answer(text("Hello."), hold_after=0), store=store)
    async with on.open({**STREAM, "background": True}) as reply:
        seen = b""
        while b"event: response.queued" not in seen:
            seen += await reply.content.readany()
        on.provider.release(1)
        await reply.read()


async def test_a_running_response_is_deleted_for_good(stage: Any, store: Store) -> None:
    on = await stage(Answer(text("Hello."), hold_after=1), store=store)
    path = f"/v1/responses/{(await on.post({**ASK, 'background': True})).json['id']}"
    await on.provider.request(1)
    assert (await on.call("DELETE", path)).json["deleted"] is True
    await on.provider.cancelled(1)
    assert (await on.call("GET", path)).status == 404
    stats = await store.stats()
    assert (stats.responses, stats.items) == (0, 0)


async def test_what_another_gateway_runs_is_fetched_cancelled_and_not_deleted(
    stage: Any, store: Store
) -> None:
    here = await stage(Answer(text("Hello."), hold_after=1), store=store)
    there = await stage(store=store)
    path = f"/v1/responses/{(await here.post({**ASK, 'background': True})).json['id']}"
    await here.provider.request(1)
    while (await there.call("GET", path)).json["status"] != "in_progress":
        pass
    told = (await there.call("GET", f"{path}?stream=true")).names
    assert told == ["response.created", "response.queued", "response.in_progress"]
    refused = await there.call("DELETE", path)
    assert refused.status == 400 and "another gateway" in refused.error["message"]
    asked = (await there.call("POST", f"{path}/cancel")).json
    assert (asked["status"], asked["background"]) == ("in_progress", True)
    here.provider.release(1)
    events = (await here.call("GET", f"{path}?stream=true")).events
    assert check_stream(events)["status"] == "completed"
    assert (await there.call("GET", path)).json["status"] == "completed"


async def test_what_is_lost_is_told_as_a_failure_too(stage: Any, store: Store) -> None:
    on = await stage(text("Hi."), store=store)
    given = (await on.post(ASK)).json
    body = {**given, "status": "in_progress", "background": True, "output": [], "usage": None}
    body["completed_at"] = None
    record = StoredResponse(id=given["id"], created_at=1, body=msgspec.json.encode(body))
    await store.put_response("", record)
    path = f"/v1/responses/{given['id']}"
    events = (await on.call("GET", f"{path}?stream=true")).events
    assert check_stream(events) == (await on.call("GET", path)).json
    assert events[-1]["response"]["error"]["code"] == "gateway_shutting_down"
    assert (await on.call("DELETE", path)).status == 200


async def test_what_is_finished_while_its_beat_is_looked_up_is_not_lost(stage: Any) -> None:
    class Finishing(MemoryStore):
        final: StoredResponse

        async def get_items(self, owner: str, ids: Any) -> dict[str, bytes]:
            await self.put_response(owner.removeprefix("beats of "), self.final)
            return {}

    store = Finishing()
    on = await stage(text("Hi."), store=store)
    given = (await on.post(ASK)).json
    store.final = StoredResponse(id=given["id"], created_at=1, body=msgspec.json.encode(given))
    running = msgspec.json.encode({**given, "status": "in_progress", "background": True})
    await store.put_response("", StoredResponse(id=given["id"], created_at=1, body=running))
    assert (await on.call("GET", f"/v1/responses/{given['id']}")).json == given


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"\xff", b"[]", b"null", b"{}", b'{"status":5,"output":[]}'),
        *(b'{"status":"completed","output":[5]}', b'{"status":"completed"}'),
        b'{"status":"completed","output":[{"type":"message","id":5,"content":7}]}',
    ],
    ids=repr,
)
async def test_a_damaged_response_is_a_sentence_and_can_be_deleted(
    stage: Any, store: Store, body: bytes
) -> None:
    on = await stage(store=store)
    await store.put_response("", StoredResponse(id="resp_1", created_at=1, body=body, input=body))
    path = "/v1/responses/resp_1"
    for method, route in [
        *(("GET", path), ("GET", f"{path}?stream=true"), ("POST", f"{path}/cancel")),
    ]:
        reply = await on.call(method, route)
        assert (reply.status, reply.error["code"]) == (503, "store_unavailable"), route
        assert "nobody can read" in reply.error["message"]
    assert (await on.call("GET", f"{path}/input_items")).status in (200, 503)
    assert (await on.call("DELETE", path)).status == 200


async def test_a_damaged_stream_and_a_damaged_beat_are_sentences(stage: Any, store: Store) -> None:
    on = await stage(text("Hi."), store=store)
    given = (await on.post(ASK)).json
    body = msgspec.json.encode(given)
    damaged = StoredResponse(id=given["id"], created_at=1, body=body, events=b"junk")
    await store.put_response("", damaged)
    path = f"/v1/responses/{given['id']}"
    reply = await on.call("GET", f"{path}?stream=true")
    assert (reply.status, reply.error["code"]) == (503, "store_unavailable")
    assert (await on.call("GET", path)).json == given
    body = msgspec.json.encode({**given, "status": "queued"})
    await store.put_response("", StoredResponse(id=given["id"], created_at=1, body=body))
    await store.put_items("beats of ", [StoredItem(f"beat_{given['id']}", b"junk")])
    assert (await on.call("GET", path)).status == 503


# ---------------------------------------------------------------- a store that fails


@pytest.mark.parametrize("body", [ASK, STREAM], ids=["whole", "streamed"])
async def test_a_turn_that_needs_no_memory_goes_on_without_a_store(
    stage: Any, body: JSON, caplog: pytest.LogCaptureFixture
) -> None:
    on = await stage(text("One."), text("Two."), store=TroubledStore(fails=(*READS, *WRITES)))
    for _ in range(2):
        assert (await on.post(body)).status == 200
    warned = [record for record in caplog.records if "are not remembered" in record.getMessage()]
    assert len(warned) == 1  # and is left alone for a while


@pytest.mark.parametrize(
    "named",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
    ],
    ids=["previous_response_id", "conversation", "item_reference"],
)
async def test_a_turn_that_needs_memory_fails_in_words_without_a_store(
    stage: Any, named: JSON
) -> None:
    on = await stage(store=TroubledStore(fails=(*READS, *WRITES)))
    reply = await on.post({**ASK, **named})
    assert (reply.status, reply.error["code"]) == (503, "store_unavailable")
    assert "the disk is full" in reply.error["message"]


async def test_a_store_that_hangs_is_not_waited_for(stage: Any) -> None:
    on = await stage(
        text("One."), store=TroubledStore(hangs=(*READS, *WRITES)), store_timeout_s=0.05
    )
    async with asyncio.timeout(10):
        assert (await on.post(ASK)).status == 200
        assert (await on.post({**ASK, "previous_response_id": "resp_1"})).status == 503


async def test_without_a_store_the_reason_is_said(stage: Any) -> None:
    on = await stage(store=None)
    reply = await on.post({**ASK, "previous_response_id": "resp_1"})
    assert (reply.status, reply.error["code"]) == (400, "previous_response_not_found")
    assert "without a store" in reply.error["message"]
    assert (await on.post({}, "/v1/conversations")).status == 400
    assert (await on.call("GET", "/v1/responses/resp_1")).status == 404
