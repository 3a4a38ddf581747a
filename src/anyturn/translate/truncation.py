"""A history that is too long for the model, made shorter where the client allows it.

With `truncation: "auto"` old context may be dropped; with `disabled` an input that is too long must
fail (responses-api.md section 2.7). Nobody here knows a provider's tokens, so the provider decides:
when it says that the context is full, the older half of what was said is left out.
"""

from __future__ import annotations

from typing import Any

from anyturn.translate.content import as_string_or_parts, join_texts
from anyturn.translate.responses_to_chat import ChatRequest

Message = dict[str, Any]

_NOTE = "[the beginning of the conversation was left out: it did not fit into the context]"
_STEPS_NOTE = "[the first steps of this turn were left out: they did not fit into the context]"


def shortened(chat: ChatRequest) -> ChatRequest | None:
    """The request without the older half of its rounds; None when nothing more can be left out.

    A round begins with what a user says. Of the last one, an agent's long turn, the older half of
    the steps is left out: a step is what the model said with the outputs of its calls, so that no
    call loses its output. What the system or the developer said stays, and so do the last user
    message and the last step. A note says where something was. The loss joins the adaptations of
    `chat`, which itself is not changed.
    """
    messages: list[Message] = chat.body["messages"]
    head = next((n for n, one in enumerate(messages) if one["role"] in _SAID), len(messages))
    shorter = _without_rounds(messages, head) or _without_steps(messages, head)
    if shorter is None:
        return None
    count = len(messages) - len(shorter)
    what = f"the context is full: {count} of {len(messages)} messages, the oldest, were left out"
    chat.adaptations.loss("history.truncated", "input", what)
    body = {**chat.body, "messages": shorter}
    return ChatRequest(body, chat.tools, chat.adaptations, chat.compacts)


def _without_rounds(messages: list[Message], head: int) -> list[Message] | None:
    users = [n for n, one in enumerate(messages) if one["role"] == "user"]
    starts = users if users[:1] == [head] else [head, *users]
    if len(starts) < 2:
        return None
    cut = starts[len(starts) // 2]
    first, *rest = messages[cut:]
    return [*messages[:head], *_instructions(messages[head:cut]), _noted(first, _NOTE), *rest]


def _without_steps(messages: list[Message], head: int) -> list[Message] | None:
    """The last round, or a history in which no user says anything."""
    steps = [n for n, one in enumerate(messages) if one["role"] == "assistant"]
    if len(steps) < 2:
        return None
    first, cut = steps[0], steps[len(steps) // 2]
    asked, left_out = messages[head:first], messages[first:cut]
    if asked and asked[0]["role"] == "user":
        asked = [_noted(asked[0], _STEPS_NOTE), *asked[1:]]
    return [*messages[:head], *asked, *_instructions(left_out), *messages[cut:]]


def _instructions(messages: list[Message]) -> list[Message]:
    return [message for message in messages if message["role"] not in _SAID]


def _noted(message: Message, note: str) -> Message:
    """The message with a note at its beginning, once."""
    content = message["content"]
    if isinstance(content, str):
        noted = content if content.startswith(note) else f"{note}\n\n{content}"
        return {**message, "content": noted}
    told = {"type": "text", "text": note}
    if content[0].get("text", "").startswith(note):
        return message
    return {**message, "content": as_string_or_parts(join_texts([told, *content]))}


_SAID = frozenset({"user", "assistant", "tool"})
