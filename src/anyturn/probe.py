"""A few short real turns with a provider: what holds of its profile, and what differs."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any

import msgspec

from anyturn.errors import Kind, TurnError
from anyturn.gateway import Gateway, Turn
from anyturn.routing import Routing
from anyturn.translate.adaptations import Adaptation
from anyturn.upstream import ProviderClient
from anyturn.wire import responses as r

_WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
# Four characters are about a token; this many more than fit are sent to see the refusal.
_TOO_LONG = 1.25
_TOO_LONG_MAX = 8_000_000


class Verdict(StrEnum):
    """How a probe ended."""

    HOLDS = "holds"
    DIFFERS = "differs"
    FAILS = "fails"
    SKIPPED = "skipped"


class Finding(msgspec.Struct, frozen=True):
    """What a probe found, in words. `is_final`: the following probes would say the same."""

    verdict: Verdict
    words: str
    is_final: bool = False


class Probing:
    """Runs turns for probes. It is the gateway's tap and sink at once."""

    def __init__(self, routing: Routing, client: ProviderClient) -> None:
        self._gateway = Gateway(routing, client, taps=[self])
        self.target = routing.default
        self.first_event_s = 0.0
        self.took_s = 0.0
        self.raw = b""
        self._started_at = 0.0

    async def turn(self, input_items: Any, **fields: Any) -> r.AnyResponse:
        """Run one turn and return its response. Raises `TurnError` as the gateway does."""
        self.raw, self.first_event_s = b"", 0.0
        self._started_at = time.monotonic()
        response = await self._gateway.run({"input": input_items, **fields}, self)
        self.took_s = time.monotonic() - self._started_at
        return response

    def accepts(self, error: TurnError) -> bool:
        """Never: a probe wants to see the error."""
        return False

    async def begin(self, adaptations: list[Adaptation]) -> None:
        """Note when the first event came."""
        self.first_event_s = time.monotonic() - self._started_at

    async def send(self, events: list[r.Event]) -> None:
        """Take events; the response holds them all."""

    def request(self, turn: Turn) -> None:
        """A provider is about to be asked."""

    def provider_bytes(self, turn: Turn, block: bytes) -> None:
        """Keep what the provider sent, to see which fields it used."""
        self.raw += block

    def events(self, turn: Turn, events: list[r.Event]) -> None:
        """The client's side is not needed."""

    def ended(self, turn: Turn) -> None:
        """The response says how."""


async def probe_text(probing: Probing) -> Finding:
    """A plain answer, and whether tokens are counted."""
    try:
        response = await probing.turn("Reply with the single word: ready")
    except TurnError as error:
        return Finding(Verdict.FAILS, error.message, is_final=True)
    said = " ".join(_texts(response))
    usage = response.usage
    speed = f"first event after {probing.first_event_s * 1000:.0f} ms"
    if usage and probing.took_s > 0:
        speed += f", {usage.output_tokens / probing.took_s:,.0f} tokens/s"
    if response.status != "completed":
        return Finding(Verdict.FAILS, f"the answer is {response.status}", is_final=True)
    if b'"usage"' not in probing.raw:
        return Finding(Verdict.DIFFERS, f"{said[:40]!r}, but no token counts; {speed}")
    return Finding(Verdict.HOLDS, f"{said[:40]!r}; {speed}")


async def probe_call(probing: Probing) -> Finding:
    """One tool call with valid arguments."""
    try:
        response = await probing.turn(
            "What is the weather in Paris? Call the tool.", tools=[_WEATHER]
        )
    except TurnError as error:
        return Finding(Verdict.FAILS, error.message)
    calls = _calls(response)
    if not calls:
        return Finding(Verdict.DIFFERS, "the model answered without calling the tool")
    problem = _bad_arguments(calls[0])
    if problem:
        return Finding(Verdict.FAILS, problem)
    return Finding(Verdict.HOLDS, f"{calls[0].name}({calls[0].arguments})")


async def probe_parallel(probing: Probing) -> Finding:
    """Several calls in one answer, kept apart."""
    prompt = "What is the weather in Paris, in Rome and in Oslo? Call the tool once for each city."
    try:
        response = await probing.turn(prompt, tools=[_WEATHER], parallel_tool_calls=True)
    except TurnError as error:
        return Finding(Verdict.FAILS, error.message)
    calls = _calls(response)
    problem = next((p for p in map(_bad_arguments, calls) if p), "")
    if problem:
        return Finding(Verdict.FAILS, problem)
    if len(calls) < 2:
        return Finding(Verdict.DIFFERS, f"{len(calls)} call at a time")
    return Finding(Verdict.HOLDS, f"{len(calls)} calls in one answer, each with its own arguments")


async def probe_replay(probing: Probing) -> Finding:
    """A tool loop with the reasoning given back in the provider's own field."""
    question = {"type": "message", "role": "user", "content": "Weather in Paris? Call the tool."}
    asked = {"tools": [_WEATHER], "include": ["reasoning.encrypted_content"]}
    try:
        first = await probing.turn([question], **asked)
        calls = _calls(first)
        if not calls:
            return Finding(Verdict.SKIPPED, "the model did not call the tool")
        outputs = [
            {"type": "function_call_output", "call_id": c.call_id, "output": "sunny, 21 degrees"}
            for c in calls
        ]
        said = r.as_object(first)["output"]
        await probing.turn([question, *said, *outputs], **asked)
    except TurnError as error:
        return Finding(Verdict.FAILS, error.message)
    reasoned = any(item["type"] == "reasoning" for item in said)
    profile = probing.target.profile
    field = "items" if profile.wire == "responses" else profile.reasoning_out
    if not reasoned:
        return Finding(Verdict.HOLDS, "the loop closes; this model sent no reasoning")
    return Finding(Verdict.HOLDS, f"the loop closes, reasoning given back in {field or 'no field'}")


async def probe_effort(probing: Probing) -> Finding:
    """Each reasoning effort that the profile sends is taken."""
    profile = probing.target.profile
    if not profile.efforts or profile.reasoning_param == "none":
        return Finding(Verdict.SKIPPED, "the profile sends no effort")
    try:
        await probing.turn("Say ready.", reasoning={"effort": profile.efforts[0]})
    except TurnError as error:
        return Finding(Verdict.FAILS, error.message)
    return Finding(Verdict.HOLDS, f"{profile.reasoning_param} takes {profile.efforts[0]!r}")


async def probe_overflow(probing: Probing) -> Finding:
    """A prompt that is too long is refused in words that are understood (F60)."""
    window = probing.target.profile.context_window
    characters = int(window * 4 * _TOO_LONG)
    if characters > _TOO_LONG_MAX:
        return Finding(Verdict.SKIPPED, f"a window of {window:,} tokens is too long to overflow")
    try:
        await probing.turn("many words " * (characters // 11))
    except TurnError as error:
        if error.kind is Kind.CONTEXT_OVERFLOW:
            return Finding(Verdict.HOLDS, "refused, and understood as context_length_exceeded")
        return Finding(Verdict.DIFFERS, f"refused, but understood as {error.kind.code}: {error}")
    return Finding(Verdict.DIFFERS, f"a prompt far above {window:,} tokens was answered")


PROBES: dict[str, Callable[[Probing], Awaitable[Finding]]] = {
    "text": probe_text,
    "one call": probe_call,
    "parallel calls": probe_parallel,
    "reasoning replay": probe_replay,
    "effort": probe_effort,
    "overflow": probe_overflow,
}


def _texts(response: r.AnyResponse) -> list[str]:
    messages = [item for item in r.as_object(response)["output"] if item["type"] == "message"]
    parts = [part for item in messages for part in item["content"]]
    return [part["text"] for part in parts if part["type"] == "output_text"]


def _calls(response: r.AnyResponse) -> list[r.FunctionCall]:
    output = r.as_object(response)["output"]
    called = [item for item in output if item["type"] == "function_call"]
    return [msgspec.convert(item, r.FunctionCall) for item in called]


def _bad_arguments(call: r.FunctionCall) -> str:
    try:
        arguments = msgspec.json.decode(call.arguments)
    except msgspec.DecodeError:
        return f"the arguments are no JSON: {call.arguments[:80]!r}"
    if not isinstance(arguments, dict) or not isinstance(arguments.get("city"), str):
        return f"the arguments do not fit the schema: {call.arguments[:80]!r}"
    return ""
