from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from anyturn.translate.output_items import (
    COMPLETED,
    MessageState,
    Place,
    ReasoningState,
)
from anyturn.wire import responses as r

PLACE = Place("item_1", 3)


@pytest.fixture
def number() -> Callable[[], int]:
    numbers = count()
    return lambda: next(numbers)


def kinds(events: list[r.Event]) -> list[str]:
    return [str(type(event).__struct_config__.tag).removeprefix("response.") for event in events]


# ---------------------------------------------------------------- waiting and streaming


def test_what_waited_is_said_as_one_delta_when_the_item_opens(number: Callable[[], int]) -> None:
    """F40: nothing is said of an item that was not announced."""
    state = MessageState()
    assert state.add("Hel", False, None, number) == []
    assert state.add("lo", False, None, number) == []
    added, part, delta = state.open(PLACE, number)
    assert added == r.ItemAdded(3, r.MessageItem("item_1", "in_progress"), 0)
    assert part == r.PartAdded("item_1", 3, 0, r.OutputText(""), 1)
    assert delta == r.TextDelta("item_1", 3, 0, "Hello", 2)
    assert state.add("!", False, None, number) == [r.TextDelta("item_1", 3, 0, "!", 3)]
    *_, done = state.close(COMPLETED, number)[0]
    assert isinstance(done, r.ItemDone) and done.item == r.MessageItem(
        "item_1", "completed", (r.OutputText("Hello!"),)
    )


@pytest.mark.parametrize("opened_after", [0, 1, 2, 3], ids="opened after {}".format)
def test_a_refusal_after_text_is_a_part_of_its_own(
    opened_after: int, number: Callable[[], int]
) -> None:
    """Q78."""
    state, events = MessageState(), []
    for place, (text, refusal) in enumerate([("a", False), ("b", True), ("c", False)]):
        if place == opened_after:
            events += state.open(PLACE, number)
        events += state.add(text, refusal, None, number)
    if opened_after == 3:
        events += state.open(PLACE, number)
    last, item = state.close(COMPLETED, number)
    parts = ["output_text", "refusal", "output_text"]
    expected = ["output_item.added"]
    for part in parts:
        expected += ["content_part.added", f"{part}.delta", f"{part}.done", "content_part.done"]
    assert kinds(events + last) == [*expected, "output_item.done"]
    assert item == r.MessageItem(
        "item_1", "completed", (r.OutputText("a"), r.Refusal("b"), r.OutputText("c"))
    )


@pytest.mark.parametrize("waits", [True, False], ids=["while it waits", "while it is open"])
def test_log_probabilities_are_kept(waits: bool, number: Callable[[], int]) -> None:
    tokens: list[Any] = [
        {"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": []},
        {"token": "b", "logprob": -2.0, "bytes": [98], "top_logprobs": []},
    ]
    state, events = MessageState(), []
    if not waits:
        events += state.open(PLACE, number)
    events += state.add("a", False, {"content": tokens[:1]}, number)
    events += state.add("b", False, {"content": tokens[1:], "refusal": None}, number)
    if waits:
        events += state.open(PLACE, number)
    deltas = [event for event in events if isinstance(event, r.TextDelta)]
    assert [t for delta in deltas for t in delta.logprobs] == tokens
    last, item = state.close(COMPLETED, number)
    assert isinstance(last[0], r.TextDone) and list(last[0].logprobs) == tokens
    assert item.content[0].logprobs == tuple(tokens)


@pytest.mark.parametrize("given", [{}, {"bytes": None}, {"top_logprobs": None}], ids=repr)
def test_a_token_gets_the_members_that_parsers_demand(
    given: dict[str, Any], number: Callable[[], int]
) -> None:
    state = MessageState()
    state.open(PLACE, number)
    token = {"token": "ü", "logprob": -1.0, **given}
    (told,) = state.add("ü", False, {"content": [token]}, number)[-1].logprobs
    assert told == {"token": "ü", "logprob": -1.0, "bytes": [195, 188], "top_logprobs": []}
    token["top_logprobs"] = [{"token": "u", "logprob": -2.0}]
    (told,) = state.add("ü", False, {"content": [token]}, number)[-1].logprobs
    assert told["top_logprobs"] == [{"token": "u", "logprob": -2.0, "bytes": [117]}]


@pytest.mark.parametrize("logprobs", [None, [], {}, {"content": None}, "x"], ids=repr)
def test_odd_log_probabilities_are_none(logprobs: Any, number: Callable[[], int]) -> None:
    state = MessageState()
    state.open(PLACE, number)
    assert state.add("a", False, logprobs, number)[-1].logprobs == ()


@pytest.mark.parametrize("waits", [True, False], ids=["while it waits", "while it is open"])
def test_citations_are_told_and_kept(waits: bool, number: Callable[[], int]) -> None:
    """Q79."""
    cited: list[dict[str, Any]] = [{"url": "a"}, {"url": "b"}]
    state, events = MessageState(), []
    if not waits:
        events += state.open(PLACE, number)
    events += state.annotate(cited[0], number)
    events += state.add("text", False, None, number)
    events += state.annotate(cited[1], number)
    if waits:
        events += state.open(PLACE, number)
    told = [event for event in events if isinstance(event, r.AnnotationAdded)]
    assert [(event.annotation_index, event.annotation) for event in told] == list(enumerate(cited))
    _, item = state.close(COMPLETED, number)
    assert item.content == (r.OutputText("text", tuple(cited)),)


def test_a_citation_of_a_refusal_has_no_place(number: Callable[[], int]) -> None:
    state = MessageState()
    state.open(PLACE, number)
    state.add("no", True, None, number)
    assert state.annotate({"url": "a"}, number) == []


# ---------------------------------------------------------------- reasoning


@pytest.mark.parametrize("waits", [True, False], ids=["waited", "open"])
def test_reasoning_as_text(waits: bool, number: Callable[[], int]) -> None:
    events, item = _reason(ReasoningState(as_summary=False), waits, number)
    assert kinds(events) == [
        "output_item.added",
        "content_part.added",
        *["reasoning_text.delta"] * (1 if waits else 2),
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
    ]
    assert item == r.ReasoningItem("item_1", (), (r.ReasoningText("Hm, yes"),), status="completed")


@pytest.mark.parametrize("waits", [True, False], ids=["waited", "open"])
def test_reasoning_under_the_names_of_open_responses(
    waits: bool, number: Callable[[], int]
) -> None:
    events, _ = _reason(ReasoningState(as_summary=False, open_names=True), waits, number)
    named = [kind for kind in kinds(events) if kind.startswith("reasoning")]
    assert named == [*["reasoning.delta"] * (1 if waits else 2), "reasoning.done"]


@pytest.mark.parametrize("waits", [True, False], ids=["waited", "open"])
def test_reasoning_as_summary(waits: bool, number: Callable[[], int]) -> None:
    events, item = _reason(ReasoningState(as_summary=True), waits, number)
    assert kinds(events) == [
        "output_item.added",
        "reasoning_summary_part.added",
        *["reasoning_summary_text.delta"] * (1 if waits else 2),
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    assert item == r.ReasoningItem("item_1", (r.SummaryText("Hm, yes"),), status="completed")


def _reason(
    state: ReasoningState, waits: bool, number: Callable[[], int]
) -> tuple[list[r.Event], r.Item]:
    events = [] if waits else state.open(PLACE, number)
    events += state.add("Hm", number)
    events += state.add(", yes", number)
    if waits:
        events += state.open(PLACE, number)
    last, item = state.close(COMPLETED, number)
    return events + last, item
