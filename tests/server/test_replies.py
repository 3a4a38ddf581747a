"""Answers that are no turn's own stream."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from anyturn.server.replies import json_reply, stream_reply


def test_a_json_reply_is_compact_and_says_what_it_is() -> None:
    reply = json_reply({"ä": [1, None]}, status=404, headers={"X-A": "b"})
    assert reply.body == '{"ä":[1,null]}'.encode()
    assert (reply.status, reply.content_type, reply.headers["X-A"]) == (
        *(404, "application/json"),
        "b",
    )


async def test_a_stream_reply_sends_each_block_when_it_comes_and_ends_with_the_last() -> None:
    sent: list[bytes] = []

    async def blocks() -> AsyncIterator[bytes]:
        for number in range(3):
            block = b"data: %d\n\n" % number
            sent.append(block)
            yield block

    async def answer(request: web.Request) -> web.StreamResponse:
        return await stream_reply(request, blocks())

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestClient(TestServer(app)) as client, client.get("/") as reply:
        assert await reply.read() == b"".join(sent) and len(sent) == 3
        assert reply.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert reply.headers["Cache-Control"] == "no-cache"
        assert reply.headers["X-Accel-Buffering"] == "no"
        assert reply.status == 200
