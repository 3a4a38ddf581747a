"""What a rule is, for whom it matters and how much.

A rule is a function with an id. It looks at one event and at the stream as it stood before, and
returns what it found, or None. Everything else that is known of the rule stands beside it, so that
a report, a page and a table are made from one place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from enum import StrEnum
from typing import TypeAlias

import msgspec

from anyturn.conformance.events import Event
from anyturn.conformance.turn import Turn

CODEX = "codex"
PYTHON = "openai-python"
NODE = "openai-node"
AI_SDK = "ai-sdk"
OPEN = "open-responses"

CLIENTS = {
    CODEX: "Codex CLI 0.169.0",
    PYTHON: "openai-python: responses.stream() and strict types",
    NODE: "openai-node: responses.stream()",
    AI_SDK: "AI SDK: @ai-sdk/openai",
    OPEN: "the Open Responses compliance suite",
}
ALL = frozenset(CLIENTS)
# The word of its User-Agent by which each of them is known.
_WORDS = {
    "codex": CODEX,
    "openai/python": PYTHON,
    "openai/js": NODE,
    "ai-sdk/": AI_SDK,
}

# What `--client` also takes.
GROUPS = {"openai": (PYTHON, NODE), "all": tuple(CLIENTS)}


def client_of(headers: Mapping[str, str]) -> str:
    """The client (one of `CLIENTS`) that sent these headers, '' for any other."""
    sent = {name.lower(): value for name, value in headers.items()}
    who = f"{sent.get('originator', '')} {sent.get('user-agent', '')}".lower()
    return next((name for word, name in _WORDS.items() if word in who), "")


class Severity(StrEnum):
    """What breaking a rule means to one client: docs/rules/sdks.md says how that is seen."""

    NONE = "none"
    COSMETIC = "cosmetic"
    DEGRADES = "degrades"
    BREAKS = "breaks"

    @property
    def rank(self) -> int:
        """Worse is greater."""
        return list(Severity).index(self)


class Fault(StrEnum):
    """Who has to change something."""

    SERVER = "the Responses server or gateway"
    PROXY = "the server, or what stands between it and the client"
    MODEL = "the model, or the server that lets its mistake through"


Check: TypeAlias = Callable[[Turn, Event], str | None]


class Rule(msgspec.Struct, frozen=True):
    """One thing that must be true of a stream.

    `on` are the types of events at which it is looked at, empty for every event. `seen` names who
    is known to break it.
    """

    id: str
    check: Check
    on: frozenset[str]
    expected: str
    why: str
    fix: str
    fault: Fault
    severity: dict[str, Severity]
    seen: str = ""
    once: bool = False
    """Whether one finding says all there is to say of a stream."""


def rule(
    id: str,
    *,
    on: Iterable[str] = (),
    expected: str,
    why: str,
    fix: str,
    breaks: Collection[str] = (),
    degrades: Collection[str] = (),
    cosmetic: Collection[str] = (),
    fault: Fault = Fault.SERVER,
    seen: str = "",
    once: bool = False,
) -> Callable[[Check], Rule]:
    """Make a rule of the function below. A client that stands in no list does not mind."""

    def make(check: Check) -> Rule:
        levels = (
            (Severity.COSMETIC, cosmetic),
            (Severity.DEGRADES, degrades),
            (Severity.BREAKS, breaks),
        )
        severity = dict.fromkeys(CLIENTS, Severity.NONE)
        for level, clients in levels:
            severity.update(dict.fromkeys(clients, level))
        return Rule(id, check, frozenset(on), expected, why, fix, fault, severity, seen, once)

    return make


def clients_of(name: str) -> tuple[str, ...]:
    """The clients that a name means: one of `CLIENTS`, or a group. Raise `KeyError` for others."""
    return (name,) if name in CLIENTS else GROUPS[name]
