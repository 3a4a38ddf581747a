from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import msgspec
import pytest

from anyturn import gateway as gateway_module
from anyturn.errors import Kind, TurnError
from anyturn.server.app import error_response
from anyturn.testing import (
    Answer,
    Dropped,
    Entry,
    Raw,
    Refusal,
    call,
    completion,
    openai_error,
    text,
)
from support.http_clients import ASK, CODEX, EVERYONE, JSON, KEY, STREAM, TOOL
from support.stream_rules import check_stream

# ---------------------------------------------------------------- requests that are refused

BAD_BODIES: list[tuple[str, bytes, str, str]] = [
    ("nothing", b"", "invalid_json", "not valid JSON"),
    ("no JSON", b"hello", "invalid_json", "not valid JSON"),
    ("cut off", b'{"model":"x","input', "invalid_json", "19 bytes arrived"),
    ("behind the end", b'{"input":"x"} x', "invalid_json", "not valid JSON"),
    ("no UTF-8", b'{"input":"\xff\xfe"}', "invalid_json", "not valid JSON"),
    ("UTF-16", '{"input":"x"}'.encode("utf-16"), "invalid_json", "not valid JSON"),
    ("NaN", b'{"input":"x","temperature":NaN}', "invalid_json", "not valid JSON"),
    ("deep", b"[" * 200_000, "invalid_json", "not valid JSON"),
    ("a list", b"[]", "invalid_value", "must be a JSON object"),
    ("null", b"null", "invalid_value", "must be a JSON object"),
    ("stream", b'{"input":"x","stream":"yes"}', "invalid_value", "stream must be true or false"),
    ("input", b'{"input":5}', "invalid_value", "input must be a string or a list"),
    ("tools", b'{"input":"x","tools":{}}', "invalid_value", "tools must be a list"),
    ("model", b'{"input":"x","model":["a"]}', "invalid_value", "model must be a string"),
    ("item", b'{"input":[{"type":"hologram"}]}', "", "hologram"),
    ("tool", b'{"input":"x","tools":[5]}', "", "tools[0]"),
]


@pytest.mark.parametrize(
    ("body", "code", "words"), [row[1:] for row in BAD_BODIES], ids=[row[0] for row in BAD_BODIES]
)
@EVERYONE
async def test_a_bad_body_is_the_clients_fault(
    stage: Any, body: bytes, code: str, words: str, client: dict[str, str]
) -> None:
    on = await stage()
    reply = await on.post(body, **client)
    assert reply.status == 400
    assert reply.error["source"] == "client"
    assert reply.error["type"] == "invalid_request_error"
    assert reply.error["code"] == code or not code
    assert words in reply.error["message"]
    assert on.provider.requests == []
    assert await on.serves()


async def test_a_reference_that_only_a_store_could_resolve_is_refused(stage: Any) -> None:
    on = await stage()
    reply = await on.post({**ASK, "previous_response_id": "resp_1"})
    assert (reply.status, reply.error["code"]) == (400, "previous_response_not_found")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1", 404, "not_found"),
        ("POST", "/v1/chat/completions", 404, "not_found"),
        ("GET", "/v1/responses/resp_1", 404, "not_found"),
        ("POST", "/v1/responses/", 404, "not_found"),
        ("GET", "/v1/%ff%00", 404, "not_found"),
        ("GET", "/v1/responses", 405, "method_not_allowed"),
        ("DELETE", "/v1/responses", 405, "method_not_allowed"),
        ("PUT", "/responses", 405, "method_not_allowed"),
        ("GET", "/v1/responses/compact", 404, "not_found"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("PATCH", "/health", 405, "method_not_allowed"),
    ],
)
async def test_what_is_not_there_is_refused_in_the_envelope(
    stage: Any, method: str, path: str, status: int, code: str
) -> None:
    on = await stage()
    reply = await on.call(method, path)
    assert (reply.status, reply.error["code"]) == (status, code)
    assert reply.error["source"] == "client"
    known = "/v1/responses" in reply.error["message"] or "not found" in reply.error["message"]
    assert known or status == 405
    if status == 405:
        assert method not in reply.headers["Allow"]
        assert reply.headers["Allow"] in reply.error["message"]


@pytest.mark.parametrize("path", ["/v1/alpha/search", "/alpha/search"])
async def test_a_search_is_told_that_it_is_not_offered_f34(stage: Any, path: str) -> None:
    on = await stage()
    reply = await on.call("POST", path, json={"query": "x"})
    assert (reply.status, reply.error["code"]) == (404, "not_found")
    assert "Web search" in reply.error["message"]
    assert on.provider.requests == []


@pytest.mark.parametrize(
    ("path", "status"),
    [("/health", 200), ("/v1/models", 200), ("/v1/responses", 405), ("/nowhere", 404)],
)
async def test_head_has_a_status_and_no_body(stage: Any, path: str, status: int) -> None:
    on = await stage()
    reply = await on.call("HEAD", path)
    assert (reply.status, reply.raw) == (status, b"")
    assert await on.serves()


@pytest.mark.parametrize("path", ["/v1/responses", "/responses"])
async def test_a_websocket_handshake_is_told_to_post_f66(stage: Any, path: str) -> None:
    """Where the operator has switched it off."""
    on = await stage(text("Hi."), websocket=False)
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await on.http.ws_connect(on.root + path)
    assert caught.value.status == 426
    handshake = {"Connection": "Upgrade", "Upgrade": "WebSocket"}
    reply = await on.call("GET", path, headers=handshake)
    assert (reply.status, reply.error["code"]) == (426, "websocket_not_supported")
    assert (await on.post(ASK)).status == 200


async def test_requests_on_one_connection_are_answered_in_turn(stage: Any) -> None:
    on = await stage(text("one"), text("two"))
    body = msgspec.json.encode(ASK)
    request = (
        b"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    ) + body
    reader, writer = await asyncio.open_connection("127.0.0.1", on.port)
    writer.write(request + request)
    async with asyncio.timeout(5):
        for word in (b'"one"', b'"two"'):
            length = 0
            while (line := await reader.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length"):
                    length = int(line.split(b":")[1])
            assert word in await reader.readexactly(length)
    writer.close()


# ---------------------------------------------------------------- failures of the provider

# What providers answer, and what becomes of it for Codex and for others: a status, or `None` for
# `response.failed` in a 200.
FAILURES: list[tuple[str, Entry, int | None, int, str, str]] = [
    (
        "wrong key",
        Refusal(401, openai_error("Wrong API Key", code="wrong_api_key")),
        400,
        400,
        "invalid_prompt",
        "Wrong API Key",
    ),
    (
        "forbidden page",
        Refusal(403, "<html><title>403 Forbidden</title></html>"),
        400,
        400,
        "invalid_prompt",
        "403 Forbidden",
    ),
    (
        "no model",
        Refusal(404, openai_error("Model x does not exist", code="model_not_found")),
        404,
        404,
        "model_not_found",
        "does not exist",
    ),
    (
        "overflow",
        Refusal(413, openai_error("Please reduce the length of the messages.")),
        400,
        400,
        "context_length_exceeded",
        "reduce the length",
    ),
    (
        "rate",
        Refusal(429, openai_error("Too many requests."), {"Retry-After": "9"}),
        429,
        429,
        "rate_limit_exceeded",
        "Too many requests.",
    ),
    (
        "rate without a pause",
        Refusal(429, openai_error("Too many requests.")),
        429,
        429,
        "rate_limit_exceeded",
        "try again in 5s",
    ),
    (
        "quota",
        Refusal(402, openai_error("Insufficient balance.")),
        429,
        429,
        "insufficient_quota",
        "Insufficient balance.",
    ),
    ("500", Refusal(500, "oh no"), None, 502, "server_error", "oh no"),
    ("503", Refusal(503, "<h1>Busy</h1>"), None, 502, "server_error", "Busy"),
    ("504", Refusal(504, ""), None, 504, "provider_timeout", "HTTP 504"),
    ("redirect", Refusal(302, "", {"Location": "/"}), 400, 400, "invalid_prompt", "Check the base"),
    ("dropped", Dropped(), None, 502, "provider_unreachable", "cannot be reached"),
    ("page", Raw(b"<html><title>Hi</title>", "text/html"), None, 502, "server_error", "HTML page"),
    ("text", Raw(b"no such thing", "text/plain"), None, 502, "server_error", "no such thing"),
    ("nothing", Raw(b""), None, 502, "server_error", "nothing came at all"),
    ("noise", Raw(bytes(range(128, 160))), None, 502, "server_error", "not a Chat Completions"),
    (
        "error object",
        Raw(b'{"error":{"message":"Boom."}}', "application/json"),
        None,
        502,
        "server_error",
        "Boom.",
    ),
    (
        "error first",
        Answer(error_after=(0, {"message": "Boom.", "code": 500})),
        None,
        502,
        "server_error",
        "Boom.",
    ),
    (
        "refusal first",
        Answer(error_after=(0, {"message": "No such model: x", "code": "model_not_found"})),
        404,
        404,
        "model_not_found",
        "No such model",
    ),
    ("bad frame", Raw(b"data: {oops\n\n"), None, 502, "server_error", "{oops"),
]
REFUSED = ["response.created", "response.in_progress", "error", "response.failed"]
FAILING = pytest.mark.parametrize(
    ("entry", "for_codex", "for_others", "code", "words"),
    [row[1:] for row in FAILURES],
    ids=[row[0] for row in FAILURES],
)


@FAILING
@pytest.mark.parametrize("body", [STREAM, ASK], ids=["stream", "whole"])
@EVERYONE
async def test_a_failure_before_the_answer_has_the_form_that_its_client_acts_on(
    stage: Any,
    entry: Entry,
    for_codex: int | None,
    for_others: int,
    code: str,
    words: str,
    body: JSON,
    client: dict[str, str],
) -> None:
    on = await stage(entry)
    reply = await on.post(body, **client)
    status = for_codex if client is CODEX and body is STREAM else for_others
    if status is None:
        assert reply.status == 200
        assert reply.names == REFUSED
        check_stream(reply.events)
        error = reply.events[-1]["response"]["error"]
        assert reply.events[2]["error"]["source"] == "provider"
    else:
        assert reply.status == status
        error = reply.error
        assert error["source"] == "provider"
        assert error["provider"] == "custom"
        assert ("Retry-After" in reply.headers) is (code == "rate_limit_exceeded")
    assert error["code"] == code
    assert words in error["message"]
    assert await on.serves()


async def test_a_rate_limit_says_when_to_come_back(stage: Any) -> None:
    on = await stage(FAILURES[4][1], FAILURES[5][1])
    assert (await on.post(STREAM, **CODEX)).headers["Retry-After"] == "9"
    assert (await on.post(STREAM, **CODEX)).headers["Retry-After"] == "5"


@pytest.mark.parametrize(
    ("seconds", "header"), [(0, "1"), (0.2, "1"), (1.0, "1"), (1.2, "2"), (61, "61"), (None, "1")]
)
def test_retry_after_is_a_whole_number_of_seconds(seconds: float | None, header: str) -> None:
    error = TurnError(Kind.RATE_LIMITED, "Later.", retry_after=seconds)
    assert error_response(error).headers["Retry-After"] == header


@EVERYONE
@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (Answer(text("Hello."), error_after=(3, {"message": "Boom."}), pace=0.001), "Boom."),
        (Answer(text("Hello there."), fragment=3, cut_after=3, pace=0.001), "ended before"),
    ],
    ids=["error", "cut"],
)
async def test_a_failure_in_the_middle_ends_the_stream_for_everyone(
    stage: Any,
    entry: Entry,
    words: str,
    client: dict[str, str],
) -> None:
    on = await stage(entry)
    reply = await on.post(STREAM, **client)
    assert reply.status == 200
    assert "response.output_text.delta" in reply.names
    assert reply.names[-2:] == ["error", "response.failed"]
    assert words in reply.events[-1]["response"]["error"]["message"]
    check_stream(reply.events)


async def test_a_failure_in_the_middle_is_a_status_for_a_turn_in_one_piece(stage: Any) -> None:
    on = await stage(Answer(text("Hello."), error_after=(3, {"message": "Boom."}), pace=0.001))
    reply = await on.post(ASK)
    assert reply.status == 502
    assert "Boom." in reply.error["message"]


async def test_a_whole_answer_to_a_stream_is_translated(stage: Any) -> None:
    whole = msgspec.json.encode(completion(Answer(text("Hello."), call("f", {"a": 1}))))
    on = await stage(Raw(whole, "application/json"))
    reply = await on.post({**STREAM, "tools": [TOOL]})
    check_stream(reply.events)
    assert reply.names[-1] == "response.completed"
    assert reply.events[-1]["response"]["output"][0]["content"][0]["text"] == "Hello."


async def test_a_bug_of_ours_is_a_500_that_says_so(
    stage: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError(KEY)

    monkeypatch.setattr(gateway_module, "convert_request", broken)
    on = await stage()
    for body in (ASK, STREAM):
        reply = await on.post(body)
        assert (reply.status, reply.error["code"]) == (500, "gateway_error")
        assert reply.error["source"] == "gateway"
        assert KEY not in reply.raw.decode()
    assert "ZeroDivisionError" in caplog.text
    assert KEY not in caplog.text
    assert await on.serves()


async def test_an_answer_that_cannot_be_finished_is_cut_and_not_continued_with_an_error(
    stage: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivers, calls = gateway_module.Gateway._deliver, 0

    async def broken(*given: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise ZeroDivisionError
        await delivers(*given)

    monkeypatch.setattr(gateway_module.Gateway, "_deliver", broken)
    on = await stage(Answer(text("Hello.")))
    with pytest.raises(aiohttp.ClientPayloadError):
        await on.post(STREAM)
    assert "in the middle of an answer" in caplog.text
    assert await on.serves()
