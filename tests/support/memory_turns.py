"""Turns of a gateway that remembers, and what its memory gives back."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from anyturn.config import Settings
from anyturn.gateway import Gateway
from anyturn.memory import ANYBODY, Caller, Memory
from anyturn.routing import Routing
from anyturn.store.records import Store
from anyturn.testing import Entry, ScriptedProvider
from anyturn.translate.adaptations import Adaptations
from anyturn.upstream import ProviderClient
from anyturn.wire import responses as r
from support.gateway_turns import LIMITS, Sink, ask

JSON = dict[str, Any]


class Stage:
    """A gateway with a memory, and its provider."""

    def __init__(self, gateway: Gateway, provider: ScriptedProvider) -> None:
        self.gateway = gateway
        self.provider = provider
        self.memory = gateway.memory

    async def run(self, sink: Any = None, caller: Caller = ANYBODY, **fields: Any) -> r.Response:
        return await self.gateway.run(ask(**fields), sink or Sink(accepting=False), caller)

    def messages(self, number: int) -> list[JSON]:
        """The Chat messages of the provider's request, counted from 1."""
        return self.provider.requests[number - 1].messages

    def said(self, number: int) -> list[Any]:
        return [message.get("content") for message in self.messages(number)]


@asynccontextmanager
async def staged(
    *script: Entry,
    store: Store | None = None,
    profile: str = "",
    timeout_s: float = 1.0,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Stage]:
    async with ScriptedProvider(script) as provider, ProviderClient(LIMITS) as client:
        settings = Settings(base_url=provider.base_url, model="gpt-oss-120b", provider=profile)
        memory = Memory(store, timeout_s=timeout_s, clock=clock)
        yield Stage(Gateway(Routing(settings, {}), client, memory=memory), provider)


async def history(memory: Memory, caller: Caller = ANYBODY, **named: Any) -> list[JSON]:
    """The input of a request that names something, as the provider's would be made of it."""
    recalled = await memory.recall({"input": [], **named}, caller, Adaptations())
    return recalled.request["input"]


def message(words: str, **members: Any) -> JSON:
    return {"type": "message", "role": "user", "content": words, **members}


def reference(id: str) -> JSON:
    return {"type": "item_reference", "id": id}
