"""Providers that fail: what can be recovered is, without running a tool twice, and what cannot be
is said in words that a person understands, once."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from anyturn.testing import (
    Answer,
    Dropped,
    Raw,
    Refusal,
    ScriptedProvider,
    call,
    openai_error,
    raw_chunks,
    reasoning,
    text,
)
from anyturn.wire import responses as r

pytestmark = pytest.mark.codex

RUNS = Answer(call("exec_command", {"cmd": "echo ran >> log"}))
BUSY = openai_error("The server is busy.", type="server_error")


# ---------------------------------------------------------------- recovered by the gateway

BEFORE_THE_FIRST_BYTE = {
    "429-with-a-pause": Refusal(429, openai_error("Slow down."), {"Retry-After": "0.05"}),
    "429-without-a-pause-but-in-words": Refusal(
        429, openai_error("Rate limit reached. Please try again in 50ms.")
    ),
    "500": Refusal(500, BUSY, {"Retry-After": "0.05"}),
    "502-a-page": Refusal(502, "<html><title>Bad gateway</title></html>"),
    "503": Refusal(503, BUSY),
    "connection-dropped": Dropped(),
}


@pytest.mark.parametrize("failure", BEFORE_THE_FIRST_BYTE.values(), ids=BEFORE_THE_FIRST_BYTE)
async def test_a_failure_before_the_first_byte_is_not_seen_by_codex(stage, failure):
    """F63."""
    s = await stage(failure, RUNS, failure, text("Done."))
    run = await s.codex("Run it.")
    assert (s.workspace / "log").read_text() == "ran\n"
    assert (run.code, run.said, run.complaints) == (0, ["Done."], [])
    assert len(s.requests) == 4
    assert s.requests[0].raw == s.requests[1].raw


# ---------------------------------------------------------------- recovered by Codex

CALL = RUNS.parts[0]
ENDED = "ended before the answer did"
WORKER_DIED = {"message": "Worker died.", "code": 500}
PAGE = b"<html><title>Welcome</title></html>"
PASSING = {
    "500": (Refusal(500, BUSY), "The server is busy."),
    "503": (Refusal(503, BUSY), "The server is busy."),
    "504": (Refusal(504, "upstream request timeout"), "upstream request timeout"),
    "connection-dropped": (Dropped(), "cannot be reached"),
    "no-answer": (Raw(b""), "nothing came"),
    "not-an-answer": (Raw(PAGE, "text/html"), "Welcome"),
    "F55-error-in-the-stream": (
        Answer(reasoning("Hm."), CALL, error_after=(4, WORKER_DIED)),
        "Worker died.",
    ),
    "Q3-named-error-event": (
        Answer(CALL, error_after=(3, BUSY["error"]), event_error=True, done=False),
        "The server is busy.",
    ),
    "F39-cut-in-the-call": (Answer(CALL, cut_after=3), ENDED),
    "F39-cut-before-the-finish": (Answer(CALL, fragment=999, cut_after=3), ENDED),
    "Q8-end-without-finish": (Answer(CALL, finish=None), ENDED),
    "Q59-calls-announced-but-none-sent": (Answer(finish="tool_calls"), "announced tool calls"),
    "Q26-reasoning-and-no-answer": (Answer(reasoning("Hm.")), "reasoning but no answer"),
    "F47-undeclared-tool": (
        Answer(call("repo_browser.print_tree", {"path": "."})),
        "'repo_browser.print_tree'",
    ),
    "Q57-call-without-a-name": (Answer(call("", {"cmd": "true"})), "without naming it"),
}


@pytest.mark.parametrize(("failure", "words"), PASSING.values(), ids=PASSING)
async def test_codex_tries_again_after_a_failure_that_may_pass(stage, failure, words):
    """I6: of an answer that broke off nothing is executed, of the next one everything, once."""
    s = await stage(failure, RUNS, text("Done."), retries=0)
    run = await s.codex("Run it.")
    assert (s.workspace / "log").read_text() == "ran\n"
    assert (run.code, run.said) == (0, ["Done."])
    (complaint,) = run.complaints
    assert complaint.startswith("Reconnecting... 1/5")
    assert words in complaint
    assert len(s.requests) == 3


async def test_a_provider_that_stays_broken_ends_the_run_with_its_words(stage):
    s = await stage(*[Refusal(503, BUSY)] * 2, retries=0)
    run = await s.codex("Run it.", "-c", "model_providers.anyturn.stream_max_retries=1")
    assert run.code == 1
    assert len(s.requests) == 2
    why = run.events[-1]["error"]["message"]
    for words in ("Cerebras", "HTTP 503", "The server is busy."):
        assert words in why


async def test_an_undeclared_tool_is_named_to_the_user_and_left_out_of_the_history(stage):
    """F47, Q29."""
    undeclared = Answer(call("repo_browser.print_tree", {"path": "."}))
    s = await stage(undeclared, RUNS, text("Done."))
    run = await s.codex("Look around.")
    assert (s.workspace / "log").read_text() == "ran\n"
    assert "repo_browser.print_tree" in run.complaints[0]
    assert b"print_tree" not in s.requests[1].raw


async def test_when_the_gateway_gives_up_on_a_rate_limit_codex_waits_as_long_as_asked(stage):
    """F63; codex-cli.md section 8: a 429 without Retry-After would be fatal."""
    asked_at: list[float] = []

    def limited(body: dict[str, Any]) -> Refusal:
        asked_at.append(asyncio.get_running_loop().time())
        return Refusal(429, openai_error("Slow down."), {"Retry-After": "1"})

    def serves(body: dict[str, Any]) -> Answer:
        asked_at.append(asyncio.get_running_loop().time())
        return RUNS

    s = await stage(limited, serves, text("Done."), retries=0)
    run = await s.codex("Run it.")
    assert (s.workspace / "log").read_text() == "ran\n"
    assert (run.code, run.said) == (0, ["Done."])
    assert 1.0 <= asked_at[1] - asked_at[0] < 3.0


async def test_text_that_was_whole_before_the_cut_stays_in_the_history(stage):
    """codex-cli.md section 2.2: the input of the next try ends with an assistant message."""
    cut = Answer(text("I look first."), RUNS.parts[0], cut_after=5)
    s = await stage(cut, RUNS, text("Done."))
    run = await s.codex("Run it.")
    assert (s.workspace / "log").read_text() == "ran\n"
    assert run.said == ["I look first.", "Done."]
    said, bridge = s.requests[1].messages[-2:]
    assert said == {"role": "assistant", "content": "I look first."}
    assert bridge["role"] == "user"


async def test_text_that_was_cut_is_not_taken_for_an_answer(stage):
    s = await stage(Answer(text("This sentence is cut in the"), cut_after=2), text("Whole."))
    run = await s.codex("Say something.")
    assert (run.code, run.said) == (0, ["Whole."])
    assert b"This sentence" not in s.requests[1].raw


class OnFailure:
    """A tap that says when the first turn has failed."""

    def __init__(self) -> None:
        self.failed = asyncio.Event()

    def request(self, turn: Any) -> None: ...

    def ended(self, turn: Any) -> None: ...

    def provider_bytes(self, turn: Any, block: bytes) -> None: ...

    def events(self, turn: Any, events: list[r.Event]) -> None:
        if any(isinstance(event, r.Failed) for event in events):
            self.failed.set()


async def test_a_provider_that_is_not_up_yet_is_reached_by_a_later_try(stage):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    provider, tap = ScriptedProvider([RUNS, text("Done.")], port=port), OnFailure()
    s = await stage(provider=provider, taps=[tap], retries=0)
    codex = await s.start("Run it.")
    await tap.failed.wait()
    async with provider:
        run = await codex.result()
    assert (s.workspace / "log").read_text() == "ran\n"
    assert (run.code, run.said) == (0, ["Done."])
    assert "cannot be reached" in run.complaints[0]
    assert len(s.requests) == 2


# ---------------------------------------------------------------- cut short


def opened_call(arguments: str) -> Any:
    """A call whose arguments are not sent to their end."""
    function = {"name": "exec_command", "arguments": arguments}
    delta = {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]}
    return raw_chunks([{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}])


async def test_an_answer_at_its_length_limit_is_shown_and_said_to_be_incomplete(stage):
    """F53."""
    s = await stage(Answer(text("This is cut"), finish="length"))
    run = await s.codex("Say much.")
    assert (run.code, run.said) == (1, ["This is cut"])
    assert "max_output_tokens" in run.complaints[-1]
    assert len(s.requests) == 1


async def test_a_call_at_the_length_limit_is_not_executed(stage):
    """I6, F44, Q41."""
    cut = opened_call('{"cmd":"echo ran >> log')
    s = await stage(Answer(text("I run it."), cut, finish="length"))
    run = await s.codex("Run it.")
    assert list(s.workspace.iterdir()) == []
    assert (run.code, run.said) == (1, ["I run it."])
    assert "max_output_tokens" in run.complaints[-1]
    assert len(s.requests) == 1


async def test_after_a_filtered_answer_the_model_is_told_and_may_answer_again(stage):
    """F53; Codex adds its own message about the filter."""
    s = await stage(Answer(text("It is"), finish="content_filter"), text("I cannot say."))
    run = await s.codex("Tell me.")
    assert (run.code, run.said[-1]) == (0, "I cannot say.")
    assert "content_filter" in run.complaints[0]
    assert "blocked by a content filter" in s.requests[1].messages[-1]["content"]


# ---------------------------------------------------------------- fatal

HOPELESS = {
    "401-wrong-key": (
        Refusal(401, openai_error("Incorrect API key provided.", code="invalid_api_key")),
        ["Cerebras refused access", "Incorrect API key provided.", "CEREBRAS_API_KEY"],
    ),
    "403-forbidden": (
        Refusal(403, openai_error("Your key may not use this model.", type="permission_error")),
        ["Cerebras refused access", "Your key may not use this model."],
    ),
    "404-no-such-model": (
        Refusal(404, openai_error("Model gpt-oss-120b does not exist.", code="model_not_found")),
        ["Cerebras does not serve this model", "Model gpt-oss-120b does not exist."],
    ),
    "400-refused": (
        Refusal(400, openai_error("messages[3].content is wrong.")),
        ["Cerebras refused the request", "messages[3].content is wrong."],
    ),
    "F60-context-overflow": (
        Refusal(
            400,
            openai_error(
                "Please reduce the length of the messages or completion. Current length is 140000 "
                "while limit is 131072",
                code="context_length_exceeded",
            ),
        ),
        ["context window"],
    ),
    "402-no-balance": (
        Refusal(402, openai_error("Insufficient balance.", type="payment_required_error")),
        ["Quota exceeded. Check your plan and billing details."],
    ),
    "429-quota": (
        Refusal(
            429,
            openai_error(
                "You exceeded your current quota.",
                code="insufficient_quota",
                type="insufficient_quota",
            ),
        ),
        ["Quota exceeded. Check your plan and billing details."],
    ),
}


@pytest.mark.parametrize(("refusal", "words"), HOPELESS.values(), ids=HOPELESS)
async def test_what_cannot_succeed_is_said_once_and_not_tried_again(stage, refusal, words):
    """F60, F64."""
    s = await stage(refusal)
    run = await s.codex("Run it.")
    assert run.code == 1
    assert len(s.requests) == 1
    (complaint,) = run.complaints
    for said in words:
        assert said in complaint
    assert run.events[-1] == {"type": "turn.failed", "error": {"message": complaint}}
    assert "{" not in complaint


@pytest.mark.parametrize(
    ("code", "words"),
    [
        pytest.param("context_length_exceeded", "context window", id="context-overflow"),
        pytest.param("insufficient_quota", "Quota exceeded", id="quota"),
        pytest.param("model_not_found", "does not serve this model", id="model"),
        pytest.param("invalid_api_key", "refused access", id="key"),
    ],
)
async def test_what_cannot_succeed_is_final_inside_a_stream_too(stage, code, words):
    """F55."""
    error = openai_error("It cannot be done.", code=code)
    s = await stage(raw_chunks([error]))
    run = await s.codex("Run it.")
    assert run.code == 1
    assert len(s.requests) == 1
    assert words in run.complaints[-1]


async def test_a_key_that_the_provider_refuses_is_not_shown(stage):
    """A2."""
    s = await stage(api_key="right", environ={"CEREBRAS_API_KEY": "made-up-wrong-key"})
    run = await (await s.start("Hi.")).result()
    assert run.code == 1
    assert set(s.provider.refusals) == {"Incorrect API key provided."}
    (request,) = s.requests
    assert request.headers["Authorization"] == "Bearer made-up-wrong-key"
    assert "Incorrect API key provided." in run.complaints[0]
    assert "made-up-wrong-key" not in run.stdout + run.stderr


async def test_the_key_of_the_environment_reaches_the_provider_and_nobody_else(stage):
    s = await stage(text("Hi."), api_key="made-up", environ={"CEREBRAS_API_KEY": "made-up"})
    run = await s.codex("Hi.")
    assert run.said == ["Hi."]
    assert s.requests[0].headers["Authorization"] == "Bearer made-up"
