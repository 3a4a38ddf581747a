from __future__ import annotations

import pytest

GREETING = "Hello from a tool call that really ran ✔"


def shows_the_whole_way(shown: str) -> None:
    """The provider's chunks, the client's events, the file, and what to do next."""
    assert "tool_calls[0] exec_command" in shown
    assert "finish_reason tool_calls" in shown
    assert "output_item.added function_call exec_command" in shown
    assert "output_item.done function_call exec_command ← executed" in shown
    assert "request 2: " in shown
    assert f"running it printed: {GREETING}" in shown
    assert f'print("{GREETING}")' in shown
    assert "export CEREBRAS_API_KEY=" in shown
    assert "codex --provider cerebras -- exec" in shown


@pytest.mark.codex
async def test_the_demo_runs_the_real_codex(start, home, workspace, codex_binary):
    anyturn = await start("demo", environ={"ANYTURN_CODEX": str(codex_binary)})
    ended = await anyturn.ended()
    assert (ended.code, ended.stderr) == (0, "")
    assert "the Codex CLI." in ended.stdout
    shows_the_whole_way(ended.stdout)
    assert list(workspace.iterdir()) == []
    assert not (home / ".codex").exists()


async def test_the_demo_runs_without_codex(start, workspace, path_without_codex):
    anyturn = await start("demo", environ={"PATH": path_without_codex})
    ended = await anyturn.ended()
    assert (ended.code, ended.stderr) == (0, "")
    assert "the Codex CLI is not installed here" in ended.stdout
    shows_the_whole_way(ended.stdout)
    assert list(workspace.iterdir()) == []


async def test_a_demo_whose_agent_fails_says_so(start, tmp_path):
    anyturn = await start("demo", environ={"ANYTURN_CODEX": str(tmp_path / "no-codex")})
    ended = await anyturn.ended()
    assert ended.code == 1
    assert "The agent failed" in ended.stderr
    assert "Traceback" not in ended.stderr
