"""Routes of stored responses: fetch, follow, cancel, delete, and list what was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from aiohttp import web

from anyturn.background import Background, Job, unpack_events
from anyturn.errors import Kind, TurnError
from anyturn.memory import Memory
from anyturn.server.callers import caller_of
from anyturn.server.listing import page_of
from anyturn.server.replies import EVENT_STREAM, json_reply
from anyturn.store.records import StoredResponse
from anyturn.translate.inclusion import response_without_seals
from anyturn.translate.retelling import retell

JSON = dict[str, Any]

_UNFINISHED = frozenset({"queued", "in_progress"})
_SEALS = "reasoning.encrypted_content"


class StoredRoutes:
    """`/v1/responses/{id}` and below."""

    def __init__(
        self, memory: Memory, background: Background, *, open_reasoning_names: bool = False
    ) -> None:
        self._memory = memory
        self._open_names = open_reasoning_names
        self._background = background

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
        if request.query.get("stream") == "true":
            if job is not None:
                return await _send(request, job.follow(after))
            stored = await self._memory.response(owner, response_id)
            body = await self._body(request, stored)
            return await _send(request, _retold(stored, body, after, self._open_names))
        if job is not None:
            return json_reply(_visible(job, request))
        stored = await self._memory.response(owner, response_id)
        return json_reply(await self._body(request, stored))

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """`DELETE /v1/responses/{id}`: forget it; one that runs is cancelled."""
        owner, response_id = caller_of(request).owner, request.match_info["id"]
        await self._background.cancel(owner, response_id)
        await self._memory.forget_response(owner, response_id)
        return json_reply({"id": response_id, "object": "response", "deleted": True})

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/responses/{id}/cancel`: stop a background response."""
        owner, response_id = caller_of(request).owner, request.match_info["id"]
        await self._background.cancel(owner, response_id)
        stored = await self._memory.response(owner, response_id)
        body = await self._body(request, stored)
        if not body.get("background"):
            sentence = "Invalid request: only background responses can be cancelled."
            raise TurnError(Kind.INVALID_REQUEST, sentence)
        return json_reply(body)

    async def input_items(self, request: web.Request) -> web.StreamResponse:
        """`GET /v1/responses/{id}/input_items`: what the request itself added."""
        page = page_of(request)
        stored = await self._memory.response(caller_of(request).owner, request.match_info["id"])
        return json_reply(page.cut(msgspec.json.decode(stored.input, type=list[JSON])))

    async def _body(self, request: web.Request, stored: StoredResponse) -> JSON:
        body = msgspec.json.decode(stored.body, type=JSON)
        owner = caller_of(request).owner
        if body.get("status") in _UNFINISHED and await self._background.is_lost(owner, stored.id):
            body = self._background.lost(body)
        if not _asks_for_seals(request):
            for item in body.get("output") or ():
                if item.get("type") == "reasoning":
                    item.pop("encrypted_content", None)
        return body


def _visible(job: Job, request: web.Request) -> Any:
    return job.response if _asks_for_seals(request) else response_without_seals(job.response)


def _asks_for_seals(request: web.Request) -> bool:
    asked = [*request.query.getall("include", []), *request.query.getall("include[]", [])]
    return _SEALS in asked


def _starting_after(request: web.Request) -> int:
    """The number behind which a stream begins; -1 for its beginning."""
    given = request.query.get("starting_after", "-1")
    if given != "-1" and not (given.isascii() and given.isdigit() and len(given) < 16):
        message = "Invalid request: starting_after must be the number of an event."
        raise TurnError(Kind.INVALID_REQUEST, message, param="starting_after")
    return int(given)


async def _retold(
    stored: StoredResponse, body: JSON, after: int, open_names: bool
) -> AsyncIterator[bytes]:
    """The stored stream where there is one, else the response told once more."""
    if stored.events:
        yield unpack_events(stored.events, after)
        return
    for event in retell(body, open_reasoning_names=open_names):
        if event["sequence_number"] > after:
            name = event["type"].encode()
            yield b"event: " + name + b"\ndata: " + msgspec.json.encode(event) + b"\n\n"


async def _send(request: web.Request, blocks: AsyncIterator[bytes]) -> web.StreamResponse:
    response = web.StreamResponse(headers=EVENT_STREAM)
    await response.prepare(request)
    async for block in blocks:
        await response.write(block)
    await response.write_eof()
    return response
