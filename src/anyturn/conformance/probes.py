"""What a live check asks a server, as data: one entry for each request.

A call is asked for in several ways, the surest first, because a model that does not call is no
fault of the server: `attempts` are laid over the body one after the other for as long as no call
comes.
"""

from __future__ import annotations

from enum import StrEnum, unique

import msgspec

from anyturn.conformance.events import JSON
from anyturn.conformance.rules import ALL, CODEX, NODE, PYTHON


@unique
class Way(StrEnum):
    """How a probe is sent, and so how its answer is judged."""

    STREAM = "stream"
    WHOLE = "whole"
    REFUSED = "refused"
    MODELS = "models"
    WEBSOCKET = "websocket"


class Probe(msgspec.Struct, frozen=True):
    """One request.

    `clients` need its answer. `calls` is how many tool calls it asks for. `says` is what must be in
    the text: `json`, or a word that only a tool's output told. `body` lacks `model` and `stream`;
    `raw` is sent in its place where it is not empty.
    """

    id: str
    title: str
    clients: frozenset[str]
    way: Way = Way.STREAM
    body: JSON = {}
    attempts: tuple[JSON, ...] = ({},)
    calls: int = 0
    says: str = ""
    raw: bytes = b""


JSON_TEXT = "json"
WORD = "marigold"
UNKNOWN_MODEL = "anyturn-check-no-such-model"
LOOP = "tool loop"
CALL = "one call"

_CITY: JSON = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
_NOTHING: JSON = {"type": "object", "properties": {}, "additionalProperties": False}


def function(name: str, description: str, parameters: JSON) -> JSON:
    """A function tool."""
    return {
        "type": "function",
        "name": name,
        "description": description,
        "parameters": parameters,
        "strict": False,
    }


def user(text: str) -> JSON:
    """A message of the user."""
    return {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": text}],
    }


def _asking(prompt: str, /, **members: object) -> JSON:
    return {
        "instructions": "You are a careful assistant. Use the tools when you are asked to.",
        "input": [user(prompt)],
        "store": False,
        **members,
    }


def _attempts(named: JSON | None, clearer: str) -> tuple[JSON, ...]:
    """The ways to ask for a call: demanded, demanded by name, and in plainer words."""
    by_name = ({"tool_choice": named},) if named else ()
    plain = {"tool_choice": "auto", "input": [user(clearer)]}
    return ({"tool_choice": "required"}, *by_name, plain)


WEATHER = function("get_weather", "The weather in a city.", _CITY)
_TIME = function("get_time", "The time now. Takes no arguments.", _NOTHING)
_NOTE: JSON = {
    "type": "custom",
    "name": "write_note",
    "description": "Writes a note. The input is the plain text of the note.",
}
_DOCS: JSON = {
    "type": "namespace",
    "name": "mcp__docs",
    "description": "Documentation.",
    "tools": [
        function(
            "search",
            "Searches the documentation.",
            {**_CITY, "properties": {"query": {"type": "string"}}, "required": ["query"]},
        )
    ],
}
_FORMAT: JSON = {
    "format": {
        "type": "json_schema",
        "name": "city",
        "schema": _CITY,
        "strict": True,
    }
}
_ONLY_CALL = "Do not answer in words. Your whole answer must be a call of the tool"
_ASK_WEATHER = "What is the weather in Paris? Call get_weather."

PROBES: tuple[Probe, ...] = (
    Probe("models", "list of models", ALL, Way.MODELS),
    Probe("text", "text", ALL, body=_asking("Reply with the single word: ready")),
    Probe(
        CALL,
        "one call",
        ALL,
        body=_asking(_ASK_WEATHER, tools=[WEATHER]),
        attempts=_attempts(
            {"type": "function", "name": "get_weather"},
            f'{_ONLY_CALL} get_weather with {{"city": "Paris"}}.',
        ),
        calls=1,
    ),
    Probe(
        "parallel calls",
        "parallel calls",
        ALL,
        body=_asking(
            "What is the weather in Paris, in Rome and in Oslo? Call get_weather three times at "
            "once, once for each city.",
            tools=[WEATHER],
            parallel_tool_calls=True,
        ),
        attempts=_attempts(
            None, f"{_ONLY_CALL} get_weather, three times: for Paris, for Rome and for Oslo."
        ),
        calls=3,
    ),
    Probe(
        "call without arguments",
        "call without arguments",
        ALL,
        body=_asking("What time is it? Call get_time.", tools=[_TIME]),
        attempts=_attempts(
            {"type": "function", "name": "get_time"}, f"{_ONLY_CALL} get_time, without arguments."
        ),
        calls=1,
    ),
    Probe(
        "custom tool",
        "custom tool",
        frozenset({CODEX, PYTHON, NODE}),
        body=_asking("Write a note that says hello. Call write_note.", tools=[_NOTE]),
        attempts=_attempts(
            {"type": "custom", "name": "write_note"}, f"{_ONLY_CALL} write_note with: hello."
        ),
        calls=1,
    ),
    Probe(
        "namespace tool",
        "namespace tool",
        frozenset({CODEX}),
        body=_asking("Search the documentation for tea. Call search.", tools=[_DOCS]),
        attempts=_attempts(None, f'{_ONLY_CALL} search with {{"query": "tea"}}.'),
        calls=1,
    ),
    Probe(
        "reasoning",
        "reasoning",
        ALL,
        body=_asking(
            "How many letters has the word tea? Answer with the number.",
            reasoning={"effort": "low", "summary": "auto"},
            include=["reasoning.encrypted_content"],
        ),
    ),
    Probe(
        "structured output",
        "structured output",
        ALL,
        body=_asking("Name the capital of France as JSON, in the member city.", text=_FORMAT),
        says=JSON_TEXT,
    ),
    Probe(
        LOOP,
        "calls and their outputs",
        ALL,
        body=_asking(_ASK_WEATHER, tools=[WEATHER]),
        says=WORD,
    ),
    Probe(
        "no stream",
        "answer without a stream",
        ALL - {CODEX},
        Way.WHOLE,
        body=_asking(_ASK_WEATHER, tools=[WEATHER]),
        attempts=_attempts(None, f'{_ONLY_CALL} get_weather with {{"city": "Paris"}}.'),
        calls=1,
    ),
    Probe("bad JSON", "a body that is no JSON", ALL, Way.REFUSED, raw=b'{"model": "x", "input": '),
    Probe(
        "unknown model",
        "a model that does not exist",
        ALL,
        Way.REFUSED,
        body={**_asking("Hello."), "model": UNKNOWN_MODEL},
    ),
    Probe(
        "WebSocket",
        "WebSocket",
        frozenset({CODEX}),
        Way.WEBSOCKET,
        body=_asking("Reply with the single word: ready"),
    ),
)


def request_of(probe: Probe, model: str, attempt: int = 0, said: tuple[JSON, ...] = ()) -> JSON:
    """The body of a probe. `said` are the items with calls that the tool loop goes on from."""
    body = {"model": model, "stream": probe.way is Way.STREAM, **probe.body}
    body |= probe.attempts[attempt]
    if probe.id == LOOP:
        body["input"] = [*body["input"], *_loop(said or (_MADE_UP,))]
    return body


_MADE_UP: JSON = {
    "type": "function_call",
    "call_id": "call_check_1",
    "name": "get_weather",
    "arguments": '{"city":"Paris"}',
}


def _loop(said: tuple[JSON, ...]) -> list[JSON]:
    """What the model said, and the output of each call."""
    outputs = [
        {
            "type": "function_call_output",
            "call_id": item.get("call_id"),
            "output": f"Sunny, 21 degrees. The word of the day is {WORD}; tell it too.",
        }
        for item in said
        if item.get("type") == "function_call"
    ]
    return [*said, *outputs]
