"""Streams of an intercepted client over real HTTP: the same to the program, and seen."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai import AsyncStream, Stream
from openai.types.chat import ChatCompletionChunk

from anyturn.openai_sdk import (
    Answered,
    Ending,
    Event,
    RequestFailed,
    StreamingToolCallTracker,
    intercept_llm_requests,
)
from anyturn.openai_sdk.observed_streams import observed_stream
from anyturn.testing import (
    Answer,
    Dropped,
    Refusal,
    ScriptedProvider,
    call,
    openai_error,
    reasoning,
    text,
)
from support.sdk_clients import BODY, RESPONSES_BODY, async_client, gateway, sync_client

THREE = Answer(*(call("add_task", {"title": title}) for title in "abc"))
LONG = Answer(call("add_task", {"title": "x" * 20_000}), fragment=100)
BROKEN = Answer(
    call("add_task", {"title": "Test"}), error_after=(3, openai_error("It broke")["error"])
)

Answers = pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(call("add_task", {"title": "Test"})), id="one call"),
        pytest.param(THREE, id="three calls"),
        pytest.param(Answer(reasoning("hm"), text("Only words.")), id="text only"),
        pytest.param(LONG, id="long arguments"),
        pytest.param(BROKEN, id="error in the middle"),
        pytest.param(Answer(call("add_task", {"title": "Test"}), cut_after=3), id="cut"),
        pytest.param(Answer(call("add_task", {"title": "Test"}), finish=None), id="no finish"),
        pytest.param(Refusal(429, openai_error("Slow down")), id="refused"),
        pytest.param(Dropped(), id="dropped"),
    ],
)


def end_of(told: list[Event]) -> Answered:
    [end] = [event for event in told if isinstance(event, Answered)]
    return end


def described(error: Exception) -> tuple[Any, ...]:
    return type(error), str(error), type(error.__cause__), getattr(error, "status_code", None)


async def played(answer: Any, use: Callable[[Any], Any]) -> tuple[list[Any], Any]:
    """What a program sees of a stream: chunks and how it ended."""
    seen: list[Any] = []
    async with ScriptedProvider([answer]) as provider, async_client(provider.base_url) as client:
        use(client)
        try:
            async for chunk in await client.chat.completions.create(**BODY, stream=True):
                seen += [(type(chunk), chunk.to_dict())]
        except openai.APIError as error:
            return seen, described(error)
        except Exception as error:  # what the SDK does not wrap, among them errors of httpx
            return seen, described(error)
        return seen, None


@Answers
async def test_a_program_sees_the_same_with_and_without(answer: Any, told: list[Event]) -> None:
    plain = await played(answer, lambda client: client)
    seen = await played(answer, lambda client: intercept_llm_requests(client, on_event=told.append))
    assert seen == plain
    assert end_of(told)
    assert bool([event for event in told if isinstance(event, RequestFailed)]) == bool(plain[1])


@Answers
async def test_a_sync_program_sees_the_same_with_and_without(
    answer: Any, told: list[Event]
) -> None:
    def run(base_url: str, on_event: Any) -> tuple[list[Any], Any]:
        seen: list[Any] = []
        with sync_client(base_url) as client:
            if on_event:
                intercept_llm_requests(client, on_event=on_event)
            try:
                for chunk in client.chat.completions.create(**BODY, stream=True):
                    seen += [chunk.to_dict()]
            except Exception as error:
                return seen, described(error)
        return seen, None

    outcomes = []
    for on_event in (None, told.append):
        async with ScriptedProvider([answer]) as provider:
            outcomes.append(await asyncio.to_thread(run, provider.base_url, on_event))
    assert outcomes[0] == outcomes[1]
    assert end_of(told)


async def test_three_calls_are_three_calls(told: list[Event]) -> None:
    await played(THREE, lambda client: intercept_llm_requests(client, on_event=told.append))
    assert [one.arguments for one in end_of(told).calls] == [f'{{"title":"{c}"}}' for c in "abc"]


async def test_long_arguments_are_whole(told: list[Event]) -> None:
    await played(LONG, lambda client: intercept_llm_requests(client, on_event=told.append))
    assert len(end_of(told).calls[0].arguments) == 20_012


async def test_type_checks_hold(told: list[Event]) -> None:
    async with ScriptedProvider([THREE]) as provider, async_client(provider.base_url) as client:
        intercept_llm_requests(client, on_event=told.append)
        stream = await client.chat.completions.create(**BODY, stream=True)
        assert isinstance(stream, AsyncStream)
        assert isinstance(stream, StreamingToolCallTracker)
        assert type(stream).__name__ == "AsyncStream"
        assert stream._stream is stream
        assert stream.response.status_code == 200
        first = await stream.__anext__()
        assert type(first) is ChatCompletionChunk
        await stream.close()


@pytest.mark.parametrize("way", ["close", "aclose", "context manager"])
async def test_leaving_early_closes_the_connection(way: str, told: list[Event]) -> None:
    held = Answer(call("add_task", {"title": "Test"}), hold_after=3)
    async with ScriptedProvider([held]) as provider, async_client(provider.base_url) as client:
        intercept_llm_requests(client, on_event=told.append)
        stream = await client.chat.completions.create(**BODY, stream=True)
        if way == "context manager":
            async with stream:
                async for _ in stream:
                    break
        else:
            await stream.__anext__()
            await getattr(stream, way, stream.close)()  # `aclose` is younger than some SDKs
        await provider.cancelled(1)
    assert end_of(told).ending is Ending.CLOSED


async def test_a_loop_that_breaks_can_be_resumed(told: list[Event]) -> None:
    async with ScriptedProvider([THREE]) as provider, async_client(provider.base_url) as client:
        intercept_llm_requests(client, on_event=told.append)
        stream = await client.chat.completions.create(**BODY, stream=True)
        async for _ in stream:
            break
        rest = [chunk async for chunk in stream]
    end = end_of(told)
    assert (end.ending, end.chunks) == (Ending.COMPLETE, len(rest) + 1)


async def test_a_stream_that_is_thrown_away_is_told(told: list[Event]) -> None:
    def run(base_url: str) -> None:
        with sync_client(base_url) as client:
            intercept_llm_requests(client, on_event=told.append)
            for _ in client.chat.completions.create(**BODY, stream=True):
                break
            gc.collect()
            assert end_of(told).ending is Ending.CLOSED

    async with ScriptedProvider([THREE]) as provider:
        await asyncio.to_thread(run, provider.base_url)


async def test_an_async_stream_that_is_thrown_away_upsets_no_loop(told: list[Event]) -> None:
    upset: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: upset.append(context))

    async def run(client: Any) -> None:
        async for _ in await client.chat.completions.create(**BODY, stream=True):
            break

    async with ScriptedProvider([LONG]) as provider, async_client(provider.base_url) as client:
        intercept_llm_requests(client, on_event=told.append)
        await run(client)
        for _ in range(50):  # the loop closes the generators that are collected
            gc.collect()
            await asyncio.sleep(0)
        assert end_of(told).ending is Ending.CLOSED
    assert upset == []


async def test_cancelling_a_task_closes_the_connection(told: list[Event]) -> None:
    held = Answer(call("add_task", {"title": "Test"}), hold_after=2)
    async with ScriptedProvider([held]) as provider, async_client(provider.base_url) as client:
        intercept_llm_requests(client, on_event=told.append)
        begun = asyncio.Event()

        async def consume() -> None:
            async with await client.chat.completions.create(**BODY, stream=True) as stream:
                async for _ in stream:
                    begun.set()

        async with asyncio.TaskGroup() as group:
            task = group.create_task(consume())
            await begun.wait()
            task.cancel()
        await provider.cancelled(1)
    assert task.cancelled()
    assert end_of(told).ending is Ending.CANCELLED


async def test_raw_responses_work_and_are_seen(told: list[Event]) -> None:
    async with ScriptedProvider([THREE]) as provider, async_client(provider.base_url) as client:
        intercept_llm_requests(client, on_event=told.append)
        raw = await client.chat.completions.with_raw_response.create(**BODY, stream=True)
        assert raw.headers["content-type"].startswith("text/event-stream")
        stream = raw.parse()
        assert isinstance(stream, AsyncStream)
        chunks = [chunk async for chunk in stream]
    assert len(end_of(told).calls) == 3
    assert end_of(told).chunks == len(chunks)


async def test_streaming_responses_work_and_are_seen(told: list[Event]) -> None:
    async with ScriptedProvider([THREE]) as provider, async_client(provider.base_url) as client:
        intercept_llm_requests(client, on_event=told.append)
        create = client.chat.completions.with_streaming_response.create
        async with create(**BODY, stream=True) as raw:
            stream = await raw.parse()
            assert [chunk async for chunk in stream]
    assert len(end_of(told).calls) == 3


async def test_lines_of_a_streaming_response_are_left_alone() -> None:
    async with ScriptedProvider([THREE]) as provider, async_client(provider.base_url) as client:
        intercept_llm_requests(client)
        create = client.chat.completions.with_streaming_response.create
        async with create(**BODY, stream=True) as raw:
            lines = [line async for line in raw.iter_lines()]
    assert lines[-1] == "" or lines[-1] == "data: [DONE]"


async def test_the_accumulating_stream_works_and_is_seen(told: list[Event]) -> None:
    async with ScriptedProvider([THREE]) as provider, async_client(provider.base_url) as client:
        intercept_llm_requests(client, on_event=told.append)
        completions = getattr(client.chat.completions, "stream", None)
        if completions is None:
            completions = client.beta.chat.completions.stream
        async with completions(**_strict(BODY)) as stream:
            async for _ in stream:
                pass
            final = await stream.get_final_completion()
    assert len(final.choices[0].message.tool_calls or []) == 3
    assert len(end_of(told).calls) == 3


def _strict(body: dict[str, Any]) -> dict[str, Any]:
    """The SDK parses arguments itself, for which it wants strict tools."""
    schema = {
        "type": "object",
        "properties": {"title": {"type": "string"}},
        "required": ["title"],
        "additionalProperties": False,
    }
    function = {"name": "add_task", "strict": True, "parameters": schema}
    return {**body, "tools": [{"type": "function", "function": function}]}


# ---------------------------------------------------------------- the Responses API


async def drained(stream: Any) -> list[type]:
    """The types of what a stream brings, an exception at its end included."""
    seen: list[type] = []
    try:
        async for event in stream:
            seen += [type(event)]
    except openai.APIError as error:
        seen.append(type(error))
    return seen


@pytest.mark.parametrize(
    ("answer", "ending", "calls"),
    [
        pytest.param(THREE, Ending.COMPLETE, 3, id="three calls"),
        pytest.param(Answer(text("Hi")), Ending.COMPLETE, 0, id="text only"),
        pytest.param(
            Answer(call("add_task", {"title": "Test"}), cut_after=3), Ending.FAILED, 0, id="cut"
        ),
    ],
)
async def test_events_are_the_same_with_and_without(
    answer: Any, ending: Ending, calls: int, told: list[Event]
) -> None:
    kinds = []
    for on_event in (None, told.append):
        async with gateway([answer]) as base_url, async_client(base_url) as client:
            if on_event:
                intercept_llm_requests(client, on_event=on_event)
            stream = await client.responses.create(**RESPONSES_BODY, stream=True)
            assert isinstance(stream, AsyncStream)
            kinds.append(await drained(stream))
    assert kinds[0] == kinds[1]
    assert end_of(told).ending is ending
    if ending is Ending.COMPLETE:
        assert len(end_of(told).calls) == calls
        assert end_of(told).output_tokens is not None


async def test_the_responses_stream_of_the_sdk_works_and_is_seen(told: list[Event]) -> None:
    async with gateway([THREE]) as base_url, async_client(base_url) as client:
        intercept_llm_requests(client, on_event=told.append)
        body = {**RESPONSES_BODY, "tools": [_strict(BODY)["tools"][0]["function"]]}
        body["tools"][0]["type"] = "function"
        async with client.responses.stream(**body) as stream:
            async for _ in stream:
                pass
            final = await stream.get_final_response()
    assert len([item for item in final.output if item.type == "function_call"]) == 3
    assert len(end_of(told).calls) == 3


# ---------------------------------------------------------------- the classes


def test_classes_are_made_once() -> None:
    kind = AsyncStream[ChatCompletionChunk]
    assert observed_stream(kind) is observed_stream(kind)


def test_streams_of_the_program_are_observed_too() -> None:
    class Mine(Stream[int]):
        pass

    assert issubclass(observed_stream(Mine), Mine)


def test_what_is_no_stream_stays_as_it_is() -> None:
    assert observed_stream(int) is int
    assert observed_stream(list[int]) == list[int]
