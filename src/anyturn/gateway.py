"""The life of one turn: request in, provider asked, chunks to events, events out.

The only file that awaits and knows the translation. Whatever ends a turn badly leaves here as a
`TurnError` when nothing was sent yet, and as `response.failed` afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from anyturn.errors import Kind, TurnError
from anyturn.memory import ANYBODY, Caller, Memory, Recalled, new_id
from anyturn.own_faults import where_from
from anyturn.routing import Routing, Target
from anyturn.translate.adaptations import Adaptation, Adaptations, refuse_losses
from anyturn.translate.chat_to_compaction import ChatToCompaction
from anyturn.translate.chat_to_responses import ChatToResponses
from anyturn.translate.failures import failure_from_body
from anyturn.translate.inclusion import response_without_seals, without_seals
from anyturn.translate.lowered_tools import needs_raising
from anyturn.translate.machine import Machine
from anyturn.translate.raised_calls import RaisedCalls
from anyturn.translate.relay import Relay
from anyturn.translate.responses_to_chat import ChatRequest, convert_request
from anyturn.translate.responses_to_responses import forward_request
from anyturn.translate.second_try import Asked, second_try
from anyturn.translate.snapshot import response_snapshot
from anyturn.translate.status_line import without_status_lines
from anyturn.upstream import ProviderClient, ProviderStream
from anyturn.wire import responses as r
from anyturn.wire.chat_stream import AnswerReader, ChunkReader, Unreadable
from anyturn.wire.profile import Profile
from anyturn.wire.server_events import EventReader

if TYPE_CHECKING:
    from anyturn.conformance import Finding

log = logging.getLogger("anyturn")

# Once the provider said why it stopped, only the token counts and [DONE] are to come. A provider
# that then keeps the connection open must not keep the client waiting.
_AFTER_FINISH_S = 2.0
_TOLD_MAX = 1000
# They show nothing of a refusal part (rule codex.refusal-part).
_WITHOUT_REFUSALS = frozenset({"codex", "ai-sdk"})

BROKEN = "The gateway failed; its log says why. This is a bug in Anyturn: please report it."


class Sink(Protocol):
    """Where the events of a turn go."""

    def accepts(self, error: TurnError) -> bool:
        """Whether this failure is to be told as events; if not, it is raised instead (F68)."""

    async def begin(self, adaptations: list[Adaptation]) -> None:
        """Called once, before the first events, with what was changed in the request."""

    async def send(self, events: list[r.Event]) -> None:
        """Take the next events, in order; returns when there is room for more (back-pressure)."""


class Tap(Protocol):
    """Sees both sides of every turn: for the demo, recorders and inspectors. Must not block."""

    def request(self, turn: Turn) -> None:
        """A provider is about to be asked, or asked again with another `asked_body`."""

    def provider_bytes(self, turn: Turn, block: bytes) -> None:
        """The provider sent these bytes."""

    def events(self, turn: Turn, events: list[r.Event]) -> None:
        """The client is about to get these events."""

    def ended(self, turn: Turn) -> None:
        """The turn is over, whatever became of it: `turn.machine` says what."""


class Guard(Protocol):
    """Judges the events of every turn before they are remembered and sent (`--check`)."""

    def passed(self, turn: Turn, events: list[r.Event]) -> list[r.Event]:
        """Return the events that may go on: all, or those before a fault and the turn's failure."""


class Ending(Protocol):
    """Sees what leaves for the client in one turn, and may put something at its end."""

    @property
    def response(self) -> r.AnyResponse | None:
        """The response as the client got it, where that is not what the machine says."""

    def passed(self, events: list[r.Event]) -> list[r.Event]:
        """Return the events that may be sent now. What is held back leaves before the end."""

    def close(self) -> None:
        """The turn is over, whatever became of it."""


class Endings(Protocol):
    """Gives turns their ending, as the hook `status_line` does. Must not block."""

    def of(self, turn: Turn) -> Ending | None:
        """The ending of a turn whose provider is about to be asked."""


class Turn(msgspec.Struct):
    """One request with its whole answer, as far as it has come."""

    id: str
    snapshot: r.Response
    """The response as the turn begins: in progress, and nothing said."""
    request: dict[str, Any]
    target: Target
    asked: Asked
    asked_body: bytes
    machine: Machine
    opening: list[r.Event]
    """The first events, until they are sent: an answer may still become an HTTP error."""
    started_at: float
    recalled: Recalled
    is_begun: bool = False
    """Whether the client was told anything."""
    truncates: bool = False
    """Whether old context may be left out where it does not fit."""
    hides_seals: bool = False
    """Whether reasoning is sealed for a later request only."""
    findings: list[Finding] = msgspec.field(default_factory=list)
    """What the guard found in the events so far."""
    ending: Ending | None = None
    """What may put something at its end, from when its provider is asked."""


class Gateway:
    """Runs turns against the providers that `routing` knows."""

    def __init__(
        self,
        routing: Routing,
        client: ProviderClient,
        *,
        reasoning: str = "auto",
        open_reasoning_names: bool = False,
        strict: bool = False,
        memory: Memory | None = None,
        guard: Guard | None = None,
        endings: Endings | None = None,
        taps: Iterable[Tap] = (),
    ) -> None:
        self.routing = routing
        self.memory = memory or Memory(None)
        self._client = client
        self.open_reasoning_names = open_reasoning_names
        self._reasoning = reasoning
        self._strict = strict
        self._guard = guard
        self._endings = endings
        self._taps = tuple(taps)
        self._told: set[tuple[str, str]] = set()
        self._running: set[asyncio.Task[Any]] = set()
        self._cut: set[asyncio.Task[Any]] = set()
        self._closing = False

    async def run(
        self, request: dict[str, Any], sink: Sink, caller: Caller = ANYBODY
    ) -> r.AnyResponse:
        """Run one turn and return its response, whatever its status.

        Raises `TurnError` when the turn failed and the sink does not accept that as events.
        """
        return await self.perform(await self.prepare(request, caller), sink)

    async def prepare(self, request: dict[str, Any], caller: Caller = ANYBODY) -> Turn:
        """Make a turn of a request: with what it names, for its provider, and nothing asked yet.

        The request is taken over and emptied: a long history should not stay in memory for as long
        as its answer streams. Raises `TurnError` for whatever the client can mend.
        """
        if self._closing:
            raise TurnError(Kind.SHUTTING_DOWN, "The gateway is being stopped.")
        adaptations = Adaptations()
        if isinstance(items := request.get("input"), list):
            request["input"] = without_status_lines(items, adaptations)
        recalled = await self.memory.recall(request, caller, adaptations)
        turn = self._make_turn(request, recalled, adaptations)
        request.clear()
        return turn

    async def perform(self, turn: Turn, sink: Sink) -> r.AnyResponse:
        """Ask the provider, deliver the answer, and return the response (see `run`)."""
        if self._endings is not None:
            turn.ending = self._endings.of(turn)
        try:
            await self._answer(turn, sink)
        except TurnError as error:
            await self._deliver(turn, sink, turn.machine.fail(error))
        finally:
            if turn.ending is not None:
                turn.ending.close()
            self._report(turn)
            for tap in self._taps:
                tap.ended(turn)
        if turn.machine.error is not None and not sink.accepts(turn.machine.error):
            raise turn.machine.error
        assert turn.machine.terminal is not None
        response = turn.machine.terminal.response
        if turn.ending is not None:
            response = turn.ending.response or response
        return response_without_seals(response) if turn.hides_seals else response

    async def close(self, grace_s: float) -> None:
        """Take no more turns, let the running ones finish, and cut those that take longer.

        Clients whose turn is cut are told so (`SHUTTING_DOWN`).
        """
        self._closing = True
        if self._running:
            _, self._cut = await asyncio.wait(self._running, timeout=grace_s)
        for task in self._cut:
            task.cancel()

    def _make_turn(
        self, request: dict[str, Any], recalled: Recalled, adaptations: Adaptations
    ) -> Turn:
        target = self.routing.resolve(request.get("model"))
        profile = target.profile
        convert = forward_request if profile.wire == "responses" else convert_request
        asked = convert(recalled.request, profile, target.model, adaptations)
        if self._strict:
            refuse_losses(adaptations)
        body = asked.encode()
        snapshot = response_snapshot(
            request,
            response_id=new_id("resp"),
            created_at=_now(),
            model=request.get("model") or target.model,
            stores=recalled.stores,
        )
        machine = self._machine(request, recalled, asked, snapshot, profile, len(body))
        return Turn(
            snapshot.id,
            snapshot,
            recalled.request,
            target,
            asked,
            body,
            machine,
            machine.start(),
            time.monotonic(),
            recalled,
            truncates=request.get("truncation") == "auto",
            hides_seals=recalled.comes_back and not _asks_for_seals(request),
        )

    def _machine(
        self,
        request: dict[str, Any],
        recalled: Recalled,
        asked: Asked,
        snapshot: r.Response,
        profile: Profile,
        request_bytes: int,
    ) -> Machine:
        answer: Machine
        if isinstance(asked, ChatRequest):
            answer = ChatToResponses(
                snapshot,
                asked.tools,
                profile,
                new_id=new_id,
                now=_now,
                reasoning_as_summary=self._shows_summary(request),
                open_reasoning_names=self.open_reasoning_names,
                refusals_as_text=recalled.caller.client in _WITHOUT_REFUSALS,
                seal_reasoning=_asks_for_seals(request) or recalled.comes_back,
                request_bytes=request_bytes,
                adaptations=asked.adaptations,
            )
        else:
            answer = Relay(
                snapshot,
                profile,
                new_id=new_id,
                now=_now,
                adaptations=asked.adaptations,
                told=_told(request, snapshot, recalled),
                request_bytes=request_bytes,
                is_stored=recalled.stores,
            )
        answer = _raising(answer, asked, profile)
        return ChatToCompaction(answer, profile, new_id=new_id) if asked.compacts else answer

    def _shows_summary(self, request: dict[str, Any]) -> bool:
        if self._reasoning != "auto":
            return self._reasoning == "summary"
        asked = (request.get("reasoning") or {}).get("summary")
        return asked not in (None, "none")

    # ---------------------------------------------------------------- the answer

    async def _answer(self, turn: Turn, sink: Sink) -> None:
        """Ask the provider and relay its answer.

        Whatever breaks that is raised as a `TurnError`, unless it is the client that left.
        """
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            if turn.request.get("generate") is False:
                return await self._deliver(turn, sink, turn.machine.skip())
            provider = await self._ask(turn)
            try:
                _forget_request(turn)
                await self._relay(turn, provider, sink)
                await provider.drain()
            finally:
                provider.close()
        except asyncio.CancelledError:
            if task not in self._cut:
                raise
            task.uncancel()
            sentence = "The gateway was stopped in the middle of the answer."
            raise TurnError(Kind.SHUTTING_DOWN, sentence) from None
        except (TurnError, ConnectionError):
            raise
        except Exception as error:
            log.error("%s: the gateway itself failed\n%s", turn.id[:13], where_from(error))
            raise TurnError(Kind.GATEWAY_BROKEN, BROKEN) from None
        finally:
            self._running.discard(task)

    async def _ask(self, turn: Turn) -> ProviderStream:
        """Open the provider's answer; where it refuses, ask for less if that may help (F11)."""
        profile = turn.target.profile
        while True:
            try:
                return await self._open(turn)
            except TurnError as refusal:
                if self._strict:
                    raise
                asked = second_try(turn.asked, refusal, profile, may_truncate=turn.truncates)
                if asked is None:
                    raise
            turn.asked, turn.asked_body = asked, asked.encode()
            turn.machine = _raising(turn.machine, asked, profile)

    async def _open(self, turn: Turn) -> ProviderStream:
        for tap in self._taps:
            tap.request(turn)
        target = turn.target
        caller = turn.recalled.caller
        return await self._client.open(
            target.profile, target.api_key, turn.asked_body, caller.passed, caller.headers
        )

    async def _relay(self, turn: Turn, provider: ProviderStream, sink: Sink) -> None:
        """Feed, collect, send, until the answer is over. One write for one block."""
        machine, reader = turn.machine, _reader(turn.target.profile)
        while not reader.done and machine.terminal is None:
            block = await provider.read(_AFTER_FINISH_S if machine.finish else None)
            if not block:
                break
            for tap in self._taps:
                tap.provider_bytes(turn, block)
            if frames := reader.feed(block):
                await self._deliver(turn, sink, self._translate(turn, frames))
                if not reader.done:
                    await provider.gather(len(frames))
        last = reader.close()
        events = self._translate(turn, last)
        if not turn.is_begun and not last and machine.terminal is None:
            events = machine.fail(failure_from_body(b"", turn.target.profile))
        await self._deliver(turn, sink, events + machine.end())

    def _translate(self, turn: Turn, frames: list[Any]) -> list[r.Event]:
        machine = turn.machine
        events: list[r.Event] = []
        for frame in frames:
            if isinstance(frame, Unreadable):
                events += machine.fail(failure_from_body(frame.data, turn.target.profile))
            else:
                events += machine.receive(frame)
        return events

    async def _deliver(self, turn: Turn, sink: Sink, events: list[r.Event]) -> None:
        if not turn.is_begun and (turn.opening or events):
            if turn.machine.error is not None and not sink.accepts(turn.machine.error):
                raise turn.machine.error
            events, turn.opening, turn.is_begun = turn.opening + events, [], True
            await sink.begin(turn.asked.adaptations)
        if events:
            if self._guard is not None:
                events = self._guard.passed(turn, events)
            await self._remember(turn, events)
            if turn.ending is not None:
                events = turn.ending.passed(events)
            if turn.hides_seals:
                events = without_seals(events)
        if events:
            for tap in self._taps:
                tap.events(turn, events)
            await sink.send(events)

    async def _remember(self, turn: Turn, events: list[r.Event]) -> None:
        """Remember what these events hand out, before anybody has it."""
        if turn.recalled.stores:
            done = (r.ItemDone, r.RelayedDone)
            items = [event.item for event in events if isinstance(event, done)]
            await self.memory.remember(turn.recalled, items)
        if turn.machine.terminal is not None and turn.machine.terminal is events[-1]:
            await self.memory.keep(turn.recalled, turn.machine.terminal.response)

    # ---------------------------------------------------------------- the log

    def _report(self, turn: Turn) -> None:
        """One line for a turn, and one for each thing that was lost on the way (A3)."""
        machine, name = turn.machine, turn.id[:13]
        response = machine.terminal.response if machine.terminal else None
        status = (
            response.status if response else "given up: the client left, or the provider failed"
        )
        usage = response.usage if response and response.status != "failed" else None
        tokens = f", {usage.input_tokens} + {usage.output_tokens} tokens" if usage else ""
        took_s = time.monotonic() - turn.started_at
        target = f"{turn.target.profile.name}/{turn.target.model}"
        log.info("%s %s: %s in %.2f s%s", name, target, status, took_s, tokens)
        if machine.error is not None:
            log.warning("%s failed: %s", name, machine.error.message)
        for change in machine.adaptations:
            level = logging.WARNING if self._is_news(change) else logging.DEBUG
            sentence = "%s %s at %s: %s"
            fields = {"adaptation": msgspec.structs.asdict(change), "turn": turn.id}
            log.log(level, sentence, name, change.rule, change.where, change.what, extra=fields)

    def _is_news(self, change: Adaptation) -> bool:
        """A loss is worth a warning once: an agent sends the same tools with every turn."""
        key = (change.rule, change.what)
        if not change.lossy or key in self._told:
            return False
        if len(self._told) < _TOLD_MAX:
            self._told.add(key)
        return True


def _forget_request(turn: Turn) -> None:
    turn.request.clear()
    turn.asked.body.clear()
    turn.asked_body = b""


def _raising(machine: Machine, asked: Asked, profile: Profile) -> Machine:
    """The machine of an answer, whose calls must be raised where tools became functions."""
    if isinstance(machine, Relay) and any(map(needs_raising, asked.tools)):
        return RaisedCalls(machine, asked.tools, profile, new_id=new_id)
    return machine


def _reader(profile: Profile) -> AnswerReader[Any]:
    """What reads the bytes of a provider, for the machine of the same wire."""
    return EventReader() if profile.wire == "responses" else ChunkReader()


def _asks_for_seals(request: dict[str, Any]) -> bool:
    return "reasoning.encrypted_content" in (request.get("include") or ())


def _told(request: dict[str, Any], snapshot: r.Response, recalled: Recalled) -> dict[str, Any]:
    """What the gateway answers for: its memory is not the provider's (clients.md section 1.4)."""
    told: dict[str, Any] = {
        "store": recalled.stores,
        "previous_response_id": snapshot.previous_response_id,
        "metadata": snapshot.metadata,
    }
    if request.get("conversation"):
        told["conversation"] = snapshot.conversation
    if request.get("background"):
        # Whoever began it was told its id before the provider was asked.
        told |= {"background": True, "id": snapshot.id}
    return told


def _now() -> int:
    return int(time.time())
