"""A provider below HTTP: what it sends, and when, is the test's to say, byte by byte."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import msgspec
import pytest

from anyturn.providers import generic
from anyturn.upstream import Limits, ProviderClient, client
from anyturn.wire.profile import Profile
from support.provider_answers import BODY, QUICK, Waits

Act = Callable[["Connection"], Awaitable[None]]
_PATIENCE_S = 5.0


class Connection:
    """One request's way back."""

    def __init__(self, writer: asyncio.StreamWriter, gone: asyncio.Event) -> None:
        self.writer = writer
        self.gone = gone
        """Set when the peer has closed the connection."""

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def close(self) -> None:
        self.writer.close()
        self.gone.set()

    async def reset(self) -> None:
        """Close with a reset instead of an end."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self.close()


class Received(msgspec.Struct, frozen=True):
    """A request as it came."""

    head: str
    body: bytes
    connection: int
    """The number of the connection that it came on, from 1."""


class RawProvider:
    """Answers each request, in order of arrival, with the next act; silent after the last."""

    def __init__(self, *acts: bytes | Act, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self._acts = iter(acts)
        self._tls = tls
        self._news = asyncio.Condition()
        self._closed = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, backlog=512, ssl=self._tls
        )
        port = self._server.sockets[0].getsockname()[1]
        self.base_url = f"{'https' if self._tls else 'http'}://127.0.0.1:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def profile(self) -> Profile:
        return generic(self.base_url)

    async def request(self, number: int) -> Received:
        """Wait for a request, counted from 1."""
        await self._until(lambda: len(self.requests) >= number)
        return self.requests[number - 1]

    async def left(self, count: int = 1) -> None:
        """Wait until so many connections were closed by the peer."""
        await self._until(lambda: self._closed >= count)

    async def _until(self, test: Callable[[], bool]) -> None:
        async with asyncio.timeout(_PATIENCE_S), self._news:
            await self._news.wait_for(test)

    async def _announce(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        number, gone = self.connections, asyncio.Event()
        try:
            while not gone.is_set():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = _content_length(head)
                self.requests.append(Received(head, await reader.readexactly(length), number))
                await self._announce()
                act = next(self._acts, None)
                connection = Connection(writer, gone)
                if isinstance(act, bytes):
                    await connection.send(act)
                elif act is not None:
                    await act(connection)
        except (asyncio.IncompleteReadError, ConnectionError):
            self._closed += 1
            await self._announce()
        finally:
            gone.set()
            writer.close()


def _content_length(head: str) -> int:
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0


@pytest.fixture
def provider_class() -> type[RawProvider]:
    """For tests that run a loop of their own."""
    return RawProvider


@pytest.fixture
async def provider() -> AsyncIterator[Callable[..., Awaitable[RawProvider]]]:
    """Start a `RawProvider` that plays these acts."""
    async with AsyncExitStack() as providers:

        async def start(*acts: bytes | Act) -> RawProvider:
            return await providers.enter_async_context(RawProvider(*acts))

        yield start


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", file, "-out", f"{file}.crt"),
        ],
        check=True,
        capture_output=True,
    )
    file.write_bytes(file.read_bytes() + Path(f"{file}.crt").read_bytes())
    return file


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    waits = Waits()
    monkeypatch.setattr(client, "asyncio", waits)
    return waits


@pytest.fixture
def ask() -> Callable[..., Awaitable[bytes]]:
    """Ask a provider with these limits and return all that it answers."""

    async def ask(profile: Profile, limits: Limits = QUICK, api_key: str | None = None) -> bytes:
        async with (
            ProviderClient(limits) as clients,
            clients.stream(profile, api_key, BODY) as stream,
        ):
            pieces = []
            while block := await stream.read():
                pieces.append(block)
            return b"".join(pieces)

    return ask
