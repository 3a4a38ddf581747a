from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from anyturn.openai_sdk.exchange import MAX_HELD, AsyncExchange, Broken, Exchange, call


@pytest.fixture
def gateway() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop in another thread, as the gateway has."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def written(exchange: Exchange, pieces: list[bytes], fault: str = "") -> None:
    exchange.head(200, [("a", "b")])
    for piece in pieces:
        await exchange.body(piece)
    exchange.end(fault)


def test_what_was_written_is_read_in_order_and_then_it_ends(
    gateway: asyncio.AbstractEventLoop,
) -> None:
    exchange = Exchange(gateway)
    pieces = [bytes([number]) * 10 for number in range(200)]
    asyncio.run_coroutine_threadsafe(written(exchange, pieces), gateway)
    assert exchange.wait_for_head(5) == (200, [("a", "b")])
    read = bytearray()
    while piece := exchange.read(5):
        read += piece
    assert bytes(read) == b"".join(pieces)
    assert exchange.read(5) == b""


async def test_another_loop_reads_the_same(gateway: asyncio.AbstractEventLoop) -> None:
    exchange = AsyncExchange(gateway)
    pieces = [bytes([number]) * 10 for number in range(200)]
    asyncio.run_coroutine_threadsafe(written(exchange, pieces), gateway)
    assert (await exchange.wait_for_head_soon(5)).status == 200
    read = bytearray()
    while piece := await exchange.read_soon(5):
        read += piece
    assert bytes(read) == b"".join(pieces)


def test_the_gateway_waits_while_the_reader_has_enough(
    gateway: asyncio.AbstractEventLoop,
) -> None:
    exchange = Exchange(gateway)
    pieces = [b"x" * MAX_HELD, b"y", b"z"]
    work = asyncio.run_coroutine_threadsafe(written(exchange, pieces), gateway)
    read = b""
    while len(read) < MAX_HELD:
        read += exchange.read(5)
    # The second piece was one too many: the third can only come once that was taken.
    while len(read) < MAX_HELD + 2:
        read += exchange.read(5)
    work.result(5)
    assert read.endswith(b"xyz")


async def test_a_full_exchange_holds_no_more() -> None:
    exchange = Exchange(asyncio.get_running_loop())
    work = asyncio.ensure_future(written(exchange, [b"x" * (MAX_HELD + 1), b"y"]))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not work.done()
    assert len(exchange.read(0)) == MAX_HELD + 1
    await work
    assert exchange.read(0) == b"y"


@pytest.mark.parametrize("has_begun", [True, False], ids=["in the body", "before the head"])
async def test_what_is_not_whole_is_broken_behind_its_last_byte(has_begun: bool) -> None:
    exchange = Exchange(asyncio.get_running_loop())
    if has_begun:
        exchange.head(200, [])
        await exchange.body(b"half")
        assert exchange.wait_for_head(0).status == 200
    exchange.end("It broke.")
    if has_begun:
        assert exchange.read(0) == b"half"
        with pytest.raises(Broken, match="It broke"):
            exchange.read(0)
    else:
        with pytest.raises(Broken, match="It broke"):
            exchange.wait_for_head(0)


async def test_silence_is_a_timeout() -> None:
    exchange = AsyncExchange(asyncio.get_running_loop())
    with pytest.raises(TimeoutError):
        exchange.wait_for_head(0.01)
    with pytest.raises(TimeoutError):
        await exchange.read_soon(0.01)


@pytest.mark.parametrize("leaves", ["before", "after"])
async def test_leaving_cancels_the_work_or_keeps_it_from_beginning(leaves: str) -> None:
    loop = asyncio.get_running_loop()
    exchange = Exchange(loop)
    begun: list[asyncio.Task[None]] = []

    def start() -> asyncio.Task[None]:
        begun.append(asyncio.ensure_future(asyncio.Event().wait()))  # type: ignore[arg-type]
        return begun[0]

    if leaves == "before":
        exchange.leave()
    exchange.begin(start)
    exchange.leave()
    exchange.leave()
    for task in begun:
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(begun) == (leaves == "after")


async def test_a_reader_whose_loop_is_gone_has_left() -> None:
    loop = asyncio.get_running_loop()

    async def wait_for_nothing(exchanges: list[AsyncExchange]) -> None:
        exchange = AsyncExchange(loop)
        exchanges.append(exchange)
        waiting = asyncio.ensure_future(exchange.read_soon(None))
        await asyncio.sleep(0)
        waiting.get_loop().stop()

    def run_and_close(exchanges: list[AsyncExchange]) -> None:
        readers = asyncio.new_event_loop()
        work = readers.create_task(wait_for_nothing(exchanges))
        readers.run_forever()
        readers.close()
        assert work is not None

    exchanges: list[AsyncExchange] = []
    await asyncio.to_thread(run_and_close, exchanges)
    cancelled = loop.create_future()
    exchanges[0].begin(lambda: cancelled)  # type: ignore[arg-type, return-value]
    exchanges[0].head(200, [])
    with pytest.raises(asyncio.CancelledError):
        await cancelled


def test_a_loop_that_is_gone_takes_no_calls() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    assert call(loop, print) is False
