"""Calls and outputs of every kind, as the history of a function has them (see `test_history`)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from anyturn.errors import TurnError
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.built_in_tools import BUILT_INS, ToolKind
from anyturn.translate.calls_as_functions import (
    CALLS,
    OUTPUTS,
    answered_id_of,
    call_id_of,
    called_name,
    called_with,
    is_by_server,
    loaded_tools,
)
from anyturn.translate.tool_map import ToolMap

JSON = dict[str, Any]


def test_every_kind_of_tool_has_its_call_and_its_output() -> None:
    assert {kind for kind, _ in CALLS.values()} == set(ToolKind)
    assert {kind for kind, _ in OUTPUTS.values()} == set(ToolKind)
    assert {own.call_type for own in BUILT_INS.values()} < set(CALLS)


@pytest.mark.parametrize(
    ("item", "name", "arguments"),
    [
        ({"type": "function_call", "name": "a", "arguments": '{"b": 1}'}, "a", {"b": 1}),
        ({"type": "function_call", "name": "a", "arguments": " "}, "a", {}),
        ({"type": "function_call", "name": "a", "arguments": "x"}, "a", "x"),
        ({"type": "custom_tool_call", "name": "a", "input": "{}"}, "a", {"input": "{}"}),
        ({"type": "tool_search_call", "arguments": None}, "tool_search", {}),
        (
            {"type": "shell_call", "action": {"commands": ["ls"], "timeout_ms": None}},
            *("shell", {"commands": ["ls"]}),
        ),
    ],
)
def test_a_call_says_what_and_with_what(item: JSON, name: str, arguments: Any) -> None:
    """Q74: always an object."""
    adaptations = Adaptations()
    assert called_name(item, "input[0]")[1] == name
    told = msgspec.json.decode(called_with(item, "input[0]", adaptations))
    broken = arguments == "x"
    assert told == ({"unparsable_arguments": "x"} if broken else arguments)
    assert bool(adaptations) is broken


@pytest.mark.parametrize(
    ("item", "place"),
    [
        ({"type": "function_call", "arguments": "{}"}, "name"),
        ({"type": "custom_tool_call", "name": "a", "input": {}}, "input"),
        ({"type": "function_call", "name": "a", "arguments": {}}, "arguments"),
    ],
)
def test_what_is_malformed_is_refused_by_its_place(item: JSON, place: str) -> None:
    def read() -> None:
        called_name(item, "input[0]")
        called_with(item, "input[0]", Adaptations())

    with pytest.raises(TurnError, match=rf"input\[0\]\.{place}"):
        read()


def test_ids_pair_a_call_with_its_output() -> None:
    assert call_id_of({"id": "x"}, "p") == "x"
    assert call_id_of({"id": "x", "call_id": "c"}, "p") == answered_id_of({"call_id": "c"}) == "c"
    assert call_id_of({}, "p") == answered_id_of({"call_id": 1}) == ""
    with pytest.raises(TurnError, match="call_id"):
        call_id_of({"call_id": 1}, "p")


def test_a_search_tells_names_that_can_be_called() -> None:
    names = ToolMap()
    names.add(ToolKind.FUNCTION, "add", "tiny")
    found = [{"type": "namespace", "name": "tiny", "tools": [{"name": "add"}]}, "x", {"name": "b"}]
    assert loaded_tools(found, names) == "Loaded tools: tiny__add, b"
    assert loaded_tools(None, names) == "Loaded tools: none"


def test_a_search_of_the_server_is_no_call() -> None:
    assert is_by_server({"type": "tool_search_call", "execution": "server"})
    assert not is_by_server({"type": "tool_search_call", "execution": "client"})
    assert not is_by_server({"type": "function_call", "execution": "server"})
