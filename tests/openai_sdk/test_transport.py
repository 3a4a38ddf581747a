"""The gateway inside the program: the SDK cannot tell it from one that listens."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from agents import Agent, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from anyturn.config import ConfigError
from anyturn.openai_sdk import (
    AnyturnTransport,
    AsyncAnyturnTransport,
    Event,
    RequestSent,
    async_responses_client,
    intercept_llm_requests,
    responses_client,
)
from anyturn.openai_sdk.exchange import Exchange
from anyturn.testing import Answer, Refusal, ScriptedProvider, call, openai_error, text
from support.sdk_clients import MODEL, RESPONSES_BODY
from support.tool_loop import ANSWER, QUESTION, check_history, function_tools, run_tool, script

set_tracing_disabled(True)
JSON = dict[str, Any]
ASK: JSON = {"input": QUESTION}
BOTH = pytest.mark.parametrize("kind", ["sync", "async"])
GATEWAY_THREAD = "anyturn-gateway"


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
async def no_thread_is_left() -> AsyncIterator[None]:
    yield
    assert gateway_threads() == []


def gateway_threads() -> list[str]:
    gc.collect()
    found = [thread for thread in threading.enumerate() if thread.name == GATEWAY_THREAD]
    for thread in found:
        thread.join(5)
    return [thread.name for thread in found if thread.is_alive()]


def options(provider: ScriptedProvider, **more: Any) -> JSON:
    given = {"provider": "cerebras", "base_url": provider.base_url, "model": MODEL, "retries": 0}
    return {**given, "api_key": "made-up", **more}


class Client:
    """A sync or an async client behind one face, so that each claim is made about both."""

    def __init__(self, kind: str, provider: ScriptedProvider, **more: Any) -> None:
        make: Any = responses_client if kind == "sync" else async_responses_client
        self.sdk: Any = make(**options(provider, **more)).with_options(max_retries=0)
        self._is_sync = kind == "sync"

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.do("close")

    async def do(self, name: str, *args: Any, **request: Any) -> Any:
        """Call a method of the client: `responses.create`."""
        method = self.sdk
        for part in name.split("."):
            method = getattr(method, part)
        if self._is_sync:
            return await asyncio.to_thread(method, *args, **request)
        return await method(*args, **request)

    async def events(self, **request: Any) -> list[Any]:
        stream = await self.do("responses.create", stream=True, **request)
        if self._is_sync:
            return await asyncio.to_thread(list, stream)
        return [event async for event in stream]

    async def helped(self, **request: Any) -> Any:
        """By the helper for streams."""
        if not self._is_sync:
            async with self.sdk.responses.stream(**request) as stream:
                return await stream.get_final_response()

        def read() -> Any:
            with self.sdk.responses.stream(**request) as stream:
                return stream.get_final_response()

        return await asyncio.to_thread(read)

    async def ask(self, way: str, **request: Any) -> Any:
        if way == "create":
            return await self.do("responses.create", **request)
        if way == "stream":
            return (await self.events(**request))[-1].response
        return await self.helped(**request)


# ---------------------------------------------------------------- turns


@BOTH
@pytest.mark.parametrize("way", ["create", "stream", "helper"])
@pytest.mark.parametrize("keeps", ["previous_response_id", "conversation"])
async def test_a_tool_loop_of_three_steps(kind: str, way: str, keeps: str) -> None:
    async with ScriptedProvider(script()) as provider, Client(kind, provider) as client:
        request: JSON = {"model": MODEL, "tools": function_tools()}
        new: list[Any] = [{"role": "user", "content": QUESTION}]
        if keeps == "conversation":
            request["conversation"] = (await client.do("conversations.create")).id
        while new:
            response = await client.ask(way, **request, input=new)
            if keeps == "previous_response_id":
                request["previous_response_id"] = response.id
            new = [output_of(item) for item in response.output if item.type == "function_call"]
        assert response.output_text == ANSWER
        check_history(provider)


def output_of(item: Any) -> JSON:
    output = run_tool(item.name, msgspec.json.decode(item.arguments))
    return {"type": "function_call_output", "call_id": item.call_id, "output": output}


class Weather(BaseModel):
    city: str
    degrees: int


@BOTH
async def test_a_structured_answer_is_parsed(kind: str) -> None:
    script = [text('{"city":"Berlin","degrees":7}')]
    async with ScriptedProvider(script) as provider, Client(kind, provider) as client:
        response = await client.do("responses.parse", model=MODEL, **ASK, text_format=Weather)
    assert response.output_parsed == Weather(city="Berlin", degrees=7)


@BOTH
async def test_a_background_response_is_begun_and_fetched(kind: str) -> None:
    script = [Answer(text("At last."), hold_after=1)]
    async with ScriptedProvider(script) as provider, Client(kind, provider) as client:
        response = await client.do("responses.create", **ASK, background=True)
        assert response.status == "queued"
        await provider.request(1)
        provider.release()
        while response.status in ("queued", "in_progress"):
            response = await client.do("responses.retrieve", response.id)
    assert response.output_text == "At last."


@BOTH
async def test_an_event_comes_before_the_answer_is_over(kind: str) -> None:
    script = [Answer(text("Slow but sure."), fragment=4, hold_after=3)]
    async with ScriptedProvider(script) as provider, Client(kind, provider) as client:
        stream = await client.do("responses.create", **ASK, stream=True)
        said = ""
        while "Slow" not in said:
            event = await (
                asyncio.to_thread(next, stream) if kind == "sync" else stream.__anext__()
            )
            said += getattr(event, "delta", "")
        assert said != "Slow but sure."
        provider.release()
        rest = (
            await asyncio.to_thread(list, stream) if kind == "sync" else [e async for e in stream]
        )
    assert rest[-1].response.output_text == "Slow but sure."


@BOTH
async def test_a_long_answer_that_is_read_late_arrives_whole(kind: str) -> None:
    """More than what may wait for the reader: the gateway has to wait, and to go on."""
    words = "0123456789abcdef" * 50_000
    script = [Answer(text(words), fragment=1000)]
    async with ScriptedProvider(script) as provider, Client(kind, provider) as client:
        stream = await client.do("responses.create", **ASK, stream=True)
        await provider.request(1)
        if kind == "sync":
            events = await asyncio.to_thread(list, stream)
        else:
            events = [event async for event in stream]
    assert events[-1].response.output_text == words


async def test_the_models_of_the_provider_are_listed() -> None:
    async with ScriptedProvider([], models=(MODEL,)) as provider, Client("async", provider) as on:
        assert MODEL in [model.id async for model in on.sdk.models.list()]


# ---------------------------------------------------------------- errors


@BOTH
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.BadRequestError),
        (429, openai.RateLimitError),
        (500, openai.APIStatusError),
    ],
)
async def test_a_refusal_is_the_error_that_the_sdk_has_for_it(
    kind: str, status: int, error: type[openai.APIStatusError]
) -> None:
    script = [Refusal(status, openai_error("Not like this."))]
    async with ScriptedProvider(script) as provider, Client(kind, provider) as client:
        with pytest.raises(error, match="Not like this"):
            await client.do("responses.create", **ASK)


@BOTH
async def test_a_failure_in_the_stream_is_an_error_of_the_sdk(kind: str) -> None:
    script = [Answer(text("Half of it"), error_after=(2, {"message": "Out of memory."}))]
    async with ScriptedProvider(script) as provider, Client(kind, provider) as client:
        with pytest.raises(openai.APIError, match="Out of memory"):
            await client.events(**ASK)


@BOTH
async def test_what_does_not_exist_is_not_found(kind: str) -> None:
    async with ScriptedProvider([]) as provider, Client(kind, provider) as client:
        with pytest.raises(openai.NotFoundError, match="resp_nowhere"):
            await client.do("responses.retrieve", "resp_nowhere")
        with pytest.raises(openai.NotFoundError, match="POST /v1/responses"):
            await client.do("embeddings.create", model=MODEL, input="x")


@BOTH
async def test_silence_for_longer_than_the_client_waits_is_its_timeout(kind: str) -> None:
    script = [Answer(text("Never."), hold_after=0)]
    async with ScriptedProvider(script) as provider, Client(kind, provider) as client:
        with pytest.raises(openai.APITimeoutError):
            await client.do("responses.create", **ASK, timeout=0.05)
        await provider.cancelled(1)


@BOTH
async def test_closing_the_client_in_the_middle_ends_the_stream_with_an_error(kind: str) -> None:
    script = [Answer(text("Never whole"), fragment=2, hold_after=3)]
    async with ScriptedProvider(script) as provider:
        client = Client(kind, provider)
        stream = await client.do("responses.create", **ASK, stream=True)
        await client.do("close")
        with pytest.raises(openai.APIError, match=r"gateway|shut"):
            await (asyncio.to_thread(list, stream) if kind == "sync" else anext_to_end(stream))
        await provider.cancelled(1)


async def anext_to_end(stream: Any) -> None:
    async for _event in stream:
        pass


# ---------------------------------------------------------------- leaving


async def test_leaving_a_stream_ends_the_request_to_the_provider() -> None:
    script = [Answer(text("Never whole"), fragment=2, hold_after=3)] * 3
    async with ScriptedProvider(script) as provider:
        async with Client("async", provider) as client:
            async with await client.do("responses.create", **ASK, stream=True) as stream:
                await anext(stream)
            await provider.cancelled(1)
        async with Client("sync", provider) as client:
            stream = await client.do("responses.create", **ASK, stream=True)
            await asyncio.to_thread(next, stream)
            stream.close()
            await provider.cancelled(2)

            def drop() -> None:
                client.sdk.responses.create(**ASK, stream=True)
                # The SDK's stream and its generator hold each other.
                gc.collect()

            await asyncio.to_thread(drop)
            await provider.cancelled(3)


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_a_cancelled_task_ends_the_request_to_the_provider(streamed: bool) -> None:
    script = [Answer(text("Never"), hold_after=1)]
    async with ScriptedProvider(script) as provider, Client("async", provider) as client:
        work = client.events(**ASK) if streamed else client.do("responses.create", **ASK)
        task = asyncio.ensure_future(work)
        await provider.request(1)
        task.cancel()
        await provider.cancelled(1)
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_client_that_is_dropped_takes_its_gateway_along() -> None:
    async with ScriptedProvider([text("Hi.")]) as provider:

        def use_and_drop() -> None:
            client = responses_client(**options(provider))
            client.responses.create(**ASK)
            assert [t.name for t in threading.enumerate()].count(GATEWAY_THREAD) == 1

        await asyncio.to_thread(use_and_drop)
        assert gateway_threads() == []


ENDS_EARLY = """
import sys
from anyturn.openai_sdk import responses_client
client = responses_client(base_url=sys.argv[1], model=sys.argv[2], capture=sys.argv[3])
print(next(client.responses.create(input="Hi.", stream=True)).type)
"""


async def test_a_program_that_ends_in_a_stream_ends_at_once_and_records(tmp_path: Path) -> None:
    async with ScriptedProvider([Answer(text("Never"), fragment=1, hold_after=2)]) as provider:
        command = [sys.executable, "-c", ENDS_EARLY, provider.base_url, MODEL, str(tmp_path / "c")]
        # What the SDK's own generator says while Python ends is not ours.
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=30, check=True
        )
        await provider.cancelled(1)
    assert done.stdout == "response.created\n"
    assert len(list((tmp_path / "c").rglob("*.ndjson*"))) == 1


# ---------------------------------------------------------------- who may call, and how often


async def test_threads_share_a_client() -> None:
    script = [lambda body: Answer(text(body["messages"][-1]["content"]), fragment=1)] * 20
    async with ScriptedProvider(script) as provider, Client("sync", provider) as client:
        questions = [f"Number {number}" for number in range(20)]
        answers = await asyncio.gather(*(client.events(input=words) for words in questions))
    assert [events[-1].response.output_text for events in answers] == questions


async def test_an_async_client_serves_one_loop_after_the_other_and_remembers() -> None:
    async with ScriptedProvider([text("One."), text("Two.")]) as provider:
        client = async_responses_client(**options(provider))
        first = await asyncio.to_thread(asyncio.run, client.responses.create(**ASK))
        more = client.responses.create(input="More.", previous_response_id=first.id)
        second = await asyncio.to_thread(asyncio.run, more)
        await client.close()
        assert second.output_text == "Two."
        assert [message["role"] for message in provider.requests[1].messages] == [
            *("user", "assistant", "user")
        ]


async def test_many_calls_leave_nothing_behind() -> None:
    script = [text("Hi.")] * 300
    async with ScriptedProvider(script) as provider, Client("sync", provider) as client:

        def calls(count: int) -> None:
            for number in range(count):
                if number % 2:
                    client.sdk.responses.create(**ASK, store=False)
                else:
                    list(client.sdk.responses.create(**ASK, store=False, stream=True))

        await asyncio.to_thread(calls, 300)
        gc.collect()
        left = [one for one in gc.get_objects() if isinstance(one, Exchange)]
        # The last one may still be on the stack of the loop that served it.
        assert len(left) <= 1
        assert [t.name for t in threading.enumerate()].count(GATEWAY_THREAD) == 1


# ---------------------------------------------------------------- without a port


async def test_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedProvider([text("Hi.")]) as provider:
        listening: list[Any] = []

        def listen(self: socket.socket, *args: Any) -> None:
            listening.append(self)

        monkeypatch.setattr(socket.socket, "listen", listen)
        monkeypatch.setattr(socket.socket, "bind", listen)
        before = _listening_ports()
        async with Client("async", provider) as client:
            await client.do("responses.create", **ASK)
            assert _listening_ports() == before
    assert listening == []


def _listening_ports() -> set[str]:
    """The local addresses on which this process's network listens, where the kernel tells."""
    ports: set[str] = set()
    for table in (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6")):
        if table.exists():
            own = _own_sockets()
            rows = [line.split() for line in table.read_text().splitlines()[1:]]
            ports |= {row[1] for row in rows if row[3] == "0A" and row[9] in own}
    return ports


def _own_sockets() -> set[str]:
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


# ---------------------------------------------------------------- the SDK's own ways


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_transport_serves_a_client_that_the_program_makes(kind: str) -> None:
    async with ScriptedProvider([text("Hi.")]) as provider:
        given = {"base_url": "https://somewhere.example/v1", "api_key": "whatever"}
        if kind == "sync":
            one: Any = AnyturnTransport(**options(provider))
            http: Any = openai.DefaultHttpxClient(transport=one)
            with OpenAI(**given, http_client=http) as client:
                response = await asyncio.to_thread(client.responses.create, **ASK)
        else:
            one = AsyncAnyturnTransport(**options(provider))
            http = openai.DefaultAsyncHttpxClient(transport=one)
            async with AsyncOpenAI(**given, http_client=http) as async_client:
                response = await async_client.responses.create(**ASK)
        assert response.output_text == "Hi."
        # The program's key is for nobody; the provider gets its own.
        assert provider.requests[0].headers["Authorization"] == "Bearer made-up"


async def test_it_can_be_intercepted(told: list[Event]) -> None:
    script = [Answer(call("add_task", {"title": "Test"}))]
    async with ScriptedProvider(script) as provider, Client("async", provider) as client:
        intercept_llm_requests(client.sdk, on_event=told.append)
        await client.events(**RESPONSES_BODY)
    assert [event.api for event in told if isinstance(event, RequestSent)] == ["responses"]


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_the_agents_sdk_executes_tools_on_a_chat_provider(streamed: bool) -> None:
    tasks: list[str] = []

    @function_tool
    def add_task(title: str) -> str:
        """Add a task."""
        tasks.append(title)
        return f"Added {title}."

    @function_tool
    def list_tasks() -> str:
        """List the tasks."""
        return ", ".join(tasks)

    script = [
        Answer(call("add_task", {"title": "Milk"}), call("add_task", {"title": "Ada"})),
        Answer(call("list_tasks")),
        Answer(text("Two tasks.")),
    ]
    async with ScriptedProvider(script) as provider, Client("async", provider) as client:
        model = OpenAIResponsesModel(model=MODEL, openai_client=client.sdk)
        agent = Agent(name="Tasks", model=model, tools=[add_task, list_tasks])
        if streamed:
            result: Any = Runner.run_streamed(agent, "Add my tasks.")
            _ = [event async for event in result.stream_events()]
        else:
            result = await Runner.run(agent, "Add my tasks.")
        assert provider.refusals == []
    assert tasks == ["Milk", "Ada"]
    assert result.final_output == "Two tasks."


# ---------------------------------------------------------------- options


async def test_turns_are_recorded_where_the_options_say(tmp_path: Path) -> None:
    async with (
        ScriptedProvider([text("Hi.")]) as provider,
        Client("async", provider, capture=tmp_path / "captures") as client,
    ):
        await client.do("responses.create", **ASK)
    assert len(list((tmp_path / "captures").rglob("*.ndjson*"))) == 1


async def test_a_store_outlives_its_client_where_the_options_say(tmp_path: Path) -> None:
    async with ScriptedProvider([text("One."), text("Two.")]) as provider:
        stored = {"store": "sqlite", "store_path": tmp_path / "store.sqlite3"}
        async with Client("sync", provider, **stored) as client:
            first = await client.do("responses.create", **ASK)
        async with Client("async", provider, **stored) as client:
            again = await client.do("responses.retrieve", first.id)
    assert again.output_text == "One."


def test_a_client_without_a_provider_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CEREBRAS_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="export CEREBRAS_API_KEY"):
        responses_client(provider="cerebras")


def test_watching_does_not_bring_the_gateway_along() -> None:
    code = "import sys, anyturn.openai_sdk; print('aiohttp' in sys.modules, 'httpx' in sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["False", "False"]
