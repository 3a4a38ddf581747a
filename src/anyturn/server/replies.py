"""The forms in which answers leave: JSON, and event streams that are not a turn's own."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from anyturn.wire.responses import encode_json

EVENT_STREAM = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    # Tells reverse proxies not to collect the stream.
    "X-Accel-Buffering": "no",
}


def json_reply(
    body: object, *, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """One JSON body."""
    return web.Response(
        body=encode_json(body),
        status=status,
        headers=headers,
        content_type="application/json",
    )


async def stream_reply(request: web.Request, blocks: AsyncIterator[bytes]) -> web.StreamResponse:
    """An event stream of these blocks, each written when it comes and the client has room."""
    response = web.StreamResponse(headers=EVENT_STREAM)
    await response.prepare(request)
    async for block in blocks:
        await response.write(block)
    await response.write_eof()
    return response
