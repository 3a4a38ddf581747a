"""What is sent beside the history that holds it already: it is there once, and nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest

from anyturn.translate.expansion import Remembered
from support.chat_items import called, convert, message, output, said, user
from support.expansions import (
    FC1,
    FC2,
    IMPLIED,
    INLINE1,
    MSG,
    OUT1,
    OUT2,
    RS1,
    STORE,
    again,
    bare,
    expanded,
    hollow,
    recovered,
    ref,
    strip,
    thought,
)

JSON = dict[str, Any]

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


def test_a_long_history_that_is_sent_again_is_recognised_in_one_pass() -> None:
    """Worst case: a server that counts anew, polled with the same words all day."""
    before = [user(), *[counted(f"fc_{n}") if n % 2 else PENDING for n in range(1, 6000)]]
    stripped = [strip(item) for item in before]
    assert expanded([*stripped, PENDING], before, []).items == [PENDING]
    assert expanded([user("else"), PENDING], before, []).items == [user("else"), PENDING]
