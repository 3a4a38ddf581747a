from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from anyturn.daemon.folder import Phase, folders
from anyturn.testing import Answer, ResponsesClient, ScriptedProvider, text

ASK: dict[str, Any] = {"input": "Hi"}
HELD = Answer(text("Hello there."), fragment=4, hold_after=2)


async def brought_up(start: Any, provider: ScriptedProvider, **environ: str) -> str:
    """The address of a gateway that was started in the background."""
    up = await start(
        *("up", "--port", "0", "--url", "--provider", "cerebras", "--base-url", provider.base_url),
        environ={"CEREBRAS_API_KEY": "sk-made-up", **environ},
    )
    ended = await up.ended()
    assert ended.code == 0, ended.stderr
    return str(ended.stdout).strip()


async def open_turn(base_url: str, began: asyncio.Event) -> str:
    """The name of the last event of a turn; `began` is set when the answer has begun."""
    name = ""
    async with ResponsesClient(base_url) as client:
        async for event in client.stream(ASK):
            name = event["type"]
            if name == "response.output_text.delta":
                began.set()
    return name


async def test_an_open_stream_is_finished_first_however_often_it_is_asked(start, gateways):
    async with ScriptedProvider([HELD]) as provider, asyncio.TaskGroup() as group:
        base_url, began = await brought_up(start, provider), asyncio.Event()
        turn = group.create_task(open_turn(base_url, began))
        await began.wait()
        (folder,) = folders(gateways)
        state = folder.look().state
        assert state is not None
        down = await start("down")
        assert "open streams have 10 s" in await down.line()
        os.kill(state.pid, signal.SIGTERM)
        assert folder.look().phase in (Phase.RUNNING, Phase.STOPPING)
        provider.release(1)
        ended = await down.ended()
    assert turn.result() == "response.completed"
    assert ended.code == 0
    assert "It ended after" in ended.stdout
    assert folder.look().phase is Phase.ABSENT


async def test_a_stream_that_takes_longer_than_the_limit_is_cut(start, gateways):
    async with ScriptedProvider([HELD]) as provider, asyncio.TaskGroup() as group:
        base_url = await brought_up(start, provider, ANYTURN_SHUTDOWN_TIMEOUT_S="0.1")
        began = asyncio.Event()
        turn = group.create_task(open_turn(base_url, began))
        await began.wait()
        ended = await (await start("down")).ended()
    assert turn.result() == "response.failed"
    assert ended.code == 0


async def test_where_nothing_runs_that_is_said_and_is_no_error(start, gateways):
    for arguments, words in (
        ([], "No gateway runs in the background.\n"),
        (["--all"], "No gateway runs in the background.\n"),
        (["--port", "10000"], "No gateway runs on port 10000.\n"),
    ):
        ended = await (await start("down", *arguments)).ended()
        assert (ended.code, ended.stdout, ended.stderr) == (0, words, "")
    assert not gateways.exists()


async def test_what_a_killed_one_left_is_cleaned_and_said(start, gateways):
    async with ScriptedProvider([]) as provider:
        await brought_up(start, provider)
    (folder,) = folders(gateways)
    state = folder.look().state
    assert state is not None
    os.kill(state.pid, signal.SIGKILL)
    async with asyncio.timeout(20):
        while folder.look().phase is not Phase.ENDED:
            await asyncio.sleep(0)
    ended = await (await start("down")).ended()
    assert (ended.code, "had ended without being asked" in ended.stdout) == (0, True)
    assert folder.look().phase is Phase.ABSENT


async def test_now_ends_it_at_once(start, gateways):
    async with ScriptedProvider([]) as provider:
        await brought_up(start, provider)
        ended = await (await start("down", "--now")).ended()
    assert (ended.code, "It ended after" in ended.stdout) == (0, True)
    (folder,) = folders(gateways)
    assert folder.look().phase is Phase.ABSENT
