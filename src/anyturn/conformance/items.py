"""Rules of items: the members without which a client drops them."""

from __future__ import annotations

from anyturn.conformance.events import (
    ADDED,
    ITEM_DONE,
    ITEMS,
    JSON,
    MESSAGE,
    REASONING,
    Event,
    as_list,
    as_object,
    shown,
)
from anyturn.conformance.rules import AI_SDK, ALL, CODEX, NODE, OPEN, PYTHON, Fault, rule
from anyturn.conformance.turn import Turn

_WHOLE = frozenset({ADDED, ITEM_DONE})
_PARTS = {
    MESSAGE: frozenset({"output_text", "refusal"}),
    REASONING: frozenset({"reasoning_text", "text"}),
}
_WITH_STATUS = frozenset({MESSAGE, "function_call"})
# What a model writes when its server did not read the call (F48, F49).
_CALL_MARKS = (
    "<tool_call>",
    "<function=",
    "<|channel|>",
    "<|start|>",
    "to=functions.",
    "[TOOL_CALLS]",
)


@rule(
    "items.item-missing",
    on=_WHOLE,
    expected="the whole item in `item`",
    why="Codex takes items from here and nowhere else: there is nothing to take.",
    fix="Put the item into `item`, not beside it and not by reference.",
    breaks=ALL,
)
def item_missing(turn: Turn, event: Event) -> str | None:
    return None if event.spoken else f"item: {shown(event.body.get('item'))}"


@rule(
    "items.type-unknown",
    on=(ITEM_DONE,),
    expected="a `type` that the Responses API knows",
    why="Codex ignores the item silently: a call in it never runs, a text is not shown.",
    fix="Calls are `function_call` or `custom_tool_call`, texts are `message`. Types of your own "
    "need a prefix, as in `acme:thing`.",
    breaks=ALL,
    seen="bridges that send `tool_call`, the word of other formats",
)
def type_unknown(turn: Turn, event: Event) -> str | None:
    kind = event.spoken.get("type")
    known = isinstance(kind, str) and (kind in ITEMS or ":" in kind)
    return None if known or not event.spoken else f"type {shown(kind)}"


@rule(
    "items.id-missing",
    on=(ITEM_DONE,),
    expected="`id` in every item",
    why="The AI SDK does not read an item without it: a call is never made. openai-python 3 and "
    "openai-node 7 raise at a message. Codex invents one.",
    fix="Mint an id with the item's prefix: msg_, rs_, fc_, ctc_.",
    breaks=ALL - {CODEX},
    seen="native servers that leave it out (F56)",
)
def id_missing(turn: Turn, event: Event) -> str | None:
    item = event.spoken
    missing = item and not (isinstance(item.get("id"), str) and item["id"])
    return f"{item.get('type')} with id {shown(item.get('id'))}" if missing else None


@rule(
    "items.status-missing",
    on=(ITEM_DONE,),
    expected="`status` in every message and function call",
    why="The AI SDK does not read a call without it: the tool never runs. The Open Responses "
    "schema and the strict types demand it.",
    fix="`in_progress` when the item opens, `completed` when it is done.",
    breaks=(AI_SDK, OPEN),
    degrades=(PYTHON,),
    cosmetic=(NODE,),
    seen="native servers that leave it out (F56)",
)
def status_missing(turn: Turn, event: Event) -> str | None:
    item = event.spoken
    missing = event.kind in _WITH_STATUS and not isinstance(item.get("status"), str)
    return f"{item.get('type')} {item.get('id')} has no status" if missing else None


@rule(
    "items.status-not-final",
    on=(ITEM_DONE,),
    expected="`completed` or `incomplete` as the status of a done item",
    why="An item that is done is not in progress, and a program that waits for its end waits in "
    "vain.",
    fix="Set the status when the item is closed.",
    degrades=(OPEN,),
    cosmetic=(PYTHON, NODE, AI_SDK),
    seen="OpenAI, for calls that a program of the model makes",
)
def status_not_final(turn: Turn, event: Event) -> str | None:
    said = event.spoken.get("status")
    return f"{event.spoken.get('id')} is done and {said}" if said == "in_progress" else None


@rule(
    "items.role-missing",
    on=(ITEM_DONE,),
    expected='`"role": "assistant"` in every message',
    why="Codex drops the message silently: the user sees nothing.",
    fix="Put the role into the item.",
    breaks=(CODEX, OPEN),
    degrades=(PYTHON, AI_SDK),
    cosmetic=(NODE,),
)
def role_missing(turn: Turn, event: Event) -> str | None:
    item = event.spoken
    missing = item.get("type") == MESSAGE and not isinstance(item.get("role"), str)
    return f"role: {shown(item.get('role'))}" if missing else None


@rule(
    "items.content-not-list",
    on=(ITEM_DONE,),
    expected="`content` of a message is a list of parts",
    why="Codex drops the message silently: the user sees nothing. openai-python and openai-node "
    "raise, and so does the AI SDK when it does not stream.",
    fix='Send `"content": [{"type": "output_text", "text": …}]`, not a string.',
    breaks=ALL - {AI_SDK},
    degrades=(AI_SDK,),
    seen="bridges that copy `message.content` of Chat Completions",
)
def content_not_list(turn: Turn, event: Event) -> str | None:
    item = event.spoken
    wrong = item.get("type") == MESSAGE and not isinstance(item.get("content"), list)
    return f"content: {shown(item.get('content'))}" if wrong else None


@rule(
    "items.part-type",
    on=(ITEM_DONE,),
    expected="parts of type output_text or refusal in a message, reasoning_text in reasoning",
    why="Codex drops the whole item when it does not know a part, and for openai-python and "
    "openai-node it is no text: the user sees nothing. The AI SDK raises when it does not "
    "stream.",
    fix="A text of the model is `output_text`; `text` and `input_text` are something else.",
    breaks=ALL - {AI_SDK},
    degrades=(AI_SDK,),
)
def part_type(turn: Turn, event: Event) -> str | None:
    allowed = _PARTS.get(event.kind)
    if allowed is None:
        return None
    kinds = [as_object(part).get("type") for part in as_list(event.spoken.get("content"))]
    return next((f"a part of type {shown(k)}" for k in kinds if str(k) not in allowed), None)


@rule(
    "items.annotations-missing",
    on=(ITEM_DONE,),
    expected="`annotations` in every output_text part, [] where there are none",
    why="The strict types and the Open Responses schema demand it, and programs that loop over it "
    "crash.",
    fix='Send `"annotations": []`.',
    breaks=(OPEN,),
    degrades=(PYTHON, AI_SDK),
    cosmetic=(NODE,),
    seen="native servers that leave it out (F56)",
)
def annotations_missing(turn: Turn, event: Event) -> str | None:
    missing = any(
        part.get("type") == "output_text" and not isinstance(part.get("annotations"), list)
        for part in _parts(event.spoken)
    )
    return f"a part of {event.spoken.get('id')} has none" if missing else None


@rule(
    "items.null-member",
    on=(ITEM_DONE,),
    expected="optional members that are left out rather than null",
    why="The Open Responses schema refuses null for `content`, `encrypted_content`, `phase` and "
    "`logprobs`.",
    fix="Leave the member out.",
    breaks=(OPEN,),
    seen="GitHub Copilot: `encrypted_content: null`",
)
def null_member(turn: Turn, event: Event) -> str | None:
    item = event.spoken
    nulls = [n for n in ("content", "encrypted_content", "phase") if item.get(n, "") is None]
    nulls += ["logprobs" for part in _parts(item) if part.get("logprobs", "") is None]
    return f"{item.get('id')}: {nulls[0]} is null" if nulls else None


@rule(
    "items.tool-calls-in-message",
    on=(ITEM_DONE,),
    expected="each call as an item of its own",
    why="`tool_calls` inside a message is the form of Chat Completions. Codex does not look there: "
    "the tool never runs and nothing says so.",
    fix="Send one `function_call` item for each call.",
    breaks=ALL,
)
def tool_calls_in_message(turn: Turn, event: Event) -> str | None:
    calls = event.spoken.get("tool_calls") if event.spoken.get("type") == MESSAGE else None
    return f"tool_calls: {shown(calls)}" if calls else None


@rule(
    "items.call-as-text",
    on=(ITEM_DONE,),
    expected="calls as items, not as text",
    why="The model called a tool and its server did not notice: the user reads the call instead of "
    "its result, and the turn ends.",
    fix="Use the server's tool parser for this model, or a gateway that reads leaked calls.",
    degrades=ALL,
    fault=Fault.MODEL,
    seen="gpt-oss on vLLM, Cerebras and Ollama (F48); vLLM's parsers while streaming (F49)",
)
def call_as_text(turn: Turn, event: Event) -> str | None:
    if event.spoken.get("type") != MESSAGE:
        return None
    for part in _parts(event.spoken):
        text = part.get("text")
        if isinstance(text, str) and text.lstrip().startswith(_CALL_MARKS):
            return shown(text)
    return None


def _parts(item: JSON) -> list[JSON]:
    return [as_object(part) for part in as_list(item.get("content"))]
