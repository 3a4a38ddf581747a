"""A relay that copies bytes both ways and understands none of them: the floor to compare with.

    python benchmarks/byte_relay.py --target 127.0.0.1:9500

Uses uvloop where the gateway would. Prints one line with its address.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
from collections.abc import Callable
from typing import cast


class Side(asyncio.Protocol):
    """One of the two connections of a pair: what it reads, its peer writes.

    What comes before there is a peer is kept: uvloop reads on when a transport is paused from
    `connection_made`.
    """

    def __init__(self, connected: Callable[[Side], None] | None = None) -> None:
        self.transport: asyncio.Transport
        self._connected = connected
        self._peer: Side | None = None
        self._early = b""
        self._ended = False

    def pair_with(self, peer: Side) -> None:
        """Write to `peer` from now on, and first what came already."""
        self._peer = peer
        if self._early:
            peer.transport.write(self._early)
            self._early = b""
        if self._ended:
            peer.transport.write_eof()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the interface but not the base class.
        self.transport = cast(asyncio.Transport, transport)
        if self._connected is not None:
            self._connected(self)

    def data_received(self, data: bytes) -> None:
        if self._peer is not None:
            self._peer.transport.write(data)
        else:
            self._early += data

    def eof_received(self) -> bool:
        self._ended = True
        if self._peer is not None:
            self._peer.transport.write_eof()
        # The other direction may still have something to say.
        return True

    def pause_writing(self) -> None:
        if self._peer is not None:
            self._peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._peer is not None:
            self._peer.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._peer is not None:
            self._peer.transport.close()


class Relay:
    """Accept connections and pair each with one of its own to the target."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._connecting: set[asyncio.Task[None]] = set()

    async def serve(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._accepted, host, port, backlog=4096)
        bound = server.sockets[0].getsockname()
        print(f"byte relay listening on http://{bound[0]}:{bound[1]}", flush=True)
        await server.serve_forever()

    def _accepted(self) -> Side:
        return Side(self._start_connecting)

    def _start_connecting(self, client: Side) -> None:
        task = asyncio.get_running_loop().create_task(self._pair(client))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _pair(self, client: Side) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, target = await loop.create_connection(Side, self._host, self._port)
        except OSError:
            client.transport.abort()
            return
        if client.transport.is_closing():
            target.transport.close()
        else:
            target.pair_with(client)
            client.pair_with(target)


def run(relay: Relay, host: str, port: int) -> None:
    """Serve until interrupted, on uvloop where it is installed: the gateway runs on it too."""
    if importlib.util.find_spec("uvloop"):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(relay.serve(host, port))


def main() -> None:
    parser = argparse.ArgumentParser(description="The floor that the gateway is compared with.")
    parser.add_argument("--target", required=True, help="host:port of the provider")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    host, _, port = arguments.target.rpartition(":")
    run(Relay(host, int(port)), arguments.host, arguments.port)


if __name__ == "__main__":
    main()
