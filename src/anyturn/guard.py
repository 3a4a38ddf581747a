"""The checker's rules on every turn of the gateway: `--check warn` and `--check strict`.

Warn logs each rule once for a turn. Strict also fails a turn at the first event that would break
the client that asked: that event and what comes after it is not sent, and the stream ends with
`response.failed`, which says why. What went out before stays out; an answer that is not streamed
becomes an error as a whole.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from typing import Any

import msgspec

from anyturn.conformance import Finding, Severity, StreamChecker, clients_of
from anyturn.errors import Kind, TurnError
from anyturn.gateway import Turn
from anyturn.own_faults import where_from
from anyturn.translate.responses_to_chat import ChatRequest
from anyturn.wire import responses as r

log = logging.getLogger("anyturn")

MAX_EVENTS = 100_000
MAX_SECONDS = 1.0
"""What the check of one turn may cost (A1); what comes later in the turn is not judged."""

_MAX_TURNS = 1000
# Nobody knows what breaks a client that does not say who it is, unless it breaks them all.
_UNNAMED = "all"
_TERMINAL = (r.Completed, r.Incomplete, r.Failed, r.RelayedTerminal)
_OPENINGS = frozenset({"response.created", "response.queued"})


class TurnGuard:
    """Judges the events of all turns, for `Gateway(guard=...)`. Findings join `turn.findings`."""

    def __init__(
        self,
        *,
        strict: bool = False,
        max_events: int = MAX_EVENTS,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        self._strict = strict
        self._max_events = max_events
        self._max_ns = int(max_seconds * 1e9)
        self._watched: OrderedDict[str, _Watched] = OrderedDict()

    def passed(self, turn: Turn, events: list[r.Event]) -> list[r.Event]:
        """Judge these events, and return what may be sent in their place."""
        watched = self._watched_of(turn, events)
        if watched is None:
            return events
        started = time.thread_time_ns()
        for place, event in enumerate(events):
            found = watched.take(event)
            if found and self._is_stopped(turn, watched, found):
                return self._failed(turn, events, place, found)
        watched.events += len(events)
        watched.cost_ns += time.thread_time_ns() - started
        if isinstance(events[-1], _TERMINAL):
            self._end(turn, watched)
        elif watched.events > self._max_events or watched.cost_ns > self._max_ns:
            watched.is_over = True
            log.info("%s: the rest of this turn is not checked: it is long", turn.id[:13])
        return events

    def _watched_of(self, turn: Turn, events: list[r.Event]) -> _Watched | None:
        """What is known of a turn; None where it is judged no more."""
        watched = self._watched.get(turn.id)
        if watched is None:
            # A Responses server may say something of its own before them.
            if not any(r.name_of(event) in _OPENINGS for event in events):
                return None
            watched = self._watched[turn.id] = _Watched(turn)
            # Turns that were given up leave no other trace.
            if len(self._watched) > _MAX_TURNS:
                self._watched.popitem(last=False)
        elif isinstance(events[-1], _TERMINAL):
            del self._watched[turn.id]
        return None if watched.is_over else watched

    def _is_stopped(self, turn: Turn, watched: _Watched, found: list[Finding]) -> bool:
        """Report what was found; whether it breaks the client and so ends the turn."""
        turn.findings += found
        for finding in found:
            if finding.rule not in watched.told:
                watched.told.add(finding.rule)
                watched.tell(turn, finding)
        return self._strict and any(watched.breaks(finding) for finding in found)

    def _failed(
        self, turn: Turn, events: list[r.Event], place: int, found: list[Finding]
    ) -> list[r.Event]:
        watched = self._watched.pop(turn.id, None) or _Watched(turn)
        watched.is_over = True
        broken = next(finding for finding in found if watched.breaks(finding))
        turn.machine.take_back(events[place:])
        error = TurnError(
            Kind.GATEWAY_BROKEN,
            f"The answer was stopped, because it would break {watched.name}: {broken.rule} "
            f"({broken.what.expected}; found {broken.found[:200]}). The gateway runs with "
            "check = strict.",
        )
        return events[:place] + turn.machine.fail(error)

    def _end(self, turn: Turn, watched: _Watched) -> None:
        self._watched.pop(turn.id, None)
        if watched.is_over:
            return
        report = watched.checker.close()
        late = [f for f in report.findings if f.rule not in watched.told and f.rule not in _LATE]
        turn.findings += late
        for finding in late:
            watched.tell(turn, finding)


# There is no `[DONE]` among the events.
_LATE = frozenset({"transport.done-missing"})


def _declared(turn: Turn) -> dict[str, Any]:
    """What the rules want to know of the request, whose body is gone by now: model and tools.

    Where a name was declared twice, tools are not: its calls may be of either kind.
    """
    kinds: dict[tuple[str, str], list[str]] = {}
    if not isinstance(turn.asked, ChatRequest):
        return {"model": turn.snapshot.model}
    for tool in turn.asked.tools:
        kinds.setdefault((tool.namespace, tool.name), []).append(str(tool.kind))
    tools: list[dict[str, Any]] = []
    for (space, name), declared in kinds.items():
        if len(declared) > 1:
            return {"model": turn.snapshot.model}
        one = {"type": declared[0], "name": name}
        tools.append({"type": "namespace", "name": space, "tools": [one]} if space else one)
    return {"model": turn.snapshot.model, "tools": tools}


class _Watched:
    """One turn that is watched."""

    def __init__(self, turn: Turn) -> None:
        client = turn.recalled.caller.client
        self.name = client or "every client"
        self.clients = clients_of(client or _UNNAMED)
        self.checker = StreamChecker(request=_declared(turn))
        self.told: set[str] = set()
        self.events = 0
        self.cost_ns = 0
        self.is_over = False

    def take(self, event: r.Event) -> list[Finding]:
        """What is found at an event. A checker that fails has no say in the turn."""
        if self.is_over:
            return []
        try:
            return self.checker.take(r.encode_json(event))
        except Exception as error:
            where = where_from(error)
            log.error("the checker itself failed: this turn is not checked\n%s", where)
            self.is_over = True
            return []

    def breaks(self, finding: Finding) -> bool:
        return self._severity(finding) is Severity.BREAKS

    def _severity(self, finding: Finding) -> Severity:
        """What it means to the client, or at least to every one."""
        levels = [finding.severity(client) for client in self.clients]
        return min(levels, key=lambda level: level.rank)

    def tell(self, turn: Turn, finding: Finding) -> None:
        """Log a finding, as loudly as it matters to the client of this turn."""
        severity = self._severity(finding)
        loud = severity.rank >= Severity.DEGRADES.rank
        log.log(
            logging.WARNING if loud else logging.DEBUG,
            "%s check: %s %s %s: %s",
            turn.id[:13],
            finding.rule,
            severity,
            self.name,
            finding.found,
            extra={"finding": msgspec.structs.asdict(finding), "turn": turn.id},
        )
