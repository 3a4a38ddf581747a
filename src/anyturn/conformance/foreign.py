"""Rules against events that belong to another format, or to none."""

from __future__ import annotations

from anyturn.conformance.events import CHAT, Event, is_known, shown
from anyturn.conformance.rules import AI_SDK, ALL, CODEX, NODE, OPEN, PYTHON, rule
from anyturn.conformance.turn import Turn

_ANTHROPIC = frozenset(
    {
        *("message_start", "message_delta", "message_stop"),
        *("content_block_start", "content_block_delta", "content_block_stop"),
    }
)
_MISNAMED = frozenset(
    {
        *("response.function_call.arguments.delta", "response.function_call.arguments.done"),
        *("response.function_call_arguments_delta", "response.function_call_arguments_done"),
        *("response.tool_call_arguments.delta", "response.tool_call_arguments.done"),
    }
)
_INVENTED = frozenset(
    {
        *("response.tool_call", "response.tool_call.delta", "response.tool_call.done"),
        *("response.tool_calls.delta", "response.output_item.delta", "response.function_call"),
        *("response.function_call.delta", "response.function_call.done", "function_call_delta"),
        *("response.output_tool_call.begin", "response.output_tool_call.delta"),
        "response.output_tool_call.end",
    }
)
_REASONING_OF_OPEN = frozenset({"response.reasoning.delta", "response.reasoning.done"})
_REASONING_OF_OPENAI = frozenset({"response.reasoning_text.delta", "response.reasoning_text.done"})


@rule(
    "foreign.chat-chunk",
    on=(CHAT,),
    expected="events of the Responses API",
    why="This is Chat Completions. Codex finds no event in it, says `stream closed before "
    "response.completed`, and sends the request five times more.",
    fix="Translate chunks to events: put a gateway such as Anyturn between client and provider.",
    breaks=ALL,
    seen="any Chat provider under a Responses address; bridges that relay the bytes",
    once=True,
)
def chat_chunk(turn: Turn, event: Event) -> str | None:
    return shown(event.body)


@rule(
    "foreign.anthropic-event",
    on=_ANTHROPIC,
    expected="events of the Responses API",
    why="These are Anthropic's events. Codex ignores them: no text, no call, and where "
    "`response.completed` follows, no error either.",
    fix="Translate content blocks to items and parts.",
    breaks=ALL,
    seen="bridges that relay a Messages stream",
    once=True,
)
def anthropic_event(turn: Turn, event: Event) -> str | None:
    return shown(event.body)


@rule(
    "foreign.tool-call-event",
    on=_INVENTED,
    expected="a call as an item: `response.output_item.added` … `response.output_item.done`",
    why="There is no such event. Codex ignores it: the tool never runs, the turn ends as if all "
    "were well. openai-node throws.",
    fix="Send each call as a `function_call` item that is whole in `response.output_item.done`.",
    breaks=ALL,
    seen="the first Cerebras bridges for Codex",
    once=True,
)
def tool_call_event(turn: Turn, event: Event) -> str | None:
    return shown(event.body)


@rule(
    "foreign.arguments-event-name",
    on=_MISNAMED,
    expected="`response.function_call_arguments.delta` and `.done`",
    why="Nearly right, and unknown to every client: the SDKs assemble no arguments. Codex reads "
    "them from `response.output_item.done` alone and does not notice.",
    fix="Rename the event: an underscore before `arguments`, a dot after it.",
    breaks=(NODE, OPEN),
    degrades=(PYTHON, AI_SDK),
    cosmetic=(CODEX,),
    seen="codex_plus",
    once=True,
)
def arguments_event_name(turn: Turn, event: Event) -> str | None:
    return f"{event.type}"


@rule(
    "foreign.unknown-event",
    expected="events that the Responses API knows",
    why="openai-node's stream throws at an event that it does not know; Codex ignores it.",
    fix="Leave it out, or send it only to clients that asked for it.",
    breaks=(NODE, OPEN),
    degrades=(PYTHON,),
    cosmetic=(AI_SDK, CODEX),
)
def unknown_event(turn: Turn, event: Event) -> str | None:
    elsewhere = _ANTHROPIC | _MISNAMED | _INVENTED
    if " " in event.type or is_known(event.type) or event.type in elsewhere:
        return None
    return event.type


@rule(
    "foreign.reasoning-names-of-open-responses",
    on=_REASONING_OF_OPEN,
    expected="`response.reasoning_text.delta` and `.done`",
    why="Only the Open Responses schema has these names. openai-node throws at them; Codex, "
    "openai-python and the AI SDK do not show the reasoning.",
    fix="Use OpenAI's names, and these only for a client that asks for them.",
    breaks=(NODE,),
    degrades=(PYTHON, CODEX),
    cosmetic=(AI_SDK,),
    once=True,
)
def reasoning_names_of_open_responses(turn: Turn, event: Event) -> str | None:
    return event.type


@rule(
    "foreign.reasoning-names-of-openai",
    on=_REASONING_OF_OPENAI,
    expected="`response.reasoning.delta` and `.done`, for the Open Responses suite alone",
    why="The suite's schema has other names than the rest of the world; no stream suits both. "
    "OpenAI, DeepSeek, LM Studio, OpenRouter and vLLM send these.",
    fix="Nothing, unless the suite must pass: then send its names where a client asks for them.",
    breaks=(OPEN,),
    seen="everyone whom OpenAI's clients understand",
    once=True,
)
def reasoning_names_of_openai(turn: Turn, event: Event) -> str | None:
    return event.type
