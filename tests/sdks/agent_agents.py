"""An agent on the Agents SDK, as a program of its own: what `agent_openai.py` does by hand."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import agents
import msgspec
from openai import AsyncOpenAI

JSON = dict[str, Any]
_ANY: JSON = {"type": "object", "properties": {}, "additionalProperties": True}


def tools(ran: list[JSON]) -> list[Any]:
    """Tools that note how they are called."""

    async def command(_: Any, arguments: str) -> str:
        ran.append({"exec_command": dict(**msgspec.json.decode(arguments))})
        return "done"

    async def patch(_: Any, text: str) -> str:
        ran.append({"apply_patch": text})
        return "done"

    return [
        agents.FunctionTool("exec_command", "Runs.", _ANY, command, strict_json_schema=False),
        agents.CustomTool(name="apply_patch", description="Patches.", on_invoke_tool=patch),
    ]


def note(event: Any, seen: JSON) -> None:
    """What is shown while an answer comes."""
    data = getattr(event, "data", None)
    kind = getattr(data, "type", None) or ""
    if kind == "response.output_text.delta":
        seen["shown"] += data.delta
    elif kind == "response.function_call_arguments.delta":
        seen["written"].append(data.delta)
    elif kind.startswith("response.reasoning") and kind.endswith(".delta"):
        seen["thought"] += data.delta


async def agent(client: AsyncOpenAI) -> JSON:
    """A run, and what there was to be seen of its first turn."""
    seen: JSON = {"shown": "", "thought": "", "written": [], "ran": []}
    provider = agents.OpenAIProvider(openai_client=client, use_responses=True)
    settings = agents.RunConfig(model_provider=provider, tracing_disabled=True)
    guide = agents.Agent(name="Guide", tools=tools(seen["ran"]), model="m")
    try:
        result = agents.Runner.run_streamed(guide, "Go on.", run_config=settings)
        async for event in result.stream_events():
            if not result.raw_responses:
                note(event, seen)
        first = result.raw_responses[0]
        usage = first.usage
        parts = [agents.ItemHelpers.extract_text(item) or "" for item in first.output]
        thoughts = [item.summary or [] for item in first.output if item.type == "reasoning"]
        seen |= {
            "text": "".join(parts),
            "reasoning": [part.text for summary in thoughts for part in summary],
            "usage": [usage.input_tokens, usage.output_tokens, usage.total_tokens],
            "id": first.response_id,
        }
    except Exception as error:
        seen["error"] = f"{type(error).__name__}: {error}"
    return seen


async def main() -> None:
    """Ask each server once."""
    logging.disable()
    # What is left of a stream that failed is none of the program's business.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    client = AsyncOpenAI(api_key="made-up", max_retries=0)
    asked = msgspec.json.decode(sys.stdin.buffer.read())
    told = [await agent(client.with_options(base_url=url)) for url in asked["urls"]]
    sys.stdout.buffer.write(msgspec.json.encode(told, enc_hook=str))


if __name__ == "__main__":
    asyncio.run(main())
