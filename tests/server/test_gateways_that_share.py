"""Two gateways, each a process, on one store; and one that is killed in the middle of turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import repeat
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from anyturn.testing import Answer, ResponsesClient, ScriptedProvider, call, text
from support.gateway_processes import GatewayProcess
from support.http_clients import JSON, TOOL
from support.redis_server import LocalRedis


@pytest.fixture(params=["sqlite", "redis"])
def kept_in(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The options of gateways that share a store, of each kind in turn."""
    if request.param == "sqlite":
        return {"ANYTURN_STORE_PATH": str(tmp_path / "store.sqlite3")}
    server: LocalRedis = request.getfixturevalue("redis_server")
    return {"ANYTURN_STORE": "redis", "ANYTURN_STORE_URL": server.url}


@pytest.fixture
async def closing() -> AsyncIterator[AsyncExitStack]:
    """What ends with the test."""
    async with AsyncExitStack() as stack:
        yield stack


async def two(closing: AsyncExitStack, provider: ScriptedProvider, options: JSON) -> Any:
    """Two gateways, started at the same time: they also make the file at the same time."""
    made = [GatewayProcess(provider.base_url, **options) for _ in range(2)]
    return await asyncio.gather(*map(closing.enter_async_context, made))


def said(provider: ScriptedProvider, number: int) -> list[Any]:
    return [one["content"] for one in provider.requests[number - 1].messages]


async def test_what_was_begun_at_one_gateway_goes_on_at_the_other(
    closing: AsyncExitStack, kept_in: dict[str, str]
) -> None:
    script = [text("One."), text("Two."), text("Three."), text("Four."), text("Five.")]
    provider = await closing.enter_async_context(ScriptedProvider(script))
    left, right = await two(closing, provider, kept_in)

    first = await left.turn("a")
    second = await right.turn("b", previous_response_id=first["id"])
    await left.turn("c", previous_response_id=second["id"])
    assert said(provider, 3) == ["a", "One.", "b", "Two.", "c"]
    assert (await left.call("GET", f"/v1/responses/{second['id']}"))[1] == second

    _, made = await left.call("POST", "/v1/conversations", {"metadata": {"k": "v"}})
    await right.turn("d", conversation=made["id"])
    await left.turn("e", conversation=made["id"])
    assert said(provider, 5) == ["d", "Four.", "e"]
    path = f"/v1/conversations/{made['id']}"
    for gateway in (left, right):
        _, listed = await gateway.call("GET", f"{path}/items?order=asc")
        shown = [item["content"][0]["text"] for item in listed["data"]]
        assert shown == ["d", "Four.", "e", "Five."]

    # And nobody else has it, at neither.
    for gateway in (left, right):
        assert (await gateway.call("GET", path, key="other"))[0] == 404
        assert (await gateway.call("GET", f"/v1/responses/{first['id']}", key="other"))[0] == 404
    assert (await right.call("DELETE", path))[0] == 200
    assert (await left.call("GET", path))[0] == 404


async def test_what_two_gateways_remember_at_the_same_time_is_all_there(
    closing: AsyncExitStack, kept_in: dict[str, str]
) -> None:
    provider = await closing.enter_async_context(ScriptedProvider(repeat(text("One."))))
    both = await two(closing, provider, kept_in)

    async def chain(number: int) -> list[str]:
        ids: list[str] = []
        for link in range(6):
            fields = {"previous_response_id": ids[-1]} if ids else {}
            gateway = both[(number + link) % 2]
            ids.append((await gateway.turn(f"{number}.{link}", **fields))["id"])
        return ids

    chains = await asyncio.gather(*map(chain, range(20)))
    for ids in chains:
        for place, response_id in enumerate(ids):
            status, _ = await both[place % 2].call("GET", f"/v1/responses/{response_id}")
            assert status == 200
    longest = [request.messages for request in provider.requests if len(request.messages) == 11]
    assert len(longest) == 20
    for messages in longest:
        asked = [one["content"] for one in messages[::2]]
        number = asked[0].partition(".")[0]
        assert asked == [f"{number}.{link}" for link in range(6)]


async def test_a_background_response_of_one_gateway_is_known_at_the_other(
    closing: AsyncExitStack, kept_in: dict[str, str]
) -> None:
    provider = await closing.enter_async_context(
        ScriptedProvider([Answer(text("One."), hold_after=1)])
    )
    left, right = await two(closing, provider, kept_in)
    queued = await left.turn("a", background=True)
    await provider.request(1)
    path = f"/v1/responses/{queued['id']}"
    assert (await right.call("GET", path))[1]["status"] in ("queued", "in_progress")
    provider.release(1)
    async with asyncio.timeout(20):
        while (await right.call("GET", path))[1]["status"] != "completed":
            pass
    status, referred = await right.call(
        "POST", "/v1/responses", {"input": [{"type": "item_reference", "id": queued["id"]}]}
    )
    assert (status, referred["error"]["code"]) == (400, "previous_response_not_found")


async def how_it_stands(gateway: GatewayProcess, path: str) -> tuple[int, str | None]:
    status, found = await gateway.call("GET", path)
    return status, found.get("status")


KILLS = 3
_CLIENTS = 12


async def test_what_a_client_has_read_survives_a_kill_of_its_gateway(
    closing: AsyncExitStack, kept_in: dict[str, str]
) -> None:
    """In the middle of turns: those whose end a client has read, and the items that are done."""
    answer = Answer(text("One."), call("f", id="call_9f3ab27e"), fragment=2)
    provider = await closing.enter_async_context(ScriptedProvider(repeat(answer)))
    read: list[tuple[str, str]] = []
    for _ in range(KILLS):
        async with GatewayProcess(provider.base_url, **kept_in) as gateway:
            enough = asyncio.Event()
            async with asyncio.TaskGroup() as clients:
                for number in range(_CLIENTS):
                    clients.create_task(_go_on(gateway, number, read, enough, len(read) + 60))
                await enough.wait()
                await gateway.kill()
    async with GatewayProcess(provider.base_url, **kept_in) as gateway:
        for kind, name in read:
            if kind == "response.completed":
                status, found = await gateway.call("GET", f"/v1/responses/{name}")
                assert (status, found.get("status")) == (200, "completed")
            else:
                body = {"input": [{"type": "item_reference", "id": name}, USER]}
                assert (await gateway.call("POST", COUNT, body))[0] == 200
        ended = [name for kind, name in read if kind == "response.completed"]
        assert len(ended) >= 10 * KILLS
        assert (await gateway.turn([OUTPUT], previous_response_id=ended[0], tools=[TOOL]))["output"]


COUNT = "/v1/responses/input_tokens"
USER = {"role": "user", "content": "So?"}
OUTPUT = {"type": "function_call_output", "call_id": "call_9f3ab27e", "output": "ok"}


async def _go_on(
    gateway: GatewayProcess,
    number: int,
    read: list[tuple[str, str]],
    enough: asyncio.Event,
    count: int,
) -> None:
    """One turn after the other until the gateway is gone, noting what was acknowledged."""
    previous: dict[str, str] = {}
    async with ResponsesClient(f"{gateway.root}/v1", "mine") as client:
        try:
            while True:
                input: list[JSON] = [{"role": "user", "content": f"{number}"}]
                body = {"input": [OUTPUT, *input] if previous else input, "tools": [TOOL]}
                async for event in client.stream({**body, **previous}):
                    if event["type"] == "response.output_item.done":
                        read.append((event["type"], event["item"]["id"]))
                    if event["type"] == "response.completed":
                        read.append((event["type"], event["response"]["id"]))
                        previous = {"previous_response_id": event["response"]["id"]}
                if len(read) > count:
                    enough.set()
        except aiohttp.ClientError:
            pass
