"""Turns that go well: what the provider says reaches the user, what it calls is executed."""

from __future__ import annotations

import random
from typing import Any

import pytest

from anyturn.testing import Answer, Quirk, Usage, call, interleaved, reasoning, text

pytestmark = pytest.mark.codex


def shell(command: str, *quirks: Quirk, **options: Any) -> Any:
    return call("exec_command", {"cmd": command}, *quirks, **options)


async def test_a_text_reaches_the_user_and_the_prompt_the_provider(stage):
    s = await stage(text("Ready, whenever you are ✔"))
    run = await s.codex("Are you there?")
    assert (run.code, run.said, run.complaints) == (0, ["Ready, whenever you are ✔"], [])
    assert len(s.requests) == 1
    assert s.requests[0].messages[-1] == {"role": "user", "content": "Are you there?"}
    assert list(s.workspace.iterdir()) == []


async def test_a_shell_call_is_executed_and_its_output_goes_back(stage):
    s = await stage(Answer(shell("echo made | tee made.txt")), text("Done."))
    run = await s.codex("Make made.txt.")
    assert (s.workspace / "made.txt").read_text() == "made\n"
    assert (run.code, run.said, run.complaints) == (0, ["Done."], [])
    assert s.outputs(2)[0].endswith("Output:\nmade\n")
    called, answered = s.requests[1].messages[-2:]
    assert called["tool_calls"][0]["id"] == answered["tool_call_id"] == "call_1"
    assert len(s.requests) == 2


async def test_a_second_call_can_depend_on_the_output_of_the_first(stage):
    def copy(body: dict[str, Any]) -> Answer:
        drawn = body["messages"][-1]["content"].split("Output:\n")[1].strip()
        return Answer(shell(f"printf %s {drawn} > second.txt"))

    draw = "od -An -N8 -tx1 /dev/urandom | tr -d ' \\n' | tee first.txt"
    s = await stage(Answer(shell(draw)), copy, text("Copied."))
    run = await s.codex("Draw a number and copy it.")
    drawn = (s.workspace / "first.txt").read_text()
    assert (s.workspace / "second.txt").read_text() == drawn
    assert len(drawn) == 16
    assert run.said == ["Copied."]
    assert len(s.outputs(3)) == 2


async def test_interleaved_calls_stay_apart_and_both_are_executed(stage):
    """F42, F43."""
    commands = ["echo one >> one.txt; echo 1", "echo two >> two.txt; echo 2"]
    both = interleaved(*(shell(command) for command in commands))
    s = await stage(Answer(both, fragment=2), text("Both."))
    run = await s.codex("Make two files.")
    assert (s.workspace / "one.txt").read_text() == "one\n"
    assert (s.workspace / "two.txt").read_text() == "two\n"
    assert run.said == ["Both."]
    assert len(run.items("command_execution")) == 2
    called, *answered = s.requests[1].messages[-3:]
    assert [message["tool_call_id"] for message in answered] == ["call_1", "call_2"]
    assert [one["id"] for one in called["tool_calls"]] == ["call_1", "call_2"]
    assert [message["content"].split()[-1] for message in answered] == ["1", "2"]


async def test_text_before_a_call_is_shown_once_and_stands_in_the_history_once(stage):
    """F51; and F52: words before a call neither end the turn nor make Codex ask again."""
    s = await stage(Answer(text("I will make it now."), shell("touch made")), text("Made."))
    run = await s.codex("Make it.")
    assert (s.workspace / "made").exists()
    assert run.said == ["I will make it now.", "Made."]
    assert s.requests[1].raw.count(b"I will make it now.") == 1
    assert len(s.requests) == 2
    called = s.requests[1].messages[-2]
    assert called["content"] == "I will make it now."
    assert len(called["tool_calls"]) == 1


async def test_a_long_heredoc_arrives_byte_for_byte_however_finely_it_is_cut(stage):
    alphabet = "aZ09 \t\n\\\"'`$(){}%<>&|;äß€λЖ中あ한ع\u0301\u0085\u00a0\u2028\ufeff🦀👩\u200d🔬"
    letters = random.Random(1).choices(alphabet, k=12_000)
    document = "".join(letters) + "\n"
    assert len(document.encode()) > 20_000
    command = f"cat > long.txt <<'A line that is not in it'\n{document}A line that is not in it"
    s = await stage(Answer(shell(command), fragment=3), text("Written."))
    run = await s.codex("Write it.")
    assert (s.workspace / "long.txt").read_bytes() == document.encode()
    assert run.said == ["Written."]
    replayed = s.requests[1].messages[-2]["tool_calls"][0]["function"]["arguments"]
    assert replayed == shell(command).arguments


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param({"finish": "stop"}, id="Q58-finish-says-stop"),
        pytest.param({"usage_in_finish": True}, id="Q61-usage-in-the-finish-chunk"),
        pytest.param({"done": False}, id="Q8-no-DONE"),
        pytest.param({"crlf": True}, id="Q2-crlf"),
        pytest.param({"usage": None}, id="F58-no-usage"),
        pytest.param({"fragment": 1}, id="one-character-at-a-time"),
    ],
)
async def test_a_call_is_executed_once_whatever_frames_it(stage, shape):
    s = await stage(Answer(shell("echo ran >> log"), **shape), Answer(text("Done."), **shape))
    run = await s.codex("Run it.")
    assert (s.workspace / "log").read_text() == "ran\n"
    assert (run.code, run.said, run.complaints) == (0, ["Done."], [])
    assert len(s.requests) == 2


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
async def test_a_call_after_reasoning_is_executed_and_the_reasoning_goes_back(stage, field):
    """F40, Q17; Q23: to Cerebras it goes back as `reasoning`, whatever it was called."""
    thought = reasoning("A file is wanted. One command does it.")
    answer = Answer(thought, shell("echo ran >> log"), reasoning_field=field)
    s = await stage(answer, Answer(reasoning("It is there."), text("Done.")))
    run = await s.codex("Run it.")
    assert (s.workspace / "log").read_text() == "ran\n"
    assert (run.said, run.complaints) == (["Done."], [])
    assert [item["text"] for item in run.items("reasoning")] == [thought.text, "It is there."]
    assert s.requests[1].messages[-2]["reasoning"] == thought.text


async def test_codex_counts_the_tokens_that_the_provider_reported(stage):
    s = await stage(Answer(text("Hi."), usage=Usage(1200, 34, cached=1000, reasoning=20)))
    run = await s.codex("Hi.")
    assert run.events[-1]["usage"] == {
        "input_tokens": 1200,
        "cached_input_tokens": 1000,
        "cache_write_input_tokens": 0,
        "output_tokens": 34,
        "reasoning_output_tokens": 20,
    }
    assert len(s.requests) == 1


async def test_a_tool_that_takes_no_arguments_can_be_called_without_any(stage):
    """F44, Q33."""
    s = await stage(Answer(call("get_goal", "")), text("There is none."))
    run = await s.codex("Is there a goal?")
    assert (run.code, run.said, run.complaints) == (0, ["There is none."], [])
    assert "failed to parse" not in s.outputs(2)[0]
    assert "goal" in s.outputs(2)[0]


async def test_strict_checking_tells_codex_why_a_turn_was_stopped(stage: Any) -> None:
    """Arguments that no gateway can mend: Codex shows which rule they break."""
    broken = Answer(call("exec_command", "{'cmd': date, }}"))
    s = await stage(*[broken] * 40, check="strict")
    run = await (
        await s.start("Go on.", "-c", "model_providers.anyturn.stream_max_retries=1")
    ).result()
    assert any("items.arguments-not-json" in complaint for complaint in run.complaints)
