"""A provider that refuses images, and the same request without them (F11).

Profiles say which models see; of unknown servers and new models nobody knows before they refuse.
One picture in the history would then end the session: every later turn holds it again.
"""

from __future__ import annotations

import re
from typing import Any

from anyturn.errors import Kind, TurnError
from anyturn.translate.content import as_string_or_parts, join_texts
from anyturn.translate.responses_to_chat import ChatRequest
from anyturn.wire.profile import Profile

_STAND_IN = "[image left out: this model takes no images]"

# llama.cpp and Ollama answer 500, OpenRouter 404, the others 400 or 422.
_KINDS = frozenset({Kind.PROVIDER_REFUSED, Kind.PROVIDER_BROKEN})
_REFUSES = re.compile(
    "|".join(
        (
            r"unknown variant .{0,3}image_url",
            r"\bimage(?:s|_url|[ _]input)?\b.{0,40}\b(?:not|un|only )(?: be)? ?"
            r"(?:supported|enabled|allowed|accepted)",
            r"(?:\bnot|n't) (?:support|accept|take|allow)\w* (?:\w+ )?"
            r"(?:images?|image_url|vision|multi-?modal)\b",
            r"\bno endpoints found that support image",
            r"\bnot a (?:multi-?modal|vision)",
            r"\bat most 0 image",
            r"\bmissing data required for image",
            r"\bcontent.{0,20} must be a string",
        )
    ),
    re.IGNORECASE,
)
# The provider takes images, but not this one: that is the client's to know.
_REFUSES_THIS_ONE = re.compile(
    r"\bimage (?:format|type|size|url scheme|dimension|resolution)|\bdownload", re.IGNORECASE
)


def refuses_images(refusal: TurnError) -> bool:
    """Whether the provider's words mean that it takes no images at all."""
    return (
        refusal.kind in _KINDS
        and _REFUSES.search(refusal.message) is not None
        and _REFUSES_THIS_ONE.search(refusal.message) is None
    )


def without_images(chat: ChatRequest, profile: Profile) -> ChatRequest | None:
    """The request with a sentence for each image; None when it holds none.

    The loss joins the adaptations of `chat`, the list of the turn.
    """
    messages = chat.body["messages"]
    count = sum(map(_is_image, (part for message in messages for part in _parts(message))))
    if not count:
        return None
    chat.adaptations.loss(
        "content.image_left_out",
        "input",
        f"{profile.label} refused images; it was asked again without {count}",
    )
    body = {**chat.body, "messages": [_told(message) for message in messages]}
    return ChatRequest(body, chat.tools, chat.adaptations, chat.compacts)


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    return content if isinstance(content, list) else []


def _is_image(part: dict[str, Any]) -> bool:
    kind: str = part["type"]
    return kind == "image_url"


def _told(message: dict[str, Any]) -> dict[str, Any]:
    parts = _parts(message)
    if not any(map(_is_image, parts)):
        return message
    told = [{"type": "text", "text": _STAND_IN} if _is_image(part) else part for part in parts]
    return {**message, "content": as_string_or_parts(join_texts(told))}
