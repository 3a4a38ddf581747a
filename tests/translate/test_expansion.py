from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from anyturn.errors import Kind, TurnError
from anyturn.translate.expansion import Remembered, Trail, as_stored, what_is_wanted
from support.chat_items import (
    assistant,
    called,
    chat_call,
    message,
    messages,
    output,
    result,
    said,
    user,
)
from support.expansions import (
    CTC,
    FC1,
    FC2,
    FC3,
    INLINE1,
    MSG,
    OUT1,
    OUT2,
    OUT3,
    RS1,
    RS2,
    RS3,
    STORE,
    again,
    bare,
    custom,
    expanded,
    hollow,
    recovered,
    ref,
    thought,
)

JSON = dict[str, Any]

# ---------------------------------------------------------------- references

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
