from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import uvloop

from anyturn.errors import Kind, TurnError
from anyturn.providers import generic
from anyturn.upstream import Limits, ProviderClient, ProviderStream
from anyturn.upstream import stream as stream_module

LIMITS = Limits(connect_timeout_s=2, first_byte_timeout_s=5, idle_timeout_s=5, retries=0)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@asynccontextmanager
async def opened(server: Any, **limits: Any) -> AsyncIterator[ProviderStream]:
    """The open answer of a provider."""
    allowed = msgspec.structs.replace(LIMITS, **limits)
    async with (
        ProviderClient(allowed) as client,
        client.stream(server.profile, None, b"{}") as stream,
    ):
        yield stream


async def rest(stream: ProviderStream) -> bytes:
    pieces = []
    while block := await stream.read():
        pieces.append(block)
    return b"".join(pieces)


# ---------------------------------------------------------------- reading


async def test_blocks_come_as_they_are_sent(provider: Any) -> None:
    go_on = asyncio.Event()

    async def act(connection: Any) -> None:
        await connection.send(CHUNKED + chunk(b"one"))
        await go_on.wait()
        await connection.send(chunk(b"two") + END)

    server = await provider(act)
    async with opened(server) as stream:
        assert await stream.read() == b"one"
        go_on.set()
        assert await rest(stream) == b"two"
        assert await stream.read() == b""


async def close(connection: Any) -> None:
    await connection.close()


async def reset(connection: Any) -> None:
    await connection.reset()


async def break_framing(connection: Any) -> None:
    await connection.send(b"this is no chunk\r\n")


@pytest.mark.parametrize(
    "head",
    [CHUNKED + chunk(b"one"), b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\none"],
    ids=["chunked", "length"],
)
@pytest.mark.parametrize("ending", [close, reset])
async def test_a_cut_connection_is_an_end(
    provider: Any, head: bytes, ending: Callable[[Any], Any]
) -> None:
    go_on = asyncio.Event()

    async def act(connection: Any) -> None:
        await connection.send(head)
        await go_on.wait()
        await ending(connection)

    async with opened(await provider(act)) as stream:
        assert await stream.read() == b"one"
        go_on.set()
        assert await stream.read() == b""
        assert await stream.read() == b""
        await stream.drain()


@LOOPS
def test_broken_framing_is_an_end(
    new_loop: Callable[[], Any], provider_class: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "_WATCH_S", 0.02)

    async def main() -> None:
        go_on = asyncio.Event()

        async def act(connection: Any) -> None:
            await connection.send(CHUNKED + chunk(b"one"))
            await go_on.wait()
            await break_framing(connection)

        async with provider_class(act) as server, opened(server) as stream:
            assert await stream.read() == b"one"
            go_on.set()
            assert await stream.read() == b""
            await stream.gather(1)
            await stream.drain()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


async def test_a_body_that_is_compressed_is_unpacked(provider: Any) -> None:
    packed = gzip.compress(b"data: {}\n\n")
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with opened(await provider(head + packed)) as stream:
        assert await rest(stream) == b"data: {}\n\n"


# ---------------------------------------------------------------- silence


@pytest.mark.parametrize("beginning", [b"", chunk(b"one")], ids=["at once", "later"])
async def test_a_provider_that_falls_silent_is_given_up(provider: Any, beginning: bytes) -> None:
    server = await provider(CHUNKED + beginning)
    with pytest.raises(
        TurnError, match=r"sent nothing for 0\.05 s .* \(idle_timeout_s\)"
    ) as caught:
        async with opened(server, idle_timeout_s=0.05) as stream:
            await rest(stream)
    assert caught.value.kind is Kind.PROVIDER_TIMEOUT
    assert caught.value.provider == server.profile.name
    await server.left()


async def test_each_block_starts_the_idle_clock_anew(provider: Any) -> None:
    async def act(connection: Any) -> None:
        await connection.send(CHUNKED)
        for _ in range(8):
            await asyncio.sleep(0.03)
            await connection.send(chunk(b"x"))
        await connection.send(END)

    async with opened(await provider(act), idle_timeout_s=0.15) as stream:
        assert await rest(stream) == b"x" * 8


async def test_a_slow_client_is_not_taken_for_a_silent_provider(provider: Any) -> None:
    size = 16 * 1024 * 1024

    async def act(connection: Any) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        await connection.send(b"x" * size)

    async with opened(await provider(act), idle_timeout_s=0.1) as stream:
        assert await stream.read()
        await asyncio.sleep(0.25)
        assert size - len(await rest(stream)) < size // 2


async def test_a_connection_that_served_once_has_no_old_idle_clock(provider: Any) -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"

    async def slow(connection: Any) -> None:
        await asyncio.sleep(0.1)
        await connection.send(whole)

    server = await provider(whole, slow)
    async with ProviderClient(msgspec.structs.replace(LIMITS, idle_timeout_s=0.05)) as client:
        for _ in range(2):
            async with client.stream(server.profile, None, b"{}") as stream:
                assert await rest(stream) == b"one"
    assert [request.connection for request in server.requests] == [1, 1]


# ---------------------------------------------------------------- after the finish


async def test_the_grace_ends_a_stream_that_stays_open(provider: Any) -> None:
    async with opened(await provider(CHUNKED + chunk(b"one"))) as stream:
        assert await stream.read(0.05) == b"one"
        assert await stream.read(0.05) == b""


async def test_within_the_grace_the_idle_limit_still_holds(provider: Any) -> None:
    async with opened(await provider(CHUNKED), idle_timeout_s=0.05) as stream:
        with pytest.raises(TurnError, match="idle_timeout_s"):
            await stream.read(5.0)


async def test_draining_makes_the_connection_fit_for_the_next_turn(provider: Any) -> None:
    whole = CHUNKED + chunk(b"one") + chunk(b"two") + END
    server = await provider(whole, whole)
    async with ProviderClient(LIMITS) as client:
        for _ in range(2):
            async with client.stream(server.profile, None, b"{}") as stream:
                assert (await stream.read()).startswith(b"one")
                await stream.drain()
    assert server.connections == 1


async def test_draining_does_not_wait_for_a_provider_that_never_ends(
    provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "_DRAIN_S", 0.02)

    async def endless(connection: Any) -> None:
        await connection.send(CHUNKED)
        while not connection.writer.transport.is_closing():
            await connection.send(chunk(b": ping\n\n"))
            await asyncio.sleep(0.005)

    server = await provider(endless)
    async with opened(server) as stream:
        await stream.read()
        async with asyncio.timeout(1):
            await stream.drain()


# ---------------------------------------------------------------- gathering


class Transport:
    """What `gather` may do to a socket, noted."""

    def __init__(self, *, reading: bool = True, closing: bool = False) -> None:
        self.calls: list[str] = []
        self._reading = reading
        self._closing = closing

    def is_reading(self) -> bool:
        return self._reading

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")


class Response:
    """As much of an aiohttp response as `gather` uses."""

    def __init__(self, transport: Transport | None, *, released: bool = False) -> None:
        self.connection = None if released else self
        self.transport = transport
        self.protocol = None


class Clock:
    """Stands in for `time` in the module."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(stream_module, "time", clock)
    return clock


async def feed(transport: Transport | None, clock: Clock, per_s: float, chunks: int = 1) -> Any:
    """A stream that brought blocks of so many chunks for 40 ms, and that was gathered then."""
    response: Any = Response(transport)
    stream = ProviderStream(response, generic("http://localhost/v1"), 5)
    for _ in range(int(per_s / 25 / chunks)):
        clock.now += chunks / per_s
        await stream.gather(chunks)
    return stream


@pytest.mark.parametrize(
    ("per_s", "chunks", "gathers"),
    [
        (20, 1, False),
        (900, 1, False),
        (1_500, 1, True),
        (5_000, 4, True),
        (5_000, 31, True),
        (50_000, 32, False),
        (50_000, 500, False),
    ],
)
async def test_only_a_fast_stream_in_small_blocks_is_gathered(
    clock: Clock, per_s: float, chunks: int, gathers: bool
) -> None:
    transport = Transport()
    await feed(transport, clock, per_s, chunks)
    assert ("pause" in transport.calls) is gathers
    assert transport.calls == ["pause", "resume"] * (len(transport.calls) // 2)


async def test_a_stream_that_slows_down_is_not_gathered_any_more(clock: Clock) -> None:
    transport = Transport()
    stream = await feed(transport, clock, 5_000)
    assert transport.calls
    transport.calls.clear()
    clock.now += 0.5
    await stream.gather(1)
    assert transport.calls == []


async def test_gathering_waits_no_longer_than_a_reader_could_see(clock: Clock) -> None:
    transport = Transport()
    stream = await feed(transport, clock, 5_000)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await stream.gather(1)
    assert stream_module.GATHER_S * 0.9 <= loop.time() - began < 0.1


async def test_a_cancelled_gathering_resumes_reading(clock: Clock) -> None:
    transport = Transport()
    stream = await feed(transport, clock, 5_000)
    transport.calls.clear()
    task = asyncio.get_running_loop().create_task(stream.gather(1))
    await asyncio.sleep(0)
    assert transport.calls == ["pause"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert transport.calls == ["pause", "resume"]


@pytest.mark.parametrize(
    "transport",
    [Transport(reading=False), Transport(closing=True), None],
    ids=["held already", "closing", "gone"],
)
async def test_a_socket_that_is_not_ours_to_pause_is_left_alone(
    clock: Clock, transport: Transport | None
) -> None:
    stream = await feed(transport, clock, 5_000)
    await stream.gather(1)
    assert transport is None or transport.calls == []


async def test_an_answer_that_is_at_its_end_is_not_gathered(clock: Clock) -> None:
    transport = Transport()
    stream = await feed(transport, clock, 5_000)
    transport.calls.clear()
    stream._response.connection = None
    await stream.gather(1)
    assert transport.calls == []


# ---------------------------------------------------------------- gathering real sockets


@LOOPS
@pytest.mark.parametrize("size", [40, 40_000], ids=["small", "over aiohttp's limit"])
def test_a_gathered_stream_loses_nothing_and_takes_fewer_blocks(
    new_loop: Callable[[], Any], provider_class: Any, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(stream_module, "GATHER_ABOVE_PER_S", -1)
    count = 300

    async def act(connection: Any) -> None:
        await connection.send(CHUNKED)
        for number in range(count):
            await connection.send(chunk(b"%6d" % number + b"x" * size))
            await asyncio.sleep(0)
        await connection.send(END)

    async def main() -> tuple[bytes, int]:
        blocks = []
        async with provider_class(act) as server, opened(server) as stream:
            while block := await stream.read():
                blocks.append(block)
                await stream.gather(1)
        return b"".join(blocks), len(blocks)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        body, blocks = runner.run(main())
    assert body == b"".join(b"%6d" % number + b"x" * size for number in range(count))
    assert blocks < count / 3


@LOOPS
@pytest.mark.parametrize("ending", [close, reset, break_framing])
def test_a_gathered_stream_survives_the_loss_of_its_connection(
    new_loop: Callable[[], Any],
    provider_class: Any,
    monkeypatch: pytest.MonkeyPatch,
    ending: Callable[[Any], Any],
) -> None:
    """The connection may be lost between a block and its gathering, while the client is written."""
    monkeypatch.setattr(stream_module, "GATHER_ABOVE_PER_S", -1)
    monkeypatch.setattr(stream_module, "_WATCH_S", 0.02)
    go_on = asyncio.Event()

    async def act(connection: Any) -> None:
        await connection.send(CHUNKED + chunk(b"one"))
        await go_on.wait()
        await ending(connection)

    async def main() -> None:
        async with provider_class(act) as server, opened(server) as stream:
            assert await stream.read() == b"one"
            await stream.gather(1)
            transport = stream._response.connection.transport
            go_on.set()
            async with asyncio.timeout(5):
                while not transport.is_closing():
                    await asyncio.sleep(0)
            for _ in range(3):
                await stream.gather(1)
                await asyncio.sleep(0)
            assert await stream.read() == b""

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


@LOOPS
def test_a_gathered_stream_over_tls_loses_nothing(
    new_loop: Callable[[], Any],
    provider_class: Any,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_module, "GATHER_ABOVE_PER_S", -1)
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(certificate)
    # aiohttp makes its context when it is imported.
    monkeypatch.setattr(
        aiohttp.connector, "_SSL_CONTEXT_VERIFIED", ssl.create_default_context(cafile=certificate)
    )
    count = 100

    async def act(connection: Any) -> None:
        await connection.send(CHUNKED)
        for number in range(count):
            await connection.send(chunk(b"%6d" % number + b"x" * 9000))
            await asyncio.sleep(0)
        await connection.send(END)

    async def main() -> tuple[bytes, int]:
        blocks = []
        async with provider_class(act, tls=ours) as server, opened(server) as stream:
            while block := await stream.read():
                blocks.append(block)
                await stream.gather(1)
        return b"".join(blocks), len(blocks)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        body, blocks = runner.run(main())
    assert body == b"".join(b"%6d" % number + b"x" * 9000 for number in range(count))
    assert blocks < count
