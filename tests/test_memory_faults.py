"""What becomes of a turn when the store fails, hangs, or holds what nobody can read."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import pytest

from anyturn.errors import Kind, TurnError
from anyturn.memory import PAUSE_S, Memory, readable
from anyturn.store.memory import MemoryStore
from anyturn.store.records import StoredConversation, StoredItem, StoredResponse, StoreError
from anyturn.testing import Answer, call, reasoning, text
from support.gateway_turns import TOOL
from support.memory_turns import history, reference, staged
from support.stores import DISK_FULL, WRITES, Clock, TroubledStore

JSON = dict[str, Any]

# ---------------------------------------------------------------- a store in trouble


@pytest.mark.parametrize("trouble", ["fails", "hangs"])
async def test_a_turn_goes_on_when_nothing_can_be_stored_and_it_is_said_once(
    trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    """At most once does a turn wait for a store, however many items it has."""
    store = TroubledStore(**{trouble: WRITES})
    answer = Answer(reasoning("Hm."), text("One."), call("f", "{}"), call("f", '{"a":1}'))
    async with staged(answer, answer, store=store, timeout_s=0.1) as on:
        began = asyncio.get_running_loop().time()
        for _ in range(2):
            assert (await on.run(tools=[TOOL])).status == "completed"
        took = asyncio.get_running_loop().time() - began
    assert len([rec for rec in caplog.records if "the store failed" in rec.getMessage()]) == 1
    assert len(store.written) == 1 or trouble == "fails"
    assert took < 5


async def test_a_turn_waits_in_vain_only_once_however_long_it_lasts() -> None:
    store, moments = TroubledStore(hangs=WRITES), count(0, 2 * PAUSE_S)
    answer = Answer(reasoning("Hm."), text("One."), call("f", "{}"))
    async with staged(answer, store=store, timeout_s=0.05, clock=lambda: next(moments)) as on:
        await on.run(tools=[TOOL])
    assert len(store.written) == 1


async def test_a_store_that_fails_at_once_is_asked_again_at_once() -> None:
    """One record that is too large for it must not cost the memory of everybody else."""
    store = TroubledStore(fails=("put_response",))
    async with staged(text("One."), text("Two."), store=store) as on:
        await on.run()
        store.fails.clear()
        kept = await on.run()
        assert (await on.memory.response("", kept.id)).id == kept.id


async def test_a_store_that_hung_is_asked_again_after_a_pause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, clock = TroubledStore(hangs=WRITES), Clock()
    async with staged(*[text("Hi.")] * 4, store=store, timeout_s=0.05, clock=clock) as on:
        await on.run()
        store.hangs.clear()
        before = len(store.asked)
        await on.run()
        assert len(store.asked) == before
        clock.now += PAUSE_S
        kept = await on.run()
        assert (await on.memory.response("", kept.id)).id == kept.id
        store.fails = {"put_response"}
        await on.run()
    assert len([rec for rec in caplog.records if "the store failed" in rec.getMessage()]) == 2


async def test_turns_at_the_same_time_report_a_store_that_hangs_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = TroubledStore(hangs=WRITES)
    async with staged(*[text("Hi.")] * 5, store=store, timeout_s=0.1) as on:
        await asyncio.gather(*[on.run() for _ in range(5)])
    assert len([rec for rec in caplog.records if "did not answer" in rec.getMessage()]) == 1


async def test_a_store_that_takes_its_time_to_fail_is_left_alone_too() -> None:
    clock = Clock()

    class Slow(MemoryStore):
        tries = 0

        async def put_items(self, *_: Any) -> None:
            clock.now += 0.9
            self.tries += 1
            raise StoreError("no route to host")

        put_response = put_items

    store = Slow()
    answer = Answer(reasoning("Hm."), text("One."))
    async with staged(answer, answer, store=store, clock=clock) as on:
        await on.run()
        await on.run()
    assert store.tries == 1


@pytest.mark.parametrize(
    ("named", "method"),
    [
        ({"previous_response_id": "resp_1"}, "get_chain"),
        ({"conversation": "conv_1"}, "get_conversation"),
        ({"conversation": "conv_1"}, "conversation_items"),
        ({"input": [reference("msg_1")]}, "get_items"),
        (
            {"input": [{"type": "function_call_output", "call_id": "c1", "output": "x"}]},
            "get_calls",
        ),
    ],
    ids=["chain", "conversation", "its items", "items", "calls"],
)
@pytest.mark.parametrize("trouble", ["fails", "hangs"])
async def test_a_turn_that_needs_the_store_fails_in_words(
    named: JSON, method: str, trouble: str
) -> None:
    store = TroubledStore(**{trouble: (method,)})
    await store.put_conversation("", StoredConversation("conv_1", 1))
    async with staged(store=store, timeout_s=0.05) as on:
        with pytest.raises(TurnError, match="store") as raised:
            await on.run(**named)
        assert on.provider.requests == []
    assert raised.value.kind is Kind.STORE_FAILED
    why = {"fails": DISK_FULL, "hangs": "did not answer within 0.05 s"}[trouble]
    assert why in raised.value.message
    # A pause is for those who do not need it.
    assert store.asked[-1] == method


async def test_a_turn_on_a_conversation_is_added_even_while_others_leave_the_store_alone() -> None:
    store = TroubledStore(hangs=("put_items", "put_response"))
    await store.put_conversation("", StoredConversation("conv_1", 1))
    async with staged(text("One."), text("Two."), store=store, timeout_s=0.05) as on:
        await on.run()
        await on.run(conversation="conv_1")
        assert len(await history(on.memory, conversation="conv_1")) == 2


async def test_deleting_can_be_tried_again_when_the_store_failed_on_the_way() -> None:
    store = TroubledStore()
    async with staged(text("One."), store=store) as on:
        kept = await on.run()
        for method in ("delete_items", "delete_response"):
            store.fails = {method}
            with pytest.raises(TurnError, match=DISK_FULL):
                await on.memory.forget_response("", kept.id)
        store.fails.clear()
        await on.memory.forget_response("", kept.id)
    stats = await store.stats()
    assert (stats.items, stats.responses) == (0, 0)


# ---------------------------------------------------------------- damage

DAMAGED = [b"", b"{", b"\xff\xfe", b"5", b"null", b'{"output":5}', b'{"output":[5]}', b'["x"]']


@pytest.mark.parametrize("data", DAMAGED, ids=repr)
async def test_a_damaged_chain_is_a_sentence(data: bytes) -> None:
    store = MemoryStore()
    good: JSON = {"body": b'{"output":[]}', "input": b"[]"}
    for place in ("body", "input"):
        record = StoredResponse(id=f"resp_{place}", created_at=1, **{**good, place: data})
        await store.put_response("", record)
        with pytest.raises(TurnError, match=f"'resp_{place}' in a form that nobody") as raised:
            await history(Memory(store), previous_response_id=f"resp_{place}")
        assert raised.value.kind is Kind.STORE_FAILED


@pytest.mark.parametrize(
    "data", [*DAMAGED, b'{"item":5}', b'{"item":{},"led_by":[5]}', b"[" * 9999], ids=lambda d: d[:9]
)
async def test_a_damaged_item_is_a_sentence(data: bytes) -> None:
    store = MemoryStore()
    await store.put_items("", [StoredItem("fc_1", data, "c1")])
    output = {"type": "function_call_output", "call_id": "c1", "output": "x"}
    for items in ([reference("fc_1")], [output]):
        with pytest.raises(TurnError, match="nobody can read") as raised:
            await history(Memory(store), input=items)
        assert raised.value.kind is Kind.STORE_FAILED


@pytest.mark.parametrize("data", DAMAGED, ids=repr)
async def test_what_is_damaged_can_be_deleted(data: bytes) -> None:
    store = MemoryStore()
    await store.put_response("", StoredResponse(id="resp_1", created_at=1, body=data))
    await Memory(store).forget_response("", "resp_1")
    assert await store.get_response("", "resp_1") is None


def test_what_is_readable_is_read() -> None:
    assert readable(b'{"a":[1]}', dict[str, list[int]], "it") == {"a": [1]}
