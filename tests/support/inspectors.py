"""An inspector that listens, somebody who looks at it, and folders to look at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from anyturn.capture import format as f
from anyturn.capture_files import PLAIN_SUFFIX, CaptureFolder, write_plain
from anyturn.inspector.app import Inspector, standalone
from anyturn.server.lifecycle import listening
from support.captured_turns import records

JSON = dict[str, Any]
LIMIT_S = 40.0
_FIRST = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Answer:
    """What came back."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Visitor:
    """A browser without a page: it keeps cookies and follows nothing by itself."""

    def __init__(self, http: aiohttp.ClientSession, link: str) -> None:
        self.link = link
        self.address = link.partition("?")[0]
        self.token = link.partition("?token=")[2]
        self._http = http

    async def get(self, path: str, *, method: str = "GET", **headers: str) -> Answer:
        """Ask for what is below the inspector's address, written as it is."""
        url = URL(path if path.startswith("http") else self.address + path, encoded=True)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._http.request(method, url, headers=sent, allow_redirects=False) as reply:
            return Answer(reply.status, reply.headers, await reply.read())

    async def enter(self) -> Answer:
        """Open the link."""
        return await self.get(self.link)

    async def turn(self, name: str) -> JSON:
        """A turn's document."""
        answer = await self.get(f"/api/turns/{name}")
        assert answer.status == 200, answer.text
        return answer.json

    async def rows(self, at_least: int = 0) -> list[JSON]:
        """The list, when it is complete and so long.

        A folder whose listing took long, as on a busy machine, is not listed again at once.
        """
        async with asyncio.timeout(LIMIT_S):
            while True:
                answer = await self.get("/api/turns")
                assert answer.status == 200, answer.text
                known = answer.json
                if known["indexed"] == known["total"] and known["total"] >= at_least:
                    return known["turns"]

    @asynccontextmanager
    async def changes(self) -> AsyncIterator[AsyncIterator[JSON]]:
        """What is told of the folder from now on."""
        async with self._http.get(URL(f"{self.address}/api/changes")) as reply:
            assert reply.status == 200
            # Its first line says that the folder is watched.
            await reply.content.readline()
            yield _messages(reply)


async def _messages(reply: aiohttp.ClientResponse) -> AsyncIterator[JSON]:
    async with asyncio.timeout(LIMIT_S):
        async for line in reply.content:
            if line.startswith(b"data: "):
                yield msgspec.json.decode(line.removeprefix(b"data: "))


@asynccontextmanager
async def visiting(link: str, *, enters: bool = True) -> AsyncIterator[Visitor]:
    """Somebody who has a link."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as http:
        visitor = Visitor(http, link)
        if enters:
            await visitor.enter()
        yield visitor


@asynccontextmanager
async def inspected(
    folder: Path, *, enters: bool = True, **options: Any
) -> AsyncIterator[tuple[Inspector, Visitor]]:
    """An inspector of a folder, and somebody who has its link."""
    inspector = Inspector(CaptureFolder(folder), **options)
    app = standalone(inspector)
    async with (
        listening(app, "127.0.0.1", 0, before_end=inspector.close) as port,
        visiting(inspector.access.link("127.0.0.1", port), enters=enters) as visitor,
    ):
        yield inspector, visitor


def write_turn(folder: Path, number: int, **options: Any) -> str:
    """Put a turn into a folder; its name. Greater numbers are newer."""
    started = _FIRST + timedelta(seconds=number)
    name = f"{started:%Y%m%d-%H%M%S}-000-turn{number:05}"
    folder.mkdir(exist_ok=True)
    known = {"turn": f"resp_{number}", "started": f"{started:%Y-%m-%dT%H:%M:%S}.000Z", **options}
    write_plain(folder / (name + PLAIN_SUFFIX), records(**known))
    return name


def write_turns(folder: Path, count: int) -> None:
    """Fill a folder."""
    for number, lines in zip(range(count), _copies(), strict=False):
        started = _FIRST + timedelta(seconds=number)
        (folder / f"{started:%Y%m%d-%H%M%S}-000-turn{number:05}{PLAIN_SUFFIX}").write_bytes(lines)


def _copies() -> Iterator[bytes]:
    lines = b"".join(map(f.encode_record, records()))
    while True:
        yield lines
