"""Keep secrets out of what is logged (A2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

MASK = "[secret]"

_SECRET_HEADER = re.compile(r"authorization|api[-_]?key|token|secret|cookie|password", re.I)
_SHORTEST = 6
"""A shorter value would be found in innocent words."""
_PATTERNS = (
    re.compile(r"\b(?:sk|csk|gsk|xai|pk|rk|hf|ghp|any)[-_][\w*.-]{6,}"),
    re.compile(r"(?<=bearer )\s*[\w.~+/=*-]{4,}", re.I),
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"),
    re.compile(
        r"(?<![\w])((?:[\w-]{0,40}[-_])?(?:api[-_ ]?key|token|secret|password|passwd|authorization)"
        r'\\?["\']?\s*[:=]\s*\\?["\']?)(?!\[secret\])[^\s"\'\\,}]{4,}',
        re.I,
    ),
)


def secrets_in(headers: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The values of those headers that carry credentials, as they came and without a scheme."""
    found: list[str] = []
    for name, value in (headers or {}).items():
        if isinstance(value, str) and _SECRET_HEADER.search(str(name)):
            found += (value, value.rpartition(" ")[2])
    return tuple(found)


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` without the given secrets, and without what looks like one."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, MASK)
    *whole, assigned = _PATTERNS
    for pattern in whole:
        text = pattern.sub(MASK, text)
    return assigned.sub(rf"\1{MASK}", text)
