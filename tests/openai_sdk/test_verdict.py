from __future__ import annotations

import pytest

from anyturn.openai_sdk import Rule, ToolCall
from anyturn.openai_sdk.requests import read_body
from anyturn.openai_sdk.verdict import argument_faults
from support.sdk_chunks import BODY

SENT = read_body("chat", BODY)


def rules(call: ToolCall, is_json: bool = True, is_whole: bool = True) -> list[Rule]:
    return [rule for rule, _ in argument_faults(call, SENT, is_json, is_whole)]


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        pytest.param('{"title":"x"}', None, id="fits"),
        pytest.param('{"title":', Rule.ARGUMENTS_INVALID, id="broken"),
        pytest.param("", Rule.ARGUMENTS_INVALID, id="empty"),
        pytest.param("[1]", Rule.ARGUMENTS_INVALID, id="no object"),
        pytest.param('{"priority":1}', Rule.ARGUMENTS_MISFIT, id="misfit"),
    ],
)
def test_arguments_are_judged(arguments: str, rule: Rule | None) -> None:
    expected = [] if rule is None else [rule]
    assert rules(ToolCall(0, "call_1", "add_task", arguments)) == expected


def test_what_was_cut_off_is_truncated_and_not_invalid() -> None:
    call = ToolCall(0, "call_1", "add_task", '{"title":')
    assert rules(call, is_whole=False) == [Rule.ARGUMENTS_TRUNCATED]
    whole = ToolCall(0, "call_1", "add_task", '{"title":"x"}')
    assert rules(whole, is_whole=False) == []


def test_a_call_needs_a_name_and_an_id() -> None:
    assert rules(ToolCall(0, "", "", "{}")) == [Rule.NAME_MISSING, Rule.ID_MISSING]


def test_a_tool_that_was_not_declared_is_unknown() -> None:
    assert rules(ToolCall(0, "call_1", "drop_tasks", "{}")) == [Rule.UNKNOWN_TOOL]


def test_without_a_request_nothing_is_unknown() -> None:
    call = ToolCall(0, "call_1", "drop_tasks", "{}")
    assert list(argument_faults(call, None, True, True)) == []


def test_freeform_input_is_not_json() -> None:
    patch = read_body("chat", {"tools": [{"type": "custom", "custom": {"name": "patch"}}]})
    call = ToolCall(0, "call_1", "patch", "*** Begin Patch")
    assert list(argument_faults(call, patch, True, True)) == []
    assert rules(ToolCall(0, "", "add_task", "text"), is_json=False) == []


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        pytest.param('{{"title":"x"}}', "double_braces", id="form"),
        pytest.param('{"title":7}', "strings", id="type"),
    ],
)
def test_what_the_gateway_would_mend_is_said(arguments: str, steps: str) -> None:
    call = ToolCall(0, "call_1", "add_task", arguments)
    [(_, words)] = argument_faults(call, SENT, True, True)
    assert words.endswith(f"(Anyturn's gateway mends this: {steps})")


def test_nothing_is_promised_that_the_gateway_cannot_do() -> None:
    call = ToolCall(0, "call_1", "add_task", '{"priority":"7"}')
    [(_, words)] = argument_faults(call, SENT, True, True)
    assert "mends" not in words
