"""Intercept clients: async and sync, streamed and not; log lines, and events as objects."""

from __future__ import annotations

import asyncio
from typing import Any

from openai import AsyncOpenAI, OpenAI

from anyturn.openai_sdk import Answered, Event, intercept_llm_requests, intercepting
from anyturn.testing import Answer, call, text
from provider import Provider, provider, show_log
from track_a_stream import TOOL

SCRIPT = [
    Answer(call("add_task", {"title": "One"}), call("add_task", {"title": "Two"})),
    Answer(text("Nothing to do.")),
    Answer(call("add_task", '{"title": 3}')),
]


def request(there: Provider) -> dict[str, Any]:
    """The arguments of one `create`."""
    return {
        "model": there.model,
        "messages": [{"role": "user", "content": "Add the tasks."}],
        "tools": [TOOL],
    }


async def streamed(there: Provider) -> None:
    """Log what an async client streams."""
    async with AsyncOpenAI(base_url=there.base_url, api_key=there.api_key) as client:
        intercept_llm_requests(client)
        async for _chunk in await client.chat.completions.create(**request(there), stream=True):
            pass


def not_streamed(there: Provider) -> None:
    """Log what a sync client gets as one answer, within a block only."""
    with (
        OpenAI(base_url=there.base_url, api_key=there.api_key) as client,
        intercepting(client),
    ):
        client.chat.completions.create(**request(there))


def as_events(there: Provider) -> None:
    """Take objects instead of lines: here a call whose arguments do not fit the schema."""
    told: list[Event] = []
    with OpenAI(base_url=there.base_url, api_key=there.api_key) as client:
        intercept_llm_requests(client, on_event=told.append)
        with client.chat.completions.create(**request(there), stream=True) as stream:
            list(stream)
    end = next(event for event in told if isinstance(event, Answered))
    print("Findings:", [str(rule) for rule in end.rules], "in", end.calls[0].arguments)


async def main() -> None:
    """Run all three."""
    show_log()
    async with provider(SCRIPT) as there:
        await streamed(there)
        await asyncio.to_thread(not_streamed, there)
        await asyncio.to_thread(as_events, there)


if __name__ == "__main__":
    asyncio.run(main())
