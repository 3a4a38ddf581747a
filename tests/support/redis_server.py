"""A Redis or Valkey server of the tests' own, on a free port of 127.0.0.1."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

LEFT_OUT = "no redis-server or valkey-server is installed"
_PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")
_TRIES = 5


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LocalRedis:
    """A server process that keeps nothing on disk; it can be stopped, started again and paused."""

    def __init__(self, *options: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self.socket = self._folder / "redis.sock"
        for _ in range(_TRIES):
            self.port = free_port()
            if self.start():
                return
        raise RuntimeError(f"{_PROGRAM} does not start")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"redis://{self.address}"

    def start(self) -> bool:
        """Start on the same port; False when that is taken."""
        assert _PROGRAM
        self._process = subprocess.Popen(
            [
                *(_PROGRAM, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""),
                *("--dir", str(self._folder), "--unixsocket", str(self.socket), *self._options),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout
        if any("Ready to accept connections" in line for line in self._process.stdout):
            return True
        self.stop()
        return False

    def stop(self) -> None:
        """End this process and no other."""
        assert self._process and self._process.stdout
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def pause(self) -> None:
        """Let the server accept connections and answer nothing."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *command: Any, password: str | None = None) -> Any:
        """Send one command as an administrator would."""
        with redis.Redis(port=self.port, password=password, protocol=2) as client:
            return client.execute_command(*command)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)


def _needs_a_server() -> None:
    if _PROGRAM is None:
        if os.environ.get("CI"):
            pytest.fail(f"{LEFT_OUT}, and CI must not leave out its tests", pytrace=False)
        pytest.skip(LEFT_OUT)


@pytest.fixture(scope="session")
def _shared_redis() -> Iterator[LocalRedis]:
    _needs_a_server()
    server = LocalRedis()
    yield server
    server.remove()


@pytest.fixture
def redis_server(_shared_redis: LocalRedis) -> LocalRedis:
    """An empty server, not to be stopped or configured: the next test gets the same one."""
    _shared_redis.ask("FLUSHALL")
    return _shared_redis


@pytest.fixture
def new_redis() -> Iterator[Callable[..., LocalRedis]]:
    """Start a server of this test's own, with these options."""
    _needs_a_server()
    servers: list[LocalRedis] = []

    def start(*options: str) -> LocalRedis:
        servers.append(LocalRedis(*options))
        return servers[-1]

    yield start
    for server in servers:
        server.remove()
