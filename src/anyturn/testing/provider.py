"""A Chat Completions provider that answers from a script, over real HTTP on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import msgspec
from aiohttp import web

from anyturn.testing.history import Rules, check_request
from anyturn.testing.script import (
    JSON,
    JSON_TYPE,
    Answer,
    Dropped,
    Entry,
    Raw,
    Recorded,
    Refusal,
    Reply,
    ScriptError,
    Sending,
    Stamp,
    openai_error,
    sending,
)

# Well over any request of Codex, images included.
_MAX_BODY_BYTES = 256 * 1024 * 1024
_PATIENCE = 10.0

OnChunk = Callable[[int, bytes], None]


@dataclass(slots=True, eq=False)
class ReceivedRequest:
    """One POST for an answer, numbered from 1 in order of arrival, and how it ended.

    `body` is empty when the bytes are no JSON object. Times are of the running event loop.
    """

    number: int
    raw: bytes
    body: JSON
    headers: Mapping[str, str]
    refusal: str | None = None
    """Why the provider refused it unasked; a scripted `Refusal` is no refusal in this sense."""
    finished: bool = False
    """The script's answer was sent to its end."""
    cancelled: bool = False
    """The client left before that."""
    cancelled_at: float | None = None

    @property
    def messages(self) -> list[JSON]:
        """The history that came."""
        messages: list[JSON] = self.body.get("messages", [])
        return messages

    @property
    def items(self) -> list[JSON]:
        """The input that came, at a server of the Responses API."""
        items: list[JSON] = self.body.get("input", [])
        return items

    @property
    def tools(self) -> list[JSON]:
        """The tools that came."""
        tools: list[JSON] = self.body.get("tools", [])
        return tools


class ScriptedProvider:
    """Serve a script to any number of clients; an async context manager.

    Each request takes the next entry of the script in order of arrival; an iterator may be
    endless. `strict` refuses what a strict provider refuses (`history.check_request`; pass `Rules`
    to loosen it) and every model outside `models`, with OpenAI's envelope and without using up an
    entry. Such refusals, and requests after the end of the script, stand in `refusals`: a test
    that expects none asserts that the list is empty. With `api_key`, requests need it as bearer.
    `on_chunk` is called with the request's number and each chunk after it was sent.
    """

    _path = "/v1/chat/completions"

    def __init__(
        self,
        script: Iterable[Entry],
        *,
        strict: bool | Rules = True,
        api_key: str | None = None,
        models: Iterable[str] = ("gpt-oss-120b",),
        host: str = "127.0.0.1",
        port: int = 0,
        on_chunk: OnChunk | None = None,
    ) -> None:
        self.requests: list[ReceivedRequest] = []
        self.refusals: list[str] = []
        self._script: Iterator[Entry] = iter(script)
        self._rules = Rules() if strict is True else strict or None
        self._api_key = api_key
        self._models = tuple(models)
        self._address = (host, port)
        self._on_chunk = on_chunk
        self._calls = 0
        self._released: set[int] = set()
        self._news = asyncio.Event()
        self._answering: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._runner: web.AppRunner | None = None

    # -- life

    async def start(self) -> None:
        """Listen. `async with` does this."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_post(self._path, self._chat)
        app.router.add_get("/v1/models", self._list_models)
        # Without handler_cancellation a client that leaves during silence goes unnoticed (F73).
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=5.0
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, *self._address).start()
        self._address = self._runner.addresses[0][:2]

    async def aclose(self) -> None:
        """Stop at once; answers on their way, held ones too, are broken off."""
        self._closing = True
        self._announce()
        for task in self._answering:
            task.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def base_url(self) -> str:
        """What a client is configured with: `http://127.0.0.1:PORT/v1`."""
        host, port = self._address
        return f"http://{host}:{port}/v1"

    # -- what a test waits for

    async def request(self, number: int, timeout: float = _PATIENCE) -> ReceivedRequest:
        """Wait for a request, counted from 1. Raises `TimeoutError` after so many seconds."""
        await self._until(
            lambda: len(self.requests) >= number, timeout, f"request {number} did not come"
        )
        return self.requests[number - 1]

    async def finished(self, number: int, timeout: float = _PATIENCE) -> ReceivedRequest:
        """Wait until a request was answered to its end. Raises as `request` does."""
        request = await self.request(number, timeout)
        await self._until(
            lambda: request.finished, timeout, f"request {number} was not answered to its end"
        )
        return request

    async def cancelled(self, number: int, timeout: float = _PATIENCE) -> ReceivedRequest:
        """Wait until the client of a request has left.

        Raises `RuntimeError` when the answer was sent to its end before that, and otherwise as
        `request` does.
        """
        request = await self.request(number, timeout)
        await self._until(
            lambda: request.cancelled or request.finished,
            timeout,
            f"the client of request {number} did not leave",
        )
        if request.finished:
            raise RuntimeError(
                f"request {number} was answered to its end, its client did not leave"
            )
        return request

    def release(self, number: int | None = None) -> None:
        """Let a held answer go on, by default those of all requests that have come.

        An answer may be released before it is held.
        """
        self._released.update(range(1, len(self.requests) + 1) if number is None else [number])
        self._announce()

    async def _until(self, test: Callable[[], bool], timeout: float, complaint: str) -> None:
        try:
            async with asyncio.timeout(timeout):
                while not test():
                    if self._closing:
                        raise RuntimeError(f"{complaint} before the provider was closed")
                    await self._news.wait()
        except TimeoutError:
            came = len(self.requests)
            refused = "".join(f"; refused: {sentence}" for sentence in self.refusals)
            raise TimeoutError(f"{complaint} within {timeout:g} s ({came} came{refused})") from None

    def _announce(self) -> None:
        # Waiters of the old event wake up, look, and wait for the next one.
        news, self._news = self._news, asyncio.Event()
        news.set()

    # -- one request

    async def _chat(self, http: web.Request) -> web.StreamResponse:
        raw = await http.read()
        request = ReceivedRequest(len(self.requests) + 1, raw, _decoded(raw), http.headers.copy())
        self.requests.append(request)
        self._announce()
        task = asyncio.current_task()
        assert task is not None
        self._answering.add(task)
        try:
            response = await self._reply(http, request)
            request.finished = True
        except (asyncio.CancelledError, ConnectionError):
            if not self._closing:
                request.cancelled = True
                request.cancelled_at = asyncio.get_running_loop().time()
            raise
        finally:
            self._answering.discard(task)
            self._announce()
        return response

    async def _reply(self, http: web.Request, request: ReceivedRequest) -> web.StreamResponse:
        reply = self._decide(request)
        if isinstance(reply, Dropped):
            return _closed(http, web.Response())
        if isinstance(reply, Refusal):
            return _refusal(reply)
        try:
            leaving = self._sending(request, reply)
        except (ScriptError, OSError) as error:
            return _refusal(self._refuse(400, str(error), request, code="script_error"))
        return await self._send(http, request, leaving)

    def _sending(self, request: ReceivedRequest, reply: Answer | Raw | Recorded) -> Sending:
        return sending(reply, self._stamp(request, reply))

    async def _send(
        self, http: web.Request, request: ReceivedRequest, leaving: Sending
    ) -> web.StreamResponse:
        response = web.StreamResponse(
            status=leaving.status,
            headers={"Content-Type": leaving.content_type, "Cache-Control": "no-cache"},
        )
        await response.prepare(http)
        for sent, frame in enumerate((*leaving.frames, None)):
            if sent == leaving.cut_after:
                return _closed(http, response)
            if sent == leaving.hold_after:
                await self._held(request)
            if frame is None:
                break
            if sent and leaving.pace:
                await asyncio.sleep(leaving.pace)
            await response.write(frame)
            if self._on_chunk is not None:
                self._on_chunk(request.number, frame)
        return response

    async def _held(self, request: ReceivedRequest) -> None:
        while request.number not in self._released:
            await self._news.wait()

    # -- what to answer

    def _decide(self, request: ReceivedRequest) -> Answer | Raw | Recorded | Refusal | Dropped:
        refusal = self._unauthorised(request.headers, request) or self._invalid(request)
        if refusal is not None:
            return refusal
        entry = next(self._script, None)
        if entry is None:
            return self._refuse(
                400,
                f"the script of this provider is exhausted: request {request.number} has no entry",
                request,
                code="script_exhausted",
            )
        try:
            reply: Reply = entry(request.body) if callable(entry) else entry
        except Exception as error:
            # Most likely an assertion of the test: a 500 would be tried again and hide it.
            sentence = f"the script's entry raised {type(error).__name__}: {error}"
            return self._refuse(400, sentence, request, code="script_error")
        if isinstance(reply, Answer | Raw | Recorded | Refusal | Dropped):
            return reply
        return Answer(reply)

    def _unauthorised(
        self, headers: Mapping[str, str], request: ReceivedRequest | None = None
    ) -> Refusal | None:
        if self._api_key is None:
            return None
        given = headers.get("Authorization", "")
        if given == f"Bearer {self._api_key}":
            return None
        sentence = "Incorrect API key provided."
        if not given.removeprefix("Bearer").strip():
            sentence = (
                "You didn't provide an API key. You need to provide your API key in an "
                "Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
            )
        return self._refuse(401, sentence, request, code="invalid_api_key")

    def _invalid(self, request: ReceivedRequest) -> Refusal | None:
        if not request.body:
            sentence = "We could not parse the JSON body of your request."
            return self._refuse(400, sentence, request)
        if self._rules is None:
            return None
        refusal = check_request(request.body, self._rules)
        if refusal is not None:
            return self._refuse(400, refusal, request)
        model = request.body["model"]
        if self._models and model not in self._models:
            sentence = f"The model `{model}` does not exist or you do not have access to it."
            return self._refuse(404, sentence, request, code="model_not_found")
        return None

    def _refuse(
        self,
        status: int,
        sentence: str,
        request: ReceivedRequest | None,
        *,
        code: str | None = None,
    ) -> Refusal:
        self.refusals.append(sentence)
        if request is not None:
            request.refusal = sentence
        return Refusal(status, self._error(sentence, code))

    def _error(self, sentence: str, code: str | None) -> JSON:
        return openai_error(sentence, code=code)

    def _stamp(self, request: ReceivedRequest, reply: Answer | Raw | Recorded) -> Stamp:
        first_call = self._calls + 1
        if isinstance(reply, Answer):
            self._calls += len(reply.calls)
        options = request.body.get("stream_options") or {}
        return Stamp(
            number=request.number,
            model=str(request.body.get("model")),
            first_call=first_call,
            prompt_tokens=len(request.raw) // 4 + 1,
            include_usage=options.get("include_usage") is True,
            stream=request.body.get("stream") is True,
        )

    # -- models

    async def _list_models(self, http: web.Request) -> web.Response:
        refusal = self._unauthorised(http.headers)
        if refusal is not None:
            return _refusal(refusal)
        models = [
            {"id": model, "object": "model", "created": 1_700_000_000, "owned_by": "script"}
            for model in self._models
        ]
        return _json(200, {"object": "list", "data": models})


def _decoded(raw: bytes) -> JSON:
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _closed(http: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Close the connection below a response, so that aiohttp cannot end the body properly.

    What was written is still flushed: the client sees every chunk before the end.
    """
    if http.transport is not None:
        http.transport.close()
    return response


def _refusal(refusal: Refusal) -> web.Response:
    if not isinstance(refusal.body, str):
        return _json(refusal.status, refusal.body, refusal.headers)
    kind = "text/html" if refusal.body.lstrip().startswith("<") else "text/plain"
    headers = {"Content-Type": f"{kind}; charset=utf-8", **refusal.headers}
    return web.Response(body=refusal.body.encode(), status=refusal.status, headers=headers)


def _json(status: int, body: JSON, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        headers={"Content-Type": JSON_TYPE, **(headers or {})},
    )
