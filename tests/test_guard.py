"""The checker on every turn: what is logged, what is stopped, what it may cost."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest

from anyturn import guard as guard_module
from anyturn.config import Settings
from anyturn.conformance import RULES, Severity, Verdict, check_stream
from anyturn.errors import TurnError
from anyturn.gateway import Gateway, Turn
from anyturn.guard import TurnGuard
from anyturn.memory import Caller
from anyturn.routing import Routing
from anyturn.server.sinks import Collected
from anyturn.testing import Answer, ScriptedResponsesServer, call, raw_chunks, text
from anyturn.testing.responses_rules import TOOL_TYPES
from anyturn.upstream import ProviderClient
from anyturn.wire import responses as r
from support.gateway_turns import KEY, LIMITS, TOOL, Sink, ask, said, stage

# A model's mistake that no gateway can mend: Codex cannot parse such arguments.
BROKEN = Answer(text("Let me see."), call("f", "{'city': Paris, }}"))
RULE = "items.arguments-not-json"


class Seen:
    """A tap that keeps the turns."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []

    def request(self, turn: Turn) -> None:
        self.turns.append(turn)

    def provider_bytes(self, turn: Turn, block: bytes) -> None:
        pass

    def events(self, turn: Turn, events: list[r.Event]) -> None:
        pass

    def ended(self, turn: Turn) -> None:
        pass


async def run(answer: Any, sink: Any, guard: TurnGuard, client: str = "codex") -> Turn:
    seen = Seen()
    async with stage(answer, guard=guard, taps=[seen]) as (gateway, _):
        await gateway.run(ask(tools=[TOOL]), sink, Caller(client=client))
    return seen.turns[0]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_good_turn_has_no_finding(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink()
    turn = await run(Answer(text("Fine."), call("f", "{}")), sink, TurnGuard(strict=True))
    assert turn.findings == []
    assert sink.names[-1] == "response.completed"
    assert warnings(caplog) == []


async def test_warn_logs_each_rule_once_and_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = Sink()
    answer = Answer(call("f", "{'a': }}"), call("f", "{'b': }}"))
    turn = await run(answer, sink, TurnGuard())
    assert sink.names[-1] == "response.completed"
    assert [finding.rule for finding in turn.findings] == [RULE, RULE]
    (line,) = warnings(caplog)
    assert f"check: {RULE} breaks codex: {{'a': }}}}" in line


async def test_strict_ends_the_turn_before_the_fault_and_says_why() -> None:
    sink = Sink()
    await run(BROKEN, sink, TurnGuard(strict=True))
    told = [msgspec.json.decode(r.encode_json(event)) for event in sink.events]
    assert sink.names[-2:] == ["error", "response.failed"]
    error = told[-1]["response"]["error"]
    assert RULE in error["message"]
    assert "break codex" in error["message"]
    done = [event["item"] for event in told if event["type"] == "response.output_item.done"]
    assert [item["type"] for item in done] == ["message"]
    assert told[-1]["response"]["output"] == done
    assert [event["sequence_number"] for event in told] == list(range(len(told)))


async def test_what_strict_leaves_is_a_stream_that_codex_understands() -> None:
    sink = Sink()
    await run(BROKEN, sink, TurnGuard(strict=True))
    report = check_stream([r.encode_json(event) for event in sink.events])
    assert report.findings == ()


async def test_strict_fails_an_answer_that_is_not_streamed_as_a_whole() -> None:
    with pytest.raises(TurnError, match=RULE) as failed:
        await run(BROKEN, Collected(), TurnGuard(strict=True))
    assert failed.value.kind.status == 500


async def test_strict_minds_only_what_breaks_the_client_that_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rule = msgspec.structs.replace(
        RULES[RULE], severity={**RULES[RULE].severity, "openai-python": Severity.NONE}
    )
    monkeypatch.setitem(RULES, RULE, rule)
    sink = Sink()
    await run(BROKEN, sink, TurnGuard(strict=True), client="openai-python")
    assert sink.names[-1] == "response.completed"
    unnamed = Sink()
    await run(BROKEN, unnamed, TurnGuard(strict=True), client="")
    assert unnamed.names[-1] == "response.completed"


async def test_an_unnamed_client_is_stopped_by_what_breaks_every_client() -> None:
    sink = Sink()
    await run(BROKEN, sink, TurnGuard(strict=True), client="")
    assert sink.names[-1] == "response.failed"


async def test_a_stopped_turn_is_not_remembered_as_completed() -> None:
    class Kept:
        def __init__(self) -> None:
            self.responses: list[Any] = []

    kept, sink = Kept(), Sink()
    async with stage(BROKEN, guard=TurnGuard(strict=True)) as (gateway, _):
        keep = gateway.memory.keep

        async def noted(recalled: Any, response: r.Response) -> None:
            kept.responses.append(response)
            await keep(recalled, response)

        gateway.memory.keep = noted  # type: ignore[method-assign]
        await gateway.run(ask(tools=[TOOL]), sink, Caller(client="codex"))
    assert [response.status for response in kept.responses] == ["failed"]


async def test_a_long_turn_is_checked_as_far_as_the_limit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="anyturn")
    sink = Sink()
    answer = Answer(text("word " * 200), call("f", "{'a': }}"), fragment=5, pace=0.001)
    turn = await run(answer, sink, TurnGuard(strict=True, max_events=50))
    assert sink.names[-1] == "response.completed"
    assert "the rest of this turn is not checked" in caplog.text
    assert turn.findings == []


async def test_a_checker_that_fails_has_no_say_in_the_turn(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def take(*_: object) -> list[Any]:
        raise RuntimeError(KEY)

    monkeypatch.setattr(guard_module.StreamChecker, "take", take)
    sink = Sink()
    await run(Answer(text("Fine.")), sink, TurnGuard(strict=True))
    assert sink.names[-1] == "response.completed"
    assert "the checker itself failed" in caplog.text
    assert KEY not in caplog.text


async def test_turns_that_end_leave_nothing_behind() -> None:
    guard = TurnGuard(strict=True)
    for answer in (Answer(text("a")), BROKEN, Answer(text("b"), finish=None)):
        await run(answer, Sink(), guard)
    assert guard._watched == {}


async def test_a_refusal_reaches_codex_as_text_and_others_as_a_refusal() -> None:
    def chunk(delta: Any, finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"id": "c", "object": "chat.completion.chunk", "choices": [choice]}

    refusing = Answer(raw_chunks([chunk({"refusal": "I will not."}), chunk({}, "stop")]))
    responses = {}
    for client in ("codex", "openai-python"):
        sink = Sink()
        await run(refusing, sink, TurnGuard(strict=True), client=client)
        responses[client] = sink.events[-1].response  # type: ignore[union-attr]
        events = [r.encode_json(event) for event in sink.events]
        assert check_stream(events).verdict(client) is Verdict.READY
    assert said(responses["codex"]) == "I will not."
    (item,) = responses["openai-python"].output
    assert item.content == (r.Refusal("I will not."),)


@pytest.mark.parametrize("types", [TOOL_TYPES, {"function"}], ids=["relayed", "raised"])
async def test_the_answer_of_a_responses_server_is_stopped_as_well(types: frozenset[str]) -> None:
    """Also where what is called was lowered to a function."""
    tools = [TOOL, {"type": "custom", "name": "g"}]
    server = ScriptedResponsesServer([BROKEN], strict=False, tools=types)
    sink = Sink()
    async with server, ProviderClient(LIMITS) as client:
        settings = Settings(base_url=server.base_url, model="gpt-oss-120b", wire="responses")
        gateway = Gateway(Routing(settings, {}), client, guard=TurnGuard(strict=True))
        await gateway.run(ask(tools=tools), sink, Caller(client="codex"))
    told = [msgspec.json.decode(r.encode_json(event)) for event in sink.events]
    assert [event["type"] for event in told[-2:]] == ["error", "response.failed"]
    assert RULE in told[-1]["response"]["error"]["message"]
    assert [item["type"] for item in told[-1]["response"]["output"]] == ["message"]
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
