from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

from anyturn.testing import ResponsesClient, ScriptedProvider, text
from support.inspectors import visiting, write_turn

KEY = "sk-planted-1c7d0a5e9b3f4286"
LINK = re.compile(r"http://127\.0\.0\.1:\d+/inspector\?token=[\w-]{43}")


async def link_of(anyturn: Any) -> str:
    """The link, when it is printed."""
    while True:
        line = await anyturn.line()
        assert line, f"anyturn ended: {await anyturn.ended()}"
        if found := LINK.search(line):
            return found[0]


async def stopped(anyturn: Any, number: signal.Signals = signal.SIGINT) -> Any:
    os.kill(anyturn.pid, number)
    return await anyturn.ended()


async def test_a_folder_is_shown_until_ctrl_c(start, workspace: Path) -> None:
    name = write_turn(workspace / "turns", 1)
    anyturn = await start("inspect", "turns")
    async with visiting(await link_of(anyturn)) as visitor:
        assert [row["name"] for row in await visitor.rows()] == [name]
        assert (await visitor.turn(name))["events"]
    ended = await stopped(anyturn)
    assert (ended.code, ended.stderr) == (0, "")
    assert anyturn.alone()


async def test_a_terminated_inspector_ends_too(start, workspace: Path) -> None:
    write_turn(workspace / "turns", 1)
    anyturn = await start("inspect", "turns")
    await link_of(anyturn)
    assert (await stopped(anyturn, signal.SIGTERM)).code == 0


async def test_a_folder_that_is_not_there_is_told_with_the_way_out(start) -> None:
    ended = await (await start("inspect", "nowhere")).ended()
    assert ended.code == 2
    assert "The folder 'nowhere' does not exist." in ended.stderr
    assert "anyturn serve --inspector" in ended.stderr


async def test_a_file_is_no_folder(start, workspace: Path) -> None:
    (workspace / "file").write_text("x")
    ended = await (await start("inspect", "file")).ended()
    assert (ended.code, "is no folder" in ended.stderr) == (2, True)


async def test_a_taken_port_is_told(start, workspace: Path) -> None:
    write_turn(workspace / "turns", 1)
    link = await link_of(await start("inspect", "turns"))
    port = link.rpartition(":")[2].partition("/")[0]
    ended = await (await start("inspect", "turns", "--port", port)).ended()
    assert (ended.code, f"Port {port} on 127.0.0.1 is taken" in ended.stderr) == (2, True)


async def test_the_browser_is_opened_when_that_is_asked_for(
    start, workspace: Path, tmp_path: Path
) -> None:
    write_turn(workspace / "turns", 1)
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o700)
    anyturn = await start("inspect", "turns", "--open", environ={"BROWSER": f"{browser} %s"})
    link = await link_of(anyturn)
    async with visiting(link) as visitor:
        await visitor.rows()
    await stopped(anyturn)
    assert (tmp_path / "opened").read_text().strip() == link


async def test_serve_records_for_the_inspector_and_captures_finds_it(
    start, home: Path, workspace: Path
) -> None:
    async with ScriptedProvider([text("Hello.")], api_key=KEY) as provider:
        serving = await start(
            *("serve", "--inspector", "--port", "0", "--provider", "cerebras"),
            *("--base-url", provider.base_url),
            environ={"CEREBRAS_API_KEY": KEY},
        )
        link = await link_of(serving)
        async with (
            ResponsesClient(link.partition("/inspector")[0] + "/v1") as client,
            visiting(link) as visitor,
        ):
            await client.create({"model": "gpt-oss-120b", "input": "Say hello."})
            rows = await visitor.rows()
            while not rows or rows[0]["status"] != "completed":
                rows = await visitor.rows()
            assert rows[0]["prompt"] == "Say hello."
        ended = await stopped(serving)
    assert ended.code == 0
    assert link.rpartition("=")[2] not in ended.stderr
    folder = home / ".local/state/anyturn/captures"
    assert len(list(folder.iterdir())) == 1 and folder.stat().st_mode & 0o777 == 0o700
    listed = await (await start("captures", "list", "--json")).ended()
    assert f'"name": "{rows[0]["name"]}"' in listed.stdout
    # What was recorded last counts, wherever it is.
    newer = write_turn(workspace / ".anyturn", 5)
    captures = workspace / ".anyturn" / "captures"
    captures.mkdir()
    (workspace / ".anyturn" / f"{newer}.ndjson").rename(captures / f"{newer}.ndjson")
    listed = await (await start("captures", "list", "--json")).ended()
    assert f'"name": "{newer}"' in listed.stdout


async def test_serve_shows_nothing_to_others(start) -> None:
    ended = await (
        await start(
            *("serve", "--inspector", "--host", "0.0.0.0", "--allow-anyone", "--port", "0"),
            *("--base-url", "http://127.0.0.1:9/v1"),
        )
    ).ended()
    assert ended.code == 2
    assert "The inspector shows everything that was recorded" in ended.stderr
    assert "Traceback" not in ended.stderr
