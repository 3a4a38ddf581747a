from __future__ import annotations

from typing import Any

import msgspec
import pytest

from anyturn.errors import Kind, TurnError
from anyturn.translate import chat_to_responses
from anyturn.translate.envelope import unseal
from anyturn.wire import responses as r
from anyturn.wire.chat import decode_chunk
from anyturn.wire.chat_stream import Frame
from support.turns import (
    PROFILE,
    Run,
    call_delta,
    chunk,
    last,
    new_machine,
    outputs,
    receive,
    run_blocks,
    run_chunks,
    shell,
    spoken,
    sse_stream,
)

JSON = dict[str, Any]
TAGGED = PROFILE.replacing(think_tags=True)

# ---------------------------------------------------------------- how a stream ends


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing at all"),
        pytest.param(b"data: [DONE]\n\n", id="only [DONE]"),
        pytest.param(sse_stream(spoken()), id="Q9 text and [DONE]"),
        pytest.param(sse_stream(spoken())[:-14], id="Q9 text"),
        pytest.param(sse_stream(shell())[:-14], id="Q9 a whole call"),
        pytest.param(sse_stream(spoken(), shell('{"a"'))[:-60], id="a cut frame"),
        pytest.param(sse_stream(chunk({"reasoning": "Hm"})), id="reasoning"),
        pytest.param(b": ping\n\n", id="a comment"),
    ],
)
def test_a_stream_without_a_finish_reason_is_never_completed(body: bytes) -> None:
    """F39, I6."""
    run = run_blocks([body])
    response = run.check()
    assert response["status"] == "failed"
    assert response["error"]["code"] == "server_error"
    assert "Acme's stream ended before the answer did" in response["error"]["message"]
    assert not [item for item in run.done_items() if "call_id" in item]


def test_a_finish_reason_without_done_is_enough() -> None:
    """Q8."""
    run = run_blocks([sse_stream(spoken(), last())[:-14]])
    assert run.check()["status"] == "completed"


@pytest.mark.parametrize(
    ("chunks", "status", "reason"),
    [
        pytest.param([spoken(), last()], "completed", None, id="F54 finish without a delta"),
        pytest.param([chunk({"content": "Hi"}, "stop")], "completed", None, id="Q52 with the text"),
        pytest.param(
            [spoken(), {"choices": [{"finish_reason": "stop"}]}],
            "completed",
            None,
            id="Q14 no delta",
        ),
        pytest.param(
            [spoken(), last(), {"choices": [], "usage": {"prompt_tokens": 1}}],
            "completed",
            None,
            id="F54 usage after it",
        ),
        pytest.param([spoken(), last(), last(None)], "completed", None, id="null after it"),
        pytest.param([shell(), last("stop")], "completed", None, id="Q58 stop with calls"),
        pytest.param(
            [spoken(), last("length")], "incomplete", "max_output_tokens", id="F53 length"
        ),
        pytest.param(
            [spoken(), last("content_filter")], "incomplete", "content_filter", id="F53 filter"
        ),
        pytest.param(
            [spoken(), last("length"), last("stop")],
            "incomplete",
            "max_output_tokens",
            id="I6 length, then stop",
        ),
        pytest.param(
            [spoken(), last("stop"), last("length")],
            "incomplete",
            "max_output_tokens",
            id="I6 stop, then length",
        ),
        pytest.param([last("length")], "incomplete", "max_output_tokens", id="length and no text"),
        pytest.param([last()], "completed", None, id="an empty answer"),
        pytest.param([spoken(), last("error")], "failed", None, id="F53 error"),
    ],
)
def test_the_finish_reason_decides_the_status(
    chunks: list[JSON], status: str, reason: str | None
) -> None:
    response = run_chunks(*chunks).check()
    assert response["status"] == status
    assert (response["incomplete_details"] or {}).get("reason") == reason


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b'data: {"error":{"message":"boom","code":500}}\n\n', id="Q4"),
        pytest.param(b'event: error\ndata: {"error":{"message":"boom"}}\n\n', id="Q3"),
        pytest.param(b'data: {"object":"error","message":"boom","code":400}\n\n', id="Q5"),
        pytest.param(b'data: {"error":{"message":"boom"},"status_code":429}\n\n', id="Q6"),
        pytest.param(
            b'data: {"error":{"code":502,"message":"boom"},"choices":[{"index":0,"delta":'
            b'{"content":"tail"},"finish_reason":"error"}]}\n\n',
            id="Q7",
        ),
        pytest.param(b'data: {"detail":"boom"}\n\n', id="F55 detail"),
        pytest.param(
            b'data: {"base_resp":{"status_code":2013,"status_msg":"boom"},"choices":null}\n\n',
            id="F55 base_resp",
        ),
        pytest.param(b'data: {"success":false,"message":"boom","data":{}}\n\n', id="Q12"),
        pytest.param(b"data: boom}\n\n", id="Q11"),
    ],
)
def test_an_error_inside_the_stream_fails_the_turn_in_the_providers_words(frame: bytes) -> None:
    """F55, I6. Neither [DONE] nor a finish reason makes it good again."""
    run = run_blocks([sse_stream(spoken(), shell())[:-14], frame, sse_stream(last())])
    response = run.check()
    assert response["status"] == "failed"
    assert "boom" in response["error"]["message"]
    assert run.done_items()[0]["content"][0]["text"] == "Hi"
    assert len(run.done_items()) == 1


# ---------------------------------------------------------------- order of items

ITEM = ["output_item.added", "content_part.added"]
TEXT = [*ITEM, "output_text.delta", "output_text.done", "content_part.done", "output_item.done"]
REASONING = [
    *(*ITEM, "reasoning_text.delta", "reasoning_text.done", "content_part.done"),
    "output_item.done",
]
CALL = [
    *("output_item.added", "function_call_arguments.delta", "function_call_arguments.done"),
    "output_item.done",
]


@pytest.mark.parametrize(
    ("chunks", "types"),
    [
        pytest.param([spoken(), spoken(" you")], TEXT, id="text"),
        pytest.param(
            [chunk({"reasoning": "Hm"}), spoken()], REASONING + TEXT, id="F40 reasoning, text"
        ),
        pytest.param(
            [chunk({"reasoning_content": "Hm"}), shell()], REASONING + CALL, id="F40 call"
        ),
        pytest.param([spoken(), shell()], TEXT + CALL, id="text, call"),
        pytest.param([shell(), spoken()], CALL + TEXT, id="call, text"),
        pytest.param(
            [shell(), spoken(), shell(index=1, id="call_2"), chunk({"reasoning": "Hm"})],
            CALL + TEXT + CALL + REASONING,
            id="call, text, call, reasoning",
        ),
        pytest.param(
            [chunk({"reasoning": "Hm", "content": "Hi", "tool_calls": []})],
            REASONING + TEXT,
            id="both in one delta",
        ),
        pytest.param(
            [spoken(), chunk({"reasoning": "Hm"}), spoken()], TEXT + REASONING + TEXT, id="in turns"
        ),
    ],
)
def test_items_come_one_after_another_in_the_order_in_which_they_began(
    chunks: list[JSON], types: list[str]
) -> None:
    """F40, F43: each is announced once, and closed before the next is announced."""
    run = run_chunks(*chunks, last())
    assert run.types == ["created", "in_progress", *types, "completed"]


def test_text_after_a_call_waits_for_the_call_and_keeps_its_place() -> None:
    machine = new_machine()
    machine.start()
    receive(machine, shell('{"a"'))
    assert receive(machine, spoken("Let me see")) == []
    [delta] = receive(machine, chunk(call_delta(":1}", index=0)))
    assert delta.type_name == "response.function_call_arguments.delta"
    receive(machine, last("tool_calls"))
    machine.end()
    assert machine.terminal is not None
    assert [item.id.partition("_")[0] for item in machine.terminal.response.output] == ["fc", "msg"]


def test_arguments_of_the_first_call_stream_while_those_of_the_second_wait() -> None:
    """F43."""
    machine = new_machine()
    machine.start()
    added, _ = receive(machine, shell('{"a"'))
    assert added.type_name == "response.output_item.added"
    assert receive(machine, shell('{"b"', index=1, id="call_2")) == []
    [delta] = receive(machine, chunk(call_delta(":1}", index=0)))
    assert (delta.event.delta, delta.event.item_id) == (":1}", added.event.item.id)
    assert receive(machine, chunk(call_delta(":2}", index=1))) == []
    receive(machine, last("tool_calls"))
    machine.end()
    assert machine.terminal is not None
    output = machine.terminal.response.output
    assert [(item.call_id, item.arguments) for item in output] == [
        ("call_1", '{"a":1}'),
        ("call_2", '{"b":2}'),
    ]


@pytest.mark.parametrize(
    ("chunks", "phases"),
    [
        pytest.param([spoken(), last()], ["final_answer"], id="an answer"),
        pytest.param([spoken(), shell(), last()], ["commentary"], id="words before a call"),
        pytest.param([shell(), spoken(), last()], ["commentary"], id="words after a call"),
        pytest.param(
            [spoken("a"), chunk({"reasoning": "Hm"}), spoken("b"), last()],
            ["commentary", "final_answer"],
            id="words before reasoning",
        ),
        pytest.param(
            [spoken(), chunk({"tool_calls": [{"index": 0}]}), last()],
            ["final_answer"],
            id="an empty place for a call",
        ),
        pytest.param([spoken(), last("length")], [None], id="words that were cut off"),
    ],
)
def test_a_message_says_whether_the_model_goes_on_after_it_f52(
    chunks: list[JSON], phases: list[str | None]
) -> None:
    output = run_chunks(*chunks).check()["output"]
    assert [item.get("phase") for item in output if item["type"] == "message"] == phases


# ---------------------------------------------------------------- usage


def test_the_last_usage_counts() -> None:
    """Q61."""
    run = run_chunks(
        chunk({"content": "Hi"}, usage={"prompt_tokens": 5, "completion_tokens": 1}),
        last(usage=None),
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 9}},
    )
    assert run.check()["usage"]["output_tokens"] == 9


@pytest.mark.parametrize("finish", ["stop", "length", None])
def test_usage_that_is_not_told_is_estimated_and_reported(finish: str | None) -> None:
    """F58."""
    run = run_chunks(chunk({"reasoning": "Hmm?"}), spoken("four"), shell('{"ab":1}'), last(finish))
    usage = run.check()["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (100, 4)
    assert [a.rule for a in run.machine.adaptations] == ["usage.estimated"]


# ---------------------------------------------------------------- after the end, and limits

ENDINGS = {
    "completed": [spoken(), last()],
    "incomplete": [spoken(), last("length")],
    "failed": [spoken(), {"error": {"message": "boom"}}],
}
INPUTS = {
    "start": lambda m: m.start(),
    "text": lambda m: receive(m, spoken()),
    "reasoning": lambda m: receive(m, chunk({"reasoning": "x"})),
    "refusal": lambda m: receive(m, chunk({"refusal": "x"})),
    "citation": lambda m: receive(m, chunk({"annotations": [{"type": "x"}]})),
    "call": lambda m: receive(m, shell()),
    "finish": lambda m: receive(m, last("length")),
    "usage": lambda m: receive(m, {"choices": [], "usage": {"prompt_tokens": 9}}),
    "error": lambda m: receive(m, {"error": {"message": "again"}}),
    "end": lambda m: m.end(),
    "fail": lambda m: m.fail(TurnError(Kind.PROVIDER_BROKEN, "again")),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("method", INPUTS)
def test_nothing_follows_the_terminal_event(ending: str, method: str) -> None:
    """I5."""
    run = run_chunks(*ENDINGS[ending])
    terminal, error = run.machine.terminal, run.machine.error
    assert terminal is not None and terminal.response.status == ending
    assert INPUTS[method](run.machine) == []
    assert run.machine.terminal is terminal and run.machine.error is error


def test_a_turn_may_fail_before_anything_was_said() -> None:
    machine = new_machine()
    events = machine.start() + machine.fail(
        TurnError(Kind.PROVIDER_TIMEOUT, "Too slow.", param="x", provider="acme")
    )
    response = Run(machine, events).check()
    assert response["error"] == {"code": "provider_timeout", "message": "Too slow."}


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "123456"},
        {"reasoning": "123456"},
        {"refusal": "123456"},
        call_delta("123456", "shell", index=0, id="c"),
    ],
    ids=["text", "reasoning", "refusal", "arguments"],
)
def test_an_answer_has_a_limit(delta: JSON, monkeypatch: pytest.MonkeyPatch) -> None:
    """A1."""
    monkeypatch.setattr(chat_to_responses, "MAX_ANSWER_CHARACTERS", 10)
    assert run_chunks(chunk(delta), last("length")).check()["status"] == "incomplete"
    response = run_chunks(chunk(delta), chunk(delta), last()).check()
    assert response["status"] == "failed"
    assert "characters" in response["error"]["message"]


def test_the_number_of_calls_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A1."""
    monkeypatch.setattr(chat_to_responses, "MAX_CALLS", 3)
    calls = [shell(index=i, id=f"call_{i}") for i in range(4)]
    assert run_chunks(*calls[:3], last()).check()["status"] == "completed"
    response = run_chunks(*calls, last()).check()
    assert response["status"] == "failed"
    assert "more than 3 tool calls" in response["error"]["message"]


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_words_held_back_come_before_the_call_that_follows_them(finish: str) -> None:
    """F50: what could have been the beginning of a tag is only text."""
    run = run_chunks(spoken("<thi"), shell(), last(finish), profile=TAGGED)
    assert outputs(run) == [[("text", "<thi")], ("function", "shell", "", "{}")]


def test_words_held_back_to_the_end_may_pass_the_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A1, I5: what could have been the beginning of a tag is said when the stream ends."""
    monkeypatch.setattr(chat_to_responses, "MAX_ANSWER_CHARACTERS", 4)
    run = run_chunks(spoken("<thin"), last(), profile=TAGGED)
    assert run.check()["status"] == "failed"


@pytest.mark.parametrize("summary", [True, False])
def test_reasoning_carries_its_text_sealed_for_its_provider(summary: bool) -> None:
    """F8, G8: what the provider needs back survives restarts at the client."""
    machine = new_machine(summary=summary, seal=True)
    for delta in ({"reasoning": "Because "}, {"reasoning": "of ä."}, {"content": "Yes"}):
        machine.receive(Frame(decode_chunk(msgspec.json.encode(chunk(delta)))))
    machine.receive(Frame(decode_chunk(msgspec.json.encode(last()))))
    machine.end()
    assert machine.terminal is not None
    item = machine.terminal.response.output[0]
    assert isinstance(item, r.ReasoningItem)
    assert unseal("reasoning", str(item.encrypted_content)) == ("acme", {"text": "Because of ä."})
