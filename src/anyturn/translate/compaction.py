"""Compaction, which no Chat provider has: a history becomes one item that stands for it (F61, G9).

A request whose input ends with a `compaction_trigger` asks for it (codex-cli.md section 6). The
provider is asked for a summary instead, which goes out sealed in `encrypted_content`; when the item
comes back in a later input, the summary takes its place in the history. Any provider can read it:
the seal names no issuer. `chat_to_compaction` is the way of the answer.
"""

from __future__ import annotations

from typing import Any

from anyturn.errors import Kind, TurnError
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.envelope import COMPACTION, Unsealable, seal, unseal

TRIGGER = "compaction_trigger"
SUMMARY_ITEMS = ("compaction", "context_compaction")

HEADING = (
    "[The conversation up to here was replaced by this summary of it. The work goes on from where "
    "the summary ends.]"
)
ASK = """\
The conversation up to here is about to be removed. Write the summary that replaces it: whoever \
goes on with the work will have nothing else to go by. Leave out what no longer matters, and keep:

- Goal: what the user asked for, with every condition and wish that still holds.
- Decisions: what was decided, and why.
- State: what is done, what was found out, what was tried and failed.
- Files and commands: those that matter, with exact paths, names, numbers and error messages.
- Left to do: what remains, the next step first.

Answer with the summary as plain text and with nothing else. Do not call a tool, and do not go on \
with the work now."""

# What is for an answer and not for a summary. A stop sequence would cut it without a sign of it.
_LEFT_OUT = ("tools", "tool_choice", "parallel_tool_calls", "text", "stop", "top_logprobs")
_TOOL_FIELDS = ("tools", "tool_choice", "parallel_tool_calls")


def asks_for_compaction(items: list[Any]) -> bool:
    """Whether the input ends with a trigger; several at the end are one.

    A trigger with its compaction item right behind it was answered before: clients that add each
    output to their input send both. Raises `TurnError` (INVALID_REQUEST) for a trigger anywhere
    else: nothing that stands behind it could be answered.
    """
    end = _end_of_history(items)
    for position in range(end):
        if _kind(items[position]) == TRIGGER and _kind(items[position + 1]) not in SUMMARY_ITEMS:
            place = f"input[{position}]"
            raise TurnError(
                Kind.INVALID_REQUEST,
                f"Invalid request: {place} is a {TRIGGER}, which must be the last item of input.",
                param=place,
            )
    return end < len(items)


def _end_of_history(items: list[Any]) -> int:
    end = len(items)
    while end and _kind(items[end - 1]) == TRIGGER:
        end -= 1
    return end


def _kind(item: Any) -> Any:
    return item.get("type") if isinstance(item, dict) else None


def with_trigger(request: dict[str, Any]) -> dict[str, Any]:
    """The request that `POST /responses/compact` stands for (responses-api.md section 2.8).

    Raises `TurnError` (INVALID_REQUEST) when it names no model, which that route requires.
    """
    if not request.get("model"):
        raise TurnError(Kind.INVALID_REQUEST, "Invalid request: model is missing.", param="model")
    items = request.get("input")
    if isinstance(items, str):
        items = [{"type": "message", "role": "user", "content": items}]
    return {**request, "input": [*(items or ()), {"type": TRIGGER}]}


def as_summary_request(
    request: dict[str, Any], items: list[Any], adaptations: Adaptations
) -> tuple[dict[str, Any], list[Any]]:
    """The request and the items that ask for a summary, for a request that asks for compaction."""
    end = _end_of_history(items)
    adaptations.note(
        "compaction.as_summary",
        f"input[{end}]",
        "the provider is asked for a summary, without tools, output format and stop sequences",
    )
    asking = {"type": "message", "role": "user", "content": ASK}
    return {**request, **dict.fromkeys(_LEFT_OUT)}, [*items[:end], asking]


def settle_summary_request(body: dict[str, Any], developer_role: str) -> None:
    """Take away the tools that the history itself declared, and make sure there is a history.

    Raises `TurnError` (INVALID_REQUEST) when nothing was said yet: a summary would be invented.
    """
    for field in _TOOL_FIELDS:
        body.pop(field, None)
    said = [message for message in body["messages"] if message["role"] != developer_role]
    if said == [{"role": "user", "content": ASK}]:
        raise TurnError(
            Kind.INVALID_REQUEST,
            "Invalid request: input holds nothing to summarise.",
            param="input",
        )


def seal_summary(text: str) -> str | None:
    """The `encrypted_content` for a summary; None when it is larger than any seal may be."""
    return seal(COMPACTION, "", {"text": text})


def read_summary(blob: Any) -> tuple[str, str]:
    """The summary in an `encrypted_content`, or why there is none: foreign, damaged (F17)."""
    if not isinstance(blob, str) or not blob:
        return "", "the compacted history was left out: it holds no encrypted_content"
    try:
        _, content = unseal(COMPACTION, blob)
    except Unsealable as error:
        return "", f"the compacted history was left out: {error}"
    text = content.get("text") if isinstance(content, dict) else None
    if not isinstance(text, str) or not text:
        return "", "the compacted history was left out: it holds no text"
    return text, ""
