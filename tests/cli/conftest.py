"""`anyturn` as its users start it: a process of its own, with an environment that is known."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from anyturn.cli.main import main
from anyturn.daemon.folder import Phase, folders

_LIMIT_S = 40.0


class Ended(msgspec.Struct, frozen=True):
    """How a process ended."""

    code: int
    stdout: str
    stderr: str


class Anyturn:
    """A running `anyturn`, in a process group of its own together with what it starts."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def ended(self, limit_s: float = _LIMIT_S) -> Ended:
        """Wait for its end, but not for ever."""
        talk = asyncio.ensure_future(self._process.communicate())
        await asyncio.wait([talk], timeout=limit_s)
        late = not talk.done()
        if late:
            self._signal(signal.SIGKILL)
        stdout, stderr = (said.decode() for said in await talk)
        assert not late, f"anyturn was not finished after {limit_s:g} s.\n{stdout}\n{stderr}"
        assert self._process.returncode is not None
        return Ended(self._process.returncode, stdout, stderr)

    async def line(self) -> str:
        """The next line of its standard output."""
        assert self._process.stdout is not None
        async with asyncio.timeout(_LIMIT_S):
            return (await self._process.stdout.readline()).decode()

    def alone(self) -> bool:
        """Whether nothing that it started is left."""
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return True
        return False

    async def stop(self) -> None:
        """End it and what it started, whatever they do."""
        self._signal(signal.SIGKILL)
        await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home."""
    made = tmp_path / "home"
    made.mkdir()
    return made


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """An empty folder in which `anyturn` is started."""
    made = tmp_path / "workspace"
    made.mkdir()
    return made


@pytest.fixture
def path_without_codex(tmp_path: Path) -> str:
    """A PATH with what a shell call needs, and no Codex."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "bash", "cat", "echo", "sleep"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    (programs / "python3").symlink_to(sys.executable)
    return str(programs)


StartAnyturn = Callable[..., Awaitable[Anyturn]]


@pytest.fixture
async def start(home: Path, workspace: Path, tmp_path: Path) -> AsyncIterator[StartAnyturn]:
    """Start `python -m anyturn ARGUMENTS`, with `environ=` laid over an environment of our own."""
    started: list[Anyturn] = []

    async def start_anyturn(*arguments: str, environ: dict[str, str] | None = None) -> Anyturn:
        temporary = tmp_path / "tmp"
        temporary.mkdir(exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "anyturn", *arguments),
            cwd=workspace,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "TMPDIR": str(temporary),
                "LANG": "C.UTF-8",
                "COLUMNS": "200",
                "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
                **(environ or {}),
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        started.append(Anyturn(process))
        return started[-1]

    yield start_anyturn
    for anyturn in started:
        await anyturn.stop()


@pytest.fixture
async def gateways(home: Path) -> AsyncIterator[Path]:
    """The folder of background gateways. Those that run in the end are ended, by their ids."""
    root = home / ".local" / "state" / "anyturn" / "gateways"
    yield root
    for folder in folders(root):
        seen = folder.look()
        if seen.state is not None and seen.phase is not Phase.ENDED:
            os.kill(seen.state.pid, signal.SIGKILL)
        async with asyncio.timeout(_LIMIT_S):
            while folder.look().phase not in (Phase.ABSENT, Phase.ENDED):
                await asyncio.sleep(0)


@pytest.fixture
def at_home(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Run `anyturn ARGUMENTS` in this process, in an empty home: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "250")

    def run(*arguments: str, **environ: str) -> tuple[int, str, str]:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["anyturn", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int) or code is None
        return code or 0, said.out, said.err

    return run
