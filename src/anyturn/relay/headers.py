"""Which headers go through the relay, and as what."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web
from multidict import CIMultiDict

# Of one connection only (RFC 9110 section 7.6.1). The body's framing is each connection's own too;
# Host names whom the client asks, and 100-continue is answered here.
_HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "proxy-authenticate"),
        *("proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"),
        *("host", "expect"),
    }
)
_HANDSHAKE = "sec-websocket-"
# What aiohttp adds to answers by itself.
_ADDED = ("Date", "Server", "Content-Type")
_SENT = web.RequestKey("relayed names of headers", frozenset[str])


def passed_on(raw: Iterable[tuple[bytes, bytes]], *, handshake: bool = False) -> CIMultiDict[str]:
    """The headers that go on, in their order and spelling; `handshake` leaves out its own.

    Raises `UnicodeDecodeError` for bytes that are no UTF-8: they cannot be sent as they are.
    """
    pairs = [(name.decode(), value.decode()) for name, value in raw]
    own = {
        word.strip().lower()
        for name, value in pairs
        if name.lower() == "connection"
        for word in value.split(",")
    }
    kept = [
        (name, value)
        for name, value in pairs
        if (low := name.lower()) not in _HOP_BY_HOP
        and low not in own
        and not (handshake and low.startswith(_HANDSHAKE))
    ]
    return CIMultiDict(kept)


def note_sent(request: web.Request, headers: CIMultiDict[str]) -> None:
    """Note which headers the backend sent in its answer to this request."""
    request[_SENT] = frozenset(name.lower() for name in headers)


async def without_additions(request: web.Request, response: web.StreamResponse) -> None:
    """Take away what aiohttp adds by itself and the backend did not send: a prepare signal."""
    sent = request.get(_SENT)
    if sent is None:
        return
    for name in _ADDED:
        if name.lower() not in sent:
            response.headers.popall(name, None)
