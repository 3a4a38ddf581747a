from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest

from anyturn.openai_sdk import Answered, Ending, Event, Finding, Rule, StreamingToolCallTracker
from support.sdk_chunks import BODY, AsyncDouble, Double, delta, one_call


def ending(told: list[Event]) -> Ending:
    [end] = [event for event in told if isinstance(event, Answered)]
    return end.ending


async def test_every_chunk_comes_out_as_the_object_that_went_in(told: list[Event]) -> None:
    chunks = one_call()
    tracker = StreamingToolCallTracker(AsyncDouble(chunks), on_event=told.append)
    seen = [chunk async for chunk in tracker]
    assert all(map(lambda one, other: one is other, seen, chunks))
    assert len(seen) == len(chunks)
    assert tracker.tool_calls[0].arguments == '{"title":"Test"}'
    assert tracker.finish_reason == "tool_calls"
    assert ending(told) is Ending.COMPLETE


async def test_the_log_of_a_call(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "anyturn.openai_sdk")
    async for _ in StreamingToolCallTracker(AsyncDouble(one_call())):
        pass
    assert caplog.messages[:-1] == [
        "[LLM STREAM] New tool call detected at index 0",
        "[LLM STREAM] Tool call [0] name: add_task",
        "[LLM STREAM] Finish reason: tool_calls",
        "[LLM STREAM] Tool calls completed: 1",
        '  [0] add_task(id=call_1) args={"title":"Test"}',
    ]


async def test_the_log_of_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "anyturn.openai_sdk")
    chunks = [delta(content="Hi"), delta(content=" there"), delta(finish="stop")]
    async for _ in StreamingToolCallTracker(AsyncDouble(chunks)):
        pass
    assert caplog.messages[:-1] == [
        "[LLM STREAM] Text content started",
        "[LLM STREAM] Finish reason: stop",
        "[LLM STREAM] Response was text-only (no tool calls)",
    ]


async def test_chunks_can_be_taken_one_by_one() -> None:
    tracker = StreamingToolCallTracker(AsyncDouble(one_call()))
    first = await tracker.__anext__()
    assert first.choices[0].delta.tool_calls[0].id == "call_1"
    assert [call.name for call in tracker.tool_calls] == ["add_task"]


async def test_a_loop_that_breaks_can_be_resumed() -> None:
    tracker = StreamingToolCallTracker(AsyncDouble(one_call()))
    async for _ in tracker:
        break
    assert len([chunk async for chunk in tracker]) == 3


async def test_it_is_the_stream_for_everything_else() -> None:
    stream = AsyncDouble([])
    tracker = StreamingToolCallTracker(stream)
    assert tracker._stream is stream
    assert tracker.response is stream.response
    with pytest.raises(AttributeError):
        _ = tracker.never_heard_of


@pytest.mark.parametrize("close", ["close", "aclose", "__aexit__"])
async def test_it_closes_the_stream(close: str, told: list[Event]) -> None:
    stream = AsyncDouble(one_call())
    tracker = StreamingToolCallTracker(stream, on_event=told.append)
    await tracker.__anext__()
    if close == "__aexit__":
        async with tracker as entered:
            assert entered is tracker
    else:
        await getattr(tracker, close)()
    assert stream.closed == 1
    assert ending(told) is Ending.CLOSED


async def test_a_generator_is_a_stream(told: list[Event]) -> None:
    closed = []

    async def generate() -> Any:
        try:
            for chunk in one_call():
                yield chunk
        finally:
            closed.append(True)

    tracker = StreamingToolCallTracker(generate(), on_event=told.append)
    async with tracker:
        await tracker.__anext__()
    assert closed == [True]


async def test_a_mock_is_a_stream() -> None:
    stream = MagicMock()
    stream.__aiter__.return_value = one_call()
    stream.close = AsyncMock()
    tracker = StreamingToolCallTracker(stream)
    assert len([chunk async for chunk in tracker]) == 4
    assert tracker.tool_calls[0].name == "add_task"
    await tracker.close()
    stream.close.assert_awaited_once()


async def test_an_exception_comes_out_as_it_is(told: list[Event]) -> None:
    error = ConnectionError("gone")
    tracker = StreamingToolCallTracker(
        AsyncDouble(one_call(finish=None), error), on_event=told.append
    )
    with pytest.raises(ConnectionError) as raised:
        async for _ in tracker:
            pass
    assert raised.value is error
    assert ending(told) is Ending.FAILED


async def test_cancelling_goes_through(told: list[Event]) -> None:
    stream = AsyncDouble([], asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await StreamingToolCallTracker(stream, on_event=told.append).__anext__()
    assert ending(told) is Ending.CANCELLED


def test_sync_streams_are_tracked(told: list[Event]) -> None:
    stream = Double(one_call())
    tracker = StreamingToolCallTracker(stream, on_event=told.append)
    assert next(tracker).choices
    with tracker:
        assert len(list(tracker)) == 3
    assert stream.closed == 1
    assert ending(told) is Ending.COMPLETE


def test_a_sync_exception_comes_out_as_it_is(told: list[Event]) -> None:
    error = ConnectionError("gone")
    with pytest.raises(ConnectionError) as raised:
        list(StreamingToolCallTracker(Double([], error), on_event=told.append))
    assert raised.value is error


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(BODY, id="all of it"),
        pytest.param({"tools": BODY["tools"]}, id="only the tools"),
    ],
)
def test_the_request_lets_it_judge_the_arguments(
    told: list[Event], request_: dict[str, Any]
) -> None:
    chunks = one_call('{"priority":1}')
    list(StreamingToolCallTracker(Double(chunks), on_event=told.append, request=request_))
    assert [event.rule for event in told if isinstance(event, Finding)] == [Rule.ARGUMENTS_MISFIT]


def test_events_of_the_responses_api_are_tracked() -> None:
    done = SimpleNamespace(type="function_call", call_id="c", name="a", arguments="{}")
    events = [
        SimpleNamespace(type="response.created"),
        SimpleNamespace(type="response.output_item.done", output_index=0, item=done),
    ]
    tracker = StreamingToolCallTracker(Double(events))
    assert list(tracker) == events
    assert tracker.tool_calls[0].name == "a"
