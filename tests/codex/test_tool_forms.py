"""Forms of declaring tools that Codex uses with other model catalogues (F22, F23, F29)."""

from __future__ import annotations

import pytest

from anyturn.testing import Answer, call, text

pytestmark = pytest.mark.codex


async def test_a_tool_is_searched_for_and_then_called_f29(
    stage,
    tiny,
):
    """MCP tools are not declared then: `tool_search` finds them, and its output declares them."""
    s = await stage(
        Answer(call("tool_search", {"query": "add two numbers", "limit": 5.0})),
        Answer(call("mcp__tiny__add", {"a": 2, "b": 40})),
        text("42."),
    )
    options = s.catalogue(supports_search_tool=True)
    run = await s.codex("Add.", *options, *tiny)
    assert (run.code, run.said, run.complaints) == (0, ["42."], [])
    names = [[tool["function"]["name"] for tool in asked.tools] for asked in s.requests]
    assert "tool_search" in names[0] and "mcp__tiny__add" not in names[0]
    assert "mcp__tiny__add" in names[1]
    assert s.outputs(2) == ["Loaded tools: mcp__tiny__add"]
    assert s.outputs(3)[1].strip().endswith("42")


async def test_tools_that_come_as_an_input_item_are_called_f22(stage):
    s = await stage(Answer(call("exec_command", {"cmd": "echo hi > a.txt"})), text("Done."))
    run = await s.codex("Write.", *s.catalogue(use_responses_lite=True))
    assert (run.code, run.said, run.complaints) == (0, ["Done."], [])
    assert (s.workspace / "a.txt").read_text() == "hi\n"


async def test_a_script_of_code_mode_is_run_f23(stage):
    """Codex then declares the freeform tool `exec`, whose input is JavaScript."""
    script = 'const r = await tools.exec_command({cmd: "echo hi > a.txt"}); text("done");'
    s = await stage(Answer(call("exec", {"input": script})), text("Done."))
    run = await s.codex("Write.", *s.catalogue(tool_mode="code_mode_only"))
    assert (run.code, run.said, run.complaints) == (0, ["Done."], [])
    assert (s.workspace / "a.txt").read_text() == "hi\n"
