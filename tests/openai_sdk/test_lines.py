from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest

from anyturn.openai_sdk import (
    Answered,
    CallDetected,
    CallNamed,
    CallsCompleted,
    Ending,
    Finding,
    MessagesSent,
    ReasoningStarted,
    RequestFailed,
    RequestSent,
    Rule,
    TextStarted,
    ToolCall,
)
from anyturn.openai_sdk.lines import lines

CALL = ToolCall(0, "call_1", "add_task", '{"title":"Test"}')


def completed(**members: Any) -> CallsCompleted:
    given: dict[str, Any] = {
        "streamed": True,
        "finish_reason": "tool_calls",
        "is_whole": True,
        "calls": (CALL,),
        "has_text": False,
    }
    return CallsCompleted(turn=1, at=1.0, **{**given, **members})


def answered(**members: Any) -> Answered:
    given: dict[str, Any] = {
        "streamed": True,
        "ending": Ending.COMPLETE,
        "finish_reason": "tool_calls",
        "calls": (CALL,),
        "has_text": False,
        "has_reasoning": False,
        "chunks": 9,
        "first_delta": 0.5,
        "first_call": 0.75,
        "input_tokens": None,
        "output_tokens": None,
        "rules": (),
    }
    return Answered(turn=1, at=1.0, **{**given, **members})


def sent(**members: Any) -> RequestSent:
    given: dict[str, Any] = {
        "api": "chat",
        "model": "m",
        "stream": True,
        "messages": 2,
        "tools": ("add_task", "list_tasks"),
        "tool_choice": "auto",
    }
    return RequestSent(turn=1, at=0.0, **{**given, **members})


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        pytest.param(
            sent(),
            [
                "[LLM REQUEST] stream=True model=m messages=2 api=chat",
                "[OK] Tools: ['add_task', 'list_tasks']",
                "Tool choice: auto",
            ],
            id="request",
        ),
        pytest.param(
            sent(tools=()),
            ["[LLM REQUEST] stream=True model=m messages=2 api=chat", "No tools in this request"],
            id="request without tools",
        ),
        pytest.param(
            MessagesSent(
                turn=1, at=0.0, messages=({"role": "user", "content": "Hi"}, {"type": "x"})
            ),
            ["  user: Hi", '  x: {"type":"x"}'],
            id="messages",
        ),
        pytest.param(
            CallDetected(turn=1, at=0.0, index=0),
            ["[LLM STREAM] New tool call detected at index 0"],
            id="call",
        ),
        pytest.param(
            CallNamed(turn=1, at=0.0, index=0, id="c", name="add_task"),
            ["[LLM STREAM] Tool call [0] name: add_task"],
            id="name",
        ),
        pytest.param(TextStarted(turn=1, at=0.0), ["[LLM STREAM] Text content started"], id="text"),
        pytest.param(
            ReasoningStarted(turn=1, at=0.0), ["[LLM STREAM] Reasoning started"], id="reasoning"
        ),
        pytest.param(
            completed(),
            [
                "[LLM STREAM] Finish reason: tool_calls",
                "[LLM STREAM] Tool calls completed: 1",
                '  [0] add_task(id=call_1) args={"title":"Test"}',
            ],
            id="completed",
        ),
        pytest.param(
            completed(calls=(), has_text=True, finish_reason="stop"),
            [
                "[LLM STREAM] Finish reason: stop",
                "[LLM STREAM] Response was text-only (no tool calls)",
            ],
            id="text only",
        ),
        pytest.param(
            completed(streamed=False, is_whole=False, finish_reason="length"),
            [
                "[LLM RESPONSE] Finish reason: length",
                "[LLM RESPONSE] Tool calls perhaps cut off: 1",
                '  [0] add_task(id=call_1) args={"title":"Test"}',
            ],
            id="cut off, not streamed",
        ),
        pytest.param(
            answered(),
            [
                "[LLM STREAM] Complete after 1.000 s, 9 chunks, "
                "first delta 0.500 s, first call 0.750 s"
            ],
            id="end",
        ),
        pytest.param(
            answered(
                streamed=False, first_delta=None, first_call=None, input_tokens=3, output_tokens=4
            ),
            ["[LLM RESPONSE] Complete after 1.000 s, tokens 3 in, 4 out"],
            id="end, not streamed",
        ),
        pytest.param(
            answered(ending=Ending.CUT, finish_reason="", first_delta=None, first_call=None),
            [
                "[LLM STREAM] Tool calls begun, not completed: 1",
                '  [0] add_task(id=call_1) args={"title":"Test"}',
                "[LLM STREAM] Cut off after 1.000 s, 9 chunks",
            ],
            id="cut",
        ),
    ],
)
def test_an_event_reads_so(event: Any, expected: list[str]) -> None:
    assert lines(event, str) == (logging.INFO, expected)


def test_findings_are_warnings() -> None:
    finding = Finding(turn=1, at=0.0, rule=Rule.ID_MISSING, words="never got an id", index=2)
    expected = "[LLM WARNING] id_missing: Call [2] never got an id"
    assert lines(finding, str) == (logging.WARNING, [expected])


def test_failures_are_errors_with_their_cause() -> None:
    failed = RequestFailed(
        turn=1, at=0.0, error="APIConnectionError", words="Gone.", cause="OSError: reset", status=0
    )
    expected = "[LLM ERROR] APIConnectionError: Gone. ← OSError: reset"
    assert lines(failed, str) == (logging.ERROR, [expected])


def test_arguments_are_cut_at_200_characters() -> None:
    call = ToolCall(0, "call_1", "add_task", "x" * 500)
    assert lines(completed(calls=(call,)), str)[1][2].endswith("args=" + "x" * 200 + "...")
    exact = ToolCall(0, "call_1", "add_task", "x" * 200)
    assert lines(completed(calls=(exact,)), str)[1][2].endswith("args=" + "x" * 200)


def test_a_secret_is_masked_before_it_is_cut() -> None:
    call = ToolCall(0, "call_1", "add_task", "x" * 195 + "planted-secret")
    told = lines(completed(calls=(call,)), lambda text: text.replace("planted-secret", "?"))[1][2]
    assert "plant" not in told


@pytest.mark.parametrize("ending", list(Ending))
def test_every_ending_has_words(ending: Ending) -> None:
    assert lines(answered(ending=ending), str)[1]


def test_the_guide_explains_every_rule() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "openai-sdk.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", guide, re.MULTILINE) == [str(rule) for rule in Rule]
