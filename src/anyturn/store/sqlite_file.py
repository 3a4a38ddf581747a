"""The file of the SQLite store: made, opened, judged, and its faults put into sentences."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from contextlib import suppress
from pathlib import Path

from anyturn.store.records import StoreError
from anyturn.store.sqlite_schema import MIGRATIONS, is_foreign, migrate, version_of

_PAGE_BYTES = 4096
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

Identity = tuple[int, int]


class DatabaseFile:
    """One SQLite file. `lock_wait_s` is how long another process may keep it locked.

    `log_bytes` bounds the write-ahead log, the file's `-wal`, but for the last transaction.
    """

    def __init__(self, path: Path, *, lock_wait_s: float, log_bytes: int) -> None:
        self.path = path.absolute()
        self._log = self.path.with_name(f"{self.path.name}-wal")
        self._lock_wait_s = lock_wait_s
        self._log_bytes = log_bytes

    def connect(self) -> tuple[sqlite3.Connection, Identity]:
        """Open the file, make or lift it where needed, and say which file that is.

        Raises `StoreError` for a file that is not ours or newer than we are, and what sqlite3 and
        the system raise. Nothing of a file is changed before it is known to be ours.
        """
        self._make()
        # sqlite3 itself would make a file that everybody can read.
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw",
            uri=True,
            timeout=self._lock_wait_s,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._prepare(connection)
            return connection, self.identity()
        except BaseException:
            connection.close()
            raise

    def identity(self) -> Identity:
        """Which file stands at the path now. Raises `OSError` when there is none."""
        found = self.path.stat()
        return found.st_dev, found.st_ino

    def bytes_on_disk(self) -> int:
        """What the file, its log and the log's index take."""
        return sum(path.stat().st_size for path in self._parts() if path.exists())

    def shorten_log(self, connection: sqlite3.Connection) -> None:
        """Write the log back into the file when it is longer than it may be, and nobody reads it.

        SQLite itself writes it back, too, but leaves the log as long as one large transaction made
        it until the next one comes.
        """
        with suppress(FileNotFoundError):
            if self._log.stat().st_size <= self._log_bytes:
                return
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.execute(f"PRAGMA busy_timeout = {round(self._lock_wait_s * 1000)}")

    def explain(self, error: Exception) -> StoreError:
        """The same fault as a sentence that says what and where."""
        if isinstance(error, StoreError):
            return error
        return StoreError(self._words(error))

    def _words(self, error: Exception) -> str:
        if isinstance(error, OSError):
            return f"The store {self.path} cannot be opened: {error.strerror or error}."
        if isinstance(error, UnicodeEncodeError):
            return f"The store {self.path} takes no half characters in names."
        kind = primary_code(error)
        if kind in _LOCKED:
            waited = f"{self._lock_wait_s:g} s"
            return f"The store {self.path} is locked by another process, for more than {waited}."
        if kind in _DAMAGED:
            return (
                f"The store {self.path} is damaged or no database ({error}). It is left as it is: "
                "move it away, and a new one is made."
            )
        if kind == sqlite3.SQLITE_FULL:
            return f"The disk of the store {self.path} is full."
        if kind == sqlite3.SQLITE_CANTOPEN:
            return f"The store {self.path} cannot be opened: may its folder be written to?"
        if kind == sqlite3.SQLITE_READONLY:
            return f"The store {self.path} may not be written to ({error})."
        if kind == sqlite3.SQLITE_IOERR:
            name = getattr(error, "sqlite_errorname", "")
            return f"The store {self.path} cannot be read or written ({error}, {name})."
        return f"The store {self.path} failed: {error}."

    def _make(self) -> None:
        for folder in reversed(self.path.parents):
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def _prepare(self, connection: sqlite3.Connection) -> None:
        self._refuse_if_not_ours(connection)
        self._close_to_others()
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        # What was deleted is overwritten, whatever the build of SQLite does on its own.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA journal_size_limit = {self._log_bytes}")
        pages = max(16, min(1000, self._log_bytes // _PAGE_BYTES // 2))
        connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
        if version_of(connection) == 0:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        self._write_ahead(connection)
        migrate(connection)

    def _write_ahead(self, connection: sqlite3.Connection) -> None:
        # A file without a log was made by a tool or by hand: there SQLite gives up at once when
        # another process is just writing.
        give_up_at = time.monotonic() + self._lock_wait_s
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if primary_code(error) not in _LOCKED or time.monotonic() > give_up_at:
                    raise
            time.sleep(0.01)

    def _refuse_if_not_ours(self, connection: sqlite3.Connection) -> None:
        # Both from one moment: another process may just be making the file.
        connection.execute("BEGIN")
        foreign, version = is_foreign(connection), version_of(connection)
        connection.execute("COMMIT")
        if foreign:
            raise StoreError(
                f"The file {self.path} is a database of another program: the store needs one of "
                "its own."
            )
        if version > len(MIGRATIONS):
            raise StoreError(
                f"The store {self.path} was written by a newer Anyturn (its format is {version}, "
                f"this one knows {len(MIGRATIONS)}): use that one, or another store_path."
            )

    def _close_to_others(self) -> None:
        for path in self._parts():
            # Another user's file is as open as its owner wants it.
            with suppress(FileNotFoundError, PermissionError):
                if stat.S_IMODE(path.stat().st_mode) & 0o077:
                    path.chmod(0o600)

    def _parts(self) -> list[Path]:
        return [self.path, self._log, self.path.with_name(f"{self.path.name}-shm")]


def primary_code(error: Exception) -> int:
    """SQLite's result code without its details, 0 when there is none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_for_all(error: Exception) -> bool:
    """Whether every other job would fail just so: the file cannot be used at all, or not now."""
    hopeless = {*_LOCKED, *_DAMAGED, sqlite3.SQLITE_CANTOPEN}
    return isinstance(error, OSError | StoreError) or primary_code(error) in hopeless


def is_lasting(error: Exception) -> bool:
    """Whether a connection that met this is better opened anew."""
    broken = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
    return primary_code(error) in _DAMAGED | broken
