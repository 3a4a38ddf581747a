"""The Responses API on a Chat provider inside this program: no server, no port."""

from __future__ import annotations

import asyncio

from agents import OpenAIResponsesModel, Runner, set_tracing_disabled

from agents_sdk_chat import SCRIPT, new_agent
from anyturn.openai_sdk import async_responses_client, intercept_llm_requests, responses_client
from anyturn.testing import text
from provider import Provider, provider, show_log


def ask_twice(there: Provider) -> str:
    """The sync client: a streamed turn, and one that goes on from it."""
    with responses_client(
        base_url=there.base_url, model=there.model, api_key=there.api_key
    ) as client:
        with client.responses.stream(model=there.model, input="Name a colour.") as stream:
            first = stream.get_final_response()
        second = client.responses.create(input="Another.", previous_response_id=first.id)
        return f"{first.output_text} {second.output_text}"


async def run_agent(there: Provider) -> tuple[list[str], str]:
    """The async client: the Agents SDK runs its loop of tools."""
    async with async_responses_client(
        base_url=there.base_url, model=there.model, api_key=there.api_key
    ) as client:
        intercept_llm_requests(client)
        agent, tasks = new_agent(OpenAIResponsesModel(there.model, openai_client=client))
        result = await Runner.run(agent, "Add milk and Ada, then list my tasks.")
        return tasks, result.final_output


async def main() -> None:
    """Run both."""
    show_log()
    set_tracing_disabled(True)
    async with provider([text("Red."), text("Blue."), *SCRIPT]) as there:
        print("Colours:", await asyncio.to_thread(ask_twice, there))
        tasks, answer = await run_agent(there)
    print("Executed:", tasks)
    print("Answer:", answer)


if __name__ == "__main__":
    asyncio.run(main())
