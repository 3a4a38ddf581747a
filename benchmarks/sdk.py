"""What observing an OpenAI client costs: the same streams through a plain and an intercepted one.

In the benchmark's own process and without sockets: the SDK's HTTP library answers from memory, so
that the figures are of the SDK and of what is added to it, and of nothing else.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from importlib import import_module
from typing import Any

import msgspec
from process import resident_bytes
from rig import Rig
from scenarios import Judged, Row, Scenario

ROUNDS, QUICK_ROUNDS = 40, 10
_REQUEST: dict[str, Any] = {
    "model": "bench",
    "messages": [{"role": "user", "content": "Go."}],
    "tools": [
        {
            "type": "function",
            "function": {"name": "write", "parameters": {"type": "object", "properties": {}}},
        }
    ],
    "stream": True,
}


def answer(chunks: int) -> bytes:
    """Return a stream whose first half is text and whose second half is the arguments of a call."""
    half = chunks // 2
    deltas: list[dict[str, Any]] = [{"content": "word "} for _ in range(half)]
    deltas.append(_call({"name": "write", "arguments": '{"text":"'}, id="call_1"))
    deltas += [_call({"arguments": "word "}) for _ in range(chunks - half - 3)]
    deltas.append(_call({"arguments": '"}'}))
    frames = [_frame({"delta": delta, "finish_reason": None}) for delta in deltas]
    return b"".join((*frames, _frame({"delta": {}, "finish_reason": "tool_calls"}), _DONE))


_DONE = b"data: [DONE]\n\n"


def _call(function: dict[str, str], **members: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, "function": function, **members}]}


def _frame(choice: dict[str, Any]) -> bytes:
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "bench",
        "choices": [{"index": 0, **choice}],
    }
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def client_of(body: bytes) -> Any:
    """Return an `AsyncOpenAI` whose HTTP library answers with `body`."""
    import openai

    http = import_module("httpx2" if int(openai.__version__.split(".")[0]) >= 3 else "httpx")

    def respond(request: Any) -> Any:
        return http.Response(200, content=body, headers={"content-type": "text/event-stream"})

    transport = http.AsyncClient(transport=http.MockTransport(respond))
    return openai.AsyncOpenAI(
        base_url="http://localhost/v1", api_key="made-up", http_client=transport
    )


async def drain(client: Any) -> int:
    """Read one stream and return how many chunks it had."""
    count = 0
    async for _ in await client.chat.completions.create(**_REQUEST):
        count += 1
    # Nothing here waits for a socket, and the loop must get to what closing left to do.
    await asyncio.sleep(0)
    return count


class ObservedStreams(Scenario, frozen=True, kw_only=True):
    """CPU per chunk without (`relay`) and with observation (`gateway`), in interleaved rounds."""

    unit: str = "µs/chunk"
    judged: Judged = "ratio"
    chunks: int
    absolute: float
    """The limit of the difference, in µs."""

    def measure(self, rig: Rig) -> list[Row]:
        row = self.row()
        row.count = self.chunks
        asyncio.run(self._compare(row, QUICK_ROUNDS if rig.quick else ROUNDS))
        added = Row(name=f"{self.name}-added", title="the same, what is added", unit=self.unit)
        added.relay, added.gateway, added.count = row.relay, row.gateway, row.count
        added.target, added.judged = self.absolute, "difference"
        return [row, added]

    async def _compare(self, row: Row, rounds: int) -> None:
        # Here, because the other scenarios need the gateway's command but not its package.
        from anyturn.openai_sdk import intercept_llm_requests

        body = answer(self.chunks)
        async with client_of(body) as plain, client_of(body) as other:
            sides = [(plain, row.relay), (intercept_llm_requests(other), row.gateway)]
            for client, _ in sides:
                await drain(client)
            for number in range(rounds):
                for client, costs in sides if number % 2 else sides[::-1]:
                    gc.collect()
                    start = time.thread_time_ns()
                    count = await drain(client)
                    costs.append((time.thread_time_ns() - start) / 1e3 / count)
                    assert count == self.chunks


class ObservedGrowth(Scenario, frozen=True, kw_only=True):
    """Growth of resident memory over many observed streams, after some as warm-up."""

    unit: str = "MB"
    streams: int
    warm_up: int = 300

    def measure(self, rig: Rig) -> list[Row]:
        row = self.row()
        row.count = self.streams
        row.gateway.append(asyncio.run(self._growth()))
        return [row]

    async def _growth(self) -> float:
        from anyturn.openai_sdk import intercept_llm_requests

        async with client_of(answer(20)) as client:
            intercept_llm_requests(client)
            for _ in range(self.warm_up):
                await drain(client)
            gc.collect()
            before = resident_bytes(os.getpid())
            for _ in range(self.streams):
                await drain(client)
            gc.collect()
            return (resident_bytes(os.getpid()) - before) / 1e6


SDK_SCENARIOS: tuple[Scenario, ...] = (
    ObservedStreams(
        name="sdk",
        title="OpenAI SDK, 1,000 chunks, plain and intercepted",
        chunks=1000,
        target=1.10,
        absolute=5,
    ),
    ObservedGrowth(
        name="sdk-growth", title="memory growth over intercepted streams", streams=1000, target=2
    ),
)
