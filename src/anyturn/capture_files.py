"""The folder of captures: one file for each turn, `.ndjson.zst`, for nobody but its owner.

Names inside a folder are the only paths here: links are not followed and nothing outside the
folder is read, written or deleted.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import msgspec
import zstandard

from anyturn.capture.format import Capture, Record, encode_record, read_capture

SUFFIX = ".ndjson.zst"
PLAIN_SUFFIX = ".ndjson"
_MAGIC = b"\x28\xb5\x2f\xfd"
_LEVEL = 1
_STEP = 64 * 1024
_ZSTD_STEP = 1024
# A capture of 64 MiB of text is far above any turn; past it a file is broken or hostile (A1).
MAX_BYTES = 256 * 1024 * 1024
_WINDOW = 8 * 1024 * 1024
_ODD = re.compile(r"[^A-Za-z0-9_-]")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}\.ndjson(?:\.zst)?")
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)


class _Threads(threading.local):
    """A compressor for each thread: one for each open file would cost more than a stream does."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=_LEVEL)


_threads = _Threads()


def _compress(data: bytes) -> bytes:
    return _threads.compressor.compress(data)


class CaptureError(Exception):
    """A capture or a folder cannot be used. `str()` says why and what to do."""


class TurnFile:
    """A capture that is being written. What was flushed is readable whatever happens then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINKS
        self._fd = os.open(path, flags, 0o600)
        self._lines: list[bytes] = []
        self.bytes = 0

    def write(self, line: bytes) -> None:
        """Take a line; it is written with the next `flush`."""
        self._lines.append(line)

    def flush(self) -> None:
        """Write what was taken, as a frame of its own. Raises `OSError`."""
        if not self._lines:
            return
        data = _compress(b"".join(self._lines))
        self._lines = []
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        self.bytes += len(data)

    def close(self) -> None:
        """Write what was taken and end the file. Raises `OSError`."""
        try:
            self.flush()
        finally:
            os.close(self._fd)

    def abandon(self) -> None:
        """Leave the file as it is."""
        os.close(self._fd)


class Listed(msgspec.Struct, frozen=True):
    """A file of the folder. `changed` is in seconds since 1970."""

    path: Path
    bytes: int
    changed: float

    @property
    def name(self) -> str:
        """The name without the suffix."""
        return self.path.name.removesuffix(".zst").removesuffix(PLAIN_SUFFIX)


class CaptureFolder:
    """The captures in one folder, oldest first."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Make the folder, mode 0700. Raises `CaptureError` when that cannot be done."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not os.access(self.path, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied")
            if os.name != "nt" and self.path.stat().st_uid == os.getuid():
                self.path.chmod(0o700)
        except OSError as error:
            raise CaptureError(
                f"Captures cannot be written to {str(self.path)!r}: {error.strerror}."
            ) from None

    def create(self, started: datetime, turn: str) -> TurnFile:
        """Begin the file of a turn. Raises `OSError`."""
        word = _ODD.sub("", turn)[-12:] or "turn"
        name = f"{started:%Y%m%d-%H%M%S}-{started.microsecond // 1000:03}-{word}"
        return TurnFile(self.path / (name + SUFFIX))

    def files(self) -> list[Listed]:
        """The captures, oldest first; links and other things are none. Raises `CaptureError`."""
        try:
            return sorted(self._found(), key=lambda one: one.name)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CaptureError(f"{str(self.path)!r} cannot be read: {error.strerror}.") from None

    def _found(self) -> Iterator[Listed]:
        with os.scandir(self.path) as entries:
            for entry in entries:
                if not _NAME.fullmatch(entry.name):
                    continue
                try:
                    seen = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(seen.st_mode):
                    yield Listed(self.path / entry.name, seen.st_size, seen.st_mtime)

    def find(self, name: str) -> Listed | None:
        """The capture of this name, without its suffix; None for whatever else a name may say."""
        for suffix in (SUFFIX, PLAIN_SUFFIX):
            path = self.path / (name + suffix)
            if not _NAME.fullmatch(name + suffix):
                continue
            try:
                seen = path.lstat()
            except OSError:
                continue
            if stat.S_ISREG(seen.st_mode):
                return Listed(path, seen.st_size, seen.st_mtime)
        return None

    def prune(self, *, turns: int, bytes: int, before: float, spare: Path | None = None) -> int:
        """Delete the oldest files until the rest is within these limits; how many went.

        Files that were changed before `before` (seconds since 1970) go too, `spare` never does.
        """
        kept = [one for one in self.files() if one.path != spare]
        total = sum(one.bytes for one in kept)
        gone = 0
        for position, one in enumerate(kept):
            left = len(kept) - position + (spare is not None)
            if left <= turns and total <= bytes and one.changed >= before:
                continue
            one.path.unlink(missing_ok=True)
            total -= one.bytes
            gone += 1
        return gone


def read_file(path: Path, *, limit: int = 0, links: bool = True) -> Capture:
    """Read a capture, however damaged: what is wrong with it stands in its `problems`.

    At most `limit` bytes are read, unpacked, or `MAX_BYTES`. Without `links` none is followed.
    Raises `CaptureError` when there is no such file or it is no file at all.
    """
    lines = _Lines(limit or MAX_BYTES)
    with _opened(path, links) as file:
        capture = read_capture(lines.of(_blocks(file)))
    capture.problems.extend(lines.problems)
    return capture


def unpack_file(path: Path, *, limit: int = 0, links: bool = True) -> bytes:
    """Return the plain lines of a capture as far as they can be unpacked; otherwise `read_file`."""
    lines = _Lines(limit or MAX_BYTES)
    with _opened(path, links) as file:
        return b"".join(lines.unpacked(_blocks(file)))


@contextmanager
def _opened(path: Path, links: bool) -> Iterator[BinaryIO]:
    try:
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(path, flags if links else flags | _NO_LINKS)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise CaptureError(f"{str(path)!r} is no file.")
            yield file
    except OSError as error:
        raise CaptureError(f"{str(path)!r} cannot be read: {error.strerror}.") from None


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.read(_STEP), b"")


class _Lines:
    """The lines of a file, unpacked and bounded, up to where it is damaged."""

    def __init__(self, limit: int = MAX_BYTES) -> None:
        self.problems: list[str] = []
        self._limit = limit

    def of(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        rest: list[bytes] = []
        for data in self.unpacked(blocks):
            first, newline, after = data.partition(b"\n")
            if not newline:
                rest.append(first)
                continue
            yield b"".join((*rest, first))
            *whole, last = after.split(b"\n")
            yield from whole
            rest = [last]
        # A line without its end was cut off: half a record says nothing that can be trusted.
        last = b"".join(rest)
        if last.strip():
            yield last

    def unpacked(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """All of it, without compression."""
        size = 0
        for data in self._decoded(blocks):
            size += len(data)
            if size > self._limit:
                self.problems.append(f"only its first {self._limit:,} bytes were read")
                yield data[: self._limit - size]
                return
            yield data

    def _decoded(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        first = next(blocks, b"")
        if not first.startswith(_MAGIC):
            yield first
            yield from blocks
            return
        decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        decoder = decompressor.decompressobj(read_across_frames=True)
        block = first
        try:
            while block:
                # In small steps: a few bytes of zstd can unfold to megabytes.
                for start in range(0, len(block), _ZSTD_STEP):
                    yield decoder.decompress(block[start : start + _ZSTD_STEP])
                block = next(blocks, b"")
        except zstandard.ZstdError as error:
            self.problems.append(f"it is damaged: {error}")


def capture_paths(path: Path) -> list[Path]:
    """The captures that a path stands for: a file, or a folder's in order of their names.

    Raises `CaptureError` when there are none.
    """
    if path.is_dir():
        found = [one.path for one in CaptureFolder(path).files()]
        if not found:
            raise CaptureError(f"There are no captures in {str(path)!r}.")
        return found
    if not path.exists():
        raise CaptureError(f"There is no folder and no capture {str(path)!r}.")
    return [path]


def write_plain(path: Path, records: list[Record]) -> None:
    """Write a capture that is not compressed, for tests and for reading by eye."""
    path.write_bytes(b"".join(map(encode_record, records)))
