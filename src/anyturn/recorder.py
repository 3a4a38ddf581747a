"""Record turns: a tap that only hands on, and a thread that redacts, packs and writes.

Nothing of this is ever waited for by a turn. What the thread cannot keep up with, or the disk does
not take, is left out, counted, and said: in the file where that is possible, and in the log.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from anyturn.capture import format as f
from anyturn.capture.feed import EVENT_BYTES, RECORD_BYTES, Feed, Taken
from anyturn.capture.redact import Redactor
from anyturn.capture_files import CaptureError, CaptureFolder
from anyturn.config import Settings
from anyturn.gateway import Turn
from anyturn.own_faults import where_from
from anyturn.routing import Target
from anyturn.turn_recording import Begun, Ending, TurnRecording
from anyturn.wire import responses as r

log = logging.getLogger("anyturn")

# What may wait for the disk: minutes of the fastest stream.
MAX_WAITING_BYTES = 32 * 1024 * 1024
# What comes within this time is redacted, packed and written together: a crash loses that much.
ROUND_S = 0.5
_CLOSE_S = 5.0
_PRUNE_EVERY = 20
# A folder with room is looked at this often.
_PRUNE_S = 60.0
_REDACTORS_MAX = 16
_DAY_S = 86_400.0

_Job: TypeAlias = Callable[["TurnRecording"], None]


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
        self._feeds: dict[str, Feed] = {}
        # Each of them is changed on one side only, so that no lock is needed.
        self._put_bytes = 0
        self._taken_bytes = 0
        self._dropped: dict[str, tuple[int, int]] = {}
        self._turns: dict[str, TurnRecording] = {}
        self._redactors: dict[tuple[str, ...], Redactor] = {}
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._complained = 0.0
        # The first turn looks at the folder: many a gateway lives for few turns.
        self._unpruned = _PRUNE_EVERY
        self._pruned_at = 0.0
        self._room_turns = self._room_bytes = 0
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
        self.put_block(turn.id, block)

    def events(self, turn: Turn, events: list[r.Event]) -> None:
        """Record what the client gets."""
        count = len(events)
        feed = self._room(turn.id, EVENT_BYTES * count)
        if feed is not None:
            feed.events += events
            feed.counts.append(count)
            feed.event_times.append(self._clock())

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
        """Hand on a part of a turn: `begin` (`Begun`), `findings`, `end` (`Ending`) ...

        It returns at once. `size` is about what waits in memory until it is written.
        """
        # Its end is small, and without it nobody would know what is missing.
        feed = self._room(turn_id, size, force=kind == "end")
        if feed is not None:
            feed.others.append((kind, self._clock(), payload, size + RECORD_BYTES))
        if kind in ("begin", "end"):
            self._wake.set()

    def put_block(self, turn_id: str, block: bytes) -> None:
        """Hand on bytes of the answer, as they came. It returns at once."""
        feed = self._room(turn_id, len(block))
        if feed is not None:
            feed.blocks.append(block)
            feed.block_times.append(self._clock())

    def _room(self, turn_id: str, size: int, *, force: bool = False) -> Feed | None:
        """Where a part of this size may wait; None, and it is counted as lost, for want of room."""
        held = self._put_bytes + size + RECORD_BYTES
        if held - self._taken_bytes > self._max_waiting_bytes and not force:
            records, lost = self._dropped.get(turn_id, (0, 0))
            self._dropped[turn_id] = (records + 1, lost + size)
            return None
        self._put_bytes = held
        return self._feeds.get(turn_id) or self._feeds.setdefault(turn_id, Feed())

    # ---------------------------------------------------------------- the thread

    def close(self) -> None:
        """Write what waits, for a few seconds at the most."""
        self._closing.set()
        self._wake.set()
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            log.warning("captures: %d turns were not written in time", len(self._feeds))

    def _work(self) -> None:
        while not self._closing.is_set():
            if not self._feeds:
                self._wake.wait()
            self._wake.clear()
            self._round()
            if self._feeds:
                self._closing.wait(ROUND_S)
        self._round()
        for writing in list(self._turns.values()):
            self._attempt(writing, TurnRecording.close)

    def _round(self) -> None:
        """Write what waits by now, turn by turn."""
        for name, feed in list(self._feeds.items()):
            taken = feed.take()
            if not taken.records:
                continue
            self._taken_bytes += taken.size
            if taken.is_end:
                del self._feeds[name]
            self._write(name, taken)

    def _write(self, name: str, taken: Taken) -> None:
        writing = self._turns.get(name)
        if writing is None:
            begin = next((one[2] for one in taken.others if one[0] == "begin"), None)
            if begin is None:
                # Its beginning was left out, and without it the rest says nothing.
                self._dropped.pop(name, None)
                self._feeds.pop(name, None)
                self._say(taken.records, "the disk was too slow")
                return
            writing = TurnRecording(self.folder, begin, self._redactor_for(begin.keys))
            self._turns[name] = writing
        dropped = self._dropped.pop(name, None)
        if dropped is not None:
            self._say(dropped[0], "the disk was too slow")
            self._attempt(writing, lambda w: w.leave_out(taken, *dropped))
        self._attempt(writing, lambda w: w.take(taken))
        if taken.is_end:
            self._finish(name, writing)

    def _redactor_for(self, keys: tuple[str, ...]) -> Redactor:
        """One redactor for all turns with the same keys: it knows what it has looked at."""
        redactor = self._redactors.get(keys)
        if redactor is None:
            if len(self._redactors) >= _REDACTORS_MAX:
                self._redactors.clear()
            redactor = self._redactors[keys] = Redactor(keys)
        return redactor

    def _finish(self, name: str, writing: TurnRecording) -> None:
        self._attempt(writing, TurnRecording.close)
        del self._turns[name]
        if writing.broken:
            return
        self.written += 1
        if self._told is not None and writing.path is not None:
            self._told(writing.path)
        self._unpruned += 1
        self._room_bytes -= writing.file_size
        if self._unpruned >= _PRUNE_EVERY and self._may_be_too_much():
            self._unpruned = 0
            self._prune()

    def _attempt(self, writing: TurnRecording, job: _Job) -> None:
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

    def _may_be_too_much(self) -> bool:
        """Whether the folder has to be looked at, which takes its time when it is full.

        Others may write to it too, and files grow old: so now and then in any case.
        """
        turns = self._limits[0]
        is_full = self._unpruned >= max(self._room_turns, turns // 20) or self._room_bytes < 0
        return is_full or self._clock() - self._pruned_at >= _PRUNE_S

    def _prune(self) -> None:
        turns, size, age_s = self._limits
        try:
            self.folder.prune(turns=turns, bytes=size, before=self._now() - age_s)
            kept = self.folder.files()
        except Exception as error:
            # These have harmless words; of anything else only the place is told.
            why = str(error) if isinstance(error, CaptureError | OSError) else where_from(error)
            log.warning("captures: old ones cannot be deleted: %s", why)
            return
        self._pruned_at = self._clock()
        self._room_turns = turns - len(kept)
        self._room_bytes = size - sum([one.bytes for one in kept])


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
