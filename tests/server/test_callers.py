"""Who asks, for the memory."""

from __future__ import annotations

from aiohttp.test_utils import make_mocked_request

from anyturn.auth import gate
from anyturn.memory import Caller, Nearby
from anyturn.server.admission import CALLER
from anyturn.server.callers import caller_of


def test_the_owner_is_whoever_was_let_in_and_the_connection_knows_the_rest() -> None:
    request = make_mocked_request("GET", "/", headers={"Authorization": "Bearer somebody-else"})
    request[CALLER] = gate.Caller("key_1", "laptop")
    assert caller_of(request) == Caller("key_1", None, request.headers)
    nearby = Nearby()
    assert caller_of(request, nearby).nearby is nearby
