"""What came back for a probe, judged. Pure: whoever sent the request hands over an `Exchange`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import msgspec

from anyturn.conformance.catalogue import RULES
from anyturn.conformance.checker import StreamChecker
from anyturn.conformance.events import (
    CALLS,
    COMPLETED,
    ITEM_DONE,
    JSON,
    MESSAGE,
    PROBED,
    TERMINAL,
    Event,
    as_list,
    as_object,
    plain,
    shown,
)
from anyturn.conformance.live import CUT, ENDLESS, NO_ANSWER
from anyturn.conformance.probes import JSON_TEXT, UNKNOWN_MODEL, Probe, Way
from anyturn.conformance.reader import Reader, event_of
from anyturn.conformance.report import Finding
from anyturn.conformance.rules import CLIENTS, Severity
from anyturn.conformance.turn import Turn

__all__ = ["CUT", "ENDLESS", "NO_ANSWER", "Exchange", "Found", "Outcome", "State", "judge"]

_LIVE_RULES = [rule for rule in RULES.values() if rule.on == {PROBED}]
_ACTUAL = 300
_OF_STREAMS = ("grammar.", "transport.")


class Exchange(msgspec.Struct, frozen=True):
    """What came back, as far as it came.

    `status` is None where no answer came. `problem` is one of `NO_ANSWER`, `ENDLESS`, `CUT` or
    empty, and `words` say what went wrong. Over a WebSocket `frames` are the messages.
    """

    status: int | None = None
    headers: dict[str, str] = {}
    body: bytes = b""
    problem: str = ""
    words: str = ""
    frames: tuple[bytes, ...] = ()
    took_s: float = 0.0


class State(StrEnum):
    """What a probe came to, apart from findings."""

    JUDGED = "judged"
    NOT_CALLED = "not_called"
    """The model did not call: that says nothing about the server."""
    LIMITED = "limited"
    """The server is busy (429): nothing was seen."""


class Found(msgspec.Struct, frozen=True):
    """A finding, and the event at which it was made as it came over the wire (cut)."""

    finding: Finding
    actual: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """The result of one probe. `items` are the output items that were done."""

    probe: Probe
    state: State
    found: tuple[Found, ...]
    words: str = ""
    events: int = 0
    took_s: float = 0.0
    items: tuple[JSON, ...] = ()
    models: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings alone."""
        return tuple(one.finding for one in self.found)

    @property
    def is_broken(self) -> bool:
        """Whether something breaks a client that needs this probe."""
        levels = (f.severity(c) for f in self.findings for c in self.probe.clients)
        return any(level is Severity.BREAKS for level in levels)

    @property
    def has(self) -> frozenset[str]:
        """The rules that were broken."""
        return frozenset(finding.rule for finding in self.findings)


def judge(probe: Probe, request: JSON, exchange: Exchange) -> Outcome:
    """Judge what came back for a probe; `request` is the body that was sent. Never raises."""
    if exchange.status == 429:
        words = "the server is busy (429): not judged"
        return Outcome(probe, State.LIMITED, (), words, took_s=exchange.took_s)
    outcome = _JUDGES[probe.way](probe, request, exchange)
    return msgspec.structs.replace(outcome, took_s=exchange.took_s)


# ---------------------------------------------------------------- answers of a model


class _Answer:
    """The events of an answer and what they hold."""

    def __init__(self, events: list[Event]) -> None:
        self.events = events
        self.items = tuple(e.spoken for e in events if e.type == ITEM_DONE and e.spoken)
        ends = [event for event in events if event.type in TERMINAL]
        self.end = ends[-1] if ends else None

    @property
    def calls(self) -> list[JSON]:
        return [item for item in self.items if item.get("type") in CALLS]

    @property
    def text(self) -> str:
        parts = [
            as_object(part)
            for item in self.items
            if item.get("type") == MESSAGE
            for part in as_list(item.get("content"))
        ]
        return "".join(str(part.get("text") or part.get("refusal") or "") for part in parts)

    @property
    def is_empty(self) -> bool:
        """Whether it was completed and holds nothing that a client could use."""
        if self.end is None or self.end.type != COMPLETED:
            return False
        others = [i for i in self.items if i.get("type") not in (MESSAGE, "reasoning")]
        return not others and not self.text

    @property
    def output_tokens(self) -> Any:
        usage = as_object(self.end.response.get("usage")) if self.end else {}
        return usage.get("output_tokens")


def _judge_stream(probe: Probe, request: JSON, exchange: Exchange) -> Outcome:
    if exchange.status != 200:
        return _judge_refusal(probe, exchange)
    reader, body = Reader(), exchange.body
    checker = StreamChecker(request=request, status=200, headers=exchange.headers)
    checker.feed(body)
    report = checker.close()
    events = [*reader.feed(body), *reader.close()]
    findings = report.findings
    if exchange.problem == ENDLESS:
        # That it has no end was our own doing.
        findings = tuple(f for f in findings if f.event is not None and _is_theirs(f))
    return _judge_answer(probe, exchange, _Answer(events), findings)


def _is_theirs(finding: Finding) -> bool:
    return finding.rule not in ("transport.unended", "transport.not-a-stream")


def _judge_whole(probe: Probe, request: JSON, exchange: Exchange) -> Outcome:
    if exchange.status != 200:
        return _judge_refusal(probe, exchange)
    body = as_object(_decoded(exchange.body))
    if not isinstance(body.get("output"), list) or not isinstance(body.get("status"), str):
        facts = {"no_response": _excerpt(exchange.body) or "an empty body"}
        return Outcome(probe, State.JUDGED, _ask(exchange, facts))
    checker = StreamChecker(request=request)
    retold = _retold(body)
    for told in retold:
        checker.take(told)
    findings = tuple(
        msgspec.structs.replace(finding, event=None)
        for finding in checker.close().findings
        if not finding.rule.startswith(_OF_STREAMS)
    )
    events = [event_of(told, number) for number, told in enumerate(retold)]
    return _judge_answer(probe, exchange, _Answer(events), findings)


def _retold(body: JSON) -> list[JSON]:
    """A whole response as the shortest stream that would have told it."""
    begun = {**body, "status": "in_progress", "output": []}
    events: list[JSON] = [{"type": "response.created", "response": begun}]
    for index, item in enumerate(as_list(body.get("output"))):
        for stage in ("added", "done"):
            name = f"response.output_item.{stage}"
            events.append({"type": name, "output_index": index, "item": item})
    ending = body["status"] if body["status"] in TERMINAL.values() else "completed"
    events.append({"type": f"response.{ending}", "response": body})
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _judge_answer(
    probe: Probe, exchange: Exchange, answer: _Answer, findings: tuple[Finding, ...]
) -> Outcome:
    # What the events themselves tell of a fault explains why nothing is left.
    is_empty = answer.is_empty and not any(map(_matters, findings))
    facts: JSON = {"is_empty": is_empty, "output_tokens": answer.output_tokens}
    if probe.says == JSON_TEXT and answer.text and _decoded(answer.text.encode()) is None:
        facts["no_json"] = shown(answer.text)
    found = _located(findings, answer.events) + _ask(exchange, facts)
    outcome = Outcome(
        probe, State.JUDGED, found, _words(probe, answer), len(answer.events), items=answer.items
    )
    lost = outcome.is_broken or "items.call-as-text" in outcome.has
    if probe.calls and not answer.calls and not lost:
        words = f"the model did not call; it said: {shown(answer.text, 60)}"
        return msgspec.structs.replace(outcome, state=State.NOT_CALLED, words=plain(words))
    return outcome


def _matters(finding: Finding) -> bool:
    return any(finding.severity(c).rank >= Severity.DEGRADES.rank for c in CLIENTS)


def _words(probe: Probe, answer: _Answer) -> str:
    if probe.calls:
        count = len(answer.calls)
        if count < probe.calls:
            return f"{count} of {probe.calls} calls: the model makes one at a time"
        names = [str(call.get("name")) for call in answer.calls]
        return plain(", ".join(names), 80)
    if answer.end is not None and answer.end.type != COMPLETED:
        return answer.end.type.removeprefix("response.")
    if probe.says not in ("", JSON_TEXT) and probe.says not in answer.text.lower():
        return "the answer does not use the tool's output: the model's doing, or it was lost"
    return plain(repr(answer.text[:40]))


def _judge_refusal(probe: Probe, exchange: Exchange) -> Outcome:
    """An answer that is none: no connection, or a status that is not 200."""
    found = _ask(exchange, {})
    if exchange.status is not None and not found:
        said = f"status {exchange.status}: {_refusal(exchange) or 'nothing more'}"
        if exchange.status == 404:
            said += " (does the address end with /v1, and is this a Responses server?)"
        found = (Found(Finding("transport.status", None, plain(said))),)
    return Outcome(probe, State.JUDGED, found)


# ---------------------------------------------------------------- everything else


def _judge_refused(probe: Probe, request: JSON, exchange: Exchange) -> Outcome:
    may_pass = request.get("model") == UNKNOWN_MODEL
    facts: JSON = {"refused_with": exchange.status, "may_pass": may_pass}
    facts["json"] = _decoded(exchange.body)
    found = _ask(exchange, facts)
    if exchange.status == 200 and may_pass:
        words = "the server takes any name for its model"
    else:
        words = f"refused with {exchange.status}"
    return Outcome(probe, State.JUDGED, found, "" if found else words)


def _judge_models(probe: Probe, request: JSON, exchange: Exchange) -> Outcome:
    names = _model_names(exchange)
    facts: JSON = {}
    if exchange.status not in (None, 401, 403) and not names:
        facts["no_models"] = f"status {exchange.status}: {_refusal(exchange) or 'nothing'}"
    words = f"{len(names)} model{'s' if len(names) > 1 else ''}" if names else ""
    return Outcome(probe, State.JUDGED, _ask(exchange, facts), words, models=names)


def _model_names(exchange: Exchange) -> tuple[str, ...]:
    listed = as_object(_decoded(exchange.body)) if exchange.status == 200 else {}
    for list_name, member in (("data", "id"), ("models", "slug"), ("models", "name")):
        entries = map(as_object, as_list(listed.get(list_name)))
        names = [entry[member] for entry in entries if isinstance(entry.get(member), str)]
        if names:
            return tuple(names)
    return ()


def _judge_socket(probe: Probe, request: JSON, exchange: Exchange) -> Outcome:
    if exchange.status == 426:
        return Outcome(probe, State.JUDGED, (), "none (426): clients post at once")
    if exchange.status != 101:
        said = exchange.words or f"status {exchange.status}"
        return Outcome(probe, State.JUDGED, _ask(Exchange(), {"no_socket": said}))
    checker = StreamChecker(request=request)
    for frame in exchange.frames:
        checker.take(frame)
    report = checker.close()
    events = [event_of(frame, number) for number, frame in enumerate(exchange.frames)]
    return _judge_answer(probe, exchange, _Answer(events), report.findings)


_JUDGES = {
    Way.STREAM: _judge_stream,
    Way.WHOLE: _judge_whole,
    Way.REFUSED: _judge_refused,
    Way.MODELS: _judge_models,
    Way.WEBSOCKET: _judge_socket,
}


def _ask(exchange: Exchange, facts: JSON) -> tuple[Found, ...]:
    """What the live rules find in an exchange."""
    known = {
        "problem": exchange.problem,
        "words": exchange.words,
        "status": exchange.status,
        "location": exchange.headers.get("location", ""),
        "refusal": _refusal(exchange),
        **facts,
    }
    event, turn = Event(PROBED, known, 0), Turn()
    said = ((rule.id, rule.check(turn, event)) for rule in _LIVE_RULES)
    return tuple(Found(Finding(name, None, plain(words))) for name, words in said if words)


def _located(findings: Iterable[Finding], events: list[Event]) -> tuple[Found, ...]:
    return tuple(Found(finding, _actual(finding, events)) for finding in findings)


def _actual(finding: Finding, events: list[Event]) -> str:
    if finding.event is None or finding.event >= len(events):
        return ""
    event = events[finding.event]
    return plain(shown(event.body, _ACTUAL) if event.body else _excerpt(event.raw), _ACTUAL)


def _refusal(exchange: Exchange) -> str:
    """What the body of an error says."""
    error = as_object(_decoded(exchange.body)).get("error")
    message = error if isinstance(error, str) else as_object(error).get("message")
    return message if isinstance(message, str) else _excerpt(exchange.body)


def _excerpt(raw: bytes) -> str:
    return shown(" ".join(raw[:1000].decode("utf-8", "replace").split()))


def _decoded(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
