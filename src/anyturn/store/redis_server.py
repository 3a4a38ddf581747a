"""The connection to a Redis or Valkey server: its address, its time limit, its faults in words.

The only module that needs the package `redis`, which is an extra.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from redis import exceptions
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import parse_url

from anyturn.store.records import StoreError

_MOST_CONNECTIONS = 32
_UNREADABLE = (
    "The address of the Redis store cannot be read: it must be redis://HOST:PORT/DATABASE, "
    "rediss://HOST:PORT/DATABASE or unix:///PATH, with options that redis-py knows and with every "
    "special character of a user name or password percent-encoded."
)
# One try: a deletion that is done twice would answer that nothing was there. A connection that the
# server has closed is noticed before it is used. One time limit holds for everything (`asking`).
_OURS: dict[str, Any] = {
    "retry_on_error": [],
    "retry_on_timeout": False,
    "socket_timeout": None,
    "socket_connect_timeout": None,
    "decode_responses": False,
    "protocol": 2,
    "driver_info": None,  # else its greeting drowns the words of a server that turns clients away
}

# What a refusal means: its class where redis-py has one, else its code, which stands in the text of
# a refused script as well.
_REFUSALS: list[tuple[type[Exception] | None, str, str]] = [
    (exceptions.AuthenticationError, "NOAUTH", "refuses the user name or the password"),
    (exceptions.NoPermissionError, "NOPERM", "does not permit this user what the store needs"),
    (exceptions.OutOfMemoryError, "OOM", "has no memory left (maxmemory)"),
    (exceptions.ReadOnlyError, "READONLY", "is a replica that cannot be written to"),
    (exceptions.BusyLoadingError, "LOADING", "is still loading its data"),
    (exceptions.MasterDownError, "MASTERDOWN", "is a replica that has lost its master"),
    (exceptions.ClusterDownError, "CLUSTERDOWN", "belongs to a cluster that is down"),
    (exceptions.AskError, "MOVED", "is a cluster node that does not hold this owner's keys"),
    (exceptions.MaxConnectionsError, "max number of clients", "accepts no more clients"),
    (None, "MISCONF", "takes no writes because it cannot save them"),
    (None, "NOREPLICAS", "takes no writes because it has too few replicas"),
    (None, "user executing the script", "does not permit this user what the store needs"),
    (None, "BUSY", "is busy with a script"),
    (None, "WRONGTYPE", "holds other data under the store's keys"),
]


class RedisServer:
    """One server, with its pool of connections.

    `url` is `redis://`, `rediss://` (TLS) or `unix://`, as redis-py reads it. Its user name and
    password never appear in an error. Raises `StoreError` when it cannot be read.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        options = _options(url)
        self.name = _name(options)
        self._timeout_s = timeout_s
        # Not the library's own limit: it loses a place when a task is cancelled twice.
        self._places = asyncio.Semaphore(_MOST_CONNECTIONS)
        self._pool = ConnectionPool(**options)
        self._client = Redis(connection_pool=self._pool)

    @property
    def client(self) -> Redis:
        """The client, to register scripts with; ask it only inside `asking()`."""
        return self._client

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[Redis]:
        """Lend the client for one operation; every fault of it becomes a `StoreError`."""
        try:
            async with asyncio.timeout(self._timeout_s), self._places:
                yield self._client
        except (TimeoutError, exceptions.TimeoutError):
            raise StoreError(
                f"Redis at {self.name} did not answer within {self._timeout_s:g} s."
            ) from None
        except (exceptions.RedisError, OSError) as error:
            if isinstance(error, exceptions.ReadOnlyError):
                # After a failover the name may lead to another server: connect anew.
                await self._within_limit(self._pool.disconnect(inuse_connections=False))
            # Not chained: the library's words may hold the command with its data.
            raise StoreError(f"Redis at {self.name} {_in_words(error)}.") from None

    async def close(self) -> None:
        """Close all connections."""
        await self._within_limit(self._pool.aclose())

    async def _within_limit(self, closing: Awaitable[None]) -> None:
        """Wait for connections to close, but not for a server that does not let go of them."""
        with suppress(TimeoutError, OSError, exceptions.RedisError):
            async with asyncio.timeout(self._timeout_s):
                await closing


def _options(url: str) -> dict[str, Any]:
    """The options of the connections; no error says anything of the URL, it may be a password."""
    try:
        if _is_sound(url):
            options = {**parse_url(url), **_OURS}
            if "path" not in options:
                options["socket_keepalive"] = True
            # Options that redis-py does not know are refused here and not at the first use.
            pool: Any = ConnectionPool(**options)
            pool.make_connection()
            return options
    except (ValueError, TypeError, exceptions.RedisError):
        pass
    raise StoreError(_UNREADABLE)


def _is_sound(url: str) -> bool:
    """Whether nothing of a user name or password can be taken for another part of the URL."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return bool(parts.path) and "@" not in parts.query + parts.fragment
    ends_well = not parts.fragment and "@" not in parts.query
    database = parts.path.removeprefix("/")
    return parts.scheme in ("redis", "rediss") and ends_well and (database or "0").isdecimal()


def _name(options: dict[str, Any]) -> str:
    """Say which server in a message: `host:port` or the path of its socket."""
    if path := options.get("path"):
        return str(path)
    host = options.get("host", "localhost")
    return f"{f'[{host}]' if ':' in host else host}:{options.get('port', 6379)}"


def _in_words(error: Exception) -> str:
    # In a pipeline the library puts the command before the server's words.
    text = str(error).rpartition("caused error: ")[2]
    for kind, code, words in _REFUSALS:
        if (kind and isinstance(error, kind)) or code in text:
            return words
    if isinstance(error, exceptions.ResponseError):
        return "refuses a command that the store needs"
    if isinstance(error, exceptions.ConnectionError | OSError):
        return "cannot be reached" + _reason(error.__cause__ or error.__context__ or error)
    return "does not answer as a Redis server does"


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return ": TLS failed"
    if isinstance(error, socket.gaierror):
        return ": its name is not known"
    if isinstance(error, OSError) and error.errno:
        return f": {os.strerror(error.errno).lower()}"
    return ""
