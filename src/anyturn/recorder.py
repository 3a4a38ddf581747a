"""Record turns: a tap that only hands on, and a thread that redacts, packs and writes.

Nothing of this is ever waited for by a turn. What the thread cannot keep up with, or the disk does
not take, is left out, counted, and said: in the file where that is possible, and in the log.
"""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec

import anyturn
from anyturn.capture import format as f
from anyturn.capture.redact import Redactor, Streams
from anyturn.capture_files import CaptureFolder, TurnFile
from anyturn.config import Settings
from anyturn.gateway import Turn
from anyturn.own_faults import where_from
from anyturn.routing import Target
from anyturn.wire import responses as r

log = logging.getLogger("anyturn")

# What may wait for the disk: minutes of the fastest stream.
MAX_WAITING_BYTES = 32 * 1024 * 1024
MAX_WAITING = 100_000
# The largest recording of one turn, before it is packed.
MAX_TURN_BYTES = 128 * 1024 * 1024
# What comes within a second is redacted, packed and written together: a crash loses that much.
ROUND_S = 0.25
_CLOSE_S = 5.0
_EVENT_BYTES = 300
_PRUNE_EVERY = 20
_DAY_S = 86_400.0
_BUFFER = 1024 * 1024
_MESSAGE_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")

_Job: TypeAlias = Callable[["_Writing"], None]


# Something to be recorded: turn, time, kind, payload, and an estimate of its bytes.
_Waiting: TypeAlias = tuple[str, float, str, Any, int]


class Recorder:
    """A tap that records every turn to a folder. `close` writes what is left.

    `now` gives UTC seconds since 1970 and `clock` the time that turns are measured with.
    `written` is told of each file that is whole, in the recorder's thread.
    """

    def __init__(
        self,
        folder: CaptureFolder,
        *,
        max_turns: int = 1000,
        max_bytes: int = 512 * 1024 * 1024,
        max_days: float = 30.0,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        written: Callable[[Path], None] | None = None,
    ) -> None:
        self.folder = folder
        self.written = 0
        """Turns whose recording is whole."""
        self.lost = 0
        """Records that were left out."""
        self._limits = (max_turns, max_bytes, max_days * _DAY_S)
        self._max_waiting_bytes = max_waiting_bytes
        self._now = now
        self._clock = clock
        self._told = written
        self._waiting: deque[_Waiting] = deque()
        # Each of them is changed on one side only, so that no lock is needed.
        self._put_bytes = 0
        self._taken_bytes = 0
        self._dropped: dict[str, tuple[int, int]] = {}
        self._turns: dict[str, _Writing] = {}
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._complained = 0.0
        self._thread = threading.Thread(target=self._work, name="anyturn-recorder", daemon=True)
        self._thread.start()

    # ---------------------------------------------------------------- the tap; must not block

    def request(self, turn: Turn) -> None:
        """Record what the client asked, and what the provider is asked."""
        # The gateway empties the request once the provider answers.
        size = len(turn.asked_body)
        self.put(turn.id, "begin", _begun(turn, self.wall(turn.started_at)), size)
        self.put(turn.id, "asked", turn.asked_body, size)

    def provider_bytes(self, turn: Turn, block: bytes) -> None:
        """Record what the provider sent."""
        self.put(turn.id, "bytes", block, len(block))

    def events(self, turn: Turn, events: list[r.Event]) -> None:
        """Record what the client gets."""
        self.put(turn.id, "events", events, _EVENT_BYTES * len(events))

    def ended(self, turn: Turn) -> None:
        """Record how the turn ended."""
        # For a turn whose provider was not asked, or whose beginning had no room.
        self.put(turn.id, "begin", _begun(turn, self.wall(turn.started_at)), 0)
        self.put(turn.id, "end", _ending(turn), 0)

    def found(self, turn: Turn, findings: Iterable[f.Finding]) -> None:
        """Record what a checker found; to be called before the turn has ended."""
        self.put(turn.id, "findings", list(findings), 0)

    def wall(self, at: float) -> float:
        """UTC seconds since 1970 of a moment of the clock."""
        return self._now() - (self._clock() - at)

    def put(self, turn_id: str, kind: str, payload: Any, size: int) -> None:
        """Hand on a part of a turn: `begin` (`Begun`), `bytes`, `end` (`Ending`) ...

        It returns at once. `size` is about what waits in memory until it is written.
        """
        if (
            self._put_bytes + size - self._taken_bytes > self._max_waiting_bytes
            or len(self._waiting) >= MAX_WAITING
        ) and kind != "end":
            # Its end is small, and without it nobody would know what is missing.
            records, lost = self._dropped.get(turn_id, (0, 0))
            self._dropped[turn_id] = (records + 1, lost + size)
            return
        self._put_bytes += size
        self._waiting.append((turn_id, self._clock(), kind, payload, size))
        if kind in ("begin", "end"):
            self._wake.set()

    # ---------------------------------------------------------------- the thread

    def close(self) -> None:
        """Write what waits, for a few seconds at the most."""
        self._closing.set()
        self._wake.set()
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            log.warning("captures: %d records were not written in time", len(self._waiting))

    def _work(self) -> None:
        while not self._closing.is_set():
            if not self._turns and not self._waiting:
                self._wake.wait()
            self._wake.clear()
            self._round()
            if self._turns:
                self._closing.wait(ROUND_S)
        self._round()
        for writing in list(self._turns.values()):
            self._attempt(writing, _Writing.cut)

    def _round(self) -> None:
        """Write what waits by now, turn by turn."""
        turns: dict[str, list[_Waiting]] = {}
        for _ in range(len(self._waiting)):
            waiting = self._waiting.popleft()
            self._taken_bytes += waiting[4]
            turns.setdefault(waiting[0], []).append(waiting)
        for name, batch in turns.items():
            self._write(name, batch)

    def _write(self, name: str, batch: list[_Waiting]) -> None:
        writing = self._turns.get(name)
        if writing is None:
            begin = next((one[3] for one in batch if one[2] == "begin"), None)
            if begin is None:
                # Its beginning was left out, and without it the rest says nothing.
                self._dropped.pop(name, None)
                self._say(len(batch), "the disk was too slow")
                return
            writing = self._turns[name] = _Writing(self.folder, begin)
        dropped = self._dropped.pop(name, None)
        if dropped is not None:
            self._say(dropped[0], "the disk was too slow")
            at = batch[0][1]
            self._attempt(writing, lambda w: w.leave_out(at, *dropped))
        self._attempt(writing, lambda w: w.take(batch))
        if batch[-1][2] == "end":
            self._finish(name, writing)

    def _finish(self, name: str, writing: _Writing) -> None:
        self._attempt(writing, _Writing.close)
        del self._turns[name]
        if writing.broken:
            return
        self.written += 1
        if self._told is not None and writing.path is not None:
            self._told(writing.path)
        if (self.written - 1) % _PRUNE_EVERY == 0:
            self._prune()

    def _attempt(self, writing: _Writing, job: _Job) -> None:
        """Do something with a file; a disk that fails ends this recording and nothing else."""
        if writing.broken:
            self.lost += 1
            return
        try:
            job(writing)
        except OSError as error:
            writing.give_up()
            self._say(1, f"the disk failed: {error.strerror or error}")
        except Exception as error:
            writing.give_up()
            log.error("captures: the recorder itself failed\n%s", where_from(error))

    def _say(self, records: int, why: str) -> None:
        self.lost += records
        now = self._clock()
        if now - self._complained >= 10 or not self._complained:
            self._complained = now
            log.warning("captures: something was not recorded (%s); turns go on", why)

    def _prune(self) -> None:
        turns, size, age_s = self._limits
        try:
            self.folder.prune(turns=turns, bytes=size, before=self._now() - age_s)
        except Exception as error:
            log.warning("captures: old ones cannot be deleted: %s", error)


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


def _begun(turn: Turn, wall: float) -> Begun:
    target, caller = turn.target, turn.recalled.caller
    headers = caller.headers
    return Begun(
        turn=turn.id,
        began=turn.started_at,
        wall=wall,
        provider=target.profile.name,
        model=target.model,
        url=target.profile.base_url + target.profile.path,
        headers=headers,
        # Shallow: what is in it is nobody's to change, and only the top is emptied.
        body=dict(turn.request),
        keys=tuple(_keys(headers, _key_of(target), target.profile.headers)),
    )


def _key_of(target: Target) -> str | None:
    """The provider's key; tokens of a login change, and are known by their form."""
    return target.api_key if isinstance(target.api_key, str) else None


def _keys(headers: Mapping[str, str], key: str | None, own: Mapping[str, str]) -> Iterator[str]:
    """What must not be written wherever it stands: the keys of both sides."""
    yield key or ""
    for name, value in headers.items():
        if name.lower() in ("authorization", "x-api-key", "api-key", "cookie"):
            yield value.strip()
            yield value.strip().rpartition(" ")[2]
    yield from own.values()


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


def _ending(turn: Turn) -> Ending:
    machine = turn.machine
    if machine.terminal is not None:
        status = machine.terminal.response.status
    else:
        status = "failed" if machine.error is not None else "left"
    changes = [
        f.Change(rule=one.rule, where=one.where, what=one.what, lossy=one.lossy)
        for one in machine.adaptations
    ]
    error = machine.error
    if error is None:
        return Ending(status=status, changes=changes)
    words = error.envelope()["error"]
    return Ending(status=status, error=words, http_status=error.kind.status, changes=changes)


# ---------------------------------------------------------------- one file


class _Writing:
    """One turn on its way to its file. Only the thread touches it."""

    def __init__(self, folder: CaptureFolder, begun: Begun) -> None:
        self.broken = False
        self._folder = folder
        self._begun = begun
        self._file: TurnFile | None = None
        self._reader = begun.reader
        self.path: Path | None = None
        self._redactor = Redactor(begun.keys)
        self._streams = Streams(self._redactor)
        self._partial = b""
        self._size = 0
        self._full = False

    def take(self, batch: list[_Waiting]) -> None:
        """Write what was handed on, in few records: both streams at once, and the rest between."""
        began = self._begun.began
        blocks: list[tuple[int, bytes]] = []
        writes: list[tuple[int, list[r.Event]]] = []
        for _, at, kind, payload, _size in batch:
            t = max(0, int((at - began) * 1e6))
            if kind == "bytes":
                read = payload if self._reader is None else self._reader.decoded(payload)
                blocks.append((t, read))
            elif kind == "events":
                writes.append((t, payload))
            else:
                self._streams_to_here(blocks, writes)
                blocks, writes = [], []
                self._other(t, kind, payload)
        self._streams_to_here(blocks, writes)
        self.flush()

    def _other(self, t: int, kind: str, payload: Any) -> None:
        match kind:
            case "begin":
                self._begin()
            case "asked":
                self._ask(t, payload)
            case "findings":
                self._line(f.encode_record(f.Findings(t=t, findings=payload)))
            case "end":
                self._end(t, payload)

    def leave_out(self, at: float, records: int, size: int) -> None:
        """Say that something is missing here."""
        self._begin()
        t = max(0, round((at - self._begun.began) * 1e6))
        why = "the disk was too slow"
        self._line(f.encode_record(f.Lost(t=t, records=records, bytes=size, why=why)), force=True)

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def cut(self) -> None:
        """The gateway stops in the middle of this turn."""
        self.close()

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
        body = self._redactor.value(begun.body)
        self._line(f.encode_record(head))
        self._line(f.encode_record(f.ClientRequest(headers=headers, body=body)))
        if self._reader is not None:
            # Nothing was changed in it: one copy is enough.
            self._line(f.encode_record(f.ProviderRequest(url=self._redactor.text(begun.url))))
        # A long history should not stay in memory for as long as its answer streams.
        self._begun = msgspec.structs.replace(begun, headers={}, body={})

    def _ask(self, t: int, chat_body: bytes) -> None:
        body = self._redactor.value(msgspec.json.decode(chat_body))
        url = self._redactor.text(self._begun.url)
        self._line(f.encode_record(f.ProviderRequest(t=t, url=url, body=body)))

    def _streams_to_here(
        self, blocks: list[tuple[int, bytes]], writes: list[tuple[int, list[r.Event]]]
    ) -> None:
        if blocks and (pieces := self._whole_messages(blocks)):
            self._receive(pieces)
        if writes:
            times, events = [t for t, _ in writes], [one for _, one in writes]
            encoded = self._streams.events(events)
            t = f.encode_json(times)
            self._line(b'{"kind":"events","t":%b,"events":%b}\n' % (t, encoded))

    def _whole_messages(self, blocks: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """Cut anew behind messages: a secret must not hide where two blocks meet."""
        pieces = []
        for t, block in blocks:
            if not self._partial and block.endswith(b"\n\n"):
                pieces.append((t, block))
                continue
            data = self._partial + block
            ends = (data.rfind(mark) + len(mark) for mark in _MESSAGE_ENDS if mark in data)
            end = max(ends, default=0)
            if len(data) - end > _BUFFER:
                end = len(data)
            self._partial = data[end:]
            if end:
                pieces.append((t, data[:end]))
        return pieces

    def _receive(self, pieces: list[tuple[int, bytes]]) -> None:
        try:
            texts = [data.decode() for _, data in pieces]
        except UnicodeDecodeError:
            for t, data in pieces:
                self._receive_odd(t, data)
            return
        times, redacted = [t for t, _ in pieces], self._streams.frames(texts)
        self._line(f.encode_record(f.ProviderBytes(t=times, text=redacted)))
        if self._reader is not None:
            told = [
                (t, e)
                for t, one in zip(times, redacted, strict=True)
                if (e := self._reader.events(one))
            ]
            if told:
                record = f.Events(t=[t for t, _ in told], events=[e for _, e in told])
                self._line(f.encode_record(record))

    def _receive_odd(self, t: int, data: bytes) -> None:
        """What is no UTF-8 is kept as it is, unless it may hold a secret."""
        text = data.decode("utf-8", "replace")
        (redacted,) = self._streams.frames([text])
        if redacted != text or text.encode() == data:
            self._line(f.encode_record(f.ProviderBytes(t=[t], text=[redacted])))
        else:
            odd = base64.b64encode(data).decode()
            self._line(f.encode_record(f.ProviderBytes(t=[t], base64=odd)))

    def _end(self, t: int, ending: Ending) -> None:
        if self._partial:
            self._receive([(t, self._partial)])
        if self._reader is not None:
            ending = self._reader.ending(ending)
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

    def _line(self, line: bytes, *, force: bool = False) -> None:
        if self._file is None:
            return
        self._size += len(line)
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


@contextmanager
def recording(
    settings: Settings, *, written: Callable[[Path], None] | None = None
) -> Iterator[list[Recorder]]:
    """The recorder that the settings ask for, in a list: of none, or of one.

    `written` is told of each file that is whole. Raises `CaptureError` when the folder cannot be
    made.
    """
    if settings.capture_path is None:
        yield []
        return
    folder = CaptureFolder(settings.capture_path)
    folder.make()
    recorder = Recorder(
        folder,
        max_turns=settings.capture_max_turns,
        max_bytes=settings.capture_max_bytes,
        max_days=settings.capture_max_days,
        written=written,
    )
    try:
        yield [recorder]
    finally:
        recorder.close()
