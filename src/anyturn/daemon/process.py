"""Starting a gateway in the background, and ending it."""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from anyturn.daemon.child import VARIABLE, told
from anyturn.daemon.folder import DaemonError, Flags, Folder, Phase, Seen, State, arguments_of
from anyturn.daemon.log_file import LogMark

START_LIMIT_S = 60.0
FAREWELL_S = 15.0
"""To close the store and the rest, after the open streams had their time."""
# Nobody tells when a lock of another process is free.
_ASK_EVERY_S = 0.05
_SHOWN_LINES = 15
# A pipe takes that much at once.
_MAX_SAID = 512


class Started(NamedTuple):
    """What came of starting. `said` are the warnings and errors that the gateway logged so far."""

    state: State
    new: bool
    """Whether it was started now, and did not run before."""
    replaced: bool = False
    """Whether one was before it that had ended without being asked."""
    said: tuple[str, ...] = ()
    inspector: str = ""
    """The link to its inspector, which it tells once, where it has one."""


def start(folder: Folder, flags: Flags, cwd: str, environ: Mapping[str, str]) -> Started:
    """Run `anyturn serve` with `flags` in the background, and return once it listens.

    One that runs already is left alone and returned; one that another process is just starting, or
    that is stopping, is waited for. Raises `DaemonError` when it cannot be started, with the end of
    its log.
    """
    lock = _lock_or_state(folder)
    if isinstance(lock, State):
        return Started(lock, new=False)
    mark = LogMark(folder.log)
    try:
        replaced = folder.clear()
        process, ready = _spawn(folder, lock, flags, cwd, environ)
    finally:
        # From here on the gateway alone has the lock.
        os.close(lock)
    inspector = _wait_for(process, ready, folder, mark)
    state = folder.look().state
    if state is None:
        raise DaemonError(_with_log(folder, mark, "The gateway ended soon after it listened"))
    return Started(state, True, replaced, _warnings(mark), inspector)


def _lock_or_state(folder: Folder) -> int | State:
    """The lock, or what the gateway that runs already says of itself."""
    limit = time.monotonic() + START_LIMIT_S
    while (lock := folder.take()) is None:
        phase, state = folder.look()
        if state is not None and phase is Phase.RUNNING:
            return state
        if phase is Phase.DAMAGED:
            raise DaemonError(damaged(folder))
        if state is not None and phase is Phase.STOPPING:
            _wait_until_free(folder, state.shutdown_timeout_s + FAREWELL_S)
        if time.monotonic() > limit:
            raise DaemonError(f"The gateway on port {folder.port} is still {phase}.")
        time.sleep(_ASK_EVERY_S)
    return lock


def _spawn(
    folder: Folder, lock: int, flags: Flags, cwd: str, environ: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], int]:
    """The process, and the end of a pipe where it says that it listens."""
    log = folder.open_log()
    ready, its_end = os.pipe()
    try:
        process = subprocess.Popen(
            # Without -P a file of the working directory could take a module's place.
            [sys.executable, "-P", "-m", "anyturn", "serve", *arguments_of(flags)],
            cwd=cwd,
            env={**environ, VARIABLE: told(lock, its_end, folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lock, its_end),
            start_new_session=True,
        )
    except OSError as error:
        os.close(ready)
        raise DaemonError(f"The gateway cannot be started in {cwd}: {error.strerror}.") from None
    finally:
        os.close(log)
        os.close(its_end)
    return process, ready


def _wait_for(process: subprocess.Popen[bytes], ready: int, folder: Folder, mark: LogMark) -> str:
    """Return what it says when it listens. The pipe ends without a word when the process does."""
    try:
        told_something = select.select([ready], [], [], START_LIMIT_S)[0]
        if told_something and (said := os.read(ready, _MAX_SAID)):
            return said.decode().strip()
        if not told_something:
            process.kill()
            process.wait()
            why = f"The gateway did not listen within {START_LIMIT_S:g} s and was ended"
        else:
            why = f"The gateway ended before it listened ({_ending(process.wait())})"
        raise DaemonError(_with_log(folder, mark, why))
    except KeyboardInterrupt:
        process.terminate()
        raise
    finally:
        os.close(ready)


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _with_log(folder: Folder, mark: LogMark, why: str) -> str:
    """A sentence with the last lines of what the gateway said."""
    lines = mark.since().strip().splitlines()[-_SHOWN_LINES:]
    if not lines:
        return f"{why}, and wrote nothing to {folder.log}."
    return "\n  ".join([f"{why}. The end of {folder.log}:", *lines])


def _warnings(mark: LogMark) -> tuple[str, ...]:
    lines = mark.since().splitlines()
    return tuple(line for line in lines if " warning: " in line or " error: " in line)


# ---------------------------------------------------------------- ending


def ask_to_end(folder: Folder, *, now: bool = False) -> Seen:
    """Ask the gateway to end, with SIGTERM; one that is ending is not asked again.

    With `now` it is killed. One that is just starting is waited for. Returns what was seen before.
    What a gateway left that had ended is removed. Raises `DaemonError` for one whose process cannot
    be told.
    """
    limit = time.monotonic() + START_LIMIT_S
    while (seen := folder.look()).phase is Phase.STARTING and time.monotonic() < limit:
        time.sleep(_ASK_EVERY_S)
    if seen.phase in (Phase.DAMAGED, Phase.STARTING):
        raise DaemonError(damaged(folder))
    if seen.phase is Phase.ENDED:
        _remove_remains(folder)
    elif seen.state is not None and (now or seen.phase is Phase.RUNNING):
        with suppress(ProcessLookupError):
            os.kill(seen.state.pid, signal.SIGKILL if now else signal.SIGTERM)
    return seen


def wait_for_end(folder: Folder, state: State) -> bool:
    """Wait as long as a gateway may take that was asked to end; returns whether it did.

    Afterwards nothing is left of it but its log.
    """
    if not _wait_until_free(folder, state.shutdown_timeout_s + FAREWELL_S):
        return False
    _remove_remains(folder)
    return True


def _wait_until_free(folder: Folder, limit_s: float) -> bool:
    limit = time.monotonic() + limit_s
    while folder.look().phase not in (Phase.ABSENT, Phase.ENDED):
        if time.monotonic() > limit:
            return False
        time.sleep(_ASK_EVERY_S)
    return True


def _remove_remains(folder: Folder) -> None:
    """Remove the state of one that ended, unless another one has come in the meantime."""
    lock = folder.take()
    if lock is not None:
        try:
            folder.clear()
        finally:
            os.close(lock)


def damaged(folder: Folder) -> str:
    """What to do about a gateway that runs, but cannot be asked who it is."""
    return (
        f"A gateway runs on port {folder.port}, but its state in {folder.path} cannot be read. End "
        f"its process yourself; this names it: lsof -t {shlex.quote(str(folder.lock))}"
    )
