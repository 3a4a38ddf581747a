from __future__ import annotations

import msgspec
import pytest

from anyturn.conformance import NotReady, Report, Verdict, check_stream
from support.bent_streams import end_set, item_set
from support.responses_streams import call, message, stream

GOOD = check_stream(stream(call()))
BROKEN = check_stream(stream(call("")))
PARTLY = check_stream(end_set(stream(message()), usage=None))
COSMETIC = check_stream(item_set(stream(call()), call_id="call_" + 60 * "a"))


@pytest.mark.parametrize(
    ("report", "verdict"),
    [
        (GOOD, Verdict.READY),
        (BROKEN, Verdict.NOT_READY),
        (PARTLY, Verdict.PARTLY),
        (COSMETIC, Verdict.READY),
    ],
    ids=["good", "breaks", "degrades", "cosmetic"],
)
def test_the_worst_finding_is_the_verdict(report: Report, verdict: Verdict) -> None:
    assert report.verdict("codex") is report.verdicts["codex"] is verdict


def test_each_client_has_its_own_verdict() -> None:
    assert BROKEN.verdicts["ai-sdk"] is Verdict.READY
    assert BROKEN.verdict() is BROKEN.verdict("all") is Verdict.NOT_READY
    assert PARTLY.verdict("openai") is Verdict.PARTLY
    assert PARTLY.verdict("open-responses") is Verdict.READY


def test_a_report_raises_for_a_client_that_is_not_ready() -> None:
    assert GOOD.raise_for("codex") is GOOD
    with pytest.raises(NotReady, match="failed to parse function arguments"):
        BROKEN.raise_for("codex")
    with pytest.raises(AssertionError, match=r"terminal\.usage-missing"):
        PARTLY.raise_for("codex", "openai")
    assert PARTLY.raise_for("open-responses") is PARTLY


def test_an_unknown_client_is_refused() -> None:
    with pytest.raises(KeyError):
        GOOD.raise_for("curl")


def test_findings_are_told_worst_first_and_only_to_whom_they_matter() -> None:
    events = end_set(stream(call("")), usage=None, truncation=...)
    report = check_stream(events)
    told = [finding.rule for finding in report.for_client("codex")]
    assert told == ["items.arguments-empty", "terminal.usage-missing"]
    assert "open-responses.members-missing" in str(report)


def test_a_report_is_data_too() -> None:
    told = msgspec.json.decode(msgspec.json.encode(BROKEN.as_json()))
    assert told["verdicts"]["codex"] == "not_ready"
    assert told["codex_profile"]["arguments not empty"] == ["items.arguments-empty"]
    (finding,) = told["findings"]
    assert finding["event"] == 6
    assert finding["severity"]["ai-sdk"] == "cosmetic"
    assert finding.keys() >= {"rule", "found", "expected", "why", "fix", "fault", "times"}
