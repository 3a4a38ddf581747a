"""What may be asked instead when the provider refuses a request before it says anything."""

from __future__ import annotations

from anyturn.errors import Kind, TurnError
from anyturn.translate.image_refusals import refuses_images, without_images
from anyturn.translate.responses_to_chat import ChatRequest
from anyturn.translate.truncation import shortened
from anyturn.wire.profile import Profile


def second_try(
    chat: ChatRequest, refusal: TurnError, profile: Profile, *, may_truncate: bool
) -> ChatRequest | None:
    """The request with less in it, which the provider may take; None when nothing helps.

    Without images where they are refused (F11), with a shorter history where the context is full
    and the client allows it. Each is smaller than the one before, so asking again comes to an end.
    """
    if refuses_images(refusal):
        return without_images(chat, profile)
    if refusal.kind is Kind.CONTEXT_OVERFLOW and may_truncate:
        return shortened(chat)
    return None
