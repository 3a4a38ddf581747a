"""The forms in which answers leave: JSON, and the headers of an event stream."""

from __future__ import annotations

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
