"""Files for their owner alone: read with care, replaced as a whole, by one process at a time."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# Who waits for a lock asks so often.
_ASK_EVERY_S = 0.02

Stamp = tuple[int, ...]


class FileProblem(Exception):
    """The file cannot be used. `str()` says why, for the end of a sentence, without a full stop."""


def stamp_of(path: Path) -> Stamp:
    """What changes whenever the file does, comes or goes. Cheap: one look at the folder."""
    try:
        found = path.stat()
    except OSError as error:
        return (error.errno or 0,)
    except ValueError:
        return (-1,)
    return (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)


def read_private(path: Path, max_bytes: int) -> bytes | None:
    """Return what is in the file; None when there is none. Raises `FileProblem`."""
    try:
        # A pipe would be waited for.
        if not stat.S_ISREG(path.stat().st_mode):
            raise FileProblem("it is not a file")
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _problem(error) from None
    except ValueError:
        raise FileProblem("no file can have this name") from None
    if len(data) > max_bytes:
        raise FileProblem(f"it has more than {max_bytes:,} bytes")
    return data


def write_private(path: Path, data: bytes) -> None:
    """Replace the file: who reads meanwhile gets the old one or the new one. Mode 0600.

    Raises `FileProblem`, and then the old file is what it was. Call it under the lock.
    """
    # A link stays a link, to a new file.
    path = path.resolve()
    try:
        # Such files are for their owner alone (0600).
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _settle(path.parent)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise _problem(error) from None


def remove_private(path: Path) -> bool:
    """Remove the file; returns whether there was one. Raises `FileProblem`."""
    try:
        path.unlink()
        _settle(path.parent)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise _problem(error) from None
    return True


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let in one writer at a time. Raises `FileProblem` when the lock cannot be made."""
    with _lock_file(path) as descriptor:
        _lock(descriptor)
        yield


@asynccontextmanager
async def locked_within(path: Path, timeout_s: float) -> AsyncIterator[None]:
    """Let in one writer at a time, as `locked` does, and let other tasks run meanwhile.

    Raises `FileProblem` when somebody else keeps the lock for so long.
    """
    with _lock_file(path) as descriptor:
        try:
            async with asyncio.timeout(timeout_s):
                await _acquire(descriptor)
        except TimeoutError:
            raise FileProblem("another process keeps it locked") from None
        yield


@contextmanager
def _lock_file(path: Path) -> Iterator[int]:
    """The lock is a file of its own, which is never replaced. Closing it gives the lock back."""
    try:
        path = path.resolve()
        path = path.with_name(f"{path.name}.lock")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except (OSError, RuntimeError, ValueError) as error:
        raise _problem(error) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _problem(error: Exception) -> FileProblem:
    words = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return FileProblem(words.rstrip("."))


def _settle(folder: Path) -> None:
    """Make what was replaced or removed stay so: it must not come back with the power."""
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Wait for the lock, which ends with the descriptor."""
    if sys.platform == "win32":
        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX)


async def _acquire(descriptor: int) -> None:
    while True:
        if _try_lock(descriptor):
            return
        # Nobody tells when a lock of another process is free.
        await asyncio.sleep(_ASK_EVERY_S)


def _try_lock(descriptor: int) -> bool:
    """Take the lock if nobody has it."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
