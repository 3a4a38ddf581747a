"""OpenAI clients in front of a scripted provider, or of a gateway in front of one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI

from anyturn.config import load_settings
from anyturn.routing import Routing
from anyturn.server.lifecycle import running
from anyturn.testing import Answer, Entry, ScriptedProvider, chunks, completion
from support.sdk_chunks import ADD_TASK, BODY

MODEL = "gpt-oss-120b"
KEY = "planted-key-of-the-client"
HEADER = "planted-header-of-the-client"
RESPONSES_BODY: dict[str, Any] = {
    "model": MODEL,
    "input": "Add a task.",
    "tools": [{"type": "function", "strict": False, **ADD_TASK["function"]}],
}


@asynccontextmanager
async def gateway(script: Iterable[Entry]) -> AsyncIterator[str]:
    """Serve the Responses API on a scripted provider; yields the base URL."""
    async with ScriptedProvider(script) as provider:
        options = {
            "base_url": provider.base_url,
            "model": MODEL,
            "api_key_env": "KEY",
            "port": 0,
            "retries": 0,
        }
        settings = load_settings(options, {"KEY": "made-up"}, Path())
        async with running(settings, Routing(settings, {"KEY": "made-up"})) as served:
            yield served.base_url
        assert provider.refusals == []


def async_client(base_url: str) -> AsyncOpenAI:
    """A client that does not retry."""
    return AsyncOpenAI(
        base_url=base_url, api_key=KEY, max_retries=0, default_headers={"x-api-key": HEADER}
    )


def sync_client(base_url: str) -> OpenAI:
    """A client that does not retry."""
    return OpenAI(
        base_url=base_url, api_key=KEY, max_retries=0, default_headers={"x-api-key": HEADER}
    )


@asynccontextmanager
async def azure(answer: Answer) -> AsyncIterator[str]:
    """Give one answer to whoever asks, under the paths that Azure has; yields the endpoint."""

    async def chat(request: web.Request) -> web.Response:
        assert request.path == f"/openai/deployments/{MODEL}/chat/completions"
        if (await request.json())["stream"]:
            return web.Response(body=b"".join(chunks(answer)), content_type="text/event-stream")
        return web.json_response(completion(answer))

    app = web.Application()
    app.router.add_post("/{path:.*}", chat)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def azure_client(endpoint: str) -> AzureOpenAI:
    """A client of Azure, without retries."""
    return AzureOpenAI(
        azure_endpoint=endpoint, api_key=KEY, api_version="2024-10-21", max_retries=0
    )


def async_azure_client(endpoint: str) -> AsyncAzureOpenAI:
    """A client of Azure, without retries."""
    return AsyncAzureOpenAI(
        azure_endpoint=endpoint, api_key=KEY, api_version="2024-10-21", max_retries=0
    )


__all__ = [
    "BODY",
    "HEADER",
    "KEY",
    "MODEL",
    "RESPONSES_BODY",
    "async_azure_client",
    "async_client",
    "azure",
    "azure_client",
    "gateway",
    "sync_client",
]
