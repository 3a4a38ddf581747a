"""Thought signatures: what Gemini puts into `extra_content` and wants back unchanged (Q24).

They stand in a namespace of the vendor (`google`, `vertex`), at the first of parallel calls, and
for an answer without calls at the message itself.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Extra: TypeAlias = dict[str, Any]

_NAME = "thought_signature"


def has_signature(extra: Extra | None) -> bool:
    """Whether an `extra_content` holds a signature."""
    spaces = extra.values() if extra else ()
    return any(isinstance(space, dict) and bool(space.get(_NAME)) for space in spaces)


def with_signature(extra: Extra | None, signature: str) -> Extra:
    """An `extra_content` with this signature in it, for a call that came without one."""
    told = dict(extra or {})
    space = told.get("google")
    told["google"] = {**(space if isinstance(space, dict) else {}), _NAME: signature}
    return told
