"""A history that is too long for the model, made shorter where the client allows it.

With `truncation: "auto"` old context may be dropped; with `disabled` an input that is too long must
fail (responses-api.md section 2.7). Nobody here knows a provider's tokens, so the provider decides:
when it says that the context is full, the older half of what was said is left out.
"""

from __future__ import annotations

from typing import Any

from anyturn.translate.responses_to_chat import ChatRequest

_NOTE = "[the beginning of the conversation was left out: it did not fit into the context]"


def shortened(chat: ChatRequest) -> ChatRequest | None:
    """The request without the older half of its rounds; None when there is only one left.

    What the system and the developer said stays, and so does the last round: from the last user
    message on. A round is cut whole, so that no call loses its output. The loss joins the
    adaptations of `chat`.
    """
    messages: list[dict[str, Any]] = chat.body["messages"]
    head = next((n for n, one in enumerate(messages) if one["role"] in _SAID), len(messages))
    starts = [n for n, one in enumerate(messages) if n >= head and one["role"] == "user"]
    starts = starts if starts[:1] == [head] else [head, *starts]
    if len(starts) < 2:
        return None
    cut = starts[len(starts) // 2]
    what = f"the oldest {cut - head} messages were left out: the context is full"
    chat.adaptations.loss("history.truncated", "input", what)
    rest = messages[cut:]
    if isinstance(rest[0].get("content"), str):
        rest = [{**rest[0], "content": f"{_NOTE}\n\n{rest[0]['content']}"}, *rest[1:]]
    return ChatRequest(
        {**chat.body, "messages": [*messages[:head], *rest]},
        chat.tools,
        chat.adaptations,
        chat.compacts,
    )


_SAID = frozenset({"user", "assistant", "tool"})
