"""The folder of one background gateway: its lock, what is known of it, its log.

The lock (flock) is the truth: the system gives it back when the process ends, however it ends. The
state file says more about whoever holds the lock, and it is changed only by its holder. So a
process id is never believed on its own.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from anyturn.auth.private_file import FileProblem, read_private, remove_private, write_private

if sys.platform != "win32":
    import fcntl

_MAX_STATE_BYTES = 1024 * 1024

Flags = dict[str, str | int | bool]
"""Flags of `anyturn serve` that were given, by the names of their options."""


class DaemonError(Exception):
    """A background gateway cannot be dealt with. `str()` says why and what to do."""


class Phase(StrEnum):
    """How far a gateway is."""

    ABSENT = "absent"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"
    """Without being asked: it was killed, it broke, or the machine went down."""
    DAMAGED = "damaged"
    """It runs, and its state file cannot be read."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway says of itself once it listens. No secret is in here.

    A member that is added needs a default: a gateway that runs may be older than who looks at it.
    """

    # A signal to 0 or below reaches many processes.
    pid: Annotated[int, msgspec.Meta(ge=1)]
    started: datetime
    base_url: str
    provider: str
    model: str
    needs_key: bool
    shutdown_timeout_s: float
    version: str
    cwd: str
    config_file: str | None
    flags: Flags
    stopping: bool = False


class Seen(NamedTuple):
    """A look at a folder. A state is there while it runs or stops, and may be after it ended."""

    phase: Phase
    state: State | None


class Folder:
    """The folder of the gateway on `port`, in `root`. Made with the lock, mode 0700."""

    def __init__(self, root: Path, port: int) -> None:
        self.port = port
        self.path = root / str(port)
        self.log = self.path / "gateway.log"
        self.lock = self.path / "lock"
        self._state = self.path / "state.json"

    def take(self) -> int | None:
        """Take the lock; returns its descriptor, None when somebody has it.

        Whoever inherits the descriptor has the lock as well. Raises `DaemonError`.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._problem(error) from None
        return self._lock(descriptor, shared=False)

    def look(self) -> Seen:
        """Say how far the gateway is, and what it says of itself. Raises `DaemonError`."""
        while True:
            # What was read counts only if it was the same before and after the lock was tried.
            found = self._read()
            held = self._held()
            if self._read() == found:
                break
        state, there = found
        if not held:
            return Seen(Phase.ENDED if there else Phase.ABSENT, state)
        if state is None:
            return Seen(Phase.DAMAGED if there else Phase.STARTING, None)
        return Seen(Phase.STOPPING if state.stopping else Phase.RUNNING, state)

    def write(self, state: State) -> None:
        """Say `state` to everybody. For the holder of the lock. Raises `DaemonError`."""
        try:
            write_private(self._state, msgspec.json.encode(state))
        except FileProblem as error:
            raise DaemonError(f"{self._state} cannot be written: {error}.") from None

    def clear(self) -> bool:
        """Remove the state; returns whether there was one. For the holder of the lock.

        Raises `DaemonError`.
        """
        try:
            return remove_private(self._state)
        except FileProblem as error:
            raise DaemonError(f"{self._state} cannot be removed: {error}.") from None

    def open_log(self) -> int:
        """Return a descriptor to append to the log. Raises `DaemonError`."""
        try:
            return os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._problem(error) from None

    def _read(self) -> tuple[State | None, bool]:
        """The state where it can be read, and whether there is a file."""
        try:
            data = read_private(self._state, _MAX_STATE_BYTES)
            return (None, False) if data is None else (msgspec.json.decode(data, type=State), True)
        except (FileProblem, msgspec.DecodeError):
            return None, True

    def _held(self) -> bool:
        try:
            descriptor = os.open(self.lock, os.O_RDWR)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise self._problem(error) from None
        # Shared: those who only look are not in each other's way.
        taken = self._lock(descriptor, shared=True)
        if taken is None:
            return True
        os.close(taken)
        return False

    def _lock(self, descriptor: int, *, shared: bool) -> int | None:
        """The descriptor with the lock on it, None (and closed) when somebody else has it."""
        if sys.platform == "win32":
            os.close(descriptor)
            raise DaemonError(
                "Background gateways need flock, which Windows does not have. Run anyturn serve "
                "in a terminal or as a service."
            )
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            os.close(descriptor)
            raise self._problem(error) from None
        return descriptor

    def _problem(self, error: OSError) -> DaemonError:
        return DaemonError(
            f"The folder {self.path} cannot be used: {error.strerror or error}. The folder of all "
            "state files can be chosen with XDG_STATE_HOME."
        )


def folders(root: Path) -> list[Folder]:
    """Return the folders that there are, by port."""
    try:
        names = [entry.name for entry in root.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DaemonError(f"The folder {root} cannot be read: {error.strerror}.") from None
    return [Folder(root, port) for port in sorted(int(n) for n in names if n.isdecimal())]


def arguments_of(flags: Mapping[str, str | int | bool]) -> list[str]:
    """Return the arguments of `anyturn serve` that give these flags."""
    arguments: list[str] = []
    for name, value in flags.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            arguments.append(f"--{flag}" if value else f"--no-{flag}")
        elif str(value).startswith("-"):
            arguments.append(f"--{flag}={value}")
        else:
            arguments += [f"--{flag}", str(value)]
    return arguments


def shown(arguments: Iterable[str]) -> str:
    """Return arguments as they are typed in a shell."""
    return shlex.join(arguments)
