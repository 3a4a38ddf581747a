"""openai-python over a tool loop, run as a program by whichever version an interpreter has."""

from __future__ import annotations

import os
import sys
from typing import Any

import msgspec
import openai

CASE = msgspec.json.decode(os.environ["CASE"])
client = openai.OpenAI(api_key="made-up", base_url=os.environ["BASE_URL"], max_retries=0)
calls: list[Any] = []


def run_tool(call: Any) -> str:
    given = msgspec.json.decode(call.arguments)
    calls.append([call.name, given])
    if call.name == "weather":
        return str(CASE["warmth"][given["city"]])
    return str(given["a"] + given["b"])


def turn(**request: Any) -> Any:
    with client.responses.stream(model=CASE["model"], tools=CASE["tools"], **request) as stream:
        for _ in stream:
            pass
        return stream.get_final_response()


history: list[Any] = []
fresh: list[Any] = [{"role": "user", "content": CASE["question"]}]
more: dict[str, Any] = {}
while fresh:
    history += fresh
    response = turn(input=fresh if more else history, **more)
    # The stream adds members of its own, which are not for the wire.
    own = {"parsed_arguments", "parsed"}
    history += [item.model_dump(exclude_none=True, exclude=own) for item in response.output]
    for item in history:
        for part in item.get("content") or () if isinstance(item.get("content"), list) else ():
            part.pop("parsed", None)
    if CASE["keeps"] == "previous_response_id":
        more = {"previous_response_id": response.id}
    fresh = [
        {"type": "function_call_output", "call_id": item.call_id, "output": run_tool(item)}
        for item in response.output
        if item.type == "function_call"
    ]
told = {"answer": response.output_text, "calls": calls}
sys.stdout.write(msgspec.json.encode(told).decode())
