from __future__ import annotations

import asyncio
import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.openai_sdk import (
    Answered,
    CallDetected,
    CallNamed,
    CallsCompleted,
    Ending,
    Event,
    Finding,
    ReasoningStarted,
    RequestFailed,
    Rule,
    TextStarted,
    ToolCall,
)
from anyturn.openai_sdk.report import Listeners, Report
from anyturn.openai_sdk.requests import read_body
from anyturn.openai_sdk.watch import MAX_ARGUMENTS, MAX_FINDINGS, AnswerWatch
from support.sdk_chunks import BODY, delta, one_call

SENT = read_body("chat", BODY)


def watched(report: Report, chunks: list[Any], end: str = "end") -> AnswerWatch:
    watch = AnswerWatch(report, SENT)
    for chunk in chunks:
        watch.see(chunk)
    getattr(watch, end)()
    return watch


def rules(told: list[Event]) -> list[Rule]:
    return [event.rule for event in told if isinstance(event, Finding)]


def end_of(told: list[Event]) -> Answered:
    [end] = [event for event in told if isinstance(event, Answered)]
    return end


def test_a_call_is_told_step_by_step(report: Report, told: list[Event]) -> None:
    watched(report, one_call())
    assert [type(event) for event in told] == [CallDetected, CallNamed, CallsCompleted, Answered]
    call = ToolCall(0, "call_1", "add_task", '{"title":"Test"}')
    assert told[2].calls == (call,)  # type: ignore[union-attr]
    end = end_of(told)
    assert (end.ending, end.finish_reason, end.calls) == (Ending.COMPLETE, "tool_calls", (call,))
    assert end.chunks == 4
    assert end.rules == ()


def test_reasoning_and_text_are_told_once(report: Report, told: list[Event]) -> None:
    chunks = [delta(reasoning="a"), delta(reasoning="b"), delta(content="c"), delta(content="d")]
    watched(report, [*chunks, delta(finish="stop")])
    kinds = [type(event) for event in told]
    assert kinds == [ReasoningStarted, TextStarted, CallsCompleted, Answered]
    assert end_of(told).has_text
    assert end_of(told).has_reasoning


def test_times_count_from_the_request(told: list[Event], report: Report, tick: Any) -> None:
    watch = AnswerWatch(report, SENT, started=-10.0, clock=tick)
    watch.see(delta(content="Hi"))
    for chunk in one_call():
        watch.see(chunk)
    watch.end()
    end = end_of(told)
    assert end.first_delta is not None
    assert end.first_call is not None
    assert 10.0 <= end.first_delta < end.first_call < end.at


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        pytest.param(one_call(), [], id="nothing wrong"),
        pytest.param(one_call('{"title": "a'), [Rule.ARGUMENTS_INVALID], id="broken JSON"),
        pytest.param(one_call('{"priority":1}'), [Rule.ARGUMENTS_MISFIT], id="misfit"),
        pytest.param(
            one_call('{"title": "a', finish="length"),
            [Rule.CUT_OFF, Rule.ARGUMENTS_TRUNCATED],
            id="length",
        ),
        pytest.param(
            one_call('{"title": "a', finish=None),
            [Rule.ENDED_EARLY, Rule.ARGUMENTS_TRUNCATED],
            id="ended early",
        ),
        pytest.param(one_call(finish="stop"), [Rule.FINISH_MISMATCH], id="Q58"),
        pytest.param([delta(finish="tool_calls")], [Rule.CALLS_MISSING], id="Q59"),
        pytest.param([delta(finish="stop")], [Rule.EMPTY_ANSWER], id="empty"),
        pytest.param([delta(content="x", finish="content_filter")], [Rule.CUT_OFF], id="filter"),
        pytest.param(
            [delta(index=0, id="call_1", arguments="{}"), delta(finish="tool_calls")],
            [Rule.NAME_MISSING],
            id="Q57",
        ),
        pytest.param(
            [*one_call(), delta(index=0, arguments="x")], [Rule.LATE_CALL], id="after the finish"
        ),
        pytest.param([*one_call(), delta(index=0, arguments=" \n")], [], id="Q54"),
        pytest.param(
            [delta(content='<tool_call>{"name":"add_task","arguments":{}}'), delta(finish="stop")],
            [Rule.LEAKED_CALL],
            id="leaked",
        ),
        pytest.param([delta(content="x", finish="error")], [Rule.PROVIDER_ERROR], id="error"),
    ],
)
def test_what_is_wrong_is_found(
    report: Report, told: list[Event], chunks: list[Any], expected: list[Rule]
) -> None:
    watched(report, chunks)
    assert rules(told) == expected
    assert end_of(told).rules == tuple(expected)


@pytest.mark.parametrize(
    ("chunks", "end", "ending"),
    [
        pytest.param(one_call(finish=None), "end", Ending.CUT, id="cut"),
        pytest.param(one_call(finish=None), "leave", Ending.CLOSED, id="closed"),
        pytest.param(one_call(), "leave", Ending.COMPLETE, id="closed behind the finish"),
        pytest.param([delta(finish="error")], "end", Ending.FAILED, id="error in a chunk"),
        pytest.param([], "hand_over", Ending.UNREAD, id="handed over"),
    ],
)
def test_the_ending_is_told(
    report: Report, told: list[Event], chunks: list[Any], end: str, ending: Ending
) -> None:
    watched(report, chunks, end)
    assert end_of(told).ending is ending


def test_a_program_that_leaves_is_not_blamed(report: Report, told: list[Event]) -> None:
    watched(report, one_call('{"ti', finish=None), "leave")
    assert rules(told) == []


def test_an_exception_is_told_with_what_came_before(report: Report, told: list[Event]) -> None:
    watch = AnswerWatch(report, SENT)
    for chunk in one_call('{"title":"x"', finish=None):
        watch.see(chunk)
    watch.fail(ConnectionError("gone"))
    failed, finding, end = told[-3:]
    assert isinstance(failed, RequestFailed)
    assert (failed.error, failed.words) == ("ConnectionError", "gone")
    assert isinstance(finding, Finding)
    assert finding.rule is Rule.ARGUMENTS_TRUNCATED
    assert isinstance(end, Answered)
    assert end.ending is Ending.FAILED


def test_a_cancelled_turn_is_no_error(report: Report, told: list[Event]) -> None:
    watch = AnswerWatch(report, SENT)
    watch.fail(asyncio.CancelledError())
    assert [type(event) for event in told] == [Answered]
    assert end_of(told).ending is Ending.CANCELLED


def test_the_end_is_told_once(report: Report, told: list[Event]) -> None:
    watch = watched(report, one_call())
    watch.end()
    watch.leave()
    watch.fail(ValueError())
    watch.see(delta(content="x"))
    assert end_of(told).chunks == 4


def test_a_finding_is_told_once_for_each_call(report: Report, told: list[Event]) -> None:
    chunks = [delta(index=5, id="call_1", name="add_task")]
    chunks += [delta(index=5, arguments=piece) for piece in '{"title":"x"}']
    watched(report, [*chunks, delta(finish="tool_calls")])
    assert rules(told) == [Rule.INDEX_MIXED]


def test_findings_are_limited(report: Report, told: list[Event]) -> None:
    chunks = [delta(index=n, id=f"c{n}", name="never_declared") for n in range(2 * MAX_FINDINGS)]
    watched(report, [*chunks, delta(finish="tool_calls")])
    assert len(rules(told)) == MAX_FINDINGS


def test_arguments_are_kept_up_to_a_limit(report: Report, told: list[Event]) -> None:
    piece = "x" * (MAX_ARGUMENTS // 4)
    chunks = [delta(index=0, id="call_1", name="add_task", arguments='{"title":"')]
    chunks += [delta(index=0, arguments=piece) for _ in range(8)]
    watch = watched(report, [*chunks, delta(finish="tool_calls")])
    assert rules(told) == [Rule.TOO_LONG]
    assert len(watch.calls[0].arguments) <= MAX_ARGUMENTS


class _Trap:
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("a shape that nobody thought of")


def test_what_cannot_be_read_disturbs_nobody(report: Report, told: list[Event]) -> None:
    watch = AnswerWatch(report, SENT)
    watch.see(_Trap())
    watch.see(delta(content="Hi"))
    watch.end()
    watch.see_whole(_Trap())
    assert told == []


def test_a_watch_is_no_circle_that_waits_for_the_collector(report: Report) -> None:
    gc.disable()
    try:
        for answer in (one_call(), [SimpleNamespace(type="response.created")]):
            watch = watched(report, answer)
            gone = weakref.ref(watch)
            del watch
            assert gone() is None
    finally:
        gc.enable()


def test_responses_are_told_from_chunks_by_their_first_event(told: list[Event]) -> None:
    watch = AnswerWatch(Report(Listeners(told.append, None)))
    watch.see(SimpleNamespace(type="response.created"))
    watch.see(SimpleNamespace(type="response.output_text.delta", delta="Hi"))
    watch.end()
    assert [type(event) for event in told] == [TextStarted, Finding, Answered]


def test_the_whole_arguments_of_a_call_count(told: list[Event]) -> None:
    watch = AnswerWatch(Report(Listeners(told.append, None)))
    done = SimpleNamespace(type="function_call", call_id="c", name="a", arguments='{"x":2}')
    for event in (
        SimpleNamespace(
            type="response.function_call_arguments.delta", output_index=0, delta='{"x":1}'
        ),
        SimpleNamespace(type="response.output_item.done", output_index=0, item=done),
    ):
        watch.see(event)
    watch.leave()
    assert rules(told) == [Rule.ARGUMENTS_CHANGED]
    assert end_of(told).calls[0].arguments == '{"x":2}'


members = st.none() | st.integers(0, 3) | st.text(max_size=3) | st.sampled_from(["stop", "{}"])


@given(
    st.lists(
        st.builds(
            delta,
            content=members,
            index=members,
            id=members,
            name=members,
            arguments=members,
            finish=st.none() | st.text(max_size=6) | st.sampled_from(["stop", "tool_calls"]),
        ),
        max_size=8,
    )
)
def test_every_stream_ends_exactly_once(chunks: list[Any]) -> None:
    told: list[Event] = []
    watched(Report(Listeners(told.append, None)), chunks)
    assert sum(isinstance(event, Answered) for event in told) == 1
    assert isinstance(told[-1], Answered)
    assert sum(isinstance(event, CallsCompleted) for event in told) <= 1
