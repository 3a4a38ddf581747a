from __future__ import annotations

import copy
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from anyturn.errors import Kind, TurnError
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.compaction import HEADING, seal_summary
from anyturn.translate.envelope import COMPACTION, REASONING, seal
from anyturn.translate.history import BRIDGE
from anyturn.wire.profile import Profile
from support.chat_items import (
    ANY_POSITION,
    CHAT_IMAGE,
    CONTINUES,
    GENERIC,
    IMAGE,
    MISTRAL,
    USER,
    assistant,
    called,
    chat_call,
    convert,
    message,
    messages,
    output,
    reasoned,
    result,
    rules,
    said,
    user,
)
from support.histories import grown, histories, markers
from support.strict_providers import provider_refusal

JSON = dict[str, Any]

# ---------------------------------------------------------------- system messages (F5–F7)

DEVELOPER = message("developer", "Be brief.")


@pytest.mark.parametrize("role", ["developer", "system"])
def test_a_developer_message_becomes_the_role_that_the_provider_knows_f5_f7(role: str) -> None:
    item = message(role, "Be brief.")
    assert messages(item, user())[0] == {"role": "system", "content": "Be brief."}
    assert messages(item, user(), profile=ANY_POSITION)[0]["role"] == "developer"


def test_leading_system_texts_are_one_message_at_the_head_f6_q64() -> None:
    items = [DEVELOPER, message("system", "Use tools."), user()]
    head, rest = messages(*items, instructions="You code.")
    assert head == {"role": "system", "content": "You code.\n\nBe brief.\n\nUse tools."}
    assert rest == USER


def test_a_later_developer_message_is_a_marked_user_message_f6_q64() -> None:
    items = [DEVELOPER, user(), message("developer", "Stop.")]
    assert messages(*items)[1:] == [
        USER,
        {"role": "user", "content": "<developer>\nStop.\n</developer>"},
    ]
    assert rules(*items) == [("history.developer_as_user", "input[2]", False)]


def test_where_any_position_will_do_developer_messages_stay_where_they_are_f6() -> None:
    items = [DEVELOPER, DEVELOPER, user(), DEVELOPER]
    converted = messages(*items, profile=ANY_POSITION)
    assert [m["role"] for m in converted] == ["developer", "developer", "user", "developer"]


def test_an_image_in_a_developer_message_is_not_lost_without_a_word() -> None:
    items = [message("developer", [{"type": "input_text", "text": "See"}, IMAGE]), user()]
    assert messages(*items)[0] == {
        "role": "system",
        "content": "See\n[image left out: a system message holds text]",
    }
    assert rules(*items) == [("content.image_left_out", "input[0].content", True)]


# ---------------------------------------------------------------- reasoning (F8, F9)

THINKS = GENERIC.replacing(reasoning_out="reasoning")
TURNS = [reasoned("why"), called(), output(), reasoned("so"), said("Done."), user()]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param({}, [None, None], id="F9: never"),
        pytest.param({"reasoning_replay": "tool_turns"}, ["why", None], id="F8: with calls"),
        pytest.param({"reasoning_replay": "always"}, ["why", "so"], id="F8: always"),
        pytest.param(
            {"reasoning_replay": "always", "reasoning_out": ""}, [None] * 2, id="no field"
        ),
    ],
)
def test_reasoning_goes_back_to_the_message_that_it_led_to_f8_f9(
    facts: JSON, expected: list[str | None]
) -> None:
    converted = messages(user(), *TURNS, profile=THINKS.replacing(**facts))
    spoken = [m for m in converted if m["role"] == "assistant"]
    assert [m.get("reasoning") for m in spoken] == expected


@pytest.mark.parametrize(
    ("replay", "expected"),
    [("always", [" ", " "]), ("tool_turns", [" ", None]), ("never", [None, None])],
)
def test_a_space_stands_in_for_reasoning_that_is_missing_q21_q22(
    replay: str, expected: list[str | None]
) -> None:
    profile = THINKS.replacing(reasoning_replay=replay, reasoning_missing="space")
    converted = messages(user(), called(), output(), said("Done."), user(), profile=profile)
    spoken = [m for m in converted if m["role"] == "assistant"]
    assert [m.get("reasoning") for m in spoken] == expected


@pytest.mark.parametrize(
    ("item", "words"),
    [
        pytest.param(
            {"summary": [], "content": [{"type": "text", "text": "raw"}]}, "raw", id="raw"
        ),
        pytest.param(
            {
                "summary": [
                    {"type": "summary_text", "text": "one"},
                    {"type": "summary_text", "text": "two"},
                ],
                "content": None,
            },
            "one\n\ntwo",
            id="the summary where nothing else is there",
        ),
        pytest.param(
            {
                "summary": [{"type": "summary_text", "text": "short"}],
                "content": [{"type": "reasoning_text", "text": "raw"}],
                "encrypted_content": "gAAAA",
            },
            "raw",
            id="raw before summary",
        ),
    ],
)
def test_the_text_of_reasoning_is_found_f8(item: JSON, words: str) -> None:
    profile = THINKS.replacing(reasoning_replay="always")
    converted = messages(user(), {"type": "reasoning", **item}, said("x"), user(), profile=profile)
    assert converted[1]["reasoning"] == words


def test_reasoning_that_only_its_issuer_can_read_is_reported_f17() -> None:
    sealed = {"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}
    assert rules(user(), sealed, said("x"), user()) == [("reasoning.sealed", "input[1]", True)]


@pytest.mark.parametrize(
    ("sealed_for", "summary", "words", "rule"),
    [
        pytest.param("generic", "", "why", None, id="its own, the summary dropped"),
        pytest.param("generic", "short", "why", None, id="its own counts before the summary"),
        pytest.param("other", "short", "short", "reasoning.foreign", id="another's"),
        pytest.param("other", "", None, "reasoning.sealed", id="another's, nothing to see"),
    ],
)
def test_sealed_reasoning_goes_back_to_its_issuer_only_f8_f17(
    sealed_for: str, summary: str, words: str | None, rule: str | None
) -> None:
    item = {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": summary}] if summary else [],
        "encrypted_content": seal(REASONING, sealed_for, {"text": "why"}),
    }
    profile = THINKS.replacing(reasoning_replay="always")
    converted = messages(user(), item, said("x"), user(), profile=profile)
    assert converted[1].get("reasoning") == words
    struck = [name for name, _, _ in rules(user(), item, said("x"), user(), profile=profile)]
    assert struck == ([rule] if rule else [])


def test_reasoning_that_led_to_nothing_is_no_message() -> None:
    assert messages(user(), reasoned("hm"), user()) == [USER, USER]
    assert rules(user(), reasoned("hm"), user()) == [("reasoning.unused", "input", False)]


# ---------------------------------------------------------------- media of outputs (F10, F11)


def test_images_of_outputs_follow_as_one_user_message_behind_the_whole_round_f10_q69() -> None:
    items = [
        called("c1"),
        called("c2"),
        output("c1", [{"type": "input_text", "text": "one"}, IMAGE]),
        output("c2", [IMAGE]),
        said("Seen."),
    ]
    assert messages(user(), *items, profile=ANY_POSITION)[1:] == [
        assistant(None, chat_call("c1"), chat_call("c2")),
        result("c1", "one"),
        result("c2", "[the content follows in the next message]"),
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "[content of the tool outputs]"},
                CHAT_IMAGE,
                CHAT_IMAGE,
            ],
        },
        assistant("Seen."),
    ]
    assert ("content.media_moved", "input", False) in rules(user(), *items)


def test_a_text_only_model_gets_a_sentence_in_the_output_f10_f11() -> None:
    profile = GENERIC.replacing(user_images=False)
    converted = messages(user(), called(), output(words=[IMAGE]), profile=profile)
    assert converted[-1] == result(words="[image left out: this model reads text only]")


def test_a_freeform_output_of_parts_is_text_f12() -> None:
    patch = {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": "x"}
    parts = [{"type": "input_text", "text": "Exit code: 0"}]
    converted = messages(user(), patch, output("c1", parts, "custom_tool_call"))
    assert converted[-1] == result(words="Exit code: 0")


# ---------------------------------------------------------------- Mistral's order (Q65)


def test_an_assistant_stands_between_a_result_and_a_user_q65() -> None:
    items = [user(), called("abcdefghi"), output("abcdefghi"), user("go on")]
    assert messages(*items, profile=MISTRAL)[2:] == [
        result("abcdefghi"),
        assistant(BRIDGE),
        {"role": "user", "content": "go on"},
    ]
    assert ("history.bridge", "input", False) in rules(*items, profile=MISTRAL)


def test_users_in_a_row_are_one_message_where_roles_must_alternate_q65() -> None:
    items = [user("one"), user("two"), user([IMAGE]), message("developer", "three")]
    assert messages(*items, profile=MISTRAL) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "one\ntwo"},
                CHAT_IMAGE,
                {"type": "text", "text": "<developer>\nthree\n</developer>"},
            ],
        }
    ]
    assert len(messages(*items)) == 4


def test_an_empty_message_does_not_part_what_the_model_said_q65() -> None:
    items = [user(), said("one"), message("user", []), said("two"), user()]
    assert messages(*items) == [USER, assistant("one\ntwo"), USER]
    assert rules(*items) == [("history.empty_message", "input[2]", False)]


# ---------------------------------------------------------------- ends


def test_a_history_that_ends_with_the_model_goes_on_where_that_is_no_prefill() -> None:
    items = [user(), said("partial")]
    assert messages(*items) == [USER, assistant("partial"), CONTINUES]
    assert messages(*items, profile=ANY_POSITION) == [USER, assistant("partial")]
    assert rules(*items) == [("history.continue", "input", False)]


def test_a_system_message_alone_is_followed_by_a_user_message() -> None:
    assert messages(DEVELOPER) == [{"role": "system", "content": "Be brief."}, CONTINUES]
    assert len(messages(DEVELOPER, profile=ANY_POSITION)) == 1


@pytest.mark.parametrize("empty", ["null", "empty", "omit"])
def test_a_message_that_only_calls_has_the_content_that_the_provider_wants_q71(empty: str) -> None:
    profile = GENERIC.replacing(assistant_empty=empty)
    sent = messages(user(), called(), profile=profile)[1]
    expected = {"null": {"content": None}, "empty": {"content": ""}, "omit": {}}[empty]
    assert {key: sent[key] for key in sent if key == "content"} == expected


# ---------------------------------------------------------------- other items


@pytest.mark.parametrize(
    "kind",
    ["web_search_call", "mcp_call", "image_generation_call", "acme:telemetry"],
)
def test_what_only_other_servers_know_is_left_out_and_reported(kind: str) -> None:
    assert rules(user(), {"type": kind}) == [("history.left_out", "input[1]", True)]
    assert messages(user(), {"type": kind}) == [USER]


def test_additional_tools_are_no_message_f22() -> None:
    assert messages({"type": "additional_tools", "tools": []}, user()) == [USER]


@pytest.mark.parametrize("kind", ["compaction", "context_compaction"])
def test_a_compacted_history_is_a_user_message_at_its_place_f61(kind: str) -> None:
    item = {"type": kind, "id": "cmp_1", "encrypted_content": seal_summary("It ran.")}
    summary = {"role": "user", "content": f"{HEADING}\n\nIt ran."}
    assert messages(user(), item, said("Good.")) == [USER, summary, assistant("Good."), CONTINUES]
    assert messages(called(), item, output()) == [
        assistant(None, chat_call()),
        result(),
        summary,
    ]
    assert rules(user(), item) == []


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param({}, id="no blob"),
        pytest.param({"encrypted_content": None}, id="null"),
        pytest.param({"encrypted_content": 5}, id="a number"),
        pytest.param({"encrypted_content": "gAAAAABo"}, id="OpenAI's"),
        pytest.param({"encrypted_content": seal(REASONING, "a", {"text": "b"})}, id="reasoning"),
        pytest.param({"encrypted_content": seal(COMPACTION, "", "text")}, id="another form"),
        pytest.param({"encrypted_content": seal(COMPACTION, "", {"text": ""})}, id="no text"),
        pytest.param({"encrypted_content": seal(COMPACTION, "", {"text": "a"})[:-1]}, id="damaged"),
    ],
)
def test_a_compacted_history_that_cannot_be_read_is_reported_and_not_sent_f17(blob: JSON) -> None:
    item = {"type": "compaction", "id": "cmp_1", **blob}
    assert rules(user(), item) == [("compaction.unreadable", "input[1]", True)]
    # What the model said in one go is not parted by it.
    assert messages(user(), said("a"), item, called(), output()) == [
        USER,
        assistant("a", chat_call()),
        result(),
    ]


def test_a_message_between_agents_is_a_marked_user_message() -> None:
    parts = [{"type": "input_text", "text": "Help."}, {"type": "encrypted_content"}]
    item = {"type": "agent_message", "author": "/root", "recipient": "/a", "content": parts}
    (sent,) = messages(item)
    assert sent["content"].startswith("[message from /root to /a]\nHelp.\n[content left out")
    assert rules(item) == [("content.content_left_out", "input[0].content[1]", True)]


@pytest.mark.parametrize(
    ("item", "kind", "param"),
    [
        pytest.param("Hi", Kind.INVALID_REQUEST, "input[1]", id="a string"),
        pytest.param({}, Kind.INVALID_REQUEST, "input[1].type", id="nothing"),
        pytest.param({"type": 5}, Kind.INVALID_REQUEST, "input[1].type", id="a number as type"),
        pytest.param({"type": []}, Kind.INVALID_REQUEST, "input[1].type", id="a list as type"),
        pytest.param({"type": "spell"}, Kind.INVALID_REQUEST, "input[1].type", id="unknown"),
        pytest.param(message("tool"), Kind.INVALID_REQUEST, "input[1].role", id="a Chat role"),
        pytest.param(message("user", 5), Kind.INVALID_REQUEST, "input[1].content", id="content"),
        pytest.param(called(name=None), Kind.INVALID_REQUEST, "input[1].name", id="F20: no name"),
        pytest.param(called(5), Kind.INVALID_REQUEST, "input[1].call_id", id="a number as id"),
        pytest.param(
            called(arguments={}), Kind.INVALID_REQUEST, "input[1].arguments", id="an object"
        ),
        pytest.param(
            {"type": "custom_tool_call", "call_id": "c", "name": "n"},
            Kind.INVALID_REQUEST,
            "input[1].input",
            id="no input",
        ),
        pytest.param(
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}, {}]},
            Kind.INVALID_REQUEST,
            "input[1].summary[1].type",
            id="a summary part",
        ),
        pytest.param(
            {"type": "item_reference", "id": "rs_1"},
            Kind.UNKNOWN_REFERENCE,
            "input[1]",
            id="F15: item_reference",
        ),
        pytest.param({"id": "rs_1"}, Kind.UNKNOWN_REFERENCE, "input[1]", id="F15: without a type"),
    ],
)
def test_an_item_that_cannot_be_read_is_refused_by_place(item: Any, kind: Kind, param: str) -> None:
    with pytest.raises(TurnError) as caught:
        messages(user(), item)
    assert (caught.value.kind, caught.value.param) == (kind, param)


def test_the_refusal_of_a_reference_names_the_item_f15() -> None:
    with pytest.raises(TurnError, match=r"^input\[1\] names the item 'rs_abc'"):
        messages(user(), {"type": "item_reference", "id": "rs_abc"})


# ---------------------------------------------------------------- any history


def body_of(history: list[JSON], profile: Profile) -> tuple[JSON, Adaptations]:
    converted, adaptations = convert(*history, profile=profile, instructions="You code.")
    return {"model": "m", "messages": converted}, adaptations


@settings(deadline=None, max_examples=200)
@given(history=histories())
def test_any_history_is_valid_for_every_provider_i8(history: list[JSON], profile: Profile) -> None:
    body, _ = body_of(history, profile)
    assert provider_refusal(body, profile) is None


@settings(deadline=None, max_examples=60)
@given(history=histories())
def test_converting_twice_gives_the_same_bytes_i9(history: list[JSON], profile: Profile) -> None:
    pristine = copy.deepcopy(history)
    first = msgspec.json.encode(body_of(history, profile)[0])
    assert history == pristine
    assert msgspec.json.encode(body_of(copy.deepcopy(history), profile)[0]) == first


def is_reported(mark: str, history: list[JSON], adaptations: Adaptations) -> bool:
    """Whether a loss names an item that holds the marker. The same item may be there twice."""
    lost = [re.match(r"input\[(\d+)\]", a.where) for a in adaptations if a.lossy]
    return any(mark in markers(history[int(place[1])]) for place in lost if place)


@settings(deadline=None, max_examples=200)
@given(history=histories())
def test_nothing_of_any_history_is_lost_without_a_report_i7_a3(
    history: list[JSON], profile: Profile
) -> None:
    body, adaptations = body_of(history, profile)
    sent = msgspec.json.encode(body).decode()
    for mark in set().union(*map(markers, history)):
        assert mark in sent or is_reported(mark, history, adaptations), mark


@settings(deadline=None, max_examples=200)
@given(histories=grown())
def test_a_history_that_grew_starts_with_the_same_messages_i9(
    histories: tuple[list[JSON], list[JSON]], profile: Profile
) -> None:
    before, after = histories
    body, adaptations = body_of(before, profile)
    short = body["messages"]
    if any(a.rule == "history.continue" for a in adaptations):
        short = short[:-1]
    long = body_of([*before, user("And now?"), *after], profile)[0]["messages"]
    if profile.merge_same_role and short[-1]["role"] == "user":
        # The message that the next user joins grows; everything before it stays.
        short = short[:-1]
    assert long[: len(short)] == short


@settings(deadline=None, max_examples=60)
@given(history=histories())
def test_every_adaptation_names_a_place_and_says_what_happened_a3(
    history: list[JSON], profile: Profile
) -> None:
    for adaptation in body_of(history, profile)[1]:
        assert adaptation.where.startswith("input")
        assert adaptation.what
