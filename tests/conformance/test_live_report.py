"""The report of a live check: verdicts, the profile, and what other programs read."""

from __future__ import annotations

from xml.etree import ElementTree

import msgspec
import pytest

from anyturn.conformance import CLIENTS, Verdict
from anyturn.conformance.judging import Exchange, Outcome, judge
from anyturn.conformance.live_report import LiveReport, live_junit, live_markdown
from anyturn.conformance.probes import PROBES, Way, request_of
from support.model_server import good_answer
from support.responses_streams import as_sse, call, message, stream

SSE = {"content-type": "text/event-stream"}
_OK = {
    Way.MODELS: Exchange(200, body=b'{"data":[{"id":"m"}]}'),
    Way.REFUSED: Exchange(404, body=b'{"error":{"message":"No."}}'),
    Way.WEBSOCKET: Exchange(426),
}


def outcomes(**changed: Exchange) -> tuple[Outcome, ...]:
    """All probes answered well, but for those that are named (`one_call=`)."""
    told = []
    for probe in PROBES:
        request = request_of(probe, "m")
        exchange = changed.get(probe.id.replace(" ", "_")) or _OK.get(probe.way)
        if exchange is None:
            events = good_answer(request)
            whole = msgspec.json.encode(events[-1]["response"])
            body = as_sse(events) if probe.way is Way.STREAM else whole
            exchange = Exchange(200, SSE, body)
        told.append(judge(probe, request, exchange))
    return tuple(told)


def report(*clients: str, **changed: Exchange) -> LiveReport:
    return LiveReport("http://localhost/v1", "m", clients or tuple(CLIENTS), outcomes(**changed))


BROKEN = Exchange(200, SSE, as_sse(stream(call("", "get_weather"))))
TALK = Exchange(200, SSE, as_sse(stream(message("Sunny."))))
WHOLE = Exchange(200, {}, b"{}")


@pytest.mark.parametrize(
    ("changed", "codex", "node"),
    [
        ({}, Verdict.READY, Verdict.READY),
        ({"one_call": BROKEN}, Verdict.NOT_READY, Verdict.NOT_READY),
        ({"one_call": TALK}, Verdict.UNPROVEN, Verdict.UNPROVEN),
        ({"parallel_calls": TALK}, Verdict.READY, Verdict.READY),
        ({"no_stream": WHOLE}, Verdict.READY, Verdict.NOT_READY),
        ({"structured_output": Exchange(429)}, Verdict.UNPROVEN, Verdict.UNPROVEN),
    ],
    ids=["good", "broken call", "no call", "no parallel calls", "no whole answer", "busy"],
)
def test_the_verdict_of_a_client_follows_from_what_it_needs(
    changed: dict[str, Exchange], codex: Verdict, node: Verdict
) -> None:
    verdicts = report(**changed).verdicts
    assert (verdicts["codex"], verdicts["openai-node"]) == (codex, node)


def test_what_was_not_asked_is_not_proven() -> None:
    whole = report("codex")
    part = msgspec.structs.replace(whole, outcomes=whole.outcomes[:4])
    assert (whole.is_ready, part.is_ready) == (True, False)
    assert part.verdicts == {"codex": Verdict.UNPROVEN}


def test_a_rule_is_told_once_with_all_its_places() -> None:
    (told,) = report(one_call=BROKEN, parallel_calls=BROKEN).told()
    assert told.probes == ("one call", "parallel calls")


def test_the_profile_names_what_is_broken() -> None:
    profile = report("codex", one_call=BROKEN).profile()
    against = {check.name: rules for check, rules, _ in profile if rules}
    assert against == {"arguments not empty": ["items.arguments-empty"]}


def test_the_documents_hold_verdicts_checks_and_findings() -> None:
    told = report("codex", "openai-python", one_call=BROKEN, no_stream=WHOLE)
    document = msgspec.json.decode(msgspec.json.encode(told.as_json()))
    assert document["verdicts"] == {"codex": "not_ready", "openai-python": "not_ready"}
    assert [finding["rule"] for finding in document["findings"]] == [
        "items.arguments-empty",
        "live.json-answer",
    ]
    text = live_markdown(told)
    assert "| Codex CLI 0.169.0 | not ready |" in text
    assert "## items.arguments-empty (one call)" in text
    root = ElementTree.fromstring(live_junit(told))
    assert {suite.get("name"): suite.get("failures") for suite in root} == {
        "codex": "1",
        "openai-python": "2",
    }


def test_what_was_not_checked_is_skipped_in_junit() -> None:
    told = report("codex", one_call=TALK)
    part = msgspec.structs.replace(told, outcomes=told.outcomes[:3])
    (suite,) = ElementTree.fromstring(live_junit(part))
    assert (suite.get("failures"), suite.get("skipped")) == ("0", str(len(suite) - 2))
