"""The Agents SDK for Python: its loop, in each of the ways in which it keeps a history."""

from __future__ import annotations

from typing import Any

import agents
import pytest
from openai.types.responses import ResponseCompletedEvent
from pydantic import BaseModel

from anyturn.testing import Answer, call, reasoning, text
from support.tool_loop import ANSWER, QUESTION, check_history, run_tool, script

JSON = dict[str, Any]
MODEL = "gpt-oss-120b"


@agents.function_tool
async def weather(city: str) -> str:
    """How warm it is in a city."""
    return run_tool("weather", {"city": city})


@agents.function_tool
async def add(a: int, b: int) -> str:
    """The sum of two numbers."""
    return run_tool("add", {"a": a, "b": b})


def agent(**options: Any) -> agents.Agent[None]:
    given: JSON = {"name": "Guide", "instructions": "Be brief.", "tools": [weather, add]}
    return agents.Agent(**{**given, "model": MODEL, **options})


def config(client: Any, **options: Any) -> agents.RunConfig:
    """Nothing leaves this machine: no traces, and no model but the gateway's."""
    provider = agents.OpenAIProvider(openai_client=client, use_responses=True, **options)
    return agents.RunConfig(model_provider=provider, tracing_disabled=True)


async def run(streamed: bool, *arguments: Any, **options: Any) -> Any:
    if not streamed:
        return await agents.Runner.run(*arguments, **options)
    result = agents.Runner.run_streamed(*arguments, **options)
    raw = [event.data async for event in result.stream_events() if event.type.startswith("raw_")]
    assert sum(isinstance(event, ResponseCompletedEvent) for event in raw) == len(
        result.raw_responses
    )
    return result


STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["run", "run_streamed"])
SEALED = agents.ModelSettings(store=False, response_include=["reasoning.encrypted_content"])


@STREAMED
@pytest.mark.parametrize(
    ("keeps", "settings"),
    [
        ({}, agents.ModelSettings()),
        ({"auto_previous_response_id": True}, agents.ModelSettings()),
        ({}, SEALED),
        ({}, agents.ModelSettings(parallel_tool_calls=True, tool_choice="auto")),
    ],
    ids=["history", "previous_response_id", "not_stored", "parallel"],
)
async def test_a_tool_loop_of_three_steps(
    stage: Any, streamed: bool, keeps: JSON, settings: agents.ModelSettings
) -> None:
    on = await stage(*script())
    async with on.client() as client:
        guide = agent(model_settings=settings)
        result = await run(streamed, guide, QUESTION, **keeps, run_config=config(client))
    assert result.final_output == ANSWER
    check_history(on.provider)


@STREAMED
async def test_a_conversation_keeps_everything(stage: Any, streamed: bool) -> None:
    on = await stage(*script(), text("You are welcome."))
    async with on.client() as client:
        kept: JSON = {"conversation_id": (await client.conversations.create()).id}
        given = {**kept, "run_config": config(client)}
        result = await run(streamed, agent(), QUESTION, **given)
        assert result.final_output == ANSWER
        assert (await run(streamed, agent(), "Thanks.", **given)).final_output == "You are welcome."
    check_history(on.provider, asked=4)
    last = on.provider.requests[3].messages
    assert [message["content"] for message in last[-2:]] == [ANSWER, "Thanks."]


@STREAMED
async def test_a_second_turn_goes_on_from_the_first(stage: Any, streamed: bool) -> None:
    on = await stage(*script(), text("You are welcome."), text("Bye."))
    async with on.client() as client:
        given = {"run_config": config(client)}
        first = await run(streamed, agent(), QUESTION, **given)
        more = [*first.to_input_list(), {"role": "user", "content": "Thanks."}]
        assert (await run(streamed, agent(), more, **given)).final_output == "You are welcome."
        given["previous_response_id"] = first.last_response_id
        assert (await run(streamed, agent(), "Thanks.", **given)).final_output == "Bye."
    check_history(on.provider, asked=5)
    by_items, by_id = (request.messages for request in on.provider.requests[3:])
    assert by_items == by_id


async def test_a_loop_that_is_not_stored_forgets_only_what_it_does_not_ask_for(stage: Any) -> None:
    """clients.md 2.5: OpenAI answers this with 404 at the second step."""
    on = await stage(*script())
    async with on.client() as client:
        guide = agent(model_settings=agents.ModelSettings(store=False))
        result = await run(False, guide, QUESTION, run_config=config(client))
    assert result.final_output == ANSWER
    check_history(on.provider)


@STREAMED
async def test_a_session_of_the_servers_keeps_everything(stage: Any, streamed: bool) -> None:
    on = await stage(*script())
    async with on.client() as client:
        session = agents.OpenAIConversationsSession(openai_client=client)
        result = await run(streamed, agent(), QUESTION, session=session, run_config=config(client))
        assert result.final_output == ANSWER
        kinds = [item["type"] for item in await session.get_items()]
    check_history(on.provider)
    assert kinds == [
        *("message", "reasoning", "message", "function_call", "function_call"),
        *("function_call_output", "function_call_output"),
        *("reasoning", "function_call", "function_call_output", "reasoning", "message"),
    ]


class Report(BaseModel):
    """How warm it is."""

    city: str
    degrees: int


async def test_an_answer_of_a_declared_type_is_parsed(stage: Any) -> None:
    on = await stage(call("weather", {"city": "Berlin"}), text('{"city":"Berlin","degrees":7}'))
    async with on.client() as client:
        guide = agent(output_type=Report)
        result = await run(False, guide, QUESTION, run_config=config(client))
    assert result.final_output == Report(city="Berlin", degrees=7)


async def test_an_agent_hands_over_to_another(stage: Any) -> None:
    on = await stage(Answer(reasoning("Not mine."), call("transfer_to_other")), text(ANSWER))
    async with on.client() as client:
        other = agent(name="Other")
        result = await run(True, agent(handoffs=[other]), QUESTION, run_config=config(client))
    assert (result.final_output, result.last_agent.name) == (ANSWER, "Other")


async def test_a_freeform_tool_is_called_and_answered(stage: Any) -> None:
    on = await stage(call("note", {"input": "Berlin: 7"}), text(ANSWER))
    noted = []

    async def take(_: Any, words: str) -> str:
        noted.append(words)
        return "noted"

    async with on.client() as client:
        note = agents.CustomTool(name="note", description="Takes a note.", on_invoke_tool=take)
        result = await run(True, agent(tools=[note]), QUESTION, run_config=config(client))
    assert (result.final_output, noted) == (ANSWER, ["Berlin: 7"])
    assert on.provider.requests[1].messages[-1]["content"] == "noted"


@STREAMED
@pytest.mark.parametrize(
    "keeps", [{}, {"auto_previous_response_id": True}], ids=["history", "previous_response_id"]
)
async def test_a_tool_loop_over_one_connection(stage: Any, streamed: bool, keeps: JSON) -> None:
    on = await stage(*script())
    async with on.client() as client:
        over = config(client, use_responses_websocket=True)
        result = await run(streamed, agent(), QUESTION, **keeps, run_config=over)
        await over.model_provider.aclose()
    assert result.final_output == ANSWER
    check_history(on.provider)
