"""The result of a live check: verdicts, the Codex profile, and the forms for other programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from xml.etree import ElementTree

import msgspec

from anyturn.conformance.codex import CODEX_PROFILE, ProfileCheck
from anyturn.conformance.formats import xml_text
from anyturn.conformance.judging import Found, Outcome, State
from anyturn.conformance.live import ABOUT_THE_SERVER
from anyturn.conformance.probes import CALL, PROBES, Probe, Way
from anyturn.conformance.report import Finding, Verdict
from anyturn.conformance.rules import CLIENTS, CODEX, Rule, Severity

_ANSWERS = (Way.STREAM, Way.WHOLE, Way.WEBSOCKET)


class Told(msgspec.Struct, frozen=True):
    """A rule that was broken: in which probes, and the first place where it was."""

    rule: Rule
    probes: tuple[str, ...]
    first: Found

    @property
    def finding(self) -> Finding:
        """The first finding."""
        return self.first.finding


class LiveReport(msgspec.Struct, frozen=True):
    """What is known of a server, also when the check was stopped before its end.

    `stopped` says why that was, and is empty when every probe was made.
    """

    base_url: str
    model: str
    clients: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    stopped: str = ""

    @property
    def was_checked(self) -> bool:
        """Whether anything was seen by which a server could be judged."""
        return any(
            outcome.probe.way in _ANSWERS
            and outcome.state is not State.LIMITED
            and not outcome.has & ABOUT_THE_SERVER
            for outcome in self.outcomes
        )

    def verdict(self, client: str) -> Verdict:
        """What a client can expect."""
        worst = self._worst(client)
        if worst is Severity.BREAKS:
            return Verdict.NOT_READY
        if worst is Severity.DEGRADES:
            return Verdict.PARTLY
        return Verdict.UNPROVEN if self._unseen(client) else Verdict.READY

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """The verdict of every client that was asked for."""
        return {client: self.verdict(client) for client in self.clients}

    @property
    def is_ready(self) -> bool:
        """Whether all of them are ready."""
        return set(self.verdicts.values()) == {Verdict.READY}

    def told(self, *clients: str) -> list[Told]:
        """The rules that were broken and matter to these clients, worst first, each once."""
        names = clients or self.clients
        places: dict[str, list[tuple[str, Found]]] = {}
        for outcome in self.outcomes:
            for found in outcome.found:
                if _level(found.finding, outcome.probe, names) is not Severity.NONE:
                    places.setdefault(found.finding.rule, []).append((outcome.probe.id, found))
        told = [
            Told(found[0][1].finding.what, tuple(dict.fromkeys(p for p, _ in found)), found[0][1])
            for found in places.values()
        ]
        worst = {t.rule.id: max(t.rule.severity[c].rank for c in names) for t in told}
        return sorted(told, key=lambda one: -worst[one.rule.id])

    def profile(self) -> list[tuple[ProfileCheck, list[str], bool]]:
        """The Codex compatibility profile: each question, the rules against it, whether it is open.

        Open is a question about calls where no call was seen, and every one where nothing answered.
        """
        broken = {f.rule for o in self.outcomes if CODEX in o.probe.clients for f in o.findings}
        saw_call = any(_has_call(outcome) for outcome in self.outcomes)
        saw_any = any(outcome.events for outcome in self.outcomes)
        lines = []
        for check in CODEX_PROFILE:
            against = sorted(broken & {*check.rules})
            about_calls = all(rule.startswith(("items.argu", "items.call")) for rule in check.rules)
            is_open = not against and not (saw_call if about_calls else saw_any)
            lines.append((check, against, is_open))
        return lines

    def as_json(self) -> dict[str, Any]:
        """Everything, as data."""
        return {
            "base_url": self.base_url,
            "model": self.model,
            "stopped": self.stopped,
            "verdicts": {name: str(verdict) for name, verdict in self.verdicts.items()},
            "codex_profile": {
                check.name: "not seen" if is_open else against
                for check, against, is_open in self.profile()
            },
            "checks": [_check_json(outcome) for outcome in self.outcomes],
            "findings": [_told_json(told) for told in self.told()],
        }

    def _worst(self, client: str) -> Severity:
        levels = [
            _level(finding, outcome.probe, (client,))
            for outcome in self.outcomes
            for finding in outcome.findings
        ]
        return max(levels, key=lambda level: level.rank, default=Severity.NONE)

    def _unseen(self, client: str) -> list[str]:
        """The probes that a client needs and that showed nothing."""
        states = {outcome.probe.id: outcome.state for outcome in self.outcomes}
        needed = [probe.id for probe in PROBES if client in probe.clients]
        return [
            name
            for name in needed
            if states.get(name, State.LIMITED) is State.LIMITED
            or (name == CALL and states[name] is State.NOT_CALLED)
        ]


def live_markdown(report: LiveReport) -> str:
    """The report as Markdown."""
    lines = [f"# anyturn check {report.base_url}", "", f"Model: {report.model or 'none'}.", ""]
    if report.stopped:
        lines += [f"Stopped: {report.stopped}", ""]
    lines += ["| client | verdict |", "|---|---|"]
    lines += [f"| {CLIENTS[c]} | {v.replace('_', ' ')} |" for c, v in report.verdicts.items()]
    lines += ["", "| check | result | seconds |", "|---|---|---|"]
    for outcome in report.outcomes:
        result = ", ".join(sorted(outcome.has)) or outcome.words or str(outcome.state)
        lines.append(f"| {outcome.probe.title} | {_cell(result)} | {outcome.took_s:.1f} |")
    lines += ["", "| Codex compatibility | |", "|---|---|"]
    for check, against, is_open in report.profile():
        said = "not seen" if is_open else ", ".join(against) or "passed"
        lines.append(f"| {check.name} | {said} |")
    for told in report.told():
        lines += ["", *_markdown_rule(told)]
    return "\n".join(lines) + "\n"


def _markdown_rule(told: Told) -> list[str]:
    actual = [f"- event: `{_code(told.first.actual)}`"] if told.first.actual else []
    return [
        f"## {told.rule.id} ({', '.join(told.probes)})",
        "",
        f"- expected: {told.rule.expected}",
        f"- found: `{_code(told.finding.found)}`",
        *actual,
        f"- why: {told.rule.why}",
        f"- mend: {told.rule.fix}",
        f"- fault: {told.rule.fault}",
    ]


def live_junit(report: LiveReport) -> bytes:
    """The report as JUnit XML: a suite for each client, a case for each probe that it needs."""
    root = ElementTree.Element("testsuites", name=f"anyturn check {report.base_url}")
    outcomes = {outcome.probe.id: outcome for outcome in report.outcomes}
    for client in report.clients:
        needed = [probe for probe in PROBES if client in probe.clients]
        suite = ElementTree.SubElement(root, "testsuite", name=client, tests=str(len(needed)))
        cases = [_add_case(suite, probe, outcomes.get(probe.id), client) for probe in needed]
        suite.set("failures", str(cases.count("failure")))
        suite.set("skipped", str(cases.count("skipped")))
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _add_case(
    suite: ElementTree.Element, probe: Probe, outcome: Outcome | None, client: str
) -> str:
    """Add a case and return how it ended: failure, skipped or passed."""
    case = ElementTree.SubElement(
        suite, "testcase", name=probe.title, classname=f"anyturn.{client}"
    )
    if outcome is None or outcome.state is not State.JUDGED:
        words = outcome.words if outcome else "not checked"
        ElementTree.SubElement(case, "skipped", message=xml_text(words))
        return "skipped"
    case.set("time", f"{outcome.took_s:.3f}")
    minded = [
        found.finding
        for found in outcome.found
        if _level(found.finding, probe, (client,)).rank >= Severity.DEGRADES.rank
    ]
    for finding in minded[:1]:
        rules = ", ".join(dict.fromkeys(one.rule for one in minded))
        message = xml_text(f"{rules}: {finding.found}")
        failure = ElementTree.SubElement(case, "failure", message=message)
        failure.text = "\n".join(
            f"{one.rule}\nexpected: {one.what.expected}\nwhy: {one.what.why}\nmend: {one.what.fix}"
            for one in minded
        )
    return "failure" if minded else "passed"


def _level(finding: Finding, probe: Probe, clients: Iterable[str]) -> Severity:
    """What a finding in this probe means to the clients that need the probe: the worst."""
    levels = [finding.severity(client) for client in clients if client in probe.clients]
    return max(levels, key=lambda level: level.rank, default=Severity.NONE)


def _has_call(outcome: Outcome) -> bool:
    return any(str(item.get("type")).endswith("_call") for item in outcome.items)


def _check_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.probe.id,
        "state": str(outcome.state),
        "rules": sorted(outcome.has),
        "words": outcome.words,
        "seconds": round(outcome.took_s, 3),
        "clients": sorted(outcome.probe.clients),
    }


def _told_json(told: Told) -> dict[str, Any]:
    return {
        "rule": told.rule.id,
        "checks": list(told.probes),
        "event": told.finding.event,
        "found": told.finding.found,
        "actual": told.first.actual,
        "expected": told.rule.expected,
        "why": told.rule.why,
        "fix": told.rule.fix,
        "fault": str(told.rule.fault),
        "severity": {client: str(level) for client, level in told.rule.severity.items()},
    }


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(text: str) -> str:
    return text.replace("`", "'")
