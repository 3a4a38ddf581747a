"""Who asks: the owner of everything that a request stores or finds."""

from __future__ import annotations

from aiohttp import web

from anyturn.conformance import client_of
from anyturn.memory import Caller, Nearby
from anyturn.server.admission import CALLER


def caller_of(request: web.Request, nearby: Nearby | None = None) -> Caller:
    """The caller whom `Admission` let in, with what only this connection remembers."""
    caller = request[CALLER]
    client = client_of(request.headers)
    return Caller(caller.owner, nearby, request.headers, caller.passed, client)
