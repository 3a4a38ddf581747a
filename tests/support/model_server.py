"""A Responses server that does everything right, and servers that each do one thing wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web

from anyturn.checker.client import CheckClient
from anyturn.checker.run import ServerCheck
from anyturn.conformance import CLIENTS
from anyturn.conformance.live_report import LiveReport
from anyturn.conformance.probes import UNKNOWN_MODEL, WORD
from support.bent_streams import Defect
from support.responses_streams import as_sse, call, freeform, message, reasoning, stream

JSON = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
SSE = "text/event-stream"


def good_answer(body: JSON) -> list[JSON]:
    """The events with which a model does what a probe asks."""
    tools = [tool.get("name") for tool in body.get("tools", ())]
    asked = str(body["input"])
    if WORD in asked:
        return stream(message(f"Sunny, and the word is {WORD}."))
    if "write_note" in tools:
        return stream(freeform("hello", "write_note"))
    if "mcp__docs" in tools:
        return stream(call('{"query":"tea"}', "search", namespace="mcp__docs"))
    if "get_time" in tools:
        return stream(call("{}", "get_time"))
    if "get_weather" in tools:
        cities = ("Paris", "Rome", "Oslo") if "three times" in asked else ("Paris",)
        calls = [
            call(f'{{"city":"{city}"}}', "get_weather", number=number)
            for number, city in enumerate(cities, 1)
        ]
        return stream(*calls)
    if "text" in body:
        return stream(message('{"city":"Paris"}'))
    if "reasoning" in body:
        return stream(reasoning(), message("3"))
    return stream(message("ready"))


class ModelServer:
    """Answers the probes. Override a method to do something wrong."""

    def __init__(self) -> None:
        self.requests: list[JSON] = []
        self.headers: list[JSON] = []
        self.paths: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        self.paths.append(f"{request.method} {request.path}")
        if request.path.endswith("/models"):
            return await self.models(request)
        if request.method == "GET":
            return await self.socket(request)
        try:
            body = msgspec.json.decode(await request.read())
        except msgspec.DecodeError:
            return refusal(400, "The body is no JSON.")
        self.requests.append(body)
        if body["model"] == UNKNOWN_MODEL:
            return refusal(404, "There is no such model.")
        return await self.answer(request, body)

    async def models(self, request: web.Request) -> web.StreamResponse:
        return json_answer({"object": "list", "data": [{"id": "m", "object": "model"}]})

    async def socket(self, request: web.Request) -> web.StreamResponse:
        return refusal(426, "No WebSocket here.")

    async def answer(self, request: web.Request, body: JSON) -> web.StreamResponse:
        if body["stream"] is False:
            return json_answer(self.events(body)[-1]["response"])
        return web.Response(body=as_sse(self.events(body)), content_type=SSE)

    def events(self, body: JSON) -> list[JSON]:
        return good_answer(body)


class DefectServer(ModelServer):
    """Sends the bad stream of a defect for the one probe that it fits, `fits`."""

    def __init__(self, defect: Defect) -> None:
        super().__init__()
        self._known = defect.bad_known
        bad = defect.bad if isinstance(defect.bad, bytes) else as_sse(defect.bad)
        self.fits = "text"
        for word, probe, name in (
            (b"mcp__docs", "namespace tool", b"search"),
            (b"apply_patch", "custom tool", b"write_note"),
            (b"exec_command", "one call", b"get_weather"),
            (b"functions.run", "one call", b"functions.run"),
        ):
            # A call that came as text is cut by its deltas, and stays as it is.
            if word in bad and defect.rule != "items.call-as-text":
                self.fits = probe
                bad = bad.replace(word, name) if probe != "namespace tool" else bad
                break
        self._bad = bad

    async def answer(self, request: web.Request, body: JSON) -> web.StreamResponse:
        if not body["stream"] or not self._is_mine(body):
            return await super().answer(request, body)
        headers = {"Content-Type": SSE, **self._known.get("headers", {})}
        headers = {name.title(): value for name, value in headers.items()}
        return web.Response(body=self._bad, status=self._known.get("status", 200), headers=headers)

    def _is_mine(self, body: JSON) -> bool:
        asked = str(body["input"])
        tools = [tool.get("name") for tool in body.get("tools", ())]
        return {
            "text": "single word" in asked,
            "one call": tools == ["get_weather"] and "three" not in asked and WORD not in asked,
            "custom tool": tools == ["write_note"],
            "namespace tool": tools == ["mcp__docs"],
        }[self.fits]


def json_answer(body: JSON, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json"
    )


def refusal(status: int, words: str) -> web.Response:
    error = {"message": words, "type": "invalid_request_error", "param": None, "code": None}
    return json_answer({"error": error}, status)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """Serve on a free port; gives the base address."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serving_bytes(answer: bytes, *, drops: bool = True) -> AsyncIterator[str]:
    """A socket that answers every request with these bytes, and then closes or stays silent."""
    silent = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        await writer.drain()
        if not drops:
            await silent.wait()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        silent.set()
        server.close()


async def check(base_url: str, *clients: str, **options: Any) -> LiveReport:
    """Check a server for these clients, by default for all."""
    model = options.pop("model", "")
    options = {"timeout_s": 20.0, "user_agent": "anyturn-check/test", **options}
    async with CheckClient(base_url, **options) as client:
        return await ServerCheck(base_url, client, clients or tuple(CLIENTS), model=model).run()
