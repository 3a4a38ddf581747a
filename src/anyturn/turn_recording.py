"""One turn on its way into its file: what it is made of, redacted, in few lines."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Protocol

import msgspec

import anyturn
from anyturn.capture import format as f
from anyturn.capture.feed import Taken, Waiting
from anyturn.capture.redact import Redactor
from anyturn.capture.streams import Streams, Written
from anyturn.capture_files import CaptureFolder, TurnFile

# The largest recording of one turn, before it is packed.
MAX_TURN_BYTES = 128 * 1024 * 1024
_BUFFER = 1024 * 1024
_MESSAGE_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_MESSAGE_END_MAX = max(map(len, _MESSAGE_ENDS))


class Reader(Protocol):
    """What reads a turn whose bytes were only relayed. Called in the recorder's thread only."""

    def begun(self, begun: Begun) -> Begun:
        """The same with what the request's body says."""

    def decoded(self, block: bytes) -> bytes:
        """A block of the answer without its content encoding."""

    def events(self, text: str) -> list[Any]:
        """The events in whole messages, in which nothing is secret any more."""

    def ending(self, ending: Ending) -> Ending:
        """The same with how the answer ended."""


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """What a recording begins with. The bodies are redacted by the thread."""

    turn: str
    began: float
    wall: float
    provider: str
    model: str
    url: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    keys: tuple[str, ...]
    wire: str = ""
    transport: str = ""
    reader: Reader | None = None
    """For a turn that was only relayed; without one the gateway tells what it did."""


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a turn ended, and what was adapted in it."""

    status: str = ""
    error: Mapping[str, Any] | None = None
    http_status: int = 200
    headers: Mapping[str, str] = {}
    """Of the backend's answer, with what must not be written left out."""
    changes: list[f.Change] = []
    left_out: list[str] = []
    """Why something of the turn could not be recorded."""


class TurnRecording:
    """The file of one turn, from its first record to its last. Only the recorder's thread uses it.

    Writing raises `OSError`; `give_up` leaves the file as far as it came.
    """

    def __init__(self, folder: CaptureFolder, begun: Begun, redactor: Redactor) -> None:
        self.broken = False
        self._folder = folder
        self._begun = begun
        self._file: TurnFile | None = None
        self._reader = begun.reader
        self.path: Path | None = None
        self._redactor = redactor
        self._streams = Streams(self._redactor)
        self._partial = bytearray()
        self._size = 0
        self.file_size = 0
        self._full = False

    def take(self, taken: Taken) -> None:
        """Write what was handed on: what was asked, then both streams, then how it ended."""
        late = []
        for one in taken.others:
            if one[0] in ("begin", "asked"):
                self._other(one)
            else:
                late.append(one)
        self._streams_to_here(taken)
        for one in late:
            self._other(one)
        self.flush()

    def _since(self, at: float) -> int:
        """Microseconds since the turn began."""
        return max(0, int((at - self._begun.began) * 1e6))

    def _other(self, waiting: Waiting) -> None:
        kind, at, payload, _ = waiting
        t = self._since(at)
        match kind:
            case "begin":
                self._begin()
            case "asked":
                self._ask(t, payload)
            case "findings":
                self._line(f.encode_record(f.Findings(t=t, findings=payload)))
            case "end":
                self._end(t, payload)

    def leave_out(self, before: Taken, records: int, size: int) -> None:
        """Say that something is missing here."""
        self._begin()
        others = [one[1] for one in before.others]
        at = min((*before.block_times[:1], *before.event_times[:1], *others))
        t, why = self._since(at), "the disk was too slow"
        self._line(f.encode_record(f.Lost(t=t, records=records, bytes=size, why=why)), force=True)

    def flush(self) -> None:
        """Write what is there by now as a frame of its own."""
        if self._file is not None:
            self._file.flush()
            self.file_size = self._file.bytes

    def close(self) -> None:
        """End the file, whole or in the middle of its turn."""
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def give_up(self) -> None:
        """The file stays as it is, readable up to here."""
        self.broken = True
        if self._file is not None:
            file, self._file = self._file, None
            file.abandon()

    def _begin(self) -> None:
        if self._file is not None:
            return
        begun = self._begun if self._reader is None else self._reader.begun(self._begun)
        started = datetime.fromtimestamp(begun.wall, UTC)
        try:
            self._file = self._folder.create(started, begun.turn)
        except FileNotFoundError:
            self._folder.make()
            self._file = self._folder.create(started, begun.turn)
        self.path = self._file.path
        client, version = client_of(begun.headers)
        head = f.Head(
            gateway=anyturn.__version__,
            turn=begun.turn,
            started=started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            client=self._redactor.text(client),
            client_version=self._redactor.text(version),
            provider=begun.provider,
            model=self._redactor.text(begun.model),
            wire=begun.wire,
            transport=begun.transport,
            passive=self._reader is not None,
        )
        headers = self._redactor.headers(begun.headers)
        body = self._redactor.json(f.encode_json(begun.body))
        self._line(f.encode_record(head))
        self._line(
            b'{"kind":"request","t":0,"headers":%b,"body":%b}\n' % (f.encode_json(headers), body)
        )
        if self._reader is not None:
            # Nothing was changed in it: one copy is enough.
            self._line(f.encode_record(f.ProviderRequest(url=self._redactor.text(begun.url))))
        # A long history should not stay in memory for as long as its answer streams.
        self._begun = msgspec.structs.replace(begun, headers={}, body={})

    def _ask(self, t: int, chat_body: bytes) -> None:
        body = self._redactor.json(chat_body)
        url = f.encode_json(self._redactor.text(self._begun.url))
        self._line(b'{"kind":"provider_request","t":%d,"url":%b,"body":%b}\n' % (t, url, body))

    def _streams_to_here(self, taken: Taken) -> None:
        """Write these parts of both streams."""
        began = self._begun.began
        block_times = [int((at - began) * 1e6) for at in taken.block_times]
        if self._reader is not None:
            blocks = [self._reader.decoded(block) for block in taken.blocks]
            self._relayed(self._reader, *self._whole_messages(block_times, blocks))
            return
        self._size += taken.stream_size
        times = [int((at - began) * 1e6) for at in taken.event_times]
        whole = self._whole_messages(block_times, taken.blocks)
        each = list(chain.from_iterable(map(repeat, times, taken.counts)))
        written = Written(each, taken.events)
        try:
            lines = self._streams.lines(*whole, written)
        except UnicodeDecodeError:
            for t, data in zip(*whole, strict=True):
                self._receive_odd(t, data)
            lines = self._streams.event_lines(written)
        for line in lines:
            self._line(line, size=0)

    def _relayed(self, reader: Reader, times: list[int], pieces: list[bytes]) -> None:
        """Write a part of an answer that was only relayed, and the events that are in it."""
        try:
            texts = self._streams.frames([piece.decode() for piece in pieces])
        except UnicodeDecodeError:
            for t, data in zip(times, pieces, strict=True):
                self._receive_odd(t, data)
            return
        if texts:
            self._line(f.encode_record(f.ProviderBytes(t=times, text=texts)))
        told = [(t, e) for t, one in zip(times, texts, strict=True) if (e := reader.events(one))]
        if told:
            record = f.Events(t=[t for t, _ in told], events=[e for _, e in told])
            self._line(f.encode_record(record))

    def _whole_messages(
        self, times: list[int], blocks: list[bytes]
    ) -> tuple[list[int], list[bytes]]:
        """Cut anew behind messages: a secret must not hide where two blocks meet."""
        if not self._partial and all(block[-2:] == b"\n\n" for block in blocks):
            return times, blocks
        ends: list[int] = []
        pieces: list[bytes] = []
        for t, block in zip(times, blocks, strict=True):
            data = self._partial
            # In what waits there is none; one may begin there.
            start = max(0, len(data) - _MESSAGE_END_MAX)
            data += block
            found = [(data.rfind(mark, start), len(mark)) for mark in _MESSAGE_ENDS]
            end = max(at + length if at >= 0 else 0 for at, length in found)
            if len(data) - end > _BUFFER:
                end = len(data)
            if end:
                ends.append(t)
                pieces.append(bytes(data[:end]))
                del data[:end]
        return ends, pieces

    def _receive_odd(self, t: int, data: bytes) -> None:
        """What is no UTF-8 is kept as it is, unless it may hold a secret."""
        text = data.decode("utf-8", "replace")
        (redacted,) = self._streams.frames([text])
        if redacted != text or text.encode() == data:
            self._line(f.encode_record(f.ProviderBytes(t=[t], text=[redacted])), size=0)
        else:
            odd = base64.b64encode(data).decode()
            self._line(f.encode_record(f.ProviderBytes(t=[t], base64=odd)), size=0)

    def _end(self, t: int, ending: Ending) -> None:
        if self._reader is not None:
            if self._partial:
                self._relayed(self._reader, [t], [bytes(self._partial)])
            ending = self._reader.ending(ending)
        elif self._partial:
            self._receive_odd(t, bytes(self._partial))
        for why in ending.left_out:
            self._line(f.encode_record(f.Lost(t=t, records=1, why=why)))
        changes = [self._change(one) for one in ending.changes]
        if changes:
            self._line(f.encode_record(f.Changes(t=t, adaptations=changes)))
        end = f.End(
            t=t,
            status=ending.status,
            error=self._redactor.value(ending.error),
            http_status=ending.http_status,
            headers={name: self._redactor.text(v) for name, v in ending.headers.items()},
        )
        self._line(f.encode_record(end), force=True)

    def _change(self, change: f.Change) -> f.Change:
        where, what = self._redactor.text(change.where), self._redactor.text(change.what)
        return f.Change(rule=change.rule, where=where, what=what, lossy=change.lossy)

    def _line(self, line: bytes, *, size: int | None = None, force: bool = False) -> None:
        """Write a line; `size` is what it adds to the turn, when that is not its own length."""
        if self._file is None:
            return
        self._size += len(line) if size is None else size
        if self._size > MAX_TURN_BYTES and not force:
            if not self._full:
                self._full = True
                why = f"the turn is larger than {MAX_TURN_BYTES:,} bytes"
                self._file.write(f.encode_record(f.Lost(records=1, bytes=len(line), why=why)))
            return
        self._file.write(line)


def client_of(headers: Mapping[str, str]) -> tuple[str, str]:
    """The name and version of a client, as its User-Agent says: `codex_exec/0.169.0 (…)`."""
    lowered = {name.lower(): value for name, value in headers.items()}
    product = lowered.get("user-agent", "").strip().partition(" ")[0]
    name, _, version = product.partition("/")
    return name[:80] or lowered.get("originator", "")[:80], version[:40]
