from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import socket
from typing import Any

import aiohttp
import pytest

import anyturn as package
from anyturn.testing import Answer, ResponsesClient, ResponsesRefused, ScriptedProvider, text

KEY = "sk-planted-6c0e8b1f4d7a4592"
ASK: dict[str, Any] = {"input": "Hi"}
HELD = Answer(text("Hello there."), fragment=4, hold_after=2)


async def greeting(anyturn: Any) -> str:
    """All that is printed up to the end of the greeting."""
    lines: list[str] = []
    while not lines or "Ctrl-C stops" not in lines[-2:][0]:
        lines.append(await anyturn.line())
        assert lines[-1], f"anyturn ended: {await anyturn.ended()}"
    return "".join(lines)


def address(shown: str) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+/v1", shown)
    assert found is not None
    return found[0]


async def serve(start: Any, provider: ScriptedProvider, *more: str, **environ: str) -> Any:
    """Start it in front of a provider, on any free port."""
    return await start(
        *("serve", "--port", "0", "--provider", "cerebras", "--base-url", provider.base_url, *more),
        environ={"CEREBRAS_API_KEY": KEY, **environ},
    )


async def open_turn(base_url: str, began: asyncio.Event) -> list[str]:
    """The names of a turn's events; `began` is set when the answer has begun."""
    names = []
    async with ResponsesClient(base_url) as client:
        async for event in client.stream(ASK):
            names.append(event["type"])
            if event["type"] == "response.output_text.delta":
                began.set()
    return names


async def test_it_says_what_it_is_doing_and_serves(start, workspace):
    (workspace / "anyturn.toml").write_text('[models]\nfast = "zai-glm-4.7"\n', encoding="utf-8")
    async with ScriptedProvider([text("Hello.")], api_key=KEY) as provider:
        anyturn = await serve(start, provider)
        shown = await greeting(anyturn)
        base_url = address(shown)
        async with ResponsesClient(base_url) as client:
            assert (await client.create(ASK))["status"] == "completed"
        health = base_url.removesuffix("/v1") + "/health"
        async with aiohttp.ClientSession() as http, http.get(health) as reply:
            assert (await reply.json())["provider"] == "cerebras"
        os.kill(anyturn.pid, signal.SIGTERM)
        ended = await anyturn.ended()
    assert f"Anyturn {package.__version__} listens at {base_url}" in shown
    assert f"Cerebras  {provider.base_url}" in shown
    assert "gpt-oss-120b" in shown
    assert "found in CEREBRAS_API_KEY" in shown
    assert "fast → zai-glm-4.7" in shown
    (command,) = [line for line in shown.split("\n") if line.startswith("  codex ")]
    assert f'base_url="{base_url}"' in "".join(shlex.split(command))
    assert ended.code == 0
    assert ended.stdout.endswith("Stopped.\n")
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d resp_\w{8} cerebras/gpt-oss-120b: completed in .* tokens\n", ended.stderr
    )
    assert KEY[3:] not in shown + ended.stdout + ended.stderr
    assert [request.refusal for request in provider.requests] == [None]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
async def test_a_signal_lets_an_open_stream_finish(start, number):
    async with ScriptedProvider([HELD]) as provider, asyncio.TaskGroup() as group:
        anyturn = await serve(start, provider)
        began = asyncio.Event()
        turn = group.create_task(open_turn(address(await greeting(anyturn)), began))
        await began.wait()
        os.kill(anyturn.pid, number)
        assert "open streams have 10 s" in await anyturn.line()
        provider.release(1)
        ended = await anyturn.ended()
    assert turn.result()[-1] == "response.completed"
    assert ended.code == 0
    assert "Traceback" not in ended.stderr


async def test_a_stream_that_takes_too_long_is_cut_and_told(start):
    async with ScriptedProvider([HELD]) as provider, asyncio.TaskGroup() as group:
        anyturn = await serve(start, provider, ANYTURN_SHUTDOWN_TIMEOUT_S="0.1")
        began = asyncio.Event()
        turn = group.create_task(open_turn(address(await greeting(anyturn)), began))
        await began.wait()
        os.kill(anyturn.pid, signal.SIGINT)
        ended = await anyturn.ended()
        await provider.cancelled(1)
    assert turn.result()[-1] == "response.failed"
    assert ended.code == 0
    assert "Traceback" not in ended.stderr


async def test_a_second_interrupt_ends_it_at_once(start):
    async with ScriptedProvider([HELD]) as provider, asyncio.TaskGroup() as group:
        anyturn = await serve(start, provider)
        began = asyncio.Event()

        async def turn(base_url: str) -> None:
            with pytest.raises(aiohttp.ClientError):
                await open_turn(base_url, began)

        group.create_task(turn(address(await greeting(anyturn))))
        await began.wait()
        os.kill(anyturn.pid, signal.SIGINT)
        await anyturn.line()
        os.kill(anyturn.pid, signal.SIGINT)
        ended = await anyturn.ended(limit_s=5)
    assert ended.code == -signal.SIGINT
    assert "Traceback" not in ended.stderr


async def test_an_unreachable_provider_is_a_warning(start):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        anyturn = await start("serve", "--port", "0", "--base-url", url, "--model", "m")
        base_url = address(await greeting(anyturn))
        async with aiohttp.ClientSession() as http, http.get(f"{base_url}/models") as reply:
            assert reply.status == 200
        os.kill(anyturn.pid, signal.SIGTERM)
        ended = await anyturn.ended()
    assert ended.code == 0
    assert "warning" in ended.stderr
    assert f"cannot be reached at {url}" in ended.stderr
    assert "Turns will fail until it answers." in ended.stderr


async def test_a_taken_port_is_told_in_a_sentence(start):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        anyturn = await start(
            *("serve", "--port", str(port), "--base-url", "http://127.0.0.1:9/v1"),
        )
        ended = await anyturn.ended()
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"anyturn: Port {port} on 127.0.0.1 is taken.")
    assert ended.stderr.count("\n") == 1


async def test_a_missing_key_is_told_with_its_variable(start):
    anyturn = await start("serve", "--provider", "cerebras")
    ended = await anyturn.ended()
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr.startswith("anyturn: There is no key for Cerebras: CEREBRAS_API_KEY")
    assert "Traceback" not in ended.stderr


async def test_the_greeting_says_who_needs_a_key_and_changes_count_while_it_runs(start):
    added = await (await start("keys", "add", "laptop")).ended()
    secret = added.stdout.strip()
    async with ScriptedProvider([text("Hello.")]) as provider:
        anyturn = await serve(start, provider)
        shown = await greeting(anyturn)
        base_url = address(shown)
        assert "need a key; 1 key is known" in shown
        assert 'env_key="ANYTURN_KEY"' in shown
        assert "any key" not in shown
        async with ResponsesClient(base_url) as client:
            with pytest.raises(ResponsesRefused, match="needs a key"):
                await client.create(ASK)
        async with ResponsesClient(base_url, secret) as client:
            assert (await client.create(ASK))["status"] == "completed"
            await (await start("keys", "revoke", "laptop")).ended()
            with pytest.raises(ResponsesRefused, match="does not know this key"):
                await client.create(ASK)
        os.kill(anyturn.pid, signal.SIGTERM)
        ended = await anyturn.ended()
    assert ended.code == 0
    assert secret[4:] not in shown + ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, "memory  ~/.local/state/anyturn/store.sqlite3, for 30 days"),
        ({"ANYTURN_STORE_TTL_DAYS": "0.5"}, "store.sqlite3, for 0.5 days"),
        ({"ANYTURN_STORE": "memory"}, "memory  in this process, gone when it ends"),
        ({"ANYTURN_STORE": "off"}, "memory  off: nothing is kept"),
        ({"ANYTURN_STORE_PATH": "/dev/null/x.db"}, "memory  does not work, see the error above"),
    ],
    ids=["by default", "for a while", "memory", "off", "broken"],
)
async def test_the_greeting_says_where_memory_is_kept(start, options, shown):
    async with ScriptedProvider([]) as provider:
        anyturn = await serve(start, provider, **options)
        words = await greeting(anyturn)
        os.kill(anyturn.pid, signal.SIGTERM)
        ended = await anyturn.ended()
    assert shown in words
    is_broken = "/dev/null" in options.get("ANYTURN_STORE_PATH", "")
    assert ("Nothing is remembered" in ended.stderr) == is_broken
    assert "Traceback" not in ended.stderr


async def test_a_redis_that_is_down_does_not_stop_the_start_and_its_password_stays_unsaid(start):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        url = f"redis://someone:{KEY}@127.0.0.1:{port}/0"
        async with ScriptedProvider([]) as provider:
            options = {"ANYTURN_STORE": "redis", "ANYTURN_STORE_URL": url}
            anyturn = await serve(start, provider, **options)
            words = await greeting(anyturn)
            os.kill(anyturn.pid, signal.SIGTERM)
            ended = await anyturn.ended()
    assert f"does not work, see the error above: redis://127.0.0.1:{port}/0" in words
    assert f"Redis at 127.0.0.1:{port} cannot be reached" in ended.stderr
    assert KEY not in words + ended.stdout + ended.stderr


async def test_a_store_without_its_package_is_told_in_a_sentence(start, tmp_path):
    (tmp_path / "redis.py").write_text("raise ModuleNotFoundError(name='redis')", encoding="utf-8")
    async with ScriptedProvider([]) as provider:
        anyturn = await serve(
            start,
            provider,
            ANYTURN_STORE="redis",
            ANYTURN_STORE_URL="redis://127.0.0.1",
            PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
        )
        ended = await anyturn.ended()
    assert (ended.code, ended.stdout) == (2, "")
    assert "pip install redis" in ended.stderr
    assert ended.stderr.count("\n") == 1


async def test_a_forced_open_gateway_says_so(start):
    async with ScriptedProvider([]) as provider:
        anyturn = await serve(start, provider, "--host", "0.0.0.0", "--allow-anyone")
        lines = [await anyturn.line() for _ in range(8)]
        os.kill(anyturn.pid, signal.SIGTERM)
        ended = await anyturn.ended()
    assert "anyone who can reach 0.0.0.0; no key is needed" in "".join(lines)
    assert "warning: No key is needed: everyone who can reach 0.0.0.0" in ended.stderr
