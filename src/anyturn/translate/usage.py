"""Token counts: a provider's own fields to the one form clients parse (F58, F59, Q61–Q63)."""

from __future__ import annotations

from typing import Any

from anyturn.wire.profile import Profile
from anyturn.wire.responses import InputDetails, OutputDetails, Usage


def convert_usage(usage: Any, profile: Profile) -> Usage | None:
    """Read a provider's `usage` object; None when it holds no counts.

    The details are always there, and never larger than what they detail.
    """
    if not isinstance(usage, dict):
        return None
    prompt = _first_count(usage, ("prompt_tokens", "input_tokens"))
    completion = _first_count(usage, ("completion_tokens", "output_tokens"))
    if prompt is None and completion is None:
        return None
    reasoning = _first_count(usage, profile.usage_reasoning) or 0
    output = completion or 0
    if not profile.usage_reasoning_included:
        output += reasoning
    cached = _first_count(usage, profile.usage_cached) or 0
    total = _first_count(usage, ("total_tokens",)) or 0
    counted = (prompt or 0) + output
    return Usage(
        input_tokens=prompt or 0,
        output_tokens=output,
        total_tokens=max(total, counted),
        input_tokens_details=InputDetails(cached_tokens=min(cached, prompt or 0)),
        output_tokens_details=OutputDetails(reasoning_tokens=min(reasoning, output)),
    )


def estimate_usage(request_bytes: int, answer_characters: int) -> Usage:
    """A guess for providers that report nothing: four bytes a token.

    Codex compacts by these numbers (codex-cli.md section 6): a guess keeps a long session alive
    where zeros would let it overflow.
    """
    prompt, completion = request_bytes // 4, (answer_characters + 3) // 4
    return Usage(prompt, completion, prompt + completion)


def _first_count(usage: dict[str, Any], paths: tuple[str, ...]) -> int | None:
    for path in paths:
        value: Any = usage
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15:
            return int(value)
    return None
