from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.testing import Rules, check_history, check_request
from anyturn.testing.history import MESSAGE_FIELDS, REQUEST_FIELDS

JSON = dict[str, Any]

SYSTEM: JSON = {"role": "system", "content": "Be brief."}
USER: JSON = {"role": "user", "content": "Hi"}
TOOL: JSON = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {}}},
}


def calls(*ids: str, **changes: Any) -> JSON:
    return {"role": "assistant", "content": None, "tool_calls": [one_call(id) for id in ids]} | (
        changes
    )


def one_call(id: Any = "c1", arguments: Any = "{}", name: Any = "f", **changes: Any) -> JSON:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}} | (
        changes
    )


def calling(call: Any) -> list[Any]:
    return [USER, calls(tool_calls=[call]), result("c1")]


def result(id: Any, content: Any = "ok") -> JSON:
    return {"role": "tool", "tool_call_id": id, "content": content}


def tool(**function: Any) -> JSON:
    return {"type": "function", "function": {**TOOL["function"], **function}}


def request(**changes: Any) -> JSON:
    return {"model": "m", "messages": [USER], "stream": True, **changes}


PARTS = [
    {"type": "text", "text": "see"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
    {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA=="}},
]


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([USER], id="a user alone"),
        pytest.param([SYSTEM, USER], id="a system message first"),
        pytest.param([{"role": "user", "content": PARTS}], id="every part a user may send"),
        pytest.param([USER, {"role": "assistant", "content": ""}], id="empty text"),
        pytest.param(
            [USER, {"role": "assistant", "content": [{"type": "text", "text": "a"}]}],
            id="text parts of an assistant",
        ),
        pytest.param([USER, calls("c1"), result("c1")], id="a call and its answer"),
        pytest.param(
            [USER, calls("c1", content="I will", reasoning="hm"), result("c1"), USER],
            id="a call with text and reasoning",
        ),
        pytest.param(
            [USER, calls("a", "b"), result("b"), result("a"), calls("c"), result("c")],
            id="parallel calls answered in any order",
        ),
        pytest.param(
            [USER, calls("c1"), result("c1", [{"type": "text", "text": "ok"}])],
            id="text parts of a tool",
        ),
    ],
)
def test_a_valid_history_passes(messages: list[JSON]) -> None:
    assert check_history(messages, [TOOL]) is None


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param([], "Invalid 'messages': empty array", id="no message"),
        pytest.param(None, "Invalid type for 'messages': expected an array", id="null"),
        pytest.param([None], "'messages[0]': expected an object, but got null", id="a null one"),
        pytest.param(
            [{"role": "critic", "content": "x"}], "Invalid value: 'critic'", id="unknown role"
        ),
        pytest.param([{"content": "x"}], "Invalid value: null", id="no role"),
        pytest.param(
            [{"role": "developer", "content": "x"}],
            "'messages[0].role' does not support 'developer'",
            id="developer (F5)",
        ),
        pytest.param(
            [USER, SYSTEM], "System message must be at the beginning.", id="late system (F6, Q64)"
        ),
        pytest.param(
            [SYSTEM, SYSTEM], "System message must be at the beginning.", id="two systems (Q64)"
        ),
        pytest.param(
            [{**USER, "phase": "commentary"}],
            "property 'messages[0].phase' is unsupported",
            id="a member of a Responses item",
        ),
        pytest.param(
            [{"role": "user", "content": None}],
            "Invalid value for 'content': expected a string, got null.",
            id="null from a user",
        ),
        pytest.param(
            [USER, {"role": "assistant", "content": None}],
            "Invalid value for 'content': expected a string, got null.",
            id="null without calls",
        ),
        pytest.param(
            [{"role": "user"}],
            "Missing required parameter: 'messages[0].content'.",
            id="no content",
        ),
        pytest.param(
            [USER, {"role": "assistant", "tool_calls": [one_call()]}, result("c1")],
            "Missing required parameter: 'messages[1].content'.",
            id="no content beside calls (Q71)",
        ),
        pytest.param([{"role": "user", "content": []}], "empty array", id="no parts"),
        pytest.param(
            [{"role": "user", "content": {"text": "x"}}],
            "'messages[0].content': expected an array, but got an object",
            id="an object for content",
        ),
        pytest.param(
            [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}],
            "Content blocks are expected to be either text or image_url or file type.",
            id="a part of the Responses API",
        ),
        pytest.param(
            [{"role": "user", "content": ["x"]}], "Content blocks are expected", id="a bare string"
        ),
        pytest.param(
            [{"role": "user", "content": [{"type": "text"}]}],
            "Missing required parameter: 'messages[0].content[].text'.",
            id="a part without text",
        ),
        pytest.param(
            [{"role": "user", "content": [{"type": "image_url", "image_url": "data:"}]}],
            "'messages[0].content[].image_url'",
            id="an image as a string",
        ),
        pytest.param(
            [USER, calls("c1"), result("c1", [PARTS[1]])],
            "expected to be either text type",
            id="an image from a tool (F10, Q69)",
        ),
    ],
)
def test_a_bad_message_is_refused(messages: Any, expected: str) -> None:
    assert expected in str(check_history(messages))


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param(
            [{**USER, "tool_calls": [one_call()]}],
            "only messages with role 'assistant'",
            id="calls of a user",
        ),
        pytest.param(
            [USER, calls(tool_calls=[])], "'messages[1].tool_calls': empty array", id="no calls"
        ),
        pytest.param(
            [USER, calls(tool_calls=None)], "expected an array, but got null", id="null calls"
        ),
        pytest.param(calling(None), "tool_calls[0]': expected an object", id="a null call"),
        pytest.param(
            calling(one_call(id=None)), "tool_calls[0].id': expected a string", id="no id"
        ),
        pytest.param(calling(one_call(id="")), "minimum length 1", id="empty id (Q49)"),
        pytest.param(
            calling(one_call(id="c" * 65)), "but got a string with length 65", id="long id (F13)"
        ),
        pytest.param(
            calling(one_call(type="custom")), "Invalid value: 'custom'", id="a freeform call"
        ),
        pytest.param(
            calling(one_call(function=None)), "function': expected an object", id="null function"
        ),
        pytest.param(
            calling(one_call(name="mcp.add")), "does not match pattern", id="dotted name (Q77)"
        ),
        pytest.param(calling(one_call(name="f\n")), "does not match pattern", id="line end"),
        pytest.param(calling(one_call(name=7)), "but got an integer", id="a number for a name"),
        pytest.param(
            calling(one_call(arguments={"a": 1})),
            "function.arguments': expected a string, but got an object",
            id="arguments as object",
        ),
        pytest.param(
            calling(one_call(arguments='{"a"')),
            "invalid function arguments json string, tool_call_id: c1",
            id="cut arguments (Q74)",
        ),
        pytest.param(
            calling(one_call(arguments="[1]")),
            "invalid function arguments json string",
            id="arguments that are a list",
        ),
        pytest.param(
            calling(one_call(arguments="")),
            "invalid function arguments json string",
            id="empty arguments (F44)",
        ),
    ],
)
def test_a_bad_call_is_refused(messages: Any, expected: str) -> None:
    assert expected in str(check_history(messages))


UNANSWERED = (
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
    "'tool_call_id'. The following tool_call_ids did not have response messages: "
)
ORPHAN = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param([USER, calls("c1")], UNANSWERED + "c1", id="a last call (F1)"),
        pytest.param(
            [USER, calls("c1", "c2"), result("c1"), USER],
            UNANSWERED + "c2",
            id="one of two calls (F1)",
        ),
        pytest.param(
            [USER, calls("c1"), USER, result("c1")],
            UNANSWERED + "c1",
            id="a message between call and answer (F1, Q66)",
        ),
        pytest.param(
            [USER, calls("c1"), calls("c2"), result("c1"), result("c2")],
            UNANSWERED + "c1",
            id="parallel calls in two messages (F3, Q68)",
        ),
        pytest.param([USER, result("c1")], ORPHAN, id="an answer to nothing (F2, Q67)"),
        pytest.param(
            [USER, calls("c1"), result("c1"), USER, result("c1")], ORPHAN, id="a late answer"
        ),
        pytest.param(
            [USER, calls("c1"), result("c9")], "'tool_call_id' of 'c9'", id="another's answer"
        ),
        pytest.param(
            [USER, calls("c1"), result("c1"), result("c1")],
            "or answered before",
            id="a second answer",
        ),
        pytest.param(
            [USER, calls("c1"), result(None)],
            "must have a 'tool_call_id'",
            id="an answer without an id (F2)",
        ),
        pytest.param(
            [USER, calls("c1", "c1"), result("c1")],
            "Duplicate value for 'id' of 'c1'",
            id="the same id twice in a message",
        ),
        pytest.param(
            [USER, calls("c1"), result("c1"), calls("c1"), result("c1")],
            "Duplicate value for 'id' of 'c1' in 'messages[3].tool_calls'.",
            id="the same id twice in the request",
        ),
    ],
)
def test_calls_and_answers_that_do_not_pair_are_refused(messages: Any, expected: str) -> None:
    assert expected in str(check_history(messages))


@pytest.mark.parametrize(
    ("tools", "expected"),
    [
        pytest.param([], "Invalid 'tools': empty array", id="none (Q75)"),
        pytest.param({}, "'tools': expected an array, but got an object", id="an object"),
        pytest.param([None], "'tools[0]': expected an object", id="null"),
        pytest.param([{"type": "web_search"}], "Invalid value: 'web_search'", id="hosted (Q76)"),
        pytest.param([{"type": "function"}], "'tools[0].function'", id="no function"),
        pytest.param(
            [{"type": "function", "function": {"parameters": {"type": "object"}}}],
            "Missing required parameter: 'tools[0].function.name'.",
            id="no name (Q76)",
        ),
        pytest.param([tool(name="n" * 65)], "does not match pattern", id="a long name (Q77)"),
        pytest.param([tool(name="a b")], "does not match pattern", id="a spaced name (Q32)"),
        pytest.param([TOOL, TOOL], "must be unique, but 'f' is there twice", id="twice (F27)"),
        pytest.param([tool(parameters=None)], "got 'type: \"None\"'", id="null parameters (Q73)"),
        pytest.param(
            [tool(parameters={"type": "array"})], "got 'type: \"array\"'", id="an array schema"
        ),
        pytest.param(
            [tool(parameters={"oneOf": []})],
            "got 'type: \"None\"'",
            id="a schema without type (F30)",
        ),
    ],
)
def test_a_bad_tool_is_refused(tools: Any, expected: str) -> None:
    assert expected in str(check_history([USER], tools))


@pytest.mark.parametrize(
    "choice",
    ["none", "auto", "required", {"type": "function", "function": {"name": "f"}}],
    ids=["none", "auto", "required", "named"],
)
def test_a_whole_request_passes(choice: Any) -> None:
    body = request(
        tools=[TOOL],
        tool_choice=choice,
        parallel_tool_calls=True,
        stream_options={"include_usage": True},
        reasoning_effort="low",
        max_completion_tokens=9,
    )
    assert check_request(body) is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(request(store=False), "property 'store' is unsupported", id="store"),
        pytest.param(request(input=[]), "property 'input' is unsupported", id="input"),
        pytest.param({"messages": [USER]}, "must provide a model", id="no model"),
        pytest.param(
            {"model": "m"}, "Missing required parameter: 'messages'.", id="no messages member"
        ),
        pytest.param(request(messages=[]), "Invalid 'messages': empty array", id="no messages"),
        pytest.param(request(tools=[]), "Invalid 'tools': empty array", id="no tools (Q75)"),
        pytest.param(request(tools=None), "but got null", id="null tools"),
        pytest.param(
            request(tool_choice="auto"), "only allowed when 'tools' are", id="choice (F31, Q75)"
        ),
        pytest.param(
            request(parallel_tool_calls=True),
            "Invalid value for 'parallel_tool_calls'",
            id="parallel (F31, Q75)",
        ),
        pytest.param(
            request(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "g"}}),
            "no function named 'g'",
            id="a choice of nothing (F32)",
        ),
        pytest.param(
            request(tools=[TOOL], tool_choice={"type": "custom", "name": "f"}),
            "Supported values for 'tool_choice'",
            id="a choice of another kind (F32)",
        ),
        pytest.param(
            request(stream=False, stream_options={}),
            "only allowed when 'stream' is enabled",
            id="stream options without stream",
        ),
    ],
)
def test_a_bad_request_is_refused(body: JSON, expected: str) -> None:
    assert expected in str(check_request(body))


@pytest.mark.parametrize(
    ("body", "rules"),
    [
        pytest.param(
            request(messages=[{"role": "developer", "content": "x"}, USER]),
            Rules(roles=("developer", "user", "assistant", "tool")),
            id="developer",
        ),
        pytest.param(request(messages=[USER, SYSTEM]), Rules(system_first=False), id="system"),
        pytest.param(
            request(
                messages=[
                    USER,
                    {"role": "assistant", "tool_calls": [one_call()]},
                    result("c1"),
                ]
            ),
            Rules(content_required=False),
            id="content",
        ),
        pytest.param(
            request(top_k=4), Rules(request_fields=REQUEST_FIELDS | {"top_k"}), id="request field"
        ),
        pytest.param(
            request(messages=[{**USER, "weight": 1}]),
            Rules(message_fields=MESSAGE_FIELDS | {"weight"}),
            id="message field",
        ),
    ],
)
def test_a_rule_may_be_loosened(body: JSON, rules: Rules) -> None:
    assert check_request(body) is not None
    assert check_request(body, rules) is None


scalars = st.none() | st.booleans() | st.integers() | st.text("a{}", max_size=3)
words = st.sampled_from(
    [
        *(
            "role",
            "content",
            "tool_calls",
            "tool_call_id",
            "id",
            "type",
            "function",
            "name",
            "text",
        ),
        *("arguments", "parameters", "user", "assistant", "tool", "system", "object", "{}"),
    ]
)
anything = st.recursive(
    scalars | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=20,
)


@given(messages=st.lists(anything, max_size=4), tools=anything, choice=anything)
def test_any_json_is_judged_without_raising(messages: Any, tools: Any, choice: Any) -> None:
    verdicts = [
        check_history(messages, tools),
        check_request({"model": "m", "messages": messages, "tools": tools, "tool_choice": choice}),
        check_request({"model": "m", "messages": [USER], "tools": [TOOL], "tool_choice": choice}),
    ]
    assert all(verdict is None or verdict for verdict in verdicts)


rounds = st.lists(
    st.lists(st.text("xyz", min_size=1, max_size=2), min_size=1, max_size=3, unique=True),
    max_size=3,
)


@given(rounds=rounds, data=st.data())
def test_taking_one_tool_message_away_is_always_noticed(
    rounds: list[list[str]], data: st.DataObject
) -> None:
    messages = [USER]
    for number, names in enumerate(rounds):
        ids = [f"{number}{name}" for name in names]
        messages += [calls(*ids), *map(result, data.draw(st.permutations(ids)))]
    assert check_history(messages) is None
    results = [place for place, one in enumerate(messages) if one["role"] == "tool"]
    if results:
        del messages[data.draw(st.sampled_from(results))]
        assert "did not have response messages" in str(check_history(messages))


def test_sentences_are_plain_text_that_fits_an_envelope() -> None:
    sentence = check_request(request(tools=[TOOL], tool_choice={"type": "é"}))
    assert msgspec.json.decode(msgspec.json.encode(sentence)) == sentence
