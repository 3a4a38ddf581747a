"""A thread with a connection of its own: jobs come in, and those that wait share a transaction.

A caller waits for its job's answer, and an answer is only given after COMMIT. While one transaction
is on its way, the next jobs gather: so many callers at once cost one COMMIT and not many.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from anyturn.store.records import MissingLink, StoreError
from anyturn.store.sqlite_file import DatabaseFile, Identity, is_for_all, is_lasting

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

_MOST_WAITING = 1024
_MOST_TOGETHER = 256


class _Waiting(NamedTuple):
    job: Job[Any]
    answer: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class _Outcome(NamedTuple):
    waiting: _Waiting
    value: Any
    error: Exception | None


class DatabaseThread:
    """Runs jobs on the file, one group after another, away from the event loop.

    `begin` begins a transaction. `at_end` is run in each one, before its COMMIT, and `afterwards`
    when the callers have their answers; `now_and_then` after every `rest_s` seconds without a job.
    The thread begins with the first job.
    """

    def __init__(
        self,
        file: DatabaseFile,
        *,
        begin: str,
        queue_wait_s: float,
        at_end: Job[object] | None = None,
        afterwards: Job[object] | None = None,
        now_and_then: Job[object] | None = None,
        rest_s: float | None = None,
    ) -> None:
        self._file, self._begin, self._queue_wait_s = file, begin, queue_wait_s
        self._at_end, self._afterwards = at_end, afterwards
        self._now_and_then, self._rest_s = now_and_then, rest_s
        self._jobs: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._places = asyncio.Semaphore(_MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._closed = False
        self._connection: sqlite3.Connection | None = None
        self._identity: Identity | None = None
        # Held while the connection is used; also others may close it (`let_go`).
        self._using = threading.Lock()
        self.sibling: DatabaseThread | None = None
        """The other thread on the same file."""

    async def run(self, job: Job[T]) -> T:
        """Run a job and return its answer, after COMMIT.

        Raises what the job raises of `StoreError` and `MissingLink`, and `StoreError` for all that
        SQLite and the system have against it. A caller that is cancelled leaves its job behind.
        """
        await self._take_a_place()
        if self._closed:
            self._places.release()
            raise StoreError(f"The store {self._file.path} is closed.")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Waiting(job, answer, loop))
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="anyturn-store", daemon=True)
            self._thread.start()
        return await answer

    async def close(self) -> None:
        """Finish the jobs that wait, and let go of the file."""
        if self._closed:
            return
        self._closed = True
        if self._thread is not None:
            self._jobs.put(None)
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def let_go(self) -> None:
        """Close the connection; the next job opens a new one. From any thread."""
        with self._using:
            self._disconnect()

    async def _take_a_place(self) -> None:
        if self._places.locked():
            try:
                async with asyncio.timeout(self._queue_wait_s):
                    await self._places.acquire()
            except TimeoutError:
                waited = f"{_MOST_WAITING} others wait, for more than {self._queue_wait_s:g} s"
                raise StoreError(f"The store {self._file.path} is too slow: {waited}.") from None
        else:
            await self._places.acquire()

    # ------------------------------------------------------------ in the thread

    def _serve(self) -> None:
        go_on = True
        while go_on:
            group, go_on = self._next_group()
            # Nobody waits for what is done besides, and whoever comes next meets the same fault.
            if group:
                self._answer(self._run_group(group))
                with suppress(sqlite3.Error, OSError), self._using:
                    if self._afterwards and self._connection:
                        self._afterwards(self._connection)
            elif go_on and self._now_and_then and self._connection:
                with suppress(sqlite3.Error, OSError, StoreError):
                    self._transact([self._now_and_then])
        self.let_go()

    def _next_group(self) -> tuple[list[_Waiting], bool]:
        """The jobs that wait, at least one unless nothing came; False when no more will come."""
        group: list[_Waiting] = []
        try:
            while len(group) < _MOST_TOGETHER:
                waiting = (
                    self._jobs.get(timeout=self._rest_s) if not group else self._jobs.get(False)
                )
                if waiting is None:
                    return group, False
                group.append(waiting)
        except Empty:
            pass
        return group, True

    def _run_group(self, group: list[_Waiting]) -> list[_Outcome]:
        try:
            values = self._transact([waiting.job for waiting in group])
        except Exception as error:
            if len(group) > 1 and not is_for_all(error):
                # One of them may be the cause: the others must not suffer from it.
                return [outcome for one in group for outcome in self._run_group([one])]
            return [_Outcome(waiting, None, self._file.explain(error)) for waiting in group]
        outcomes = zip(group, values, strict=True)
        return [_Outcome(waiting, value, error) for waiting, (value, error) in outcomes]

    def _transact(self, jobs: Sequence[Job[Any]]) -> list[tuple[Any, Exception | None]]:
        self._let_go_if_moved()
        with self._using:
            connection = self._connected()
            try:
                connection.execute(self._begin)
                answers = [_attempt(job, connection) for job in jobs]
                if self._at_end:
                    self._at_end(connection)
                connection.execute("COMMIT")
            except Exception as error:
                self._recover(connection, error)
                raise
        return answers

    def _recover(self, connection: sqlite3.Connection, error: Exception) -> None:
        try:
            # Some faults have rolled back already.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._disconnect()
        if is_lasting(error):
            self._disconnect()

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection, self._identity = self._file.connect()
        return self._connection

    def _let_go_if_moved(self) -> None:
        """Do not write into a file that was moved or deleted: nobody would ever read it."""
        if self._connection is None:
            return
        with suppress(OSError):
            if self._file.identity() == self._identity:
                return
        self.let_go()
        # Two connections on two files would share one index of the log, found by its name.
        if self.sibling:
            self.sibling.let_go()

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = self._identity = None

    def _answer(self, outcomes: list[_Outcome]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
        for outcome in outcomes:
            by_loop.setdefault(outcome.waiting.loop, []).append(outcome)
        for loop, its in by_loop.items():
            # A loop that is closed has nobody left who waits.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._settle, its)

    def _settle(self, outcomes: list[_Outcome]) -> None:
        for outcome in outcomes:
            self._places.release()
            answer = outcome.waiting.answer
            if answer.cancelled():
                continue
            if outcome.error is not None:
                answer.set_exception(outcome.error)
            else:
                answer.set_result(outcome.value)


def _attempt(job: Job[Any], connection: sqlite3.Connection) -> tuple[Any, Exception | None]:
    """A job's answer, or what it says against itself; whatever else goes wrong is for all."""
    try:
        return job(connection), None
    except (StoreError, MissingLink) as error:
        return None, error
