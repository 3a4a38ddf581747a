from __future__ import annotations

from typing import Any

import pytest

from anyturn.capture import format as f
from anyturn.captured_findings import findings_of
from anyturn.inspector.rows import Entry, Row, entry_of, prompt_of, unreadable
from support.captured_turns import EVENTS, REQUEST, captured, records, without


def entry(capture: f.Capture, *, live: bool = False) -> Entry:
    return entry_of("a-name", 5, capture, findings_of, live=live)


def test_a_row_says_who_what_and_how_fast() -> None:
    row = entry(captured()).row
    assert (row.name, row.bytes, row.status) == ("a-name", 5, "completed")
    assert (row.client, row.client_version, row.provider, row.model) == ("codex", "1", "p", "m")
    assert row.started == "2026-01-02T03:04:05.000Z"
    assert (row.tools, row.prompt) == (["run"], "Run.")
    assert (row.input_tokens, row.output_tokens) == (10, 4)
    # From the first delta to the end: 17 ms.
    assert row.tokens_per_s == pytest.approx(235.3)
    assert (row.first_event, row.duration) == (1000, 20_000)
    assert (row.errors, row.problems, row.error) == (0, 0, "")


def test_a_request_that_only_brings_outputs_says_so() -> None:
    one = {"type": "function_call_output", "call_id": "call_1", "output": "42"}
    two = {**one, "call_id": "call_2"}
    assert prompt_of({"input": [one, two]}) == "(output of call_1, call_2)"
    said = {"role": "user", "content": [{"type": "input_text", "text": "Run."}]}
    assert prompt_of({"input": [said, one]}) == "Run."


def test_a_row_counts_calls_that_did_not_run() -> None:
    cut = captured(
        events=without("response.output_item.done", "response.completed"),
        status="failed",
        error={"code": "server_error", "message": "It broke\noff."},
    )
    row = entry(cut).row
    assert (row.status, row.errors, row.error) == ("failed", 1, "It broke off.")
    assert row.input_tokens is row.output_tokens is row.tokens_per_s is None


def test_an_entry_knows_its_calls_and_the_outputs_that_it_brings() -> None:
    outputs = [
        {"type": "function_call_output", "call_id": f"c{n}", "output": ""} for n in range(99)
    ]
    known = entry(captured(request={**REQUEST, "input": outputs}))
    assert (known.turn, known.ended, known.calls) == ("resp_1", True, ("call_1",))
    assert known.brings == tuple(f"c{n}" for n in range(35, 99))


@pytest.mark.parametrize(
    ("live", "status", "problems"), [(True, "live", 0), (False, "cut", 1)], ids=["runs", "cut"]
)
def test_a_turn_without_an_end_runs_or_was_cut_off(live: bool, status: str, problems: int) -> None:
    capture = f.Capture(records=records()[:-1], problems=[f.BREAKS_OFF])
    row = entry(capture, live=live).row
    assert (row.status, row.problems, row.duration) == (status, problems, None)


def test_a_turn_that_ended_is_over_whatever_is_thought() -> None:
    assert entry(captured(), live=True).row.status == "completed"


def test_a_running_turn_has_no_faults_yet() -> None:
    begun = f.Capture(records=records(events=EVENTS[:6])[:-1])
    assert entry(begun).row.errors == 1
    row = entry(begun, live=True).row
    assert (row.errors, row.findings) == (0, 0)


def test_a_file_of_which_nothing_can_be_read_has_a_row_too() -> None:
    assert unreadable("a", 3, "No.").row == Row(name="a", bytes=3, problems=1, error="No.")


@pytest.mark.parametrize(
    ("request_", "prompt"),
    [
        ({"input": "Hi\n  you"}, "Hi you"),
        ({"input": "x" * 1000}, "x" * 200),
        ({"input": [{"role": "user", "content": "A"}, {"role": "user", "content": "B"}]}, "B"),
        (
            {
                "input": [
                    {"role": "user", "content": [{"text": "A"}, {"image_url": "x"}]},
                    {"type": "function_call_output", "output": "B"},
                ]
            },
            "A",
        ),
        ({"messages": [{"role": "user", "content": "Chat"}]}, "Chat"),
        ({}, ""),
        ({"input": [None, 1, {"role": "user", "content": 5}, {"role": ["user"]}]}, ""),
    ],
    ids=["text", "long", "items", "parts", "a chat", "nothing", "odd"],
)
def test_the_prompt_is_what_the_user_said_last(request_: Any, prompt: str) -> None:
    assert prompt_of(request_) == prompt
