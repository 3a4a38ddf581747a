"""The rules that need a server; tests/checker breaks them over HTTP."""

from __future__ import annotations

import pytest

from anyturn.conformance import RULES
from anyturn.conformance.judging import CUT, ENDLESS, NO_ANSWER, Exchange, judge
from anyturn.conformance.probes import PROBES, UNKNOWN_MODEL, Probe, request_of
from support.responses_streams import JSON, as_sse, message, stream

BY_ID = {probe.id: probe for probe in PROBES}
TEXT = BY_ID["text"]
GOOD = as_sse(stream(message()))
SSE = {"content-type": "text/event-stream"}
_EMPTY = as_sse(stream())
_ENVELOPE = b'{"error":{"message":"No."}}'

CASES: dict[str, tuple[str, Exchange]] = {
    "live.no-answer": ("text", Exchange(problem=NO_ANSWER, words="nobody")),
    "live.key-refused": ("text", Exchange(401, body=_ENVELOPE)),
    "live.redirect": ("text", Exchange(302, {"location": "/x"})),
    "live.endless": ("text", Exchange(200, SSE, GOOD, ENDLESS, "after 1 s")),
    "live.cut-off": ("text", Exchange(200, SSE, GOOD, CUT, "broke off")),
    "live.answer-lost": ("text", Exchange(200, SSE, _EMPTY)),
    "live.format-ignored": ("structured output", Exchange(200, SSE, GOOD)),
    "live.json-answer": ("no stream", Exchange(200, {}, GOOD)),
    "live.error-status": ("bad JSON", Exchange(500, body=_ENVELOPE)),
    "live.error-envelope": ("bad JSON", Exchange(400, body=b"no")),
    "live.models": ("models", Exchange(404, body=b"no")),
    "live.websocket": ("WebSocket", Exchange(404)),
}


def asked(probe: Probe) -> JSON:
    return request_of(probe, UNKNOWN_MODEL if probe.id == "unknown model" else "m")


def test_every_live_rule_has_its_case() -> None:
    assert CASES.keys() == {name for name in RULES if name.startswith("live.")}


@pytest.mark.parametrize("rule", CASES)
def test_an_exchange_is_named_by_its_rule_and_by_no_other(rule: str) -> None:
    name, exchange = CASES[rule]
    outcome = judge(BY_ID[name], asked(BY_ID[name]), exchange)
    assert outcome.has == {rule}
    assert outcome.findings[0].found


@pytest.mark.parametrize(
    ("name", "exchange"),
    [
        ("text", Exchange(200, SSE, GOOD)),
        ("bad JSON", Exchange(400, body=_ENVELOPE)),
        ("unknown model", Exchange(200, body=b"{}")),
        ("models", Exchange(200, body=b'{"data":[{"id":"m"}]}')),
        ("models", Exchange(200, body=b'{"models":[{"slug":"m"}]}')),
        ("WebSocket", Exchange(426)),
    ],
)
def test_what_is_right_has_no_finding(name: str, exchange: Exchange) -> None:
    assert judge(BY_ID[name], asked(BY_ID[name]), exchange).found == ()
