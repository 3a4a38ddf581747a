"""The OpenAI Agents SDK on the Responses API, on a provider that has none: through the gateway."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agents import OpenAIResponsesModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI

from agents_sdk_chat import SCRIPT, new_agent
from anyturn.config import load_settings
from anyturn.openai_sdk import intercept_llm_requests
from anyturn.routing import Routing
from anyturn.server.lifecycle import running
from provider import provider, show_log


async def main() -> None:
    """Run the agent to its end."""
    show_log()
    set_tracing_disabled(True)
    async with provider(SCRIPT) as there:
        options = {
            "base_url": there.base_url,
            "model": there.model,
            "api_key_env": "KEY",
            "port": 0,
        }
        environ = {"KEY": there.api_key}
        settings = load_settings(options, environ, Path())
        async with (
            running(settings, Routing(settings, environ)) as gateway,
            AsyncOpenAI(base_url=gateway.base_url, api_key="none-needed") as client,
        ):
            intercept_llm_requests(client)
            model = OpenAIResponsesModel(model=there.model, openai_client=client)
            agent, tasks = new_agent(model)
            result = Runner.run_streamed(agent, "Add milk and Ada, then list my tasks.")
            async for _event in result.stream_events():
                pass
    print("Executed:", tasks)
    print("Answer:", result.final_output)


if __name__ == "__main__":
    asyncio.run(main())
