"""What may be asked instead when the provider refuses a request before it says anything."""

from __future__ import annotations

from typing import TypeAlias

from anyturn.errors import Kind, TurnError
from anyturn.translate.forwarded_again import (
    refuses_seals,
    refuses_tool_types,
    shortened_input,
    with_functions_only,
    without_forwarded_images,
    without_sealed_reasoning,
)
from anyturn.translate.image_refusals import refuses_images, without_images
from anyturn.translate.responses_to_chat import ChatRequest
from anyturn.translate.responses_to_responses import ForwardedRequest
from anyturn.translate.truncation import shortened
from anyturn.wire.profile import Profile

Asked: TypeAlias = ChatRequest | ForwardedRequest
"""A request as it leaves, in the form of either API."""


def second_try(
    asked: Asked, refusal: TurnError, profile: Profile, *, may_truncate: bool
) -> Asked | None:
    """The request with less in it, which the provider may take; None when nothing helps.

    Without images where they are refused (F11), without reasoning that another sealed (F17), with
    functions where other tools are refused (F21), with a shorter history where the context is full
    and the client allows it. Each asks for less than the one before, so asking again comes to an
    end.
    """
    overflows = refusal.kind is Kind.CONTEXT_OVERFLOW and may_truncate
    if isinstance(asked, ForwardedRequest):
        return _forwarded_again(asked, refusal, profile, overflows)
    if refuses_images(refusal):
        return without_images(asked, profile)
    return shortened(asked) if overflows else None


def _forwarded_again(
    asked: ForwardedRequest, refusal: TurnError, profile: Profile, overflows: bool
) -> ForwardedRequest | None:
    if refuses_seals(refusal):
        return without_sealed_reasoning(asked, profile)
    if refuses_images(refusal):
        return without_forwarded_images(asked, profile)
    if refuses_tool_types(refusal):
        return with_functions_only(asked, profile)
    return shortened_input(asked) if overflows else None
