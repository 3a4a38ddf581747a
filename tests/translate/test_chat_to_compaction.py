from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.errors import Kind, TurnError
from anyturn.translate.compaction import read_summary
from anyturn.translate.fold import fold
from support.provider_streams import Script, scripts
from support.turns import (
    PROFILE,
    Run,
    call_delta,
    chunk,
    new_machine,
    run_blocks,
    run_chunks,
    split_at,
    sse_stream,
)

JSON = dict[str, Any]

USAGE = {"prompt_tokens": 900, "completion_tokens": 40}
TEXT = chunk({"content": "It ran."})
STOP = chunk({}, "stop", usage=USAGE)


def compact(*chunks: JSON, **options: Any) -> Run:
    return run_chunks(*chunks, compacts=True, **options)


def summary_of(run: Run) -> str:
    (item,) = run.check()["output"]
    text, problem = read_summary(item["encrypted_content"])
    assert not problem
    return text


# ---------------------------------------------------------------- a good summary


def test_a_whole_answer_is_one_compaction_item_and_nothing_else_is_shown_f61() -> None:
    run = compact(
        chunk({"reasoning": "What matters?"}), TEXT, chunk({"content": " Twice."}), STOP, seal=True
    )
    assert run.types == [
        "created",
        "in_progress",
        "output_item.added",
        "output_item.done",
        "completed",
    ]
    (item,) = run.done_items()
    assert set(item) == {"id", "type", "encrypted_content"}
    assert item["type"] == "compaction"
    assert item["id"].startswith("cmp_")
    assert summary_of(run) == "It ran. Twice."
    assert b"matters" not in run.wire
    assert fold(run.events) == run.machine.terminal.response


def test_the_usage_is_the_providers() -> None:
    response = compact(TEXT, STOP).check()
    assert response["usage"]["input_tokens"] == 900
    assert response["usage"]["output_tokens"] == 40
    assert response["completed_at"] == 1002


def test_usage_that_is_not_reported_is_estimated_and_noted() -> None:
    run = compact(TEXT, chunk({}, "stop"), request_bytes=4000)
    assert run.check()["usage"]["input_tokens"] > 0
    assert [one.rule for one in run.machine.adaptations] == ["usage.estimated"]


def test_thinking_in_tags_is_not_part_of_the_summary_f50() -> None:
    tagged = chunk({"content": "<think>Hm.</think>\n\nIt ran."})
    assert summary_of(compact(tagged, STOP, profile=PROFILE.replacing(think_tags=True))) == (
        "It ran."
    )


def test_text_that_reasoning_parted_is_one_summary() -> None:
    run = compact(TEXT, chunk({"reasoning": "More?"}), chunk({"content": "Twice. "}), STOP)
    assert summary_of(run) == "It ran.\nTwice."


def test_the_machine_tells_when_the_provider_stopped() -> None:
    assert compact(TEXT, STOP).machine.finish is not None
    assert new_machine(compacts=True).finish is None


# ---------------------------------------------------------------- no summary

LONG = "".join(random.Random(1).choices([chr(n) for n in range(0x4E00, 0x9000)], k=400_000))
UNUSABLE: dict[str, tuple[list[JSON], str]] = {
    "length": ([TEXT, chunk({}, "length")], "was cut off at Acme's token limit"),
    "filter": ([TEXT, chunk({}, "content_filter")], "Acme's content filter stopped the summary"),
    "call": (
        [TEXT, chunk(call_delta("{}", "shell", index=0)), chunk({}, "tool_calls")],
        "the model called the tool 'shell' instead",
    ),
    "unknown call": (
        [chunk(call_delta("{}", "spell", index=0)), chunk({}, "tool_calls")],
        "the model called the tool 'spell' instead",
    ),
    "cut call": (
        [TEXT, chunk(call_delta('{"a', "shell", index=0)), chunk({}, "length")],
        "the model called the tool 'shell' instead",
    ),
    "announced call": ([TEXT, chunk({}, "tool_calls")], "announced tool calls but sent none"),
    "refusal": ([chunk({"refusal": "I cannot."}), STOP], "the model refused (I cannot.)"),
    "refusal after text": ([TEXT, chunk({"refusal": "No."}), STOP], "the model refused (No.)"),
    "nothing": ([STOP], "Acme sent an empty summary"),
    "blank": ([chunk({"content": " \n"}), STOP], "Acme sent an empty summary"),
    "reasoning alone": ([chunk({"reasoning": "Hm."}), STOP], "sent reasoning but no answer"),
    "no finish": ([TEXT], "stream ended before the answer did"),
    "error": ([TEXT, {"error": {"message": "Worker died.", "code": 500}}], "Worker died."),
    "too long": ([chunk({"content": LONG}), STOP], "the summary is far too long"),
}


@pytest.mark.parametrize(("chunks", "words"), UNUSABLE.values(), ids=UNUSABLE)
def test_an_answer_that_is_no_whole_summary_fails_the_turn_f61(
    chunks: list[JSON], words: str
) -> None:
    run = compact(*chunks)
    assert run.types == ["created", "in_progress", "error", "failed"]
    response = run.check()
    assert words in response["error"]["message"]
    assert (response["status"], response["output"]) == ("failed", [])
    assert run.machine.error.kind is Kind.PROVIDER_BROKEN
    # What the model wrote may be half of a summary, and is nobody's answer.
    assert b"It ran." not in run.wire


def test_a_failed_turn_still_tells_its_usage() -> None:
    response = compact(TEXT, chunk({}, "length", usage=USAGE)).check()
    assert response["usage"]["output_tokens"] == 40


def test_a_failure_from_outside_ends_the_stream_once() -> None:
    machine = new_machine(compacts=True)
    events = machine.start()
    events += machine.fail(TurnError(Kind.PROVIDER_TIMEOUT, "Too late."))
    run = Run(machine, events)
    assert run.check()["error"] == {"code": "provider_timeout", "message": "Too late."}
    assert machine.fail(TurnError(Kind.PROVIDER_BROKEN, "Again.")) == []
    assert machine.end() == []
    assert machine.error.kind is Kind.PROVIDER_TIMEOUT


def test_an_overflow_of_the_context_keeps_its_code_f60() -> None:
    error = {"message": "maximum context length is 8192", "code": "context_length_exceeded"}
    assert compact({"error": error}).check()["error"]["code"] == "context_length_exceeded"


# ---------------------------------------------------------------- any stream


@settings(max_examples=300, deadline=None)
@given(scripts(), st.lists(st.integers(0, 3000), max_size=6))
def test_any_stream_gives_its_whole_text_or_nothing_f61(script: Script, cuts: list[int]) -> None:
    """The ordinary machine says what the answer is; only a whole one of text is a summary."""
    run = run_blocks(split_at(script.stream(), cuts), compacts=True)
    response, plain = run.check(), run_blocks([script.stream()]).check()
    parts = [part for item in plain["output"] for part in item.get("content", ())]
    texts = ["".join(p["text"] for p in i["content"] if "text" in p) for i in _messages(plain)]
    good = plain["status"] == "completed" and "\n".join(texts).strip()
    good = good and not any("refusal" in part for part in parts)
    good = good and not any("call_id" in item for item in plain["output"])
    assert response["status"] == ("completed" if good else "failed")
    if good:
        assert summary_of(run) == "\n".join(texts).strip()
        assert response["usage"] == plain["usage"]


def _messages(response: JSON) -> list[JSON]:
    return [item for item in response["output"] if item["type"] == "message"]


@settings(max_examples=100, deadline=None)
@given(scripts(errors=False), st.floats(0, 1))
def test_a_stream_that_is_cut_anywhere_gives_no_half_summary(script: Script, share: float) -> None:
    stream = script.stream()
    run = run_blocks([stream[: int(len(stream) * share)]], compacts=True)
    response = run.check()
    if run.machine.finish is None:
        assert response["status"] == "failed"


def test_the_same_bytes_give_the_same_bytes() -> None:
    stream = sse_stream(TEXT, STOP)
    assert run_blocks([stream], compacts=True).wire == run_blocks([stream], compacts=True).wire
