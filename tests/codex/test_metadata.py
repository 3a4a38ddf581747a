"""What Codex knows about the model: the catalogue that the gateway serves (F69)."""

from __future__ import annotations

import msgspec
import pytest

from anyturn.codex.catalogue import BASE_INSTRUCTIONS
from anyturn.testing import ScriptedProvider, text

pytestmark = pytest.mark.codex


async def test_codex_knows_the_model_and_offers_it_every_tool(stage):
    s = await stage(text("Hi."))
    run = await s.codex("Hi.")
    assert run.complaints == []
    assert "metadata" not in run.stderr
    names = [tool["function"]["name"] for tool in s.requests[0].tools]
    assert {"exec_command", "write_stdin", "apply_patch"} <= set(names)


async def test_codex_reads_window_prompt_and_effort_from_the_catalogue(stage):
    s = await stage(text("Hi."))
    await s.codex("Hi.")
    cached = msgspec.json.decode((s.home / "models_cache.json").read_bytes())
    (model,) = [entry for entry in cached["models"] if entry["slug"] == s.model]
    assert model["context_window"] == 131_072
    assert model["auto_compact_token_limit"] == 110_100
    request = s.requests[0]
    assert request.messages[0]["content"].startswith(BASE_INSTRUCTIONS)
    assert request.body["reasoning_effort"] == "medium"


async def test_the_effort_that_the_user_chose_reaches_the_provider(stage):
    """F36."""
    s = await stage(text("Hi."))
    await s.codex("Hi.", "-c", "model_reasoning_effort=xhigh")
    assert s.requests[0].body["reasoning_effort"] == "high"


async def test_an_alias_of_the_configuration_is_a_model_that_codex_knows(stage, tmp_path):
    (tmp_path / "anyturn.toml").write_text('[models]\nfast = "gpt-oss-120b"\n')
    s = await stage(text("Hi."))
    run = await s.codex("Hi.", "-m", "fast")
    assert (run.said, run.complaints) == (["Hi."], [])
    assert s.requests[0].body["model"] == "gpt-oss-120b"
    assert "apply_patch" in [tool["function"]["name"] for tool in s.requests[0].tools]


async def test_a_provider_that_lists_many_models_does_not_spoil_the_catalogue(stage):
    models = ("gpt-oss-120b", "openai/gpt-oss-20b", "qwen3:8b", "ü", "a" * 300, "x y")
    async with ScriptedProvider([text("Hi.")], models=models) as provider:
        s = await stage(provider=provider)
        run = await s.codex("Hi.", "-m", "qwen3:8b")
    assert (run.said, run.complaints) == (["Hi."], [])
    assert s.requests[0].body["model"] == "qwen3:8b"
