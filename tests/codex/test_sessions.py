"""Histories over more than one turn: resumed, and compacted."""

from __future__ import annotations

import pytest

from anyturn.testing import Answer, Usage, call, reasoning, text

pytestmark = pytest.mark.codex

RUNS = call("exec_command", {"cmd": "echo ran >> log"})
WINDOW = 131_072
FULL = Usage(prompt=int(WINDOW * 0.85), completion=100)
NOT_FULL = Usage(prompt=int(WINDOW * 0.83), completion=100)


async def test_a_resumed_session_goes_on_with_its_history(stage):
    first = [Answer(reasoning("Easy."), text("I run it."), RUNS), text("It ran.")]
    s = await stage(*first, text("Once."))
    await s.codex("Run it.")
    run = await s.codex("How often did it run?", "resume", "--last")
    assert (s.workspace / "log").read_text() == "ran\n"
    assert run.said == ["Once."]
    history = s.requests[2].messages
    # I9: what was there before comes again, byte for byte, and so the provider's cache is used.
    assert history[: len(s.requests[1].messages)] == s.requests[1].messages
    assert history[-2:] == [
        {"role": "assistant", "content": "It ran."},
        {"role": "user", "content": "How often did it run?"},
    ]


async def test_a_growing_history_keeps_its_first_bytes(stage):
    """I9, F38."""
    s = await stage(Answer(RUNS), Answer(text("Again."), RUNS), text("Twice."))
    await s.codex("Run it twice.")
    assert (s.workspace / "log").read_text() == "ran\nran\n"
    first, second, third = (request.messages for request in s.requests)
    assert second[: len(first)] == first
    assert third[: len(second)] == second
    assert s.requests[0].tools == s.requests[2].tools


async def test_codex_compacts_when_the_usage_reaches_the_limit_of_the_catalogue(stage):
    """F58, F61, F31: the compaction has no tools, and the turn goes on with its summary."""
    s = await stage(Answer(RUNS, usage=FULL), text("The log was written."), text("Done."))
    run = await s.codex("Run it.")
    assert (s.workspace / "log").read_text() == "ran\n"
    assert (run.code, run.complaints) == (0, [])
    assert run.said[-1] == "Done."
    compaction, after = s.requests[1:]
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & compaction.body.keys()
    assert [message["role"] for message in compaction.messages[-3:]] == [
        "assistant",
        "tool",
        "user",
    ]
    assert "The log was written." in after.messages[-1]["content"]
    assert "tool" not in {message["role"] for message in after.messages}
    assert after.tools == s.requests[0].tools


async def test_codex_does_not_compact_below_the_limit_of_the_catalogue(stage):
    s = await stage(Answer(RUNS, usage=NOT_FULL), text("Done."))
    run = await s.codex("Run it.")
    assert run.said == ["Done."]
    assert len(s.requests) == 2
    assert s.requests[1].tools


async def test_usage_that_the_provider_does_not_report_is_estimated(stage):
    """F58: without numbers Codex would never compact."""
    s = await stage(Answer(text("Done."), usage=None))
    run = await s.codex("Hi.")
    usage = run.events[-1]["usage"]
    sent = len(s.requests[0].raw)
    assert sent / 8 < usage["input_tokens"] < sent
    assert usage["output_tokens"] > 0
