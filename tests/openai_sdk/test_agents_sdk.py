"""The Agents SDK executes tools through an intercepted client, and cannot tell the difference."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

import pytest
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)

from anyturn.openai_sdk import Answered, Event, Finding, RequestSent, intercept_llm_requests
from anyturn.testing import Answer, ScriptedProvider, call, reasoning, text
from support.sdk_clients import MODEL, async_client, gateway

set_tracing_disabled(True)

SCRIPT = [
    Answer(
        reasoning("Two tasks."),
        call("add_task", {"title": "Buy milk"}),
        call("add_task", {"title": "Call Ada"}),
    ),
    Answer(call("list_tasks")),
    Answer(text("Two tasks are on your list.")),
]


@asynccontextmanager
async def model_of(api: str, on_event: Any) -> Any:
    # Older Agents SDKs leave out the content of a message that only calls tools.
    chat = ScriptedProvider(SCRIPT, strict=False)
    serving: Any = gateway(SCRIPT) if api == "responses" else chat
    async with serving as where:
        base_url = where if isinstance(where, str) else where.base_url
        async with async_client(base_url) as client:
            if on_event is not None:
                intercept_llm_requests(client, on_event=on_event)
            kind = OpenAIResponsesModel if api == "responses" else OpenAIChatCompletionsModel
            yield kind(model=MODEL, openai_client=client)
        if not isinstance(where, str):
            assert where.refusals == []


async def outcome(api: str, streamed: bool, on_event: Any) -> dict[str, Any]:
    """Everything that a program gets of a run, and what its tools did."""
    tasks: list[str] = []

    @function_tool
    def add_task(title: str) -> str:
        """Add a task."""
        tasks.append(title)
        return f"Added {title}."

    @function_tool
    def list_tasks() -> str:
        """List the tasks."""
        return ", ".join(tasks)

    async with model_of(api, on_event) as model:
        agent = Agent(
            name="Tasks",
            model=model,
            tools=[add_task, list_tasks],
            model_settings=ModelSettings(include_usage=True),
        )
        events: list[str] = []
        if streamed:
            result: Any = Runner.run_streamed(agent, "Add my tasks.")
            async for event in result.stream_events():
                data = getattr(event, "data", None)
                events.append(f"{event.type} {getattr(data, 'type', '')}")
        else:
            result = await Runner.run(agent, "Add my tasks.")
    return {
        "tasks": tasks,
        "answer": result.final_output,
        "events": events,
        "items": [_comparable(item) for item in result.to_input_list()],
        "tokens": result.context_wrapper.usage.total_tokens,
    }


def _comparable(item: Any) -> Any:
    """Without what is made up anew in each run."""
    if isinstance(item, dict):
        return {key: _comparable(value) for key, value in item.items() if key != "id"}
    return [_comparable(one) for one in item] if isinstance(item, list) else item


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_its_run_is_the_same_with_and_without(
    api: str, streamed: bool, told: list[Event]
) -> None:
    plain = await outcome(api, streamed, None)
    assert plain["tasks"] == ["Buy milk", "Call Ada"]
    assert await outcome(api, streamed, told.append) == plain
    ends = [event for event in told if isinstance(event, Answered)]
    names = [[one.name for one in end.calls] for end in ends]
    assert names == [["add_task", "add_task"], ["list_tasks"], []]
    assert all(end.ending == "complete" and end.streamed is streamed for end in ends)
    assert {event.api for event in told if isinstance(event, RequestSent)} == {api}
    assert not [event for event in told if isinstance(event, Finding)]
