from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from anyturn.daemon.folder import Phase, folders
from anyturn.testing import ResponsesClient, ScriptedProvider, text

MODEL = "gpt-oss-120b"


async def brought_up(start: Any, provider: ScriptedProvider) -> str:
    """The address of a gateway that was started in the background."""
    up = await start(
        "up", "--port", "0", "--url", "--base-url", provider.base_url, "--model", MODEL
    )
    return (await up.ended()).stdout.strip()


async def test_what_comes_is_shown_until_ctrl_c(start, gateways):
    async with ScriptedProvider([text("Hello.")]) as provider:
        base_url = await brought_up(start, provider)
        logs = await start("logs", "-f")
        assert f"listens at {base_url}" in await logs.line()
        async with ResponsesClient(base_url) as client:
            await client.create({"input": "Hi"})
        assert "completed in" in await logs.line()
        os.kill(logs.pid, signal.SIGINT)
        ended = await logs.ended()
    assert (ended.code, ended.stdout, ended.stderr) == (0, "", "")


async def test_the_last_lines_are_shown_after_a_kill_too(start, gateways):
    async with ScriptedProvider([]) as provider:
        await brought_up(start, provider)
    (folder,) = folders(gateways)
    state = folder.look().state
    assert state is not None
    os.kill(state.pid, signal.SIGKILL)
    async with asyncio.timeout(20):
        while folder.look().phase is not Phase.ENDED:
            await asyncio.sleep(0)
    with folder.log.open("a", encoding="utf-8") as log:
        log.write("one\ntwo\nthree\n")
    ended = await (await start("logs", "-n", "2", "--port", str(folder.port))).ended()
    assert (ended.code, ended.stdout, ended.stderr) == (0, "two\nthree\n", "")


async def test_without_a_log_that_is_said(start, gateways):
    for arguments, where in (([], "in the background"), (["--port", "9"], "on port 9")):
        ended = await (await start("logs", *arguments)).ended()
        assert (ended.code, ended.stdout) == (2, "")
        assert ended.stderr.startswith(f"anyturn: There is no log: no gateway ran {where}.")
