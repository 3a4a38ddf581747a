"""Rules that Codex has and hardly anyone else, and the profile with which operators ask for it.

All of it was seen with the real Codex CLI 0.169.0.
"""

from __future__ import annotations

import msgspec

from anyturn.conformance.events import (
    COMPLETED,
    HEAD,
    ITEM_DONE,
    MESSAGE,
    Event,
    as_list,
    as_object,
    shown,
)
from anyturn.conformance.rules import AI_SDK, CODEX, OPEN, rule
from anyturn.conformance.turn import Turn

_NOT_RUN = frozenset(
    {
        *("local_shell_call", "shell_call", "apply_patch_call", "computer_call"),
        "mcp_approval_request",
    }
)
_NOT_KEPT = frozenset(
    {
        *("mcp_call", "mcp_list_tools", "file_search_call", "code_interpreter_call"),
        *("image_generation_call", "program", "program_output"),
    }
)


@rule(
    "codex.refusal-part",
    on=(ITEM_DONE,),
    expected="refusals as `output_text`, for Codex",
    why="Codex knows no `refusal` part and drops the whole message: the user sees nothing and "
    "does not learn why. The AI SDK has no text for it either; from version 6 on its finish "
    "reason is `content-filter`.",
    fix="Turn a refusal into `output_text` for Codex and the AI SDK.",
    breaks=(CODEX, AI_SDK),
    seen="every server that sends refusals as OpenAI does",
)
def refusal_part(turn: Turn, event: Event) -> str | None:
    if event.spoken.get("type") != MESSAGE:
        return None
    parts = map(as_object, as_list(event.spoken.get("content")))
    refusal = next((part for part in parts if part.get("type") == "refusal"), None)
    return shown(refusal) if refusal else None


@rule(
    "codex.call-not-run",
    on=(ITEM_DONE,),
    expected="calls that Codex runs: function_call, custom_tool_call, tool_search_call",
    why="Codex has no such tool any more: nothing runs, the turn ends, and where it keeps the call "
    "the next request says that it was `aborted`.",
    fix="Offer the model the tools that Codex declares, `exec_command` and `apply_patch`.",
    breaks=(CODEX,),
    degrades=(OPEN,),
    seen="models that were trained on the hosted shell tools",
)
def call_not_run(turn: Turn, event: Event) -> str | None:
    return shown(event.spoken) if event.kind in _NOT_RUN else None


@rule(
    "codex.item-ignored",
    on=(ITEM_DONE,),
    expected="items that Codex keeps",
    why="Codex ignores the item: it is not in the next request. The Open Responses schema does not "
    "know it either.",
    fix="Nothing, where the item is for the user's eyes; else put what matters into a message.",
    degrades=(CODEX, OPEN),
    seen="OpenAI's hosted tools",
)
def item_ignored(turn: Turn, event: Event) -> str | None:
    return f"{event.kind} {event.spoken.get('id')}" if event.kind in _NOT_KEPT else None


@rule(
    "codex.end-turn-false",
    on=(COMPLETED,),
    expected="no `end_turn: false` in the final response",
    why="Codex sends the next request at once, without anything new in it, and again, until "
    "something else stops it.",
    fix="Leave `end_turn` out.",
    breaks=(CODEX,),
)
def end_turn_false(turn: Turn, event: Event) -> str | None:
    return "end_turn: false" if event.response.get("end_turn") is False else None


@rule(
    "codex.model-header",
    on=(HEAD,),
    expected="no `openai-model` header, or the model that was asked for",
    why="Codex warns the user that the model was rerouted and the account was flagged for "
    "high-risk activity.",
    fix="Do not send the header.",
    degrades=(CODEX,),
)
def model_header(turn: Turn, event: Event) -> str | None:
    named = event.body.get("openai_model")
    asked = as_object(turn.request).get("model")
    return f"openai-model: {named}" if named and named != asked else None


class ProfileCheck(msgspec.Struct, frozen=True):
    """One of the questions that a profile asks, and the rules that answer it with no."""

    name: str
    question: str
    rules: tuple[str, ...]


CODEX_PROFILE = (
    ProfileCheck(
        "request accepted",
        "Does the server take the request and answer with a stream?",
        (
            *("transport.status", "transport.not-a-stream", "foreign.chat-chunk"),
            *("live.no-answer", "live.key-refused", "live.redirect"),
        ),
    ),
    ProfileCheck(
        "event structure",
        "Do the events come in order, each item announced and done, and exactly one end?",
        (
            *("transport.unended", "transport.bad-json", "transport.no-type"),
            *("grammar.item-not-announced", "grammar.item-not-done", "grammar.delta-without-item"),
            *("grammar.done-twice", "grammar.event-after-terminal", "terminal.missing"),
            *("terminal.error-alone", "terminal.response-missing", "terminal.id-missing"),
            *("terminal.usage-incomplete", "terminal.output-only", "live.endless"),
            "terminal.completed-with-incomplete-item",
        ),
    ),
    ProfileCheck(
        "no forbidden events",
        "Is every event one of the Responses API?",
        (
            *("foreign.tool-call-event", "foreign.arguments-event-name"),
            *("foreign.anthropic-event", "foreign.chat-chunk", "foreign.unknown-event"),
        ),
    ),
    ProfileCheck(
        "done items whole",
        "Has every done item what Codex needs to take it?",
        (
            *("items.item-missing", "items.type-unknown", "items.name-missing"),
            *("items.role-missing", "items.content-not-list", "items.part-type"),
            *("items.summary-missing", "items.input-not-text", "items.tool-calls-in-message"),
            *("codex.refusal-part", "codex.call-not-run", "items.tool-kind", "items.namespace"),
            *("grammar.item-differs", "live.answer-lost"),
        ),
    ),
    ProfileCheck(
        "arguments not empty",
        "Are the arguments of every call a JSON object in a string?",
        ("items.arguments-not-text", "items.arguments-empty", "items.arguments-not-json"),
    ),
    ProfileCheck(
        "call_id consistent",
        "Has every call one id, its own, from the first event to the last?",
        ("items.call-id-missing", "items.call-id-changes", "items.call-id-repeats"),
    ),
)
