"""Request bodies, as Codex would send them: a small one, and one of a long conversation."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Api = Literal["responses", "chat"]

INSTRUCTIONS = "You are a coding agent. Work in small steps and check each of them. "
SOURCE_LINES = (
    "async def next_chunk(self) -> bytes:\n"
    '    """Return the \\"next\\" chunk → or wait for it."""\n'
    "    return await self._queue.get()\n"
)
ROUNDS = 100


def request(api: Api, model: str) -> bytes:
    """Return a small streaming request: instructions, one user message, two tools."""
    question = "Why does this socket time out?"
    tools = [_tool("read_file"), _tool("run_command")]
    if api == "responses":
        return msgspec.json.encode(_responses(model, INSTRUCTIONS, [_message(question)], tools))
    messages = [
        {"role": "system", "content": INSTRUCTIONS},
        {"role": "user", "content": question},
    ]
    functions = [
        {"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}}
        for tool in tools
    ]
    return msgspec.json.encode(
        {
            "model": model,
            "messages": messages,
            "tools": functions,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    )


def long_conversation(model: str) -> bytes:
    """Return a Responses request of 400 items and about 1 MB: a hundred tool calls with output."""
    items: list[dict[str, Any]] = []
    for number in range(ROUNDS):
        items += _round(number)
    tools = [_tool(f"tool_{number}") for number in range(12)]
    return msgspec.json.encode(_responses(model, INSTRUCTIONS * 100, items, tools))


def _round(number: int) -> list[dict[str, Any]]:
    call_id = f"call_{number:024d}"
    arguments = {"path": f"src/package/module_{number}.py", "first_line": number * 10}
    speech = f"Step {number}: " + SOURCE_LINES * 4
    return [
        _message(speech) if number % 10 == 0 else _message(speech, "assistant", "output_text"),
        {
            "type": "reasoning",
            "id": f"rs_{number}",
            "summary": [{"type": "summary_text", "text": "It must be the queue. " * 8}],
            "content": None,
            "encrypted_content": None,
        },
        {
            "type": "function_call",
            "id": f"fc_{number}",
            "call_id": call_id,
            "name": f"tool_{number % 12}",
            "arguments": msgspec.json.encode(arguments).decode(),
        },
        {
            "type": "function_call_output",
            "call_id": call_id,
            "output": (SOURCE_LINES * 80)[:8400],
        },
    ]


def _responses(
    model: str, instructions: str, items: list[dict[str, Any]], tools: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "model": model,
        "instructions": instructions,
        "input": items,
        "tools": tools,
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "store": False,
        "stream": True,
        "include": [],
    }


def _message(text: str, role: str = "user", kind: str = "input_text") -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def _tool(name: str) -> dict[str, Any]:
    return {
        "type": "function",
        "name": name,
        "description": "Read a file of the workspace, or a range of its lines.",
        "strict": False,
        "parameters": {
            "type": "object",
            "properties": {
                "path": {"type": "string", "description": "Path, from the workspace's root."},
                "first_line": {"type": "number"},
            },
            "required": ["path"],
            "additionalProperties": False,
        },
    }
