"""What is remembered between turns, and that no turn suffers from it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from anyturn.errors import Kind, TurnError
from anyturn.memory import ANYBODY, Caller, Memory, Nearby, conversation_items, stored_form
from anyturn.store.memory import MemoryStore
from anyturn.store.records import Store, StoredConversation, StoredItem, StoredResponse
from anyturn.testing import Answer, call, raw_chunks, reasoning, text
from anyturn.wire import responses as r
from support.gateway_turns import TOOL, Sink
from support.memory_turns import Stage, history, message, reference, staged
from support.stores import TroubledStore
from support.turns import call_delta, chunk

JSON = dict[str, Any]
MINE, YOURS = Caller("mine"), Caller("yours")

# ---------------------------------------------------------------- before anybody has it


class Asking(Sink):
    """A client that at once looks up what it gets."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.found: list[str] = []

    async def send(self, events: list[r.Event]) -> None:
        await super().send(events)
        for event in events:
            if isinstance(event, r.ItemDone):
                found = await self.store.get_items("", [event.item.id])
                body = msgspec.json.decode(found[event.item.id])
                assert body["item"]["id"] == event.item.id
                self.found.append(event.item.__struct_config__.tag)
            if isinstance(event, r.Completed):
                stored = await self.store.get_response("", event.response.id)
                assert stored is not None
                self.found.append(msgspec.json.decode(stored.body)["status"])


async def test_what_a_client_gets_is_in_the_store_before() -> None:
    store = MemoryStore()
    answer = Answer(reasoning("Hm."), text("Look."), call("f", "{}"), call("f", '{"a":1}'))
    async with staged(answer, store=store) as on:
        sink = Asking(store)
        await on.run(sink, tools=[TOOL])
    calls = ["function_call", "function_call"]
    assert sink.found == ["reasoning", "message", *calls, "completed"]


async def test_a_client_that_vanishes_leaves_the_items_that_were_done_and_no_response() -> None:
    class Leaving(Sink):
        async def send(self, events: list[r.Event]) -> None:
            await super().send(events)
            if any(isinstance(event, r.ItemDone) for event in events):
                raise ConnectionResetError

    store, sink = MemoryStore(), Leaving()
    async with staged(Answer(reasoning("Hm."), text("One."), hold_after=3), store=store) as on:
        with pytest.raises(ConnectionResetError):
            await on.run(sink)
        stats = await store.stats()
        assert (stats.items, stats.responses) == (1, 0)
        (done,) = [event.item.id for event in sink.events if isinstance(event, r.ItemDone)]
        assert [item["type"] for item in await history(on.memory, input=[reference(done)])] == [
            "reasoning"
        ]


async def test_store_false_writes_nothing() -> None:
    store = TroubledStore()
    async with staged(Answer(reasoning("Hm."), text("One.")), store=store) as on:
        response = await on.run(store=False)
    assert response.store is False and store.asked == []


async def test_without_a_store_nothing_is_said_to_be_stored() -> None:
    async with staged(text("One.")) as on:
        response = await on.run(store=True)
        assert response.store is False
        with pytest.raises(TurnError, match="without a store") as raised:
            await on.run(previous_response_id=response.id)
    assert raised.value.kind is Kind.UNKNOWN_REFERENCE


# ---------------------------------------------------------------- owners


# An id that no other conversation can have: by itself it says which call is meant.
DRAWN = "call_7fQ2xk9LmZ3pT0aB"


async def test_owners_do_not_share_anything() -> None:
    """What one stored cannot be found by another, whatever it is asked by."""
    store = MemoryStore()
    await store.put_conversation("mine", StoredConversation("conv_1", 1))
    step = Answer(text("One."), call("f", "{}", id=DRAWN))
    async with staged(step, store=store) as on:
        response = await on.run(caller=MINE, tools=[TOOL], conversation="conv_1")
        said, called = response.output
        output = {"type": "function_call_output", "call_id": called.call_id, "output": "x"}
        for named, kind in [
            ({"previous_response_id": response.id}, Kind.UNKNOWN_REFERENCE),
            ({"conversation": "conv_1"}, Kind.NOT_FOUND),
            ({"input": [reference(said.id)]}, Kind.UNKNOWN_REFERENCE),
        ]:
            for caller in (YOURS, ANYBODY):
                with pytest.raises(TurnError) as raised:
                    await history(on.memory, caller, **named)
                assert raised.value.kind is kind
            assert await history(on.memory, MINE, **named)
        assert await history(on.memory, YOURS, input=[output]) == [output]
        assert len(await history(on.memory, MINE, input=[output])) == 2
        for ask_for in (on.memory.response, on.memory.forget_response):
            with pytest.raises(TurnError) as raised:
                await ask_for("yours", response.id)
            assert raised.value.kind is Kind.NOT_FOUND


@pytest.mark.parametrize("owner", ["a/b", "a:b", "ä\x00", "x" * 5000])
@pytest.mark.parametrize("id", ["resp/1", "a:b", "漢 \x00", "..", "x" * 5000, "{}"])
async def test_odd_names_are_names(owner: str, id: str) -> None:
    store = MemoryStore()
    await store.put_response(owner, StoredResponse(id=id, created_at=1, body=b'{"output":[]}'))
    await store.put_items(owner, [StoredItem(id, b'{"item":{"id":"x","type":"message"}}')])
    memory = Memory(store)
    assert await history(memory, Caller(owner), previous_response_id=id) == []
    assert len(await history(memory, Caller(owner), input=[reference(id)])) == 1
    with pytest.raises(TurnError, match="not found") as raised:
        await history(memory, Caller(owner), previous_response_id=id + "?")
    assert len(raised.value.message) < 400


# ---------------------------------------------------------------- chains


async def test_two_continuations_at_the_same_time_do_not_see_each_other() -> None:
    store = MemoryStore()
    async with staged(
        text("One."), Answer(text("A."), hold_after=1), text("B."), text("on"), store=store
    ) as on:
        first = (await on.run()).id
        async with asyncio.TaskGroup() as both:
            left = both.create_task(on.run(input="a", previous_response_id=first))
            await on.provider.request(2)
            await both.create_task(on.run(input="b", previous_response_id=first))
            on.provider.release(2)
        await on.run(input="c", previous_response_id=left.result().id)
        assert on.said(3) == ["Hi", "One.", "b"]
        assert on.said(4) == ["Hi", "One.", "a", "A.", "c"]


async def test_a_chain_of_ten_thousand_links_is_continued_in_time() -> None:
    store = MemoryStore()
    for n in range(10_000):
        body = {"output": [message(f"answer {n}", role="assistant", id=f"msg_{n}")]}
        await store.put_response(
            "",
            StoredResponse(
                id=f"resp_{n}",
                created_at=1,
                body=msgspec.json.encode(body),
                input=msgspec.json.encode([message(f"question {n}")]),
                parent=f"resp_{n - 1}" if n else "",
            ),
        )
    async with asyncio.timeout(10):
        items = await history(Memory(store), previous_response_id="resp_9999")
    assert len(items) == 20_000
    assert [item["content"] for item in items[-2:]] == ["question 9999", "answer 9999"]


async def test_a_chain_that_goes_in_circles_is_a_sentence() -> None:
    store = MemoryStore()
    for id, parent in [("a", "b"), ("b", "a")]:
        record = StoredResponse(id=id, created_at=1, body=b'{"output":[]}', parent=parent)
        await store.put_response("", record)
    with pytest.raises(TurnError, match="store") as raised:
        await history(Memory(store), previous_response_id="a")
    assert raised.value.kind is Kind.STORE_FAILED


async def test_a_chain_begins_anew_behind_a_compaction() -> None:
    store = MemoryStore()
    async with staged(text("One."), text("All of it."), text("Two."), store=store) as on:
        first = await on.run(input="Long ago.")
        trigger = [{"type": "compaction_trigger"}]
        compacted = await on.run(input=trigger, previous_response_id=first.id)
        assert [type(item) for item in compacted.output] == [r.CompactionItem]
        await on.run(input="And now?", previous_response_id=compacted.id)
        (summary, question) = on.messages(3)
        assert "All of it." in str(summary["content"]) and question["content"] == "And now?"
        by_reference = [reference(compacted.output[0].id), message("And now?")]
        assert (await history(on.memory, input=by_reference))[0]["type"] == "compaction"


async def test_what_is_no_longer_stored_is_said_with_the_code_that_clients_act_on_f67() -> None:
    """Codex sends everything again on it."""
    async with staged(text("One."), text("Two."), store=MemoryStore()) as on:
        first = await on.run()
        second = await on.run(previous_response_id=first.id)
        await on.memory.forget_response("", first.id)
        with pytest.raises(TurnError, match="no longer stored") as raised:
            await on.run(previous_response_id=second.id)
        assert raised.value.kind.code == "previous_response_not_found"
        with pytest.raises(TurnError, match="not found") as raised:
            await on.run(previous_response_id="resp_of_another_life")
    assert raised.value.kind.code == "previous_response_not_found"


# ---------------------------------------------------------------- reasoning comes back

FIELDS = pytest.mark.parametrize(
    ("profile", "field"), [("cerebras", "reasoning"), ("deepseek", "reasoning_content")]
)
TWO_STEPS = (
    Answer(reasoning("I look."), call("f", "{}"), call("f", '{"a":1}')),
    Answer(reasoning("I look again."), text("So."), call("f", '{"b":2}')),
    text("Done."),
)


def outputs(response: r.Response) -> list[JSON]:
    return [
        {"type": "function_call_output", "call_id": item.call_id, "output": "ok"}
        for item in response.output
        if isinstance(item, r.FunctionCall)
    ]


def assert_reasoning_is_back(on: Stage, field: str) -> None:
    said = [one for one in on.messages(3) if one["role"] == "assistant"]
    assert [one.get(field) for one in said] == ["I look.", "I look again."]
    assert [len(one["tool_calls"]) for one in said] == [2, 1]
    assert [one["role"] for one in on.messages(3)] == [
        *("user", "assistant", "tool", "tool"),
        *("assistant", "tool"),
    ]


@FIELDS
async def test_outputs_with_a_previous_response_id_bring_reasoning_back(
    profile: str, field: str
) -> None:
    """F8, F20: nobody asked for encrypted_content."""
    async with staged(*TWO_STEPS, store=MemoryStore(), profile=profile) as on:
        one = await on.run(tools=[TOOL])
        assert one.output[0].encrypted_content is msgspec.UNSET
        two = await on.run(tools=[TOOL], input=outputs(one), previous_response_id=one.id)
        await on.run(tools=[TOOL], input=outputs(two), previous_response_id=two.id)
        assert_reasoning_is_back(on, field)


@FIELDS
@pytest.mark.parametrize("with_reasoning", [True, False], ids=["all", "calls only"])
async def test_references_bring_reasoning_back_also_after_a_restart(
    profile: str, field: str, with_reasoning: bool
) -> None:
    """F15, F16: as the AI SDK sends them; the store is what survives."""
    store, items = MemoryStore(), [message("Hi")]
    for number in range(3):
        async with staged(*TWO_STEPS[number : number + 1], store=store, profile=profile) as on:
            response = await on.run(tools=[TOOL], input=list(items))
            if number == 2:
                on.provider.requests[0:0] = [on.provider.requests[0]] * 2
                assert_reasoning_is_back(on, field)
            items += [
                reference(item.id)
                for item in response.output
                if with_reasoning or not isinstance(item, r.ReasoningItem)
            ]
            items += outputs(response)


@FIELDS
async def test_outputs_alone_bring_their_calls_and_reasoning_back(profile: str, field: str) -> None:
    """F16, F20."""
    step = Answer(reasoning("I look."), call("f", "{}", id=DRAWN))
    async with staged(step, text("Done."), store=MemoryStore(), profile=profile) as on:
        one = await on.run(tools=[TOOL])
        await on.run(tools=[TOOL], input=[message("Hi"), *outputs(one)])
        _, assistant, output = on.messages(2)
        assert (assistant[field], len(assistant["tool_calls"])) == ("I look.", 1)
        assert output["role"] == "tool"


@FIELDS
async def test_what_a_connection_remembers_brings_reasoning_back(profile: str, field: str) -> None:
    """Nothing is stored, and nothing was asked for."""
    caller = Caller("mine", Nearby())
    async with staged(*TWO_STEPS, profile=profile) as on:
        one = await on.run(caller=caller, tools=[TOOL], store=False)
        assert one.output[0].encrypted_content is msgspec.UNSET
        more = {"caller": caller, "tools": [TOOL], "store": False}
        two = await on.run(input=outputs(one), previous_response_id=one.id, **more)
        await on.run(input=outputs(two), previous_response_id=two.id, **more)
        assert_reasoning_is_back(on, field)


@pytest.mark.parametrize("kept_by", ["connection", "conversation", "store"])
async def test_what_only_a_seal_can_carry_comes_back_although_nobody_asked_for_it(
    kept_by: str,
) -> None:
    """Gemini's signatures: without them it refuses the next request."""
    signature = {"google": {"thought_signature": "c2lnbmVk"}}
    delta = call_delta("{}", "f", index=0, id="c1", type="function", extra_content=signature)
    store = MemoryStore()
    await store.put_conversation("mine", StoredConversation("conv_1", 1))
    caller = Caller("mine", Nearby() if kept_by == "connection" else None)
    more: JSON = {"caller": caller, "tools": [TOOL], "store": kept_by == "store"}
    if kept_by == "conversation":
        more["conversation"] = "conv_1"
    script = [raw_chunks([chunk(delta), chunk({}, "tool_calls")]), text("Done.")]
    async with staged(*script, store=store, profile="gemini") as on:
        one = await on.run(**more)
        assert "c2lnbmVk" not in str(one) and "anyturn1" not in str(one)
        if kept_by != "conversation":
            more["previous_response_id"] = one.id
        await on.run(input=outputs(one), **more)
        (called,) = on.messages(2)[1]["tool_calls"]
    assert called["extra_content"] == signature


# ---------------------------------------------------------------- what a connection remembers


def test_a_connection_remembers_the_last_histories_only() -> None:
    nearby = Nearby()
    for n in range(Nearby.MOST + 2):
        nearby.put(f"resp_{n}", [message(str(n))])
    found = [n for n in range(Nearby.MOST + 2) if nearby.get(f"resp_{n}") is not None]
    assert found == list(range(2, Nearby.MOST + 2))


def test_a_connection_remembers_no_more_bytes_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Nearby, "MAX_BYTES", 1000)
    nearby = Nearby()
    for n in range(3):
        nearby.put(f"resp_{n}", [message("x" * 400)])
    assert nearby.get("resp_0") is None
    assert nearby.get("resp_1") is not None and nearby.get("resp_2") is not None
    nearby.put("resp_3", [message("x" * 1000)])
    assert not any(nearby.get(f"resp_{n}") for n in range(4))
    # What was forgotten does not count.
    nearby.put("resp_4", [message("x" * 900)])
    assert nearby.get("resp_4") is not None


def test_a_history_that_is_put_again_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Nearby, "MAX_BYTES", 1000)
    nearby = Nearby()
    for _ in range(5):
        nearby.put("resp_1", [message("x" * 700)])
    assert nearby.get("resp_1") is not None
    nearby.forget("resp_1")
    nearby.forget("resp_1")
    assert nearby.get("resp_1") is None


async def test_one_connection_does_not_know_what_another_remembers() -> None:
    async with staged(text("One."), text("Two.")) as on:
        here, there = Caller("mine", Nearby()), Caller("mine", Nearby())
        one = await on.run(caller=here, store=False)
        assert len(await history(on.memory, here, previous_response_id=one.id)) == 2
        with pytest.raises(TurnError) as raised:
            await history(on.memory, there, previous_response_id=one.id)
        assert raised.value.kind is Kind.UNKNOWN_REFERENCE


async def test_a_connection_begins_anew_behind_a_compaction() -> None:
    caller = Caller("mine", Nearby())
    async with staged(text("All of it.")) as on:
        trigger = [message("Long ago."), {"type": "compaction_trigger"}]
        compacted = await on.run(caller=caller, store=False, input=trigger)
        (item,) = await history(on.memory, caller, previous_response_id=compacted.id)
        assert item["type"] == "compaction"


# ---------------------------------------------------------------- the forms that are stored


def test_no_two_stored_items_have_one_id() -> None:
    before = [message("a", id="msg_1"), {"type": "message", "id": 5}]
    items = [message("b", id="msg_1"), message("c", id="msg_2"), message("d", id="msg_2"), "junk"]
    stored = stored_form(items, before)
    assert [item["content"][0]["text"] for item in stored] == ["b", "c", "d"]
    ids = [item["id"] for item in stored]
    assert ids[1] == "msg_2" and len({*ids, "msg_1"}) == 4
    assert all(id.startswith("msg_") for id in ids)


def test_an_item_of_a_conversation_is_found_by_its_call_id_if_it_has_one() -> None:
    items = [{"id": "a", "call_id": "c1"}, {"id": "b", "call_id": 5}, {"id": "c"}]
    assert [item.call_id for item in conversation_items(items)] == ["c1", "", ""]


async def test_a_record_holds_what_the_request_added_and_what_it_continues() -> None:
    store = MemoryStore()
    async with staged(text("One."), text("Two."), store=store) as on:
        first = await on.run()
        second = await on.run(input="More.", previous_response_id=first.id)
        stored = await on.memory.response("", second.id)
    (added,) = msgspec.json.decode(stored.input)
    assert added["content"] == [{"type": "input_text", "text": "More."}]
    assert (stored.parent, stored.conversation, stored.events) == (first.id, "", b"")
