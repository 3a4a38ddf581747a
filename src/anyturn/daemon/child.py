"""The gateway's own side of the background: what it inherited, its log, and its state."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path

import msgspec

from anyturn.daemon.folder import DaemonError, Folder, State
from anyturn.daemon.log_file import BackgroundLog

VARIABLE = "ANYTURN_IN_BACKGROUND"
"""How a gateway is told that it runs in the background. For its starter alone."""


class Detached:
    """A gateway in the background. It has the lock of its folder for as long as it lives."""

    def __init__(self, folder: Folder, lock: int, ready: int) -> None:
        self._folder = folder
        self._ready = ready
        self._state: State | None = None
        # Nothing that the gateway ever starts may keep the lock alive.
        for descriptor in (lock, ready):
            os.set_inheritable(descriptor, False)

    def log(self) -> BackgroundLog:
        """Return the handler that writes the log and takes care of its size."""
        return BackgroundLog(self._folder.log)

    def listening(self, state: State, inspector: str = "") -> None:
        """Say that it listens, to everybody and to whoever started it. Raises `DaemonError`.

        `inspector` is the link to the inspector, for whoever started it only: it is not written
        anywhere.
        """
        self._state = state
        self._folder.write(state)
        # Whoever started it may not have waited.
        with suppress(BrokenPipeError):
            os.write(self._ready, f"{inspector}\n".encode())
        os.close(self._ready)

    def stopping(self) -> None:
        """Say that it takes no more turns. A full disk does not keep it from ending."""
        if self._state is not None:
            with suppress(DaemonError):
                self._folder.write(msgspec.structs.replace(self._state, stopping=True))

    def gone(self) -> None:
        """Leave nothing behind: it ends as it was asked to."""
        with suppress(DaemonError):
            self._folder.clear()


def told(lock: int, ready: int, folder: Folder) -> str:
    """Return the value of `VARIABLE` for a gateway that inherits these descriptors."""
    return f"{lock}:{ready}:{folder.path}"


def detached(environ: MutableMapping[str, str]) -> Detached | None:
    """Return what this process inherited; None for one in the foreground.

    The variable is taken out of `environ`: it is for this process alone.
    """
    value = environ.pop(VARIABLE, "")
    if not value:
        return None
    lock, ready, path = value.split(":", 2)
    return Detached(Folder(Path(path).parent, int(Path(path).name)), int(lock), int(ready))
