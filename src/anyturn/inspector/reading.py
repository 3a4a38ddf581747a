"""Where captures are read: beside the loop in a thread, or in a process that comes and goes."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import anyturn
from anyturn.capture_files import CaptureError
from anyturn.inspector import reader

log = logging.getLogger("anyturn")

_JOB_MAX_S = 60.0
# Its memory is given back when nobody looks any more.
_IDLE_S = 60.0
_BUFFER = 1024 * 1024
_START = "from anyturn.inspector.reader import main; main()"
# A reader needs no keys.
_VARIABLES = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "VIRTUAL_ENV")
_ENDED = "The inspector's reader ended in the middle of its work; see the next file, or try again."


class Reading(Protocol):
    """Somebody who does a reader's jobs, one after the other."""

    async def do(self, job: reader.Job) -> bytes:
        """Do a job. Raises `CaptureError` when a file cannot be read."""

    async def close(self) -> None:
        """End it, whatever it does."""


class ReadingThread:
    """Reads in a thread: for a process that does nothing else."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="anyturn-inspector")

    async def do(self, job: reader.Job) -> bytes:
        """Do a job. Raises `CaptureError` when a file cannot be read."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, reader.do, job)

    async def close(self) -> None:
        """Take no more jobs; one that runs is not waited for."""
        self._thread.shutdown(wait=False, cancel_futures=True)


class ReadingProcess:
    """Reads in a process, which is started when there is something to read.

    Where none can be started a thread does the work. `command` takes the place of our own reader.
    """

    def __init__(self, command: tuple[str, ...] = (), *, job_max_s: float = _JOB_MAX_S) -> None:
        self._command = command or (sys.executable, "-P", "-c", _START)
        self._job_max_s = job_max_s
        self._one_by_one = asyncio.Lock()
        self._process: Process | None = None
        self._instead: ReadingThread | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._leaving: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The id of the process, while there is one."""
        return self._process.pid if self._process is not None else None

    async def do(self, job: reader.Job) -> bytes:
        """Do a job. Raises `CaptureError` when a file cannot be read."""
        # Somebody who asked and left must not leave half an answer in the pipe.
        doing = asyncio.ensure_future(self._do(job))
        doing.add_done_callback(_told)
        return await asyncio.shield(doing)

    async def _do(self, job: reader.Job) -> bytes:
        async with self._one_by_one:
            self._stay()
            process = await self._started()
            if process is None:
                assert self._instead is not None
                return await self._instead.do(job)
            try:
                async with asyncio.timeout(self._job_max_s):
                    mark, result = await _exchange(process, job)
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                await self._end()
                raise CaptureError(_ENDED) from None
            self._idle = asyncio.get_running_loop().call_later(_IDLE_S, self._leave)
        if mark == reader.OK:
            return result
        if mark == reader.BROKEN:
            log.error("the inspector's reader failed\n%s", result.decode("utf-8", "replace"))
            raise CaptureError("This turn cannot be shown; the log says why.")
        raise CaptureError(result.decode("utf-8", "replace"))

    async def _started(self) -> Process | None:
        if self._closed:
            raise CaptureError("The inspector was closed.")
        if self._process is not None and self._process.returncode is None:
            return self._process
        if self._instead is not None:
            return None
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                env=_environment(),
                limit=_BUFFER,
                # Ctrl-C is for the gateway, which ends its reader itself.
                start_new_session=True,
            )
        except OSError as error:
            log.warning("the inspector reads in a thread: no process can be started: %s", error)
            self._instead = ReadingThread()
        return self._process

    def _stay(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _leave(self) -> None:
        self._leaving = asyncio.ensure_future(self._end_idle())

    async def _end_idle(self) -> None:
        async with self._one_by_one:
            await self._end()

    async def _end(self) -> None:
        """For whoever has the lock: nobody else reads what it says."""
        self._kill()
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdout is not None
        # A pipe that nobody empties keeps asyncio waiting for its end.
        with suppress(OSError):
            while await process.stdout.read(_BUFFER):
                continue
        await process.wait()

    def _kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def close(self) -> None:
        """End it, whatever it does."""
        self._closed = True
        # Whoever has the lock is told by that; one that is just being started is ended below.
        self._kill()
        async with self._one_by_one:
            self._stay()
            await self._end()
        if self._instead is not None:
            await self._instead.close()


def _told(doing: asyncio.Future[bytes]) -> None:
    """Take note of how it ended, where nobody is left who would."""
    if not doing.cancelled():
        doing.exception()


async def _exchange(process: Process, job: reader.Job) -> tuple[bytes, bytes]:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(reader.framed(job))
    await process.stdin.drain()
    mark, length = reader.head_of(await process.stdout.readexactly(reader.HEAD_BYTES))
    return mark, await process.stdout.readexactly(length)


def _environment() -> dict[str, str]:
    package = Path(anyturn.__file__).parents[1]
    kept = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join([str(package), *filter(None, sys.path)])}
