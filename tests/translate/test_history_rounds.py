"""Rounds of calls and outputs in the history: which belong together, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from anyturn.translate.history import UNKNOWN_OUTCOME
from support.chat_items import (
    CHAT_IMAGE,
    IMAGE,
    USER,
    assistant,
    called,
    chat_call,
    message,
    messages,
    output,
    reasoned,
    result,
    rules,
    said,
    user,
)

JSON = dict[str, Any]


@pytest.mark.parametrize(
    "items",
    [
        pytest.param([called(), output()], id="in order"),
        pytest.param([output(), called()], id="the output before its call"),
        pytest.param([called(), message("user", ""), output()], id="an empty message between"),
    ],
)
def test_an_output_stands_right_behind_its_call_f1_q66(items: list[JSON]) -> None:
    assert messages(user(), *items) == [USER, assistant(None, chat_call()), result()]


@pytest.mark.parametrize(
    ("between", "after"),
    [
        pytest.param(user("wait"), {"role": "user", "content": "wait"}, id="a user"),
        pytest.param(
            message("developer", "wait"),
            {"role": "user", "content": "<developer>\nwait\n</developer>"},
            id="a developer",
        ),
        pytest.param(
            {"type": "agent_message", "author": "a", "recipient": "b", "content": []},
            {"role": "user", "content": "[message from a to b]"},
            id="an agent",
        ),
    ],
)
def test_what_stands_between_a_call_and_its_output_moves_behind_f1_q66(
    between: JSON, after: JSON
) -> None:
    converted = messages(user(), called(), between, output())
    assert converted == [USER, assistant(None, chat_call()), result(), after]


def test_what_the_model_said_between_a_call_and_its_output_joins_the_call_f1() -> None:
    converted = messages(user(), called(), said("Working."), reasoned("hm"), output())
    assert converted == [USER, assistant("Working.", chat_call()), result()]


def test_a_call_without_an_output_is_closed_with_unknown_status_f1_q67() -> None:
    items = [user(), called("c1"), called("c2"), output("c2"), user()]
    expected = [
        USER,
        assistant(None, chat_call("c1"), chat_call("c2")),
        result("c1", UNKNOWN_OUTCOME),
        result("c2"),
        USER,
    ]
    assert messages(*items) == expected
    assert rules(*items) == [("history.dangling_call", "input[1]", False)]


@pytest.mark.parametrize("call_id", ["gone", "", None])
def test_an_output_without_its_call_is_kept_as_text_f2_q67(call_id: Any) -> None:
    items = [user(), output(call_id, "precious")]
    first, second = messages(*items)
    assert (first, second["role"]) == (USER, "user")
    assert "precious" in second["content"]
    assert (call_id or "no id") in second["content"]
    assert rules(*items) == [("history.orphan_output", "input[1]", True)]


def test_images_of_an_orphaned_output_are_kept_f2() -> None:
    converted = messages(output("gone", [IMAGE]))
    assert converted[0]["content"][1] == CHAT_IMAGE


def test_consecutive_calls_of_every_kind_are_one_assistant_message_f3_q68() -> None:
    patch = {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "*** x"}
    shell = {"type": "local_shell_call", "call_id": "c3", "action": {"command": ["ls"]}}
    items = [said("Now."), called("c1"), patch, shell, *map(output, ("c3", "c2", "c1"))]
    assert messages(user(), *items) == [
        USER,
        assistant(
            "Now.",
            chat_call("c1"),
            chat_call("c2", "apply_patch", '{"input":"*** x"}'),
            chat_call("c3", "local_shell", '{"command":["ls"]}'),
        ),
        result("c1"),
        result("c2"),
        result("c3"),
    ]


def test_calls_are_not_merged_across_a_user_message_f3() -> None:
    converted = messages(called("c1"), user(), called("c2"), output("c1"), output("c2"))
    assert [m["role"] for m in converted] == ["assistant", "tool", "user", "assistant", "tool"]


def test_calls_are_not_merged_across_an_output_that_the_model_had_seen_f3() -> None:
    converted = messages(user(), called("c1"), output("c1"), said("Next."), called("c2"))
    assert [m["role"] for m in converted] == ["user", "assistant", "tool", "assistant", "tool"]
    assert converted[3]["content"] == "Next."


def test_an_output_far_behind_its_call_does_not_cut_what_the_model_says_there() -> None:
    items = [called("c1"), user(), said("one"), output("c1"), said("two"), user("go on")]
    assert messages(user(), *items)[3:] == [
        USER,
        assistant("one\ntwo"),
        {"role": "user", "content": "go on"},
    ]


def test_two_calls_may_have_the_same_id_and_keep_their_own_outputs() -> None:
    items = [called("c1"), output("c1", "first"), called("c1"), output("c1", "second")]
    converted = messages(user(), *items)
    ids = [call["id"] for m in converted for call in m.get("tool_calls", ())]
    assert ids[0] == "c1"
    assert len(set(ids)) == 2
    assert [(m["tool_call_id"], m["content"]) for m in converted if m["role"] == "tool"] == [
        (ids[0], "first"),
        (ids[1], "second"),
    ]


def test_a_second_output_of_a_call_is_reported_as_lost() -> None:
    items = [user(), called(), output(words="first"), output(words="second")]
    assert messages(*items) == [USER, assistant(None, chat_call()), result(words="first")]
    assert rules(*items) == [("history.second_output", "input[3].output", True)]


def test_calls_without_any_id_are_paired_in_order() -> None:
    search = {"type": "tool_search_call", "arguments": {"query": "q"}, "execution": "client"}
    found = {"type": "tool_search_output", "tools": [{"type": "namespace", "name": "mcp__tiny"}]}
    converted = messages(user(), search, found, said("Found."))
    assert converted[1]["tool_calls"][0]["function"] == {
        "name": "tool_search",
        "arguments": '{"query":"q"}',
    }
    assert converted[2]["content"] == "Loaded tools: mcp__tiny"
    assert converted[1]["tool_calls"][0]["id"] == converted[2]["tool_call_id"] != ""


@pytest.mark.parametrize(
    "again",
    [
        pytest.param({"id": "fc_1"}, id="word for word"),
        pytest.param({"id": "fc_1", "status": "completed"}, id="with a status"),
    ],
)
def test_a_call_that_is_sent_twice_is_called_once_f4(again: JSON) -> None:
    items = [user(), called(id="fc_1"), output(), {**called(), **again}, output()]
    assert messages(*items) == [USER, assistant(None, chat_call()), result()]
    assert rules(*items) == [
        ("history.repeated", "input[3]", False),
        ("history.repeated", "input[4].output", False),
    ]


def test_items_that_share_an_id_and_say_different_things_are_all_kept() -> None:
    items = [user(), said("one", id="msg_0"), user(), said("two", id="msg_0"), user()]
    spoken = [m["content"] for m in messages(*items) if m["role"] == "assistant"]
    assert spoken == ["one", "two"]
