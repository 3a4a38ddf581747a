from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from anyturn.translate.resent import (
    implied,
    is_bare_call,
    is_call,
    is_hollow,
    is_output,
    is_reference,
    is_same,
)
from support.chat_items import called, message, output, said, user
from support.chat_requests import ANYTHING
from support.histories import histories

JSON = dict[str, Any]

RS = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed"}
SHELL = {"type": "local_shell_call", "call_id": "c", "action": {"type": "exec", "command": ["ls"]}}
DEEP = '{"a":' * 100_000

SAME: dict[str, tuple[JSON, JSON]] = {
    "without a type": (user(), {"role": "user", "content": "Hi"}),
    "text as a part": (user("Hi"), user([{"type": "input_text", "text": "Hi"}])),
    "null members": (called(), {**called(), "namespace": None, "status": None, "id": None}),
    "one id": (called(id="fc_1"), called()),
    "status and phase": (said("a", status="completed", phase="commentary"), said("a")),
    "arguments written anew": (
        called(arguments='{"a": 1, "b":2}'), called(arguments='{"a":1,"b":2}'),
    ),
    "broken arguments": (called(arguments='{"a": '), called(arguments='{"a": ')),
    "no namespace": (called(namespace="mcp__a"), called()),
    "reasoning by its id": (RS, {"type": "reasoning", "id": "rs_1", "content": []}),
    "reasoning without an id": (RS, {"type": "reasoning", "summary": []}),
    "output as parts": (output(words="ok"), output(words=[{"type": "input_text", "text": "ok"}])),
    "no text and no content": (user(""), user([])),
    "annotations": (
        said("a"), message("assistant", [{"type": "output_text", "text": "a", "annotations": []}]),
    ),
    "null in an action": (SHELL, {**SHELL, "action": {**SHELL["action"], "env": None}}),
}  # fmt: skip
OTHERS: dict[str, tuple[JSON, JSON]] = {
    "two ids": (called(id="fc_1"), called(id="fc_2")),
    "words": (user("a"), user("b")),
    "role": (user("a"), said("a")),
    "type": (called(), {**called(), "type": "custom_tool_call"}),
    "arguments": (called(arguments='{"a":1}'), called(arguments='{"a":2}')),
    "broken arguments": (called(arguments='{"a"'), called(arguments='{"b"')),
    "half a surrogate pair": (called(arguments='"\ud800"'), called(arguments='"\ud801"')),
    "namespace": (called(namespace="mcp__a"), called(namespace="mcp__b")),
    "one id, other words": (said("a", id="msg_1"), said("b", id="msg_1")),
    "part of the text": (user("Hi"), user([{"text": "Hi"}, {"text": "there"}])),
    "images": (
        user([{"type": "input_image", "image_url": "a"}]),
        user([{"type": "input_image", "image_url": "b"}]),
    ),
    "arguments too deep to be read": (called(arguments=DEEP), called(arguments=DEEP + " ")),
    "two seals": (
        {"type": "compaction", "encrypted_content": "a"},
        {"type": "compaction", "encrypted_content": "b"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_an_item_is_the_same_however_a_client_sends_it_back(one: JSON, other: JSON) -> None:
    assert is_same(one, other)
    assert is_same(other, one)


@pytest.mark.parametrize(("one", "other"), OTHERS.values(), ids=OTHERS)
def test_two_items_that_say_something_else_are_two(one: JSON, other: JSON) -> None:
    assert not is_same(one, other)
    assert not is_same(other, one)


@settings(deadline=None, max_examples=100)
@given(history=histories())
def test_every_item_is_the_same_as_itself(history: list[JSON]) -> None:
    assert all(is_same(item, {**item}) for item in history)


@settings(deadline=None, max_examples=200)
@given(one=ANYTHING, other=ANYTHING)
def test_nothing_is_too_odd_to_be_compared(one: Any, other: Any) -> None:
    fields = ("type", "id", "call_id", "content", "arguments", "name")
    items = [dict.fromkeys(fields, value) for value in (one, other)]
    for item in items:
        for says in (is_reference, is_hollow, is_call, is_bare_call, is_output):
            assert says(item) in (True, False)
    assert is_same(*items) == is_same(*reversed(items))
    assert implied([one, *items], items) <= {0, 1, 2}


BEFORE = [
    message("developer", "Be brief."),
    user("a"),
    RS,
    said("b"),
    called(),
    output(),
    said("c"),
]
IMPLIED: dict[str, tuple[list[Any], set[int]]] = {
    "nothing": ([], set()),
    "all": (BEFORE, {0, 1, 2, 3, 4, 5, 6}),
    "all and more": ([*BEFORE, user("d"), said("c")], {0, 1, 2, 3, 4, 5, 6}),
    "without reasoning": ([user("a"), said("b"), called(), output(), said("c")], {0, 1, 2, 3, 4}),
    "its end": ([called(), output(), said("c"), user()], {0, 1, 2}),
    "the system told anew": ([message("system", "x"), *BEFORE[1:]], {1, 2, 3, 4, 5, 6}),
    "not to its end": (BEFORE[:-1], set()),
    "another beginning": ([user("x"), *BEFORE[2:]], set()),
    "something between": ([*BEFORE[:4], user("x"), *BEFORE[4:]], set()),
    "another order": ([said("b"), user("a"), said("c")], set()),
    "from an output on": ([output(), said("c")], set()),
    "no object between": ([user("a"), 5, *BEFORE[2:]], set()),
}  # fmt: skip


@pytest.mark.parametrize(("items", "positions"), IMPLIED.values(), ids=IMPLIED)
def test_only_what_repeats_a_history_to_its_end_is_implied_f4(
    items: list[Any], positions: set[int]
) -> None:
    assert implied(items, BEFORE) == positions


@settings(deadline=None, max_examples=100)
@given(history=histories())
def test_nothing_is_implied_where_nothing_was_before(history: list[JSON]) -> None:
    assert implied(history, []) == set()
