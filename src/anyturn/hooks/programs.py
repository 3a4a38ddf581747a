"""Short programs that run beside a turn: bounded in time, output and number, and never waited for.

A program runs without a shell, in a process group of its own, with as little of the environment as
a program needs: no key of a provider is in it. It is ended when its time is over or nobody wants
its output any more; only then, and only before its end was collected, so that no other process can
have its id.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Event, Lock

TIMEOUT_S = 5.0
MOST = 4

_PASSED = frozenset({"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TZ", "TMPDIR", "LANG"})
_PASSED_PREFIXES = ("LC_", "XDG_")
_PIECE = 64 * 1024
_MAX_COMPLAINT = 2000
# How long the end of a program may stay unseen whose children keep its output open.
_GLANCE_S = 0.1


class ProgramError(Exception):
    """A program failed. `str()` says how, for the end of a sentence."""


class Unwanted(Exception):
    """Nobody wants the output any more, and the program was ended."""


class Leave:
    """How long a run may go on: until its time is over, or until it is `withdrawn`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends_at = time.monotonic() + seconds
        self._withdrawn = Event()

    def withdraw(self) -> None:
        """Say that nobody wants the output any more."""
        self._withdrawn.set()

    def left_s(self) -> float:
        """The seconds that are left. Raises `ProgramError` or `Unwanted` when there are none."""
        if self._withdrawn.is_set():
            raise Unwanted
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise ProgramError(f"took longer than {self._seconds:g} s")
        return left


class Run:
    """Work in a thread. `result` is its text as soon as it is there."""

    def __init__(self, future: Future[str], leave: Leave) -> None:
        self._future = future
        self._leave = leave

    @property
    def is_over(self) -> bool:
        """Whether there will be no more of it."""
        return self._future.done()

    def result(self) -> str:
        """The text of the work; '' if it is not there yet, or failed."""
        return self._future.result() if self.is_over and not self.failure() else ""

    def failure(self) -> str:
        """How the work failed, in words of ours; '' if it did not, or goes on."""
        error = self._future.exception() if self.is_over else None
        # The words of another exception may quote what is nobody's business (A2).
        known = error is None or isinstance(error, ProgramError)
        return str(error or "") if known else type(error).__name__

    def drop(self) -> None:
        """End it, where it still runs."""
        self._leave.withdraw()


class Programs:
    """Runs work that runs programs, in `MOST` threads at most; what is more is not run at all."""

    def __init__(self, *, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(MOST, thread_name_prefix="hook")
        self._lock = Lock()
        self._runs: set[Run] = set()
        self._is_closed = False

    def start(self, work: Callable[[Leave], str]) -> Run | None:
        """Begin work; None where there is no room for it, or the gateway is being stopped."""
        leave = Leave(self._timeout_s)
        with self._lock:
            if len(self._runs) >= MOST or self._is_closed:
                return None
            future = self._threads.submit(work, leave)
            run = Run(future, leave)
            self._runs.add(run)
        future.add_done_callback(lambda _: self._over(run))
        return run

    def close(self) -> None:
        """End what runs, and take no more. Not waited for: a folder may hang."""
        with self._lock:
            self._is_closed = True
            runs = list(self._runs)
        for run in runs:
            run.drop()
        self._threads.shutdown(wait=False)

    def _over(self, run: Run) -> None:
        with self._lock:
            self._runs.discard(run)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a program gets of the environment: where things are, and how to write; no key."""
    return {
        name: value
        for name, value in environ.items()
        if name in _PASSED or name.startswith(_PASSED_PREFIXES)
    }


def output_of(
    arguments: Sequence[str],
    leave: Leave,
    *,
    cwd: str | None,
    environ: Mapping[str, str],
    stdin: bytes = b"",
    max_bytes: int = _PIECE,
    codes: frozenset[int] = frozenset({0}),
) -> bytes:
    """Run a program and return the first bytes of its output.

    One that writes more is ended then, and that is no failure. `stdin` is at most 4 KiB, which a
    pipe takes at once. Raises `ProgramError` when it cannot be started, ends with another code than
    `codes`, or takes too long, and `Unwanted`.
    """
    try:
        process = subprocess.Popen(
            arguments,
            cwd=cwd,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise ProgramError(f"cannot be started: {getattr(error, 'strerror', error)}") from None
    try:
        return _Reading(process, max_bytes).read(stdin[:4096], leave, codes)
    finally:
        _end(process)
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            if sys.platform == "win32":
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class _Reading:
    """What one program says, read until it has ended or said enough."""

    def __init__(self, process: subprocess.Popen[bytes], max_bytes: int) -> None:
        self._process = process
        self._max_bytes = max_bytes
        self._said = bytearray()
        self._complaint = bytearray()

    def read(self, stdin: bytes, leave: Leave, codes: frozenset[int]) -> bytes:
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        assert process.stderr is not None
        with suppress(BrokenPipeError):
            process.stdin.write(stdin)
        process.stdin.close()
        with selectors.DefaultSelector() as pipes:
            pipes.register(process.stdout, selectors.EVENT_READ, self._said)
            pipes.register(process.stderr, selectors.EVENT_READ, self._complaint)
            while pipes.get_map():
                has_ended = process.poll() is not None
                ready = pipes.select(0 if has_ended else min(leave.left_s(), _GLANCE_S))
                if has_ended and not ready:
                    break
                for key, _ in ready:
                    self._take(pipes, key)
                if len(self._said) >= self._max_bytes:
                    return bytes(self._said[: self._max_bytes])
        while process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(min(leave.left_s(), _GLANCE_S))
        if process.returncode not in codes:
            raise ProgramError(self._why())
        return bytes(self._said)

    def _take(self, pipes: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        piece = os.read(key.fd, _PIECE)
        if not piece:
            pipes.unregister(key.fileobj)
        elif key.data is self._said or len(self._complaint) < _MAX_COMPLAINT:
            key.data.extend(piece)

    def _why(self) -> str:
        code = self._process.returncode
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        lines = self._complaint[:_MAX_COMPLAINT].decode(errors="replace").strip().splitlines()
        return f"{how}: {lines[-1][:200]}" if lines else how
