from __future__ import annotations

from typing import Any

import pytest

from anyturn.translate.adaptations import Adaptations
from anyturn.translate.forwarded_calls import paired, with_short_call_ids

JSON = dict[str, Any]

SAYS: JSON = {"role": "user", "content": "Hi"}
THOUGHT: JSON = {"type": "reasoning", "summary": []}


def call(call_id: str, kind: str = "function_call") -> JSON:
    return {"type": kind, "call_id": call_id}


def output(call_id: str, told: Any = "ok", kind: str = "function_call_output") -> JSON:
    return {"type": kind, "call_id": call_id, "output": told}


@pytest.mark.parametrize(
    ("items", "expected", "rules"),
    [
        ([call("a"), output("a")], [call("a"), output("a")], []),
        ([call("a"), call("b"), output("b"), output("a")], None, []),
        ([output("a"), SAYS, call("a")], [SAYS, call("a"), output("a")], []),
        ([call("a"), output("a"), output("a", "2")], [call("a"), output("a")], ["second_output"]),
        ([SAYS, THOUGHT], [SAYS], ["unused"]),
        ([THOUGHT, SAYS], [SAYS], ["unused"]),
        ([THOUGHT, THOUGHT, call("a"), output("a")], None, []),
        ([THOUGHT, {"role": "assistant", "content": "x"}], None, []),
    ],
    ids=["pair", "parallel", "early", "twice", "last", "alone", "two", "said"],
)
def test_outputs_stand_behind_their_calls_and_reasoning_before_more(
    items: list[JSON], expected: list[JSON] | None, rules: list[str]
) -> None:
    """F2, F16."""
    notes = Adaptations()
    assert paired(items, notes) == (items if expected is None else expected)
    assert [note.rule.partition(".")[2] for note in notes] == rules


def test_an_output_without_its_call_is_told_by_the_user() -> None:
    notes = Adaptations()
    (told,) = paired([output("a", [{"type": "input_text", "text": "hm"}])], notes)
    assert told["role"] == "user" and '"hm"' in told["content"]
    assert notes[0].lossy


@pytest.mark.parametrize("kind", ["function_call", "custom_tool_call"])
def test_a_call_without_an_output_gets_a_sentence(kind: str) -> None:
    notes = Adaptations()
    items = paired([call("a", kind), SAYS], notes)
    assert [item.get("type") for item in items] == [kind, f"{kind}_output", None]
    assert notes[0].rule == "history.dangling_call"


def test_a_long_call_id_is_shortened_the_same_way_on_both() -> None:
    """F13."""
    notes = Adaptations()
    long, other = "x" * 100, "x" * 99 + "y"
    items = with_short_call_ids([call(long), output(long), call(other), call("a"), 3], notes)
    ids = [item["call_id"] for item in items[:4]]
    assert ids[0] == ids[1] != ids[2]
    assert len(ids[0]) == 64 and ids[3] == "a"
    assert {note.rule for note in notes} == {"history.call_id"}
