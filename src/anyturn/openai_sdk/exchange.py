"""One answer on its way from the gateway's loop to the thread, or the other loop, that reads it.

Bounded: when the reader has enough, the gateway waits, and so does the provider (A1).
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

Headers = list[tuple[str, str]]

# As much as the buffers of a connection would hold.
MAX_HELD = 256 * 1024


class Broken(Exception):
    """The answer ended before it was whole. `str()` says why."""


class Head(NamedTuple):
    """How an answer begins."""

    status: int
    headers: Headers


class Exchange:
    """One request's answer, taken by a thread that waits. `leave` is what stops the gateway's work.

    `head`, `body` and `end` are for the gateway's loop, `wait_for_head` and `read` for the reader.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """`loop` is the gateway's."""
        self._loop = loop
        self._changed = threading.Condition(threading.Lock())
        self._head: Head | None = None
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._has_room = asyncio.Event()
        self._fault: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._left = False

    # ---------------------------------------------------------------- the gateway's side

    def begin(self, start: Callable[[], asyncio.Task[None]]) -> None:
        """Start the work, unless the reader has left already."""
        if self._left:
            self.end("The reader has left.")
        else:
            self._task = start()

    def head(self, status: int, headers: Headers) -> None:
        """Take the status and the headers."""
        with self._changed:
            self._head = Head(status, headers)
            self._wake()

    async def body(self, piece: bytes) -> None:
        """Take bytes; wait while the reader has enough."""
        with self._changed:
            self._pieces.append(piece)
            self._held += len(piece)
            is_full = self._held > MAX_HELD
            if is_full:
                self._has_room.clear()
            self._wake()
        if is_full:
            await self._has_room.wait()

    def end(self, fault: str) -> None:
        """Take note that nothing more comes; the first to say so is right."""
        with self._changed:
            if self._fault is None:
                self._fault = fault
                self._wake()

    def _wake(self) -> None:
        """Wake the reader. The lock is held."""
        self._changed.notify()

    # ---------------------------------------------------------------- the reader's side

    def wait_for_head(self, timeout_s: float | None) -> Head:
        """How the answer begins. Raises `TimeoutError` and `Broken`."""
        self._wait(self._is_begun, timeout_s)
        return self._begun()

    def read(self, timeout_s: float | None) -> bytes:
        """Everything that has come; nothing at the end. Raises `TimeoutError` and `Broken`."""
        self._wait(self._is_readable, timeout_s)
        return self._taken()

    def leave(self) -> None:
        """Have the gateway stop its work, unless it is done. From any thread, more than once."""
        if self._left or self._fault is not None:
            return
        self._left = True
        call(self._loop, self._stop)

    def _wait(self, has_come: Callable[[], bool], timeout_s: float | None) -> None:
        with self._changed:
            if not self._changed.wait_for(has_come, timeout_s):
                raise TimeoutError

    def _is_begun(self) -> bool:
        return self._head is not None or self._fault is not None

    def _is_readable(self) -> bool:
        return bool(self._pieces) or self._fault is not None

    def _begun(self) -> Head:
        if self._head is None:
            raise Broken(self._fault)
        return self._head

    def _taken(self) -> bytes:
        with self._changed:
            taken = b"".join(self._pieces)
            was_full = self._held > MAX_HELD
            self._pieces.clear()
            self._held = 0
        if was_full:
            call(self._loop, self._has_room.set)
        if not taken and self._fault:
            raise Broken(self._fault)
        return taken

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()


class AsyncExchange(Exchange):
    """The same for a reader in a loop of its own. Make it there."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._readers = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None

    async def wait_for_head_soon(self, timeout_s: float | None) -> Head:
        """As `wait_for_head`, without blocking the loop."""
        await self._wait_soon(self._is_begun, timeout_s)
        return self._begun()

    async def read_soon(self, timeout_s: float | None) -> bytes:
        """As `read`, without blocking the loop."""
        await self._wait_soon(self._is_readable, timeout_s)
        return self._taken()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not call(self._readers, _resolve, waiter):
            self.leave()

    async def _wait_soon(self, has_come: Callable[[], bool], timeout_s: float | None) -> None:
        async with asyncio.timeout(timeout_s):
            while True:
                with self._changed:
                    if has_come():
                        return
                    self._waiter = waiter = self._readers.create_future()
                await waiter


def call(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object) -> bool:
    """Have another thread's loop call this; say whether the loop is still there."""
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        return False
    return True


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
