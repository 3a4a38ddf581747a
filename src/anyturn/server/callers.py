"""Who asks: the owner of everything that a request stores or finds."""

from __future__ import annotations

from aiohttp import web

from anyturn.memory import Caller, Nearby
from anyturn.server.admission import CALLER

# By these a client says who it is and which session this is; profiles say where they go on (F72).
_IDENTITY = ("originator", "version", "user-agent", "session-id", "thread-id", "session_id")
_OF_CODEX = ("x-codex-", "x-client-request-id")


def caller_of(request: web.Request, nearby: Nearby | None = None) -> Caller:
    """The caller whom `Admission` let in, with what only this connection remembers."""
    caller = request[CALLER]
    return Caller(caller.owner, nearby, request.headers, caller.passed)
