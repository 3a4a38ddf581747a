from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

import anyturn
from anyturn.errors import Kind, TurnError
from anyturn.providers import generic
from anyturn.upstream import Limits, ProviderClient, client
from anyturn.wire.profile import Profile

JSON = dict[str, Any]
BODY = b'{"model":"m","messages":[],"stream":true}'
KEY = "sk-planted-7f3a9c2e51d84b60"
QUICK = Limits(connect_timeout_s=2, first_byte_timeout_s=5, idle_timeout_s=5)
STREAM = b'data: {"choices":[]}\n\ndata: [DONE]\n\n'


def answer(
    status: int = 200, body: bytes | JSON = STREAM, headers: dict[str, str] | None = None
) -> bytes:
    """A whole HTTP answer."""
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    lines = {"Content-Length": str(len(raw)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Word\r\n{head}\r\n".encode() + raw


def refusal(status: int, **headers: str) -> bytes:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return answer(status, {"error": {"message": "No.", "type": "t", "code": None}}, named)


class Waits:
    """Stands in for `asyncio` in the client: notes what would be slept, and sleeps nothing."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    waits = Waits()
    monkeypatch.setattr(client, "asyncio", waits)
    return waits


@pytest.fixture
def ask() -> Callable[..., Awaitable[bytes]]:
    """Ask a provider with these limits and return all that it answers."""

    async def ask(profile: Profile, limits: Limits = QUICK, api_key: str | None = None) -> bytes:
        async with (
            ProviderClient(limits) as clients,
            clients.stream(profile, api_key, BODY) as stream,
        ):
            pieces = []
            while block := await stream.read():
                pieces.append(block)
            return b"".join(pieces)

    return ask


@contextmanager
def fails(kind: Kind, pattern: str = ".") -> Iterator[pytest.ExceptionInfo[TurnError]]:
    with pytest.raises(TurnError, match=pattern) as caught:
        yield caught
    assert caught.value.kind is kind


def limits(**changes: Any) -> Limits:
    return msgspec.structs.replace(QUICK, **changes)


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that refuses connections: bound, so that nobody else gets it, but not listening."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose queue of connections is full: the next one is neither accepted nor refused."""
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for caller in (first, second):
            caller.setblocking(False)
            caller.connect_ex(deaf.getsockname())
        yield deaf.getsockname()[1]


# ---------------------------------------------------------------- what is sent


async def test_the_request_is_a_post_of_the_body_with_a_name_and_the_key(
    provider: Any, ask: Any
) -> None:
    server = await provider(answer())
    assert await ask(server.profile, api_key=KEY) == STREAM
    (request,) = server.requests
    assert request.body == BODY
    assert request.head.startswith("POST /v1/chat/completions HTTP/1.1\r\n")
    headers = request.head.lower()
    assert f"authorization: bearer {KEY}" in headers
    assert f"user-agent: anyturn/{anyturn.__version__}" in headers
    assert "content-type: application/json" in headers


@pytest.mark.parametrize("size", [1_000, 600_000, 9_000_000])
async def test_a_request_of_any_size_arrives_whole_at_every_try(
    provider: Any, waits: Waits, size: int
) -> None:
    body = b"%9d" % size + b"x" * size
    server = await provider(refusal(503), answer())
    async with ProviderClient(QUICK) as clients, clients.stream(server.profile, None, body):
        assert [request.body for request in server.requests] == [body, body]
    assert f"content-length: {len(body)}\r\n" in server.requests[1].head.lower()


@pytest.mark.parametrize(
    ("auth", "key", "expected", "missing"),
    [
        ("bearer", KEY, f"authorization: bearer {KEY}", "api-key:"),
        ("api-key", KEY, f"api-key: {KEY}", "authorization:"),
        ("none", KEY, "user-agent:", KEY),
        ("bearer", None, "user-agent:", "authorization:"),
    ],
)
async def test_the_key_goes_where_the_profile_says(
    provider: Any, ask: Any, auth: str, key: str | None, expected: str, missing: str
) -> None:
    server = await provider(answer())
    profile = server.profile.replacing(auth=auth, headers={"X-Own": "yes"})
    await ask(profile, api_key=key)
    head = server.requests[0].head.lower()
    assert expected in head
    assert missing not in head
    assert "x-own: yes" in head


async def test_a_system_proxy_is_not_asked_for_this_machine(
    provider: Any, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closed_port() as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        server = await provider(answer())
        assert await ask(server.profile) == STREAM


async def test_a_system_proxy_is_asked_for_other_hosts(
    provider: Any, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = await provider(answer())
    monkeypatch.setenv("HTTP_PROXY", proxy.base_url.removesuffix("/v1"))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert await ask(generic("http://provider.invalid/v1")) == STREAM
    assert proxy.requests[0].head.startswith("POST http://provider.invalid/v1/chat/completions ")


# ---------------------------------------------------------------- connections


async def test_two_turns_share_a_connection(provider: Any) -> None:
    server = await provider(answer(), answer())
    async with ProviderClient(QUICK) as clients:
        for _ in range(2):
            async with clients.stream(server.profile, None, BODY) as stream:
                assert await stream.read() == STREAM
                await stream.drain()
    assert [request.connection for request in server.requests] == [1, 1]


async def test_an_answer_that_was_not_read_to_its_end_costs_its_connection(provider: Any) -> None:
    server = await provider(answer(headers={"Content-Length": "100000"}), answer())
    async with ProviderClient(QUICK) as clients:
        async with clients.stream(server.profile, None, BODY) as stream:
            await stream.read()
        await server.left()
        async with clients.stream(server.profile, None, BODY) as stream:
            await stream.read()
    assert [request.connection for request in server.requests] == [1, 2]


async def test_a_connection_that_the_provider_closed_meanwhile_is_no_failure(
    provider: Any, waits: Waits
) -> None:
    async def answer_and_close(connection: Any) -> None:
        await connection.send(answer())
        await connection.close()

    server = await provider(answer_and_close, answer())
    async with ProviderClient(QUICK) as clients:
        for _ in range(2):
            async with clients.stream(server.profile, None, BODY) as stream:
                assert await stream.read() == STREAM
                await stream.drain()


async def test_more_streams_than_a_pool_holds_run_at_once(provider: Any) -> None:
    count = 150
    server = await provider(*[answer(headers={"Content-Length": "100000"})] * count)
    async with ProviderClient(QUICK) as clients, asyncio.TaskGroup() as group:
        everyone = asyncio.Barrier(count)

        async def one() -> None:
            async with clients.stream(server.profile, None, BODY) as stream:
                await stream.read()
                await everyone.wait()

        for _ in range(count):
            group.create_task(one())
    assert server.connections == count


async def test_leaving_closes_the_connection_while_the_provider_is_silent(provider: Any) -> None:
    server = await provider()
    async with ProviderClient(QUICK) as clients, asyncio.TaskGroup() as group:

        async def turn() -> None:
            async with clients.stream(server.profile, None, BODY):
                raise AssertionError("nothing was answered")

        task = group.create_task(turn())
        await server.request(1)
        task.cancel()
        await server.left()


# ---------------------------------------------------------------- tries before the first byte


@pytest.mark.parametrize("status", [429, 500, 502, 503, 529])
async def test_a_failure_that_may_pass_is_tried_again(
    provider: Any, ask: Any, waits: Waits, status: int
) -> None:
    server = await provider(refusal(status), refusal(status), answer())
    assert await ask(server.profile) == STREAM
    assert len(server.requests) == 3
    assert [request.body for request in server.requests] == [BODY] * 3


@pytest.mark.parametrize("status", [301, 400, 401, 402, 403, 404, 413, 422])
async def test_a_refusal_is_not_tried_again(
    provider: Any, ask: Any, waits: Waits, status: int
) -> None:
    server = await provider(refusal(status, Location="/v1/elsewhere"), answer())
    with pytest.raises(TurnError) as caught:
        await ask(server.profile)
    assert len(server.requests) == 1
    assert caught.value.provider_status == status
    assert "No." in caught.value.message


@pytest.mark.parametrize("retries", [0, 1, 3])
async def test_the_number_of_tries_is_bounded(
    provider: Any, ask: Any, waits: Waits, retries: int
) -> None:
    server = await provider(*[refusal(503)] * 9)
    with fails(Kind.PROVIDER_BROKEN):
        await ask(server.profile, limits(retries=retries))
    assert len(server.requests) == retries + 1
    assert len(waits.seconds) == retries


async def test_the_pause_grows_from_try_to_try(provider: Any, ask: Any, waits: Waits) -> None:
    server = await provider(*[refusal(503)] * 9)
    with fails(Kind.PROVIDER_BROKEN):
        await ask(server.profile, limits(retries=4))
    for number, seconds in enumerate(waits.seconds):
        assert 0.2 * 2**number <= seconds <= 0.3 * 2**number


async def test_a_dropped_connection_is_tried_again(provider: Any, ask: Any, waits: Waits) -> None:
    async def drop(connection: Any) -> None:
        await connection.close()

    async def reset(connection: Any) -> None:
        await connection.reset()

    server = await provider(drop, reset, answer())
    assert await ask(server.profile) == STREAM
    assert server.connections == 3


async def test_a_refused_connection_is_tried_again_and_then_told(ask: Any, waits: Waits) -> None:
    with (
        closed_port() as port,
        fails(Kind.PROVIDER_UNREACHABLE, rf"cannot be reached at http://127\.0\.0\.1:{port}/v1/"),
    ):
        await ask(generic(f"http://127.0.0.1:{port}/v1"))
    assert len(waits.seconds) == 2


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry_After": "7"}, 7.0),
        ({"retry_after_ms": "1500"}, 1.5),
        ({"x_ratelimit_reset_tokens": "2m3.5s"}, 123.5),
        ({"Retry_After": "3", "x_ratelimit_reset_tokens": "50s"}, 3.0),
        ({}, 5.0),
    ],
    ids=["seconds", "milliseconds", "reset header", "the direct one wins", "none"],
)
async def test_a_rate_limit_waits_as_long_as_the_provider_says(
    provider: Any, ask: Any, waits: Waits, headers: dict[str, str], expected: float
) -> None:
    server = await provider(refusal(429, **headers), answer())
    profile = server.profile.replacing(reset_headers=("x-ratelimit-reset-tokens",))
    assert await ask(profile, limits(retry_wait_max_s=200)) == STREAM
    assert waits.seconds == [expected]


async def test_an_overloaded_provider_is_given_the_pause_it_asks_for(
    provider: Any, ask: Any, waits: Waits
) -> None:
    server = await provider(refusal(503, Retry_After="4"), answer())
    assert await ask(server.profile) == STREAM
    assert waits.seconds == [4.0]


async def test_the_pause_is_really_waited(provider: Any, ask: Any) -> None:
    server = await provider(refusal(429, retry_after_ms="120"), answer())
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await ask(server.profile) == STREAM
    assert 0.11 < loop.time() - began < 1.0


async def test_a_pause_beyond_the_limit_is_the_clients_to_wait(
    provider: Any, ask: Any, waits: Waits
) -> None:
    server = await provider(refusal(429, Retry_After="61"), answer())
    with fails(Kind.RATE_LIMITED) as caught:
        await ask(server.profile, limits(retry_wait_max_s=60))
    assert caught.value.retry_after == 61
    assert len(server.requests) == 1
    assert waits.seconds == []


async def test_each_pause_has_the_limit_for_itself(provider: Any, ask: Any, waits: Waits) -> None:
    server = await provider(*[refusal(429, Retry_After="50")] * 2, answer())
    assert await ask(server.profile, limits(retry_wait_max_s=60)) == STREAM
    assert waits.seconds == [50.0, 50.0]


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
    with fails(Kind.PROVIDER_REFUSED, "Check the base URL"):
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


# ---------------------------------------------------------------- the list of models


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"object": "list", "data": [{"id": "a"}]}, [{"id": "a"}]),
        (b'[{"id":"b"}]', [{"id": "b"}]),
        ({"data": None}, []),
        ({"error": {"message": "no"}}, []),
        (b"<html></html>", []),
        (b"\xff\xfe", []),
        (b"[" * 100_000, []),
        (b"", []),
    ],
    ids=["OpenAI's", "bare list", "no data", "error", "page", "no text", "deep", "nothing"],
)
async def test_the_models_are_those_of_the_provider(
    provider: Any, body: bytes | JSON, expected: list[Any]
) -> None:
    server = await provider(answer(body=body))
    async with ProviderClient(QUICK) as clients:
        assert await clients.models(server.profile, KEY, 2.0) == expected
    assert server.requests[0].head.startswith("GET /v1/models ")
    assert f"authorization: bearer {KEY}" in server.requests[0].head.lower()


async def test_the_list_of_models_is_not_waited_for_longer_than_asked(provider: Any) -> None:
    server = await provider()
    async with ProviderClient(QUICK) as clients:
        assert await clients.models(server.profile, None, 0.05) == []
    await server.left()


async def test_an_endless_list_of_models_is_not_read_to_its_end(
    provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def endless(connection: Any) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\n\r\n[")
        while not connection.writer.transport.is_closing():
            await connection.send(b'{"id":"a"},' * 1000)

    monkeypatch.setattr(client, "_LISTING_MAX", 100_000)
    server = await provider(endless)
    async with ProviderClient(QUICK) as clients:
        assert await clients.models(server.profile, None, 30.0) == []


async def test_a_provider_without_a_list_is_not_asked_for_one(provider: Any) -> None:
    server = await provider()
    async with ProviderClient(QUICK) as clients:
        assert await clients.models(server.profile.replacing(models_path=""), None, 2.0) == []
    assert server.requests == []


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
