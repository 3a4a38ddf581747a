from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec
import pytest

from anyturn.translate.built_in_tools import BUILT_INS, ToolKind
from anyturn.translate.output_calls import CallState
from anyturn.translate.output_items import COMPLETED, INCOMPLETE, Place
from anyturn.translate.tool_map import Tool
from anyturn.wire import responses as r

PLACE = Place("item_1", 3)
SHELL = Tool("shell", ToolKind.FUNCTION, "shell")
PATCH = Tool("apply_patch", ToolKind.CUSTOM, "apply_patch")
SEARCH = Tool("mcp__docs__search", ToolKind.FUNCTION, "search", "mcp__docs")


def built_in(kind: ToolKind) -> Tool:
    return Tool(kind, kind, kind, "", BUILT_INS[kind].parameters)


@pytest.fixture
def number() -> Callable[[], int]:
    numbers = count()
    return lambda: next(numbers)


def kinds(events: list[r.Event]) -> list[str]:
    return [str(type(event).__struct_config__.tag).removeprefix("response.") for event in events]


def call(tool: Tool | None, *arguments: str) -> CallState:
    state = CallState(0)
    state.tool = tool
    state.name = tool.chat_name if tool else ""
    state.call_id = "call_1"
    for piece in arguments:
        assert state.add(piece, lambda: 0) == []
    return state


def test_a_call_streams_its_arguments(number: Callable[[], int]) -> None:
    state = call(SHELL, '{"a"')
    added, waited = state.open(PLACE, number)
    assert added == r.ItemAdded(
        3, r.FunctionCall("item_1", "call_1", "shell", "", "in_progress"), 0
    )
    assert waited == r.ArgumentsDelta("item_1", 3, '{"a"', 1)
    assert state.add(":1}", number) == [r.ArgumentsDelta("item_1", 3, ":1}", 2)]
    events, item = state.close(COMPLETED, number)
    assert events[0] == r.ArgumentsDone("item_1", 3, "shell", '{"a":1}', 3)
    assert item == r.FunctionCall("item_1", "call_1", "shell", '{"a":1}', "completed")


def test_a_tool_from_a_namespace_gets_its_namespace_back(number: Callable[[], int]) -> None:
    """F25."""
    state = call(SEARCH, "{}")
    state.open(PLACE, number)
    _, item = state.close(COMPLETED, number)
    assert (item.name, item.namespace) == ("search", "mcp__docs")


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        pytest.param("", COMPLETED, "{}", id="F44, Q33 none"),
        pytest.param(" \n", COMPLETED, " \n{}", id="white space"),
        pytest.param("", INCOMPLETE, "", id="none, cut off"),
        pytest.param('{ "a":1 }', COMPLETED, '{ "a":1 }', id="verbatim"),
        pytest.param('{"a":', COMPLETED, '{"a":', id="broken ones are not repaired"),
        pytest.param('{"a":', INCOMPLETE, '{"a":', id="Q41 cut off ones are not closed"),
    ],
)
def test_arguments_are_handed_out_as_the_model_wrote_them(
    arguments: str, status: str, told: str, number: Callable[[], int]
) -> None:
    state = call(SHELL, arguments)
    events = state.open(PLACE, number)
    last, item = state.close(status, number)
    deltas = [e.delta for e in events + last if isinstance(e, r.ArgumentsDelta)]
    assert "".join(deltas) == told
    assert item == r.FunctionCall("item_1", "call_1", "shell", told, status)


def test_a_freeform_call_says_its_input_when_it_is_whole(number: Callable[[], int]) -> None:
    """F24."""
    state = call(PATCH, '{"input":', '"*** Begin"}')
    assert kinds(state.open(PLACE, number)) == ["output_item.added"]
    events, item = state.close(COMPLETED, number)
    assert events[:2] == [
        r.InputDelta("item_1", 3, "*** Begin", 1),
        r.InputDone("item_1", 3, "*** Begin", 2),
    ]
    assert item == r.CustomToolCall("item_1", "call_1", "apply_patch", "*** Begin", "completed")


@pytest.mark.parametrize(
    ("tool", "prefix", "early"),
    [(SHELL, "fc", True), (SEARCH, "fc", True), (PATCH, "ctc", False), (None, "fc", False)],
    ids=["function", "namespaced", "freeform", "not known yet"],
)
def test_a_call_is_announced_once_its_tool_is_known(
    tool: Tool | None, prefix: str, early: bool
) -> None:
    """F42, Q51; freeform input could still be cut off."""
    state = call(tool)
    assert (state.id_prefix, state.may_open_early) == (prefix, early)


@pytest.mark.parametrize(
    ("name", "provider_id", "arguments", "begun"),
    [
        *(("", "", "", False), ("", "", " ", False), ("f", "", "", True), ("", "c", "", True)),
        ("", "", "{", True),
    ],
)
def test_an_empty_place_for_a_call_is_no_call(
    name: str, provider_id: str, arguments: str, begun: bool
) -> None:
    state = call(None, arguments)
    state.name, state.provider_id = name, provider_id
    assert state.is_begun is begun


@pytest.mark.parametrize(
    ("arguments", "whole"),
    [("{}", True), (' {"a":1} ', True), ("", False), ("{", False), ("[]", False), ('"x"', False)],
)
def test_arguments_are_whole_when_they_are_one_object(arguments: str, whole: bool) -> None:
    assert call(SHELL, arguments).is_whole() is whole


# ---------------------------------------------------------------- built-in tools

LS = ["ls", "-l"]
EXEC = {"type": "exec", "env": {}, "command": LS}
BUILT_IN_CALLS = [
    pytest.param(
        ToolKind.TOOL_SEARCH,
        {"query": "add", "limit": 5},
        r.ToolSearchCall("item_1", "call_1", {"query": "add", "limit": 5}, "completed"),
        id="F29 tool_search",
    ),
    pytest.param(
        ToolKind.LOCAL_SHELL,
        {"command": LS},
        r.LocalShellCall("item_1", "call_1", EXEC, "completed"),
        id="local_shell",
    ),
    pytest.param(
        ToolKind.SHELL,
        {"commands": ["ls"], "timeout_ms": "500"},
        r.ShellCall("item_1", "call_1", {"commands": ["ls"], "timeout_ms": 500}, "completed"),
        id="shell, F46 a number as text",
    ),
    pytest.param(
        ToolKind.APPLY_PATCH,
        {"type": "delete_file", "path": "a"},
        r.ApplyPatchCall("item_1", "call_1", {"type": "delete_file", "path": "a"}, "completed"),
        id="apply_patch",
    ),
]


@pytest.mark.parametrize(("kind", "arguments", "expected"), BUILT_IN_CALLS)
def test_a_call_of_a_built_in_tool_is_an_item_of_its_type(
    kind: ToolKind, arguments: Any, expected: r.Item, number: Callable[[], int]
) -> None:
    state = call(built_in(kind), msgspec.json.encode(arguments).decode())
    assert not state.may_open_early and not state.complaint
    (added,) = state.open(PLACE, number)
    assert added == r.ItemAdded(3, msgspec.structs.replace(expected, status="in_progress"), 0)
    assert state.close(COMPLETED, number) == ([r.ItemDone(3, expected, 1)], expected)


def test_every_built_in_tool_has_an_item_of_the_type_that_the_table_says() -> None:
    for kind, own in BUILT_INS.items():
        param = next(p for p in BUILT_IN_CALLS if p.values[0] == kind)
        item = msgspec.to_builtins(param.values[2])
        assert item["type"] == own.call_type and own.field in item


@pytest.mark.parametrize(
    ("kind", "arguments", "understood"),
    [
        (ToolKind.LOCAL_SHELL, "", False),
        (ToolKind.LOCAL_SHELL, '{"command":[]}', False),
        (ToolKind.LOCAL_SHELL, '{"command":["ls"', False),
        (ToolKind.SHELL, '{"commands":["ls"]}', True),
        (ToolKind.TOOL_SEARCH, "", True),
        (ToolKind.TOOL_SEARCH, "x", False),
        (ToolKind.FUNCTION, "x", True),
    ],
)
def test_a_call_that_cannot_take_the_form_of_its_tool_is_not_understood(
    kind: ToolKind, arguments: str, understood: bool
) -> None:
    tool = SHELL if kind is ToolKind.FUNCTION else built_in(kind)
    assert (call(tool, arguments).complaint == "") is understood


def test_a_cut_off_call_of_a_built_in_tool_is_whole_only_with_arguments() -> None:
    """F44: nothing may run that the model did not finish."""
    assert not call(built_in(ToolKind.TOOL_SEARCH), "").is_whole()
    assert not call(built_in(ToolKind.SHELL), '{"commands":["rm').is_whole()
    assert call(built_in(ToolKind.SHELL), '{"commands":["ls"]}').is_whole()
