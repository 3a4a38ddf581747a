"""The real Codex CLI in front of the real gateway, and a scripted provider behind it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from anyturn.codex.catalogue import catalogue_entry
from anyturn.codex.launch import overrides
from anyturn.config import load_settings
from anyturn.gateway import Tap
from anyturn.providers import find
from anyturn.routing import Routing
from anyturn.server.lifecycle import running
from anyturn.testing import Entry, ReceivedRequest, Rules, ScriptedProvider

JSON = dict[str, Any]
MODEL = "gpt-oss-120b"
_LIMIT_S = 40.0

# Nothing may leave this machine, and nobody is there to be asked.
_QUIET = (
    *("-c", "features.plugins=false"),
    *("-c", "analytics.enabled=false"),
    *("-c", "check_for_update_on_startup=false"),
)
_UNATTENDED = ("--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--json")


class Run(msgspec.Struct, frozen=True):
    """How a `codex exec --json` ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def events(self) -> list[JSON]:
        """What it printed, line by line."""
        # Not splitlines(), which cuts at characters that may stand inside a JSON string.
        return [msgspec.json.decode(line) for line in self.stdout.split("\n") if line]

    def items(self, kind: str) -> list[JSON]:
        """The finished items of one kind."""
        done = [event["item"] for event in self.events if event["type"] == "item.completed"]
        return [item for item in done if item["type"] == kind]

    @property
    def said(self) -> list[str]:
        """Every message of the model."""
        return [item["text"] for item in self.items("agent_message")]

    @property
    def complaints(self) -> list[str]:
        """The warnings and errors that a user reads: retries, and why the turn failed."""
        warned = [item["message"] for item in self.items("error")]
        return warned + [event["message"] for event in self.events if event["type"] == "error"]


class Codex:
    """A Codex that runs in a process group of its own, as it would in a terminal."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def result(self, limit_s: float = _LIMIT_S) -> Run:
        """Wait for its end, but not for ever."""
        talk = asyncio.ensure_future(self._process.communicate())
        await asyncio.wait([talk], timeout=limit_s)
        late = not talk.done()
        if late:
            self.signal(signal.SIGKILL)
        stdout, stderr = (said.decode() for said in await talk)
        assert not late, f"Codex was not finished after {limit_s:g} s.\n{stdout}\n{stderr}"
        assert self._process.returncode is not None
        return Run(self._process.returncode, stdout, stderr)

    def signal(self, number: signal.Signals) -> None:
        """Signal it and what it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    async def stop(self) -> None:
        """End it whatever it does."""
        if self._process.returncode is None:
            self.signal(signal.SIGKILL)
            await self._process.wait()


class Stage:
    """One provider, one gateway, and as many runs of Codex as a test wants.

    The runs share a workspace and a home that are empty at first.
    """

    def __init__(
        self,
        provider: ScriptedProvider,
        base_url: str,
        model: str,
        folder: Path,
        start: Callable[..., Awaitable[Codex]],
    ) -> None:
        self.provider = provider
        self.base_url = base_url
        self.model = model
        self.workspace = folder / "workspace"
        self.home = folder / "home"
        self._start = start
        self.environ: dict[str, str] = {}
        """What Codex finds in its environment besides."""

    @property
    def requests(self) -> list[ReceivedRequest]:
        """What the provider was asked."""
        return self.provider.requests

    def outputs(self, number: int) -> list[str]:
        """The outputs of tools that stand in the history of a request, counted from 1."""
        messages = self.requests[number - 1].messages
        return [message["content"] for message in messages if message["role"] == "tool"]

    def catalogue(self, **facts: Any) -> list[str]:
        """Options that give Codex another entry for the model, and no catalogue of the gateway."""
        entry = {**catalogue_entry(self.model, self.model, find("cerebras"), 1), **facts}
        path = self.home / "catalogue.json"
        path.write_bytes(msgspec.json.encode({"models": [entry]}))
        provider = (
            f'model_providers.anyturn={{name="anyturn",base_url="{self.base_url}",'
            'wire_api="responses",experimental_bearer_token="anyturn"}'
        )
        return ["-c", provider, "-c", f'model_catalog_json="{path}"']

    async def start(self, prompt: str, *options: str) -> Codex:
        """Start `codex exec`; `options` come before the prompt."""
        return await self._start(self, [*options, prompt])

    async def codex(self, prompt: str, *options: str) -> Run:
        """Run `codex exec` to its end. The provider must have found every request valid."""
        run = await (await self.start(prompt, *options)).result()
        assert self.provider.refusals == []
        return run


OpenStage = Callable[..., Awaitable[Stage]]


@pytest.fixture
async def stage(
    codex_binary: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[OpenStage]:
    """Set up a stage: `await stage(*script)`, with `profile=`, `model=` and the gateway's options.

    A test fails in the end when the gateway itself failed, whatever Codex made of it.
    """
    async with AsyncExitStack() as closing:

        async def start(stage: Stage, arguments: list[str]) -> Codex:
            process = await asyncio.create_subprocess_exec(
                codex_binary,
                "exec",
                *overrides(stage.base_url, stage.model),
                *_QUIET,
                *_UNATTENDED,
                *arguments,
                cwd=stage.workspace,
                env=_environment(stage.home) | stage.environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
            codex = Codex(process)
            closing.push_async_callback(codex.stop)
            return codex

        async def open_stage(
            *script: Entry,
            profile: str = "cerebras",
            model: str = MODEL,
            rules: Rules | bool = True,
            api_key: str | None = None,
            environ: JSON | None = None,
            provider: ScriptedProvider | None = None,
            taps: Iterable[Tap] = (),
            **settings: Any,
        ) -> Stage:
            if provider is None:
                provider = ScriptedProvider(script, strict=rules, models=(model,), api_key=api_key)
                await closing.enter_async_context(provider)
            flags = {
                "provider": profile,
                "base_url": provider.base_url,
                "model": model,
                "port": 0,
                "store": "memory",
            }
            config = load_settings({**flags, **settings}, {}, tmp_path)
            gateway = await closing.enter_async_context(
                running(config, Routing(config, environ or {}), taps=taps)
            )
            opened = Stage(provider, gateway.base_url, model, tmp_path, start)
            for folder in (opened.workspace, opened.home):
                folder.mkdir(exist_ok=True)
            return opened

        yield open_stage
    failures = [r for r in caplog.get_records("call") if r.levelno >= logging.ERROR]
    assert [record.getMessage() for record in failures] == []


def _environment(home: Path) -> dict[str, str]:
    """As little as a program needs: no key, no proxy and no file of whoever runs the tests."""
    temporary = home / "tmp"
    temporary.mkdir(exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CODEX_HOME": str(home),
        # A CODEX_HOME below it makes Codex warn.
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
    }


@pytest.fixture
def tiny() -> tuple[str, str]:
    """The option that gives Codex an MCP server called `tiny`."""
    script = Path(__file__).parents[1] / "support" / "tiny_mcp.py"
    return "-c", f'mcp_servers.tiny={{command="{sys.executable}",args=["{script}"]}}'
