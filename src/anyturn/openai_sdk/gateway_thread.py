"""A whole gateway in a thread of this process: no server, no port, a loop of its own.

It starts with the first request, in the process that makes it: a program may fork before that, and
a child that was forked later gets a gateway of its own. It ends with `close`, with its last user,
or with the process.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeAlias
from weakref import WeakSet, finalize

from anyturn.config import CONFIG, OPTIONS, PREFIX, Settings, load_settings
from anyturn.openai_sdk.exchange import Exchange, call
from anyturn.routing import Routing
from anyturn.server.direct import Asked, Direct, direct
from anyturn.server.loop import open_loop

_Open: TypeAlias = Callable[[], AbstractAsyncContextManager[Direct]]

# What a store may take to write what it has; then the process ends all the same.
_LAST_WAIT_S = 5.0
_ENDED = "The gateway has ended."
_KEY_VARIABLE = "API_KEY"
# Nothing listens, so nobody can be turned away. And a program sets its own log up.
_OF_LISTENERS = frozenset(
    {
        *("host", "port", "auth", "keys_file", "allow_anyone", "cors_origins", "websocket"),
        "log_level",
    }
)
_OWN: Mapping[str, Any] = {"store": "memory", "shutdown_timeout_s": 0.0}


def open_with(given: Mapping[str, Any], api_key: str | None, environ: Mapping[str, str]) -> _Open:
    """How to open the gateway that these options describe.

    `given` are options of `config.Settings` by name, None for those that were not given, and
    `config`. Without `config` neither a file nor an `ANYTURN_` variable is read; the store is in
    memory. Raises `ConfigError` as `load_settings` and `Routing` do, and `TypeError` for an option
    that does not exist or that makes no sense without a port.
    """
    options = {name: _plain(value) for name, value in given.items() if value is not None}
    for name in options:
        if name not in OPTIONS and name != CONFIG.name:
            raise TypeError(f"there is no option {name!r} (docs/configuration.md lists them)")
        if name in _OF_LISTENERS:
            raise TypeError(f"{name!r} is for a gateway that listens; this one does not")
    if api_key is not None:
        environ = {**environ, _KEY_VARIABLE: api_key}
        options["api_key_env"] = _KEY_VARIABLE
    settings = _settings(options, environ)
    routing = Routing(settings, environ)
    return lambda: direct(settings, routing)


def _settings(options: dict[str, Any], environ: Mapping[str, str]) -> Settings:
    asked = CONFIG.name in options
    if not asked:
        environ = {name: text for name, text in environ.items() if not name.startswith(PREFIX)}
        options = {**_OWN, **options}
    # Whoever has the client may use it; and there is no address to be guarded.
    unguarded = {"auth": "off", "host": "127.0.0.1"}
    return load_settings({**options, **unguarded}, environ, Path.cwd(), looks_for_file=False)


def _plain(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


class GatewayThread:
    """Runs what `open_gateway` opens, in a thread, from the first request on."""

    def __init__(self, open_gateway: _Open) -> None:
        self._open = open_gateway
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._end: finalize[Any, Any] | None = None
        self._is_closed = False
        _THREADS.add(self)

    @property
    def is_running(self) -> bool:
        """Whether it was started, so that `loop` does not have to wait."""
        return self._running is not None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The gateway's loop; starts it if nobody has.

        Raises what kept the gateway from starting (`StoreError`, `CaptureError`), and
        `RuntimeError` behind `close`.
        """
        return self._started().loop

    def send(self, asked: Asked, exchange: Exchange) -> None:
        """Have a request answered into `exchange`."""
        self._started().send(asked, exchange)

    def close(self) -> None:
        """End the gateway, and wait until it has closed its store. What still runs is cut."""
        with self._lock:
            self._is_closed = True
            running, self._running = self._running, None
        if self._end is not None:
            self._end.detach()
        if running is not None:
            running.stop()

    def forget(self) -> None:
        """In a child that was forked: the thread, and whoever held the lock, stayed behind."""
        self._lock = threading.Lock()
        self._running = None
        if self._end is not None:
            self._end.detach()

    def _started(self) -> _Running:
        running = self._running
        if running is not None:
            return running
        with self._lock:
            if self._is_closed:
                raise RuntimeError("This client is closed.")
            if self._running is None:
                running = _Running(self._open)
                # Whoever drops the client has no more use for its gateway.
                self._end = finalize(self, running.ask_to_stop)
                self._end.atexit = False
                self._running = running
            return self._running


class _Running:
    """A thread with a gateway. It does not know its `GatewayThread`, which may be dropped."""

    loop: asyncio.AbstractEventLoop

    def __init__(self, open_gateway: _Open) -> None:
        self._open = open_gateway
        self._ready = threading.Event()
        self._wish: asyncio.Event
        self._direct: Direct
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._exchanges: WeakSet[Exchange] = WeakSet()
        # A program that ends must not wait for a stream that nobody reads.
        self._thread = threading.Thread(target=self._run, name="anyturn-gateway", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        _RUNNING.add(self)

    def send(self, asked: Asked, exchange: Exchange) -> None:
        """Have the loop answer; from any thread."""
        with self._lock:
            self._exchanges.add(exchange)
        if not call(self.loop, exchange.begin, lambda: self._direct.begin(asked, exchange)):
            exchange.end(_ENDED)

    def ask_to_stop(self) -> None:
        """Have it end; from any thread, its own among them."""
        call(self.loop, self._wish.set)

    def stop(self, timeout_s: float | None = None) -> None:
        """End it, and wait for it."""
        self.ask_to_stop()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=open_loop) as runner:
                runner.run(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()
            # What came in the loop's last moment was taken by nobody.
            with self._lock:
                for exchange in self._exchanges:
                    exchange.end(_ENDED)

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._wish = asyncio.Event()
        async with self._open() as self._direct:
            self._ready.set()
            await self._wish.wait()


_THREADS: WeakSet[GatewayThread] = WeakSet()
_RUNNING: WeakSet[_Running] = WeakSet()


def _end_with_process() -> None:
    for running in list(_RUNNING):
        running.stop(_LAST_WAIT_S)


def _forget_in_child() -> None:
    for thread in list(_THREADS):
        thread.forget()
    _RUNNING.clear()


atexit.register(_end_with_process)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
