from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from anyturn.daemon.folder import Folder, Phase, State, folders
from anyturn.testing import Answer, ResponsesClient, ScriptedProvider, text

KEY = "sk-planted-6c0e8b1f4d7a4592"
ASK: dict[str, Any] = {"input": "Hi"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def ran(start: Any, *arguments: str, **environ: str) -> Any:
    """How `anyturn ARGUMENTS` ended."""
    anyturn = await start(*arguments, environ={"CEREBRAS_API_KEY": KEY, **environ})
    return await anyturn.ended()


def flags(provider: ScriptedProvider, port: int = 0) -> list[str]:
    return ["--port", str(port), "--provider", "cerebras", "--base-url", provider.base_url]


def the_state(root: Path) -> State:
    """What the only gateway says of itself, which runs."""
    (folder,) = folders(root)
    phase, state = folder.look()
    assert phase is Phase.RUNNING and state is not None
    return state


async def all_gone(folder: Folder) -> None:
    async with asyncio.timeout(20):
        while folder.look().phase is not Phase.ENDED:
            await asyncio.sleep(0)


async def test_it_runs_in_the_background_until_it_is_asked_to_end(start, gateways, workspace):
    (workspace / "anyturn.toml").write_text('[models]\n"x-*" = "y-*"\n', encoding="utf-8")
    async with ScriptedProvider([text("Hello.")], api_key=KEY) as provider:
        up = await ran(start, "up", *flags(provider))
        state = the_state(gateways)
        async with ResponsesClient(state.base_url) as client:
            assert (await client.create(ASK))["status"] == "completed"
        down = await ran(start, "down")
    assert (up.code, up.stderr) == (0, "")
    assert f"runs in the background at {state.base_url}  (process {state.pid})" in up.stdout
    assert f"\n  export OPENAI_BASE_URL={state.base_url}\n" in up.stdout
    assert f'base_url="{state.base_url}"' in up.stdout
    assert "found in CEREBRAS_API_KEY" in up.stdout
    assert "pattern  x-* → y-*" in up.stdout
    assert (state.provider, state.cwd) == ("cerebras", str(workspace))
    assert (down.code, down.stderr) == (0, "")
    assert "It ended after" in down.stdout
    (folder,) = folders(gateways)
    assert folder.look().phase is Phase.ABSENT
    log = folder.log.read_text(encoding="utf-8")
    assert f"listens at {state.base_url}" in log and "completed in" in log and "Stopped." in log
    shown = up.stdout + down.stdout + log
    assert KEY[3:] not in shown and "Traceback" not in shown


async def test_its_files_are_its_users_alone_and_hold_no_key(start, gateways):
    async with ScriptedProvider([]) as provider:
        await ran(start, "up", *flags(provider))
    (folder,) = folders(gateways)
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.path.iterdir()}
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert modes == {"gateway.log": 0o600, "lock": 0o600, "state.json": 0o600}
    assert KEY.encode() not in b"".join(path.read_bytes() for path in folder.path.iterdir())


async def test_one_that_runs_is_left_alone_and_other_flags_are_told(start, gateways):
    async with ScriptedProvider([]) as provider:
        given = flags(provider, free_port())
        await ran(start, "up", *given)
        before = the_state(gateways)
        same = await ran(start, "up", *given)
        other = await ran(start, "up", *given, "--strict")
        url = await ran(start, "up", *given, "--url")
    assert the_state(gateways) == before
    assert (same.code, same.stderr) == (0, "")
    assert "runs already in the background" in same.stdout
    assert other.code == 0
    assert "It was started with other flags: --port" in other.stderr
    assert "anyturn restart --port" in other.stderr
    assert (url.code, url.stdout, url.stderr) == (0, f"{before.base_url}\n", "")


async def test_one_that_runs_with_another_configuration_is_told(start, gateways, workspace):
    async with ScriptedProvider([]) as provider:
        given = flags(provider, free_port())
        await ran(start, "up", *given)
        (workspace / "anyturn.toml").write_text('log_level = "debug"\n', encoding="utf-8")
        other = await ran(start, "up", *given)
    assert other.code == 0
    assert f"no configuration file, and here it would be {workspace}/anyturn.toml" in other.stderr
    assert "then anyturn up" in other.stderr and "other flags" not in other.stderr


async def test_one_gateway_serves_models_of_two_providers(start, gateways, workspace):
    async with (
        ScriptedProvider([text("From here.")], api_key=KEY) as here,
        ScriptedProvider([text("From there.")], models=["gpt-5.5"]) as there,
    ):
        (workspace / "anyturn.toml").write_text(
            '[models]\n"gpt-*" = "there/gpt-*"\n'
            f'[providers.there]\nbase_url = "{there.base_url}"\n',
            encoding="utf-8",
        )
        await ran(start, "up", *flags(here))
        async with ResponsesClient(the_state(gateways).base_url) as client:
            for model, words in (("gpt-5.5", "From there."), ("gpt-oss-120b", "From here.")):
                response = await client.create({**ASK, "model": model})
                assert response["output"][-1]["content"][0]["text"] == words


async def test_of_two_that_start_at_once_exactly_one_runs(start, gateways):
    async with ScriptedProvider([]) as provider:
        given = flags(provider, free_port())
        both = await asyncio.gather(*(ran(start, "up", *given) for _ in range(2)))
    pid = the_state(gateways).pid
    assert [one.code for one in both] == [0, 0], [one.stderr for one in both]
    assert all(f"(process {pid})" in one.stdout for one in both)
    assert sorted("already" in one.stdout for one in both) == [False, True]
    (folder,) = folders(gateways)
    assert folder.log.read_text(encoding="utf-8").count("listens at") == 1


async def test_after_a_kill_it_starts_at_once_and_says_what_was(start, gateways):
    async with ScriptedProvider([]) as provider:
        given = flags(provider, free_port())
        await ran(start, "up", *given)
        before = the_state(gateways)
        os.kill(before.pid, signal.SIGKILL)
        (folder,) = folders(gateways)
        await all_gone(folder)
        up = await ran(start, "up", *given)
    assert up.code == 0
    assert up.stdout.startswith("The one before had ended without being asked")
    assert the_state(gateways).pid != before.pid


async def test_a_damaged_state_stops_nobody_where_nothing_runs(start, gateways):
    async with ScriptedProvider([]) as provider:
        given = flags(provider, free_port())
        folder = gateways / given[1]
        folder.mkdir(parents=True)
        (folder / "state.json").write_bytes(b"{")
        assert (await ran(start, "up", *given)).code == 0
    assert str(the_state(gateways).flags["port"]) == given[1]


async def test_a_damaged_state_of_one_that_runs_is_told_and_nothing_is_killed(start, gateways):
    async with ScriptedProvider([]) as provider:
        given = flags(provider, free_port())
        await ran(start, "up", *given)
        file = gateways / given[1] / "state.json"
        whole = file.read_bytes()
        file.write_bytes(whole[:-9])
        up, down, status = [
            await ran(start, *verb) for verb in (["up", *given], ["down"], ["status"])
        ]
        file.write_bytes(whole)
    assert (up.code, down.code, status.code) == (2, 2, 1)
    for said in (up.stderr, down.stderr, status.stderr):
        assert "cannot be read. End its process yourself" in said and "lsof -t " in said
    assert the_state(gateways)


async def test_a_port_that_another_program_has_is_told_in_the_words_of_serve(start, gateways):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with ScriptedProvider([]) as provider:
            up = await ran(start, "up", *flags(provider, port))
    assert (up.code, up.stdout) == (2, "")
    assert "ended before it listened (exit code 2)" in up.stderr
    assert f"anyturn: Port {port} on 127.0.0.1 is taken." in up.stderr
    assert "Traceback" not in up.stderr
    assert Folder(gateways, port).look().phase is Phase.ABSENT


@pytest.mark.parametrize(
    ("given", "environ", "words"),
    [
        (["--provider", "groq"], {}, "export GROQ_API_KEY=YOUR-KEY"),
        (["--provider", "groq", "--log-level", "loud"], {}, "log_level takes one of"),
        (["--base-url", f"http://me:{KEY}@127.0.0.1/v1"], {}, "an address without a password"),
        (["--api-key-env", KEY], {}, "the name, not the key itself"),
        (["--base-url", "http://127.0.0.1:9/v1"], {"XDG_STATE_HOME": "/dev/null"}, "/dev/null/"),
        (["--base-url", "http://127.0.0.1:9/v1"], {"HOME": ""}, "Set XDG_STATE_HOME"),
        (["--host", "0.0.0.0", "--base-url", "http://127.0.0.1:9/v1"], {}, "anyturn keys add"),
        (["--host", "192.0.2.7", "--allow-anyone"], {}, "Cannot listen on 192.0.2.7"),
    ],
    ids=["no key", "option", "password", "key", "state", "home", "open", "address"],
)
async def test_what_is_wrong_is_told_at_once(start, gateways, given, environ, words):
    up = await ran(start, "up", "--port", "0", *given, **environ)
    assert (up.code, up.stdout) == (2, "")
    assert words in up.stderr
    assert "Traceback" not in up.stderr
    kept = b"".join(path.read_bytes() for path in gateways.rglob("*") if path.is_file())
    assert KEY not in up.stderr and KEY.encode() not in kept


async def test_what_the_environment_says_goes_along(start, gateways, tmp_path):
    origin = "https://app.example.org"
    options = {
        "ANYTURN_CORS_ORIGINS": origin,
        "XDG_STATE_HOME": str(tmp_path / "home/.local/state"),
    }
    async with ScriptedProvider([]) as provider:
        given = [*flags(provider), "--host", "localhost", "--capture", "turns"]
        up = await ran(start, "up", *given, **options)
        state = the_state(gateways)
        headers = {"Origin": origin}
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{state.base_url}/models", headers=headers) as reply,
        ):
            allowed = reply.headers["Access-Control-Allow-Origin"]
    assert up.code == 0
    assert state.base_url.startswith("http://localhost:")
    assert state.flags["capture"] == str(tmp_path / "workspace" / "turns")
    assert allowed == origin


async def test_the_link_to_the_inspector_is_shown_once_and_written_nowhere(
    start, gateways, tmp_path
):
    async with ScriptedProvider([], api_key=KEY) as provider:
        asked = [*flags(provider), "--inspector", "--capture", str(tmp_path / "captures")]
        up = await ran(start, "up", *asked)
        (folder,) = folders(gateways)
        address, token = re.search(r"(http://\S+/inspector)\?token=(\S+)", up.stdout).groups()
        async with aiohttp.ClientSession() as http:
            opened = await http.get(f"{address}?token={token}", allow_redirects=False)
        again = await ran(start, "up", *asked[2:], "--port", str(folder.port))
    assert (up.code, opened.status) == (0, 303)
    assert "Anyturn" in again.stdout and token not in again.stdout
    assert f"captures  {tmp_path / 'captures'}" in up.stdout
    assert f"For a new one: anyturn restart --port {folder.port}" in again.stdout
    assert all(token not in file.read_text() for file in folder.path.iterdir())


async def test_where_clients_need_a_key_that_is_said(start, gateways):
    await ran(start, "keys", "add", "laptop")
    async with ScriptedProvider([]) as provider:
        up = await ran(start, "up", *flags(provider))
    assert the_state(gateways).needs_key
    assert "export OPENAI_API_KEY=any_..." in up.stdout
    assert 'env_key="ANYTURN_KEY"' in up.stdout


async def test_warnings_of_the_start_are_shown(start, gateways):
    url = f"http://127.0.0.1:{free_port()}/v1"
    up = await ran(start, "up", "--port", "0", "--base-url", url, "--model", "m")
    assert up.code == 0
    assert "warning: 127.0.0.1" in up.stderr or f"cannot be reached at {url}" in up.stderr
    assert the_state(gateways).model == "m"


async def test_a_restart_has_the_same_flags_but_for_those_that_are_given(
    start, gateways, workspace, tmp_path
):
    (workspace / "anyturn.toml").write_text('model = "from-the-file"\n', encoding="utf-8")
    async with ScriptedProvider([]) as provider:
        await ran(start, "up", *flags(provider), "--check", "warn")
        first = the_state(gateways)
        assert first.model == "from-the-file"
        again = await ran(start, "restart")
        second = the_state(gateways)
        other = await ran(start, "restart", "--model", "z", "--check", "off")
        third = the_state(gateways)
    assert (again.code, other.code) == (0, 0)
    assert len({first.pid, second.pid, third.pid}) == 3
    assert first.flags == second.flags
    assert third.flags == {**first.flags, "model": "z", "check": "off"}
    assert third.base_url == first.base_url


async def test_a_restart_that_cannot_work_leaves_the_old_one_running(start, gateways):
    async with ScriptedProvider([]) as provider:
        await ran(start, "up", *flags(provider), "--model", "m")
        before = the_state(gateways)
        other = await ran(start, "restart", "--api-key-env", "GONE", "--base-url", "http://gpu/v1")
    assert other.code == 2
    assert "GONE is not set" in other.stderr
    assert the_state(gateways) == before


async def test_a_restart_of_one_that_was_killed_has_its_flags(start, gateways):
    async with ScriptedProvider([]) as provider:
        await ran(start, "up", *flags(provider), "--model", "m")
        before = the_state(gateways)
        os.kill(before.pid, signal.SIGKILL)
        (folder,) = folders(gateways)
        await all_gone(folder)
        again = await ran(start, "restart")
    assert again.code == 0
    assert the_state(gateways).flags == before.flags


async def test_a_restart_of_nothing_says_how_to_start(start, gateways):
    again = await ran(start, "restart")
    assert (again.code, again.stdout) == (2, "")
    assert again.stderr == ("anyturn: No gateway runs in the background. Start one: anyturn up.\n")


async def test_two_gateways_on_two_ports_are_told_apart(start, gateways):
    async with ScriptedProvider([]) as provider:
        ports = [free_port(), free_port()]
        for port in ports:
            assert (await ran(start, "up", *flags(provider, port))).code == 0
        unclear = await ran(start, "down")
        one = await ran(start, "down", "--port", str(ports[0]))
        assert the_state_of(gateways, ports[1])
        await ran(start, "up", *flags(provider, ports[0]))
        both = await ran(start, "down", "--all")
    assert unclear.code == 2 and "Choose one: --port" in unclear.stderr
    assert all(str(port) in unclear.stderr for port in ports)
    assert one.code == 0 and str(ports[0]) in one.stdout
    assert both.code == 0 and both.stdout.count("It ended after") == 2
    assert {folder.look().phase for folder in folders(gateways)} == {Phase.ABSENT}


def the_state_of(root: Path, port: int) -> State:
    phase, state = Folder(root, port).look()
    assert phase is Phase.RUNNING and state is not None
    return state


async def test_up_waits_for_one_that_is_stopping(start, gateways):
    held = Answer(text("Hello there."), fragment=4, hold_after=2)
    async with ScriptedProvider([held]) as provider, asyncio.TaskGroup() as group:
        given = flags(provider, free_port())
        await ran(start, "up", *given)
        before = the_state(gateways)
        began = asyncio.Event()

        async def ask() -> str:
            async with ResponsesClient(before.base_url) as client:
                async for event in client.stream(ASK):
                    began.set()
                    last = event["type"]
            return str(last)

        turn = group.create_task(ask())
        await began.wait()
        os.kill(before.pid, signal.SIGTERM)
        (folder,) = folders(gateways)
        async with asyncio.timeout(20):
            while folder.look().phase is not Phase.STOPPING:
                await asyncio.sleep(0)
        up = await start("up", *given, environ={"CEREBRAS_API_KEY": KEY})
        provider.release(1)
        ended = await up.ended()
    assert turn.result() == "response.completed"
    assert (ended.code, "already" in ended.stdout) == (0, False)
    assert the_state(gateways).pid != before.pid
