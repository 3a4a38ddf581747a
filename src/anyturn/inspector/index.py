"""The folder, as far as it was read: newest first, away from the loop, only while asked for.

A folder that did not change costs one look at it, and a file that did not change is not read again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress

import msgspec

from anyturn.capture_files import CaptureError, CaptureFolder, Listed
from anyturn.inspector.reader import File, Read, Rows, decode_rows
from anyturn.inspector.reading import Reading
from anyturn.inspector.rows import LIVE, LIVE_S, Entry, Row, unreadable
from anyturn.own_faults import where_from

log = logging.getLogger("anyturn")

LOOK_S = 0.25
# The folder's own time says when files come and go; what it misses is found this much later.
_LIST_S = 5.0
# A large folder is not listed again before so many times what its last listing took.
_LISTING_SHARE = 20.0
# Clocks of file systems are coarse: a folder that changed just now may change again unseen.
_SETTLED_S = 0.1
# A recording that ended without saying so is looked at so long.
_WATCHED_S = 600.0
# How many files are handed over at once, and when one that grows is read again: after this many
# times what it took.
_BATCH = 64
_AGAIN = 10.0
_AGAIN_MIN_S = 0.4
# How long an answer waits for what is not read yet.
_FIRST_ROW_S = 2.0
_FIRST_S = 0.5
_LOOK_MAX_S = 10.0
# In how many turns after one the outputs of its calls are looked for.
_LATER_ROWS = 500


class Change(msgspec.Struct, frozen=True):
    """What is new in a folder: rows that are new or changed, and names that are gone."""

    total: int
    indexed: int
    rows: list[Row]
    gone: list[str]


class Listener:
    """What became new since it was asked for the last time."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.gone: set[str] = set()
        self.news = asyncio.Event()
        self.over = False
        """Whether nothing more will come."""

    def tell(self, rows: Iterable[Row], gone: Iterable[str]) -> None:
        """Take news; what was not fetched yet is replaced."""
        for name in gone:
            self.rows.pop(name, None)
            self.gone.add(name)
        for row in rows:
            self.gone.discard(row.name)
            self.rows[row.name] = row
        self.news.set()

    def fetch(self) -> tuple[list[Row], list[str]]:
        """All of it, once."""
        found = list(self.rows.values()), sorted(self.gone)
        self.rows, self.gone = {}, set()
        self.news.clear()
        return found


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One look: which files are to be read, and which are gone.

    `total` is None where only those were looked at that may grow; `stamp` is the folder's own time,
    and `took` the seconds that its listing needed.
    """

    changed: dict[str, Listed] = {}
    gone: list[str] = []
    total: int | None = None
    stamp: int = 0
    took: float = 0.0
    problem: str = ""


class FolderIndex:
    """The rows of a folder. For one event loop; `close` ends it.

    `underway` gives the ids of the turns that are known to run.
    """

    def __init__(
        self,
        folder: CaptureFolder,
        reading: Reading,
        *,
        underway: Callable[[], Collection[str]] = tuple,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self.total = 0
        self.problem = ""
        """Why the folder cannot be read, or nothing."""
        self._reading = reading
        self._underway = underway
        self._now = now
        self._entries: dict[str, Entry] = {}
        self._files: dict[str, Listed] = {}
        # In order; made anew when it is shorter or longer than the entries are.
        self._names: list[str] = []
        self._todo: dict[str, Listed] = {}
        self._again_at: dict[str, float] = {}
        self._brought: set[str] = set()
        self._makers: dict[str, str] = {}
        self._stamp, self._listed_at, self._took = -1, float("-inf"), 0.0
        self._looks = 0
        self._is_looking = False
        # Whether somebody waits for the list, who is to have what is new by now.
        self._is_awaited = False
        self._listeners: set[Listener] = set()
        self._asked = asyncio.Event()
        self._step = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    # ---------------------------------------------------------------- for the routes

    @property
    def indexed(self) -> int:
        """How many captures have a row."""
        return len(self._entries)

    def entry(self, listed: Listed) -> Entry | None:
        """What is known of a capture as it is now; None when that was not read yet."""
        entry = self._entries.get(listed.name)
        if entry is None or not _same(listed, self._files[listed.name]):
            return None
        return None if self._changes_status(entry) else entry

    def rows(self) -> list[Row]:
        """All rows, newest first."""
        return [self._entries[name].row for name in reversed(self._in_order())]

    def _in_order(self) -> list[str]:
        if len(self._names) != len(self._entries):
            self._names = sorted(self._entries)
        return self._names

    async def refresh(self) -> None:
        """Look at the folder, and read what is new for a moment; the rest is read afterwards."""
        # A look that has begun may have missed what is new.
        goal = self._looks + (2 if self._is_looking else 1)
        self._is_awaited = True
        self._ask()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_MAX_S):
                await self._until(lambda: self._looks >= goal)
            async with asyncio.timeout(_FIRST_ROW_S):
                await self._until(lambda: bool(self._entries) or not self._due())
            async with asyncio.timeout(_FIRST_S):
                await self._until(lambda: not self._due())

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        """Be told of news while the block runs."""
        listener = Listener()
        listener.over = self._closed
        self._listeners.add(listener)
        self._ask()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def later(self, name: str, calls: Iterable[str]) -> list[Listed]:
        """The first captures after `name` that bring the outputs of these calls."""
        open_calls = set(calls)
        names = self._in_order()
        begin = bisect_right(names, name)
        found = []
        for other in names[begin : begin + _LATER_ROWS]:
            if not open_calls:
                break
            entry = self._entries[other]
            if brought := open_calls.intersection(entry.brings):
                open_calls -= brought
                found.append(self._files[other])
        return found

    def is_live(self, turn: str, listed: Listed) -> bool:
        """Whether a turn without an end is running, as far as is known."""
        return turn in self._underway() or self._now() - listed.changed < LIVE_S

    async def close(self) -> None:
        """Read no more, and let those go who listen or wait."""
        self._closed = True
        for listener in self._listeners:
            listener.over = True
            listener.news.set()
        if self._task is not None:
            self._task.cancel()
        await self._publish([], [])

    # ---------------------------------------------------------------- what is done meanwhile

    def _ask(self) -> None:
        self._asked.set()
        if self._closed:
            return
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._work())

    async def _until(self, reached: Callable[[], bool]) -> None:
        async with self._step:
            await self._step.wait_for(lambda: self._closed or reached())

    async def _work(self) -> None:
        while True:
            self._asked.clear()
            try:
                await self._look()
                await self._read_for_a_while()
            except CaptureError as error:
                self.problem = str(error)
            except Exception as error:
                log.error("the inspector itself failed\n%s", where_from(error))
                await asyncio.sleep(_LIST_S)
            if self._due():
                continue
            with suppress(TimeoutError):
                busy = bool(self._listeners or self._todo)
                async with asyncio.timeout(LOOK_S if busy else None):
                    await self._asked.wait()

    async def _look(self) -> None:
        watched = [name for name, entry in self._entries.items() if self._may_grow(entry)]
        awaited, self._is_awaited, self._is_looking = self._is_awaited, False, True
        # Only this task changes the index: the thread may compare with it meanwhile.
        try:
            seen = await asyncio.to_thread(self._see, watched, awaited)
        finally:
            self._is_looking = False
        self.problem = seen.problem
        if seen.total is not None:
            self.total, self._stamp = seen.total, seen.stamp
            self._listed_at, self._took = time.monotonic(), seen.took
        for name in seen.gone:
            self._forget(name)
        self._todo.update(seen.changed)
        for name in watched:
            if name in self._entries and self._changes_status(self._entries[name]):
                self._todo.setdefault(name, self._files[name])
        self._looks += 1
        await self._publish([], seen.gone)

    def _may_grow(self, entry: Entry) -> bool:
        if entry.ended:
            return False
        changed = self._files[entry.row.name].changed
        return entry.row.status == LIVE or self._now() - changed < _WATCHED_S

    def _changes_status(self, entry: Entry) -> bool:
        if entry.ended:
            return False
        live = self.is_live(entry.turn, self._files[entry.row.name])
        return (entry.row.status == LIVE) != live

    def _forget(self, name: str) -> None:
        self._todo.pop(name, None)
        entry = self._entries.pop(name, None)
        if entry is None:
            return
        del self._files[name]
        self._names = []
        self._again_at.pop(name, None)
        for call in entry.calls:
            self._makers.pop(call, None)
            self._brought.discard(call)

    def _due(self) -> bool:
        """Whether something is to be read now."""
        now = time.monotonic()
        return any(self._again_at.get(name, 0.0) <= now for name in self._todo)

    async def _read_for_a_while(self) -> None:
        """Read what is due, newest first, until it is time to look at the folder again."""
        until = time.monotonic() + LOOK_S
        order = sorted(self._todo)
        while order and time.monotonic() < until:
            batch: list[Listed] = []
            now = time.monotonic()
            while order and len(batch) < _BATCH:
                name = order.pop()
                if name in self._todo and self._again_at.get(name, 0.0) <= now:
                    batch.append(self._todo[name])
            if not batch:
                return
            read = await self.read(batch)
            order += [one.name for one in reversed(batch[len(read) :])]
            taken = map(self._take, read, batch)
            await self._publish([row for rows in taken for row in rows], [])

    async def read(self, files: list[Listed]) -> list[Read]:
        """Read as many of these as there is time for, and one at least."""
        job = Rows([file_of(one) for one in files], self._now(), list(self._underway()))
        try:
            return decode_rows(await self._reading.do(job))
        except CaptureError as error:
            # Whichever of them was too much: alone, only that one is left out.
            if len(files) > 1:
                return await self.read(files[:1])
            return [Read(unreadable(files[0].name, files[0].bytes, str(error)), 0.0)]

    def _take(self, read: Read, listed: Listed) -> Iterator[Row]:
        """Put what was read in its place; give the rows that look different now."""
        entry, name = read.entry, listed.name
        self._todo.pop(name, None)
        self._again_at[name] = time.monotonic() + max(_AGAIN_MIN_S, _AGAIN * read.took)
        if entry.ended:
            del self._again_at[name]
        known = self._entries.get(name)
        self._entries[name], self._files[name] = entry, listed
        if known is None or known.row != entry.row:
            yield entry.row
        for call in entry.brings:
            if call not in self._brought:
                self._brought.add(call)
                maker = self._entries.get(self._makers.get(call, ""))
                if maker is not None and maker.row.name < name:
                    yield maker.row
        self._makers.update(dict.fromkeys(entry.calls, name))

    async def _publish(self, rows: list[Row], gone: list[str]) -> None:
        if rows or gone:
            for listener in self._listeners:
                listener.tell(rows, gone)
        async with self._step:
            self._step.notify_all()

    def _see(self, watched: list[str], awaited: bool) -> _Seen:
        """In a thread: list the folder, or look only at the files that may grow."""
        try:
            stamp = self.folder.path.stat().st_mtime_ns
        except OSError:
            stamp = 0
        if not self._wants_listing(stamp, awaited):
            again = map(self.folder.find, watched)
            return _Seen(changed=self._changed(one for one in again if one is not None))
        began = time.monotonic()
        try:
            listed = self.folder.files()
        except CaptureError as error:
            return _Seen(problem=str(error))
        names = {one.name for one in listed}
        return _Seen(
            changed=self._changed(listed),
            gone=[name for name in (*self._files, *self._todo) if name not in names],
            total=len(names),
            stamp=stamp,
            took=time.monotonic() - began,
        )

    def _wants_listing(self, stamp: int, awaited: bool) -> bool:
        since = time.monotonic() - self._listed_at
        if since < _LISTING_SHARE * self._took and not awaited:
            return False
        settled = self._now() - stamp / 1e9 > _SETTLED_S
        return stamp != self._stamp or not settled or since >= _LIST_S

    def _changed(self, files: Iterable[Listed]) -> dict[str, Listed]:
        """Those that were not read as they are."""
        return {one.name: one for one in files if not _same(one, self._files.get(one.name))}


def _same(one: Listed, other: Listed | None) -> bool:
    """Whether nothing was written in between."""
    if other is None or one.bytes != other.bytes or one.changed != other.changed:
        return False
    return one.path.name == other.path.name


def file_of(listed: Listed) -> File:
    """A file of the folder, for a reader."""
    return File(str(listed.path), listed.name, listed.bytes, listed.changed)
