"""What a turn cost, in tokens, as the Responses API tells it."""

from __future__ import annotations

import msgspec


class InputDetails(msgspec.Struct, frozen=True):
    """Details of the input tokens; zero when unknown, never absent (F58)."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputDetails(msgspec.Struct, frozen=True):
    """Details of the output tokens; zero when unknown, never absent (F58)."""

    reasoning_tokens: int = 0


class Usage(msgspec.Struct, frozen=True):
    """Token counts of one turn."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: InputDetails = InputDetails()
    output_tokens_details: OutputDetails = OutputDetails()
