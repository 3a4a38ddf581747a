"""Ask a gateway what a client asked once, and check that it answers the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, TypeAlias

import aiohttp
import msgspec

from anyturn.capture.compare import differences, without_deltas
from anyturn.capture.format import Capture, messages_of
from anyturn.capture.redact import MASK, Redactor

JSON: TypeAlias = dict[str, Any]

_SILENCE_S = 120.0


class Checked(msgspec.Struct, kw_only=True):
    """One request that was sent again. `differences` is empty when the answer was the same."""

    turn: str
    events: int = 0
    differences: list[str] = []
    skipped: str = ""
    """Why it was not sent."""

    @property
    def passed(self) -> bool:
        """Whether the answer was the same."""
        return not self.differences and not self.skipped


async def resend(
    captures: Iterable[Capture], base_url: str, *, key: str = "", exact: bool = False
) -> AsyncIterator[Checked]:
    """Send the requests of these captures to a gateway, one after the other; give each result.

    Ids and clocks do not count, and where deltas were cut only if `exact`. Raises what aiohttp
    raises when the gateway cannot be reached.
    """
    timeout = aiohttp.ClientTimeout(total=None, sock_read=_SILENCE_S)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        for capture in captures:
            yield await _resend(http, capture, base_url, key, exact)


async def _resend(
    http: aiohttp.ClientSession, capture: Capture, base_url: str, key: str, exact: bool
) -> Checked:
    checked = Checked(turn=capture.head.turn, differences=[])
    if not capture.request:
        checked.skipped = "the request was not recorded"
    elif capture.status in ("cut", "left"):
        checked.skipped = "the recording ends before the answer does"
    elif capture.head.wire == "chat":
        checked.skipped = "its client spoke Chat Completions, and a gateway speaks Responses"
    elif capture.head.passive and not capture.events and capture.response:
        checked.skipped = "its answer was no stream"
    else:
        events = Redactor().value(await _ask(http, capture, base_url, key))
        checked.events = len(events)
        checked.differences = _differences(capture, events, exact)
    return checked


def _differences(capture: Capture, events: list[JSON], exact: bool) -> list[str]:
    expected = capture.events
    if not expected and capture.end is not None:
        # The client got an HTTP error instead of events.
        expected = [{"status": capture.end.http_status}]
        events = [{"status": one.get("status")} for one in events[:1]]
    if not exact:
        expected, events = without_deltas(expected), without_deltas(events)
    return differences(expected, events)


async def _ask(
    http: aiohttp.ClientSession, capture: Capture, base_url: str, key: str
) -> list[JSON]:
    body = {**capture.request, "stream": True}
    if capture.head.transport == "websocket":
        # In a frame it says what the frame is; in a body nothing may stand there.
        body.pop("type", None)
    headers = {name: value for name, value in capture.headers.items() if _may_be_sent(name, value)}
    headers |= {"Content-Type": "application/json"}
    headers |= {"Authorization": f"Bearer {key}"} if key else {}
    url = f"{base_url.rstrip('/')}/responses"
    async with http.post(url, data=msgspec.json.encode(body), headers=headers) as response:
        raw = await response.read()
        if response.status != 200:
            return [{"type": "http", "status": response.status}]
        return _events_of(raw)


def _may_be_sent(name: str, value: str) -> bool:
    told = name in ("user-agent", "originator", "version", "openai-beta")
    return told and value != MASK and value.isprintable()


def _events_of(raw: bytes) -> list[JSON]:
    """The events of an answer, without what only keeps the connection alive."""
    bodies = [message.data for message in messages_of(raw)]
    events = [_event(body) for body in bodies if body != b"[DONE]"]
    return [event for event in events if event.get("type") != "keepalive"]


def _event(body: bytes) -> JSON:
    """One event; what is none is told apart by its type, which no recording has."""
    try:
        event = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {"type": "not JSON"}
    return event if isinstance(event, dict) else {"type": "no object"}
