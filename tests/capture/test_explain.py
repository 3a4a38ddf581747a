from __future__ import annotations

import pytest

from anyturn.capture.explain import explain
from anyturn.capture.format import Finding
from support.captured_turns import CALL, CALLED, EVENTS, REQUEST, captured, chunk, stream

ERROR = {"code": "rate_limit_exceeded", "message": "Slow down.", "source": "provider"}


def with_item(**changes):
    item = {**CALL, **changes}
    return [*EVENTS[:7], {"type": "response.output_item.done", "item": item}, EVENTS[8]]


def test_a_call_that_was_handed_out_runs() -> None:
    explained = explain(captured())
    (verdict,) = explained.verdicts
    assert verdict.runs
    assert explained.summary == "The call reached the client in a form that it executes."


def test_an_output_that_came_back_proves_it() -> None:
    output = {"type": "function_call_output", "call_id": "call_1", "output": "x"}
    later = captured(turn="resp_2", request={"input": [output]})
    explained = explain(captured(), [later])
    assert "so it ran" in explained.verdicts[0].what
    assert explained.summary.endswith("executes. Its output came back.")


@pytest.mark.parametrize(
    ("options", "rule", "fault", "words"),
    [
        pytest.param(
            {"events": EVENTS[:6], "status": "failed", "text": stream(CALLED)},
            "I6",
            "provider",
            "ended before the call was whole",
            id="cut off",
        ),
        pytest.param(
            {
                "events": EVENTS[:6],
                "status": "incomplete",
                "text": stream(CALLED, chunk({}, "length")),
            },
            "I6",
            "provider",
            "token budget",
            id="length",
        ),
        pytest.param(
            {"events": EVENTS[:6], "status": "left"},
            "turn.left",
            "client",
            "client left",
            id="left",
        ),
        pytest.param(
            {"events": with_item(name="walk")},
            "F47",
            "provider",
            "no tool of the name",
            id="unknown",
        ),
        pytest.param(
            {"events": with_item(arguments="{")},
            "F44",
            "provider",
            "no JSON",
            id="broken arguments",
        ),
    ],
)
def test_a_call_that_cannot_run_is_explained(options, rule, fault, words) -> None:
    verdict = explain(captured(**options)).verdicts[0]
    assert (verdict.runs, verdict.rule, verdict.fault) == (False, rule, fault)
    assert words in verdict.what
    assert verdict.evidence and verdict.advice and verdict.whose


def test_a_call_that_never_arrived_is_the_gateways_fault_when_all_else_went_well() -> None:
    explained = explain(captured(events=[EVENTS[0], EVENTS[8]]))
    (verdict,) = explained.verdicts
    assert (verdict.rule, verdict.fault) == ("I7", "gateway")
    assert 'chunk 1: run({"x":1}' in verdict.evidence
    assert "1 of 1 calls did not reach" in explained.summary


def test_a_failed_turn_says_whose_fault_and_what_to_do() -> None:
    explained = explain(captured(events=[], status="failed", error=ERROR, text=""))
    (verdict,) = explained.verdicts
    assert (verdict.what, verdict.fault) == ("Slow down.", "provider")
    assert "Retry-After" in verdict.advice
    assert explained.summary == "The client got no event at all."


def test_a_turn_without_calls_says_so() -> None:
    explained = explain(captured(events=[EVENTS[0], EVENTS[8]], text=stream(chunk({}, "stop"))))
    assert explained.summary.startswith("The model called no tool")


def test_tools_in_namespaces_and_in_the_history_are_declared() -> None:
    request = {
        "tools": [{"type": "namespace", "tools": [{"type": "function", "name": "run"}]}],
        "input": [{"type": "additional_tools", "tools": [{"type": "custom", "name": "patch"}]}],
    }
    assert explain(captured(request=request)).verdicts[0].runs
    custom = with_item(type="custom_tool_call", name="patch", input="x")
    assert explain(captured(request=request, events=custom)).verdicts[0].runs
    assert REQUEST["tools"]


def test_findings_come_from_whoever_judges() -> None:
    finding = Finding(rule="I1", where="event 3", what="x")
    assert explain(captured(), judge=lambda capture: [finding]).findings == [finding]
    assert explain(captured()).findings == []
