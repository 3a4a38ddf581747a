"""What the tests of the gateway share: sinks, requests, a gateway beside a provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from anyturn.config import Settings
from anyturn.errors import TurnError
from anyturn.gateway import Gateway, Tap, Turn
from anyturn.routing import Routing
from anyturn.testing import (
    Entry,
    ScriptedProvider,
)
from anyturn.translate.adaptations import Adaptation
from anyturn.upstream import Limits, ProviderClient
from anyturn.wire import responses as r

JSON = dict[str, Any]


LIMITS = Limits(first_byte_timeout_s=5, idle_timeout_s=5, retries=0)


# A model of which nobody knows that it takes no images.
SEEING = "unheard-of"


KEY = "sk-planted-5d1e7a9b3c2f4e60"


TOOL = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}


class Sink:
    """Takes events; accepts failures as events once there are some, or from the beginning."""

    def __init__(self, *, accepting: bool = True) -> None:
        self.bursts: list[list[r.Event]] = []
        self.begun: list[list[Adaptation]] = []
        self._accepting = accepting

    @property
    def events(self) -> list[r.Event]:
        return [event for burst in self.bursts for event in burst]

    @property
    def names(self) -> list[str]:
        return [r.name_of(event) for event in self.events]

    def accepts(self, error: TurnError) -> bool:
        return self._accepting or bool(self.bursts)

    async def begin(self, adaptations: list[Adaptation]) -> None:
        assert not self.bursts
        self.begun.append(adaptations)

    async def send(self, events: list[r.Event]) -> None:
        assert self.begun
        self.bursts.append(events)


class Notes:
    """A tap that notes the order of what it sees."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.raw = b""
        self.over = False
        self.seen: list[r.Event] = []

    def request(self, turn: Turn) -> None:
        assert msgspec.json.decode(turn.asked_body)["stream"] is True
        self.kinds.append("request")

    def ended(self, turn: Turn) -> None:
        self.over = True

    def provider_bytes(self, turn: Turn, block: bytes) -> None:
        self.kinds.append("bytes")
        self.raw += block

    def events(self, turn: Turn, events: list[r.Event]) -> None:
        self.kinds.append("events")
        self.seen += events


def ask(**fields: Any) -> JSON:
    return {"input": "Hi", "model": "gpt-oss-120b", **fields}


def gateway_at(
    base_url: str,
    client: ProviderClient,
    *,
    environ: dict[str, str] | None = None,
    taps: Iterable[Tap] = (),
    **settings: Any,
) -> Gateway:
    routing = Routing(Settings(base_url=base_url, model="gpt-oss-120b"), environ or {})
    return Gateway(routing, client, taps=taps, **settings)


@asynccontextmanager
async def stage(
    *script: Entry,
    limits: Limits = LIMITS,
    strict: bool = True,
    **settings: Any,
) -> AsyncIterator[tuple[Gateway, ScriptedProvider]]:
    served = ScriptedProvider(script, strict=strict, models=["gpt-oss-120b", SEEING])
    async with served as provider, ProviderClient(limits) as c:
        yield gateway_at(provider.base_url, c, **settings), provider


async def run(*script: Entry, sink: Sink, **settings: Any) -> r.Response:
    """One turn on a provider with this script."""
    async with stage(*script, **settings) as (gateway, _):
        return await gateway.run(ask(tools=[TOOL]), sink)


def said(response: r.Response) -> str:
    return "".join(
        part.text
        for item in response.output
        if isinstance(item, r.MessageItem)
        for part in item.content
        if isinstance(part, r.OutputText)
    )
