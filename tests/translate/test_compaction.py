from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.errors import Kind, TurnError
from anyturn.translate.compaction import (
    ASK,
    HEADING,
    asks_for_compaction,
    read_summary,
    seal_summary,
    with_trigger,
)
from anyturn.translate.envelope import MAX_BYTES
from anyturn.translate.responses_to_chat import ChatRequest, convert_request
from anyturn.wire.profile import Profile
from support.chat_items import (
    ANY_POSITION,
    GENERIC,
    MISTRAL,
    assistant,
    called,
    chat_call,
    output,
    result,
    said,
    user,
)
from support.chat_requests import JSON_SCHEMA, TOOL
from support.histories import closed, histories
from support.strict_providers import provider_refusal

JSON = dict[str, Any]

TRIGGER = {"type": "compaction_trigger"}
DEVELOPER = {"type": "message", "role": "developer", "content": "Be brief."}
ASKED = {"role": "user", "content": ASK}
summaries = st.text(min_size=1)


def compaction(words: str) -> JSON:
    return {"type": "compaction", "id": "cmp_1", "encrypted_content": seal_summary(words)}


def compact(*items: Any, profile: Profile = GENERIC, **request: Any) -> ChatRequest:
    return convert_request({"input": [*items, TRIGGER], **request}, profile, "m")


# ---------------------------------------------------------------- what asks for it


@pytest.mark.parametrize(
    ("items", "asks"),
    [
        pytest.param([], False, id="nothing"),
        pytest.param([user()], False, id="no trigger"),
        pytest.param([user(), TRIGGER], True, id="at the end"),
        pytest.param([user(), TRIGGER, TRIGGER], True, id="twice at the end"),
        pytest.param([user(), TRIGGER, compaction("a"), user()], False, id="answered"),
        pytest.param([user(), TRIGGER, compaction("a"), TRIGGER], True, id="answered, and again"),
        pytest.param(["Hi", TRIGGER], True, id="a bad item before it"),
        pytest.param([TRIGGER], True, id="alone"),
    ],
)
def test_a_trigger_at_the_end_asks_for_compaction(items: list[Any], asks: bool) -> None:
    assert asks_for_compaction(items) is asks


@pytest.mark.parametrize(
    "items",
    [
        pytest.param([user(), TRIGGER, user()], id="before a message"),
        pytest.param([user(), TRIGGER, user(), TRIGGER], id="and another at the end"),
        pytest.param([user(), TRIGGER, TRIGGER, compaction("a")], id="the first of two"),
        pytest.param([user(), TRIGGER, "Hi"], id="before a bad item"),
        pytest.param([user(), TRIGGER, {"type": ["compaction"]}], id="before a bad type"),
    ],
)
def test_a_trigger_anywhere_else_is_refused_by_place(items: list[Any]) -> None:
    with pytest.raises(TurnError, match="must be the last item") as caught:
        convert_request({"input": items}, GENERIC, "m")
    assert (caught.value.kind, caught.value.param) == (Kind.INVALID_REQUEST, "input[1]")


def test_a_trigger_that_was_answered_asks_for_nothing_and_is_no_message() -> None:
    items = [user(), TRIGGER, compaction("It ran."), user("And now?")]
    chat = convert_request({"input": items}, GENERIC, "m")
    assert not chat.compacts
    assert [m["content"] for m in chat.body["messages"]] == [
        "Hi",
        f"{HEADING}\n\nIt ran.",
        "And now?",
    ]


# ---------------------------------------------------------------- what the provider is asked


def test_the_provider_is_asked_for_a_summary_of_the_history_f61() -> None:
    chat = compact(DEVELOPER, user(), called(), output(), instructions="You code.")
    assert chat.compacts
    assert chat.body["messages"] == [
        {"role": "system", "content": "You code.\n\nBe brief."},
        {"role": "user", "content": "Hi"},
        assistant(None, chat_call()),
        result(),
        ASKED,
    ]
    assert [(a.rule, a.where, a.lossy) for a in chat.adaptations] == [
        ("compaction.as_summary", "input[4]", False)
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", [TOOL]),
        ("tool_choice", {"type": "function", "name": "exec"}),
        ("parallel_tool_calls", True),
        ("text", {"format": JSON_SCHEMA, "verbosity": "low"}),
        ("stop", ["\n\n"]),
        ("top_logprobs", 5),
    ],
)
def test_what_is_for_an_answer_is_not_sent_and_not_reported(field: str, value: Any) -> None:
    profile = GENERIC.replacing(params=(*GENERIC.params, "stop", "top_logprobs", "verbosity"))
    plain = compact(user(), profile=profile)
    chat = compact(user(), profile=profile, **{"tools": [TOOL], field: value})
    assert chat.body == plain.body
    assert chat.adaptations == plain.adaptations


def test_tools_that_the_history_declares_are_not_sent_either_f22() -> None:
    more = {"type": "additional_tools", "tools": [TOOL]}
    assert "tools" not in compact(more, user()).body


def test_the_rest_of_the_request_counts_as_ever() -> None:
    chat = compact(user(), max_output_tokens=4000, temperature=0.5, reasoning={"effort": "low"})
    assert chat.body["temperature"] == 0.5
    assert chat.body[GENERIC.max_tokens_field] == 4000


def test_a_namespaced_call_keeps_the_name_that_the_provider_knows() -> None:
    tools = [{"type": "namespace", "name": "mcp__a", "tools": [TOOL]}]
    items = [user(), called(name="exec", namespace="mcp__a"), output()]
    before = convert_request({"input": items, "tools": tools}, GENERIC, "m")
    chat = compact(*items, tools=tools)
    assert chat.body["messages"][:3] == before.body["messages"]


@pytest.mark.parametrize(
    ("profile", "last"),
    [
        pytest.param(GENERIC, [assistant("Done."), ASKED], id="generic"),
        pytest.param(ANY_POSITION, [assistant("Done."), ASKED], id="no bridge is needed"),
    ],
)
def test_a_history_that_ends_with_the_model_ends_with_the_question(
    profile: Profile, last: list[JSON]
) -> None:
    assert compact(user(), said("Done."), profile=profile).body["messages"][-2:] == last


def test_where_users_alternate_the_question_joins_the_last_message_q65() -> None:
    (sent,) = compact(user(), profile=MISTRAL).body["messages"]
    assert sent == {"role": "user", "content": f"Hi\n{ASK}"}


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param({"input": [TRIGGER]}, id="trigger alone"),
        pytest.param({"input": [TRIGGER], "instructions": "Be brief."}, id="instructions alone"),
        pytest.param({"input": [DEVELOPER, TRIGGER]}, id="a developer message alone"),
        pytest.param({"input": [user(""), TRIGGER]}, id="an empty message"),
        pytest.param({"input": [{"type": "compaction"}, TRIGGER]}, id="nothing that can be read"),
    ],
)
def test_without_a_history_there_is_nothing_to_summarise(request_: JSON) -> None:
    with pytest.raises(TurnError, match="nothing to summarise") as caught:
        convert_request(request_, GENERIC, "m")
    assert (caught.value.kind, caught.value.param) == (Kind.INVALID_REQUEST, "input")


def test_the_question_asks_for_what_a_successor_needs() -> None:
    for word in ("Goal", "Decisions", "State", "Files and commands", "Left to do"):
        assert f"- {word}:" in ASK


# ---------------------------------------------------------------- POST /responses/compact


@pytest.mark.parametrize(
    ("given", "items"),
    [
        pytest.param("Hi", [user()], id="a text"),
        pytest.param([user()], [user()], id="items"),
        pytest.param([user(), TRIGGER], [user(), TRIGGER], id="with a trigger"),
        pytest.param([], [], id="no items"),
        pytest.param(None, [], id="null"),
    ],
)
def test_the_other_route_is_the_same_request_with_a_trigger(given: Any, items: list[Any]) -> None:
    request = {"model": "m", "input": given, "instructions": "Be brief."}
    assert with_trigger(request) == {**request, "input": [*items, TRIGGER]}


@pytest.mark.parametrize("model", [{}, {"model": None}, {"model": ""}])
def test_the_other_route_needs_a_model(model: JSON) -> None:
    with pytest.raises(TurnError, match="model is missing") as caught:
        with_trigger({"input": "Hi", **model})
    assert (caught.value.kind, caught.value.param) == (Kind.INVALID_REQUEST, "model")


# ---------------------------------------------------------------- seals and histories


@given(summaries)
def test_a_summary_comes_back_as_it_was(words: str) -> None:
    sealed = seal_summary(words)
    assert sealed == seal_summary(words)
    assert read_summary(sealed) == (words, "")


def test_a_summary_that_is_too_long_is_not_sealed() -> None:
    assert seal_summary("x" * MAX_BYTES) is None


@settings(deadline=None, max_examples=100)
@given(history=histories(), words=summaries, then=summaries)
def test_any_compacted_history_is_valid_and_always_the_same_bytes_i8_i9(
    history: list[JSON], words: str, then: str, profile: Profile
) -> None:
    request = {"input": [user(), *history, compaction(words), said(then), TRIGGER]}
    pristine = copy.deepcopy(request)
    chat = convert_request(request, profile, "m")
    assert request == pristine
    assert provider_refusal(msgspec.json.decode(chat.encode()), profile) is None
    assert convert_request(copy.deepcopy(request), profile, "m").encode() == chat.encode()
    assert words in _all_text(chat)
    assert _all_text(chat).endswith(ASK)


@settings(deadline=None, max_examples=60)
@given(history=histories(), words=summaries)
def test_the_question_stands_behind_the_messages_of_the_turn_before_i9(
    history: list[JSON], words: str, profile: Profile
) -> None:
    """What the provider has in its cache is what it is asked about."""
    items = [user(), compaction(words), *closed(history), said("Done.")]
    plain = convert_request({"input": [*items, user("More.")]}, profile, "m").body["messages"]
    asking = convert_request({"input": [*items, TRIGGER]}, profile, "m").body["messages"]
    assert asking[:-1] == plain[:-1]


def _all_text(chat: ChatRequest) -> str:
    contents = [message.get("content") or "" for message in chat.body["messages"]]
    parts = [[{"text": c}] if isinstance(c, str) else c for c in contents]
    return "\n".join(part.get("text", "") for found in parts for part in found)
