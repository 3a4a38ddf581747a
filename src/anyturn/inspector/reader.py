"""Reads captures for the inspector: a job in, bytes out, in a thread or as a process of its own.

A turn of 20,000 events takes most of a second to read. Beside a gateway that happens in a process,
because a thread would hold up every stream of the gateway meanwhile (decision 18).
"""

from __future__ import annotations

import gc
import os
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from anyturn.capture.export import FORMS
from anyturn.capture.format import Capture
from anyturn.capture_files import CaptureError, read_file, unpack_file
from anyturn.captured_findings import findings_of
from anyturn.inspector.documents import document_of
from anyturn.inspector.rows import LIVE_S, Entry, Row, entry_of, unreadable
from anyturn.own_faults import where_from

# A capture beyond this is shown up to here: a few kB of zstd can say gigabytes.
MAX_BYTES = 64 * 1024 * 1024
# So long rows are made before those that are there are handed over.
_BATCH_S = 0.05
_NICE = 10
_LENGTH = struct.Struct("!I")
OK, REFUSED, BROKEN = b"+", b"-", b"!"


class File(msgspec.Struct, frozen=True):
    """A capture to be read. `changed` is in seconds since 1970."""

    path: str
    name: str
    bytes: int
    changed: float


class Rows(msgspec.Struct, tag=True, frozen=True):
    """Make rows of as many of these as there is time for, at least of one."""

    files: list[File]
    now: float
    underway: list[str] = []
    """The ids of the turns that are known to run."""


class Document(msgspec.Struct, tag=True, frozen=True):
    """Make the document of a turn. `later` are the captures that bring outputs of its calls."""

    file: File
    row: Row
    version: int
    later: list[File]


class Plain(msgspec.Struct, tag=True, frozen=True):
    """Give a capture without its compression."""

    file: File


class Export(msgspec.Struct, tag=True, frozen=True):
    """Give a capture in another form."""

    file: File
    form: str


Job = Rows | Document | Plain | Export


class Read(msgspec.Struct, frozen=True):
    """One row, and the seconds that it took."""

    entry: Entry
    took: float


encode = msgspec.msgpack.Encoder().encode
_decode_job = msgspec.msgpack.Decoder(Job).decode
decode_rows = msgspec.msgpack.Decoder(list[Read]).decode


def do(job: Job) -> bytes:
    """Do a job. Raises `CaptureError` when a file cannot be read."""
    match job:
        case Rows():
            return encode(_rows(job))
        case Document():
            captures = [capture for one in job.later if (capture := _whole(one)) is not None]
            return document_of(job.row, job.version, _read(job.file), captures, findings_of)
        case Plain():
            return unpack_file(Path(job.file.path), limit=MAX_BYTES, links=False)
        case Export():
            return _exported(job)


def _exported(job: Export) -> bytes:
    try:
        return FORMS[job.form](_read(job.file))
    except ValueError as error:
        # What has no such form says so.
        raise CaptureError(str(error)) from None


def _rows(job: Rows) -> list[Read]:
    read: list[Read] = []
    until = time.monotonic() + _BATCH_S
    for file in job.files:
        began = time.monotonic()
        if read and began > until:
            break
        entry = _entry(file, job)
        read.append(Read(entry, time.monotonic() - began))
    return read


def _entry(file: File, job: Rows) -> Entry:
    """The row of a file, whatever is in it."""
    try:
        capture = _read(file)
        live = job.now - file.changed < LIVE_S or capture.head.turn in job.underway
        return entry_of(file.name, file.bytes, capture, findings_of, live=live)
    except CaptureError as error:
        return unreadable(file.name, file.bytes, str(error))
    except Exception as error:
        # One odd file must not take the list away.
        return unreadable(file.name, file.bytes, f"it cannot be shown: {error!r}")


def _read(file: File) -> Capture:
    return read_file(Path(file.path), limit=MAX_BYTES, links=False)


def _whole(file: File) -> Capture | None:
    try:
        return _read(file)
    except CaptureError:
        return None


# ---------------------------------------------------------------- as a process


def serve(jobs: BinaryIO, results: BinaryIO, work: Callable[[Job], bytes] = do) -> None:
    """Do what comes, one after the other, until nothing comes any more."""
    while head := jobs.read(_LENGTH.size):
        body = jobs.read(_LENGTH.unpack(head)[0])
        try:
            mark, result = OK, work(_decode_job(body))
        except CaptureError as error:
            mark, result = REFUSED, str(error).encode()
        except Exception as error:
            mark, result = BROKEN, where_from(error).encode("utf-8", "replace")
        results.write(_LENGTH.pack(len(result)) + mark)
        results.write(result)
        results.flush()


def framed(job: Job) -> bytes:
    """A job as `serve` reads it."""
    body = encode(job)
    return _LENGTH.pack(len(body)) + body


HEAD_BYTES = _LENGTH.size + 1


def head_of(head: bytes) -> tuple[bytes, int]:
    """The mark of a result, and how many bytes follow."""
    return head[-1:], _LENGTH.unpack(head[:-1])[0]


def main() -> None:
    """Be the process: jobs on standard input, results on standard output."""
    with suppress(OSError, AttributeError):
        os.nice(_NICE)
    # What is read here holds no circles: to look for them again and again costs a third.
    gc.set_threshold(500_000, 100, 100)
    # Whoever listened is gone: nobody wants the rest.
    with suppress(BrokenPipeError, KeyboardInterrupt):
        serve(sys.stdin.buffer, sys.stdout.buffer)
    os._exit(0)
