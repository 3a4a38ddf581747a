from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.openai_sdk.requests import read_body, read_request
from support.sdk_chunks import ADD_TASK, BODY


def test_a_chat_request_is_read() -> None:
    sent = read_request("/chat/completions", {**BODY, "stream": True, "tool_choice": "auto"})
    assert sent is not None
    assert (sent.api, sent.model, sent.stream) == ("chat", "gpt-oss-120b", True)
    assert len(sent.messages) == 1
    assert sent.tools == ("add_task", "list_tasks")
    assert sent.schemas["add_task"] == ADD_TASK["function"]["parameters"]
    assert sent.calls_are_known


def test_a_responses_request_is_read() -> None:
    tools = [
        {"type": "function", "name": "add_task", "parameters": {"type": "object"}},
        {"type": "custom", "name": "patch"},
        {"type": "web_search"},
    ]
    sent = read_request("/responses", {"model": "m", "input": "Hi", "tools": tools})
    assert sent is not None
    assert sent.messages == ({"role": "user", "content": "Hi"},)
    assert sent.tools == ("add_task", "patch", "web_search")
    assert sent.schemas == {"add_task": {"type": "object"}}
    assert sent.freeform == {"patch"}
    assert not sent.calls_are_known  # a hosted tool may bring calls of its own


@pytest.mark.parametrize(
    ("choice", "shown"),
    [
        pytest.param("required", "required", id="word"),
        pytest.param(
            {"type": "function", "function": {"name": "add_task"}}, "function add_task", id="chat"
        ),
        pytest.param({"type": "function", "name": "add_task"}, "function add_task", id="responses"),
        pytest.param({"type": "file_search"}, "file_search", id="hosted"),
        pytest.param(
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}, "allowed_tools", id="some"
        ),
        pytest.param(None, "", id="none"),
        pytest.param(7, "", id="nonsense"),
    ],
)
def test_the_tool_choice_is_told_in_words(choice: Any, shown: str) -> None:
    assert read_body("chat", {"tool_choice": choice}).tool_choice == shown


@pytest.mark.parametrize("path", ["/embeddings", "/responses/resp_1/cancel", "/files", ""])
def test_other_requests_are_none_of_ours(path: str) -> None:
    assert read_request(path, BODY) is None


def test_a_body_that_is_no_object_is_none_of_ours() -> None:
    assert read_request("/responses", [1]) is None


things = st.none() | st.integers() | st.text() | st.lists(st.dictionaries(st.text(), st.integers()))


@given(
    st.dictionaries(
        st.sampled_from(["model", "messages", "tools", "tool_choice", "stream", "input"]), things
    )
)
def test_no_body_makes_it_raise(body: dict[str, Any]) -> None:
    assert read_request("/chat/completions", body) is not None
