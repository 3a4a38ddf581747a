"""The same work on providers that want it otherwise than Cerebras."""

from __future__ import annotations

import pytest

from anyturn.testing import Answer, Rules, call, reasoning, text

pytestmark = pytest.mark.codex

STRICT = Rules()
EXTRA = STRICT.request_fields | {"reasoning", "thinking", "verbosity"}
PROFILES = {
    "openrouter": Rules(system_first=False, request_fields=EXTRA),
    "mistral": STRICT,
    "deepseek": STRICT,
    "groq": Rules(
        content_required=False, request_fields=STRICT.request_fields | {"disable_tool_validation"}
    ),
    "openai": Rules(
        roles=("developer", "user", "assistant", "tool"), request_fields=EXTRA, system_first=False
    ),
    "ollama": STRICT,
    "vllm": STRICT,
}


def commands(*words: str) -> list:
    return [call("exec_command", {"cmd": f"echo {word} >> log"}) for word in words]


@pytest.mark.parametrize(("profile", "rules"), PROFILES.items(), ids=PROFILES)
async def test_a_turn_with_reasoning_text_and_calls_works_on(stage, profile, rules):
    field = "reasoning_content" if profile == "deepseek" else "reasoning"
    s = await stage(
        Answer(reasoning("Hm."), text("I start."), *commands("1"), reasoning_field=field),
        Answer(*commands("2", "3")),
        text("Done."),
        profile=profile,
        model="some-model",
        rules=rules,
    )
    run = await s.codex("Run them.")
    assert sorted((s.workspace / "log").read_text().split()) == ["1", "2", "3"]
    assert (run.code, run.said, run.complaints) == (0, ["I start.", "Done."], [])
    assert len(s.requests) == 3
    assert len(s.outputs(3)) == 3


async def test_deepseek_gets_its_reasoning_back_in_every_later_turn(stage):
    """F8, Q21: it refuses a history without; G8: after a restart of Codex too."""
    thinks = Answer(reasoning("First a file."), *commands("1"), reasoning_field="reasoning_content")
    s = await stage(thinks, text("Done."), text("One."), profile="deepseek", model="deepseek-chat")
    await s.codex("Run it.")
    run = await s.codex("How many?", "resume", "--last")
    assert run.said == ["One."]
    for request in s.requests[1:]:
        (called,) = [message for message in request.messages if "tool_calls" in message]
        assert called["reasoning_content"] == "First a file."


async def test_mistral_gets_ids_of_nine_letters_and_codex_its_own(stage):
    s = await stage(
        Answer(*commands("1", "2")), text("Done."), profile="mistral", model="codestral-latest"
    )
    await s.codex("Run it.")
    *_, called, first, second = s.requests[1].messages
    ids = [one["id"] for one in called["tool_calls"]]
    assert ids == [first["tool_call_id"], second["tool_call_id"]]
    assert [len(one) for one in ids] == [9, 9]


async def test_a_leading_think_block_of_a_local_model_is_not_part_of_the_answer(stage):
    """F50, Q19."""
    thinks = Answer(text("<think>\nA file is wanted.\n</think>\n\nI make it."), *commands("1"))
    s = await stage(thinks, text("Done."), profile="ollama", model="qwen3")
    run = await s.codex("Run it.")
    assert (s.workspace / "log").read_text() == "1\n"
    assert [words.strip() for words in run.said] == ["I make it.", "Done."]
