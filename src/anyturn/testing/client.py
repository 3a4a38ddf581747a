"""A client of the Responses API for tests: events and errors as plain data."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self, TypeAlias

import aiohttp
import msgspec

from anyturn.wire import sse

JSON: TypeAlias = dict[str, Any]


class ResponsesRefused(Exception):
    """The server answered with an HTTP error.

    `envelope` is the decoded body; a body that is no JSON object becomes the message of one.
    """

    def __init__(self, status: int, envelope: JSON, headers: Mapping[str, str]) -> None:
        error = envelope.get("error")
        self.error: JSON = error if isinstance(error, dict) else {}
        super().__init__(f"HTTP {status}: {self.error.get('message') or envelope}")
        self.status = status
        self.envelope = envelope
        self.headers = headers


class ResponsesClient:
    """Talk to a Responses server at `base_url` (`http://127.0.0.1:8080/v1`).

    One pool of connections serves all requests until `aclose`. `read_timeout` is the longest
    silence in seconds. What aiohttp raises for broken connections passes through.
    """

    def __init__(
        self, base_url: str, api_key: str | None = None, *, read_timeout: float = 60.0
    ) -> None:
        self._url = base_url.rstrip("/") + "/responses"
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._timeout = aiohttp.ClientTimeout(total=None, sock_read=read_timeout)
        self._session: aiohttp.ClientSession | None = None

    async def stream(self, body: JSON) -> AsyncGenerator[JSON, None]:
        """Send a request with `stream` and yield its events as they come, until the stream ends.

        Wrap it in `contextlib.aclosing` to leave early: that closes the connection. `[DONE]` is
        skipped. Raises `ResponsesRefused` for an HTTP error and `msgspec.DecodeError` for an event
        that is not JSON.
        """
        async with self._post({**body, "stream": True}) as response:
            await _raise_for_status(response)
            decoder = sse.Decoder()
            async for data in response.content.iter_any():
                for message in decoder.feed(data):
                    if message.data != b"[DONE]":
                        yield msgspec.json.decode(message.data)

    async def create(self, body: JSON) -> JSON:
        """Send a request without `stream` and return the response object. Raises as `stream`."""
        async with self._post({**body, "stream": False}) as response:
            await _raise_for_status(response)
            return msgspec.json.decode(await response.read(), type=JSON)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _post(self, body: JSON) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        if self._session is None:
            # Made here because a session needs the running loop.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), timeout=self._timeout
            )
        headers = {"Content-Type": "application/json", **self._headers}
        return self._session.post(self._url, data=msgspec.json.encode(body), headers=headers)


async def _raise_for_status(response: aiohttp.ClientResponse) -> None:
    if response.status < 400:
        return
    raw = await response.read()
    try:
        envelope = msgspec.json.decode(raw, type=JSON)
    except msgspec.DecodeError:
        envelope = {"error": {"message": raw.decode("utf-8", "replace")}}
    raise ResponsesRefused(response.status, envelope, response.headers)
