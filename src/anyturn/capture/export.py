"""A capture in other forms: streams, commands, and a test that holds us to it."""

from __future__ import annotations

import base64
import textwrap
from typing import Any, TypeAlias

import msgspec

from anyturn.capture.format import Capture

JSON: TypeAlias = dict[str, Any]

_WIDTH = 88
_MARK = "END_OF_BODY"
_SEPARATOR = " \\\n  "


def provider_stream(capture: Capture) -> bytes:
    """What the provider sent, as it came."""
    return capture.stream


def event_stream(capture: Capture) -> bytes:
    """The events as server-sent messages, as the client got them."""
    if capture.head.passive:
        return capture.stream
    frames = []
    for event in capture.events:
        name = str(event.get("type", "")).replace("\r", " ").replace("\n", " ")
        frames.append(f"event: {name}\n".encode() + b"data: " + msgspec.json.encode(event))
    return b"".join(frame + b"\n\n" for frame in frames)


def event_lines(capture: Capture) -> bytes:
    """The events, one on each line; the chunks of a client that spoke Chat Completions."""
    return b"".join(msgspec.json.encode(event) + b"\n" for event in capture.said)


def curl(capture: Capture) -> bytes:
    """The client's request as a command; the address and the key are the reader's to set."""
    body = msgspec.json.encode(capture.request).decode()
    # As standard input: one argument of a command is limited to 128 kB. JSON has no line ends.
    path = "chat/completions" if capture.head.wire == "chat" else "responses"
    lines = [
        f'curl -sN "${{ANYTURN_URL:-http://127.0.0.1:10000/v1}}/{path}"',
        '-H "Authorization: Bearer ${ANYTURN_KEY:-any}"',
        "-H 'Content-Type: application/json'",
        f"--data-binary @- <<'{_MARK}'",
    ]
    return f"{_SEPARATOR.join(lines)}\n{body}\n{_MARK}\n".encode()


_CASE = '''\
"""A recorded turn: {client}, {provider}/{model}, {started}."""

from __future__ import annotations

import asyncio
import base64
import tempfile
from pathlib import Path

import msgspec

from anyturn.capture.compare import differences, without_deltas
from anyturn.config import load_settings
from anyturn.routing import Routing
from anyturn.server.lifecycle import running
from anyturn.testing import Raw, ResponsesClient, ScriptedProvider

PROVIDER = {provider!r}
MODEL = {model!r}
REQUEST = (
{request}
)
STREAM = (
{stream}
)
EVENTS = (
{events}
)


async def replay() -> list[dict]:
    provider = ScriptedProvider([Raw(base64.b64decode(STREAM))], strict=False, models=())
    async with provider:
        flags = {{"provider": PROVIDER, "base_url": provider.base_url, "model": MODEL, "port": 0}}
        environ = {{"ANYTURN_REPLAY_KEY": "made-up"}}
        flags["api_key_env"] = "ANYTURN_REPLAY_KEY"
        first = msgspec.json.decode(base64.b64decode(EVENTS))[0]
        flags["store"] = "memory" if first.get("response", {{}}).get("store") else "off"
        settings = load_settings(flags, {{}}, Path(tempfile.mkdtemp()))
        async with (
            running(settings, Routing(settings, environ)) as gateway,
            ResponsesClient(gateway.base_url) as client,
        ):
            request = msgspec.json.decode(base64.b64decode(REQUEST))
            return [event async for event in client.stream(request)]


def test_{name}() -> None:
    expected = msgspec.json.decode(base64.b64decode(EVENTS))
    actual = asyncio.run(replay())
    assert differences(without_deltas(expected), without_deltas(actual)) == []
'''


def pytest_case(capture: Capture) -> bytes:
    """A test file that replays the turn offline and expects the same events again.

    All that comes from the capture stands in it as base64 or as a quoted literal: nothing of it
    can become code. Raises `ValueError` for a turn that was not a gateway's.
    """
    if capture.head.passive:
        raise ValueError(
            "No gateway took part in this turn: there is nothing to test in it. To have it served "
            "again, offline: anyturn replay DIR. Other forms: sse, jsonl, provider-sse, curl."
        )
    head = capture.head
    text = _CASE.format(
        client=_words(f"{head.client} {head.client_version}"),
        provider=_words(head.provider),
        model=_words(head.model),
        started=_words(head.started),
        request=_literal(msgspec.json.encode({**capture.request, "stream": True})),
        stream=_literal(capture.stream),
        events=_literal(msgspec.json.encode(capture.events)),
        name="the_turn_" + ("".join(c for c in head.turn if c.isascii() and c.isalnum()) or "x"),
    )
    return text.encode()


def _words(text: str) -> str:
    """Only what can stand in a docstring without meaning anything there."""
    return "".join(c if c.isascii() and (c.isalnum() or c in " ._:+-/") else "?" for c in text)


def _literal(data: bytes) -> str:
    encoded = base64.b64encode(data).decode()
    lines = textwrap.wrap(encoded, _WIDTH) or [""]
    return "\n".join(f'    "{line}"' for line in lines)


FORMS = {
    "sse": event_stream,
    "jsonl": event_lines,
    "provider-sse": provider_stream,
    "curl": curl,
    "pytest": pytest_case,
}
