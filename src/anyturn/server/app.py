"""The routes that clients call, and errors in OpenAI's envelope."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

import anyturn
from anyturn.background import Background
from anyturn.codex.catalogue import Catalogue
from anyturn.errors import Fault, Kind, TurnError
from anyturn.gateway import BROKEN, Gateway
from anyturn.own_faults import where_from
from anyturn.server.absent import why_absent
from anyturn.server.body import read_body
from anyturn.server.callers import caller_of
from anyturn.server.conversations import ConversationRoutes
from anyturn.server.dialect import dialect_of
from anyturn.server.replies import json_reply, stream_reply
from anyturn.server.sinks import Collected, EventStream
from anyturn.server.stored import StoredRoutes
from anyturn.server.websocket import Sockets
from anyturn.translate.adaptations import HEADER, header_value
from anyturn.translate.compaction import with_trigger
from anyturn.translate.usage import estimate_usage
from anyturn.wire import responses as r
from anyturn.wire.request import parse_request

log = logging.getLogger("anyturn")

_ROUTES = (
    *("POST /v1/responses", "POST /v1/responses/compact", "POST /v1/responses/input_tokens"),
    *("GET /v1/responses/{id}", "POST /v1/conversations", "GET /v1/models", "GET /health"),
)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Answers the HTTP requests of Responses clients."""

    def __init__(
        self,
        gateway: Gateway,
        catalogue: Catalogue,
        background: Background,
        *,
        max_body_bytes: int,
        keepalive_s: float,
        websocket: bool = True,
    ) -> None:
        self._gateway = gateway
        self._catalogue = catalogue
        self._background = background
        self._max_body_bytes = max_body_bytes
        self._keepalive_s = keepalive_s
        self._websocket = websocket
        self.sockets = Sockets(gateway, max_body_bytes=max_body_bytes, keepalive_s=keepalive_s)

    def app(self) -> web.Application:
        """The aiohttp application. Run it behind `connections.Listener`."""
        app = web.Application(
            middlewares=[errors_in_envelopes], client_max_size=self._max_body_bytes
        )
        app.on_response_prepare.append(_sign)
        stored = StoredRoutes(
            self._gateway.memory,
            self._background,
            self._keepalive_s,
            open_reasoning_names=self._gateway.open_reasoning_names,
        )
        conversations = ConversationRoutes(self._gateway.memory, self._max_body_bytes)
        for prefix in ("/v1", ""):
            stored.add_to(app, prefix)
            conversations.add_to(app, prefix)
            app.router.add_post(f"{prefix}/responses", self.create_response)
            app.router.add_post(f"{prefix}/responses/compact", self.compact)
            app.router.add_post(f"{prefix}/responses/input_tokens", self.count_input)
            app.router.add_get(f"{prefix}/responses", self.open_websocket, allow_head=False)
            app.router.add_get(f"{prefix}/models", self.list_models)
        app.router.add_get("/health", self.health)
        return app

    # ---------------------------------------------------------------- handlers

    async def create_response(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/responses`: one turn, streamed or not."""
        body = parse_request(await read_body(request, self._max_body_bytes))
        if body.get("background"):
            return await self._begin(request, body)
        if body.get("stream"):
            return await self._stream(request, body)
        return await self._answer(request, body)

    async def count_input(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/responses/input_tokens`: an estimate, which says that it is one."""
        body = parse_request(await read_body(request, self._max_body_bytes))
        turn = await self._gateway.prepare(body, caller_of(request))
        tokens = estimate_usage(len(turn.asked_body), 0).input_tokens
        return json_reply(
            {"object": "response.input_tokens", "input_tokens": tokens, "estimated": True}
        )

    async def compact(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/responses/compact`: one compaction item for the whole input (F62)."""
        body = parse_request(await read_body(request, self._max_body_bytes))
        sink = Collected()
        whole = await self._gateway.run(with_trigger(body), sink, caller_of(request))
        compacted = r.CompactedResponse(
            id=whole.id, created_at=whole.created_at, output=whole.output, usage=whole.usage
        )
        return json_reply(compacted, headers=_adapted(sink))

    async def open_websocket(self, request: web.Request) -> web.StreamResponse:
        """`GET /v1/responses`: turns over a WebSocket, or 426, on which Codex posts (F66)."""
        if request.headers.get("Upgrade", "").strip().lower() != "websocket":
            raise web.HTTPMethodNotAllowed(request.method, ["POST"])
        if not self._websocket:
            raise TurnError(
                Kind.UPGRADE_REFUSED,
                "This gateway speaks HTTP only (websocket = false). Send POST /v1/responses.",
            )
        return await self.sockets.serve(request)

    async def list_models(self, request: web.Request) -> web.StreamResponse:
        """`GET /v1/models`: OpenAI's list and Codex's catalogue in one body (F69)."""
        return json_reply(await self._catalogue.listing())

    async def health(self, request: web.Request) -> web.StreamResponse:
        """`GET /health`: that it runs, what it is, and where it sends turns."""
        target = self._gateway.routing.default
        return json_reply(
            {
                "status": "healthy",
                "version": anyturn.__version__,
                "provider": target.profile.name,
                "model": target.model or None,
            }
        )

    # ---------------------------------------------------------------- turns

    async def _stream(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        dialect = dialect_of(request.headers)
        async with EventStream(request, dialect, self._keepalive_s) as sink:
            await self._gateway.run(body, sink, caller_of(request))
            await sink.finish()
            return sink.response

    async def _begin(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        """Begin a background response; it is queued, or followed from its beginning."""
        is_followed = bool(body.get("stream"))
        job = await self._background.start(body, caller_of(request))
        if not is_followed:
            return json_reply(job.response)
        keepalive = dialect_of(request.headers).keepalive
        return await stream_reply(request, job.follow(-1, keepalive, self._keepalive_s))

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        sink = Collected()
        response = await self._gateway.run(body, sink, caller_of(request))
        return json_reply(response, headers=_adapted(sink))


def _adapted(sink: Collected) -> dict[str, str]:
    return {HEADER: header_value(sink.adaptations)} if sink.adaptations else {}


async def _sign(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = f"anyturn/{anyturn.__version__}"


@web.middleware
async def errors_in_envelopes(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Every error leaves as OpenAI's envelope, with the status and code that clients act on."""
    try:
        return await handler(request)
    except TurnError as error:
        if error.kind.fault is not Fault.PROVIDER:
            log.info("%s %s refused: %s", request.method, request.path, error.message)
        return error_response(error)
    except web.HTTPNotFound:
        message = f"{why_absent(request.path)} Routes: {', '.join(_ROUTES)}."
        return error_response(TurnError(Kind.NOT_FOUND, message))
    except web.HTTPMethodNotAllowed as refused:
        allowed = ", ".join(sorted(refused.allowed_methods))
        message = f"{request.path} does not take {request.method}, only {allowed}."
        response = error_response(TurnError(Kind.METHOD_NOT_ALLOWED, message))
        response.headers["Allow"] = allowed
        return response
    except ConnectionError:
        # The client left while it was being written to: nobody is there to be told.
        raise
    except Exception as error:
        where = where_from(error)
        log.error("the gateway itself failed at %s %s\n%s", request.method, request.path, where)
        return error_response(TurnError(Kind.GATEWAY_BROKEN, BROKEN))


def error_response(error: TurnError) -> web.Response:
    """The HTTP answer for an error."""
    seconds = error.retry_after_header
    headers = {"Retry-After": seconds} if seconds is not None else {}
    if error.kind is Kind.KEY_REFUSED:
        # RFC 9110 section 11.6.1: a 401 says which scheme would do.
        headers["WWW-Authenticate"] = "Bearer"
    return json_reply(error.envelope(), status=error.kind.status, headers=headers)
