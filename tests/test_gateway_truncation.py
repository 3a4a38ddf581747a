"""What the gateway asks again where the context is full, and when it asks nobody."""

from __future__ import annotations

from typing import Any

import pytest

from anyturn.errors import Kind, TurnError
from anyturn.testing import Refusal, ScriptedProvider, openai_error, text
from anyturn.upstream import ProviderClient
from support.gateway_turns import LIMITS, TOOL, Sink, ask, gateway_at, said, stage

JSON = dict[str, Any]

WORDS = (
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000."
)
OVERFLOW = Refusal(400, openai_error(WORDS, code="context_length_exceeded"))
LONG: list[JSON] = [
    {"role": role, "content": f"{role} {number}"}
    for number in range(8)
    for role in ("user", "assistant")
] + [{"role": "user", "content": "the question"}]


async def test_where_the_context_is_full_older_rounds_are_left_out_until_it_fits() -> None:
    sink = Sink(accepting=False)
    async with stage(OVERFLOW, OVERFLOW, text("Fits.")) as (gateway, provider):
        response = await gateway.run(ask(input=LONG, truncation="auto"), sink)
        sent = [request.messages for request in provider.requests]
    assert [len(messages) for messages in sent] == [17, 9, 5]
    assert provider.refusals == []
    assert sent[2][0]["content"].startswith("[the beginning of the conversation was left out")
    assert sent[2][0]["content"].endswith("\n\nuser 6")
    assert sent[2][-1] == {"role": "user", "content": "the question"}
    assert said(response) == "Fits."
    assert response.truncation == "auto"
    (adaptations,) = sink.begun
    assert [one.rule for one in adaptations if one.lossy] == ["history.truncated"] * 2


async def test_a_long_turn_of_an_agent_is_shortened_too() -> None:
    turn: list[JSON] = [{"role": "user", "content": "Do it."}]
    for number in range(4):
        call_id = f"c{number}"
        turn += [
            {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": call_id, "output": f"out {number}"},
        ]
    async with stage(OVERFLOW, text("Done.")) as (gateway, provider):
        await gateway.run(ask(input=turn, tools=[TOOL], truncation="auto"), Sink(accepting=False))
        assert provider.refusals == []
        asked, *steps = provider.requests[1].messages
    assert asked["content"].endswith("\n\nDo it.")
    assert [one["content"] for one in steps if one["role"] == "tool"] == ["out 2", "out 3"]


async def test_what_does_not_fit_even_when_short_fails_with_the_providers_words() -> None:
    async with stage(OVERFLOW) as (gateway, provider):
        with pytest.raises(TurnError, match="maximum context length") as caught:
            await gateway.run(ask(truncation="auto"), Sink(accepting=False))
        assert len(provider.requests) == 1
    assert caught.value.kind is Kind.CONTEXT_OVERFLOW


@pytest.mark.parametrize("fields", [{}, {"truncation": "disabled"}, {"truncation": None}], ids=str)
async def test_without_leave_nothing_is_left_out_and_the_turn_fails(fields: JSON) -> None:
    async with stage(OVERFLOW, text("Never said.")) as (gateway, provider):
        with pytest.raises(TurnError) as caught:
            await gateway.run(ask(input=LONG, **fields), Sink(accepting=False))
        assert len(provider.requests) == 1
    assert caught.value.envelope()["error"]["code"] == "context_length_exceeded"
    assert caught.value.kind.status == 400


async def test_strict_mode_never_asks_for_less() -> None:
    script = [OVERFLOW, text("Never said.")]
    async with ScriptedProvider(script) as provider, ProviderClient(LIMITS) as client:
        gateway = gateway_at(provider.base_url, client, strict=True)
        with pytest.raises(TurnError, match="maximum context length") as caught:
            await gateway.run(ask(input=LONG, truncation="auto"), Sink(accepting=False))
        assert len(provider.requests) == 1
    assert caught.value.kind is Kind.CONTEXT_OVERFLOW


async def test_a_warm_up_is_answered_without_asking_the_provider() -> None:
    sink = Sink()
    async with stage(text("Never said.")) as (gateway, provider):
        response = await gateway.run(ask(generate=False, instructions="You code."), sink)
        assert provider.requests == []
    assert (response.status, response.output) == ("completed", ())
    assert sink.names == ["response.created", "response.in_progress", "response.completed"]
    assert response.usage is not None
    assert response.usage.total_tokens == 0


async def test_a_warm_up_is_refused_for_what_its_turn_would_be_refused_for() -> None:
    async with stage() as (gateway, _):
        request = ask(input=[{"type": "spell"}], generate=False)
        with pytest.raises(TurnError, match="is not an item type"):
            await gateway.run(request, Sink(accepting=False))
