from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from anyturn.testing import ResponsesClient, ResponsesRefused

EVENTS = [{"type": "response.created"}, {"type": "response.completed", "text": "ü\u2028"}]


def answering(
    body: bytes, status: int = 200, content_type: str = "text/event-stream", **headers: str
) -> Any:
    async def handle(request: web.Request) -> web.Response:
        sent = {"Content-Type": content_type, **headers}
        return web.Response(body=body, status=status, headers=sent)

    return handle


async def collect(client: ResponsesClient, body: dict[str, Any]) -> list[dict[str, Any]]:
    return [event async for event in client.stream(body)]


async def test_events_come_decoded_and_in_order(serve: Any) -> None:
    server = await serve(EVENTS)
    async with ResponsesClient(server.base_url) as client:
        assert await collect(client, {"model": "m"}) == EVENTS
    assert server.bodies == [{"model": "m", "stream": True}]


async def test_comments_and_done_are_no_events(serve: Any) -> None:
    stream = b': hi\n\nevent: x\ndata: {"type":"a"}\n\ndata: [DONE]\n\n'
    server = await serve(answering(stream))
    async with ResponsesClient(server.base_url) as client:
        assert await collect(client, {}) == [{"type": "a"}]


async def test_an_event_is_yielded_while_the_stream_is_open(serve: Any) -> None:
    gone = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'data: {"type":"a"}\n\n')
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()
        return response

    server = await serve(handle)
    async with ResponsesClient(server.base_url) as client:
        async with aclosing(client.stream({})) as events:
            assert await anext(events) == {"type": "a"}
        async with asyncio.timeout(5):
            await gone.wait()


async def test_a_last_event_without_its_blank_line_is_lost_as_with_codex(serve: Any) -> None:
    """codex-cli.md section 1, scenario a38."""
    server = await serve(answering(b'data: {"type":"a"}\n\ndata: {"type":"b"}\n'))
    async with ResponsesClient(server.base_url) as client:
        assert await collect(client, {}) == [{"type": "a"}]


async def test_an_event_that_is_not_json_is_an_error(serve: Any) -> None:
    server = await serve(answering(b"data: {\n\n"))
    async with ResponsesClient(server.base_url) as client:
        with pytest.raises(msgspec.DecodeError):
            await collect(client, {})


async def test_a_broken_stream_is_an_error(serve: Any) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'data: {"type":"a"}\n\n')
        assert request.transport is not None
        request.transport.close()
        return response

    server = await serve(handle)
    async with ResponsesClient(server.base_url) as client:
        with pytest.raises(aiohttp.ClientError):
            await collect(client, {})


async def test_a_response_can_be_had_whole(serve: Any) -> None:
    server = await serve(answering(b'{"object":"response"}', content_type="application/json"))
    async with ResponsesClient(server.base_url) as client:
        assert await client.create({"model": "m"}) == {"object": "response"}
    assert server.bodies == [{"model": "m", "stream": False}]


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "create"])
@pytest.mark.parametrize(
    ("raw", "envelope", "words"),
    [
        pytest.param(
            b'{"error":{"message":"no","code":"c"}}',
            {"error": {"message": "no", "code": "c"}},
            "HTTP 429: no",
            id="an envelope",
        ),
        pytest.param(
            b"<html>", {"error": {"message": "<html>"}}, "HTTP 429: <html>", id="no envelope"
        ),
        pytest.param(
            b'{"detail":"x"}', {"detail": "x"}, "HTTP 429: {'detail': 'x'}", id="another shape"
        ),
    ],
)
async def test_an_http_error_is_raised_with_its_envelope(
    serve: Any, streamed: bool, raw: bytes, envelope: dict[str, Any], words: str
) -> None:
    server = await serve(answering(raw, 429, "application/json", **{"Retry-After": "3"}))
    async with ResponsesClient(server.base_url) as client:
        with pytest.raises(ResponsesRefused) as refused:
            await (collect(client, {}) if streamed else client.create({}))
    assert refused.value.status == 429
    assert refused.value.envelope == envelope
    assert refused.value.error == envelope.get("error", {})
    assert refused.value.headers["retry-after"] == "3"
    assert str(refused.value) == words


@pytest.mark.parametrize(
    ("api_key", "expected"), [("sk-test", "Bearer sk-test"), (None, None)], ids=["key", "none"]
)
async def test_the_key_goes_as_bearer(serve: Any, api_key: str | None, expected: Any) -> None:
    server = await serve(EVENTS)
    async with ResponsesClient(server.base_url + "/", api_key) as client:
        await collect(client, {})
    assert server.headers[0].get("Authorization") == expected


async def test_one_connection_serves_several_requests(serve: Any) -> None:
    ports: list[Any] = []

    async def handle(request: web.Request) -> web.Response:
        assert request.transport is not None
        ports.append(request.transport.get_extra_info("peername"))
        return web.Response(body=b"{}")

    server = await serve(handle, handle)
    async with ResponsesClient(server.base_url) as client:
        await client.create({})
        await client.create({})
    assert ports[0] == ports[1]


async def test_a_client_may_be_closed_unused_and_twice() -> None:
    client = ResponsesClient("http://127.0.0.1:9/v1")
    await client.aclose()
    await client.aclose()
