from __future__ import annotations

import asyncio
import logging
import re
import ssl
from pathlib import Path
from typing import Any

import pytest

from anyturn.errors import Kind
from anyturn.providers import generic
from anyturn.upstream import Limits, ProviderClient, client
from anyturn.wire.profile import Profile
from support.provider_answers import (
    BODY,
    JSON,
    KEY,
    QUICK,
    STREAM,
    Waits,
    answer,
    closed_port,
    deaf_port,
    fails,
    limits,
    refusal,
)

# ---------------------------------------------------------------- time limits


async def test_a_host_that_does_not_take_the_connection_is_given_up(ask: Any) -> None:
    with (
        deaf_port() as port,
        fails(Kind.PROVIDER_UNREACHABLE, "cannot be reached at .*Connection timeout"),
    ):
        await ask(generic(f"http://127.0.0.1:{port}/v1"), limits(connect_timeout_s=0.1, retries=0))


async def test_a_provider_that_does_not_begin_is_given_up_and_not_asked_again(
    provider: Any, ask: Any
) -> None:
    server = await provider()
    with fails(Kind.PROVIDER_TIMEOUT, r"did not begin to answer within 0\.1 s"):
        await ask(server.profile, limits(first_byte_timeout_s=0.1))
    await server.left()
    assert len(server.requests) == 1


async def test_the_idle_limit_does_not_count_before_the_answer_begins(
    provider: Any, ask: Any
) -> None:
    async def slow(connection: Any) -> None:
        await asyncio.sleep(0.15)
        await connection.send(answer())

    server = await provider(slow)
    assert await ask(server.profile, limits(idle_timeout_s=0.05, first_byte_timeout_s=5)) == STREAM


async def test_the_first_byte_limit_does_not_count_after_the_headers(
    provider: Any, ask: Any
) -> None:
    async def slow(connection: Any) -> None:
        await connection.send(answer(headers={"Content-Length": str(2 * len(STREAM))}))
        await asyncio.sleep(0.15)
        await connection.send(STREAM)

    server = await provider(slow)
    assert await ask(server.profile, limits(idle_timeout_s=5, first_byte_timeout_s=0.1))


async def test_an_error_whose_body_never_ends_is_told_with_what_came(
    provider: Any, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_ERROR_BODY_S", 0.05)
    server = await provider(answer(400, b"Bad model.", {"Content-Length": "500"}))
    with fails(Kind.PROVIDER_REFUSED, r"Bad model\."):
        await ask(server.profile)


# ---------------------------------------------------------------- errors of providers

# The bodies of chat-providers.md section 4.
ERRORS: list[tuple[str, int, bytes | JSON, Kind, str]] = [
    (
        "Cerebras key",
        401,
        {
            "message": "Wrong API Key",
            "type": "invalid_request_error",
            "param": "api_key",
            "code": "wrong_api_key",
        },
        Kind.PROVIDER_CREDENTIALS,
        "Wrong API Key",
    ),
    (
        "OpenAI quota",
        429,
        {
            "error": {
                "message": "You exceeded your current quota, please check your plan.",
                "type": "insufficient_quota",
                "param": None,
                "code": "insufficient_quota",
            }
        },
        Kind.QUOTA_EXHAUSTED,
        "You exceeded your current quota",
    ),
    (
        "Groq rate",
        429,
        {
            "error": {
                "message": "Rate limit reached for model. Please try again in 0.01s.",
                "type": "tokens",
                "code": "rate_limit_exceeded",
            }
        },
        Kind.RATE_LIMITED,
        "Rate limit reached",
    ),
    ("nginx page", 403, b"<html><title>403 Forbidden</title></html>", Kind.PROVIDER_REFUSED, "403"),
    ("plain text", 404, b"404 page not found", Kind.PROVIDER_REFUSED, "404 page not found"),
    (
        "model gone",
        404,
        {"error": {"message": "The model `x` does not exist", "code": "model_not_found"}},
        Kind.MODEL_NOT_FOUND,
        "does not exist",
    ),
    (
        "overflow",
        400,
        {
            "error": {
                "message": "This model's maximum context length is 8192 tokens.",
                "code": "context_length_exceeded",
            }
        },
        Kind.CONTEXT_OVERFLOW,
        "8192 tokens",
    ),
    ("nothing", 500, b"", Kind.PROVIDER_BROKEN, "gave no reason"),
    ("Cloudflare", 503, b"<html><h1>503 Busy</h1></html>", Kind.PROVIDER_BROKEN, "503 Busy"),
    ("gateway time", 504, b"upstream timed out", Kind.PROVIDER_TIMEOUT, "upstream timed out"),
]


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [row[1:] for row in ERRORS],
    ids=[row[0] for row in ERRORS],
)
async def test_an_error_is_told_in_the_providers_words(
    provider: Any, ask: Any, status: int, body: bytes | JSON, kind: Kind, words: str
) -> None:
    server = await provider(answer(status, body))
    with fails(kind, re.escape(words)) as caught:
        await ask(server.profile, limits(retries=0))
    error = caught.value
    assert (error.provider, error.provider_status) == (server.profile.name, status)
    assert (error.retry_after is not None) == (kind is Kind.RATE_LIMITED)


async def test_an_error_body_that_comes_in_pieces_is_read_whole(provider: Any, ask: Any) -> None:
    whole = answer(400, {"error": {"message": "The field 'seed' is unknown.", "code": "x"}})

    async def in_pieces(connection: Any) -> None:
        for start in range(0, len(whole), 40):
            await connection.send(whole[start : start + 40])
            await asyncio.sleep(0.001)

    server = await provider(in_pieces)
    with fails(Kind.PROVIDER_REFUSED, "The field 'seed' is unknown"):
        await ask(server.profile)


async def test_of_an_endless_error_only_the_beginning_is_read(provider: Any, ask: Any) -> None:
    async def endless(connection: Any) -> None:
        await connection.send(b"HTTP/1.1 400 Bad\r\n\r\nNo. ")
        while not connection.writer.transport.is_closing():
            await connection.send(b"x" * 65536)

    server = await provider(endless)
    with fails(Kind.PROVIDER_REFUSED, r"No\. xxx") as caught:
        await ask(server.profile)
    assert len(caught.value.message) < 4096


async def test_a_redirect_is_not_followed(provider: Any, ask: Any) -> None:
    elsewhere = await provider(answer())
    server = await provider(refusal(307, Location=elsewhere.base_url))
    with fails(Kind.PROVIDER_REFUSED, "Check the base URL, or try --wire responses."):
        await ask(server.profile)
    assert elsewhere.requests == []


@pytest.mark.parametrize(
    "noise", [b"\x15\x03\x01\x00\x02\x02\x50", b"SSH-2.0-OpenSSH_9\r\n\r\n", b"\x00" * 40]
)
async def test_an_answer_that_is_not_http_says_so(provider: Any, ask: Any, noise: bytes) -> None:
    async def shout(connection: Any) -> None:
        await connection.send(noise)
        await connection.close()

    server = await provider(*[shout] * 9)
    with fails(Kind.PROVIDER_BROKEN, "not HTTP"):
        await ask(server.profile, limits(retries=0))


async def test_nothing_of_the_key_is_told_or_logged(
    provider: Any, ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    echo = {"error": {"message": f"Incorrect API key provided: {KEY}.", "code": "invalid_api_key"}}
    server = await provider(answer(401, echo))
    caplog.set_level(logging.DEBUG)
    with fails(Kind.PROVIDER_CREDENTIALS) as caught:
        await ask(server.profile, api_key=KEY)
    assert KEY in server.requests[0].head
    for text in (str(caught.value), repr(caught.value), str(caught.value.envelope()), caplog.text):
        assert KEY not in text
        assert KEY[5:] not in text


async def test_a_client_shows_no_key(provider: Any) -> None:
    server = await provider(answer())
    async with (
        ProviderClient(QUICK) as clients,
        clients.stream(server.profile, KEY, BODY) as stream,
    ):
        assert KEY not in repr(clients) + repr(stream)


# ---------------------------------------------------------------- is it there?


@pytest.mark.parametrize("status", [200, 401, 404, 500])
async def test_any_answer_shows_that_a_provider_is_there(provider: Any, status: int) -> None:
    server = await provider(answer(status, b""))
    async with ProviderClient(QUICK) as clients:
        assert await clients.why_unreachable(server.profile) == ""
    assert "authorization" not in server.requests[0].head.lower()


async def test_a_provider_that_is_not_there_is_told_with_its_address() -> None:
    with closed_port() as port:
        async with ProviderClient(QUICK) as clients:
            sentence = await clients.why_unreachable(generic(f"http://127.0.0.1:{port}/v1"))
    assert sentence.startswith(f"127.0.0.1:{port} cannot be reached at http://127.0.0.1:{port}/v1")
    assert sentence.endswith("Is the server running, and is this its address?")


async def test_a_provider_that_is_silent_counts_as_not_there(provider: Any) -> None:
    server = await provider()
    async with ProviderClient(QUICK) as clients:
        sentence = await clients.why_unreachable(server.profile, timeout_s=0.05)
    assert "/v1/models: it does not answer." in sentence


async def test_an_address_that_cannot_be_one_is_a_wrong_set_up(ask: Any, waits: Waits) -> None:
    with fails(Kind.MISCONFIGURED, "Check the base URL"):
        await ask(generic("ftp://127.0.0.1/v1"))
    assert waits.seconds == []


async def test_a_certificate_that_nobody_trusts_is_a_wrong_set_up(
    provider_class: Any, ask: Any, waits: Waits, certificate: Path
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with provider_class(answer(), tls=context) as server:
        with fails(Kind.MISCONFIGURED, "certificate verify failed"):
            await ask(server.profile)
    assert waits.seconds == []


@pytest.mark.parametrize(
    ("host", "words"),
    [
        pytest.param("127.0.0.1:9", "connection refused. Is", id="nobody listens"),
        pytest.param("nowhere.invalid", "no host has this name. Is", id="no such host"),
    ],
)
async def test_an_unreachable_provider_is_told_in_the_words_of_the_system(
    host: str, words: str
) -> None:
    profile = Profile(name="box", base_url=f"http://{host}/v1")
    async with ProviderClient(Limits()) as client:
        said = await client.why_unreachable(profile)
    assert words in said
    assert "ssl" not in said
