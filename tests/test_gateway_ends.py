from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import msgspec
import pytest

from anyturn import gateway as gateway_module
from anyturn.errors import Kind, TurnError
from anyturn.gateway import Turn
from anyturn.testing import (
    Answer,
    Raw,
    text,
)
from anyturn.upstream import stream as stream_module
from anyturn.wire import responses as r
from anyturn.wire import sse
from support.gateway_turns import KEY, LIMITS, Notes, Sink, ask, run, said, stage


@pytest.fixture(autouse=True)
def _full_log() -> Iterator[None]:
    """Some verbs keep the gateway's log off the screen, and they too run in this process."""
    log = logging.getLogger("anyturn")
    level = log.level
    log.setLevel(logging.NOTSET)
    yield
    log.setLevel(level)


# ---------------------------------------------------------------- the end of a stream


async def test_a_stream_without_done_ends_with_its_connection() -> None:
    assert said(await run(Answer(text("Hi."), done=False), sink=Sink())) == "Hi."


async def test_after_the_finish_an_open_connection_is_left_after_a_grace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gateway_module, "_AFTER_FINISH_S", 0.05)
    answer = Answer(text("Hi."), done=False, hold_after=99)
    async with stage(answer) as (gateway, provider):
        async with asyncio.timeout(2):
            response = await gateway.run(ask(), Sink())
        await provider.cancelled(1)
    assert response.status == "completed"
    assert response.usage is not None
    assert response.usage.input_tokens > 0


async def test_after_done_nothing_is_waited_for_and_nothing_is_read() -> None:
    late = sse.encode(b'{"choices":[{"delta":{"content":"too late"}}]}')
    sink = Sink()
    body = sse.encode(b'{"choices":[{"delta":{"content":"Hi."},"finish_reason":"stop"}]}')
    assert said(await run(Raw(body + sse.DONE + late), sink=sink)) == "Hi."


async def test_the_answer_goes_out_before_the_connection_is_drained() -> None:
    """A provider that leaves its connection open after [DONE] must not hold the client up."""
    answer = Answer(text("Hi."), hold_after=99)
    finished = asyncio.Event()

    class Watching(Sink):
        async def send(self, events: list[r.Event]) -> None:
            await super().send(events)
            if isinstance(events[-1], r.Completed):
                finished.set()

    async with stage(answer) as (gateway, provider), asyncio.TaskGroup() as group:
        task = group.create_task(gateway.run(ask(), Watching()))
        await finished.wait()
        assert not task.done()
        await task
        assert not provider.requests[0].finished


async def test_the_end_is_not_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "GATHER_ABOVE_PER_S", -1)
    monkeypatch.setattr(stream_module, "GATHER_S", 0.5)
    body = sse.encode(b'{"choices":[{"delta":{"content":"Hi."},"finish_reason":"stop"}]}')
    began = asyncio.get_running_loop().time()
    assert said(await run(Raw(body + sse.DONE), sink=Sink())) == "Hi."
    assert asyncio.get_running_loop().time() - began < 0.4


async def test_a_silent_provider_fails_the_turn_in_the_middle() -> None:
    sink = Sink()
    limits = msgspec.structs.replace(LIMITS, idle_timeout_s=0.05)
    answer = Answer(text("Hello there."), fragment=4, hold_after=2)
    async with stage(answer, limits=limits) as (gateway, provider):
        response = await gateway.run(ask(), sink)
        await provider.cancelled(1)
    assert response.error is not None
    assert response.error.code == Kind.PROVIDER_TIMEOUT.code
    assert "idle_timeout_s" in response.error.message


# ---------------------------------------------------------------- when the gateway itself fails


class FaultyTap(Notes):
    """A tap with a bug, which stands for any bug of ours."""

    def request(self, turn: Turn) -> None:
        raise ZeroDivisionError(KEY)


class Faulty(Sink):
    """A sink with a bug at its second burst."""

    async def send(self, events: list[r.Event]) -> None:
        await super().send(events)
        if len(self.bursts) == 2:
            raise ValueError(KEY)


async def test_a_bug_of_ours_before_the_answer_is_a_gateway_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(TurnError, match="bug in Anyturn") as caught:
        await run(text("x"), sink=Sink(accepting=False), taps=[FaultyTap()])
    assert caught.value.kind is Kind.GATEWAY_BROKEN
    assert "ZeroDivisionError" in caplog.text
    assert KEY not in caplog.text


async def test_a_bug_of_ours_in_the_middle_still_ends_the_stream(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = Faulty()
    response = await run(Answer(text("Hello there."), fragment=2, pace=0.01), sink=sink)
    assert sink.names[-2:] == ["error", "response.failed"]
    assert response.error is not None
    assert response.error.code == "gateway_error"
    assert "ValueError" in caplog.text
    assert KEY not in caplog.text


# ---------------------------------------------------------------- cancellation and the end


async def test_a_cancelled_turn_cancels_the_provider(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with stage(Answer(text("Hello."), hold_after=2)) as (gateway, provider):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(gateway.run(ask(), Sink()))
            await provider.request(1)
            task.cancel()
        await provider.cancelled(1)
    assert task.cancelled()
    assert "given up" in caplog.text


async def test_closing_waits_for_running_turns() -> None:
    async with stage(Answer(text("Hello."), hold_after=2)) as (gateway, provider):
        async with asyncio.TaskGroup() as group:
            turn = group.create_task(gateway.run(ask(), Sink()))
            await provider.request(1)
            closing = group.create_task(gateway.close(10))
            await asyncio.sleep(0)
            assert not closing.done()
            provider.release(1)
        assert turn.result().status == "completed"


async def test_closing_cuts_turns_that_take_too_long_and_tells_their_clients() -> None:
    sink = Sink()
    async with stage(Answer(text("Hello."), hold_after=2)) as (gateway, provider):
        async with asyncio.TaskGroup() as group:
            turn = group.create_task(gateway.run(ask(), sink))
            await provider.request(1)
            await gateway.close(0.02)
        await provider.cancelled(1)
    assert turn.result().status == "failed"
    assert sink.names[-1] == "response.failed"
    error = turn.result().error
    assert error is not None
    assert error.code == "gateway_shutting_down"


async def test_a_closed_gateway_takes_no_turn() -> None:
    async with stage(text("x")) as (gateway, provider):
        await gateway.close(0)
        with pytest.raises(TurnError) as caught:
            await gateway.run(ask(), Sink())
        assert provider.requests == []
    assert caught.value.kind is Kind.SHUTTING_DOWN
