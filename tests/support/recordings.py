"""A relay that records, between a test's client and a backend of the test's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from anyturn.capture import format as f
from anyturn.capture_files import CaptureFolder, read_file
from anyturn.recorder import Recorder
from anyturn.relay.server import backend_of, relaying

JSON = dict[str, Any]
LIMIT_S = 30.0
CHAT: JSON = {
    "model": "gpt-oss-120b",
    "stream": True,
    "messages": [{"role": "user", "content": "Hi"}],
}


class Recording:
    """A running relay. `captures` may be read once it is closed."""

    def __init__(self, base_url: str, folder: Path) -> None:
        self.base_url = base_url
        self.port = int(base_url.split(":")[2].partition("/")[0])
        self.folder = folder

    @property
    def captures(self) -> list[f.Capture]:
        return [read_file(one.path) for one in CaptureFolder(self.folder).files()]

    @property
    def written(self) -> bytes:
        """All that stands in the folder, unpacked."""
        return b"".join(f.encode_record(r) for one in self.captures for r in one.records)


@asynccontextmanager
async def recording_relay(to: str, folder: Path) -> AsyncIterator[Recording]:
    """Relay to a backend and record; what is recorded is on disk when the block is left."""
    recorder = Recorder(CaptureFolder(folder))
    try:
        async with relaying(backend_of(to), recorder) as (_, base_url):
            yield Recording(base_url, folder)
    finally:
        recorder.close()


class Asked(msgspec.Struct):
    """A request as its bytes came."""

    head: bytes
    body: bytes

    @property
    def line(self) -> bytes:
        return self.head.split(b"\r\n")[0]

    @property
    def headers(self) -> list[tuple[str, str]]:
        lines = self.head.decode().split("\r\n")[1:]
        return [(name, value.strip()) for name, _, value in (one.partition(":") for one in lines)]


async def read_message(reader: asyncio.StreamReader, *, bodiless: bool = False) -> Asked:
    """Read one HTTP message; the framing of its body is undone, and nothing else."""
    head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
    }
    if bodiless:
        return Asked(head, b"")
    if fields.get(b"transfer-encoding") == b"chunked":
        return Asked(head, await _chunks(reader))
    if b"content-length" in fields:
        return Asked(head, await reader.readexactly(int(fields[b"content-length"])))
    closes = head.startswith(b"HTTP/") and fields.get(b"connection") == b"close"
    return Asked(head, await reader.read() if closes else b"")


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    pieces = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        pieces.append(await reader.readexactly(size))
        assert await reader.readexactly(2) == b"\r\n"
    assert await reader.readuntil(b"\r\n") == b"\r\n"
    return b"".join(pieces)


Answering = Callable[[Asked, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_backend(answer: Answering) -> AsyncIterator[str]:
    """A backend that is bytes and nothing else; `answer` writes them. Gives its origin."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await answer(await read_message(reader), reader, writer)
        except (asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()


async def write_pieces(writer: asyncio.StreamWriter, pieces: list[bytes]) -> None:
    """Write these bytes, each piece by itself."""
    for piece in pieces:
        writer.write(piece)
        await writer.drain()


class Reply(msgspec.Struct):
    """A whole answer, as a client sees it."""

    status: int
    headers: Any
    raw: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.raw)


async def ask(method: str, url: str, **options: Any) -> Reply:
    """Send a plain request and read the whole answer."""
    async with (
        asyncio.timeout(LIMIT_S),
        aiohttp.ClientSession(auto_decompress=False) as http,
        http.request(method, url, **options) as response,
    ):
        return Reply(response.status, response.headers, await response.read())
