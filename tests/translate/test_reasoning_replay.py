"""Reasoning goes back in the form that its provider takes, and what cannot go back is reported."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.providers import find
from anyturn.translate.adaptations import header_value
from anyturn.translate.envelope import REASONING, seal
from anyturn.translate.reasoning_replay import Thought, unsealed
from anyturn.wire.profile import Profile
from support.chat_items import (
    GENERIC,
    assistant,
    called,
    chat_call,
    convert,
    messages,
    output,
    reasoned,
    result,
    rules,
    said,
    user,
)

JSON = dict[str, Any]

DETAILS = GENERIC.replacing(
    reasoning_out="reasoning_details", reasoning_text_out="reasoning", reasoning_replay="always"
)
CLAUDE = DETAILS.replacing(reasoning_signed=True)
WORDS = GENERIC.replacing(reasoning_out="reasoning", reasoning_replay="always")
TAGS = GENERIC.replacing(reasoning_out="think_tags", reasoning_replay="always")
MINIMAX = DETAILS.replacing(reasoning_text_out="reasoning_content", think_tags_kept=True)
GEMINI = GENERIC.replacing(missing_signature="skip")

TEXT = {"type": "reasoning.text", "text": "Hm", "format": "anthropic-claude-v1", "index": 0}
SIGNATURE = {"type": "reasoning.text", "signature": "sig", "index": 0}
SIGNED = {**TEXT, "signature": "sig"}
SECRET = {"type": "reasoning.encrypted", "data": "SECRET", "id": "rs_1"}
OPEN = {"type": "reasoning.text", "text": "Hm", "format": None}
EXTRA = {"google": {"thought_signature": "sig1"}}
SKIPPED = {"google": {"thought_signature": "skip"}}


def sealed(content: Any, *, issuer: str = "generic", shown: str = "", **members: Any) -> JSON:
    summary = [{"type": "summary_text", "text": shown}] if shown else []
    blob = seal(REASONING, issuer, content)
    return {"type": "reasoning", "summary": summary, "encrypted_content": blob, **members}


def spoken(*items: JSON, profile: Profile = DETAILS) -> list[JSON]:
    converted = messages(user(), *items, user(), profile=profile)
    return [message for message in converted if message["role"] == "assistant"]


# ---------------------------------------------------------------- details (Q18)


@pytest.mark.parametrize(
    ("items", "details"),
    [
        pytest.param(
            [sealed({"text": "Hm", "details": [SIGNED, SECRET]}, shown="Hm"), said("Yes")],
            [SIGNED, SECRET],
            id="as they came, in order",
        ),
        pytest.param([said("Yes"), sealed({"details": [SECRET]})], [SECRET], id="from a carrier"),
        pytest.param(
            [
                sealed({"text": "Hm", "details": [TEXT]}),
                said("Yes"),
                sealed({"details": [SIGNATURE, SECRET]}),
            ],
            [SIGNED, SECRET],
            id="a late signature comes to its words",
        ),
        pytest.param(
            [
                sealed({"text": "Hm", "details": [SECRET]}),
                said("Yes"),
                sealed({"details": [SECRET]}),
            ],
            [SECRET],
            id="repeats are told once",
        ),
        pytest.param(
            [sealed({"text": "Hm", "details": [OPEN]}), said("Yes")], [OPEN], id="null members"
        ),
    ],
)
def test_details_go_back_unchanged_and_alone_q18(items: list[JSON], details: list[JSON]) -> None:
    assert spoken(*items) == [assistant("Yes", reasoning_details=details)]
    assert rules(user(), *items, user(), profile=DETAILS) == []


@pytest.mark.parametrize(
    "items",
    [
        pytest.param([called(), sealed({"details": [SECRET]}), output()], id="before the output"),
        pytest.param([called(), output(), sealed({"details": [SECRET]})], id="behind the output"),
    ],
)
def test_a_carrier_belongs_to_what_stands_before_it(items: list[JSON]) -> None:
    first, second = spoken(*items, sealed({"text": "So", "details": [OPEN]}), said("Yes"))
    assert first == assistant(None, chat_call(), reasoning_details=[SECRET])
    assert second == assistant("Yes", reasoning_details=[OPEN])


@pytest.mark.parametrize(
    ("profile", "content", "back", "lost"),
    [
        pytest.param(CLAUDE, [SIGNED, TEXT], [SIGNED], 1, id="beside a signed one"),
        pytest.param(CLAUDE, [OPEN, SECRET], [SECRET], 1, id="of another model"),
        pytest.param(CLAUDE, [OPEN, TEXT], None, 2, id="all of it"),
        pytest.param(DETAILS, [TEXT, SECRET], [SECRET], 1, id="known by its format"),
        pytest.param(
            DETAILS, [OPEN, SECRET], [OPEN, SECRET], 0, id="of a model that signs nothing"
        ),
    ],
)
def test_words_without_a_signature_are_kept_from_anthropic(
    profile: Profile, content: list[JSON], back: list[JSON] | None, lost: int
) -> None:
    items = [user(), sealed({"text": "Hm", "details": content}, shown="Hm"), said("Yes"), user()]
    converted, adaptations = convert(*items, profile=profile)
    assert converted[1] == assistant("Yes", **({"reasoning_details": back} if back else {}))
    assert [(a.rule, a.where, a.lossy) for a in adaptations] == (
        [("reasoning.unsigned", "input", True)] if lost else []
    )
    assert not lost or adaptations[0].what.startswith(f"{lost} ")


@pytest.mark.parametrize(
    ("profile", "field", "struck"),
    [
        pytest.param(DETAILS, "reasoning", [], id="OpenRouter"),
        pytest.param(MINIMAX, "reasoning_content", [], id="MiniMax"),
        pytest.param(CLAUDE, None, ["reasoning.unsigned"], id="Anthropic"),
        pytest.param(
            DETAILS.replacing(reasoning_text_out=""),
            None,
            ["reasoning.formless"],
            id="no such field",
        ),
    ],
)
def test_words_whose_details_are_gone_go_back_plain(
    profile: Profile, field: str | None, struck: list[str]
) -> None:
    items = [user(), reasoned("Hm"), said("Yes"), user()]
    assert spoken(*items[1:3], profile=profile) == [
        assistant("Yes", **({field: "Hm"} if field else {}))
    ]
    assert [name for name, _, _ in rules(*items, profile=profile)] == struck


def test_details_for_a_provider_that_takes_words_only_are_reported() -> None:
    items = [user(), said("Yes"), sealed({"details": [SECRET]}), user()]
    assert rules(*items, profile=WORDS) == [("reasoning.formless", "input", True)]


# ---------------------------------------------------------------- signatures (Q24)


def signed_call(call_id: str, extra: JSON) -> JSON:
    return {**chat_call(call_id), "extra_content": extra}


def test_a_signature_goes_back_to_its_call_q24() -> None:
    items = [
        called("c1"),
        called("c2"),
        sealed({"calls": {"c2": EXTRA}}),
        output("c1"),
        output("c2"),
    ]
    expected = assistant(None, chat_call("c1"), signed_call("c2", EXTRA))
    assert spoken(*items, profile=GEMINI) == [expected]
    assert rules(user(), *items, profile=GEMINI) == []
    # It goes back wherever it came from: a provider wants its own words.
    assert spoken(*items, profile=GENERIC) == [expected]


def test_a_signature_is_found_by_the_id_of_the_client_q24() -> None:
    profile = GEMINI.replacing(call_id_max=8)
    items = [
        called("call_long_1"),
        sealed({"calls": {"call_long_1": EXTRA}}),
        output("call_long_1"),
    ]
    (message,) = spoken(*items, profile=profile)
    assert message["tool_calls"][0]["extra_content"] == EXTRA
    assert message["tool_calls"][0]["id"] != "call_long_1"


def test_an_id_that_is_used_again_keeps_the_signature_of_its_own_turn_q24() -> None:
    first = [called("c1"), sealed({"calls": {"c1": EXTRA}}), output("c1")]
    other = {"vertex": {"thought_signature": "sig2"}}
    second = [called("c1"), sealed({"calls": {"c1": other}}), output("c1", "again")]
    calls = [m["tool_calls"][0]["extra_content"] for m in spoken(*first, user(), *second)]
    assert calls == [EXTRA, other]


def test_the_signature_of_a_message_goes_back_to_it_q24() -> None:
    items = [said("Yes"), sealed({"message": EXTRA})]
    assert spoken(*items, profile=GEMINI) == [assistant("Yes", extra_content=EXTRA)]


@pytest.mark.parametrize(
    ("carried", "expected"),
    [
        pytest.param([], [SKIPPED, None], id="gone"),
        pytest.param([sealed({"calls": {"c1": EXTRA}})], [EXTRA, None], id="on the first"),
        pytest.param([sealed({"calls": {"c2": EXTRA}})], [None, EXTRA], id="on another"),
        pytest.param(
            [sealed({"calls": {"c1": {"x": {"y": 1}}}})],
            [{"x": {"y": 1}, **SKIPPED}, None],
            id="beside other members",
        ),
        pytest.param(
            [sealed({"calls": {"c1": EXTRA}}, issuer="other")], [SKIPPED, None], id="another's"
        ),
    ],
)
def test_a_placeholder_stands_in_for_a_signature_that_is_gone_q24(
    carried: list[JSON], expected: list[JSON | None]
) -> None:
    items = [called("c1"), called("c2"), *carried, output("c1"), output("c2")]
    (message,) = spoken(*items, profile=GEMINI)
    assert [call.get("extra_content") for call in message["tool_calls"]] == expected
    struck = [name for name, _, _ in rules(user(), *items, profile=GEMINI)]
    assert ("reasoning.placeholder" in struck) is (SKIPPED["google"] in _spaces(expected))


def _spaces(extras: list[JSON | None]) -> list[Any]:
    return [extra.get("google") for extra in extras if extra]


def test_only_a_profile_that_names_a_placeholder_gets_one() -> None:
    assert spoken(called(), output(), profile=WORDS) == [assistant(None, chat_call())]


# ---------------------------------------------------------------- <think> blocks (Q19)


@pytest.mark.parametrize(
    ("profile", "item", "content"),
    [
        pytest.param(
            MINIMAX,
            sealed({"text": "a\n", "think": ["\n", "\n\n"]}, shown="a"),
            "\n<think>a\n</think>\n\nYes",
            id="MiniMax keeps it as it was",
        ),
        pytest.param(TAGS, reasoned("a"), "<think>a</think>\n\nYes", id="always, without a seal"),
        pytest.param(
            TAGS,
            sealed({"text": "a", "think": ["", ""]}, shown="a"),
            "<think>a</think>Yes",
            id="always, as it was",
        ),
    ],
)
def test_a_think_block_goes_back_into_the_content_q19(
    profile: Profile, item: JSON, content: str
) -> None:
    assert spoken(item, said("Yes"), profile=profile) == [assistant(content)]


def test_a_think_block_goes_back_beside_calls_q19() -> None:
    item = sealed({"text": "a", "think": ["", "\n"]})
    assert spoken(item, called(), output(), profile=MINIMAX) == [
        assistant("<think>a</think>\n", chat_call())
    ]


def test_a_think_block_is_plain_reasoning_where_nobody_keeps_it() -> None:
    item = sealed({"text": "a", "think": ["", "\n"]})
    assert spoken(item, said("Yes"), profile=WORDS) == [assistant("Yes", reasoning="a")]


# ---------------------------------------------------------------- what is not wanted (F9)


@pytest.mark.parametrize(
    ("facts", "struck"),
    [
        pytest.param({"reasoning_replay": "never"}, True, id="never"),
        pytest.param({"reasoning_out": ""}, True, id="no field"),
        pytest.param({"reasoning_replay": "tool_turns"}, True, id="beside calls only"),
        pytest.param({"reasoning_replay": "always"}, False, id="always"),
    ],
)
def test_reasoning_that_is_not_wanted_is_noted_once_f9(facts: JSON, struck: bool) -> None:
    """A3: and it is no loss."""
    turn = [reasoned("so"), said("Done."), user()]
    profile = WORDS.replacing(**facts)
    _, adaptations = convert(user(), *turn * 30, profile=profile)
    noted = [(a.rule, a.where, a.lossy) for a in adaptations]
    assert noted == ([("reasoning.unwanted", "input", False)] if struck else [])
    assert not struck or "30 messages" in adaptations[0].what
    assert len(header_value(adaptations)) < 40


def test_a_carrier_of_signatures_is_no_reasoning_that_is_not_wanted() -> None:
    items = [user(), called(), sealed({"calls": {"c1": EXTRA}}), output()]
    assert rules(*items, profile=GEMINI) == []


def test_a_carrier_alone_is_no_message() -> None:
    items = [user(), sealed({"details": [SECRET]}), user()]
    assert rules(*items, profile=DETAILS) == [("reasoning.unused", "input", False)]


# ---------------------------------------------------------------- seals (F17)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param({"text": "Hm"}, "", id="words"),
        pytest.param({"details": [SECRET], "new": 1}, "", id="an unknown member"),
        pytest.param({"text": 5}, "damaged", id="words of a wrong type"),
        pytest.param({"details": "x"}, "damaged", id="details of a wrong type"),
        pytest.param({"details": ["x"]}, "damaged", id="a detail of a wrong type"),
        pytest.param({"calls": {"c1": "x"}}, "damaged", id="a call of a wrong type"),
        pytest.param({"calls": []}, "damaged", id="calls of a wrong type"),
        pytest.param({"message": 1}, "damaged", id="a message of a wrong type"),
        pytest.param({"think": ["a"]}, "damaged", id="a block of a wrong type"),
        pytest.param("x", "damaged", id="no object"),
        pytest.param(None, "damaged", id="null"),
        pytest.param({}, "holds nothing", id="empty"),
    ],
)
def test_a_seal_with_wrong_types_is_reported_as_damaged_f17(content: Any, problem: str) -> None:
    item = sealed(content)
    thought, found = unsealed(item["encrypted_content"], "generic")
    assert problem in found if problem else found == ""
    assert (thought == Thought()) is bool(problem)
    struck = [name for name, _, _ in rules(user(), item, said("Yes"), user(), profile=DETAILS)]
    assert ("reasoning.sealed" in struck) is bool(problem)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from(["type", "text", "data", "index", "google"]), json_values)
contents = json_values | st.fixed_dictionaries(
    {},
    optional={
        "text": json_values | st.text(),
        "details": json_values | st.lists(objects, max_size=3),
        "calls": json_values | st.dictionaries(st.sampled_from(["c1", "c2"]), objects),
        "message": json_values | objects,
        "think": json_values | st.tuples(st.text(), st.text()),
    },
)


@given(
    st.lists(contents, max_size=3),
    st.sampled_from([GENERIC, DETAILS, CLAUDE, WORDS, TAGS, MINIMAX, GEMINI]),
)
def test_any_json_in_a_seal_gives_a_request_f17(
    sealed_contents: list[Any], profile: Profile
) -> None:
    carried = [sealed(content) for content in sealed_contents]
    items = [user(), *carried, said("Yes"), called(), *carried, output(), user()]
    converted = messages(*items, profile=profile)
    assert msgspec.json.encode(converted) == msgspec.json.encode(messages(*items, profile=profile))
    assert [m["role"] for m in converted] == ["user", "assistant", "tool", "user"]
    assert converted[2] == result()


# ---------------------------------------------------------------- the table


@pytest.mark.parametrize(
    ("name", "model", "facts"),
    [
        ("openrouter", "openai/gpt-5", ("reasoning_details", "reasoning", False)),
        ("openrouter", "anthropic/claude-sonnet-4.6", ("reasoning_details", "reasoning", True)),
        ("minimax", "MiniMax-M2", ("reasoning_details", "reasoning_content", False)),
        ("gemini", "gemini-3-flash", ("", "", False)),
    ],
)
def test_the_table_says_in_which_form_reasoning_goes_back(
    name: str, model: str, facts: tuple[str, str, bool]
) -> None:
    profile = find(name).for_model(model)
    told = (profile.reasoning_out, profile.reasoning_text_out, profile.reasoning_signed)
    assert told == facts
    assert bool(profile.missing_signature) is (name == "gemini")
    assert profile.think_tags_kept is (name == "minimax")
