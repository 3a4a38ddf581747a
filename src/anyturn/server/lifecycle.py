"""A gateway that listens: put together, started, and stopped without cutting streams."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web

from anyturn.background import Background
from anyturn.codex.catalogue import Catalogue
from anyturn.config import Settings
from anyturn.gateway import Gateway, Tap
from anyturn.memory import Memory
from anyturn.routing import Routing
from anyturn.server.app import Server
from anyturn.server.connections import Listener
from anyturn.store.records import Store
from anyturn.upstream import Limits, ProviderClient

_FAREWELL_S = 1.0
# A burst of clients must not wait for a second try of their connections.
_BACKLOG = 1024


class CannotListen(Exception):
    """The address is taken or not ours. `str()` says which and what to do."""


class Running(msgspec.Struct, frozen=True):
    """A gateway that listens. `base_url` is what a client is pointed at."""

    base_url: str
    port: int
    client: ProviderClient


@asynccontextmanager
async def running(
    settings: Settings, routing: Routing, *, taps: Iterable[Tap] = (), store: Store | None = None
) -> AsyncIterator[Running]:
    """Listen while the block runs; leaving it lets open streams finish within the time limit.

    Port 0 takes any free one. Raises `CannotListen`.
    """
    limits = Limits(
        connect_timeout_s=settings.connect_timeout_s,
        first_byte_timeout_s=settings.first_byte_timeout_s,
        idle_timeout_s=settings.idle_timeout_s,
        retries=settings.retries,
        retry_wait_max_s=settings.retry_wait_max_s,
    )
    async with ProviderClient(limits) as client:
        gateway = Gateway(
            routing,
            client,
            reasoning=settings.reasoning,
            strict=settings.strict,
            memory=Memory(store, timeout_s=settings.store_timeout_s),
            taps=taps,
        )
        background = Background(gateway)
        server = Server(
            gateway,
            Catalogue(routing, client),
            background,
            max_body_bytes=settings.max_body_bytes,
            keepalive_s=settings.keepalive_s,
        )
        async with _started(server.app()) as runner:
            try:
                port = await _listen(runner, settings.host, settings.port)
                host = f"[{settings.host}]" if ":" in settings.host else settings.host
                yield Running(f"http://{host}:{port}/v1", port, client)
            finally:
                for site in runner.sites:
                    await site.stop()
                await gateway.close(settings.shutdown_timeout_s)
                await background.close()


@asynccontextmanager
async def _started(app: web.Application) -> AsyncIterator[web.BaseRunner]:
    """Run the application behind our own connections; leaving it closes them."""
    application = web.AppRunner(app)
    await application.setup()
    assert application.server is not None
    # The turns had their time before; this is for what else is open.
    runner = web.ServerRunner(Listener(application.server), shutdown_timeout=_FAREWELL_S)
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()
        await application.cleanup()


async def _listen(runner: web.BaseRunner, host: str, port: int) -> int:
    site = web.TCPSite(runner, host, port, backlog=_BACKLOG)
    try:
        await site.start()
    except OSError as error:
        raise CannotListen(_why_not(error, host, port)) from None
    bound: int = runner.addresses[0][1]
    return bound


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is taken. Stop what listens there, or choose another: "
            f"--port {port + 1 if port < 65535 else port - 1}, or --port 0 for any free one."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} needs more rights than this user has. Choose one above 1023: --port."
    return f"Cannot listen on {host}:{port}: {error.strerror or error}. Check --host and --port."
