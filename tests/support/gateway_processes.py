"""Gateways as processes of their own: to be killed, and to share a store with others."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import tempfile
from contextlib import suppress
from typing import Any, Self

import aiohttp
import msgspec

JSON = dict[str, Any]

_LIMIT_S = 40.0
_ADDRESS = re.compile(rb"listens at http://(127\.0\.0\.1:\d+)/v1")
# What a terminal's user would call `ulimit -f`, for `store_limited`.
_LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.argv[1:] = sys.argv[2:]
runpy.run_module("anyturn", run_name="__main__")
"""


class GatewayProcess:
    """`anyturn serve` in front of a provider, and a client of it; a context manager.

    `environ` holds its options. `file_bytes` is how large a file it may write, as on a full disk.
    """

    def __init__(self, provider_url: str, *, file_bytes: int = 0, **environ: str) -> None:
        limited = ("-c", _LIMITED, str(file_bytes)) if file_bytes else ("-m", "anyturn")
        self._command = [
            *(sys.executable, *limited, "serve", "--port", "0"),
            *("--base-url", provider_url, "--model", "gpt-oss-120b"),
        ]
        self._environ = environ
        self._process: asyncio.subprocess.Process | None = None
        self._http: aiohttp.ClientSession | None = None
        self.root = ""

    async def __aenter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="gateway-")
        self._log = open(f"{self._folder.name}/log", "w+b")  # noqa: SIM115 - closed on leaving
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=self._folder.name,
            env={
                "PATH": os.environ["PATH"],
                "HOME": self._folder.name,
                "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
                **self._environ,
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log,
        )
        self.root = f"http://{await self._address()}"
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()
        await self.kill()
        self._log.close()
        self._folder.cleanup()

    async def kill(self) -> None:
        """End it as the system would when memory runs out: at once, and unasked."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has written to standard error so far."""
        with open(self._log.name, encoding="utf-8") as log:
            return log.read()

    async def call(
        self, method: str, path: str, body: JSON | None = None, key: str = "mine"
    ) -> tuple[int, JSON]:
        """The status and the body of an answer, for the caller with this key."""
        assert self._http is not None
        async with self._http.request(
            method,
            self.root + path,
            data=None if body is None else msgspec.json.encode(body),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        ) as response:
            return response.status, msgspec.json.decode(await response.read(), type=JSON)

    async def turn(self, input: Any, **fields: Any) -> JSON:
        """The response to this input. Raises `AssertionError` with the error when it is refused."""
        body = {"model": "gpt-oss-120b", "input": input, **fields}
        status, response = await self.call("POST", "/v1/responses", body)
        assert status == 200, response
        return response

    async def _address(self) -> str:
        assert self._process is not None and self._process.stdout is not None
        async with asyncio.timeout(_LIMIT_S):
            async for line in self._process.stdout:
                if found := _ADDRESS.search(line):
                    return found[1].decode()
        raise AssertionError(f"anyturn ended:\n{self.log}")
