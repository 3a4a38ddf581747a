"""What was found, and what it means to each client."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import msgspec

from anyturn.conformance.catalogue import RULES
from anyturn.conformance.codex import CODEX_PROFILE, ProfileCheck
from anyturn.conformance.rules import CLIENTS, Rule, Severity, clients_of


class Verdict(StrEnum):
    """Whether a client can work with this stream.

    `UNPROVEN` is for live checks alone: nothing speaks against the server, but what a client needs
    was not seen, for instance because the model did not call.
    """

    READY = "ready"
    PARTLY = "partly"
    NOT_READY = "not_ready"
    UNPROVEN = "unproven"


class Finding(msgspec.Struct, frozen=True):
    """One place where a rule does not hold.

    `event` counts what was read from 0, and is None for what concerns the whole stream. `found` is
    what was there, cut. `times` is more than 1 where the same rule was broken again and again and
    only the first places are kept.
    """

    rule: str
    event: int | None
    found: str
    times: int = 1

    @property
    def what(self) -> Rule:
        """The rule: what was expected, why it matters, how to mend it, whose fault it is."""
        return RULES[self.rule]

    def severity(self, client: str) -> Severity:
        """What it means to a client (one of `CLIENTS`)."""
        return self.what.severity[client]


class NotReady(AssertionError):
    """A client cannot work with the stream. The message says why, rule by rule."""


class Report(msgspec.Struct, frozen=True):
    """The result of a check.

    `kind` is what was read: responses, chat (a Chat Completions stream, which no Responses client
    reads), foreign, or nothing.
    """

    kind: str
    events: int
    findings: tuple[Finding, ...]

    def for_client(self, *names: str) -> list[Finding]:
        """The findings that matter to these clients, worst first. Groups are names too."""
        clients = _named(names)
        told = [f for f in self.findings if self._worst([f], clients) is not Severity.NONE]
        return sorted(told, key=lambda f: -self._worst([f], clients).rank)

    def verdict(self, *names: str) -> Verdict:
        """What these clients make of the stream, all of them by default: the worst counts."""
        worst = self._worst(self.findings, _named(names or ("all",)))
        if worst is Severity.BREAKS:
            return Verdict.NOT_READY
        return Verdict.PARTLY if worst is Severity.DEGRADES else Verdict.READY

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """The verdict of every client."""
        return {client: self.verdict(client) for client in CLIENTS}

    def raise_for(self, *names: str) -> Report:
        """Raise `NotReady` unless these clients are ready; return the report itself if they are."""
        if self.verdict(*names) is not Verdict.READY:
            raise NotReady(self.text(*names))
        return self

    def profile(self) -> list[tuple[ProfileCheck, list[Finding]]]:
        """The Codex compatibility profile: each of its questions, and what speaks against it.

        What is no Responses stream passes none of them.
        """
        judged = self.kind == "responses"
        return [
            (check, [f for f in self.findings if f.rule in check.rules or not judged])
            for check in CODEX_PROFILE
        ]

    def text(self, *names: str) -> str:
        """The findings that matter to these clients in words, a few lines each."""
        clients = _named(names or ("all",))
        lines = [f"{', '.join(clients)}: {self.verdict(*clients).replace('_', ' ')}"]
        for finding in self.for_client(*clients):
            worst = self._worst([finding], clients)
            place = "" if finding.event is None else f", event {finding.event}"
            lines += [
                f"  {finding.rule} ({worst}{place})",
                f"    expected: {finding.what.expected}",
                f"    found:    {finding.found}",
                f"    why:      {finding.what.why}",
                f"    mend:     {finding.what.fix}",
            ]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Everything, as data."""
        return {
            "kind": self.kind,
            "events": self.events,
            "verdicts": {name: str(verdict) for name, verdict in self.verdicts.items()},
            "codex_profile": {
                check.name: [finding.rule for finding in against]
                for check, against in self.profile()
            },
            "findings": [_as_json(finding) for finding in self.findings],
        }

    def __str__(self) -> str:
        return self.text("all")

    @staticmethod
    def _worst(findings: Iterable[Finding], clients: tuple[str, ...]) -> Severity:
        levels = [finding.severity(client) for finding in findings for client in clients]
        return max(levels, key=lambda level: level.rank, default=Severity.NONE)


def _as_json(finding: Finding) -> dict[str, Any]:
    rule = finding.what
    return {
        "rule": rule.id,
        "event": finding.event,
        "times": finding.times,
        "found": finding.found,
        "expected": rule.expected,
        "why": rule.why,
        "fix": rule.fix,
        "fault": str(rule.fault),
        "severity": {client: str(level) for client, level in rule.severity.items()},
    }


def _named(names: Iterable[str]) -> tuple[str, ...]:
    """The clients of these names, each once."""
    return tuple(dict.fromkeys(client for name in names for client in clients_of(name)))
