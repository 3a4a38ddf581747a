"""Requests for a Responses server that knows functions only."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.errors import TurnError
from anyturn.providers import find
from anyturn.testing.responses_rules import check_forwarded
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.lowered_tools import needs_raising
from anyturn.translate.responses_to_responses import ForwardedRequest, forward_request
from anyturn.wire.profile import Profile
from support.relays import PROFILE

JSON = dict[str, Any]

STRICT = find("chatgpt").replacing(responses_tools=["function"])
USER: JSON = {"type": "message", "role": "user", "content": "Hi"}
LOOK: JSON = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": True}
PATCH: JSON = {
    "type": "custom",
    "name": "patch",
    "description": "Patches.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
}
TINY: JSON = {
    "type": "namespace",
    "name": "mcp__tiny",
    "description": "Small things.",
    "tools": [{"type": "function", "name": "add", "parameters": {"type": "object"}}],
}
SEARCH: JSON = {"type": "tool_search", "execution": "client"}
SHELL: JSON = {"type": "local_shell"}
WEB: JSON = {"type": "web_search"}


def forwarded(
    *items: JSON, tools: list[JSON] | None = None, profile: Profile = PROFILE, **fields: Any
) -> ForwardedRequest:
    request = {"model": "m", "input": [USER, *items], "tools": tools or [], **fields}
    return forward_request(request, profile, "m", Adaptations())


def rules(asked: ForwardedRequest) -> set[str]:
    return {change.rule for change in asked.adaptations}


def losses(asked: ForwardedRequest) -> list[str]:
    return [change.rule for change in asked.adaptations if change.lossy]


# ---------------------------------------------------------------- tools


def test_every_tool_that_a_client_runs_becomes_a_function() -> None:
    asked = forwarded(tools=[LOOK, PATCH, TINY, SEARCH, SHELL])
    tools = {tool["name"]: tool for tool in asked.body["tools"]}
    assert [*tools] == ["look", "patch", "mcp__tiny__add", "tool_search", "local_shell"]
    assert {tool["type"] for tool in asked.body["tools"]} == {"function"}
    assert tools["look"] == LOOK
    assert tools["patch"]["parameters"]["required"] == ["input"]
    assert "lark grammar" in tools["patch"]["description"]
    assert "Small things." in tools["mcp__tiny__add"]["description"]
    # Strict is the API's default, and no schema of these was made for it.
    assert [tool["strict"] for tool in asked.body["tools"][1:]] == [False] * 4
    assert {"tools.freeform", "tools.renamed", "tools.built_in"} <= rules(asked)
    assert [tool.name for tool in asked.tools if needs_raising(tool)] == [
        *("patch", "add", "tool_search", "local_shell"),
    ]


def test_functions_alone_go_out_as_they_are_declared() -> None:
    schema = {"$schema": "x", "type": "object", "additionalProperties": False}
    own = [LOOK, {**LOOK, "name": "other", "parameters": schema}]
    asked = forwarded(tools=own, tool_choice={"type": "function", "name": "look"})
    assert asked.body["tools"] == own
    assert asked.body["tool_choice"] == {"type": "function", "name": "look"}
    assert not any(map(needs_raising, asked.tools))
    assert not rules(asked)


@pytest.mark.parametrize("provider", ["openai", "chatgpt", "azure"])
def test_servers_of_openai_get_every_tool_as_declared(provider: str) -> None:
    tools = [LOOK, PATCH, TINY, SEARCH, WEB, {"type": "of_tomorrow"}]
    asked = forwarded(tools=tools, profile=find(provider))
    assert asked.body["tools"] == tools
    assert len(asked.tools) == 0


def test_a_profile_says_which_types_go_out_as_declared() -> None:
    profile = PROFILE.replacing(responses_tools=["function", "custom", "web_search"])
    asked = forwarded(tools=[LOOK, PATCH, TINY, WEB], profile=profile)
    tools = asked.body["tools"]
    assert [tool["type"] for tool in tools] == ["function", "custom", "function", "web_search"]
    assert tools[1] == PATCH
    called = {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "x"}
    output = {"type": "custom_tool_call_output", "call_id": "c", "output": "done"}
    assert forwarded(called, output, profile=profile).body["input"] == [USER, called, output]


def test_what_only_openai_runs_is_left_out_and_told() -> None:
    asked = forwarded(tools=[WEB, LOOK])
    assert asked.body["tools"] == [LOOK]
    assert losses(asked) == ["tools.left_out"]


def test_where_no_tool_is_left_nothing_speaks_of_tools() -> None:
    asked = forwarded(tools=[WEB], tool_choice="auto", parallel_tool_calls=True)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & asked.body.keys()


def test_two_tools_never_have_one_name() -> None:
    flat = {**LOOK, "name": "mcp__tiny__add"}
    asked = forwarded(tools=[TINY, flat, {**PATCH, "name": "look"}, LOOK])
    names = [tool["name"] for tool in asked.body["tools"]]
    assert len(set(names)) == 4
    assert {(tool.namespace, tool.name) for tool in asked.tools} == {
        *(("mcp__tiny", "add"), ("", "mcp__tiny__add"), ("", "look")),
    }


def test_a_tool_without_a_name_is_refused_by_its_place() -> None:
    with pytest.raises(TurnError, match=r"tools\[1\].name"):
        forwarded(tools=[LOOK, {"type": "custom"}])


CHOICES = [
    ("auto", "auto"),
    ({"type": "custom", "name": "patch"}, {"type": "function", "name": "patch"}),
    (
        {"type": "function", "name": "add", "namespace": "mcp__tiny"},
        {"type": "function", "name": "mcp__tiny__add"},
    ),
    ({"type": "namespace", "name": "mcp__tiny"}, {"type": "function", "name": "mcp__tiny__add"}),
    ({"type": "local_shell"}, {"type": "function", "name": "local_shell"}),
    ({"type": "web_search"}, "auto"),
    (
        {"type": "allowed_tools", "mode": "auto", "tools": [PATCH, {"type": "web_search"}]},
        {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "patch"}],
        },
    ),
]


@pytest.mark.parametrize(("choice", "expected"), CHOICES, ids=lambda value: str(value)[:50])
def test_a_choice_names_a_tool_as_the_server_knows_it(choice: Any, expected: Any) -> None:
    """F32."""
    asked = forwarded(tools=[LOOK, PATCH, TINY, SHELL], tool_choice=choice)
    assert asked.body["tool_choice"] == expected


# ---------------------------------------------------------------- histories

HISTORY: list[tuple[JSON, JSON, str, JSON, str]] = [
    (
        {"type": "custom_tool_call", "name": "patch", "input": "+ä"},
        {"type": "custom_tool_call_output", "output": "done"},
        *("patch", {"input": "+ä"}, "done"),
    ),
    (
        {"type": "function_call", "namespace": "mcp__tiny", "name": "add", "arguments": '{"a":1}'},
        {"type": "function_call_output", "output": "2"},
        *("mcp__tiny__add", {"a": 1}, "2"),
    ),
    (
        {"type": "local_shell_call", "action": {"type": "exec", "command": ["ls"], "env": {}}},
        {"type": "local_shell_call_output", "output": "a"},
        *("local_shell", {"command": ["ls"]}, "a"),
    ),
    (
        {"type": "tool_search_call", "arguments": {"query": "x"}, "execution": "client"},
        {"type": "tool_search_output", "tools": [TINY], "execution": "client"},
        *("tool_search", {"query": "x"}, "Loaded tools: mcp__tiny__add"),
    ),
    (
        {"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "a"}},
        {"type": "apply_patch_call_output", "status": "completed", "output": "gone"},
        *("apply_patch", {"type": "delete_file", "path": "a"}, "completed\ngone"),
    ),
]
by_kind = pytest.mark.parametrize(
    ("call", "output", "name", "arguments", "told"), HISTORY, ids=lambda v: str(v)[:24]
)


@by_kind
def test_a_call_in_the_history_is_one_of_a_function(
    call: JSON, output: JSON, name: str, arguments: JSON, told: str
) -> None:
    asked = forwarded({**call, "id": "x_1", "call_id": "c"}, {**output, "call_id": "c"})
    _, called, answered = asked.body["input"]
    assert (called["type"], called["name"], called["call_id"]) == ("function_call", name, "c")
    assert msgspec.json.decode(called["arguments"]) == arguments
    assert "namespace" not in called
    assert answered == {"type": "function_call_output", "call_id": "c", "output": told}


@by_kind
def test_a_call_that_has_no_output_gets_one(
    call: JSON, output: JSON, name: str, arguments: JSON, told: str
) -> None:
    """F2."""
    asked = forwarded({**call, "call_id": "c"})
    kinds = [item["type"] for item in asked.body["input"]]
    assert kinds == ["message", "function_call", "function_call_output"]


def test_tools_that_came_by_the_input_are_declared() -> None:
    """F22, F29."""
    found = {"type": "tool_search_output", "call_id": "c", "tools": [TINY]}
    called = {"type": "tool_search_call", "call_id": "c", "arguments": {}}
    more = {"type": "additional_tools", "tools": [LOOK]}
    asked = forwarded(more, called, found, tools=[SEARCH])
    names = [tool["name"] for tool in asked.body["tools"]]
    assert names == ["tool_search", "look", "mcp__tiny__add"]
    kinds = [item["type"] for item in asked.body["input"]]
    assert kinds == ["message", "function_call", "function_call_output"]


def test_items_of_tools_that_run_elsewhere_are_left_out_and_told() -> None:
    searched = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    asked = forwarded(searched)
    assert asked.body["input"] == [USER]
    assert losses(asked) == ["history.left_out"]
    profile = PROFILE.replacing(responses_tools=["function", "web_search_preview"])
    assert forwarded(searched, profile=profile).body["input"] == [USER, searched]


def test_a_search_that_another_server_ran_is_no_call() -> None:
    """F29."""
    ran = {"type": "tool_search_call", "call_id": "c", "execution": "server", "arguments": {}}
    found = {"type": "tool_search_output", "call_id": "c", "execution": "server", "tools": [TINY]}
    asked = forwarded(ran, found)
    assert asked.body["input"] == [USER]
    assert [tool["name"] for tool in asked.body["tools"]] == ["mcp__tiny__add"]


def test_words_of_another_agent_are_the_users() -> None:
    said = {
        "type": "agent_message",
        "author": "a",
        "recipient": "b",
        "content": [{"type": "input_text", "text": "Hello."}],
    }
    message = forwarded(said).body["input"][1]
    assert message["role"] == "user"
    assert [part["text"] for part in message["content"]] == ["[message from a to b]", "Hello."]


PAIRS = st.sampled_from(HISTORY)
TOOLS = st.lists(st.sampled_from([LOOK, PATCH, TINY, SEARCH, SHELL, WEB]), unique_by=id)


@settings(max_examples=200, deadline=None)
@given(st.lists(PAIRS, max_size=5), TOOLS, st.data())
def test_whatever_the_history_a_server_of_functions_takes_it(
    pairs: list[Any], tools: list[JSON], data: st.DataObject
) -> None:
    """I8, I9: in any order, with outputs lost; a longer history begins with the same bytes."""
    items: list[JSON] = []
    for number, (call, output, *_) in enumerate(pairs):
        items.append({**call, "call_id": f"c{number}"})
        if data.draw(st.booleans()):
            items.append({**output, "call_id": f"c{number}"})
    items = data.draw(st.permutations(items))
    asked = forwarded(*items, tools=tools, profile=STRICT)
    assert check_forwarded(asked.body, "s", ["function"]) is None
    again = forwarded(*items, tools=tools, profile=STRICT)
    assert again.encode() == asked.encode()
