"""Track the tool calls of one stream."""

from __future__ import annotations

import asyncio

from openai import AsyncOpenAI

from anyturn.openai_sdk import StreamingToolCallTracker
from anyturn.testing import Answer, call
from provider import provider, show_log

TOOL = {
    "type": "function",
    "function": {
        "name": "add_task",
        "description": "Add a task to the list.",
        "parameters": {
            "type": "object",
            "properties": {"title": {"type": "string"}},
            "required": ["title"],
        },
    },
}


async def main() -> None:
    """Ask for one call and print what was tracked."""
    show_log()
    async with (
        provider([Answer(call("add_task", {"title": "Test"}))]) as there,
        AsyncOpenAI(base_url=there.base_url, api_key=there.api_key) as client,
    ):
        request = {
            "model": there.model,
            "messages": [{"role": "user", "content": "Add the task Test."}],
            "tools": [TOOL],
        }
        stream = await client.chat.completions.create(**request, stream=True)
        tracker = StreamingToolCallTracker(stream, request=request)
        async for _chunk in tracker:
            pass
    print("Tracked:", [(one.name, one.arguments) for one in tracker.tool_calls])


if __name__ == "__main__":
    asyncio.run(main())
