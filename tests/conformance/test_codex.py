"""The Codex compatibility profile: six questions, and what answers each with no."""

from __future__ import annotations

import pytest

from anyturn.conformance import CODEX_PROFILE, RULES, check_stream
from support.defects import DEFECTS
from support.responses_streams import call, stream


def failed(*arguments: object, **known: object) -> list[str]:
    report = check_stream(*arguments, **known)  # type: ignore[arg-type]
    return [check.name for check, against in report.profile() if against]


def test_a_good_stream_passes_all_six() -> None:
    assert len(CODEX_PROFILE) == 6
    assert failed(stream(call())) == []


@pytest.mark.parametrize(
    ("rule", "check"),
    [
        ("grammar.item-not-done", "event structure"),
        ("foreign.tool-call-event", "no forbidden events"),
        ("foreign.arguments-event-name", "no forbidden events"),
        ("items.name-missing", "done items whole"),
        ("items.arguments-empty", "arguments not empty"),
        ("items.call-id-changes", "call_id consistent"),
    ],
)
def test_each_question_has_its_defects(rule: str, check: str) -> None:
    defect = next(defect for defect in DEFECTS if defect.rule == rule)
    assert failed(defect.bad, **defect.known) == [check]


def test_what_is_no_responses_stream_passes_none() -> None:
    assert len(failed(b"<html></html>")) == 6
    assert len(failed(b'data: {"choices":[]}\n\n')) == 6


def test_a_refused_request_is_not_accepted() -> None:
    assert "request accepted" in failed(b"{}", status=404)


def test_the_questions_name_rules_that_exist() -> None:
    assert {rule for check in CODEX_PROFILE for rule in check.rules} <= RULES.keys()


def test_whatever_breaks_codex_speaks_against_the_profile() -> None:
    asked = {rule for check in CODEX_PROFILE for rule in check.rules}
    broken = {rule.id for rule in RULES.values() if rule.severity["codex"] == "breaks"}
    beyond = {
        # Calls that nobody declared, and calls written as text, are the model's fault.
        *("items.name-undeclared", "items.input-wrapped", "codex.end-turn-false"),
        *("fidelity.calls", "fidelity.arguments"),
    }
    assert broken - asked == beyond
