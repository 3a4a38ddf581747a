from __future__ import annotations

from typing import Any

import msgspec
import pytest

from anyturn.translate.snapshot import response_snapshot

JSON = dict[str, Any]

# responses-api.md section 2.5: all of them are required, whatever was asked.
EMPTY: JSON = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1700000000,
    "status": "in_progress",
    "completed_at": None,
    "background": False,
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "model": "m",
    "output": [],
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": False,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "usage": None,
}
SCHEMA = {"type": "object", "properties": {}}
FORMAT = {
    "type": "json_schema",
    "name": "n",
    "description": "A name.",
    "strict": True,
    "schema": SCHEMA,
}
ASKED: JSON = {
    "instructions": "Be brief.",
    "max_output_tokens": 16,
    "max_tool_calls": 1,
    "metadata": {"k": "v"},
    "parallel_tool_calls": False,
    "presence_penalty": 0.5,
    "frequency_penalty": -0.5,
    "prompt_cache_key": "p",
    "reasoning": {"effort": "high", "summary": "auto"},
    "safety_identifier": "s",
    "service_tier": "flex",
    "temperature": 0.0,
    "text": {"verbosity": "low", "format": FORMAT},
    "tool_choice": "required",
    "tools": [
        {
            "type": "function",
            "name": "f",
            "description": "Runs.",
            "parameters": SCHEMA,
            "strict": False,
        }
    ],
    "top_logprobs": 3,
    "top_p": 0.0,
    "truncation": "auto",
}


def snapshot(request: JSON) -> JSON:
    response = response_snapshot(request, response_id="resp_1", created_at=1700000000, model="m")
    decoded: JSON = msgspec.json.decode(msgspec.json.encode(response))
    return decoded


def test_a_response_has_all_31_members_though_nothing_was_asked() -> None:
    assert len(EMPTY) == 31
    assert snapshot({}) == EMPTY


def test_null_asks_for_nothing() -> None:
    assert snapshot(dict.fromkeys(ASKED)) == EMPTY


def test_everything_that_was_asked_is_echoed_zeros_included() -> None:
    assert snapshot(ASKED) == {**EMPTY, **ASKED}


@pytest.mark.parametrize(
    "field", ["input", "model", "stream", "store", "include", "client_metadata"]
)
def test_what_is_no_member_or_decided_here_is_not_echoed(field: str) -> None:
    assert snapshot({field: "anything"}) == EMPTY


@pytest.mark.parametrize("conversation", ["conv_1", {"id": "conv_1"}])
def test_what_the_turn_belongs_to_is_echoed(conversation: Any) -> None:
    assert snapshot({"conversation": conversation})["conversation"] == {"id": "conv_1"}
    assert snapshot({"previous_response_id": "resp_0"})["previous_response_id"] == "resp_0"
    assert snapshot({"background": True})["background"] is True


def test_a_format_is_echoed_with_null_where_nothing_was_said() -> None:
    asked = {"type": "json_schema", "name": "n", "schema": SCHEMA}
    echoed = {**asked, "description": None, "strict": None}
    assert snapshot({"text": {"format": asked}})["text"] == {"format": echoed}


def test_a_function_is_echoed_with_five_keys_null_where_nothing_was_said() -> None:
    assert snapshot({"tools": [{"type": "function", "name": "f"}]})["tools"] == [
        {"type": "function", "name": "f", "description": None, "parameters": None, "strict": None}
    ]


def test_a_nested_function_is_echoed_in_the_form_of_responses() -> None:
    function = {"name": "f", "description": "Runs.", "parameters": SCHEMA, "strict": True}
    nested = {"type": "function", "function": function}
    assert snapshot({"tools": [nested]})["tools"] == [{"type": "function", **function}]


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "custom", "name": "apply_patch", "format": {"type": "text"}},
        {"type": "namespace", "name": "mcp__tiny", "tools": [{"type": "function", "name": "add"}]},
        {"type": "web_search", "external_web_access": True},
    ],
    ids=lambda tool: tool["type"],
)
def test_other_tools_are_echoed_as_they_came(tool: JSON) -> None:
    assert snapshot({"tools": [tool]})["tools"] == [tool]


@pytest.mark.parametrize(
    ("asked", "echoed"),
    [
        pytest.param("none", "none", id="a word"),
        pytest.param(
            {"type": "function", "name": "f"}, {"type": "function", "name": "f"}, id="named"
        ),
        pytest.param(
            {"type": "function", "function": {"name": "f"}},
            {"type": "function", "name": "f"},
            id="nested",
        ),
        pytest.param(
            {"type": "allowed_tools", "tools": []},
            {"type": "allowed_tools", "mode": "auto", "tools": []},
            id="allowed_tools, whose mode is required in an answer",
        ),
        pytest.param(
            {"type": "allowed_tools", "mode": "required", "tools": []},
            {"type": "allowed_tools", "mode": "required", "tools": []},
            id="allowed_tools with a mode",
        ),
    ],
)
def test_the_choice_is_echoed_in_the_form_of_responses(asked: Any, echoed: Any) -> None:
    assert snapshot({"tool_choice": asked})["tool_choice"] == echoed


@pytest.mark.parametrize(
    ("asked", "echoed"),
    [
        pytest.param({}, {"format": {"type": "text"}}, id="nothing"),
        pytest.param(
            {"verbosity": None, "format": None},
            {"format": {"type": "text"}},
            id="nulls are refused",
        ),
        pytest.param(
            {"verbosity": "high"}, {"verbosity": "high", "format": {"type": "text"}}, id="verbosity"
        ),
        pytest.param({"format": FORMAT}, {"format": FORMAT}, id="the real schema"),
    ],
)
def test_the_text_settings_always_have_a_format(asked: JSON, echoed: JSON) -> None:
    assert snapshot({"text": asked})["text"] == echoed


def test_the_effort_is_echoed_without_what_else_stood_beside_it() -> None:
    asked = {"effort": "low", "context": "all_turns"}
    assert snapshot({"reasoning": asked})["reasoning"] == {"effort": "low", "summary": None}
