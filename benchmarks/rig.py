"""The processes of one run: the provider, the relay and the gateway, both in front of it."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import msgspec
from load import LoadError, Sample, Target, drive, silent_streams, verify
from process import Server, cpu_ns, python
from stub_provider import Script

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parent / "src"
WARM_UP = Script(n=300)


def gateway_command(provider_url: str) -> list[str]:
    """Return the command that serves the gateway in front of the provider."""
    serve = [sys.executable, "-m", "anyturn", "serve", "--provider", "cerebras"]
    return [*serve, "--base-url", f"{provider_url}/v1", "--model", "bench", "--port", "0"]


def gateway_environment() -> dict[str, str]:
    """Return the gateway's environment: no setting of the user's, a made-up key, no proxy."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANYTURN_")}
    return kept | {
        "CEREBRAS_API_KEY": "not-a-key",
        "NO_PROXY": "*",
        "PYTHONPATH": str(SOURCES),
    }


class Subject(msgspec.Struct):
    """A process that is measured, and how to reach it."""

    server: Server
    target: Target

    def run(
        self, script: Script, *, connections: int = 1, turns: int = 1, timeout: float = 60
    ) -> tuple[int, Sample]:
        """Drive it and return the CPU nanoseconds that this cost, and what was seen."""
        with self._explained():
            before = cpu_ns(self.server.pid)
            recording = drive(
                self.target, script, connections=connections, turns=turns, timeout=timeout
            )
            cost = cpu_ns(self.server.pid) - before
            return cost, verify(self.target.api, script, recording)

    @contextlib.contextmanager
    def hold_open(self, script: Script, count: int) -> Iterator[None]:
        """Hold streams open, each past its first delta."""
        with self._explained(), silent_streams(self.target, script, count):
            yield

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Add what the process printed to an error of the load client."""
        try:
            yield
        except (LoadError, OSError) as error:
            raise LoadError(f"{error}\nthe process printed:\n{self.server.output}") from error

    def warm_up(self) -> None:
        """Run a few streams, so that no measurement pays for imports and first allocations."""
        self.run(WARM_UP, connections=4, turns=16)


class Rig(contextlib.ExitStack):
    """Start what a scenario asks for, once; end everything on leaving.

    rounds: how often each scenario measures each subject. quick: scenarios do less.
    """

    def __init__(self, *, rounds: int, quick: bool) -> None:
        super().__init__()
        self.rounds = rounds
        self.quick = quick

    @cached_property
    def provider(self) -> Server:
        return self.enter_context(Server(python(HERE / "stub_provider.py")))

    @cached_property
    def subjects(self) -> tuple[Subject, Subject]:
        """The relay and the gateway, warm."""
        return self.enter_context(self.fresh_relay()), self.enter_context(self.fresh_gateway())

    @contextlib.contextmanager
    def fresh_relay(self) -> Iterator[Subject]:
        """Start another relay: memory can only be measured in a young process."""
        command = python(HERE / "byte_relay.py", "--target", f"127.0.0.1:{self.provider.port}")
        with Server(command) as server:
            relay = Subject(server, Target.at(f"{server.url}/v1/chat/completions"))
            relay.warm_up()
            yield relay

    @contextlib.contextmanager
    def fresh_gateway(self, *options: str) -> Iterator[Subject]:
        """Start another gateway, away from any configuration file, with these flags more."""
        with (
            tempfile.TemporaryDirectory() as empty,
            Server(
                [*gateway_command(self.provider.url), *options],
                env=gateway_environment(),
                cwd=Path(empty),
                ignore=[self.provider.port],
            ) as server,
        ):
            gateway = Subject(server, Target.at(f"{server.url}/v1/responses"))
            gateway.warm_up()
            yield gateway
