"""How one call of the history looks: its id, its name, its arguments."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from anyturn.translate.built_in_tools import ToolKind
from anyturn.translate.tool_map import ToolMap
from support.chat_items import (
    MISTRAL,
    called,
    chat_call,
    convert,
    messages,
    output,
    result,
    rules,
    said,
    user,
)

JSON = dict[str, Any]

# ---------------------------------------------------------------- ids (F13, F14, Q66)

ORIGINAL_IDS = [
    pytest.param("c" * 65, id="65 letters"),
    pytest.param("c" * 1324, id="1,324 letters"),
    pytest.param("call ü", id="not ASCII"),
    pytest.param("functions.exec:0", id="a dot and a colon"),
    pytest.param("", id="empty"),
]


@pytest.mark.parametrize("call_id", ORIGINAL_IDS)
def test_an_id_that_providers_refuse_is_shortened_alike_on_call_and_output_f13(
    call_id: str,
) -> None:
    items = [user(), called(call_id), output(call_id)]
    converted = messages(*items)
    sent = converted[1]["tool_calls"][0]["id"]
    assert converted[2]["tool_call_id"] == sent != call_id
    assert 0 < len(sent) <= 64
    assert messages(*items) == converted
    assert ("history.call_id", "input[1]", False) in rules(*items)


@pytest.mark.parametrize("call_id", ["c1", "call_0-A", "c" * 64])
def test_an_id_that_every_provider_takes_is_left_alone_f13(call_id: str) -> None:
    assert messages(user(), called(call_id))[1]["tool_calls"][0]["id"] == call_id
    assert rules(user(), called(call_id), output(call_id)) == []


@pytest.mark.parametrize(
    ("call_id", "kept"),
    [("abcDEF123", True), ("abc-EF123", False), ("call_1", False), ("äbcDEF123", False)],
)
def test_ids_of_an_exact_length_are_made_for_providers_that_want_them(
    call_id: str, kept: bool
) -> None:
    sent = messages(user(), called(call_id), profile=MISTRAL)[1]["tool_calls"][0]["id"]
    assert (sent == call_id) is kept
    assert len(sent) == 9
    assert sent.isalnum()


def test_a_thousand_calls_of_the_same_id_get_an_id_each() -> None:
    converted = messages(user(), *[called("c1")] * 1000)
    ids = [call["id"] for call in converted[1]["tool_calls"]]
    assert len(set(ids)) == 1000


def test_item_ids_and_statuses_are_not_sent_f14() -> None:
    items = [said("x", id="msg_1", status="completed", phase="commentary"), user()]
    sent = msgspec.json.encode(messages(user(), *items)).decode()
    assert "msg_1" not in sent
    assert "phase" not in sent


# ---------------------------------------------------------------- names and arguments


def test_a_call_in_the_history_has_the_name_of_the_declared_function_f25() -> None:
    tools = ToolMap()
    tools.add(ToolKind.FUNCTION, "mcp__tiny__add", "")
    flat = tools.add(ToolKind.FUNCTION, "add", "mcp__tiny")
    assert flat is not None and flat.chat_name != "mcp__tiny__add"
    converted, _ = convert(user(), called(name="add", namespace="mcp__tiny"), tools=tools)
    assert converted[1]["tool_calls"][0]["function"]["name"] == flat.chat_name


@pytest.mark.parametrize("own", [None, "", "functions"])
def test_a_call_in_the_namespace_functions_has_its_bare_name_f26(own: str | None) -> None:
    converted = messages(user(), called(name="exec", namespace=own))
    assert converted[1]["tool_calls"][0]["function"]["name"] == "exec"


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        pytest.param('{"a": 1}', '{"a": 1}', id="an object, byte for byte"),
        pytest.param("", "{}", id="nothing"),
        pytest.param(" \n", "{}", id="blank"),
    ],
)
def test_arguments_are_replayed_as_they_came(arguments: str, sent: str) -> None:
    converted = messages(user(), called(arguments=arguments), output())
    assert converted[1]["tool_calls"][0]["function"]["arguments"] == sent
    assert rules(user(), called(arguments=arguments), output()) == []


@pytest.mark.parametrize("arguments", ['{"a": ', "[1]", "5", "null", "NaN", "x", '{"a":1}{"b":2}'])
def test_arguments_that_are_no_object_are_one_text_field_q74(arguments: str) -> None:
    items = [user(), called(arguments=arguments), output()]
    sent = messages(*items)[1]["tool_calls"][0]["function"]["arguments"]
    assert msgspec.json.decode(sent) == {"unparsable_arguments": arguments}
    assert rules(*items) == [("history.broken_arguments", "input[1].arguments", False)]


def test_arguments_nested_beyond_reading_are_one_text_field_q74() -> None:
    arguments = '{"a":' + "[" * 5000 + "]" * 5000 + "}"
    sent = messages(user(), called(arguments=arguments))[1]["tool_calls"][0]["function"][
        "arguments"
    ]
    assert msgspec.json.decode(sent) == {"unparsable_arguments": arguments}


@pytest.mark.parametrize(
    ("item", "name", "arguments"),
    [
        pytest.param(
            {"type": "shell_call", "action": {"commands": ["ls"]}},
            "shell",
            '{"commands":["ls"]}',
            id="shell_call",
        ),
        pytest.param(
            {"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "a"}},
            "apply_patch",
            '{"type":"delete_file","path":"a"}',
            id="apply_patch_call",
        ),
        pytest.param(
            {
                "type": "local_shell_call",
                "action": {"type": "exec", "command": ["ls"], "env": {}, "user": None},
            },
            "local_shell",
            '{"command":["ls"]}',
            id="what clients fill in was never said",
        ),
        pytest.param({"type": "local_shell_call"}, "local_shell", "{}", id="without an action"),
        pytest.param(
            {"type": "tool_search_call", "arguments": ["q"]},
            "tool_search",
            '{"unparsable_arguments":["q"]}',
            id="arguments that are a list",
        ),
    ],
)
def test_calls_whose_type_is_the_tool_become_functions_f29(
    item: JSON, name: str, arguments: str
) -> None:
    converted = messages(user(), {"call_id": "c1", **item}, output())
    assert converted[1]["tool_calls"] == [chat_call("c1", name, arguments)]
    assert converted[2] == result()


def test_the_chunks_of_a_shell_output_are_told_in_words() -> None:
    chunks = [{"stdout": "a.txt", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]
    call = {"type": "shell_call", "call_id": "c1", "action": {"commands": ["ls"]}}
    converted = messages(user(), call, output("c1", chunks, "shell_call"))
    assert converted[2]["content"] == "exit code: 0\nstdout:\na.txt"


def test_a_search_for_tools_is_answered_with_the_names_to_call_f29() -> None:
    found = {
        "type": "namespace",
        "name": "mcp__tiny",
        "tools": [{"type": "function", "name": "add"}],
    }
    search = {"type": "tool_search_call", "call_id": "c1", "arguments": {"query": "add"}}
    answer = {"type": "tool_search_output", "call_id": "c1", "tools": [found, {"name": "b"}, 5]}
    converted = messages(user(), search, answer)
    assert converted[2]["content"] == "Loaded tools: mcp__tiny__add, b"


def test_a_search_that_the_server_ran_is_no_call_f29() -> None:
    search = {"type": "tool_search_call", "call_id": None, "execution": "server", "arguments": {}}
    answer = {"type": "tool_search_output", "execution": "server", "tools": []}
    converted, adaptations = convert(user(), search, answer)
    assert [message["role"] for message in converted] == ["user"]
    assert [a.rule for a in adaptations] == ["history.searched", "history.searched"]
