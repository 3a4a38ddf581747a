"""The Responses API in this process, on a Chat provider: clients and transports for the OpenAI SDK.

The SDK's own HTTP client gets a transport that hands each request to a gateway in a thread of this
process (`gateway_thread`). The SDK cannot tell the difference. Versions 1 and 2 of the SDK use
httpx, version 3 uses httpx2; their transports differ only in the classes of what goes in and comes
out, so the library is that of the request.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from anyturn.openai_sdk.exchange import AsyncExchange, Broken, Exchange, Head

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

    from anyturn.openai_sdk.gateway_thread import GatewayThread
    from anyturn.server.direct import Asked

# It leads nowhere: a copy of a client that got another `http_client` fails instead of reaching
# whatever listens there.
_BASE_URL = "http://anyturn.invalid/v1"
_NO_KEY = "none-needed"


def responses_client(
    provider: str | None = None,
    *,
    model: str | None = None,
    base_url: str | None = None,
    api_key: str | None = None,
    **options: Any,
) -> OpenAI:
    """Return an `OpenAI` client whose `responses` run on a Chat provider, without a server.

    `provider` is a name of `anyturn providers`, `base_url` any Chat server's; without both it is
    the provider whose key is in the environment. The key is `api_key`, or that of the provider's
    environment variable. `options` are those of docs/configuration.md. Neither `anyturn.toml` nor
    `ANYTURN_` variables are read, unless `config` names a file; the store is in memory unless
    `store` says otherwise. Close the client when it is no longer needed, or use it as a context
    manager. Raises `ConfigError` when it cannot be asked, `TypeError` for an unknown option.
    """
    from openai import DefaultHttpxClient, OpenAI

    transport: Any = AnyturnTransport(
        provider, model=model, base_url=base_url, api_key=api_key, **options
    )
    http_client = DefaultHttpxClient(transport=transport)
    return OpenAI(base_url=_BASE_URL, api_key=_NO_KEY, http_client=http_client)


def async_responses_client(
    provider: str | None = None,
    *,
    model: str | None = None,
    base_url: str | None = None,
    api_key: str | None = None,
    **options: Any,
) -> AsyncOpenAI:
    """Return an `AsyncOpenAI` client as `responses_client` does. Any asyncio loop may use it."""
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    transport: Any = AsyncAnyturnTransport(
        provider, model=model, base_url=base_url, api_key=api_key, **options
    )
    http_client = DefaultAsyncHttpxClient(transport=transport)
    return AsyncOpenAI(base_url=_BASE_URL, api_key=_NO_KEY, http_client=http_client)


class _Transport:
    """What both transports have: the gateway."""

    def __init__(
        self,
        provider: str | None = None,
        *,
        model: str | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        **options: Any,
    ) -> None:
        """Read the options, which are those of `responses_client`; nothing is started yet."""
        # Programs that only watch their calls should not wait for the gateway's imports.
        from anyturn.openai_sdk.gateway_thread import GatewayThread, open_with

        given = {"provider": provider, "model": model, "base_url": base_url, **options}
        self._gateway: GatewayThread = GatewayThread(open_with(given, api_key, os.environ))


class AnyturnTransport(_Transport):
    """A transport for `httpx.Client` or `httpx2.Client`: whatever it is sent, the gateway answers.

    It takes what `responses_client` takes. Threads may share it. The host of a request does not
    matter, only its path.
    """

    def handle_request(self, request: Any) -> Any:
        """Answer a request; its body is read as the gateway writes it."""
        asked = _asked(request, request.read())
        timeout_s = _timeout_of(request)
        exchange = Exchange(self._gateway.loop)
        self._gateway.send(asked, exchange)
        library = _library_of(request)
        try:
            with _faults_of(library, "ConnectError", request):
                head = exchange.wait_for_head(timeout_s)
        except BaseException:
            exchange.leave()
            raise
        stream = _streams_of(library).whole(exchange, timeout_s, request)
        return _response(library, head, stream)

    def close(self) -> None:
        """End the gateway; what still runs is cut off."""
        self._gateway.close()

    def __enter__(self) -> AnyturnTransport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncAnyturnTransport(_Transport):
    """The same for `httpx.AsyncClient` or `httpx2.AsyncClient`, in any asyncio loop."""

    async def handle_async_request(self, request: Any) -> Any:
        """Answer a request; its body is read as the gateway writes it."""
        asked = _asked(request, await request.aread())
        timeout_s = _timeout_of(request)
        if not self._gateway.is_running:
            await asyncio.to_thread(lambda: self._gateway.loop)
        exchange = AsyncExchange(self._gateway.loop)
        self._gateway.send(asked, exchange)
        library = _library_of(request)
        try:
            with _faults_of(library, "ConnectError", request):
                head = await exchange.wait_for_head_soon(timeout_s)
        except BaseException:
            exchange.leave()
            raise
        stream = _streams_of(library).asynchronous(exchange, timeout_s, request)
        return _response(library, head, stream)

    async def aclose(self) -> None:
        """End the gateway; what still runs is cut off."""
        await asyncio.to_thread(self._gateway.close)

    async def __aenter__(self) -> AsyncAnyturnTransport:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


# ---------------------------------------------------------------- in the library's own classes


class _Streams(NamedTuple):
    """The classes of bodies in one library."""

    whole: Any
    asynchronous: Any


def _library_of(request: Any) -> Any:
    """The module `httpx` or `httpx2` that a request is of."""
    for kind in type(request).__mro__:
        name = kind.__module__.partition(".")[0]
        if name in ("httpx", "httpx2"):
            return sys.modules[name]
    raise TypeError(f"this is no request of httpx or httpx2: {type(request)}")


def _asked(request: Any, body: bytes) -> Asked:
    from anyturn.server.direct import Asked

    target = request.url.raw_path.decode("ascii")
    return Asked(request.method, target, list(request.headers.multi_items()), body)


def _timeout_of(request: Any) -> float | None:
    timeout_s: float | None = request.extensions.get("timeout", {}).get("read")
    return timeout_s


def _response(library: Any, head: Head, stream: Any) -> Any:
    return library.Response(head.status, headers=head.headers, stream=stream)


@contextmanager
def _faults_of(library: Any, broken: str, request: Any) -> Iterator[None]:
    """Raise what the library raises when a connection breaks or is silent."""
    try:
        yield
    except TimeoutError:
        words = "The gateway said nothing within the time limit for reading."
        raise library.ReadTimeout(words, request=request) from None
    except Broken as error:
        raise getattr(library, broken)(str(error), request=request) from None


@cache
def _streams_of(library: Any) -> _Streams:
    class Body:
        """The body of one answer. Dropping or closing it ends the turn."""

        def __init__(self, exchange: Any, timeout_s: float | None, request: Any) -> None:
            self._exchange = exchange
            self._timeout_s = timeout_s
            self._request = request

        def __del__(self) -> None:
            self._exchange.leave()

    class Whole(Body, library.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            while True:
                with _faults_of(library, "RemoteProtocolError", self._request):
                    piece = self._exchange.read(self._timeout_s)
                if not piece:
                    return
                yield piece

        def close(self) -> None:
            self._exchange.leave()

    class Asynchronous(Body, library.AsyncByteStream):  # type: ignore[misc]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                with _faults_of(library, "RemoteProtocolError", self._request):
                    piece = await self._exchange.read_soon(self._timeout_s)
                if not piece:
                    return
                yield piece

        async def aclose(self) -> None:
            self._exchange.leave()

    return _Streams(Whole, Asynchronous)
