"""Reasoning goes back to its provider with the real Codex: after a call, and after a restart."""

from __future__ import annotations

from typing import Any

import pytest

from anyturn.testing import Answer, Rules, call, raw_chunks, reasoning, text

pytestmark = pytest.mark.codex

JSON = dict[str, Any]

STRICT = Rules()
OPENROUTER = Rules(system_first=False, request_fields=STRICT.request_fields | {"reasoning"})
RUNS = call("exec_command", {"cmd": "echo ran >> log"}, id="call_1")

DETAILS = [
    {"type": "reasoning.text", "text": "A file. One", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.text", "text": " command.", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.text", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.encrypted", "data": "c2VjcmV0", "id": "rs_1", "index": 1},
]
PUT_TOGETHER = [
    {
        "type": "reasoning.text",
        "text": "A file. One command.",
        "format": "anthropic-claude-v1",
        "index": 0,
        "signature": "c2ln",
    },
    DETAILS[3],
]
EXTRA = {"google": {"thought_signature": "c2ln/+=="}}


def thinks(field: str) -> Answer:
    return Answer(reasoning("A file. One command."), RUNS, reasoning_field=field)


def with_details() -> Answer:
    deltas = [{"reasoning": d.get("text"), "reasoning_details": [d]} for d in DETAILS]
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    return Answer(raw_chunks(chunks), RUNS)


def with_signature() -> Answer:
    entry = {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "exec_command", "arguments": '{"cmd":"echo ran >> log"}'},
        "extra_content": EXTRA,
    }
    delta = {"tool_calls": [entry]}
    chunks = [{"choices": [{"index": 0, "delta": delta}]}]
    return Answer(raw_chunks(chunks), finish="tool_calls")


CASES = {
    "cerebras": (thinks("reasoning"), "gpt-oss-120b", STRICT),
    "deepseek": (thinks("reasoning_content"), "deepseek-chat", STRICT),
    "openrouter": (with_details(), "anthropic/claude-sonnet-4.6", OPENROUTER),
    "gemini": (with_signature(), "gemini-3-flash", STRICT),
}
# What the message that called the tool must hold, beside the call itself.
BACK: dict[str, JSON] = {
    "cerebras": {"reasoning": "A file. One command."},
    "deepseek": {"reasoning_content": "A file. One command."},
    "openrouter": {"reasoning_details": PUT_TOGETHER},
    "gemini": {},
}


@pytest.mark.parametrize("profile", CASES)
async def test_a_provider_gets_its_reasoning_back_after_a_call_and_a_restart(stage, profile):
    """F8, Q18, Q21, Q24, G8: on the message that it led to, from a gateway that never saw it."""
    answer, model, rules = CASES[profile]
    options = {"profile": profile, "model": model, "rules": rules}
    s = await stage(answer, text("Done."), text("Once."), **options)
    await s.codex("Run it.")
    again = await stage(provider=s.provider, **options)
    run = await again.codex("How often did it run?", "resume", "--last")
    assert (s.workspace / "log").read_text() == "ran\n"
    assert (run.said, run.complaints) == (["Once."], [])
    after_the_call, after_the_restart = s.requests[1:]
    for request in (after_the_call, after_the_restart):
        (message,) = [m for m in request.messages if "tool_calls" in m]
        (called,) = message.pop("tool_calls")
        assert called.get("extra_content") == (EXTRA if profile == "gemini" else None)
        assert message == {"role": "assistant", "content": None, **BACK[profile]}


async def test_a_call_without_a_signature_gets_the_placeholder_of_gemini(stage):
    """Q24: the session began at another provider."""
    s = await stage(Answer(RUNS), text("Done."), profile="cerebras")
    await s.codex("Run it.")
    gemini = await stage(text("Once."), profile="gemini", model="gemini-3-flash")
    await gemini.codex("How often did it run?", "resume", "--last")
    (message,) = [m for m in gemini.requests[0].messages if "tool_calls" in m]
    assert message["tool_calls"][0]["extra_content"] == {
        "google": {"thought_signature": "skip_thought_signature_validator"}
    }


async def test_reasoning_of_another_provider_goes_back_in_words_and_no_secret_with_it(stage):
    """F17: what was sealed for one provider never reaches another."""
    answer, model, rules = CASES["openrouter"]
    s = await stage(answer, text("Done."), profile="openrouter", model=model, rules=rules)
    await s.codex("Run it.")
    other = await stage(text("Once."), profile="deepseek", model="deepseek-chat")
    await other.codex("How often did it run?", "resume", "--last")
    request = other.requests[0]
    (message,) = [m for m in request.messages if "tool_calls" in m]
    assert message["reasoning_content"] == "A file. One command."
    assert b"c2VjcmV0" not in request.raw and b"c2ln" not in request.raw
