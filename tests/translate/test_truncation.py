from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from anyturn.errors import TurnError
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.responses_to_chat import ChatRequest, convert_request
from anyturn.translate.tool_map import ToolMap
from anyturn.translate.truncation import shortened
from anyturn.wire.profile import Profile
from support.chat_items import assistant, called, chat_call, output, reasoned, result, said, user
from support.chat_requests import EVERYTHING
from support.histories import histories
from support.strict_providers import provider_refusal

JSON = dict[str, Any]

NOTE = "[the beginning of the conversation was left out: it did not fit into the context]"
STEPS_NOTE = "[the first steps of this turn were left out: they did not fit into the context]"
SYSTEM = {"role": "system", "content": "Be brief."}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def chat(*messages: JSON) -> ChatRequest:
    return ChatRequest({"model": "m", "messages": list(messages)}, ToolMap(), Adaptations())


def asked(words: Any) -> JSON:
    return {"role": "user", "content": words}


def step(number: int) -> list[JSON]:
    return [assistant(None, chat_call(f"c{number}")), result(f"c{number}")]


def cuts(first: ChatRequest) -> Iterator[ChatRequest]:
    """The request after one cut, after two, until nothing more can be left out."""
    longer: ChatRequest | None = first
    while longer is not None and (longer := shortened(longer)) is not None:
        yield longer


def messages(request: ChatRequest | None) -> list[JSON]:
    assert request is not None
    found: list[JSON] = request.body["messages"]
    return found


def noted(words: str, *notes: str) -> JSON:
    return asked("\n\n".join([*(notes or [NOTE]), words]))


ROUNDS = [
    SYSTEM,
    *(asked("a"), *step(1), assistant("A")),
    *(asked("b"), *step(2), assistant("B")),
    *(asked("c"), assistant("C")),
    *(asked("d"), *step(3)),
]


def test_the_older_half_of_the_rounds_is_left_out() -> None:
    first, second = list(cuts(chat(*ROUNDS)))
    assert messages(first) == [SYSTEM, noted("c"), assistant("C"), asked("d"), *step(3)]
    assert messages(second) == [SYSTEM, noted("d"), *step(3)]


def test_of_one_long_turn_the_older_half_of_the_steps_is_left_out() -> None:
    turn = [SYSTEM, asked("a"), *step(1), *step(2), *step(3), *step(4), *step(5)]
    first, second, third = list(cuts(chat(*turn)))
    assert messages(first) == [SYSTEM, noted("a", STEPS_NOTE), *step(3), *step(4), *step(5)]
    assert messages(second) == [SYSTEM, noted("a", STEPS_NOTE), *step(4), *step(5)]
    assert messages(third) == [SYSTEM, noted("a", STEPS_NOTE), *step(5)]


def test_what_is_left_out_of_both_is_noted_once_each() -> None:
    turn = [asked("a"), assistant("A"), asked("b"), *step(1), *step(2), *step(3)]
    *_, last = cuts(chat(*turn))
    assert messages(last) == [noted("b", STEPS_NOTE, NOTE), *step(3)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param("b", f"{NOTE}\n\nb", id="text"),
        pytest.param([IMAGE], [{"type": "text", "text": NOTE}, IMAGE], id="image"),
        pytest.param(
            [{"type": "text", "text": "b"}, IMAGE],
            [{"type": "text", "text": f"{NOTE}\nb"}, IMAGE],
            id="text and image",
        ),
    ],
)
def test_the_note_stands_in_every_form_of_content(content: Any, expected: Any) -> None:
    after = shortened(chat(asked("a"), assistant("A"), asked(content)))
    assert messages(after) == [asked(expected)]


def test_the_note_stands_once_in_parts_too() -> None:
    turn = [asked([{"type": "text", "text": "a"}, IMAGE]), *step(1), *step(2), *step(3), *step(4)]
    *_, last = cuts(chat(*turn))
    (first, *_) = messages(last)
    assert msgspec.json.encode(first).count(STEPS_NOTE.encode()) == 1
    assert first["content"][1] == IMAGE


def test_what_the_developer_says_in_the_middle_stays() -> None:
    told = {"role": "developer", "content": "It is Tuesday."}
    turn = [SYSTEM, asked("a"), assistant("A"), told, asked("b"), *step(1), *step(2)]
    first, second = list(cuts(chat(*turn)))
    assert messages(first) == [SYSTEM, told, noted("b"), *step(1), *step(2)]
    assert messages(second) == [SYSTEM, told, noted("b", STEPS_NOTE, NOTE), *step(2)]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param([SYSTEM, asked("a")], id="one message"),
        pytest.param([asked("a"), *step(1)], id="one step"),
        pytest.param([SYSTEM], id="only the system"),
        pytest.param([assistant("A")], id="only an answer"),
    ],
)
def test_of_the_last_step_nothing_is_left_out(body: list[JSON]) -> None:
    before = chat(*body)
    assert shortened(before) is None
    assert before.adaptations == []


def test_a_history_in_which_no_user_speaks_is_shortened_too() -> None:
    after = shortened(chat(SYSTEM, *step(1), *step(2)))
    assert messages(after) == [SYSTEM, *step(2)]


def test_each_cut_is_a_loss_that_says_how_much() -> None:
    before = chat(*ROUNDS)
    *_, last = cuts(before)
    assert last.adaptations is before.adaptations
    assert [(a.rule, a.where, a.lossy) for a in before.adaptations] == [
        ("history.truncated", "input", True)
    ] * 2
    assert before.adaptations[0].what == (
        "the context is full: 8 of 14 messages, the oldest, were left out"
    )


def test_everything_else_of_the_request_stays() -> None:
    before = ChatRequest({**chat(*ROUNDS).body, "seed": 1}, ToolMap(), Adaptations(), compacts=True)
    kept = copy.deepcopy(before.body)
    after = shortened(before)
    assert after is not None
    assert before.body == kept
    assert after.compacts and after.tools is before.tools
    assert {**after.body, "messages": []} == {**kept, "messages": []}


# ---------------------------------------------------------------- any request, every provider


def check_every_cut(first: ChatRequest, profile: Profile) -> None:
    """Each cut is valid, shorter, and the same again; its instructions stay."""
    longer = messages(first)
    head = [one for one in longer if one["role"] == profile.developer_role]
    for shorter in cuts(first):
        found = messages(shorter)
        assert provider_refusal(shorter.body, profile) is None
        assert len(found) < len(longer)
        assert [one for one in found if one["role"] == profile.developer_role] == head
        assert found[-1]["role"] == longer[-1]["role"]
        body = shorter.encode()
        assert body.count(NOTE.encode()) <= 1 and body.count(STEPS_NOTE.encode()) <= 1
        longer = found


@settings(deadline=None, max_examples=200)
@given(history=histories())
def test_any_shortened_history_is_valid_for_every_provider_i8(
    history: list[JSON], profile: Profile
) -> None:
    try:
        first = convert_request({"input": history}, profile, "m")
    except TurnError:
        return
    check_every_cut(first, profile)


@settings(deadline=None, max_examples=60)
@given(history=histories())
def test_the_same_request_is_shortened_to_the_same_bytes_i9(
    history: list[JSON], profile: Profile
) -> None:
    request = {"input": [*history, user("a"), called(), output(), called("c2"), user("b")]}
    one, two = (
        [cut.encode() for cut in cuts(convert_request(copy.deepcopy(request), profile, "m"))]
        for _ in range(2)
    )
    assert one == two
    assert one


def test_a_request_with_everything_is_valid_after_every_cut_i8(profile: Profile) -> None:
    turn = [
        *EVERYTHING["input"],
        *(user("b"), reasoned("Hm."), said("B"), called("d1", "exec"), called("d2", "exec")),
        *(output("d1"), output("d2"), reasoned("So."), called("d3", "exec"), output("d3")),
        *(called("d4", "exec"), output("d4", [{"type": "input_image", "image_url": "data:,"}])),
    ]
    first = convert_request({**copy.deepcopy(EVERYTHING), "input": turn}, profile, "m")
    assert list(cuts(first))
    check_every_cut(first, profile)


def test_the_number_of_cuts_is_small() -> None:
    rounds = [message for number in range(500) for message in (asked("a"), *step(number))]
    steps = [message for number in range(500, 1000) for message in step(number)]
    assert len(list(cuts(chat(*rounds, *steps)))) == 18
