"""The file with the clients' keys: read with care, written by one process at a time."""

from __future__ import annotations

import os
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from anyturn.auth.keys import (
    ID_PREFIX,
    PREFIX,
    SECRET_BYTES,
    DamagedKeys,
    Key,
    decode_keys,
    digest_of,
    encode_keys,
    name_problem,
    named_key,
    secret_of,
)

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# Some five thousand keys.
_MAX_BYTES = 1024 * 1024

Stamp = tuple[int, ...]


class KeysError(Exception):
    """The keys cannot be used, or not in this way. `str()` is a sentence for the user."""


class UnknownKey(KeysError):
    """No key has this name or id. `names` are those that there are."""

    def __init__(self, word: str, names: Iterable[str]) -> None:
        if word.startswith(PREFIX):
            super().__init__("This looks like a key itself. Give its name or its id.")
        else:
            super().__init__(f"There is no key with the name or id {word!r}.")
        self.word = word
        self.names = tuple(names)


class KeyFile:
    """The keys at `path`. The file and its folder are made with the first key."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def stamp(self) -> Stamp:
        """What changes whenever the file does, comes or goes. Cheap: one look at the folder."""
        try:
            found = self.path.stat()
        except OSError as error:
            return (error.errno or 0,)
        except ValueError:
            return (-1,)
        return (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)

    def read(self) -> tuple[Key, ...] | None:
        """All keys; None when there is no file. Raises `KeysError` when they cannot be read."""
        try:
            # A pipe would be waited for.
            if not stat.S_ISREG(self.path.stat().st_mode):
                raise self._complaint("it is not a file")
            with self.path.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._complaint(f"{error.strerror or error}") from None
        except ValueError:
            raise self._complaint("no file can have this name") from None
        if len(data) > _MAX_BYTES:
            raise self._complaint(f"it has more than {_MAX_BYTES:,} bytes")
        try:
            return decode_keys(data)
        except DamagedKeys as error:
            raise self._complaint(str(error)) from None

    def add(self, name: str) -> tuple[Key, str]:
        """Make a key for `name`; returns what is kept of it, and the key, which nobody keeps.

        Raises `KeysError` for a name that is taken or cannot be one.
        """
        if problem := name_problem(name):
            raise KeysError(problem)
        with self._locked():
            keys = self.read() or ()
            if named_key(keys, name):
                raise KeysError(
                    f"There is a key {name!r} already. Revoke it, or take another name."
                )
            secret = secret_of(secrets.token_bytes(SECRET_BYTES))
            id = ID_PREFIX + secrets.token_hex(6)
            key = Key(id, name, datetime.now(UTC).replace(microsecond=0), digest_of(secret))
            self._write((*keys, key))
        return key, secret

    def revoke(self, word: str) -> tuple[Key, int]:
        """Forget the key with this name or id; returns it, and how many are left.

        Raises `UnknownKey`, and `KeysError` when the file cannot be used.
        """
        with self._locked():
            keys = self.read() or ()
            revoked = named_key(keys, word)
            if revoked is None:
                raise UnknownKey(word, [key.name for key in keys])
            rest = [key for key in keys if key is not revoked]
            self._write(rest)
        return revoked, len(rest)

    # ---------------------------------------------------------------- writing

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let in one writer at a time. The lock is a file that is never replaced."""
        path = self.path.resolve()
        path = path.with_name(f"{path.name}.lock")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._complaint(f"{error.strerror or error}", "written") from None
        try:
            _lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _write(self, keys: Iterable[Key]) -> None:
        """Replace the file as a whole: who reads meanwhile gets the old one or the new one."""
        # A link stays a link, to a new file.
        path = self.path.resolve()
        try:
            # Such files are for their owner alone (0600).
            descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            try:
                with open(descriptor, "wb") as file:
                    file.write(encode_keys(keys))
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, path)
                _settle(path.parent)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary)
                raise
        except OSError as error:
            raise self._complaint(f"{error.strerror or error}", "written") from None

    def _complaint(self, why: str, done: str = "read") -> KeysError:
        return KeysError(f"The keys file {self.path} cannot be {done}: {why.rstrip('.')}.")


def _settle(folder: Path) -> None:
    """Make a replaced file stay replaced: a revoked key must not come back with the power."""
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
