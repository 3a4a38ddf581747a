"""Connections on which something else than HTTP arrives: told in words, not in a parser's (F70).

A base URL that begins with https:// is the common reason: then the first bytes are a TLS greeting.
aiohttp answers such connections itself, below the application, with plain text.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import web

import anyturn
from anyturn.errors import Kind, TurnError
from anyturn.server.app import error_response

log = logging.getLogger("anyturn")

# Every TLS greeting begins with this byte, and no HTTP request does (RFC 8446 section 5.1).
_TLS_GREETING = b"\x16"
# Bodies are decoded by us: zstd, and with a limit on what they unfold to (F65). The gateway's own
# log has a line for each turn.
_OPTIONS: dict[str, Any] = {"auto_decompress": False, "access_log": None}
_TLS = (
    "This port speaks plain HTTP, and the client speaks TLS. Its base URL must begin with http://, "
    "not https://."
)


class Connection(web.RequestHandler):
    """One connection: HTTP as aiohttp reads it, and a sentence for anything else."""

    __slots__ = ("_heard", "_tls")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen."""
        self._heard = self._tls = False
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Take the next bytes; the first ones show whether this is TLS."""
        if not self._heard:
            self._heard = True
            self._tls = data.startswith(_TLS_GREETING)
        super().data_received(data)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what cannot be read in OpenAI's envelope, and close the connection."""
        if status != 400:
            return super().handle_error(request, status, exc, message)
        sentence = _TLS if self._tls else _why_no_http(message)
        log.log(
            logging.WARNING if self._tls else logging.INFO,
            "a connection from %s was refused: %s",
            request.remote,
            sentence,
        )
        response = error_response(TurnError(Kind.INVALID_REQUEST, sentence))
        response.headers["Server"] = f"anyturn/{anyturn.__version__}"
        response.force_close()
        return response


class Listener(web.Server):
    """Makes a `Connection` for each client; the requests go where the application's go.

    `options` are aiohttp's, for its connections.
    """

    def __init__(self, application: web.Server, **options: Any) -> None:
        self._options = {**_OPTIONS, **options}
        super().__init__(
            application.request_handler,
            request_factory=application.request_factory,
            # Without this a client that leaves is not noticed while the provider is silent.
            handler_cancellation=True,
        )

    def __call__(self) -> Connection:
        """The protocol of a new connection."""
        return Connection(self, loop=asyncio.get_running_loop(), **self._options)


def _why_no_http(message: str | None) -> str:
    """What the parser found; it quotes the request's bytes behind a colon, which may be a key."""
    found = (message or "").partition(":")[0].partition("\n")[0].strip()[:100]
    return f"What arrived is not a valid HTTP request{f' ({found})' if found else ''}."
