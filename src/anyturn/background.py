"""Background responses: begun at once, fetched, followed and cancelled later.

A job runs here, in this process, and what is stored of it says how far it is. It beats: a gateway
that finds an unfinished response without a beat knows that the process that ran it is gone.
"""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import msgspec

from anyturn.errors import Kind, TurnError
from anyturn.gateway import BROKEN, Gateway, Turn
from anyturn.memory import Caller, readable, record_of
from anyturn.own_faults import where_from
from anyturn.store.records import StoredItem, StoredResponse
from anyturn.translate.adaptations import Adaptation
from anyturn.wire import responses as r

log = logging.getLogger("anyturn")

MAX_JOBS = 256
BEAT_S = 5.0
LOST_AFTER_S = 30.0
# How long a result is kept here when it cannot be stored.
KEPT_S = 300.0

_LOST = "The gateway that ran this response was stopped before it was finished."
_STOPPED = "The gateway was stopped in the middle of the answer."


# A stream of a background response begins with so many events of its own.
_QUEUED_EVENTS = 2
_TERMINAL = (r.Completed, r.Incomplete, r.Failed, r.RelayedTerminal)


class Job:
    """One response that runs in the background. It is the sink of its turn.

    Its stream tells that the response is queued, before what the provider answers is told.
    """

    def __init__(self, turn: Turn, on_begin: Callable[[Job], Awaitable[None]]) -> None:
        self.turn = turn
        self.response: r.AnyResponse = msgspec.structs.replace(turn.snapshot, status="queued")
        self.work: asyncio.Task[r.AnyResponse] | None = None
        """The turn. Cancelling it ends the job."""
        self.task: asyncio.Task[None] | None = None
        """What watches the turn and stores how it ends. It must not be cancelled."""
        self.over = asyncio.Event()
        """Set when its result is stored, or could not be."""
        self.is_stopped = False
        """Whether the gateway ended it, and no client."""
        self.is_wanted = asyncio.Event()
        """Set when its result must be stored now or never."""
        self._on_begin = on_begin
        self._events: list[tuple[int, bytes]] = []
        self._has_told_end = self._is_over = False
        self._news = asyncio.Event()
        self._take([r.Created(self.response, 0), r.Queued(self.response, 1)])

    def accepts(self, error: TurnError) -> bool:
        """Always: nobody waits for a status."""
        return True

    async def begin(self, adaptations: list[Adaptation]) -> None:
        """The provider answers."""
        self.response = self.turn.snapshot
        await self._on_begin(self)

    async def send(self, events: list[r.Event]) -> None:
        """Take the next events, for whoever follows."""
        # That it was created is told already, and one event more than the turn knows.
        told = [event for event in events if r.name_of(event) != "response.created"]
        self._take([_numbered(event, event.sequence_number + 1) for event in told])

    def end(self, response: r.AnyResponse) -> None:
        """There will be no more events; a failure that no event told is told now."""
        self.response = response
        error = _error_of(response)
        if error is not None and not self._has_told_end:
            self._take(list(self._failure(response, error)))
        self._is_over = True
        self._tell()

    def stream(self) -> bytes:
        """All events, compressed as they are stored; empty when the end is not among them."""
        if not self._has_told_end and self.response.status != "cancelled":
            return b""
        return pack_events([event for _, event in self._events])

    async def follow(self, after: int, keepalive: bytes, every_s: float) -> AsyncIterator[bytes]:
        """The events behind number `after`, those to come included.

        Where nothing comes for so many seconds, it is a keep-alive that comes.
        """
        position = 0
        while True:
            fresh = [event for number, event in self._events[position:] if number > after]
            position = len(self._events)
            if fresh:
                yield b"".join(fresh)
            elif self._is_over:
                return
            elif not await self._has_news(every_s):
                yield keepalive

    async def _has_news(self, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                return await self._news.wait()
        except TimeoutError:
            return False

    def _failure(self, response: r.AnyResponse, error: r.ErrorBody) -> Iterator[r.Event]:
        number = self._events[-1][0] + 1
        if number == _QUEUED_EVENTS:
            yield r.InProgress(self.turn.snapshot, number)
            number += 1
        nested = {"type": "server_error", "code": error.code, "message": error.message}
        yield r.StreamError(number, error.code, error.message, {**nested, "param": None})
        if isinstance(response, r.Response):
            yield r.Failed(response, number + 1)
        else:
            body = {"type": "response.failed", "response": response.body}
            data = r.encode_json({**body, "sequence_number": number + 1})
            yield r.Relayed("response.failed", data, number + 1)

    def _take(self, events: list[r.Event]) -> None:
        self._has_told_end |= any(isinstance(event, _TERMINAL) for event in events)
        self._events += [(event.sequence_number, r.encode_event(event)) for event in events]
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _numbered(event: r.Event, number: int) -> r.Event:
    if isinstance(event, r.Relayed):
        body = {**msgspec.json.decode(event.data), "sequence_number": number}
        return msgspec.structs.replace(event, data=r.encode_json(body), sequence_number=number)
    return msgspec.structs.replace(event, sequence_number=number)


def _error_of(response: r.AnyResponse) -> r.ErrorBody | None:
    if isinstance(response, r.Response):
        return response.error
    told = response.body.get("error")
    if not isinstance(told, dict):
        return None
    return r.ErrorBody(str(told.get("code")), str(told.get("message")))


def _failed(so_far: r.AnyResponse, code: str, sentence: str) -> r.AnyResponse:
    """The response with this error, and with token counts, which a failed one must have too."""
    usage = so_far.usage or r.Usage(0, 0, 0)
    if isinstance(so_far, r.Response):
        error = r.ErrorBody(code, sentence)
        return msgspec.structs.replace(so_far, error=error, usage=usage)
    told = {"error": {"code": code, "message": sentence}, "usage": msgspec.to_builtins(usage)}
    return r.RelayedResponse({**so_far.body, **told}, so_far.output)


def pack_events(events: list[bytes]) -> bytes:
    """Compress encoded events for the store."""
    return zlib.compress(b"".join(events), 1)


def unpack_events(packed: bytes, after: int) -> bytes:
    """The stored events behind number `after`. Raises `TurnError` (STORE_FAILED) for damage."""
    try:
        frames = zlib.decompress(packed).split(b"\n\n")
    except zlib.error:
        frames = [b"damaged"]
    kept = [frame for frame in frames if frame and _number_of(frame) > after]
    return b"".join(frame + b"\n\n" for frame in kept)


class _Numbered(msgspec.Struct):
    # Events that are not of the API have none.
    sequence_number: int = -1


def _number_of(frame: bytes) -> int:
    return readable(frame.partition(b"data: ")[2], _Numbered, "a stream").sequence_number


class Background:
    """The jobs of this process.

    `now` gives POSIX seconds, which gateways that share a store must agree on, roughly.
    """

    def __init__(
        self, gateway: Gateway, *, now: Callable[[], float] = time.time, beat_s: float = BEAT_S
    ) -> None:
        self._gateway = gateway
        self._now = now
        self._beat_s = beat_s
        self._jobs: dict[tuple[str, str], Job] = {}
        self._starting = 0
        self._closing = False

    async def start(self, request: dict[str, Any], caller: Caller) -> Job:
        """Begin a response and store that it is queued.

        Raises `TurnError` for what a client can mend, when there are too many, and STORE_FAILED.
        """
        if len(self._jobs) + self._starting >= MAX_JOBS:
            sentence = f"{MAX_JOBS} background responses are running here; try again later."
            raise TurnError(Kind.RATE_LIMITED, sentence, retry_after=self._beat_s)
        self._starting += 1
        try:
            job = await self._queued(request, caller)
        finally:
            self._starting -= 1
        self._jobs[caller.owner, job.turn.id] = job
        loop = asyncio.get_running_loop()
        job.work = loop.create_task(self._gateway.perform(job.turn, job))
        job.task = loop.create_task(self._watch(job, job.work))
        if self._closing:
            self._stop(job)
        return job

    def find(self, owner: str, response_id: str) -> Job | None:
        """The job of a response that is not over yet, or not stored yet."""
        return self._jobs.get((owner, response_id))

    async def cancel(self, owner: str, response_id: str) -> Job | None:
        """Stop a job, and return it when it is over; None where no such job is."""
        job = self.find(owner, response_id)
        if job is not None and job.work is not None:
            if job.turn.machine.terminal is None:
                job.work.cancel()
            await job.over.wait()
        return job

    async def ask_to_cancel(self, owner: str, response_id: str) -> None:
        """Tell whichever gateway on this store runs a response to cancel it, at its next beat."""
        memory = self._gateway.memory
        wish = StoredItem(_wish_id(response_id), b"1")
        await memory.asked(memory.needed_store().put_items(_beats_of(owner), [wish]))

    async def forget(self, owner: str, response_id: str) -> None:
        """Stop a job, and return when it is known that nothing more of it will be stored."""
        job = await self.cancel(owner, response_id)
        if job is not None and job.task is not None:
            job.is_wanted.set()
            await asyncio.wait([job.task])

    async def is_lost(self, owner: str, stored: StoredResponse) -> bool:
        """Whether a stored response that is not over has nobody who works on it."""
        memory, beat_id = self._gateway.memory, _beat_id(stored.id)
        found = await memory.asked(memory.needed_store().get_items(_beats_of(owner), [beat_id]))
        beat = readable(found.get(beat_id, b"0"), int, "a background response's beat")
        return self._now() - max(beat, stored.created_at) > LOST_AFTER_S

    def lost(self, body: dict[str, Any]) -> dict[str, Any]:
        """The response as it must look when its process is gone."""
        error = {"code": Kind.SHUTTING_DOWN.code, "message": _LOST}
        return {**body, "status": "failed", "error": error, "usage": r.Usage(0, 0, 0)}

    async def close(self) -> None:
        """End the jobs that the gateway has not ended, and wait until all of them are stored."""
        self._closing = True
        for job in self._jobs.values():
            job.is_wanted.set()
            self._stop(job)
        if tasks := [job.task for job in self._jobs.values() if job.task is not None]:
            await asyncio.wait(tasks)

    # ---------------------------------------------------------------- one job

    async def _queued(self, request: dict[str, Any], caller: Caller) -> Job:
        self._gateway.memory.needed_store()
        turn = await self._gateway.prepare(request, caller)
        if not turn.recalled.stores:
            raise TurnError(
                Kind.INVALID_REQUEST,
                "Invalid request: a background response must be stored, or nobody could fetch it.",
                param="background",
            )
        job = Job(turn, self._tell_state)
        await self._store(job)
        return job

    def _stop(self, job: Job) -> None:
        """End a job for the gateway's sake, unless it was ended before or is just being ended."""
        if job.work is None or job.work.done() or job.work.cancelling():
            return
        if job.turn.machine.terminal is None:
            job.is_stopped = True
            job.work.cancel()

    async def _watch(self, job: Job, work: asyncio.Task[r.AnyResponse]) -> None:
        """See to it that what becomes of a turn is stored, whatever ends it."""
        beating = asyncio.get_running_loop().create_task(self._beat(job))
        await asyncio.wait([work])
        beating.cancel()
        await asyncio.wait([beating])
        job.end(_result(job, work))
        try:
            if not await self._is_stored(job):
                await self._store_later(job)
        finally:
            job.over.set()
            self._jobs.pop(_key(job), None)

    async def _store_later(self, job: Job) -> None:
        """Keep a result here, where it can be fetched, until the store takes it."""
        job.over.set()
        gives_up_at = self._now() + KEPT_S
        while self._now() < gives_up_at:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._beat_s):
                    await job.is_wanted.wait()
            if await self._is_stored(job) or job.is_wanted.is_set():
                return

    async def _is_stored(self, job: Job) -> bool:
        try:
            await self._store(job, job.stream())
            await self._forget_beat(job)
        except TurnError as error:
            log.warning("%s is not stored: %s", job.turn.id[:13], error.message)
            return False
        return True

    async def _tell_state(self, job: Job) -> None:
        # For the other gateways on this store. Where it fails, they say that it is queued.
        with suppress(TurnError):
            await self._store(job)

    async def _beat(self, job: Job) -> None:
        while True:
            with suppress(TurnError):
                await self._beat_once(job)
            await asyncio.sleep(self._beat_s)

    async def _beat_once(self, job: Job) -> None:
        memory, owner = self._gateway.memory, _beats_of(job.turn.recalled.caller.owner)
        store, wish_id = memory.needed_store(), _wish_id(job.turn.id)
        beat = StoredItem(_beat_id(job.turn.id), str(int(self._now())).encode())
        await memory.asked(store.put_items(owner, [beat]))
        if await memory.asked(store.get_items(owner, [wish_id])) and job.work is not None:
            job.work.cancel()

    async def _forget_beat(self, job: Job) -> None:
        memory, owner = self._gateway.memory, _beats_of(job.turn.recalled.caller.owner)
        ids = [_beat_id(job.turn.id), _wish_id(job.turn.id)]
        await memory.asked(memory.needed_store().delete_items(owner, ids))

    async def _store(self, job: Job, events: bytes = b"") -> None:
        recalled = job.turn.recalled
        record = record_of(recalled, job.response, events)
        await self._gateway.memory.put_response(recalled.caller.owner, record)


def _key(job: Job) -> tuple[str, str]:
    return job.turn.recalled.caller.owner, job.turn.id


def _result(job: Job, work: asyncio.Task[r.AnyResponse]) -> r.AnyResponse:
    """How a turn ended, with the seals that the client may not have asked for."""
    machine = job.turn.machine
    if machine.terminal is not None:
        return machine.terminal.response
    if work.cancelled() and not job.is_stopped:
        return machine.so_far("cancelled")
    code, sentence = Kind.SHUTTING_DOWN.code, _STOPPED
    if not work.cancelled():
        error = work.exception()
        where = where_from(error) if error is not None else "It was cancelled."
        log.error("%s: the gateway itself failed\n%s", job.turn.id[:13], where)
        code, sentence = Kind.GATEWAY_BROKEN.code, BROKEN
    return _failed(machine.so_far("failed"), code, sentence)


def _beats_of(owner: str) -> str:
    """Whom the beats of an owner's jobs belong to: no client is it, so none can refer to a beat."""
    return f"beats of {owner}"


def _beat_id(response_id: str) -> str:
    return f"beat_{response_id}"


def _wish_id(response_id: str) -> str:
    return f"cancel_{response_id}"
