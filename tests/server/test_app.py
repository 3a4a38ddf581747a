from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import msgspec
import pytest
from aiohttp import web

import anyturn
from anyturn.testing import (
    Answer,
    Refusal,
    ScriptedProvider,
    call,
    openai_error,
    reasoning,
    text,
)
from anyturn.upstream import client as client_module
from anyturn.wire import sse
from support.http_clients import ASK, EVERYONE, JSON, KEY, NOTICED_S, SDK, STREAM, TOOL
from support.stream_rules import check_stream

# ---------------------------------------------------------------- turns


@pytest.mark.parametrize("path", ["/v1/responses", "/responses"])
@EVERYONE
async def test_a_streaming_turn(stage: Any, path: str, client: dict[str, str]) -> None:
    on = await stage(Answer(reasoning("Hm."), text("Hello."), call("f", {"a": 1})))
    reply = await on.post({**STREAM, "tools": [TOOL]}, path, **client)
    assert reply.status == 200
    assert reply.headers["Cache-Control"] == "no-cache"
    assert reply.headers["X-Accel-Buffering"] == "no"
    assert reply.headers["Server"] == f"anyturn/{anyturn.__version__}"
    assert [message.event for message in reply.messages] == reply.names
    check_stream(reply.events)
    assert [item["type"] for item in reply.events[-1]["response"]["output"]] == [
        "reasoning",
        "message",
        "function_call",
    ]
    assert on.provider.refusals == []


@pytest.mark.parametrize("path", ["/v1/responses", "/responses"])
async def test_a_turn_in_one_piece_is_the_terminal_snapshot_of_the_stream(
    stage: Any, path: str
) -> None:
    answer = Answer(reasoning("Hm."), text("Hello."), call("f", {"a": 1}))
    on = await stage(answer, answer)
    whole = await on.post({**ASK, "tools": [TOOL]}, path)
    streamed = await on.post({**STREAM, "tools": [TOOL]}, path)
    assert whole.status == 200
    assert whole.headers["Content-Type"] == "application/json"
    assert without_minted(whole.json) == without_minted(streamed.events[-1]["response"])


def without_minted(response: JSON) -> JSON:
    """A response without what is different in every turn."""
    response = {**response, "id": "", "created_at": 0, "completed_at": 0, "usage": None}
    response["output"] = [{**item, "id": "", "call_id": ""} for item in response["output"]]
    return response


@pytest.mark.parametrize("model", [{}, {"model": None}, {"model": ""}], ids=["no", "null", "empty"])
async def test_a_request_without_a_model_gets_the_default_model_f19(
    stage: Any, model: JSON
) -> None:
    on = await stage(text("a"), text("b"))
    whole = await on.post({"input": "Hi", **model})
    streamed = await on.post({"input": "Hi", "stream": True, **model})
    assert whole.json["model"] == streamed.events[-1]["response"]["model"] == "gpt-oss-120b"
    assert [request.body["model"] for request in on.provider.requests] == ["gpt-oss-120b"] * 2


async def test_a_stream_is_asked_for_by_the_body_and_not_by_a_header(stage: Any) -> None:
    on = await stage(text("a"), text("b"), text("c"))
    assert (await on.post(ASK, Accept="text/event-stream")).json["object"] == "response"
    assert (await on.post({**STREAM}, Accept="application/json")).events
    assert (await on.post({**ASK, "stream": None})).json["object"] == "response"


@pytest.mark.parametrize("body", [ASK, STREAM], ids=["whole", "streamed"])
async def test_strict_mode_refuses_what_would_be_lost_before_the_provider_is_asked(
    stage: Any, body: JSON
) -> None:
    on = await stage(text("a"), strict=True)
    reply = await on.post({**body, "tools": [{"type": "web_search"}]})
    assert reply.status == 400
    assert reply.json["error"]["param"] == "tools[0]"
    assert "Strict mode" in reply.json["error"]["message"]
    assert on.provider.requests == []
    assert (await on.post({**body, "user": "u"})).status == 200  # leaving a hint out loses nothing


async def test_the_header_of_an_answer_in_one_piece_says_what_the_answer_needed(stage: Any) -> None:
    on = await stage(Answer(call("now", "")), Answer(call("now", '{"n": "1"}')))
    number = {"type": "object", "properties": {"n": {"type": "integer"}}}
    tool = {"type": "function", "name": "now", "parameters": number}
    assert "x-anyturn-adaptations" not in (await on.post({**ASK, "tools": [tool]})).headers
    reply = await on.post({**ASK, "tools": [tool]})
    assert reply.headers["x-anyturn-adaptations"] == "arguments.repaired@output[0]"


async def test_what_was_adapted_stands_in_a_header(stage: Any) -> None:
    on = await stage(text("a"), text("b"), text("c"))
    adapted = {"tools": [{"type": "web_search"}]}
    for body in ({**ASK, **adapted}, {**STREAM, **adapted}):
        reply = await on.post(body)
        assert re.search(r"[a-z_.]+@tools\[0\]", reply.headers["x-anyturn-adaptations"])
    assert "x-anyturn-adaptations" not in (await on.post(ASK)).headers


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
async def test_an_incomplete_turn_is_no_error(stage: Any, finish: str, reason: str) -> None:
    on = await stage(*[Answer(text("Hel"), finish=finish)] * 2)
    whole = await on.post(ASK)
    streamed = await on.post(STREAM)
    assert whole.status == streamed.status == 200
    assert whole.json["status"] == "incomplete"
    assert whole.json["incomplete_details"] == {"reason": reason}
    assert streamed.names[-1] == "response.incomplete"


async def test_two_turns_share_a_connection_to_the_provider(stage: Any) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        chunk = b'{"choices":[{"delta":{"content":"Hi."},"finish_reason":"stop"}]}'
        await response.write(sse.encode(chunk))
        await response.write(sse.DONE)
        return response

    on = await stage(handler=handler)
    for body in (STREAM, ASK, STREAM):
        assert (await on.post(body)).status == 200
    assert on.provider.requests == 3
    assert len(on.provider.connections) == 1


async def test_200_streams_at_once_are_whole_and_keep_to_the_rules(stage: Any) -> None:
    count = 200

    def answer(body: JSON) -> Answer:
        words = f"You said {body['messages'][-1]['content']}."
        return Answer(reasoning("Hm."), text(words), call("f", {"said": words}), fragment=8)

    on = await stage(*[answer] * count)

    async def turn(number: int) -> list[JSON]:
        reply = await on.post({**STREAM, "input": f"number {number}", "tools": [TOOL]})
        assert reply.status == 200
        return reply.events

    async with asyncio.TaskGroup() as group:
        turns = [group.create_task(turn(number)) for number in range(count)]
    ids = []
    for number, task in enumerate(turns):
        events = task.result()
        check_stream(events)
        response = events[-1]["response"]
        _, message, called = response["output"]
        assert message["content"][0]["text"] == f"You said number {number}."
        assert msgspec.json.decode(called["arguments"]) == {"said": f"You said number {number}."}
        ids += [response["id"], *(item["id"] for item in response["output"])]
    assert len(set(ids)) == 4 * count
    assert on.provider.refusals == []


# ---------------------------------------------------------------- tries before the first byte


async def test_a_failure_that_passes_is_not_seen(stage: Any) -> None:
    busy = Refusal(503, "busy", {"Retry-After": "0"})
    on = await stage(busy, busy, text("Hello."), retries=2)
    assert (await on.post(STREAM, **SDK)).names[-1] == "response.completed"
    assert len(on.provider.requests) == 3


async def test_after_the_first_bytes_nothing_is_tried_again(stage: Any) -> None:
    cut = Answer(text("Hello there."), fragment=3, cut_after=3, pace=0.001)
    on = await stage(cut, text("Again."), retries=5)
    assert (await on.post(STREAM)).names[-1] == "response.failed"
    assert len(on.provider.requests) == 1


@EVERYONE
async def test_a_pause_that_is_too_long_is_handed_on(stage: Any, client: dict[str, str]) -> None:
    busy = Refusal(429, openai_error("Later."), {"Retry-After": "120"})
    on = await stage(busy, text("Hello."), retries=2, retry_wait_max_s=60.0)
    reply = await on.post(STREAM, **client)
    assert (reply.status, reply.headers["Retry-After"]) == (429, "120")
    assert len(on.provider.requests) == 1


# ---------------------------------------------------------------- clients that leave


async def silent(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def start(on: Any, body: JSON) -> asyncio.StreamWriter:
    """Send a request as a client does that will leave."""
    raw = msgspec.json.encode(body)
    _, writer = await asyncio.open_connection("127.0.0.1", on.port)
    head = "POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
    writer.write(f"{head}{len(raw)}\r\n\r\n".encode() + raw)
    return writer


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("body", [STREAM, ASK], ids=["stream", "whole"])
async def test_leaving_before_the_provider_answers_cancels_its_request(
    stage: Any, body: JSON
) -> None:
    on = await stage(handler=silent)
    writer = await start(on, body)
    await on.provider.asked.wait()
    left_at = now()
    writer.close()
    async with asyncio.timeout(5):
        await on.provider.left.wait()
    assert on.provider.left_at - left_at < NOTICED_S


@pytest.mark.parametrize("body", [STREAM, ASK], ids=["stream", "whole"])
@pytest.mark.parametrize("after", [0, 3], ids=["before the first chunk", "in the middle"])
async def test_leaving_while_the_provider_is_silent_cancels_its_request(
    stage: Any, body: JSON, after: int
) -> None:
    sent = asyncio.Event()
    answer = Answer(text("Hello there."), fragment=3, hold_after=after)
    provider = ScriptedProvider(
        [answer], on_chunk=lambda *_: sent.set() if on_chunks.append(1) or after else None
    )
    on_chunks: list[int] = []
    async with provider:
        on = await stage(provider=provider)
        writer = await start(on, body)
        await provider.request(1)
        if after:
            await sent.wait()
        left_at = now()
        writer.close()
        request = await provider.cancelled(1)
    assert request.cancelled_at is not None
    assert request.cancelled_at - left_at < NOTICED_S
    assert len(on_chunks) <= after


async def test_leaving_while_the_answer_flows_cancels_the_providers_request(stage: Any) -> None:
    on = await stage(Answer(text("x" * 4000), fragment=1, pace=0.001))
    async with on.open(STREAM) as response:
        await response.content.readany()
        left_at = now()
        response.close()
        request = await on.provider.cancelled(1)
    assert request.cancelled_at - left_at < NOTICED_S


@pytest.mark.parametrize("body", [STREAM, ASK], ids=["stream", "whole"])
async def test_leaving_during_the_pause_before_another_try_ends_the_tries(
    stage: Any, body: JSON, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pausing = asyncio.Event()

    class Pauses:
        """Stands in for `asyncio` in the client, to tell when the pause begins."""

        async def sleep(self, seconds: float) -> None:
            pausing.set()
            await asyncio.sleep(seconds)

        def __getattr__(self, name: str) -> Any:
            return getattr(asyncio, name)

    monkeypatch.setattr(client_module, "asyncio", Pauses())
    caplog.set_level(logging.INFO)
    on = await stage(
        Refusal(503, "busy", {"Retry-After": "0.3"}), text("never asked for"), retries=2
    )
    writer = await start(on, body)
    await pausing.wait()
    left_at = now()
    writer.close()
    async with asyncio.timeout(5):
        while "given up" not in caplog.text:
            await asyncio.sleep(0.001)
    assert now() - left_at < NOTICED_S
    assert len(on.provider.requests) == 1


# ---------------------------------------------------------------- clients that read slowly


async def test_a_client_that_reads_nothing_stops_the_provider_until_it_reads_on(
    stage: Any,
) -> None:
    size, piece = 50_000_000, 100_000
    sent: list[int] = []
    answer = Answer(text("x" * size), fragment=piece)
    async with ScriptedProvider([answer], on_chunk=lambda _, frame: sent.append(len(frame))) as p:
        on = await stage(provider=p)
        async with on.open(STREAM) as response:
            assert response.status == 200
            stalled = 0
            while stalled < 20:
                before = len(sent)
                await asyncio.sleep(0.01)
                stalled = stalled + 1 if len(sent) == before else 0
            # What sockets and buffers of both connections hold.
            assert sum(sent) < size / 2
            whole = await response.read()
    assert whole.count(b"event: response.output_text.delta") == size / piece
    assert b"event: response.completed" in whole
    assert whole.endswith(b"\n\n")


# ---------------------------------------------------------------- health and models


async def test_health_says_what_runs_and_where_turns_go(stage: Any) -> None:
    on = await stage()
    reply = await on.call("GET", "/health")
    assert reply.status == 200
    assert reply.json == {
        "status": "healthy",
        "version": anyturn.__version__,
        "provider": "custom",
        "model": "gpt-oss-120b",
    }


async def test_health_without_a_default_model(stage: Any) -> None:
    on = await stage(model="")
    assert (await on.call("GET", "/health")).json["model"] is None


@pytest.mark.parametrize("path", ["/v1/models", "/models", "/v1/models?client_version=0.169.0"])
async def test_models_are_listed_for_sdks_and_for_codex_at_once(stage: Any, path: str) -> None:
    on = await stage(aliases={"fast": "gpt-oss-20b"})
    reply = await on.call("GET", path)
    assert reply.status == 200
    assert reply.json["object"] == "list"
    assert [one["id"] for one in reply.json["data"]] == ["gpt-oss-120b", "fast"]
    assert [one["slug"] for one in reply.json["models"]] == ["gpt-oss-120b", "fast"]


# ---------------------------------------------------------------- secrets


@EVERYONE
async def test_no_key_is_told_or_logged(
    stage: Any, caplog: pytest.LogCaptureFixture, client: dict[str, str]
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = openai_error(f"Incorrect API key provided: {KEY}.", code="invalid_api_key")
    script = [text("Hi."), Refusal(401, echo), Refusal(500, f"denied for Bearer {KEY}")]
    async with ScriptedProvider(script, api_key=KEY) as provider:
        on = await stage(provider=provider, environ={"CUSTOM_API_KEY": KEY})
        replies = [
            await on.post(STREAM, Authorization=f"Bearer {KEY}", **client),
            await on.post(STREAM, Authorization=f"Bearer {KEY}", **client),
            await on.post(STREAM, Authorization=f"Bearer {KEY}", **client),
            await on.post(b"{", Authorization=f"Bearer {KEY}", **client),
            await on.call("GET", "/v1/models", headers={"Authorization": f"Bearer {KEY}"}),
            await on.call("GET", "/health"),
        ]
        assert provider.requests[0].headers["Authorization"] == f"Bearer {KEY}"
    assert provider.refusals == []
    assert [reply.status for reply in replies[3:]] == [400, 200, 200]
    told = b"".join(reply.raw for reply in replies).decode()
    told += "".join(str(reply.headers) for reply in replies)
    assert KEY[3:] not in told + caplog.text


async def test_the_key_that_a_client_sends_is_not_handed_on(stage: Any) -> None:
    on = await stage(text("Hi."))
    await on.post(ASK, Authorization=f"Bearer {KEY}")
    (request,) = on.provider.requests
    assert KEY not in str(dict(request.headers)) + request.raw.decode()
