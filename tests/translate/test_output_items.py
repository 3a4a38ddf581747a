from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from anyturn.translate.output_items import (
    COMPLETED,
    INCOMPLETE,
    CallState,
    MessageState,
    Place,
    ReasoningState,
)
from anyturn.translate.tools import Tool, ToolKind
from anyturn.wire import responses as r

PLACE = Place("item_1", 3)
SHELL = Tool("shell", ToolKind.FUNCTION, "shell")
PATCH = Tool("apply_patch", ToolKind.CUSTOM, "apply_patch")
SEARCH = Tool("mcp__docs__search", ToolKind.FUNCTION, "search", "mcp__docs")


@pytest.fixture
def number() -> Callable[[], int]:
    numbers = count()
    return lambda: next(numbers)


def kinds(events: list[r.Event]) -> list[str]:
    return [str(type(event).__struct_config__.tag).removeprefix("response.") for event in events]


def call(tool: Tool | None, *arguments: str) -> CallState:
    state = CallState(0)
    state.tool = tool
    state.name = tool.chat_name if tool else ""
    state.call_id = "call_1"
    for piece in arguments:
        assert state.add(piece, lambda: 0) == []
    return state


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
    tokens: list[Any] = [{"token": "a", "logprob": -1.0}, {"token": "b", "logprob": -2.0}]
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


# ---------------------------------------------------------------- calls


def test_a_call_streams_its_arguments(number: Callable[[], int]) -> None:
    state = call(SHELL, '{"a"')
    added, waited = state.open(PLACE, number)
    assert added == r.ItemAdded(
        3, r.FunctionCall("item_1", "call_1", "shell", "", "in_progress"), 0
    )
    assert waited == r.ArgumentsDelta("item_1", 3, '{"a"', 1)
    assert state.add(":1}", number) == [r.ArgumentsDelta("item_1", 3, ":1}", 2)]
    events, item = state.close(COMPLETED, number)
    assert events[0] == r.ArgumentsDone("item_1", 3, "shell", '{"a":1}', 3)
    assert item == r.FunctionCall("item_1", "call_1", "shell", '{"a":1}', "completed")


def test_a_tool_from_a_namespace_gets_its_namespace_back(number: Callable[[], int]) -> None:
    """F25."""
    state = call(SEARCH, "{}")
    state.open(PLACE, number)
    _, item = state.close(COMPLETED, number)
    assert (item.name, item.namespace) == ("search", "mcp__docs")


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        pytest.param("", COMPLETED, "{}", id="F44, Q33 none"),
        pytest.param(" \n", COMPLETED, " \n{}", id="white space"),
        pytest.param("", INCOMPLETE, "", id="none, cut off"),
        pytest.param('{ "a":1 }', COMPLETED, '{ "a":1 }', id="verbatim"),
        pytest.param('{"a":', COMPLETED, '{"a":', id="broken ones are not repaired"),
        pytest.param('{"a":', INCOMPLETE, '{"a":', id="Q41 cut off ones are not closed"),
    ],
)
def test_arguments_are_handed_out_as_the_model_wrote_them(
    arguments: str, status: str, told: str, number: Callable[[], int]
) -> None:
    state = call(SHELL, arguments)
    events = state.open(PLACE, number)
    last, item = state.close(status, number)
    deltas = [e.delta for e in events + last if isinstance(e, r.ArgumentsDelta)]
    assert "".join(deltas) == told
    assert item == r.FunctionCall("item_1", "call_1", "shell", told, status)


def test_a_freeform_call_says_its_input_when_it_is_whole(number: Callable[[], int]) -> None:
    """F24."""
    state = call(PATCH, '{"input":', '"*** Begin"}')
    assert kinds(state.open(PLACE, number)) == ["output_item.added"]
    events, item = state.close(COMPLETED, number)
    assert events[:2] == [
        r.InputDelta("item_1", 3, "*** Begin", 1),
        r.InputDone("item_1", 3, "*** Begin", 2),
    ]
    assert item == r.CustomToolCall("item_1", "call_1", "apply_patch", "*** Begin", "completed")


@pytest.mark.parametrize(
    ("tool", "prefix", "early"),
    [(SHELL, "fc", True), (SEARCH, "fc", True), (PATCH, "ctc", False), (None, "fc", False)],
    ids=["function", "namespaced", "freeform", "not known yet"],
)
def test_a_call_is_announced_once_its_tool_is_known(
    tool: Tool | None, prefix: str, early: bool
) -> None:
    """F42, Q51; freeform input could still be cut off."""
    state = call(tool)
    assert (state.id_prefix, state.may_open_early) == (prefix, early)


@pytest.mark.parametrize(
    ("name", "provider_id", "arguments", "begun"),
    [
        *(("", "", "", False), ("", "", " ", False), ("f", "", "", True), ("", "c", "", True)),
        ("", "", "{", True),
    ],
)
def test_an_empty_place_for_a_call_is_no_call(
    name: str, provider_id: str, arguments: str, begun: bool
) -> None:
    state = call(None, arguments)
    state.name, state.provider_id = name, provider_id
    assert state.is_begun is begun


@pytest.mark.parametrize(
    ("arguments", "whole"),
    [("{}", True), (' {"a":1} ', True), ("", False), ("{", False), ("[]", False), ('"x"', False)],
)
def test_arguments_are_whole_when_they_are_one_object(arguments: str, whole: bool) -> None:
    assert call(SHELL, arguments).is_whole() is whole
