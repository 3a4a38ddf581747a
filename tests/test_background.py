"""Background responses: their states, their followers, and what ends them."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from anyturn import background as module
from anyturn.background import KEPT_S, LOST_AFTER_S, Background, Job, pack_events, unpack_events
from anyturn.config import Settings
from anyturn.errors import Kind, TurnError
from anyturn.gateway import Gateway
from anyturn.memory import Caller, Memory
from anyturn.routing import Routing
from anyturn.store.memory import MemoryStore
from anyturn.store.records import Store, StoredConversation, StoredResponse
from anyturn.testing import Answer, Entry, Refusal, ScriptedProvider, openai_error, text
from anyturn.upstream import ProviderClient
from support.gateway_turns import KEY, LIMITS, ask
from support.stores import DISK_FULL, READS, WRITES, Clock, TroubledStore
from support.stream_rules import check_stream, decode_events

JSON = dict[str, Any]
MINE, YOURS = Caller("mine"), Caller("yours")
HELD = Answer(text("Hello there, you."), hold_after=2, fragment=6)


class Stage:
    """A gateway's background, and its provider."""

    def __init__(
        self, background: Background, gateway: Gateway, provider: ScriptedProvider
    ) -> None:
        self.background = background
        self.gateway = gateway
        self.provider = provider

    async def start(self, **fields: Any) -> Job:
        return await self.background.start(ask(background=True, **fields), MINE)

    async def stored(self, job: Job) -> JSON:
        """What is stored of a job."""
        found = await self.gateway.memory.response("mine", job.turn.id)
        body: JSON = msgspec.json.decode(found.body)
        return body

    async def record(self, job: Job) -> StoredResponse:
        return await self.gateway.memory.response("mine", job.turn.id)


@asynccontextmanager
async def staged(
    *script: Entry,
    store: Store | None = None,
    clock: Clock | None = None,
    timeout_s: float = 0.2,
    beat_s: float = 0.02,
) -> AsyncIterator[Stage]:
    async with ScriptedProvider(script) as provider, ProviderClient(LIMITS) as client:
        routing = Routing(Settings(base_url=provider.base_url, model="gpt-oss-120b"), {})
        memory = Memory(store, timeout_s=timeout_s)
        gateway = Gateway(routing, client, memory=memory)
        background = Background(gateway, now=clock or Clock(), beat_s=beat_s)
        async with asyncio.timeout(20):
            yield Stage(background, gateway, provider)
            await gateway.close(0)
            await background.close()


async def over(job: Job) -> None:
    """Wait until everything of a job is done."""
    assert job.task is not None
    await asyncio.wait([job.task])


async def followed(job: Job, after: int = -1, every_s: float = 60) -> list[JSON]:
    """All events that a follower gets."""
    return decode_events(b"".join([block async for block in job.follow(after, b"", every_s)]))


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Go on as soon as this holds; the test's time limit ends a wait in vain."""
    while not await holds():
        await asyncio.sleep(0)


def names(events: list[JSON]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


@pytest.fixture
def store() -> TroubledStore:
    return TroubledStore()


# ---------------------------------------------------------------- states


async def test_a_response_is_queued_in_progress_and_completed(store: TroubledStore) -> None:
    async with staged(HELD, store=store) as on:
        job = await on.start()
        assert (await on.stored(job))["status"] == job.response.status == "queued"
        await on.provider.request(1)

        async def in_progress() -> bool:
            return (await on.stored(job))["status"] == "in_progress"

        await until(in_progress)
        assert job.response.status == "in_progress"
        on.provider.release(1)
        await over(job)
        assert job.response.status == "completed"
        stored = await on.record(job)
    assert msgspec.json.decode(stored.body) == check_stream(
        decode_events(unpack_events(stored.events, -1))
    )
    assert stored.input != b"[]"


@pytest.mark.parametrize(
    ("entry", "status"),
    [
        (text("Hi."), "completed"),
        (Answer(text("Hi."), finish="length"), "incomplete"),
        (Answer(text("Hi."), cut_after=1), "failed"),
        (Refusal(400, openai_error("no such thing")), "failed"),
        (Refusal(500, openai_error("it burns")), "failed"),
    ],
    ids=["completed", "incomplete", "cut", "refused", "broken"],
)
async def test_however_it_ends_the_stream_the_store_and_the_job_say_the_same(
    store: TroubledStore, entry: Entry, status: str
) -> None:
    async with staged(entry, store=store) as on:
        job = await on.start()
        events = await followed(job)
        await over(job)
        response = check_stream(events)
        assert response["status"] == status == job.response.status
        assert names(events)[:3] == ["created", "queued", "in_progress"]
        stored = await on.record(job)
        assert msgspec.json.decode(stored.body) == response
        assert decode_events(unpack_events(stored.events, -1)) == events
        assert decode_events(unpack_events(stored.events, 2)) == events[3:]


async def test_what_is_over_leaves_nothing_here(store: TroubledStore) -> None:
    async with staged(text("Hi."), store=store) as on:
        job = await on.start()
        id = job.turn.id
        await over(job)
        assert on.background.find("mine", id) is None
        gone = weakref.ref(job)
        del job
        gc.collect()
        assert gone() is None
        # Only the item that was handed out: no beat is left.
        assert (await store.stats()).items == 1


@pytest.mark.parametrize("fields", [{"store": False}, {}], ids=["store false", "no store"])
async def test_what_nobody_could_fetch_is_refused(fields: JSON) -> None:
    async with staged(store=MemoryStore() if fields else None) as on:
        with pytest.raises(TurnError) as raised:
            await on.start(**fields)
        assert on.provider.requests == []
    assert raised.value.kind is (Kind.INVALID_REQUEST if fields else Kind.UNSUPPORTED)


async def test_there_are_only_so_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when they come at the same moment (A1)."""

    class Slow(TroubledStore):
        async def put_response(self, owner: str, response: StoredResponse) -> None:
            await asyncio.sleep(0)
            await super().put_response(owner, response)

    store = Slow()
    monkeypatch.setattr(module, "MAX_JOBS", 2)
    async with staged(HELD, HELD, text("Hi."), store=store) as on:
        begun = await asyncio.gather(*[on.start() for _ in range(5)], return_exceptions=True)
        jobs = [one for one in begun if isinstance(one, Job)]
        refused = [one for one in begun if isinstance(one, TurnError)]
        assert (len(jobs), len(refused)) == (2, 3)
        assert {(one.kind, one.retry_after) for one in refused} == {(Kind.RATE_LIMITED, 0.02)}
        await on.background.cancel("mine", jobs[0].turn.id)
        await over(jobs[0])
        assert isinstance(await on.start(), Job)


async def test_a_turn_in_the_background_joins_its_conversation(store: TroubledStore) -> None:
    await store.put_conversation("mine", StoredConversation("conv_1", 1))
    async with staged(text("Hi."), store=store) as on:
        await over(await on.start(conversation="conv_1"))
    assert len(await store.conversation_items("mine", "conv_1")) == 2


async def test_a_turn_in_the_background_can_be_continued(store: TroubledStore) -> None:
    async with staged(text("One."), text("Two."), store=store) as on:
        first = await on.start()
        await over(first)
        await over(await on.start(input="And?", previous_response_id=first.turn.id))
        said = [message["content"] for message in on.provider.requests[1].messages]
    assert said == ["Hi", "One.", "And?"]


# ---------------------------------------------------------------- cancelling


async def test_one_that_is_still_queued_is_cancelled_and_nobody_is_asked(
    store: TroubledStore,
) -> None:
    async with staged(text("Hi."), store=store) as on:
        job = await on.start()
        assert await on.background.cancel("mine", job.turn.id) is job
        assert (await on.stored(job))["status"] == job.response.status == "cancelled"
        assert on.provider.requests == []
        assert names(await followed(job)) == ["created", "queued"]


async def test_one_that_runs_is_cancelled_with_its_providers_request_f73(
    store: TroubledStore,
) -> None:
    async with staged(HELD, store=store) as on:
        job = await on.start()
        await on.provider.request(1)
        await asyncio.gather(*[on.background.cancel("mine", job.turn.id) for _ in range(3)])
        await on.provider.cancelled(1)
        assert (await on.stored(job))["status"] == "cancelled"
        await over(job)
        assert await on.background.cancel("mine", job.turn.id) is None


async def test_nobody_else_can_cancel_it(store: TroubledStore) -> None:
    async with staged(HELD, store=store) as on:
        job = await on.start()
        await on.provider.request(1)
        assert await on.background.cancel("yours", job.turn.id) is None
        assert on.background.find("yours", job.turn.id) is None
        await on.background.ask_to_cancel("yours", job.turn.id)
        on.provider.release(1)
        await over(job)
    assert job.response.status == "completed"


class SlowAtTheEnd(TroubledStore):
    """A store that is not ready for what is completed until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.goes_on = asyncio.Event(), asyncio.Event()

    async def put_response(self, owner: str, response: StoredResponse) -> None:
        if b'"status":"completed"' in response.body:
            self.reached.set()
            await self.goes_on.wait()
        await super().put_response(owner, response)


async def test_one_that_is_just_ending_is_not_cancelled_any_more() -> None:
    """Its end is stored already, and would differ from what it says."""
    store = SlowAtTheEnd()
    async with staged(text("Hi."), store=store, timeout_s=5) as on:
        job = await on.start()
        await store.reached.wait()
        cancelling = asyncio.ensure_future(on.background.cancel("mine", job.turn.id))
        await asyncio.sleep(0)
        store.goes_on.set()
        await cancelling
        assert (await on.stored(job))["status"] == job.response.status == "completed"
        assert check_stream(await followed(job))["status"] == "completed"


async def test_one_that_is_forgotten_is_not_stored_again(store: TroubledStore) -> None:
    async with staged(HELD, store=store) as on:
        job = await on.start()
        await on.provider.request(1)
        await on.background.forget("mine", job.turn.id)
        await on.gateway.memory.forget_response("mine", job.turn.id)
        await over(job)
        with pytest.raises(TurnError, match="not found"):
            await on.stored(job)


async def test_one_whose_result_waits_for_the_store_is_forgotten_at_once(
    store: TroubledStore,
) -> None:
    async with staged(text("Hi."), store=store, beat_s=3600) as on:
        job = await on.start()
        store.fails = {"put_response"}
        await job.over.wait()
        store.fails.clear()
        await on.background.forget("mine", job.turn.id)
        assert on.background.find("mine", job.turn.id) is None
        assert job.task is not None and job.task.done()


# ---------------------------------------------------------------- the gateway stops


@pytest.mark.parametrize("begun", [True, False], ids=["running", "queued"])
async def test_a_gateway_that_stops_stores_what_became_of_its_jobs(
    store: TroubledStore, begun: bool
) -> None:
    async with staged(HELD, HELD, store=store) as on:
        jobs = [await on.start(), await on.start()]
        if begun:
            await on.provider.request(2)
        following = asyncio.ensure_future(followed(jobs[0]))
        await asyncio.sleep(0)
        await on.gateway.close(0)
        await on.background.close()
        for job in jobs:
            assert job.task is not None and job.task.done()
            body = await on.stored(job)
            assert body["status"] == "failed"
            assert body["error"]["code"] == "gateway_shutting_down"
            assert "The gateway was stopped" in body["error"]["message"]
        events = await following
        assert check_stream(events) == await on.stored(jobs[0])
        stored = await on.record(jobs[0])
        assert decode_events(unpack_events(stored.events, -1)) == events
        with pytest.raises(TurnError) as raised:
            await on.start()
    assert raised.value.kind is Kind.SHUTTING_DOWN


async def test_a_stream_that_was_cut_at_its_very_end_is_not_stored_without_it() -> None:
    """The response is whole, and is told anew to whoever asks for its stream."""
    store = SlowAtTheEnd()
    async with staged(text("Hi."), store=store, timeout_s=5) as on:
        job = await on.start()
        await store.reached.wait()
        await on.gateway.close(0)
        store.goes_on.set()
        await over(job)
        stored = await on.record(job)
    assert job.response.status == msgspec.json.decode(stored.body)["status"] == "completed"
    assert stored.events == b""


async def test_a_job_that_begins_while_the_gateway_stops_is_stopped_too() -> None:
    class Slow(TroubledStore):
        goes_on = asyncio.Event()

        async def put_response(self, owner: str, response: StoredResponse) -> None:
            await self.goes_on.wait()
            await super().put_response(owner, response)

    store = Slow()
    async with staged(HELD, store=store, timeout_s=5) as on:
        starting = asyncio.ensure_future(on.start())

        async def prepared() -> bool:
            return on.background._starting == 1

        await until(prepared)
        await on.gateway.close(0)
        await on.background.close()
        store.goes_on.set()
        job = await starting
        await over(job)
        assert (await on.stored(job))["error"]["code"] == "gateway_shutting_down"


async def test_a_gateway_that_breaks_ends_the_job_in_words(
    store: TroubledStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def perform(*_: Any) -> Any:
        raise ZeroDivisionError(KEY)

    async with staged(store=store) as on:
        monkeypatch.setattr(on.gateway, "perform", perform)
        job = await on.start()
        events = await followed(job)
        await over(job)
        assert check_stream(events) == await on.stored(job)
    assert job.response.error is not None and job.response.error.code == "gateway_error"
    assert "ZeroDivisionError" in caplog.text
    assert KEY not in caplog.text


# ---------------------------------------------------------------- a store in trouble


@pytest.mark.parametrize("trouble", ["fails", "hangs"])
async def test_what_cannot_be_stored_at_the_start_is_refused(trouble: str) -> None:
    async with staged(store=TroubledStore(**{trouble: WRITES})) as on:
        with pytest.raises(TurnError) as raised:
            await on.start()
        assert on.provider.requests == []
        assert on.background._starting == 0
    assert raised.value.kind is Kind.STORE_FAILED


@pytest.mark.parametrize("trouble", ["fails", "hangs"])
async def test_a_store_that_fails_in_the_middle_does_not_end_a_job(
    store: TroubledStore, trouble: str
) -> None:
    async with staged(HELD, store=store) as on:
        job = await on.start()
        getattr(store, trouble).update((*READS, *WRITES))
        await on.provider.request(1)
        getattr(store, trouble).clear()
        on.provider.release(1)
        await over(job)
        assert (await on.stored(job))["status"] == "completed"


async def test_a_result_that_cannot_be_stored_is_kept_here_until_it_can(
    store: TroubledStore, caplog: pytest.LogCaptureFixture
) -> None:
    async with staged(text("Hi."), store=store) as on:
        job = await on.start()
        store.fails = {"put_response"}
        assert check_stream(await followed(job))["status"] == "completed"
        await job.over.wait()
        found = on.background.find("mine", job.turn.id)
        assert found is job and found.response.status == "completed"
        assert await on.background.cancel("mine", job.turn.id) is job
        assert job.response.status == "completed"
        assert DISK_FULL in caplog.text
        store.fails.clear()
        await over(job)
        assert (await on.stored(job))["status"] == "completed"
        assert on.background.find("mine", job.turn.id) is None


async def test_a_result_is_not_kept_forever(store: TroubledStore) -> None:
    clock = Clock()
    async with staged(text("Hi."), store=store, clock=clock) as on:
        job = await on.start()
        store.fails = {"put_response"}
        await job.over.wait()
        clock.now += KEPT_S
        await over(job)
        assert on.background.find("mine", job.turn.id) is None


@pytest.mark.parametrize("trouble", ["fails", "hangs"])
async def test_a_gateway_stops_although_a_result_cannot_be_stored(
    store: TroubledStore, trouble: str
) -> None:
    async with staged(text("Hi."), store=store, beat_s=3600) as on:
        job = await on.start()
        getattr(store, trouble).update(WRITES)
        await job.over.wait()
        await on.gateway.close(0)
        await on.background.close()
        assert job.task is not None and job.task.done()


# ---------------------------------------------------------------- several gateways, one store


async def test_one_gateway_runs_it_and_another_knows_whether_it_lives() -> None:
    store, clock = TroubledStore(), Clock(time.time())
    async with (
        staged(HELD, store=store, clock=clock) as here,
        staged(store=store, clock=clock) as there,
    ):
        job = await here.start()
        stored = await there.record(job)
        assert there.background.find("mine", job.turn.id) is None
        assert not await there.background.is_lost("mine", stored)
        for _ in range(3):
            clock.now += LOST_AFTER_S - 1
            asked = store.asked.count("put_items")

            async def beats(before: int = asked) -> bool:
                return store.asked.count("put_items") > before + 1

            await until(beats)
            assert not await there.background.is_lost("mine", stored)
        store.fails = {"put_items"}
        clock.now += LOST_AFTER_S + 1
        assert await there.background.is_lost("mine", stored)
        store.fails.clear()
        asked = store.asked.count("put_items")

        async def beats_again() -> bool:
            return store.asked.count("put_items") > asked + 1

        await until(beats_again)
        assert not await there.background.is_lost("mine", stored)
        here.provider.release(1)
        await over(job)
        assert (await there.stored(job))["status"] == "completed"


async def test_one_gateway_cancels_what_another_runs() -> None:
    store = TroubledStore()
    async with staged(HELD, store=store) as here, staged(store=store) as there:
        job = await here.start()
        await here.provider.request(1)
        assert await there.background.cancel("mine", job.turn.id) is None
        await there.background.ask_to_cancel("mine", job.turn.id)
        await over(job)
        await here.provider.cancelled(1)
        assert (await there.stored(job))["status"] == "cancelled"
        assert (await store.stats()).items == 0


async def test_what_was_just_queued_is_not_lost_before_its_first_beat() -> None:
    store, clock = MemoryStore(), Clock(5000)
    record = StoredResponse(id="resp_1", created_at=5000, body=b"{}")
    async with staged(store=store, clock=clock) as on:
        assert not await on.background.is_lost("mine", record)
        clock.now += LOST_AFTER_S + 1
        assert await on.background.is_lost("mine", record)


# ---------------------------------------------------------------- followers


async def test_followers_get_the_same_whenever_they_come(store: TroubledStore) -> None:
    async with staged(HELD, store=store) as on:
        job = await on.start()
        first = asyncio.ensure_future(followed(job))
        await on.provider.request(1)
        second = asyncio.ensure_future(followed(job))
        slow_blocks = job.follow(-1, b"", 60)
        slow = await anext(slow_blocks)
        late = asyncio.ensure_future(followed(job, after=3))
        on.provider.release(1)
        await over(job)
        events = await first
        assert check_stream(events)["status"] == "completed"
        assert await second == events == await followed(job)
        assert await late == events[4:]
        slow += b"".join([block async for block in slow_blocks])
        assert decode_events(slow) == events
        assert not [block async for block in job.follow(len(events), b"", 60)]


async def test_a_follower_that_leaves_is_not_missed(store: TroubledStore) -> None:
    async with staged(HELD, store=store) as on:
        job = await on.start()
        leaving = asyncio.ensure_future(followed(job))
        await on.provider.request(1)
        leaving.cancel()
        on.provider.release(1)
        assert check_stream(await followed(job))["status"] == "completed"


async def test_a_follower_is_kept_alive_while_nothing_comes(store: TroubledStore) -> None:
    async with staged(HELD, store=store) as on:
        job = await on.start()
        blocks = job.follow(-1, b": keep-alive\n\n", 0.01)
        got = [await anext(blocks)]
        while got.count(b": keep-alive\n\n") < 3:
            got.append(await anext(blocks))
        on.provider.release(1)
        got += [block async for block in blocks]
        events = decode_events(b"".join(one for one in got if not one.startswith(b":")))
        assert check_stream(events)["status"] == "completed"


@pytest.mark.parametrize(
    "packed",
    [b"", b"junk", pack_events([b"junk"])],
    ids=["empty", "no stream", "no event"],
)
def test_a_damaged_stream_is_a_sentence(packed: bytes) -> None:
    with pytest.raises(TurnError, match="nobody can read") as raised:
        unpack_events(packed, -1)
    assert raised.value.kind is Kind.STORE_FAILED
