"""What differs between clients on the wire, decided by who they say they are."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from anyturn.wire import sse


class Dialect(msgspec.Struct, frozen=True):
    """How to speak to one kind of client."""

    name: str
    keepalive: bytes
    """What keeps the connection alive without being an event."""
    transient_as_stream: bool
    """Whether a failure that may pass is told inside a 200 stream rather than by a status."""
    retries_401: bool
    """Whether a refused key is sent again and again instead of being shown."""
    keepalive_frame: bytes = b""
    """What keeps a WebSocket alive, where its pings are not enough."""


# Comments do not reset Codex's idle timer, unknown events do and are ignored (codex-cli.md 0.7).
# A 502 makes it send 30 requests; `response.failed` makes it send 6 and shows our sentence (8).
# A 401 it sends five times more, for seven seconds, and then shows with a prefix of its own.
CODEX = Dialect(
    "codex",
    sse.DATA_KEEPALIVE,
    transient_as_stream=True,
    retries_401=True,
    keepalive_frame=b'{"type":"keepalive"}',
)

# openai-node's stream helper throws on unknown events, so others get comments; the SDKs retry a
# 5xx by themselves and do not retry a failed stream.
OTHER = Dialect("other", sse.COMMENT_KEEPALIVE, transient_as_stream=False, retries_401=False)


def dialect_of(headers: Mapping[str, str]) -> Dialect:
    """The dialect of the client that sent these headers."""
    who = f"{headers.get('originator', '')} {headers.get('User-Agent', '')}".lower()
    return CODEX if "codex" in who else OTHER
