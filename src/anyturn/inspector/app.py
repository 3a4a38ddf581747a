"""The inspector's routes: the page, the list, a turn, and what changes (docs/inspector.md)."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from anyturn.capture.export import FORMS
from anyturn.capture_files import CaptureError, CaptureFolder, Listed
from anyturn.inspector.access import HEADERS, PATH, Access
from anyturn.inspector.index import Change, FolderIndex, Listener, file_of
from anyturn.inspector.reader import Document, Export, Plain
from anyturn.inspector.reading import Reading, ReadingThread
from anyturn.inspector.words import NO_TOKEN, page_of
from anyturn.own_faults import where_from
from anyturn.wire import sse

log = logging.getLogger("anyturn")

KEEPALIVE_S = 15.0
_PAGE = Path(__file__).parent / "page"
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
# What the browser may ask for, by name: never a path.
FILES = {one.name: one for one in sorted(_PAGE.glob("*")) if one.suffix in _TYPES}
_LATER_READ = 8
_STEP = 256 * 1024
_ROWS = 500
_encode = msgspec.json.Encoder().encode

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# Takes the part of the path that is a name.
_Route = Callable[[web.Request, str], Awaitable[web.StreamResponse]]


def standalone(inspector: Inspector) -> web.Application:
    """An application that is the inspector and nothing else."""

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        if request.path == "/":
            return web.Response(status=303, headers={"Location": PATH})
        raise web.HTTPNotFound(text=f"There is nothing here. The inspector is at {PATH}.")

    app = web.Application()
    app.router.add_get("/{any:.*}", elsewhere)
    inspector.install(app)
    return app


class Absent(Exception):
    """There is no such thing. `str()` says which."""


class Inspector:
    """The page and its data, for one folder. `install` it in an application, then `close` it."""

    def __init__(
        self,
        folder: CaptureFolder,
        *,
        access: Access | None = None,
        reading: Reading | None = None,
        underway: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self.access = access or Access()
        self._reading = reading or ReadingThread()
        self.index = FolderIndex(folder, self._reading, underway=underway)
        self._folder = folder
        self._routes: list[tuple[re.Pattern[str], _Route]] = [
            (re.compile(pattern), handler)
            for pattern, handler in (
                ("", self._page),
                ("/static/([^/]+)", self._static),
                ("/api/turns", self._turns),
                ("/api/changes", self._changes),
                ("/api/turns/([^/]+)", self._turn),
                ("/api/turns/([^/]+)/raw", self._raw),
                ("/api/turns/([^/]+)/export", self._export),
            )
        ]

    def install(self, app: web.Application) -> None:
        """Answer what is below `/inspector`, before anything else of `app` sees it."""

        @web.middleware
        async def inspect(request: web.Request, handler: _Handler) -> web.StreamResponse:
            own = request.path == PATH or request.path.startswith(f"{PATH}/")
            return await (self.answer(request) if own else handler(request))

        app.middlewares.insert(0, inspect)
        app.on_response_prepare.append(_sign)

    async def close(self) -> None:
        """End what listens, and read no more."""
        await self.index.close()
        await self._reading.close()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request below `/inspector`."""
        if words := self.access.why_not(request):
            return _refused(request, 403, words)
        if request.method != "GET":
            return _refused(request, 405, "The inspector only shows: GET.", {"Allow": "GET"})
        if self.access.has_link(request):
            return self.access.let_in(request)
        if not self.access.lets_in(request):
            return _refused(request, 401, NO_TOKEN)
        try:
            return await self._routed(request)
        except (Absent, CaptureError) as error:
            return _refused(request, 404, str(error))
        except ConnectionError:
            raise
        except Exception as error:
            log.error("the inspector failed at %s\n%s", request.path, where_from(error))
            return _refused(
                request, 500, "The inspector itself failed; the gateway's log says why."
            )

    async def _routed(self, request: web.Request) -> web.StreamResponse:
        below = request.path.removeprefix(PATH)
        below = below if below != "/" else ""
        for pattern, handler in self._routes:
            if match := pattern.fullmatch(below):
                return await handler(request, match[1] if pattern.groups else "")
        raise Absent("There is no such thing here.")

    # ---------------------------------------------------------------- the page

    async def _page(self, request: web.Request, name: str) -> web.StreamResponse:
        return await self._file("index.html")

    async def _static(self, request: web.Request, name: str) -> web.StreamResponse:
        return await self._file(name)

    async def _file(self, name: str) -> web.StreamResponse:
        path = FILES.get(name)
        if path is None:
            raise Absent("The page has no such file.")
        body = await asyncio.to_thread(path.read_bytes)
        return web.Response(body=body, content_type=_TYPES[path.suffix], charset="utf-8")

    # ---------------------------------------------------------------- the list

    async def _turns(self, request: web.Request, name: str) -> web.StreamResponse:
        await self.index.refresh()
        rows = self.index.rows()
        known = {"folder": str(self._folder.path), "total": self.index.total, "indexed": len(rows)}
        known["problem"] = self.index.problem
        body = await asyncio.to_thread(_list_of, known, rows)
        return await _sent(request, body, "application/json")

    async def _changes(self, request: web.Request, name: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        with self.index.listening() as listener:
            await response.prepare(request)
            # Whoever closes the page has heard enough.
            with suppress(ConnectionError):
                await response.write(b": the folder is watched\n\n")
                while not listener.over:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(KEEPALIVE_S):
                            await listener.news.wait()
                    await response.write(self._news(listener))
                await response.write_eof()
        return response

    def _news(self, listener: Listener) -> bytes:
        rows, gone = listener.fetch()
        if not rows and not gone:
            return sse.COMMENT_KEEPALIVE
        change = Change(self.index.total, self.index.indexed, rows, gone)
        return sse.encode(_encode(change), b"rows")

    # ---------------------------------------------------------------- one turn

    async def _turn(self, request: web.Request, name: str) -> web.StreamResponse:
        listed = await self._found(name)
        entry = self.index.entry(listed)
        if entry is None:
            (read, *_) = await self.index.read([listed])
            entry = read.entry
        later = self.index.later(listed.name, entry.calls)[:_LATER_READ]
        version = version_of(listed, entry.row.status, later)
        if request.query.get("since", "") == str(version):
            return _json({"version": version})
        job = Document(file_of(listed), entry.row, version, list(map(file_of, later)))
        return await _sent(request, await self._reading.do(job), "application/json")

    async def _raw(self, request: web.Request, name: str) -> web.StreamResponse:
        listed = await self._found(name)
        body = await self._reading.do(Plain(file_of(listed)))
        saved = f'attachment; filename="{listed.name}.ndjson"'
        return await _sent(request, body, "application/x-ndjson", saved)

    async def _export(self, request: web.Request, name: str) -> web.StreamResponse:
        form = request.query.get("as", "")
        if form not in FORMS:
            words = f"There is no such form. Known: {', '.join(FORMS)}."
            return _refused(request, 400, words)
        body = await self._reading.do(Export(file_of(await self._found(name)), form))
        return await _sent(request, body, "text/plain; charset=utf-8")

    async def _found(self, name: str) -> Listed:
        listed = await asyncio.to_thread(self._folder.find, name)
        if listed is None:
            raise Absent("There is no such capture in the folder (any more).")
        return listed


def version_of(listed: Listed, status: str, later: list[Listed]) -> int:
    """A number that is another one when the document is; below 2**53, as JavaScript has them."""
    known = (listed.bytes, listed.changed, status, [one.name for one in later])
    return int.from_bytes(hashlib.sha256(_encode(known)).digest()[:6], "big")


def _list_of(known: dict[str, Any], rows: list[Any]) -> bytes:
    """In pieces, between which others get their time."""
    pieces = [_encode(rows[begin : begin + _ROWS])[1:-1] for begin in range(0, len(rows), _ROWS)]
    return _encode(known)[:-1] + b',"turns":[' + b",".join(pieces) + b"]}"


async def _sent(
    request: web.Request, body: bytes, kind: str, disposition: str = ""
) -> web.StreamResponse:
    """Send what may be large, in steps: other streams pass between them."""
    response = web.StreamResponse(headers={"Content-Type": kind})
    response.content_length = len(body)
    if disposition:
        response.headers["Content-Disposition"] = disposition
    await response.prepare(request)
    whole = memoryview(body)
    # Whoever chose another turn meanwhile does not want the rest.
    with suppress(ConnectionError):
        for begin in range(0, len(body), _STEP):
            await response.write(whole[begin : begin + _STEP])
        await response.write_eof()
    return response


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=_encode(value), status=status, content_type="application/json", headers=headers
    )


def _refused(
    request: web.Request, status: int, words: str, headers: dict[str, str] | None = None
) -> web.Response:
    """A refusal: a page for a person who opens it, JSON for the page's own requests."""
    if request.path == PATH:
        page = page_of(words)
        return web.Response(
            text=page, status=status, content_type="text/html", charset="utf-8", headers=headers
        )
    return _json({"error": words}, status, headers)


async def _sign(request: web.Request, response: web.StreamResponse) -> None:
    if request.path != PATH and not request.path.startswith(f"{PATH}/"):
        return
    for name in [name for name in response.headers if name.lower().startswith("access-control-")]:
        del response.headers[name]
    response.headers.update(HEADERS)
