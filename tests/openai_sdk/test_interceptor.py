"""Clients, intercepted: requests, whole answers, failures, copies, and the way back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from anyturn.openai_sdk import (
    Answered,
    CallsCompleted,
    Ending,
    Event,
    RequestFailed,
    RequestSent,
    StreamingToolCallTracker,
    intercept_llm_requests,
    intercepting,
    stop_intercepting,
)
from anyturn.testing import Answer, Dropped, Refusal, ScriptedProvider, call, openai_error, text
from support.sdk_chunks import AsyncDouble, Double, one_call
from support.sdk_clients import (
    BODY,
    HEADER,
    KEY,
    RESPONSES_BODY,
    async_azure_client,
    async_client,
    azure,
    azure_client,
    gateway,
    sync_client,
)

LOGGER = "anyturn.openai_sdk"
ONE = Answer(call("add_task", {"title": "Test"}))
NOWHERE = "http://127.0.0.1:9/v1"

CLIENTS: list[Callable[[str], Any]] = [sync_client, async_client, azure_client, async_azure_client]
every_client = pytest.mark.parametrize("make", CLIENTS, ids=lambda make: make.__name__)


def kinds(told: list[Event]) -> list[type]:
    return [type(event) for event in told]


def end_of(told: list[Event]) -> Answered:
    [end] = [event for event in told if isinstance(event, Answered)]
    return end


@asynccontextmanager
async def served(make: Callable[[str], Any], *script: Any) -> AsyncIterator[Any]:
    """A client in front of a provider that it can talk to."""
    if "azure" in make.__name__:
        async with azure(script[0]) as endpoint, closing(make(endpoint)) as client:
            yield client
    else:
        async with (
            ScriptedProvider(script) as provider,
            closing(make(provider.base_url)) as client,
        ):
            yield client


@asynccontextmanager
async def closing(client: Any) -> AsyncIterator[Any]:
    yield client
    closed = client.close()
    if closed is not None:
        await closed


async def asked(client: Any, **more: Any) -> Any:
    """Have a client ask once, whichever it is, and read all of a stream."""
    if isinstance(client, openai.AsyncOpenAI):
        result = await client.chat.completions.create(**{**BODY, "stream": False, **more})
        if more.get("stream"):
            return [chunk async for chunk in result]
        return result

    def ask() -> Any:
        result = client.chat.completions.create(**{**BODY, "stream": False, **more})
        return list(result) if more.get("stream") else result

    return await asyncio.to_thread(ask)


@every_client
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_every_client_is_observed(
    make: Callable[[str], Any],
    stream: bool,
    told: list[Event],
) -> None:
    async with served(make, ONE) as client:
        assert intercept_llm_requests(client, on_event=told.append) is client
        await asked(client, stream=stream)
    [sent] = [event for event in told if isinstance(event, RequestSent)]
    assert (sent.api, sent.stream, sent.model) == ("chat", stream, "gpt-oss-120b")
    assert sent.tools == ("add_task", "list_tasks")
    assert [one.name for one in end_of(told).calls] == ["add_task"]
    assert end_of(told).streamed is stream


async def test_the_log_of_a_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    async with ScriptedProvider([ONE]) as provider, async_client(provider.base_url) as client:
        intercept_llm_requests(client)
        await asked(client, stream=True, tool_choice="auto")
    messages = [record.message for record in caplog.records if record.name == LOGGER]
    assert messages[:-1] == [
        "[LLM REQUEST] stream=True model=gpt-oss-120b messages=1 api=chat",
        "[OK] Tools: ['add_task', 'list_tasks']",
        "Tool choice: auto",
        "[LLM STREAM] New tool call detected at index 0",
        "[LLM STREAM] Tool call [0] name: add_task",
        "[LLM STREAM] Finish reason: tool_calls",
        "[LLM STREAM] Tool calls completed: 1",
        '  [0] add_task(id=call_1) args={"title":"Test"}',
    ]


async def test_a_whole_answer_is_logged_directly(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    async with ScriptedProvider([ONE]) as provider, async_client(provider.base_url) as client:
        intercept_llm_requests(client)
        await asked(client)
    messages = [record.message for record in caplog.records if record.name == LOGGER]
    assert messages[3:6] == [
        "[LLM RESPONSE] Finish reason: tool_calls",
        "[LLM RESPONSE] Tool calls completed: 1",
        '  [0] add_task(id=call_1) args={"title":"Test"}',
    ]


async def test_a_whole_response_is_seen(told: list[Event]) -> None:
    async with gateway([ONE]) as base_url, async_client(base_url) as client:
        intercept_llm_requests(client, on_event=told.append)
        response = await client.responses.create(**RESPONSES_BODY)
    assert response.output[0].type == "function_call"
    assert [one.arguments for one in end_of(told).calls] == ['{"title":"Test"}']


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_a_whole_raw_response_is_seen(api: str, told: list[Event]) -> None:
    serving: Any = gateway([ONE]) if api == "responses" else ScriptedProvider([ONE])
    async with serving as where:
        base_url = where if isinstance(where, str) else where.base_url
        async with async_client(base_url) as client:
            intercept_llm_requests(client, on_event=told.append)
            if api == "chat":
                raw: Any = await client.chat.completions.with_raw_response.create(**BODY)
            else:
                raw = await client.responses.with_raw_response.create(**RESPONSES_BODY)
            assert raw.parse().id
    assert [one.name for one in end_of(told).calls] == ["add_task"]


async def test_a_whole_streaming_response_is_left_alone(told: list[Event]) -> None:
    async with ScriptedProvider([ONE]) as provider, async_client(provider.base_url) as client:
        intercept_llm_requests(client, on_event=told.append)
        async with client.chat.completions.with_streaming_response.create(**BODY) as raw:
            assert (await raw.parse()).choices
    assert end_of(told).ending is Ending.UNREAD


async def test_parse_works_and_is_seen(told: list[Event]) -> None:
    class Task(BaseModel):
        title: str

    body = {key: BODY[key] for key in ("model", "messages")}
    answer = Answer(text('{"title":"Test"}'))
    async with ScriptedProvider([answer]) as provider, async_client(provider.base_url) as client:
        intercept_llm_requests(client, on_event=told.append)
        parse = (
            getattr(client.chat.completions, "parse", None) or client.beta.chat.completions.parse
        )
        parsed = await parse(**body, response_format=Task)
    assert parsed.choices[0].message.parsed == Task(title="Test")
    assert end_of(told).has_text


# ---------------------------------------------------------------- failures and secrets


@pytest.mark.parametrize(
    ("entry", "error", "status"),
    [
        pytest.param(Refusal(401, openai_error(f"Wrong key {KEY}")), "AuthenticationError", 401),
        pytest.param(Refusal(429, openai_error("Slow down")), "RateLimitError", 429),
        pytest.param(Refusal(500, "<html>"), "InternalServerError", 500),
        pytest.param(Dropped(), "APIConnectionError", 0),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
async def test_a_failure_is_told_with_its_cause(
    entry: Any, error: str, status: int, told: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    async with ScriptedProvider([entry]) as provider, async_client(provider.base_url) as client:
        intercept_llm_requests(client, on_event=told.append)
        with pytest.raises(openai.APIError):
            await asked(client, stream=True)
    [failed] = [event for event in told if isinstance(event, RequestFailed)]
    assert (failed.error, failed.status) == (error, status)
    assert bool(failed.cause) == (error == "APIConnectionError")
    assert f"[LLM ERROR] {error}" in caplog.text
    assert end_of(told).ending is Ending.FAILED
    assert KEY not in caplog.text + repr(told)


async def test_no_secret_and_no_message_is_logged(
    caplog: pytest.LogCaptureFixture, told: list[Event]
) -> None:
    """A2: keys of the client, of its headers and of one request; in lines, records and events."""
    caplog.set_level(logging.DEBUG, "anyturn")
    echo = Refusal(400, openai_error(f"{KEY} {HEADER} planted-request-token planted-query"))
    told_by_tool = Answer(call("add_task", {"title": KEY}))
    body = {**BODY, "messages": [{"role": "user", "content": "PRIVATE WORDS"}]}
    headers = {"Authorization": "Bearer planted-request-token"}
    async with (
        ScriptedProvider([echo, told_by_tool]) as provider,
        async_client(provider.base_url) as client,
    ):
        intercept_llm_requests(client, on_event=told.append)
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(**body, extra_headers=headers)
        await client.chat.completions.create(**body)
    records = [vars(record) for record in caplog.records if record.name.startswith("anyturn")]
    seen = repr(records)
    for secret in (KEY, HEADER, "planted-request-token", "PRIVATE WORDS"):
        assert secret not in seen
    assert "PRIVATE WORDS" not in repr(told)


async def test_what_breaks_in_a_callback_does_not_reach_the_program() -> None:
    def broken(event: Event) -> None:
        raise RuntimeError

    async with ScriptedProvider([ONE, ONE]) as provider, async_client(provider.base_url) as client:
        intercept_llm_requests(client, on_event=broken)
        assert await asked(client)
        assert await asked(client, stream=True)


async def test_other_requests_are_left_alone(told: list[Event]) -> None:
    async with ScriptedProvider([]) as provider, async_client(provider.base_url) as client:
        intercept_llm_requests(client, on_event=told.append)
        assert (await client.models.list()).data
    assert told == []


# ---------------------------------------------------------------- copies, and the way back


@every_client
def test_the_client_keeps_its_type(make: Callable[[str], Any]) -> None:
    client = make(NOWHERE)
    kind = type(client)
    intercept_llm_requests(client)
    assert isinstance(client, kind)
    assert (type(client).__name__, type(client).__module__) == (kind.__name__, kind.__module__)
    stop_intercepting(client)
    assert type(client) is kind


@every_client
async def test_copies_stay_observed(make: Callable[[str], Any], told: list[Event]) -> None:
    async with served(make, ONE, ONE) as client:
        intercept_llm_requests(client, on_event=told.append)
        await asked(client.with_options(max_retries=0).copy(timeout=5))
        assert kinds(told).count(Answered) == 1
        stop_intercepting(client)
        await asked(client.with_options(max_retries=0))
        assert kinds(told).count(Answered) == 1


async def test_copies_fall_silent_with_their_original(told: list[Event]) -> None:
    async with ScriptedProvider([ONE]) as provider, async_client(provider.base_url) as client:
        intercept_llm_requests(client, on_event=told.append)
        copy = client.with_options(max_retries=0)
        stop_intercepting(client)
        await asked(copy)
    assert told == []


async def test_intercepting_twice_reports_once(told: list[Event]) -> None:
    earlier: list[Event] = []
    async with ScriptedProvider([ONE]) as provider, async_client(provider.base_url) as client:
        intercept_llm_requests(client, on_event=earlier.append)
        kind = type(client)
        assert intercept_llm_requests(client, on_event=told.append) is client
        assert type(client) is kind
        await asked(client)
        stop_intercepting(client)
        assert type(client) is AsyncOpenAI
        stop_intercepting(client)
    assert earlier == []
    assert kinds(told).count(Answered) == 1


async def test_it_can_be_intercepted_again(told: list[Event]) -> None:
    async with ScriptedProvider([ONE]) as provider, async_client(provider.base_url) as client:
        stop_intercepting(intercept_llm_requests(client))
        intercept_llm_requests(client, on_event=told.append)
        await asked(client)
    assert kinds(told).count(Answered) == 1


async def test_a_block_is_observed_and_the_client_stays_open(told: list[Event]) -> None:
    async with ScriptedProvider([ONE, ONE]) as provider, async_client(provider.base_url) as client:
        with intercepting(client, on_event=told.append) as observed:
            assert observed is client
            await asked(client)
        assert type(client) is AsyncOpenAI
        assert not client.is_closed()
        await asked(client)
    assert kinds(told).count(Answered) == 1


async def test_the_clients_own_block_closes_it_and_ends_the_observation() -> None:
    client = sync_client(NOWHERE)
    with intercept_llm_requests(client) as entered:
        assert entered is client
    assert type(client) is OpenAI
    assert client.is_closed()
    other = async_client(NOWHERE)
    async with intercept_llm_requests(other):
        assert type(other) is not AsyncOpenAI
    assert type(other) is AsyncOpenAI
    assert other.is_closed()


# ---------------------------------------------------------------- test doubles


async def test_an_async_double_is_observed(told: list[Event]) -> None:
    client = MagicMock()
    stream = AsyncDouble(one_call())
    client.chat.completions.create = create = AsyncMock(return_value=stream)
    intercept_llm_requests(client, on_event=told.append)
    response = await client.chat.completions.create(**BODY, stream=True)
    assert isinstance(response, StreamingToolCallTracker)
    assert response._stream is stream
    assert len([chunk async for chunk in response]) == 4
    create.assert_awaited_once_with(**BODY, stream=True)
    assert kinds(told)[0] is RequestSent
    assert end_of(told).ending is Ending.COMPLETE
    stop_intercepting(client)
    assert client.chat.completions.create is create


def test_a_sync_double_is_observed(told: list[Event]) -> None:
    client = MagicMock()
    client.chat.completions.create.side_effect = [Double(one_call()), ValueError("no")]
    intercept_llm_requests(client, on_event=told.append)
    assert len(list(client.chat.completions.create(**BODY, stream=True))) == 4
    assert CallsCompleted in kinds(told)
    with pytest.raises(ValueError, match="no"):
        client.chat.completions.create(**BODY)
    assert RequestFailed in kinds(told)


def test_what_is_no_client_is_refused() -> None:
    with pytest.raises(TypeError, match="list is no OpenAI client"):
        intercept_llm_requests([])
    assert stop_intercepting("never intercepted") == "never intercepted"
