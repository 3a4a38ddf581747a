"""The log of a background gateway: bounded in size, with all that the process prints in it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import BinaryIO

_MAX_BYTES = 5 * 1024 * 1024
_OLDER_FILES = 4
_LOOK_EVERY_S = 0.2


class BackgroundLog(RotatingFileHandler):
    """Writes the log, at most 25 MB of it in five files.

    Standard output and standard error of the process go along: whatever is printed past the log,
    such as the traceback of an interpreter that gives up, lands in it as well.
    """

    def __init__(
        self, path: Path, *, max_bytes: int = _MAX_BYTES, older_files: int = _OLDER_FILES
    ) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=older_files, encoding="utf-8")

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        file = os.fdopen(descriptor, "a", encoding="utf-8")
        for standard in (1, 2):
            os.dup2(file.fileno(), standard)
        return file


def last_lines(path: Path, count: int, *, follow: bool = False) -> Iterator[bytes]:
    """Yield the last `count` lines of a log, with its older files; then, with `follow`, what comes.

    Blocks of bytes, as they were found. Raises `FileNotFoundError` when there is no log.
    """
    file = path.open("rb")
    try:
        lines = file.read().splitlines(keepends=True)
        for number in range(1, _OLDER_FILES + 1):
            if len(lines) >= count:
                break
            with suppress(FileNotFoundError):
                older = path.with_name(f"{path.name}.{number}").read_bytes()
                lines = older.splitlines(keepends=True) + lines
        yield b"".join(lines[-count:] if count else [])
        while follow:
            yield file.read()
            if _is_current(file, path):
                time.sleep(_LOOK_EVERY_S)
                continue
            yield file.read()
            file.close()
            file = path.open("rb")
    finally:
        file.close()


def _is_current(file: BinaryIO, path: Path) -> bool:
    """Whether the log is still this file. One that is being replaced is looked for again."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return True


class LogMark:
    """A place in a log, to see what came after it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = _size_and_file(path)

    def since(self, most: int = 64 * 1024) -> str:
        """Return the end of what was written since."""
        size, file = self._at
        try:
            with self._path.open("rb") as log:
                same = os.fstat(log.fileno()).st_ino == file
                end = log.seek(0, os.SEEK_END)
                log.seek(max(size if same else 0, end - most))
                return log.read().decode(errors="replace")
        except OSError:
            return ""


def _size_and_file(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_ino
