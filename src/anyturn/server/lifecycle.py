"""A gateway, put together; and one that listens, started and stopped without cutting streams."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web

from anyturn.auth.gate import Gate
from anyturn.auth.key_file import KeyFile, KeysError
from anyturn.background import Background
from anyturn.codex.catalogue import Catalogue
from anyturn.config import Settings
from anyturn.gateway import Gateway, Tap
from anyturn.guard import TurnGuard
from anyturn.hooks.status_line import StatusLines
from anyturn.memory import Memory
from anyturn.recorder import recording
from anyturn.routing import Routing
from anyturn.server.admission import Admission
from anyturn.server.app import Server
from anyturn.server.connections import Listener
from anyturn.server.inspection import Underway, inspector_of
from anyturn.store import Store, StoreError, open_store
from anyturn.upstream import Limits, ProviderClient
from anyturn.wire.address import is_local_host, origin_of

log = logging.getLogger("anyturn")

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
    gate: Gate
    store_works: bool = True
    """Whether the store worked at the start; without one there is nothing that could fail."""
    inspector: str = ""
    """The link to the inspector, where there is one. Whoever has it sees every turn."""


@asynccontextmanager
async def running(
    settings: Settings, routing: Routing, *, taps: Iterable[Tap] = (), store: Store | None = None
) -> AsyncIterator[Running]:
    """Listen while the block runs; leaving it lets open streams finish within the time limit.

    Port 0 takes any free one, and the inspector is there if the settings want it. `store` takes the
    place of the one that is configured. Raises `CannotListen`, `KeysError` when the keys of clients
    cannot be read, and `CaptureError` when turns cannot be recorded where the settings say.
    """
    _refuse_to_show(settings)
    async with assembled(settings, routing, taps=taps, store=store) as gateway:
        inspector = inspector_of(settings, gateway.underway) if settings.inspector else None
        if inspector is not None:
            inspector.install(gateway.app)

        async def stop() -> None:
            if inspector is not None:
                await inspector.close()
            await gateway.stop()

        async with listening(gateway.app, settings.host, settings.port, before_end=stop) as port:
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            yield Running(
                f"http://{host}:{port}/v1",
                port,
                gateway.client,
                gateway.gate,
                gateway.store_works,
                inspector.access.link(settings.host, port) if inspector is not None else "",
            )


@asynccontextmanager
async def listening(
    app: web.Application,
    host: str,
    port: int,
    *,
    before_end: Callable[[], Awaitable[None]] | None = None,
    **options: Any,
) -> AsyncIterator[int]:
    """Serve an application while the block runs, behind our own connections; yields the port.

    `before_end` is called when nobody can connect any more and the open connections are still
    there. `options` are aiohttp's, for connections. Raises `CannotListen`.
    """
    async with _started(app, options) as runner:
        try:
            yield await _listen(runner, host, port)
        finally:
            for site in runner.sites:
                await site.stop()
            if before_end is not None:
                await before_end()


class Assembled(msgspec.Struct, frozen=True):
    """A gateway without a way in. `app` answers its requests, and `stop` ends its turns."""

    app: web.Application
    client: ProviderClient
    gate: Gate
    stop: Callable[[], Awaitable[None]]
    """Take no more turns, and end the running ones within the time limit. To be called before
    whatever carries the answers is closed."""
    store_works: bool
    underway: Underway


@asynccontextmanager
async def assembled(
    settings: Settings, routing: Routing, *, taps: Iterable[Tap] = (), store: Store | None = None
) -> AsyncIterator[Assembled]:
    """Put a gateway together; leaving the block closes its store, its client and its recorder.

    Raises as `running` does, but for what concerns listening.
    """
    gate = _gate(settings)
    _refuse_everyone(settings, gate)
    underway = Underway()
    limits = Limits(
        connect_timeout_s=settings.connect_timeout_s,
        first_byte_timeout_s=settings.first_byte_timeout_s,
        idle_timeout_s=settings.idle_timeout_s,
        retries=settings.retries,
        retry_wait_max_s=settings.retry_wait_max_s,
    )
    with recording(settings) as recorders:
        async with _opened(settings, store) as (kept, works), ProviderClient(limits) as client:
            all_taps = [*taps, *recorders, *([underway] if settings.inspector else [])]
            yield _assemble(settings, routing, gate, client, kept, works, all_taps, underway)


def _assemble(
    settings: Settings,
    routing: Routing,
    gate: Gate,
    client: ProviderClient,
    store: Store | None,
    works: bool,
    taps: Iterable[Tap],
    underway: Underway,
) -> Assembled:
    catalogue = Catalogue(routing, client)
    status_lines = _status_lines(settings, catalogue)
    gateway = Gateway(
        routing,
        client,
        reasoning=settings.reasoning,
        open_reasoning_names=settings.reasoning_events == "open-responses",
        strict=settings.strict,
        memory=Memory(store, timeout_s=settings.store_timeout_s),
        guard=TurnGuard(strict=settings.check == "strict") if settings.check != "off" else None,
        endings=status_lines,
        taps=taps,
    )
    background = Background(gateway)
    server = Server(
        gateway,
        catalogue,
        background,
        max_body_bytes=settings.max_body_bytes,
        keepalive_s=settings.keepalive_s,
        websocket=settings.websocket,
    )
    app = server.app()
    origins = frozenset(filter(None, map(origin_of, settings.cors_origins.split(","))))
    admission = Admission(gate, host=settings.host, origins=origins, passes_on=routing.passes_on)
    admission.install(app)

    async def stop() -> None:
        server.sockets.leave()
        await gateway.close(settings.shutdown_timeout_s)
        await background.close()
        await routing.close()
        if status_lines is not None:
            status_lines.close()

    return Assembled(app, client, gate, stop, works, underway)


def _status_lines(settings: Settings, catalogue: Catalogue) -> StatusLines | None:
    if not settings.status_line:
        return None
    return StatusLines(
        settings.status_line,
        os.environ,
        window_of=lambda turn: catalogue.window(turn.snapshot.model, turn.target),
        # From elsewhere, a client's folders are not this machine's, or none of its business.
        looks_into_folders=is_local_host(settings.host),
    )


@asynccontextmanager
async def _opened(
    settings: Settings, store: Store | None
) -> AsyncIterator[tuple[Store | None, bool]]:
    """The store, and whether it works now: if not, that is said, and the others' turns go on.

    Raises `StoreError` when it can never work as it is configured.
    """
    opened, works = store or open_store(settings), True
    if opened is not None and settings.store == "sqlite" and not settings.store_path:
        log.info("There is no home folder: what is remembered ends with this process.")
    try:
        if opened is not None:
            # Unlike `stats`, this takes no longer the more there is.
            async with asyncio.timeout(settings.store_timeout_s):
                await opened.get_response("", "none")
    except (StoreError, TimeoutError) as error:
        works = False
        why = str(error) or f"The store did not answer within {settings.store_timeout_s:g} s."
        log.error("%s Nothing is remembered, and turns that need it fail, until it works.", why)
    try:
        yield opened, works
    finally:
        if opened is not None and store is None:
            await opened.close()


def _gate(settings: Settings) -> Gate:
    file = KeyFile(settings.keys_path) if settings.keys_path else None
    gate = Gate(file, settings.auth)
    if settings.keys_file and settings.auth == "auto" and not gate.closed:
        # Whoever names a file wants keys: one that is misspelt must not let everybody in.
        raise KeysError(
            f"keys_file: there is no file {settings.keys_file!r}. Make it with its first key: "
            'anyturn keys add NAME. Or let everybody in: auth = "off".'
        )
    return gate


def _refuse_everyone(settings: Settings, gate: Gate) -> None:
    """Do not serve a whole network by accident: whoever reaches us spends the provider's key."""
    if gate.closed or is_local_host(settings.host):
        return
    reached = f"everyone who can reach {settings.host} could use the provider's key"
    if not settings.allow_anyone:
        raise CannotListen(
            f"Without keys for clients, {reached}. Make a key for each client: anyturn keys add "
            "NAME. To let anyone in all the same: --allow-anyone, or allow_anyone = true."
        )
    log.warning("No key is needed: %s, as allow_anyone says.", reached)


def _refuse_to_show(settings: Settings) -> None:
    """What was recorded is for this machine only: it holds everything that a model was shown."""
    if settings.inspector and not is_local_host(settings.host):
        raise CannotListen(
            "The inspector shows everything that was recorded, and others may reach "
            f"{settings.host}. Listen on 127.0.0.1, or leave the inspector off and look at the "
            "folder with: anyturn inspect DIR."
        )


@asynccontextmanager
async def _started(
    app: web.Application, options: Mapping[str, Any]
) -> AsyncIterator[web.BaseRunner]:
    """Run the application behind our own connections; leaving it closes them."""
    application = web.AppRunner(app)
    await application.setup()
    assert application.server is not None
    # The turns had their time before; this is for what else is open.
    runner = web.ServerRunner(Listener(application.server, **options), shutdown_timeout=_FAREWELL_S)
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
        raise CannotListen(why_not_listening(error, host, port)) from None
    bound: int = runner.addresses[0][1]
    return bound


def why_not_listening(error: OSError, host: str, port: int) -> str:
    """Say why an address cannot be listened on, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is taken. Stop what listens there, or choose another: "
            f"--port {port + 1 if port < 65535 else port - 1}, or --port 0 for any free one."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} needs more rights than this user has. Choose one above 1023: --port."
    return f"Cannot listen on {host}:{port}: {error.strerror or error}. Check --host and --port."
