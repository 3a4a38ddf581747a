"""What the tests of the provider client share: answers in bytes, limits, odd ports."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from anyturn.errors import Kind, TurnError
from anyturn.upstream import Limits

JSON = dict[str, Any]


BODY = b'{"model":"m","messages":[],"stream":true}'


KEY = "sk-planted-7f3a9c2e51d84b60"


QUICK = Limits(connect_timeout_s=2, first_byte_timeout_s=5, idle_timeout_s=5)


STREAM = b'data: {"choices":[]}\n\ndata: [DONE]\n\n'


def answer(
    status: int = 200, body: bytes | JSON = STREAM, headers: dict[str, str] | None = None
) -> bytes:
    """A whole HTTP answer."""
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    lines = {"Content-Length": str(len(raw)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Word\r\n{head}\r\n".encode() + raw


def refusal(status: int, **headers: str) -> bytes:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return answer(status, {"error": {"message": "No.", "type": "t", "code": None}}, named)


class Waits:
    """Stands in for `asyncio` in the client: notes what would be slept, and sleeps nothing."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)


@contextmanager
def fails(kind: Kind, pattern: str = ".") -> Iterator[pytest.ExceptionInfo[TurnError]]:
    with pytest.raises(TurnError, match=pattern) as caught:
        yield caught
    assert caught.value.kind is kind


def limits(**changes: Any) -> Limits:
    return msgspec.structs.replace(QUICK, **changes)


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that refuses connections: bound, so that nobody else gets it, but not listening."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose queue of connections is full: the next one is neither accepted nor refused."""
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for caller in (first, second):
            caller.setblocking(False)
            caller.connect_ex(deaf.getsockname())
        yield deaf.getsockname()[1]
