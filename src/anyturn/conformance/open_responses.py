"""Rules that only the Open Responses suite has: its schema is stricter than any client."""

from __future__ import annotations

from anyturn.conformance.events import (
    COMPLETED,
    INCOMPLETE,
    JSON,
    TERMINAL,
    Event,
    as_list,
    as_object,
    shown,
)
from anyturn.conformance.rules import OPEN, rule
from anyturn.conformance.terminal import MEMBERS_OF_OPENAI
from anyturn.conformance.turn import Turn

_NEVER_NULL = frozenset(
    {
        *("model", "status", "created_at", "output", "tools", "tool_choice", "truncation"),
        *("parallel_tool_calls", "text", "top_p", "temperature", "presence_penalty"),
        *("frequency_penalty", "top_logprobs", "store", "background", "service_tier"),
    }
)
_MEMBERS = _NEVER_NULL | frozenset(
    {
        *("completed_at", "incomplete_details", "previous_response_id", "instructions", "error"),
        *("reasoning", "usage", "max_output_tokens", "max_tool_calls", "safety_identifier"),
        "prompt_cache_key",
    }
)


@rule(
    "open-responses.members-missing",
    on=TERMINAL,
    expected="all members that the schema of the response requires",
    why="The suite refuses the response. No other client reads them.",
    fix="Send each with its zero value: docs/rules/README.md lists them.",
    breaks=(OPEN,),
    seen="OpenAI's own streams, of 2025 and of today",
)
def members_missing(turn: Turn, event: Event) -> str | None:
    lacking = sorted(_MEMBERS - MEMBERS_OF_OPENAI - event.response.keys())
    return f"the response lacks {', '.join(lacking)}" if lacking and event.response else None


@rule(
    "open-responses.member-invalid",
    on=TERMINAL,
    expected="members of the response in the types of the schema",
    why="The suite refuses the response: null where there must be a value, a time that is no "
    "integer, instructions that are a list.",
    fix="Send whole seconds, zero values, and text.",
    breaks=(OPEN,),
    seen="OpenAI: instructions as a list, service_tier null",
)
def member_invalid(turn: Turn, event: Event) -> str | None:
    response = event.response
    nulls = sorted(name for name in _NEVER_NULL if response.get(name, "") is None)
    if nulls:
        return f"{nulls[0]} is null"
    if isinstance(response.get("created_at"), float):
        return f"created_at is {response['created_at']}"
    if isinstance(response.get("instructions"), list):
        return "instructions is a list"
    if as_object(response.get("text")).get("verbosity", "") is None:
        return "text.verbosity is null"
    return None


@rule(
    "open-responses.tools-echo",
    on=TERMINAL,
    expected="function tools with type, name, description, parameters and strict in `tools`",
    why="The suite's schema knows no other tools. OpenAI's clients expect theirs back.",
    fix="Nothing, unless the suite must pass with such tools.",
    breaks=(OPEN,),
    seen="everyone who echoes custom tools, namespaces or hosted tools",
)
def tools_echo(turn: Turn, event: Event) -> str | None:
    needed = {"type", "name", "description", "parameters", "strict"}
    for tool in map(as_object, as_list(event.response.get("tools"))):
        if tool.get("type") != "function" or needed - tool.keys():
            return shown(tool)
    return None


@rule(
    "open-responses.completed-at",
    on=(COMPLETED, INCOMPLETE),
    expected="`completed_at` in whole seconds once the response is completed",
    why="The schema allows null, but a completed response has an end.",
    fix="Set it with the terminal event.",
    cosmetic=(OPEN,),
)
def completed_at(turn: Turn, event: Event) -> str | None:
    response: JSON = event.response
    if event.type != COMPLETED or "completed_at" not in response:
        return None
    return None if type(response["completed_at"]) is int else "completed_at is not set"
