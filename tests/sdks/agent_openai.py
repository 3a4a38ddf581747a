"""An agent on openai-python's `responses.stream()`, as a program of its own.

It shows text as it comes, runs the calls of a completed response, and sends their outputs back.
Standard input has the base URLs of the servers to ask (`urls`), as JSON; standard output gets what
the program saw of each. With the argument `strict` the SDK takes nothing but what its types allow.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import msgspec
from openai import DefaultHttpxClient, OpenAI

JSON = dict[str, Any]
_ANY: JSON = {"type": "object", "properties": {}}
_SEARCH: JSON = {"type": "function", "name": "search", "strict": False, "parameters": _ANY}
TOOLS: list[Any] = [
    {"type": "function", "name": "exec_command", "strict": False, "parameters": _ANY},
    {"type": "custom", "name": "apply_patch"},
    {"type": "namespace", "name": "mcp__docs", "description": "Docs.", "tools": [_SEARCH]},
]
NAMES = [(None, "exec_command"), (None, "apply_patch"), ("mcp__docs", "search")]
CALLS = ("function_call", "custom_tool_call")


def run(call: Any) -> tuple[JSON, JSON]:
    """What a call does, and what is sent back for it."""
    if (getattr(call, "namespace", None), call.name) not in NAMES:
        raise LookupError(f"There is no tool {call.name}.")
    output = {"type": f"{call.type}_output", "call_id": call.call_id, "output": "done"}
    if call.type == "custom_tool_call":
        return {call.name: call.input}, output
    return {call.name: dict(**msgspec.json.decode(call.arguments))}, output


def turn(client: OpenAI, history: list[Any], seen: JSON) -> tuple[Any, bool]:
    """One request, shown while it comes: the final response, and whether it is a whole one."""
    final = None
    with client.responses.stream(model="m", input=history, tools=TOOLS) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                seen["shown"] += event.delta
                seen["assembled"] = event.snapshot
            elif event.type == "response.refusal.delta":
                seen["shown"] += event.delta
                seen["assembled"] += event.delta
            elif event.type == "response.function_call_arguments.delta":
                seen["written"][event.item_id] = event.snapshot
            elif event.type.startswith("response.reasoning") and event.type.endswith(".delta"):
                seen["thought"] += event.delta
            elif event.type in ("response.incomplete", "response.failed"):
                final = event.response
        return (final, False) if final else (stream.get_final_response(), True)


def words(response: Any) -> str:
    """The text of a response, refusals too."""
    parts = [part for item in response.output if item.type == "message" for part in item.content]
    said = {"output_text": "text", "refusal": "refusal"}
    return "".join(getattr(part, said[part.type]) for part in parts if part.type in said)


def told(response: Any) -> JSON:
    """What else the final response says."""
    usage, details, error = response.usage, response.incomplete_details, response.error
    thoughts = [item.summary or [] for item in response.output if item.type == "reasoning"]
    return {
        "text": words(response),
        "reasoning": [part.text for summary in thoughts for part in summary],
        "usage": usage and [usage.input_tokens, usage.output_tokens, usage.total_tokens],
        "end": [response.status, details and details.reason, error and error.message],
        "id": response.id,
    }


def agent(client: OpenAI) -> JSON:
    """Both turns of a conversation, and what there was to be seen of the first."""
    seen: JSON = {"shown": "", "assembled": "", "thought": "", "written": {}, "ran": []}
    try:
        history: list[Any] = [{"role": "user", "content": "Go on."}]
        response, is_whole = turn(client, history, seen)
        outputs = []
        for call in response.output:
            if is_whole and call.type in CALLS:
                ran, output = run(call)
                seen["ran"].append(ran)
                outputs.append(output)
        seen |= told(response)
        if outputs:
            unseen = {**seen, "written": {}}
            turn(client, [*history, *response.output, *outputs], unseen)
    except Exception as error:
        seen["error"] = f"{type(error).__name__}: {error}"
    return {**seen, "written": list(seen["written"].values())}


def main() -> None:
    """Ask each server once."""
    warnings.simplefilter("ignore")
    strict = "strict" in sys.argv
    # A client of its own for each would read the system's certificates each time.
    given: JSON = {"api_key": "made-up", "max_retries": 0, "http_client": DefaultHttpxClient()}
    given["_strict_response_validation"] = strict
    asked = msgspec.json.decode(sys.stdin.buffer.read())
    told = [agent(OpenAI(base_url=url, **given)) for url in asked["urls"]]
    sys.stdout.buffer.write(msgspec.json.encode(told, enc_hook=str))


if __name__ == "__main__":
    main()
