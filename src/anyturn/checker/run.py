"""A live check from the first request to the last, and when to stop before that."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from anyturn.checker.client import CheckClient
from anyturn.conformance.judging import Outcome, State, judge
from anyturn.conformance.live import ABOUT_THE_SERVER
from anyturn.conformance.live_report import LiveReport
from anyturn.conformance.probes import CALL, PROBES, Probe, Way, request_of

Note = Callable[[Probe, Outcome | None], None]
"""Told before a probe (with None) and after it."""

# What ends a check: with the first answer of a model, or when it repeats itself.
_LIMIT = "live.endless"


class ServerCheck:
    """Checks one server for some clients. `report` gives what is known at any time."""

    def __init__(
        self,
        base_url: str,
        client: CheckClient,
        clients: tuple[str, ...],
        *,
        model: str = "",
        note: Note = lambda probe, outcome: None,
    ) -> None:
        self.model = model
        self.stopped = ""
        self._base_url = base_url
        self._client = client
        self._clients = clients
        self._note = note
        self._outcomes: list[Outcome] = []

    def report(self) -> LiveReport:
        """What is known so far."""
        return LiveReport(
            self._base_url, self.model, self._clients, tuple(self._outcomes), self.stopped
        )

    async def run(self) -> LiveReport:
        """Make every probe that the clients need, until one says that the rest is in vain."""
        self.stopped = "it was interrupted"
        for probe in PROBES:
            if not probe.clients & {*self._clients}:
                continue
            self._note(probe, None)
            outcome = await self._probe(probe)
            self._outcomes.append(outcome)
            self._note(probe, outcome)
            if why := self._why_stop(probe, outcome):
                self.stopped = why
                return self.report()
        self.stopped = ""
        return self.report()

    async def _probe(self, probe: Probe) -> Outcome:
        """Make one probe; a call that does not come is asked for in other ways."""
        outcome = await self._attempt(probe, 0)
        for attempt in range(1, len(probe.attempts)):
            refused = "transport.status" in outcome.has and not outcome.has & _FINAL
            if outcome.state is not State.NOT_CALLED and not refused:
                break
            again = await self._attempt(probe, attempt)
            took_s = outcome.took_s + again.took_s
            better = outcome if _is_refused(again) and not refused else again
            outcome = msgspec.structs.replace(better, took_s=took_s)
        return outcome

    async def _attempt(self, probe: Probe, attempt: int) -> Outcome:
        if probe.way is Way.MODELS:
            outcome = judge(probe, {}, await self._client.get("/models"))
            self.model = self.model or next(iter(outcome.models), "")
            return outcome
        request = request_of(probe, self.model, attempt, self._said())
        if probe.way is Way.WEBSOCKET:
            del request["stream"]
            return judge(probe, request, await self._client.converse(request))
        body = probe.raw or msgspec.json.encode(request)
        stream = probe.way is Way.STREAM
        exchange = await self._client.post("/responses", body, stream=stream)
        return judge(probe, request, exchange)

    def _said(self) -> tuple[dict[str, Any], ...]:
        """What the model said when it called, for the tool loop to go on from."""
        for outcome in self._outcomes:
            if outcome.probe.id == CALL and outcome.state is State.JUDGED:
                return () if outcome.is_broken else _replayable(outcome.items)
        return ()

    def _why_stop(self, probe: Probe, outcome: Outcome) -> str:
        if probe.way is Way.MODELS:
            return "" if self.model else self._why_no_model(outcome)
        about = outcome.has & ABOUT_THE_SERVER
        if about and len(self._outcomes) == 2:
            return f"the first answer says that the rest would be in vain ({', '.join(about)})"
        before = self._outcomes[-2].has if len(self._outcomes) > 1 else frozenset()
        for rule in ("live.no-answer", _LIMIT):
            if rule in outcome.has and rule in before:
                return f"two checks in a row ended with {rule}"
        return ""

    def _why_no_model(self, outcome: Outcome) -> str:
        if outcome.has & ABOUT_THE_SERVER:
            return "the server cannot be asked anything"
        return "the server lists no models: name one with --model"


_FINAL = ABOUT_THE_SERVER | {_LIMIT}


def _is_refused(outcome: Outcome) -> bool:
    return bool(outcome.has & (_FINAL | {"transport.status"}))


def _replayable(items: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Output items as clients send them back."""
    return tuple({name: value for name, value in i.items() if name != "status"} for i in items)
