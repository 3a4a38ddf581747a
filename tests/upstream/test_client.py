from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import pytest

import anyturn
from anyturn.errors import Kind, TurnError
from anyturn.providers import generic
from anyturn.upstream import ProviderClient, client
from support.provider_answers import (
    BODY,
    JSON,
    KEY,
    QUICK,
    STREAM,
    Waits,
    answer,
    closed_port,
    fails,
    limits,
    refusal,
)

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


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_system_proxy_is_not_asked_for_this_machine_f70(
    provider: Any, ask: Any, monkeypatch: pytest.MonkeyPatch, variable: str, host: str
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with closed_port() as port:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{port}")
        server = await provider(answer())
        profile = server.profile.replacing(
            base_url=server.profile.base_url.replace("127.0.0.1", host)
        )
        assert await ask(profile) == STREAM


async def test_a_system_proxy_is_asked_for_other_hosts_f70(
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


# ---------------------------------------------------------------- tokens instead of a key


class Tokens:
    """A source whose tokens are numbered."""

    def __init__(self, renewals: int = 1) -> None:
        self.told: list[tuple[str, str]] = []
        self._left = renewals
        self._number = 1

    async def headers(self, client: Mapping[str, str]) -> dict[str, str]:
        return {"Authorization": f"Bearer {KEY}{self._number}", "x-for": client.get("who", "")}

    async def renewed(
        self, refused: Mapping[str, str], client: Mapping[str, str]
    ) -> dict[str, str] | None:
        self.told.append((refused["Authorization"], client.get("who", "")))
        if not self._left:
            return None
        self._left -= 1
        self._number += 1
        return await self.headers(client)

    async def close(self) -> None:
        return


async def opened(server: Any, tokens: Tokens) -> bytes:
    async with ProviderClient(QUICK) as client:
        stream = await client.open(server.profile, tokens, BODY, {"who": "anna"})
        data = await stream.read()
        await stream.drain()
        stream.close()
        return data


async def test_after_a_401_new_tokens_are_asked_with_once(provider: Any) -> None:
    server = await provider(refusal(401), answer())
    tokens = Tokens()
    assert await opened(server, tokens) == STREAM
    assert tokens.told == [(f"Bearer {KEY}1", "anna")]
    assert [re.findall(r"Bearer \S+|x-for: \S+", one.head) for one in server.requests] == [
        [f"Bearer {KEY}1", "x-for: anna"],
        [f"Bearer {KEY}2", "x-for: anna"],
    ]


@pytest.mark.parametrize("renewals", [0, 9])
async def test_a_401_that_stays_is_told_in_the_providers_words(
    provider: Any, renewals: int
) -> None:
    server = await provider(*[refusal(401)] * 9)
    tokens = Tokens(renewals)
    with fails(Kind.PROVIDER_CREDENTIALS, "No"):
        await opened(server, tokens)
    assert len(server.requests) == 1 + min(renewals, 1)
    assert len(tokens.told) == 1


async def test_no_other_refusal_renews_tokens(provider: Any) -> None:
    tokens = Tokens()
    with fails(Kind.PROVIDER_CREDENTIALS):
        await opened(await provider(refusal(403)), tokens)
    assert tokens.told == []


async def test_without_tokens_there_is_no_list_of_models(provider: Any) -> None:
    class Nothing(Tokens):
        async def headers(self, client: Mapping[str, str]) -> dict[str, str]:
            raise TurnError(Kind.PROVIDER_CREDENTIALS, "There is no login.")

    server = await provider(answer(200, {"data": [{"id": "m"}]}))
    async with ProviderClient(QUICK) as client:
        assert await client.models(server.profile, Nothing(), 1) == []
        assert await client.models(server.profile, Tokens(), 1) == [{"id": "m"}]
    assert len(server.requests) == 1
