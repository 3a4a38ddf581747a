"""An open answer of a provider: blocks of bytes, as few wake-ups as the rate allows."""

from __future__ import annotations

import asyncio
import time

import aiohttp

from anyturn.errors import Kind, TurnError
from anyturn.wire.profile import Profile

# Above this rate a stream is gathered: each wake-up costs more than the translation of a chunk
# (design.md: 120 -> 42 µs per event at 3,000/s). 2 ms is far below what a reader can see.
GATHER_ABOVE_PER_S = 1000
GATHER_S = 0.002
_WINDOW_S = 0.016
# A block with this many chunks is gathered already: the provider or the kernel has batched it.
_FULL_BLOCK = 32
_DRAIN_S = 0.1
_WATCH_S = 1.0
# A cut connection. The RuntimeError is aiohttp's for reading from one that it has closed itself.
_CUT = (aiohttp.ClientError, ConnectionError, RuntimeError)


class ProviderStream:
    """The body of a provider's 200 answer. Closing it without the end cancels the request."""

    def __init__(
        self, response: aiohttp.ClientResponse, profile: Profile, idle_timeout_s: float
    ) -> None:
        self._response = response
        self._profile = profile
        self._idle_timeout_s = idle_timeout_s
        self._window_start = time.monotonic()
        self._window_count = 0
        self._rate = 0.0
        self._loop = asyncio.get_running_loop()
        self._waiting_since: float | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._wind(idle_timeout_s)

    async def read(self, grace_s: float | None = None) -> bytes:
        """The next block; b'' at the end, however the connection ended.

        With `grace_s` the end is also assumed when nothing comes for that long. Raises `TurnError`
        (PROVIDER_TIMEOUT) when the provider is silent for longer than the idle time limit.
        """
        self._waiting_since = self._loop.time()
        try:
            if grace_s is None:
                return await self._response.content.readany()
            async with asyncio.timeout(grace_s):
                return await self._response.content.readany()
        except aiohttp.ServerTimeoutError:
            raise self._silent() from None
        except (TimeoutError, *_CUT):
            # Whether the answer was whole is the translator's to judge.
            return b""
        finally:
            self._waiting_since = None

    def _wind(self, seconds: float) -> None:
        self._watch = self._loop.call_later(min(_WATCH_S, seconds), self._look)

    def _look(self) -> None:
        """Wake up a reader that waits in vain.

        One look a second is cheaper than a timer for each block, and time in which a slow client
        keeps us from reading does not count. aiohttp does not tell of a connection that it closed
        over broken chunk framing: there the reader would wait for ever.
        """
        left_s = self._idle_timeout_s
        if self._waiting_since is not None:
            left_s -= self._loop.time() - self._waiting_since
            connection = self._response.connection
            if left_s <= 0:
                self._response.content.set_exception(aiohttp.ServerTimeoutError())
                return
            if connection is not None and connection.transport is None:
                self._response.content.set_exception(aiohttp.ClientPayloadError())
                return
        self._wind(left_s)

    async def gather(self, chunks: int) -> None:
        """After a block of so many chunks: on a fast stream, let the next ones collect (≤ 2 ms).

        The socket is not read meanwhile, so the chunks cost one wake-up instead of one each.
        """
        self._window_count += chunks
        now = time.monotonic()
        elapsed = now - self._window_start
        if elapsed >= _WINDOW_S:
            self._rate = self._window_count / elapsed
            self._window_start, self._window_count = now, 0
        if self._rate <= GATHER_ABOVE_PER_S or chunks >= _FULL_BLOCK:
            return
        transport = self._transport()
        if transport is None:
            return
        transport.pause_reading()
        try:
            await asyncio.sleep(GATHER_S)
        finally:
            transport.resume_reading()

    def _transport(self) -> asyncio.Transport | None:
        """The socket, while it may be paused: open, and not held already by aiohttp's own limit.

        The pause is the transport's, not aiohttp's: its parser and its timers need not know. Its
        flow control cannot interfere, since it only acts on bytes that come or are read.
        """
        connection = self._response.connection
        transport = connection.transport if connection is not None else None
        if transport is None or transport.is_closing() or not transport.is_reading():
            return None
        return transport

    async def drain(self) -> None:
        """Read to the end after `[DONE]`, briefly, so that the connection can be used again."""
        try:
            async with asyncio.timeout(_DRAIN_S):
                while await self._response.content.readany():
                    pass
        except (TimeoutError, *_CUT):
            return

    def close(self) -> None:
        """Let go of the connection; one that is not at its end is closed, which cancels it."""
        if self._watch is not None:
            self._watch.cancel()
        self._response.close()

    def _silent(self) -> TurnError:
        return TurnError(
            Kind.PROVIDER_TIMEOUT,
            f"{self._profile.label} sent nothing for {self._idle_timeout_s:g} s in the middle of "
            "the answer (idle_timeout_s).",
            provider=self._profile.name,
        )
