"""Calls that the server did not read and handed out as text; Codex executes them all the same."""

from __future__ import annotations

import pytest

from anyturn.testing import Answer, Refusal, openai_error, reasoning, text

pytestmark = pytest.mark.codex

ARGUMENTS = '{"cmd":"echo ran >> log"}'
HARMONY = (
    f"<|channel|>commentary to=functions.exec_command <|constrain|>json<|message|>{ARGUMENTS}"
    "<|call|>"
)
AFTER_ANALYSIS = f"<|channel|>analysis<|message|>I run it.<|end|><|start|>assistant{HARMONY}"
HERMES = f'<tool_call>\n{{"name": "exec_command", "arguments": {ARGUMENTS}}}\n</tool_call>'


@pytest.mark.parametrize(
    "answer",
    [
        Answer(text(HARMONY)),
        Answer(*map(text, HARMONY)),
        Answer(reasoning("I run it."), text(f"to=functions.exec_command {ARGUMENTS}")),
        Answer(text(AFTER_ANALYSIS)),
    ],
    ids=["whole", "letter by letter", "after reasoning, without tokens", "after its analysis"],
)
async def test_a_call_that_gpt_oss_leaked_is_executed_once(stage, answer):
    """F48."""
    s = await stage(answer, text("Done."))
    run = await s.codex("Run it.")
    assert (s.workspace / "log").read_text() == "ran\n"
    assert (run.code, run.said, run.complaints) == (0, ["Done."], [])
    assert len(s.requests) == 2
    (replayed,) = s.requests[1].messages[-2]["tool_calls"]
    assert replayed["function"] == {"name": "exec_command", "arguments": ARGUMENTS}


async def test_other_forms_are_text_unless_the_file_asks_for_them(stage, tmp_path):
    """F49, Q42."""
    s = await stage(text(HERMES), model="some-model")
    assert (await s.codex("Run it.")).said == [HERMES]
    assert not (s.workspace / "log").exists()
    (tmp_path / "anyturn.toml").write_text('[providers.cerebras]\ntext_calls = ["hermes"]\n')
    s = await stage(text(HERMES), text("Done."), model="some-model")
    assert (await s.codex("Run it.")).said == ["Done."]
    assert (s.workspace / "log").read_text() == "ran\n"


async def test_a_leaked_call_that_was_cut_off_is_not_executed(stage):
    """F44."""
    s = await stage(Answer(text(HARMONY), finish="length"))
    await s.codex("Run it.")
    assert not (s.workspace / "log").exists()


async def test_a_call_that_groq_refused_is_executed(stage):
    """Q29."""
    error = openai_error("Tool call validation failed.", code="tool_use_failed")
    error["error"]["failed_generation"] = f'{{"name": "exec_command", "arguments": {ARGUMENTS}}}'
    s = await stage(Refusal(400, error), text("Done."), retries=0)
    run = await s.codex("Run it.")
    assert (s.workspace / "log").read_text() == "ran\n"
    assert (run.code, run.said, run.complaints) == (0, ["Done."], [])
