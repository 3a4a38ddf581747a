"""The OpenAI Agents SDK on Chat Completions: its client intercepted, its tools executed."""

from __future__ import annotations

import asyncio

from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI

from anyturn.openai_sdk import intercept_llm_requests
from anyturn.testing import Answer, call, text
from provider import provider, show_log

SCRIPT = [
    Answer(call("add_task", {"title": "Buy milk"}), call("add_task", {"title": "Call Ada"})),
    Answer(call("list_tasks")),
    Answer(text("Two tasks are on your list.")),
]


def new_agent(model: OpenAIChatCompletionsModel) -> tuple[Agent, list[str]]:
    """An agent with a list of tasks, and the list."""
    tasks: list[str] = []

    @function_tool
    def add_task(title: str) -> str:
        """Add a task to the list."""
        tasks.append(title)
        return f"Added {title}."

    @function_tool
    def list_tasks() -> str:
        """List the tasks."""
        return ", ".join(tasks)

    return Agent(name="Tasks", model=model, tools=[add_task, list_tasks]), tasks


async def main() -> None:
    """Run the agent to its end."""
    show_log()
    set_tracing_disabled(True)
    async with (
        provider(SCRIPT) as there,
        AsyncOpenAI(base_url=there.base_url, api_key=there.api_key) as client,
    ):
        intercept_llm_requests(client)
        model = OpenAIChatCompletionsModel(model=there.model, openai_client=client)
        agent, tasks = new_agent(model)
        result = Runner.run_streamed(agent, "Add milk and Ada, then list my tasks.")
        async for _event in result.stream_events():
            pass
    print("Executed:", tasks)
    print("Answer:", result.final_output)


if __name__ == "__main__":
    asyncio.run(main())
