from __future__ import annotations

from pathlib import Path

from anyturn.capture import format as f
from anyturn.captured_findings import findings_of
from anyturn.testing import Answer, call, text
from support.recorded import record

BAD = {"type": "response.output_item.added", "output_index": 9, "item": {"type": "message"}}


async def test_a_good_turn_has_no_finding(tmp_path: Path) -> None:
    captures = await record(tmp_path / "captures", text("Hi."), Answer(call("f", "{}")))
    assert [findings_of(capture) for capture in captures] == [[], []]


async def test_what_breaks_a_client_is_found_with_its_rule_and_its_cure(tmp_path: Path) -> None:
    (capture,) = await record(tmp_path / "captures", text("Hi."))
    spoilt = f.Events(t=[0], events=[[BAD]])
    broken = f.Capture(records=[*capture.records, spoilt])
    found = findings_of(broken)
    assert found and all(one.rule and one.what and one.advice for one in found)


def test_a_turn_without_events_has_no_finding() -> None:
    assert findings_of(f.Capture(records=[])) == []


def test_what_was_recorded_counts() -> None:
    recorded = f.Finding(rule="x")
    capture = f.Capture(records=[f.Findings(findings=[recorded])])
    assert findings_of(capture) == [recorded]
