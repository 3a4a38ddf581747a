from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.errors import Kind, TurnError
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.expansion import (
    Remembered,
    Trail,
    as_stored,
    expand,
    what_is_wanted,
)
from anyturn.wire.profile import Profile
from support.chat_items import (
    assistant,
    called,
    chat_call,
    convert,
    message,
    messages,
    output,
    reasoned,
    result,
    said,
    user,
)
from support.chat_requests import ANYTHING
from support.histories import histories, markers
from support.strict_providers import provider_refusal

JSON = dict[str, Any]


def ref(item_id: Any) -> JSON:
    return {"type": "item_reference", "id": item_id}


def thought(item_id: str = "rs_1", words: str = "Hm.") -> JSON:
    return {**reasoned(words), "id": item_id, "encrypted_content": f"sealed {words}"}


def hollow(item_id: str = "rs_1") -> JSON:
    return {"type": "reasoning", "id": item_id, "summary": []}


def custom(call_id: str, **fields: Any) -> JSON:
    return {"type": "custom_tool_call", "call_id": call_id, "name": "p", "input": "x", **fields}


def bare(call_id: str, kind: str = "function_call", **fields: Any) -> JSON:
    return {"type": kind, "call_id": call_id, **fields}


RS1, RS2, RS3 = thought("rs_1"), thought("rs_2", "So."), thought("rs_3", "Or.")
MSG = said("Hello.", id="msg_1", status="completed")
FC1 = called("c1x1y2z3", id="fc_1", arguments='{"a": 1}', status="completed")
FC2 = called("c2x1y2z3", id="fc_2", arguments='{"a": 2}', status="completed")
FC3 = called("c3x1y2z3", id="fc_3", arguments='{"a": 3}', status="completed")
CTC = custom("c4x1y2z3", id="ctc_1")
# One answer with reasoning, a message and two calls; two more with a call each; one without.
STORE = [
    Remembered(RS1),
    Remembered(MSG, ("rs_1",)),
    Remembered(FC1, ("rs_1",)),
    Remembered(FC2, ("rs_1",)),
    Remembered(RS2),
    Remembered(FC3, ("rs_2",)),
    Remembered(RS3),
    Remembered(CTC, ("rs_3",)),
    Remembered(called("c5x1y2z3", id="fc_5")),
    Remembered(called("c6x1y2z3", id="fc_6")),
]


class Expanded(NamedTuple):
    items: list[Any]
    rules: list[tuple[str, str, bool]]


def expanded(
    items: list[Any], before: list[JSON] | None = None, store: list[Remembered] | None = None
) -> Expanded:
    """What becomes of a request, when only what it wants is looked up, as the gateway does."""
    before, stored = before or [], STORE if store is None else store
    pristine = copy.deepcopy((items, before))
    wanted = what_is_wanted(items, before)
    by_id = {one.item["id"]: one for one in stored}
    calls = {
        one.item["call_id"]: one
        for one in stored
        if "call_id" in one.item and one.item["call_id"] in wanted.call_ids
    }
    found = {item_id: one for item_id, one in by_id.items() if item_id in wanted.ids}
    led_by = {item_id for one in (*found.values(), *calls.values()) for item_id in one.led_by}
    found |= {item_id: by_id[item_id] for item_id in led_by & by_id.keys()}
    adaptations = Adaptations()
    expansion = expand(items, before, found, calls, adaptations)
    assert (items, before) == pristine
    return Expanded(expansion, [(a.rule, a.where, a.lossy) for a in adaptations])


def again(position: int) -> tuple[str, str, bool]:
    return ("history.repeated", f"input[{position}]", False)


IMPLIED = ("history.repeated", "input", False)


def recovered(position: int) -> tuple[str, str, bool]:
    return ("memory.call_recovered", f"input[{position}]", False)


# ---------------------------------------------------------------- references

OUT1, OUT2, OUT3 = (
    output("c1x1y2z3", "one"),
    output("c2x1y2z3", "two"),
    output("c3x1y2z3", "three"),
)
INLINE1 = called("c1x1y2z3", arguments='{"a":1}')

REFERENCES = {
    "typed, in their places": (
        [user(), ref("rs_1"), ref("msg_1"), ref("fc_1"), OUT1, ref("rs_2"), ref("fc_3"), OUT3],
        [user(), RS1, MSG, FC1, OUT1, RS2, FC3, OUT3],
        [],
    ),
    "bare": ([{"id": "fc_1"}, OUT1], [RS1, FC1, OUT1], []),
    "bare, with a null type": ([{"type": None, "id": "fc_1"}, OUT1], [RS1, FC1, OUT1], []),
    "a message": ([ref("msg_1"), user()], [RS1, MSG, user()], []),
    "freeform": ([ref("ctc_1"), output("c4x1y2z3", "ok", "custom_tool_call")],
                 [RS3, CTC, output("c4x1y2z3", "ok", "custom_tool_call")], []),
    "twice": ([ref("fc_1"), ref("fc_1"), OUT1], [RS1, FC1, OUT1], [again(1)]),
    "and its inline copy": ([ref("fc_1"), FC1, OUT1], [RS1, FC1, OUT1], [again(1)]),
    "behind its inline copy": ([RS1, FC1, ref("fc_1"), OUT1], [RS1, FC1, OUT1], [again(2)]),
    "and its copy without an id": ([ref("fc_1"), INLINE1, OUT1], [RS1, FC1, OUT1], [again(1)]),
    "behind its copy without an id": (
        [INLINE1, ref("fc_1"), OUT1], [INLINE1, OUT1], [again(1)],
    ),
    "behind its copy and the output": (
        [INLINE1, OUT1, ref("fc_1")], [INLINE1, OUT1], [again(2)],
    ),
    "behind its output": ([OUT1, ref("fc_1")], [OUT1, RS1, FC1], []),
    "of what is not stored and stands there": (
        [called("c9x1y2z3", id="fc_9"), ref("fc_9")], [called("c9x1y2z3", id="fc_9")], [again(1)],
    ),
    "of what is not stored and follows": (
        [ref("fc_9"), user(), called("c9x1y2z3", id="fc_9")],
        [called("c9x1y2z3", id="fc_9"), user()],
        [again(2)],
    ),
    "of reasoning that is gone": (
        [ref("rs_gone"), ref("fc_5"), output("c5x1y2z3")],
        [called("c5x1y2z3", id="fc_5"), output("c5x1y2z3")],
        [("memory.reasoning_gone", "input[0]", True)],
    ),
    "of reasoning that is sent behind": ([ref("rs_9"), thought("rs_9")], [thought("rs_9")],
                                         [again(1)]),
}  # fmt: skip


@pytest.mark.parametrize(("items", "whole", "rules"), REFERENCES.values(), ids=REFERENCES)
def test_a_reference_is_the_item_in_its_place_and_once_f14_f15(
    items: list[Any], whole: list[JSON], rules: list[Any]
) -> None:
    assert expanded(items) == (whole, rules)


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        pytest.param(ref("fc_gone"), "fc_gone", id="call"),
        pytest.param(ref("msg_gone"), "msg_gone", id="message"),
        pytest.param({"id": "fc_gone"}, "fc_gone", id="bare"),
        pytest.param(ref("x" * 9000), "x" * 80, id="long"),
        pytest.param(ref(5), "", id="a number"),
        pytest.param({"type": "item_reference"}, "", id="without an id"),
        pytest.param({"id": None}, "", id="null"),
    ],
)
def test_what_is_not_stored_is_refused_by_its_name_f15(item: JSON, shown: str) -> None:
    with pytest.raises(TurnError) as caught:
        expanded([user(), item, OUT1])
    assert caught.value.kind is Kind.UNKNOWN_REFERENCE
    assert caught.value.param == "input[1]"
    assert caught.value.message.startswith(f"Item with id {shown!r} not found: input[1] refers")


def test_the_place_that_is_told_is_the_clients_own_although_a_history_was_implied() -> None:
    before = [user("a"), said("b", id="msg_b")]
    with pytest.raises(TurnError) as caught:
        expanded([user("a"), said("b"), ref("fc_gone")], before)
    assert caught.value.param == "input[2]"


# ---------------------------------------------------------------- reasoning

GROUPS = {
    "comes along": ([ref("fc_1"), OUT1], [RS1, FC1, OUT1]),
    "once for parallel calls": (
        [ref("fc_1"), ref("fc_2"), OUT1, OUT2], [RS1, FC1, FC2, OUT1, OUT2],
    ),
    "once for a message and its call": ([ref("msg_1"), ref("fc_1"), OUT1], [RS1, MSG, FC1, OUT1]),
    "where the client puts it": ([ref("rs_1"), MSG, ref("fc_1")], [RS1, MSG, FC1]),
    "where the client puts it, behind": ([ref("fc_1"), ref("rs_1")], [FC1, RS1]),
    "inline where the client puts it": ([ref("fc_1"), OUT1, RS1], [FC1, OUT1, RS1]),
    "not for a call that is sent whole": ([FC1, OUT1], [FC1, OUT1]),
    "hollow is restored": ([hollow(), FC1, OUT1], [RS1, FC1, OUT1]),
    "hollow is restored and brings no second": ([hollow(), ref("fc_1")], [RS1, FC1]),
    "hollow and unknown stays": ([hollow("rs_9"), FC1], [hollow("rs_9"), FC1]),
    "null is hollow": ([{**hollow(), "encrypted_content": None}, FC1], [RS1, FC1]),
    "with its seal is the client's": (
        [{**RS1, "encrypted_content": "other"}], [{**RS1, "encrypted_content": "other"}],
    ),
    "an id of another kind restores nothing": ([hollow("fc_1")], [hollow("fc_1")]),
}  # fmt: skip


@pytest.mark.parametrize(("items", "whole"), GROUPS.values(), ids=GROUPS)
def test_reasoning_stands_before_what_it_led_to_f16(items: list[Any], whole: list[JSON]) -> None:
    assert expanded(items) == (whole, [])


def test_reasoning_that_the_history_holds_is_not_brought_again() -> None:
    before = [user(), RS1, FC1]
    assert expanded([ref("fc_2"), OUT1, OUT2], before) == ([FC2, OUT1, OUT2], [])


def test_reasoning_that_expired_is_not_missed_beside_its_call() -> None:
    store = [one for one in STORE if one.item["id"] != "rs_1"]
    assert expanded([ref("fc_1"), OUT1], store=store) == ([FC1, OUT1], [])


def test_reasoning_that_only_the_history_holds_is_known_there() -> None:
    before = [user(), thought("rs_9"), said("a")]
    found = expanded([ref("rs_9"), user()], before)
    assert found == ([user()], [again(0)])


# ---------------------------------------------------------------- outputs without their calls

PARALLEL = [RS1, FC1, FC2, OUT1, OUT2]
RECOVERED = {
    "one": ([OUT1], [RS1, FC1, OUT1], [recovered(0)]),
    "parallel": ([OUT1, OUT2], PARALLEL, [recovered(0), recovered(1)]),
    "parallel, with reasoning that the client kept": (
        [ref("rs_1"), OUT1, OUT2], PARALLEL, [recovered(1), recovered(2)],
    ),
    "one of two parallel": (
        [RS1, FC1, OUT1, OUT2], [RS1, FC1, FC2, OUT1, OUT2], [recovered(3)],
    ),
    "parallel without reasoning": (
        [output("c5x1y2z3"), output("c6x1y2z3")],
        [
            *(called("c5x1y2z3", id="fc_5"), called("c6x1y2z3", id="fc_6")),
            *(output("c5x1y2z3"), output("c6x1y2z3")),
        ],
        [recovered(0), recovered(1)],
    ),
    "of two answers": (
        [OUT1, OUT2, OUT3], [*PARALLEL, RS2, FC3, OUT3], [recovered(n) for n in range(3)],
    ),
    "behind an answer that is whole": (
        [RS1, FC1, OUT1, OUT3], [RS1, FC1, OUT1, RS2, FC3, OUT3], [recovered(3)],
    ),
    "freeform": (
        [output("c4x1y2z3", "ok", "custom_tool_call")],
        [RS3, CTC, output("c4x1y2z3", "ok", "custom_tool_call")],
        [recovered(0)],
    ),
    "twice": ([OUT1, OUT1], [RS1, FC1, OUT1, OUT1], [recovered(0)]),
    "unknown": ([output("gone")], [output("gone")], []),
    "without an id": ([output(None), output("")], [output(None), output("")], []),
    "whose call follows": ([OUT1, FC1], [OUT1, FC1], []),
}  # fmt: skip


@pytest.mark.parametrize(("items", "whole", "rules"), RECOVERED.values(), ids=RECOVERED)
def test_an_output_whose_call_was_left_out_gets_it_back_f2_f15(
    items: list[Any], whole: list[JSON], rules: list[Any]
) -> None:
    assert expanded(items) == (whole, rules)


def test_recovered_parallel_calls_are_one_assistant_message_f3() -> None:
    calls = [chat_call(f"c{n}x1y2z3", arguments=f'{{"a": {n}}}') for n in (1, 2)]
    assert messages(*expanded([user(), OUT1, OUT2]).items)[1:] == [
        assistant(None, *calls),
        result("c1x1y2z3", "one"),
        result("c2x1y2z3", "two"),
    ]


def test_an_output_whose_call_is_implied_needs_none_f4() -> None:
    before = [user(), RS1, FC1, FC2]
    assert what_is_wanted([OUT2, OUT1], before).call_ids == frozenset()
    assert expanded([OUT2, OUT1], before) == ([OUT2, OUT1], [])


BARE = {
    "function": ([bare("c1x1y2z3"), OUT1], [RS1, FC1, OUT1]),
    "with empty fields": (
        [bare("c1x1y2z3", name="", arguments="", id=None), OUT1],
        [RS1, FC1, OUT1],
    ),
    "under another type": (
        [bare("c4x1y2z3"), output("c4x1y2z3")],
        [RS3, CTC, output("c4x1y2z3")],
    ),
    "unknown": ([bare("gone")], [bare("gone")]),
    "with its reasoning": ([ref("rs_1"), bare("c1x1y2z3")], [RS1, FC1]),
}


@pytest.mark.parametrize(("items", "whole"), BARE.values(), ids=BARE)
def test_a_call_of_which_only_its_call_id_is_sent_is_the_stored_one_f20(
    items: list[Any], whole: list[JSON]
) -> None:
    assert expanded(items) == (whole, [])


@pytest.mark.parametrize("store", [STORE, []], ids=["stored", "only in the history"])
def test_a_bare_call_beside_the_history_that_holds_it_is_the_one_there_f20(
    store: list[Remembered],
) -> None:
    before = [user(), RS1, FC1, FC2]
    found = expanded([bare("c1x1y2z3"), bare("c2x1y2z3"), OUT1, OUT2], before, store)
    assert found == ([OUT1, OUT2], [again(0), again(1)])


def test_the_history_knows_a_bare_call_better_than_the_store_does_f20() -> None:
    """Another conversation of a server that counts anew may have put the same id since."""
    before = [user(), called("call_1", "right", id="fc_a")]
    store = [Remembered(called("call_1", "wrong", id="fc_b"))]
    found = expanded([bare("call_1"), output("call_1")], before, store)
    assert found == ([output("call_1")], [again(0)])


# ---------------------------------------------------------------- what is implied and sent again

TURN = [message("developer", "Be brief."), user("a"), RS1, MSG, FC1, FC2]
OUTPUTS = [OUT1, OUT2]
TEXT = [{"type": "output_text", "text": "Hello.", "annotations": [], "logprobs": None}]


def dumped(item: JSON) -> JSON:
    """As openai-python's `model_dump` writes an item: with null in all that was not set."""
    unset = {"namespace": None, "status": None, "encrypted_content": None, "content": None}
    return {**unset, **item}


RESENT: dict[str, list[JSON]] = {
    "AI SDK v5": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
        *map(ref, ("rs_1", "msg_1", "fc_1", "fc_2")),
    ],
    "AI SDK v6": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
        *map(ref, ("rs_1", "msg_1")),
        INLINE1,
        called("c2x1y2z3", arguments='{"a":2}'),
    ],
    "AI SDK v5, store: false": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
        {"type": "reasoning", "id": "rs_1", "encrypted_content": "sealed Hm.", "summary": []},
        {"role": "assistant", "id": "msg_1", "content": TEXT},
        {**INLINE1, "id": "fc_1"},
        {**called("c2x1y2z3", arguments='{"a":2}'), "id": "fc_2"},
    ],
    "openai-python": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "a"},
        *map(dumped, (RS1, {**MSG, "content": TEXT}, FC1, FC2)),
    ],
    "without reasoning": [message("developer", "Be brief."), user("a"), MSG, FC1, FC2],
    "without the system": [user("a"), RS1, MSG, FC1, FC2],
    "only the answer": [RS1, MSG, FC1, FC2],
    "only the calls, without ids": [INLINE1, called("c2x1y2z3", arguments='{"a":2}')],
    "the last call only": [called("c2x1y2z3", arguments='{"a":2}')],
    "word for word": TURN,
}  # fmt: skip


@pytest.mark.parametrize("resent", RESENT.values(), ids=RESENT)
@pytest.mark.parametrize("store", [STORE, []], ids=["stored", "only in the history"])
def test_a_history_that_is_implied_and_sent_again_is_not_there_twice_f4(
    resent: list[JSON], store: list[Remembered]
) -> None:
    assert expanded([*resent, *OUTPUTS], TURN, store) == (OUTPUTS, [IMPLIED])


def test_what_the_system_says_anew_stays() -> None:
    told = message("developer", "It is Tuesday.")
    found = expanded([told, *TURN[1:], *OUTPUTS], TURN)
    assert found == ([told, *OUTPUTS], [IMPLIED])


def test_a_turn_with_its_outputs_is_recognised_too() -> None:
    before = [*TURN, *OUTPUTS, said("Done.", id="msg_2")]
    found = expanded([*RESENT["AI SDK v6"], *OUTPUTS, ref("msg_2"), user("b")], before)
    assert found == ([user("b")], [IMPLIED])


def test_a_resent_item_that_could_not_be_recognised_by_its_order_is_recognised_by_its_id() -> None:
    before = [*TURN, *OUTPUTS, said("Done.", id="msg_2")]
    found = expanded([user("not a"), ref("fc_1"), OUT1, MSG, user("b")], before)
    assert found == ([user("not a"), user("b")], [again(1), again(2), again(3)])


KEPT: dict[str, tuple[list[JSON], list[JSON]]] = {
    "said twice": ([user("continue"), said("ok")], [user("continue")]),
    "said after each answer": (
        [user("continue"), said("ok"), user("continue"), said("fine")], [user("continue")],
    ),
    "said twice in one input": ([], [user("continue"), user("continue")]),
    "after an answer of nothing": ([user("continue")], [user("continue")]),
    "after a warm-up": ([user("a"), said("b"), user("continue")], [user("continue")]),
    "before another answer": (
        [user("continue"), said("a"), user("continue")], [user("continue"), said("b")],
    ),
    "after reasoning only": ([user("continue"), RS1], [user("continue")]),
}  # fmt: skip


@pytest.mark.parametrize(("before", "items"), KEPT.values(), ids=KEPT)
def test_a_user_may_say_the_same_again(before: list[JSON], items: list[JSON]) -> None:
    assert expanded(items, before) == (items, [])


# ---------------------------------------------------------------- ids that are counted anew


def counted(item_id: str | None = None, **fields: Any) -> JSON:
    return called("call_1", "poll", id=item_id, **fields)


PENDING = output("call_1", "pending")
POLLED = [user(), counted("fc_a"), PENDING]
COUNTED: dict[str, tuple[list[JSON], list[JSON], list[JSON]]] = {
    "all inline": (
        [], [*POLLED, counted("fc_b"), PENDING], [*POLLED, counted("fc_b"), PENDING],
    ),
    "all inline, without ids": (
        [], [counted(), PENDING, counted(), PENDING], [counted(), PENDING, counted(), PENDING],
    ),
    "only the output is new": ([*POLLED, counted("fc_b")], [PENDING], [PENDING]),
    "the call again, and its output": (
        [*POLLED, counted("fc_b")], [counted(), PENDING], [PENDING],
    ),
    "the call again by reference": (
        [*POLLED, counted("fc_b")], [ref("fc_b"), PENDING], [PENDING],
    ),
    "everything again": (
        [*POLLED, counted("fc_b")], [*POLLED, counted("fc_b"), PENDING], [PENDING],
    ),
    "a step later, without ids": (
        [*POLLED, said("Wait.")], [user(), counted(), PENDING], [user(), counted(), PENDING],
    ),
    "two steps later, without ids": (
        [*POLLED, counted("fc_b")],
        [PENDING, counted(), PENDING, counted(), PENDING],
        [PENDING, counted(), PENDING, counted(), PENDING],
    ),
    "a reference behind what was answered": (
        [], [counted(), PENDING, ref("fc_b"), PENDING],
        [counted(), PENDING, counted("fc_b"), PENDING],
    ),
    "with other arguments": (
        [*POLLED, said("Wait.")],
        [counted(arguments='{"b":1}'), PENDING],
        [counted(arguments='{"b":1}'), PENDING],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("before", "items", "kept"), COUNTED.values(), ids=COUNTED)
def test_no_output_is_lost_where_calls_are_counted_anew(
    before: list[JSON], items: list[JSON], kept: list[JSON]
) -> None:
    store = [Remembered(counted("fc_a")), Remembered(counted("fc_b"))]
    found = expanded(items, before, store).items
    assert found == kept
    whole, adaptations = convert(*before, *found)
    polled = [one for one in whole if one["role"] == "tool"]
    assert [one["content"] for one in polled] == ["pending"] * len(polled)
    assert not [a for a in adaptations if a.lossy or a.rule == "history.repeated"]


ELSEWHERE = [Remembered(thought("rs_7")), Remembered(counted("fc_7"), ("rs_7",))]
POLL7 = counted("fc_7")
STRAY: dict[str, tuple[list[JSON], list[JSON], list[tuple[str, str, bool]]]] = {
    "output": ([user(), PENDING], [user(), PENDING], []),
    "bare call": ([bare("call_1"), PENDING], [bare("call_1"), PENDING], []),
    "bare call under another call's id": (
        [bare("call_1", id="fc_5"), PENDING], [bare("call_1", id="fc_5"), PENDING], [],
    ),
    "output beside the reasoning that led to its call": (
        [ref("rs_7"), PENDING], [thought("rs_7"), POLL7, PENDING], [recovered(1)],
    ),
    "bare call beside its reasoning": (
        [hollow("rs_7"), bare("call_1"), PENDING], [thought("rs_7"), POLL7, PENDING], [],
    ),
    "bare call with its own id": (
        [bare("call_1", id="fc_7"), PENDING], [thought("rs_7"), POLL7, PENDING], [],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("items", "kept", "rules"), STRAY.values(), ids=STRAY)
def test_a_counted_id_brings_no_call_of_another_conversation(
    items: list[JSON], kept: list[JSON], rules: list[Any]
) -> None:
    """Only reasoning or the call's own id proves which `call_1` is meant."""
    assert expanded(items, [], [*STORE, *ELSEWHERE]) == (kept, rules)


def test_the_history_that_is_continued_proves_which_counted_call_is_meant() -> None:
    before = [user(), thought("rs_7")]
    assert expanded([PENDING], before, ELSEWHERE).items == [POLL7, PENDING]


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


def strip(item: JSON) -> JSON:
    """An item as a client sends it that keeps no ids, but reasoning, which is nothing without."""
    return {k: v for k, v in item.items() if k != "id" or item["type"] == "reasoning"}


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


def test_a_long_history_that_is_sent_again_is_recognised_in_one_pass() -> None:
    """Worst case: a server that counts anew, polled with the same words all day."""
    before = [user(), *[counted(f"fc_{n}") if n % 2 else PENDING for n in range(1, 6000)]]
    stripped = [strip(item) for item in before]
    assert expanded([*stripped, PENDING], before, []).items == [PENDING]
    assert expanded([user("else"), PENDING], before, []).items == [user("else"), PENDING]


# ---------------------------------------------------------------- what is looked up and stored


def test_only_what_is_named_is_looked_up() -> None:
    items = [user(), ref("a"), {"id": "b"}, hollow("c"), thought("d"), FC1, bare("e"), output("f")]
    wanted = what_is_wanted([*items, OUT1, OUT2, 5], [FC2])
    assert (wanted.ids, wanted.call_ids) == ({"a", "b", "c"}, {"e", "f"})


@pytest.mark.parametrize(
    ("kinds", "led_by"),
    [
        pytest.param("r m c c", ["", "0", "0", "0"], id="one thought for all"),
        pytest.param("r r c", ["", "", "0 1"], id="two thoughts for one"),
        pytest.param("r m r c", ["", "0", "", "2"], id="each its own"),
        pytest.param("m c", ["", ""], id="none"),
    ],
)
def test_the_trail_knows_which_reasoning_led_to_an_item_f16(kinds: str, led_by: list[str]) -> None:
    trail = Trail()
    found = [trail.follow(str(n), kind == "r") for n, kind in enumerate(kinds.split())]
    assert found == [tuple(ids.split()) for ids in led_by]


def test_stored_items_have_ids_of_their_own() -> None:
    numbers = count()
    items = [
        *({"role": "user", "content": "a"}, message("user"), hollow(""), called(), output()),
        *(custom("c"), {"type": "web_search_call"}, {"type": []}, "no item", FC1, {**FC1, "a": 1}),
    ]
    ids = [item["id"] for item in as_stored(items, lambda prefix: f"{prefix}_{next(numbers)}")]
    expected = ["msg_0", "msg_1", "rs_2", "fc_3", "fco_4", "ctc_5", "item_6", "item_7", "fc_1"]
    assert ids == [*expected, "fc_8"]
