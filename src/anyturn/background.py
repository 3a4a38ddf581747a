"""Background responses: begun at once, fetched, followed and cancelled later.

A job runs here, in this process, and what is stored of it says how far it is. It beats: a gateway
that finds an unfinished response without a beat knows that the process that ran it is gone.
"""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import msgspec

from anyturn.errors import Kind, TurnError
from anyturn.gateway import Gateway, Turn
from anyturn.memory import Caller
from anyturn.store.records import StoredItem, StoredResponse
from anyturn.translate.adaptations import Adaptation
from anyturn.wire import responses as r

log = logging.getLogger("anyturn")

MAX_JOBS = 256
BEAT_S = 5.0
_LOST_AFTER_S = 30.0
_LOST = "The gateway that ran this response was stopped before it was finished."


class Job:
    """One response that runs in the background. It is the sink of its turn."""

    def __init__(self, turn: Turn, queued: r.Response) -> None:
        self.turn = turn
        self.response: r.AnyResponse = queued
        self.task: asyncio.Task[None] | None = None
        self._events: list[tuple[int, bytes]] = []
        self._news = asyncio.Event()
        self._is_over = False

    def accepts(self, error: TurnError) -> bool:
        """Always: nobody waits for a status."""
        return True

    async def begin(self, adaptations: list[Adaptation]) -> None:
        """The provider answers."""
        self.response = msgspec.structs.replace(self.turn.snapshot, status="in_progress")

    async def send(self, events: list[r.Event]) -> None:
        """Take the next events, for whoever follows."""
        self._events += [(event.sequence_number, r.encode_event(event)) for event in events]
        self._tell()

    def end(self, response: r.AnyResponse) -> None:
        """There will be no more events."""
        self.response = response
        self._is_over = True
        self._tell()

    def stream(self) -> bytes:
        """All events so far, compressed as they are stored."""
        return pack_events([event for _, event in self._events])

    async def follow(self, after: int) -> AsyncIterator[bytes]:
        """The events behind number `after`, those to come included."""
        position = 0
        while True:
            fresh = [event for number, event in self._events[position:] if number > after]
            position = len(self._events)
            if fresh:
                yield b"".join(fresh)
            if self._is_over and position == len(self._events):
                return
            if position == len(self._events):
                await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def pack_events(events: list[bytes]) -> bytes:
    """Compress encoded events for the store."""
    return zlib.compress(b"".join(events), 1)


def unpack_events(packed: bytes, after: int) -> bytes:
    """The stored events behind number `after`."""
    frames = zlib.decompress(packed).split(b"\n\n")
    kept = [frame for frame in frames if frame and _number_of(frame) > after]
    return b"".join(frame + b"\n\n" for frame in kept)


class _Numbered(msgspec.Struct):
    # Events that are not of the API have none.
    sequence_number: int = -1


def _number_of(frame: bytes) -> int:
    data = frame.partition(b"data: ")[2]
    return msgspec.json.decode(data, type=_Numbered).sequence_number


class Background:
    """The jobs of this process."""

    def __init__(self, gateway: Gateway, *, now: Callable[[], float] = time.time) -> None:
        self._gateway = gateway
        self._now = now
        self._jobs: dict[tuple[str, str], Job] = {}

    async def start(self, request: dict[str, Any], caller: Caller) -> Job:
        """Begin a response and store that it is queued.

        Raises `TurnError` for what a client can mend, or when there are too many.
        """
        if len(self._jobs) >= MAX_JOBS:
            sentence = f"{MAX_JOBS} background responses are running here; try again later."
            raise TurnError(Kind.RATE_LIMITED, sentence, retry_after=BEAT_S)
        turn = await self._gateway.prepare(request, caller)
        if not turn.recalled.stores:
            raise TurnError(
                Kind.INVALID_REQUEST,
                "Invalid request: a background response must be stored, or nobody could fetch it.",
                param="background",
            )
        job = Job(turn, msgspec.structs.replace(turn.snapshot, status="queued"))
        await self._store(job, job.response)
        self._jobs[caller.owner, turn.id] = job
        job.task = asyncio.get_running_loop().create_task(self._run(job))
        return job

    def find(self, owner: str, response_id: str) -> Job | None:
        """The job of a response that is not over yet."""
        return self._jobs.get((owner, response_id))

    async def cancel(self, owner: str, response_id: str) -> None:
        """Stop a job, and wait until that is stored; nothing happens when it is over."""
        job = self.find(owner, response_id)
        if job is not None and job.task is not None:
            job.task.cancel()
            await asyncio.wait([job.task])

    async def is_lost(self, owner: str, response_id: str) -> bool:
        """Whether a stored response that is not over has nobody who works on it."""
        if self.find(owner, response_id) is not None:
            return False
        memory = self._gateway.memory
        beat_id = _beat_id(response_id)
        found = await memory.asked(memory.needed_store().get_items(owner, [beat_id]))
        return self._now() - float(found.get(beat_id, b"0")) > _LOST_AFTER_S

    def lost(self, body: dict[str, Any]) -> dict[str, Any]:
        """The response as it must look when its process is gone."""
        error = {"code": "server_error", "message": _LOST}
        return {**body, "status": "failed", "error": error}

    async def close(self) -> None:
        """Wait for the jobs, whose turns the gateway has ended."""
        tasks = [job.task for job in self._jobs.values() if job.task is not None]
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, job: Job) -> None:
        caller = job.turn.recalled.caller
        beating = asyncio.get_running_loop().create_task(self._beat(job))
        response = None
        try:
            response = await self._gateway.perform(job.turn, job)
        except asyncio.CancelledError:
            response = job.turn.machine.so_far("cancelled")
        except TurnError as error:
            log.warning("%s: %s", job.turn.id[:13], error.message)
        finally:
            beating.cancel()
            job.end(response or job.turn.machine.so_far("failed"))
            with suppress(TurnError):
                await self._store(job, self._final(job), job.stream())
            del self._jobs[caller.owner, job.turn.id]

    def _final(self, job: Job) -> r.AnyResponse:
        """What is stored: with the seals that the client may not have asked for."""
        terminal = job.turn.machine.terminal
        return terminal.response if terminal is not None else job.response

    async def _beat(self, job: Job) -> None:
        memory, owner = self._gateway.memory, job.turn.recalled.caller.owner
        while True:
            beat = StoredItem(_beat_id(job.turn.id), str(int(self._now())).encode())
            with suppress(TurnError):
                await memory.asked(memory.needed_store().put_items(owner, [beat]))
            await asyncio.sleep(BEAT_S)

    async def _store(self, job: Job, response: r.AnyResponse, events: bytes = b"") -> None:
        recalled = job.turn.recalled
        await self._gateway.memory.put_response(
            recalled.caller.owner,
            StoredResponse(
                id=response.id,
                created_at=response.created_at,
                body=r.encode_json(response),
                input=recalled.own,
                parent=recalled.parent,
                conversation=recalled.conversation,
                events=events,
            ),
        )


def _beat_id(response_id: str) -> str:
    return f"beat_{response_id}"
