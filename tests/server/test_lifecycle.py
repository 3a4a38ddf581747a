from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from anyturn.auth.key_file import KeyFile, KeysError
from anyturn.config import Settings
from anyturn.routing import Routing
from anyturn.server import lifecycle
from anyturn.server.lifecycle import CannotListen, Running, running
from anyturn.testing import (
    Answer,
    ResponsesClient,
    ResponsesRefused,
    ScriptedProvider,
    text,
)
from anyturn.upstream import Limits

JSON = dict[str, Any]
ASK: JSON = {"model": "gpt-oss-120b", "input": "Hi"}


@asynccontextmanager
async def gateway(provider: ScriptedProvider | None = None, **given: Any) -> AsyncIterator[Running]:
    base_url = provider.base_url if provider else "http://127.0.0.1:9/v1"
    settings = Settings(
        **{"base_url": base_url, "model": "gpt-oss-120b", "port": 0, "store": "off", **given}
    )
    async with running(settings, Routing(settings, {})) as up:
        yield up


# ---------------------------------------------------------------- listening


async def test_port_0_takes_any_free_one() -> None:
    async with gateway() as one, gateway() as other:
        assert one.port != other.port
        for up in (one, other):
            assert up.base_url == f"http://127.0.0.1:{up.port}/v1"
            async with aiohttp.ClientSession() as http, http.get(f"{up.base_url}/models") as reply:
                assert reply.status == 200


async def test_an_address_of_ipv6_stands_in_brackets() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with gateway(host="::1") as up:
        assert up.base_url == f"http://[::1]:{up.port}/v1"
        async with aiohttp.ClientSession() as http, http.get(f"{up.base_url}/models") as reply:
            assert reply.status == 200


async def test_a_taken_port_is_told_with_the_way_out() -> None:
    async with gateway() as first:
        with pytest.raises(CannotListen) as caught:
            async with gateway(port=first.port):
                raise AssertionError
    assert str(caught.value) == (
        f"Port {first.port} on 127.0.0.1 is taken. Stop what listens there, or choose another: "
        f"--port {first.port + 1}, or --port 0 for any free one."
    )


async def test_a_foreign_address_is_told() -> None:
    with pytest.raises(CannotListen, match=r"Cannot listen on 203\.0\.113\.7:\d+: .*--host"):
        async with gateway(host="203.0.113.7", port=5, allow_anyone=True):
            raise AssertionError


OPEN_TO_ALL = ["0.0.0.0", "::", "192.0.2.1", "gateway.example"]


@pytest.mark.parametrize("host", OPEN_TO_ALL)
async def test_others_are_not_served_without_keys(host: str) -> None:
    with pytest.raises(CannotListen) as caught:
        async with gateway(host=host):
            raise AssertionError
    for words in (host, "anyturn keys add NAME", "--allow-anyone", "allow_anyone = true"):
        assert words in str(caught.value)


@pytest.mark.parametrize("auth", ["auto", "required", "off"])
async def test_others_are_served_where_a_key_is_needed(tmp_path: Path, auth: str) -> None:
    KeyFile(tmp_path / "keys.json").add("laptop")
    given = {"host": "0.0.0.0", "keys_path": tmp_path / "keys.json", "auth": auth}
    if auth == "off":
        with pytest.raises(CannotListen):
            async with gateway(**given):
                raise AssertionError
        return
    async with gateway(**given) as up:
        assert up.gate.closed


async def test_others_are_served_by_force_and_that_is_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with gateway(host="0.0.0.0", allow_anyone=True) as up:
        assert not up.gate.closed
    (warning,) = caplog.records
    assert warning.levelname == "WARNING"
    assert "everyone who can reach 0.0.0.0" in warning.getMessage()


async def test_a_keys_file_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(b"{")
    with pytest.raises(KeysError, match="cannot be read"):
        async with gateway(keys_path=path):
            raise AssertionError


@pytest.mark.parametrize(("auth", "starts"), [("auto", False), ("required", True), ("off", True)])
async def test_a_named_keys_file_that_is_not_there_lets_nobody_in_by_mistake(
    tmp_path: Path, auth: str, starts: bool
) -> None:
    given = {"keys_file": "kyes.json", "keys_path": tmp_path / "kyes.json", "auth": auth}
    if starts:
        async with gateway(**given) as up:
            assert up.gate.closed == (auth == "required")
        return
    with pytest.raises(KeysError, match=r"there is no file 'kyes\.json'"):
        async with gateway(**given):
            raise AssertionError


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EADDRINUSE, "Port 80 on localhost is taken."),
        (errno.EACCES, "Port 80 needs more rights than this user has. Choose one above 1023"),
        (errno.EADDRNOTAVAIL, "Cannot listen on localhost:80:"),
    ],
)
def test_each_reason_not_to_listen_has_its_sentence(number: int, words: str) -> None:
    assert lifecycle.why_not_listening(OSError(number, "why"), "localhost", 80).startswith(words)


async def test_the_highest_port_has_no_next_one() -> None:
    sentence = lifecycle.why_not_listening(OSError(errno.EADDRINUSE, "why"), "localhost", 65535)
    assert "65536" not in sentence


async def test_the_settings_reach_the_client_of_providers() -> None:
    given = {
        "connect_timeout_s": 1.0,
        "first_byte_timeout_s": 2.0,
        "idle_timeout_s": 3.0,
        "retries": 4,
        "retry_wait_max_s": 5.0,
    }
    async with gateway(**given) as up:
        assert msgspec.to_builtins(up.client._limits) == given
    assert set(given) == set(Limits.__struct_fields__)


# ---------------------------------------------------------------- leaving


class Turn:
    """A streaming turn on its own task, and what came of it."""

    def __init__(self, up: Running, group: asyncio.TaskGroup) -> None:
        self.began = asyncio.Event()
        self.events: list[JSON] = []
        self._up = up
        self.task = group.create_task(self._run())

    async def _run(self) -> None:
        async with ResponsesClient(self._up.base_url) as client:
            async for event in client.stream(ASK):
                self.events.append(event)
                self.began.set()

    @property
    def last(self) -> JSON:
        return self.events[-1]


async def test_leaving_lets_an_open_stream_finish() -> None:
    answer = Answer(text("Hello there."), fragment=4, hold_after=2)
    async with ScriptedProvider([answer]) as provider, asyncio.TaskGroup() as group:
        up = gateway(provider, shutdown_timeout_s=10.0)
        turn = Turn(await up.__aenter__(), group)
        await turn.began.wait()
        leaving = group.create_task(up.__aexit__(None, None, None))
        await asyncio.sleep(0.02)
        assert not leaving.done()
        provider.release(1)
        await asyncio.wait_for(leaving, 5)
        await turn.task
    assert turn.last["type"] == "response.completed"


async def test_leaving_cuts_what_takes_too_long_and_says_so() -> None:
    loop = asyncio.get_running_loop()
    answer = Answer(text("Hello there."), fragment=4, hold_after=2)
    async with ScriptedProvider([answer]) as provider, asyncio.TaskGroup() as group:
        async with gateway(provider, shutdown_timeout_s=0.05) as up:
            turn = Turn(up, group)
            await turn.began.wait()
            left_at = loop.time()
        assert loop.time() - left_at < 1.0
        await provider.cancelled(1)
        await turn.task
    assert turn.last["type"] == "response.failed"
    assert turn.last["response"]["error"]["code"] == "gateway_shutting_down"


async def test_leaving_tells_a_turn_in_one_piece_with_a_503() -> None:
    answer = Answer(text("Hello there."), hold_after=2)
    async with ScriptedProvider([answer]) as provider, asyncio.TaskGroup() as group:
        async with gateway(provider, shutdown_timeout_s=0.05) as up:
            client = await _client(up)
            turn = group.create_task(_refusal(client))
            await provider.request(1)
        error = await turn
        await client.aclose()
    assert error.status == 503
    assert error.error["source"] == "gateway"


async def _client(up: Running) -> ResponsesClient:
    return ResponsesClient(up.base_url)


async def _refusal(client: ResponsesClient) -> ResponsesRefused:
    with pytest.raises(ResponsesRefused) as caught:
        await client.create(ASK)
    return caught.value


async def test_while_leaving_no_new_turn_is_taken() -> None:
    held = Answer(text("Hello there."), fragment=4, hold_after=2)
    async with (
        ScriptedProvider([text("one"), held]) as provider,
        asyncio.TaskGroup() as group,
    ):
        context = gateway(provider, shutdown_timeout_s=10.0)
        up = await context.__aenter__()
        client = await _client(up)
        assert (await client.create(ASK))["status"] == "completed"
        turn = Turn(up, group)
        await turn.began.wait()
        leaving = group.create_task(context.__aexit__(None, None, None))
        await asyncio.sleep(0.02)
        # The connection of the first request is still open, a new one is refused.
        assert (await _refusal(client)).error["code"] == "gateway_shutting_down"
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection("127.0.0.1", up.port)
        provider.release(2)
        await leaving
        await client.aclose()
    assert turn.last["type"] == "response.completed"
    assert len(provider.requests) == 2


async def test_an_idle_connection_does_not_hold_up_leaving() -> None:
    loop = asyncio.get_running_loop()
    async with ScriptedProvider([text("Hi.")]) as provider:
        async with gateway(provider) as up:
            client = await _client(up)
            await client.create(ASK)
            left_at = loop.time()
        assert loop.time() - left_at < 0.5
        await client.aclose()


async def test_a_client_that_reads_nothing_does_not_hold_up_leaving(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lifecycle, "_FAREWELL_S", 0.05)
    loop = asyncio.get_running_loop()
    answer = Answer(text("x" * 30_000_000), fragment=100_000)
    async with ScriptedProvider([answer]) as provider:
        async with gateway(provider, shutdown_timeout_s=0.05) as up:
            raw = msgspec.json.encode({**ASK, "stream": True})
            _, writer = await asyncio.open_connection("127.0.0.1", up.port, limit=1024)
            writer.write(
                b"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Length: %d\r\n\r\n" % len(raw) + raw
            )
            await provider.request(1)
            await asyncio.sleep(0.2)
            left_at = loop.time()
        assert loop.time() - left_at < 2.0
        await provider.cancelled(1)
        writer.close()


async def test_an_error_inside_the_block_still_stops_the_gateway() -> None:
    with pytest.raises(ZeroDivisionError):
        async with gateway() as up:
            raise ZeroDivisionError
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", up.port)
