"""A client's end of a WebSocket to the gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgspec
from aiohttp import WSMsgType

from anyturn.config import Settings
from anyturn.routing import Routing
from anyturn.server.lifecycle import running
from anyturn.testing import ScriptedProvider
from support.http_clients import ASK, JSON

LAST = frozenset({"error", "response.completed", "response.incomplete", "response.failed"})
PATIENCE_S = 5.0


class Wire:
    """A client's end of a WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def send(self, **fields: Any) -> None:
        raw = msgspec.json.encode({"type": "response.create", **ASK, **fields})
        await self.socket.send_str(raw.decode())

    async def next(self) -> JSON:
        """The next frame, which must be one JSON object in text."""
        message = await self.socket.receive(PATIENCE_S)
        assert message.type is WSMsgType.TEXT, message
        event: JSON = msgspec.json.decode(message.data, type=JSON)
        return event

    async def answer(self) -> list[JSON]:
        """The frames up to the one that ends an answer."""
        events = [await self.next()]
        while not is_last(events[-1]):
            events.append(await self.next())
        return events

    async def ask(self, **fields: Any) -> list[JSON]:
        await self.send(input=fields.pop("input", "Hi"), **fields)
        return await self.answer()

    async def refused(self) -> JSON:
        """The error of an answer that is one error frame."""
        (frame,) = await self.answer()
        assert set(frame) <= {"type", "status", "error", "headers"}
        assert set(frame["error"]) >= {"code", "message", "type", "param"}
        return frame

    async def closed(self) -> int | None:
        """Read on until the connection is closed, and give the code."""
        while not (await self.socket.receive(PATIENCE_S)).type.name.startswith("CLOS"):
            pass
        return self.socket.close_code


def is_last(event: JSON) -> bool:
    """Whether an answer ends here; an error event of a stream is followed by another one."""
    return event["type"] in LAST and not (event["type"] == "error" and "sequence_number" in event)


def id_of(answer: list[JSON]) -> str:
    response_id: str = answer[-1]["response"]["id"]
    return response_id


Connect = Callable[..., Awaitable[Wire]]


def gateway(provider: ScriptedProvider, **given: Any) -> Any:
    """A gateway before this provider, to be entered."""
    options = {"base_url": provider.base_url, "model": "gpt-oss-120b", "port": 0, "retries": 0}
    options["store"] = "off"
    config = Settings(**{**options, **given})
    return running(config, Routing(config, {}))
