"""Routes of stored responses: fetch, follow, cancel, delete, and list what was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from aiohttp import web

from anyturn.background import Background, Job, unpack_events
from anyturn.errors import Kind, TurnError
from anyturn.memory import Memory, readable
from anyturn.server.callers import caller_of
from anyturn.server.dialect import dialect_of
from anyturn.server.listing import page_of
from anyturn.server.replies import json_reply, stream_reply
from anyturn.store.records import StoredResponse
from anyturn.translate.inclusion import response_without_seals
from anyturn.translate.retelling import retell
from anyturn.wire import responses as r

JSON = dict[str, Any]

_UNFINISHED = frozenset({"queued", "in_progress"})
_SEALS = "reasoning.encrypted_content"


class StoredRoutes:
    """`/v1/responses/{id}` and below."""

    def __init__(
        self,
        memory: Memory,
        background: Background,
        keepalive_s: float,
        *,
        open_reasoning_names: bool = False,
    ) -> None:
        self._memory = memory
        self._open_names = open_reasoning_names
        self._background = background
        self._keepalive_s = keepalive_s

    def add_to(self, app: web.Application, prefix: str) -> None:
        """Register the routes."""
        path = f"{prefix}/responses/{{id}}"
        app.router.add_get(path, self.fetch, allow_head=False)
        app.router.add_delete(path, self.delete)
        app.router.add_post(f"{path}/cancel", self.cancel)
        app.router.add_get(f"{path}/input_items", self.input_items, allow_head=False)

    async def fetch(self, request: web.Request) -> web.StreamResponse:
        """`GET /v1/responses/{id}`: as it is now, or as a stream with `stream=true`."""
        owner, response_id = caller_of(request).owner, request.match_info["id"]
        after = _starting_after(request)
        job = self._background.find(owner, response_id)
        streams = request.query.get("stream") == "true"
        if job is not None and streams:
            keepalive = dialect_of(request.headers).keepalive
            return await stream_reply(request, job.follow(after, keepalive, self._keepalive_s))
        if job is not None:
            return json_reply(_visible(job, request))
        stored, body = await self._stored(request)
        if streams:
            return await stream_reply(
                request, _once(_retold(stored, body, after, self._open_names))
            )
        return json_reply(body)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """`DELETE /v1/responses/{id}`: forget it; one that runs here is cancelled before.

        Refuses one that runs in another gateway, which would store it again.
        """
        owner, response_id = caller_of(request).owner, request.match_info["id"]
        await self._background.forget(owner, response_id)
        if await self._runs_elsewhere(request):
            raise _refuse("this response runs in another gateway; cancel it first")
        await self._memory.forget_response(owner, response_id)
        return json_reply({"id": response_id, "object": "response", "deleted": True})

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/responses/{id}/cancel`: stop a background response.

        One that another gateway runs is still in progress in the answer, and cancelled soon.
        """
        owner, response_id = caller_of(request).owner, request.match_info["id"]
        job = await self._background.cancel(owner, response_id)
        if job is not None:
            return json_reply(_visible(job, request))
        _, body = await self._stored(request)
        if not body.get("background"):
            raise _refuse("only background responses can be cancelled")
        if body.get("status") in _UNFINISHED:
            await self._background.ask_to_cancel(owner, response_id)
        return json_reply(body)

    async def input_items(self, request: web.Request) -> web.StreamResponse:
        """`GET /v1/responses/{id}/input_items`: what the request itself added."""
        page = page_of(request)
        stored = await self._memory.response(caller_of(request).owner, request.match_info["id"])
        items = readable(stored.input, list[JSON], f"the input of {stored.id[:80]!r}")
        return json_reply(page.cut(items))

    async def _runs_elsewhere(self, request: web.Request) -> bool:
        try:
            _, body = await self._stored(request)
        except TurnError as error:
            if error.kind is Kind.STORE_FAILED:
                # What is damaged runs nowhere. If it is the store, deleting will say so.
                return False
            raise
        return body.get("status") in _UNFINISHED

    async def _stored(self, request: web.Request) -> tuple[StoredResponse, JSON]:
        """A response as it was stored, and as this request may see it."""
        owner, response_id = caller_of(request).owner, request.match_info["id"]
        stored = await self._memory.response(owner, response_id)
        if _status(stored) in _UNFINISHED and await self._background.is_lost(owner, stored):
            # It may have been finished since, and then nobody beats for it any more.
            stored = await self._memory.response(owner, response_id)
            if _status(stored) in _UNFINISHED:
                return stored, self._background.lost(_body(stored))
        body = _body(stored)
        if not _asks_for_seals(request):
            for item in body["output"]:
                if item["type"] == "reasoning":
                    item.pop("encrypted_content", None)
        return stored, body


class _Checked(msgspec.Struct):
    """What must be right in a stored response before anything is told of it."""

    status: str
    output: list[r.Item]


def _status(stored: StoredResponse) -> str:
    return readable(stored.body, _Checked, f"the response {stored.id[:80]!r}").status


def _body(stored: StoredResponse) -> JSON:
    return readable(stored.body, JSON, f"the response {stored.id[:80]!r}")


def _visible(job: Job, request: web.Request) -> Any:
    return job.response if _asks_for_seals(request) else response_without_seals(job.response)


def _asks_for_seals(request: web.Request) -> bool:
    asked = [*request.query.getall("include", []), *request.query.getall("include[]", [])]
    return _SEALS in asked


def _starting_after(request: web.Request) -> int:
    """The number behind which a stream begins; -1 for its beginning."""
    given = request.query.get("starting_after", "-1")
    if given != "-1" and not (given.isascii() and given.isdigit() and len(given) < 16):
        raise _refuse("starting_after must be the number of an event", "starting_after")
    return int(given)


def _retold(stored: StoredResponse, body: JSON, after: int, open_names: bool) -> bytes:
    """The stored stream where there is one, else the response told once more."""
    if stored.events:
        return unpack_events(stored.events, after)
    told = [
        event
        for event in retell(body, open_reasoning_names=open_names)
        if event["sequence_number"] > after
    ]
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event))
        for event in told
    )


async def _once(block: bytes) -> AsyncIterator[bytes]:
    yield block


def _refuse(message: str, param: str | None = None) -> TurnError:
    return TurnError(Kind.INVALID_REQUEST, f"Invalid request: {message}.", param=param)
