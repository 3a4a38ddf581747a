"""Any conversation that is named in part, and any damaged input."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.errors import Kind, TurnError
from anyturn.translate.expansion import Remembered, Trail, as_stored
from anyturn.wire.profile import Profile
from support.chat_items import called, convert, output, said, user
from support.chat_requests import ANYTHING
from support.expansions import (
    FC1,
    INLINE1,
    MSG,
    OUT1,
    RS1,
    bare,
    expanded,
    hollow,
    ref,
    strip,
    thought,
)
from support.histories import histories, markers
from support.strict_providers import provider_refusal

JSON = dict[str, Any]

# ---------------------------------------------------------------- damaged input


@pytest.mark.parametrize("item", [None, 5, "Hi", [], [ref("fc_1")], True], ids=repr)
def test_what_is_no_object_is_left_to_be_refused_by_place(item: Any) -> None:
    found = expanded([user(), item, ref("fc_5"), output("c5x1y2z3")]).items
    assert found == [user(), item, called("c5x1y2z3", id="fc_5"), output("c5x1y2z3")]


SHAPES = [
    *(
        ref("fc_1"),
        ref("rs_1"),
        ref("gone"),
        hollow(),
        bare("c1x1y2z3"),
        FC1,
        OUT1,
        RS1,
        MSG,
        user(),
    ),
    *(
        bare("c4x1y2z3", "custom_tool_call"),
        bare("c1x1y2z3", "local_shell_call"),
        output(None),
        INLINE1,
    ),
]


@st.composite
def damaged(draw: st.DrawFn) -> list[Any]:
    items: list[Any] = []
    for shape in draw(st.lists(st.sampled_from(SHAPES) | ANYTHING, max_size=8)):
        item = copy.deepcopy(shape)
        if isinstance(item, dict) and item and draw(st.booleans()):
            item[draw(st.sampled_from(["id", "type", "call_id", "content", *item]))] = draw(
                ANYTHING
            )
        items.append(item)
    return items


@settings(deadline=None, max_examples=400)
@given(items=damaged(), before=damaged())
def test_damaged_input_ends_in_items_or_a_refusal(items: list[Any], before: list[Any]) -> None:
    history = [item for item in before if isinstance(item, dict)]
    try:
        found = expanded(items, history).items
    except TurnError as error:
        assert error.kind is Kind.UNKNOWN_REFERENCE  # noqa: PT017
        return
    numbers = count()
    named = as_stored([*history, *found], lambda prefix: f"{prefix}_new{next(numbers)}")
    ids = [item["id"] for item in named]
    assert len(set(ids)) == len(ids)


# ---------------------------------------------------------------- conversations


class Conversation(NamedTuple):
    """A whole history, the same as its client sends it, and what the store holds of it."""

    whole: list[JSON]
    before: list[JSON]
    sent: list[JSON]
    store: list[Remembered]


Answer = list[JSON]


@st.composite
def answers(draw: st.DrawFn, numbers: Iterator[int], counts_anew: bool) -> Answer:
    """What the model says in one go."""
    found: Answer = []
    if draw(st.booleans()):
        found.append(thought(f"rs_{next(numbers)}", draw(st.sampled_from(["Hm.", "So."]))))
    if draw(st.booleans()):
        found.append(said(draw(st.sampled_from(["a", "b"])), id=f"msg_{next(numbers)}"))
    for position in range(draw(st.integers(0 if found else 1, 3))):
        number = next(numbers)
        call_id = f"call_{position}" if counts_anew else f"c{number}x1y2z3"
        arguments = draw(st.sampled_from(['{"a": 1}', "{}"]))
        found.append(called(call_id, id=f"fc_{number}", arguments=arguments))
    return found


def as_remembered(answer: Answer) -> list[Remembered]:
    trail = Trail()
    return [
        Remembered(item, trail.follow(item["id"], item["type"] == "reasoning")) for item in answer
    ]


@st.composite
def as_sent(draw: st.DrawFn, answer: Answer, counts_anew: bool) -> list[JSON]:
    """An answer as a client sends it back: named, emptied, or without what the store can bring.

    The client does not leave out the calls of an answer that holds nothing else: nobody could tell
    them from those of the answer before.
    """
    reasons = [item for item in answer if item["type"] == "reasoning"]
    calls = [item for item in answer if item["type"] == "function_call"]
    can_drop = not counts_anew and len(calls) < len(answer)
    kept = draw(st.integers(0, len(calls))) if can_drop else len(calls)
    dropped = calls[kept:]
    rest = [item for item in answer if item not in reasons and item not in dropped]
    named = [ref(item["id"]) if draw(st.booleans()) else None for item in rest]
    # Reasoning may be left out where what it led to is only named, or left out as well.
    brings = named[0] is not None if rest else bool(dropped)
    if brings and draw(st.booleans()):
        reasons = []
    forms = [
        draw(st.sampled_from([item, ref(item["id"]), {"id": item["id"]}, hollow(item["id"])]))
        for item in reasons
    ]
    for item, name in zip(rest, named, strict=True):
        inline = dict(item)
        if item["type"] == "function_call" and not counts_anew and draw(st.booleans()):
            del inline["id"]
        forms.append(name or inline)
    return forms


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    numbers = count(1)
    counts_anew = draw(st.booleans())
    whole: list[JSON] = []
    sent: list[JSON] = []
    store: list[Remembered] = []
    ends = [0]
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.booleans()) or not whole or whole[-1].get("role") == "assistant":
            said_first = [user(draw(st.sampled_from(["continue", "b"])))]
            whole += said_first
            sent += said_first
        answer = draw(answers(numbers, counts_anew))
        store += as_remembered(answer)
        whole += answer
        sent += draw(as_sent(answer, counts_anew))
        ends.append(len(whole))
        given_back = [
            output(item["call_id"], draw(st.sampled_from(["ok", "pending"])))
            for item in answer
            if item["type"] == "function_call"
        ]
        whole += given_back
        sent += given_back
    whole.append(user("and now?"))
    sent.append(whole[-1])
    return Conversation(whole, whole[: draw(st.sampled_from(ends))], sent, store)


def shown(items: list[Any], profile: Profile) -> list[JSON]:
    return convert(*items, profile=profile, instructions="You code.")[0]


@settings(deadline=None, max_examples=200)
@given(conversation=conversations())
def test_a_conversation_that_is_only_named_is_the_whole_conversation(
    conversation: Conversation, profile: Profile
) -> None:
    found = expanded(conversation.sent, [], conversation.store).items
    assert shown(found, profile) == shown(conversation.whole, profile)


@settings(deadline=None, max_examples=200)
@given(conversation=conversations())
def test_what_is_sent_beside_its_own_history_is_there_once_f4(
    conversation: Conversation, profile: Profile
) -> None:
    """The full history resent beside `previous_response_id`, whole or in references."""
    before, whole = conversation.before, conversation.whole
    for items in (whole, whole[len(before) :], [strip(item) for item in whole]):
        found = expanded(items, before, conversation.store).items
        assert shown([*before, *found], profile) == shown(whole, profile)


# ---------------------------------------------------------------- any history


@st.composite
def named_histories(draw: st.DrawFn) -> Conversation:
    """Any history, cut anywhere, with references in place of some of what the model said."""
    whole = draw(histories())
    numbered = [
        {**item, "id": f"{item['type']}_{n}"}
        if item["type"] == "reasoning" or item["type"].endswith("_call") or is_answer(item)
        else item
        for n, item in enumerate(whole)
    ]
    cut = draw(st.integers(0, len(whole)))
    store: list[Remembered] = []
    sent = numbered[cut:]
    for position, item in enumerate(sent):
        if item is not whole[cut + position]:
            store.append(Remembered(item))
            forms = [item, ref(item["id"]), {"id": item["id"]}]
            if item["type"] == "reasoning" and item.get("encrypted_content"):
                forms.append({**item, "encrypted_content": None})
            sent[position] = draw(st.sampled_from(forms))
    return Conversation(numbered, numbered[:cut], sent, store)


def is_answer(item: JSON) -> bool:
    return item.get("role") == "assistant"


@settings(deadline=None, max_examples=300)
@given(history=named_histories())
def test_any_history_of_references_is_the_whole_history_or_says_why_not_i8(
    history: Conversation, profile: Profile
) -> None:
    found, rules = expanded(history.sent, history.before, history.store)
    converted, _ = convert(*history.before, *found, profile=profile)
    assert provider_refusal({"model": "m", "messages": converted or [USER]}, profile) is None
    if not rules:
        assert converted == convert(*history.whole, profile=profile)[0]
    assert {rule for rule, _, _ in rules} <= {"history.repeated"}


USER = {"role": "user", "content": "Hi"}


@settings(deadline=None, max_examples=200)
@given(history=named_histories())
def test_nothing_that_was_sent_is_lost_on_the_way_i7(history: Conversation) -> None:
    found = expanded(history.sent, history.before, history.store).items
    kept = set().union(*map(markers, [*history.before, *found]))
    assert kept == set().union(*map(markers, history.whole))


@settings(deadline=None, max_examples=60)
@given(conversation=conversations())
def test_expanding_what_is_whole_changes_nothing_i9(conversation: Conversation) -> None:
    once = expanded(conversation.sent, [], conversation.store).items
    assert expanded(once, [], conversation.store) == (once, [])
