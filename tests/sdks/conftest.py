"""The SDKs of OpenAI and of others, the real gateway, and a strict scripted provider behind it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from openai import AsyncOpenAI

from anyturn.config import Settings
from anyturn.routing import Routing
from anyturn.server.lifecycle import running
from anyturn.store.memory import MemoryStore
from anyturn.testing import Entry, Rules, ScriptedProvider

JSON = dict[str, Any]
MODEL = "gpt-oss-120b"
# A name by which clients know that the model thinks.
KNOWN = "gpt-5.1-codex"
_LIMIT_S = 30.0


@pytest.fixture(autouse=True)
def _full_log() -> Iterator[None]:
    """Some verbs keep the gateway's log off the screen, and they too run in this process."""
    log = logging.getLogger("anyturn")
    level = log.level
    log.setLevel(logging.NOTSET)
    yield
    log.setLevel(level)


@pytest.fixture(autouse=True)
def _straight(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDKs believe the environment: a proxy must not stand between them and loopback."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


class Stage:
    """A gateway with a memory, and its provider."""

    def __init__(self, base_url: str, provider: ScriptedProvider) -> None:
        self.base_url = base_url
        self.provider = provider

    def client(self, **options: Any) -> AsyncOpenAI:
        """An openai-python client that takes nothing but what its types say, and tries once."""
        given = {"base_url": self.base_url, "api_key": "made-up", "max_retries": 0}
        return AsyncOpenAI(**{**given, "_strict_response_validation": True, **options})


OpenStage = Callable[..., Awaitable[Stage]]


@pytest.fixture
async def stage(caplog: pytest.LogCaptureFixture) -> AsyncIterator[OpenStage]:
    """Set up a stage: `await stage(*script)`; the rest are options of the gateway.

    The provider must have found every request valid, and the gateway itself must not have failed.
    """
    providers: list[ScriptedProvider] = []
    async with AsyncExitStack() as closing:

        async def open_stage(
            *script: Entry, profile: str = "cerebras", rules: Rules | bool = True, **settings: Any
        ) -> Stage:
            provider = ScriptedProvider(script, strict=rules, models=(MODEL,))
            await closing.enter_async_context(provider)
            providers.append(provider)
            given = {"provider": profile, "base_url": provider.base_url, "model": MODEL, "port": 0}
            given |= {"retries": 0, "shutdown_timeout_s": 0.0, "aliases": {KNOWN: MODEL}}
            options = Settings(**{**given, **settings})
            gateway = await closing.enter_async_context(
                running(options, Routing(options, {}), store=MemoryStore())
            )
            return Stage(gateway.base_url, provider)

        yield open_stage
    assert [refusal for provider in providers for refusal in provider.refusals] == []
    failures = [r for r in caplog.get_records("call") if r.levelno >= logging.ERROR]
    assert [record.getMessage() for record in failures] == []


RunNode = Callable[..., Awaitable[Any]]


@pytest.fixture
def run_node(request: pytest.FixtureRequest, tmp_path: Path) -> RunNode:
    """Run a program of this folder with the packages of the mark `node_sdk(name)`.

    `await run_node("ai.mjs", base_url, {...})`: the program gets the last argument as its `CASE`
    and prints what it found as JSON.
    """

    async def run(program: str, base_url: str, case: JSON) -> Any:
        marker = request.node.get_closest_marker("node_sdk")
        source = Path(__file__).with_name(program).read_bytes()
        process = await asyncio.create_subprocess_exec(
            *("node", "--input-type=module", "-"),
            # A program that is read from here finds its packages in the working directory.
            cwd=request.config.rootpath / ".cache" / "sdks" / marker.args[0],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "BASE_URL": base_url,
                "MODEL": KNOWN,
                "CASE": msgspec.json.encode(case).decode(),
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        talk = asyncio.ensure_future(process.communicate(source))
        await asyncio.wait([talk], timeout=_LIMIT_S)
        if late := not talk.done():
            process.kill()
        stdout, stderr = (said.decode() for said in await talk)
        assert not late, f"not finished after {_LIMIT_S:g} s\n{stdout}\n{stderr}"
        assert process.returncode == 0, f"{stdout}\n{stderr}"
        return msgspec.json.decode(stdout)

    return run
