"""Who asks: the owner of everything that a request stores or finds."""

from __future__ import annotations

import hashlib

from aiohttp import web

from anyturn.memory import Caller, Nearby


def caller_of(request: web.Request, nearby: Nearby | None = None) -> Caller:
    """The caller of a request, by the bearer that it sent; only a digest of it is kept."""
    bearer = request.headers.get("Authorization", "").partition(" ")[2].strip()
    owner = hashlib.sha256(bearer.encode()).hexdigest()[:32] if bearer else ""
    return Caller(owner, nearby)
