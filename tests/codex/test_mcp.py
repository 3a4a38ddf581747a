"""Tools of MCP servers: namespaces for Codex, flat names for the provider (F25)."""

from __future__ import annotations

import msgspec
import pytest

from anyturn.testing import Answer, call, text

pytestmark = pytest.mark.codex


async def test_a_tool_of_an_mcp_server_is_called_through_its_namespace(stage, tiny):
    s = await stage(Answer(call("mcp__tiny__add", {"a": 2, "b": 40})), text("42."))
    run = await s.codex("Add.", *tiny)
    assert (run.code, run.said, run.complaints) == (0, ["42."], [])
    assert (s.workspace / "calls").read_text() == "add\n"
    (called,) = run.items("mcp_tool_call")
    assert (called["server"], called["tool"]) == ("tiny", "add")
    assert s.outputs(2)[0].strip().endswith("42")
    # F27: the history calls it by the same name.
    assert s.requests[1].messages[-2]["tool_calls"][0]["function"]["name"] == "mcp__tiny__add"


@pytest.mark.parametrize("arguments", ["", "{}"])
async def test_an_mcp_tool_without_arguments_is_called_with_an_empty_object(stage, tiny, arguments):
    """F44, Q33."""
    s = await stage(Answer(call("mcp__tiny__now", arguments)), text("Noon."))
    run = await s.codex("When is it?", *tiny)
    assert (s.workspace / "calls").read_text() == "now\n"
    assert run.said == ["Noon."]
    assert "It is noon." in s.outputs(2)[0]


async def test_the_error_of_an_mcp_tool_reaches_the_model(stage, tiny):
    """F12: an error comes back as a list of parts."""
    s = await stage(Answer(call("mcp__tiny__fail")), text("It has no disk."))
    run = await s.codex("Try.", *tiny)
    assert run.said == ["It has no disk."]
    assert "It failed: no disk." in s.outputs(2)[0]


async def test_an_mcp_tool_whose_name_no_provider_takes_can_be_called_all_the_same(stage, tiny):
    """F27, Q77: names are cut and mapped back."""

    def calls_it(body):
        names = [tool["function"]["name"] for tool in body["tools"]]
        (name,) = [name for name in names if "picture" in name]
        return Answer(call(name))

    s = await stage(calls_it, text("Long."))
    run = await s.codex("Show.", *tiny)
    assert (s.workspace / "calls").read_text() == "picture.xx\n"
    assert run.said == ["Long."]
    assert "A long name." in s.outputs(2)[0]


async def test_a_sub_agent_gets_its_own_turns(stage):
    """`multi_agent_v1` is a reserved namespace (F25, F28); both agents ask the provider."""

    def answer(body):
        last = body["messages"][-1]["content"]
        if "Ask somebody else." in last:
            return Answer(call("multi_agent_v1__spawn_agent", {"message": "Say hello."}))
        if "Say hello." in last:
            return Answer(text("Hello from below."))
        if "agent_id" in last:
            agent = msgspec.json.decode(last)["agent_id"]
            return Answer(call("multi_agent_v1__wait_agent", {"targets": [agent]}))
        assert "Hello from below." in last
        return Answer(text("They say hello."))

    s = await stage(*[answer] * 4)
    run = await s.codex("Ask somebody else.")
    assert (run.code, run.said, run.complaints) == (0, ["They say hello."], [])
    assert len(s.requests) == 4
