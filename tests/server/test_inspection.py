"""The inspector in a gateway: turns watched while they run, and who may watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from anyturn.auth.key_file import KeyFile
from anyturn.capture_files import CaptureError
from anyturn.config import Settings
from anyturn.routing import Routing
from anyturn.server.inspection import Underway
from anyturn.server.lifecycle import CannotListen, Running, running
from anyturn.testing import Answer, Refusal, ResponsesClient, ScriptedProvider, call, text
from support.inspectors import LIMIT_S, Visitor, visiting

TOOL = {"type": "function", "name": "run", "parameters": {"type": "object", "properties": {}}}
ASK: dict[str, Any] = {"model": "gpt-oss-120b", "input": "Run it.", "tools": [TOOL]}
Open = Callable[..., Awaitable[tuple[Running, ScriptedProvider, Visitor]]]


def settings_at(base_url: str, folder: Path | None, **given: Any) -> Settings:
    plain = {"model": "gpt-oss-120b", "port": 0, "store": "off", "retries": 0, "inspector": True}
    plain["shutdown_timeout_s"] = 0.1
    return Settings(**{**plain, "base_url": base_url, "capture_path": folder, **given})


@pytest.fixture
async def inspecting(tmp_path: Path) -> AsyncIterator[Open]:
    """A gateway with an inspector, its provider, and somebody who has the link."""
    async with AsyncExitStack() as stack:

        async def enter(*script: Any, **given: Any) -> tuple[Running, ScriptedProvider, Visitor]:
            provider = await stack.enter_async_context(ScriptedProvider(script))
            settings = settings_at(provider.base_url, tmp_path / "captures", **given)
            gateway = await stack.enter_async_context(running(settings, Routing(settings, {})))
            return gateway, provider, await stack.enter_async_context(visiting(gateway.inspector))

        yield enter


async def turn(base_url: str, **more: Any) -> list[dict[str, Any]]:
    async with ResponsesClient(base_url) as client:
        return [event async for event in client.stream({**ASK, **more})]


async def recorded(visitor: Visitor) -> dict[str, Any]:
    """The row of the only turn, once its recording is whole."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            for row in await visitor.rows():
                if row["status"] != "live":
                    return row


async def test_a_call_is_watched_from_its_first_delta_to_its_output(inspecting: Open) -> None:
    arguments = {"words": "a b c d e f g h i j"}
    held = Answer(call("run", arguments), fragment=4, hold_after=4)
    gateway, provider, visitor = await inspecting(held, Answer(text("Done.")))
    assert await visitor.rows() == []
    async with visitor.changes() as changes:
        first = asyncio.ensure_future(turn(gateway.base_url))
        async for change in changes:
            if change["rows"] and change["rows"][0]["tools"] == ["run"]:
                break
        (row,) = change["rows"]
        assert (row["status"], row["errors"], row["problems"]) == ("live", 0, 0)
        begun = await visitor.turn(row["name"])
        (shown,) = begun["timeline"]["entries"]
        assert shown["done"] is None and shown["text"]
        assert begun["chunks"] and begun["links"][-1][1] <= len(begun["chunks"])
        provider.release()
        events = await first
        item = next(e["item"] for e in events if e["type"] == "response.output_item.done")
        async for change in changes:
            if change["rows"] and change["rows"][0]["status"] == "completed":
                break
        output = {"type": "function_call_output", "call_id": item["call_id"], "output": "It ran."}
        asked = [{"role": "user", "content": "Run it."}, item, output]
        await turn(gateway.base_url, input=asked)
        async for change in changes:
            # The first turn is told of again: the output of its call came.
            if row["name"] in [one["name"] for one in change["rows"]]:
                break
    whole = await visitor.turn(row["name"])
    assert whole["version"] != begun["version"]
    (shown,) = whole["timeline"]["entries"]
    assert (shown["output"], shown["status"]) == ("It ran.", "completed")
    assert [one["runs"] for one in whole["explanation"]["verdicts"]] == [True]


async def test_every_event_is_linked_to_chunks_that_came_before_it(inspecting: Open) -> None:
    gateway, _, visitor = await inspecting(Answer(text("Hello there."), fragment=3))
    await turn(gateway.base_url)
    row = await recorded(visitor)
    shown = await visitor.turn(row["name"])
    deltas = [
        "".join(chunk["data"] for chunk in shown["chunks"][begin:end])
        for (begin, end), one in zip(shown["links"], shown["events"], strict=True)
        if one["event"]["type"] == "response.output_text.delta"
    ]
    assert deltas and all('"content"' in data for data in deltas)
    assert shown["links"][-1][1] == len(shown["chunks"])


async def test_a_failing_turn_says_why(inspecting: Open) -> None:
    gateway, _, visitor = await inspecting(Refusal(400, {"error": {"message": "No such model."}}))
    with pytest.raises(Exception, match="No such model"):
        await turn(gateway.base_url)
    row = await recorded(visitor)
    assert row["status"] == "failed" and "No such model" in row["error"]
    shown = await visitor.turn(row["name"])
    assert "No such model" in shown["explanation"]["verdicts"][-1]["what"]


async def test_keys_of_clients_neither_open_the_inspector_nor_are_needed(
    inspecting: Open, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    _, secret = KeyFile(keys).add("one")
    gateway, _, visitor = await inspecting(keys_path=keys)
    assert (await visitor.get("/api/turns")).status == 200
    async with visiting(gateway.inspector, enters=False) as stranger:
        refused = await stranger.get("/api/turns", Authorization=f"Bearer {secret}")
        assert refused.status == 401
    models = gateway.base_url + "/models"
    assert (await visitor.get(models)).status == 401


async def test_origins_that_may_use_the_gateway_may_not_read_the_inspector(
    inspecting: Open,
) -> None:
    origin = "https://app.example.org"
    _, _, visitor = await inspecting(cors_origins=origin)
    for method in ("GET", "OPTIONS"):
        refused = await visitor.get(
            "/api/turns", method=method, Origin=origin, Access_Control_Request_Method="GET"
        )
        assert refused.status == 403
        assert not [name for name in refused.headers if name.startswith("Access-Control")]


async def test_whoever_watches_does_not_hold_up_the_end(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    settings = settings_at("http://127.0.0.1:9/v1", tmp_path, shutdown_timeout_s=600.0)
    async with AsyncExitStack() as watching:
        async with running(settings, Routing(settings, {})) as gateway:
            visitor = await watching.enter_async_context(visiting(gateway.inspector))
            changes = await watching.enter_async_context(visitor.changes())
            began = loop.time()
        assert loop.time() - began < LIMIT_S
        assert await anext(changes, None) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7"])
async def test_it_is_refused_where_others_are_listened_to(host: str, tmp_path: Path) -> None:
    settings = settings_at("http://127.0.0.1:9/v1", tmp_path, host=host, allow_anyone=True)
    with pytest.raises(CannotListen, match="anyturn inspect DIR"):
        async with running(settings, Routing(settings, {})):
            raise AssertionError


async def test_without_a_folder_it_is_refused() -> None:
    settings = settings_at("http://127.0.0.1:9/v1", None)
    with pytest.raises(CaptureError, match="--capture DIR"):
        async with running(settings, Routing(settings, {})):
            raise AssertionError


async def test_it_is_off_unless_it_is_asked_for(tmp_path: Path) -> None:
    settings = settings_at("http://127.0.0.1:9/v1", tmp_path, inspector=False)
    async with running(settings, Routing(settings, {})) as gateway:
        assert gateway.inspector == ""
        address = gateway.base_url.removesuffix("/v1")
        async with aiohttp.ClientSession() as http, http.get(f"{address}/inspector") as reply:
            assert reply.status == 404
            assert "anyturn serve --inspector" in await reply.text()


class _Turn:
    id = "resp_1"


def test_a_turn_is_underway_until_it_ends() -> None:
    underway, one = Underway(), _Turn()
    underway.request(one)  # type: ignore[arg-type]
    underway.request(one)  # type: ignore[arg-type]
    assert underway.ids() == {"resp_1"}
    underway.ended(one)  # type: ignore[arg-type]
    underway.ended(one)  # type: ignore[arg-type]
    assert underway.ids() == frozenset()
