"""Requests to providers: one pool of connections, bounded retries before the first byte."""

from __future__ import annotations

import asyncio
import io
import os
import random
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import msgspec

import anyturn
from anyturn.errors import Kind, TurnError
from anyturn.translate.failures import failure_from_http
from anyturn.upstream.stream import ProviderStream
from anyturn.wire.address import is_local
from anyturn.wire.credentials import NOTHING_PASSED, Credential
from anyturn.wire.profile import Profile

_ERROR_BODY_MAX = 64 * 1024
_ERROR_BODY_S = 5.0
_LISTING_MAX = 16 * 1024 * 1024
_FIRST_BACKOFF_S = 0.25
_READ_BUFFER = 256 * 1024
_LARGE_BODY = 512 * 1024
_NO_HEADERS: Mapping[str, str] = {}
_WRONG_ADDRESS = (
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
    aiohttp.ClientConnectorCertificateError,
)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Time limits in seconds, and how often a request is tried again."""

    connect_timeout_s: float = 10
    first_byte_timeout_s: float = 300
    idle_timeout_s: float = 300
    retries: int = 2
    retry_wait_max_s: float = 60


class ProviderClient:
    """Sends requests to providers. An async context manager: leaving it closes the pool."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> ProviderClient:
        self._sessions = {local: self._open_session(local) for local in (False, True)}
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in self._sessions.values():
            await session.close()

    def _open_session(self, local: bool) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            # A cap on connections would make streams wait for each other.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            # `connect` covers the look-up of the name too. Until the headers are there, silence is
            # the first-byte limit's to judge; afterwards the stream watches it.
            timeout=aiohttp.ClientTimeout(total=None, connect=self._limits.connect_timeout_s),
            # Cerebras' CDN refuses requests without a User-Agent.
            headers={"User-Agent": f"anyturn/{anyturn.__version__}"},
            # A system proxy is for other hosts: in front of this one it answers 503 (F70).
            trust_env=not local,
            read_bufsize=_READ_BUFFER,
        )

    def _session_for(self, url: str) -> aiohttp.ClientSession:
        return self._sessions[is_local(url)]

    @asynccontextmanager
    async def stream(
        self, profile: Profile, api_key: Credential, body: bytes
    ) -> AsyncIterator[ProviderStream]:
        """Give the open answer of a request, as `open` does; leaving the block closes it."""
        stream = await self.open(profile, api_key, body)
        try:
            yield stream
        finally:
            stream.close()

    async def open(
        self,
        profile: Profile,
        api_key: Credential,
        body: bytes,
        passed: Mapping[str, str] = NOTHING_PASSED,
        headers: Mapping[str, str] = NOTHING_PASSED,
    ) -> ProviderStream:
        """Send a request and give its open answer; to close it early cancels the rest.

        Connection errors, 429 and 5xx are tried again, as `Limits` allow and as the provider's
        Retry-After demands. A source of tokens is told of a 401, and asked with once more what it
        then gives; `passed` is what the client sent for it. Of `headers`, the client's, those go on
        that the profile names. Raises `TurnError` in the provider's words when it stays refused.
        """
        named = {name: headers[name] for name in profile.client_headers if name in headers}
        response = await self._authorised(profile, api_key, body, passed, named)
        return ProviderStream(response, profile, self._limits.idle_timeout_s)

    async def why_unreachable(self, profile: Profile, timeout_s: float = 3.0) -> str:
        """A sentence that says why no answer of any kind can be had; empty when one was."""
        url = profile.base_url.rstrip("/") + profile.models_path
        try:
            async with asyncio.timeout(timeout_s):
                async with self._session_for(url).get(url, headers=_headers(profile, None)):
                    return ""
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return _unreachable(profile, url, error).message

    async def models(self, profile: Profile, api_key: Credential, timeout_s: float) -> list[Any]:
        """The provider's own list of models, as it gives it; empty when it cannot be had."""
        if not profile.models_path:
            return []
        url = profile.base_url.rstrip("/") + profile.models_path
        body = bytearray()
        try:
            async with asyncio.timeout(timeout_s):
                headers = await _all_headers(profile, api_key, NOTHING_PASSED)
                async with self._session_for(url).get(url, headers=headers) as response:
                    await _fill(body, response, _LISTING_MAX)
            listing = msgspec.json.decode(body)
        except (aiohttp.ClientError, OSError, ValueError, RecursionError, TurnError):
            return []
        data = listing.get("data") if isinstance(listing, dict) else listing
        return data if isinstance(data, list) else []

    async def _authorised(
        self,
        profile: Profile,
        api_key: Credential,
        body: bytes,
        passed: Mapping[str, str],
        named: dict[str, str],
    ) -> aiohttp.ClientResponse:
        headers = {**named, **await _all_headers(profile, api_key, passed)}
        try:
            return await self._response(profile, headers, body)
        except TurnError as refusal:
            if refusal.provider_status != 401 or api_key is None or isinstance(api_key, str):
                raise
            renewed = await api_key.renewed(headers, passed)
            if renewed is None:
                raise
        return await self._response(profile, {**headers, **renewed}, body)

    async def _response(
        self, profile: Profile, headers: dict[str, str], body: bytes
    ) -> aiohttp.ClientResponse:
        attempt = 0
        while True:
            try:
                return await self._send(profile, headers, body)
            except TurnError as error:
                wait_s = _wait_before_retry(error, attempt)
                attempt += 1
                if (
                    not _may_retry(error)
                    or attempt > self._limits.retries
                    or wait_s > self._limits.retry_wait_max_s
                ):
                    raise
            await asyncio.sleep(wait_s)

    async def _send(
        self, profile: Profile, headers: dict[str, str], body: bytes
    ) -> aiohttp.ClientResponse:
        url = profile.base_url.rstrip("/") + profile.path
        try:
            async with asyncio.timeout(self._limits.first_byte_timeout_s):
                response = await self._session_for(url).post(
                    url,
                    data=_as_data(body),
                    headers=headers,
                    allow_redirects=False,
                )
        except TimeoutError as error:
            raise self._too_slow(profile, url, error) from None
        except _WRONG_ADDRESS as error:
            raise TurnError(
                Kind.MISCONFIGURED,
                f"{profile.label} cannot be reached at {url}: {error}. Check the base URL.",
                provider=profile.name,
            ) from None
        except aiohttp.ClientHttpProxyError as error:
            raise _unreachable(profile, url, error) from None
        except aiohttp.ClientResponseError:
            raise _no_http(profile, url) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(profile, url, error) from None
        if response.status == 200:
            return response
        raise await self._refusal(response, profile)

    async def _refusal(self, response: aiohttp.ClientResponse, profile: Profile) -> TurnError:
        async with response:
            body = bytearray()
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with asyncio.timeout(_ERROR_BODY_S):
                    await _fill(body, response, _ERROR_BODY_MAX)
            return failure_from_http(response.status, bytes(body), response.headers, profile)

    def _too_slow(self, profile: Profile, url: str, error: TimeoutError) -> TurnError:
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return _unreachable(profile, url, error)
        return TurnError(
            Kind.PROVIDER_TIMEOUT,
            f"{profile.label} did not begin to answer within "
            f"{self._limits.first_byte_timeout_s:g} s (first_byte_timeout_s).",
            provider=profile.name,
        )


async def _fill(body: bytearray, response: aiohttp.ClientResponse, limit: int) -> None:
    """Read an answer into `body` up to the limit. What came before an error stays in it."""
    async for block in response.content.iter_any():
        body += block[: limit - len(body)]
        if len(body) >= limit:
            return


def _as_data(body: bytes) -> bytes | io.BytesIO:
    """A small body leaves together with its headers, a large one in steps that let others run."""
    return body if len(body) < _LARGE_BODY else io.BytesIO(body)


async def _all_headers(
    profile: Profile, api_key: Credential, passed: Mapping[str, str]
) -> dict[str, str]:
    if api_key is None or isinstance(api_key, str):
        return _headers(profile, api_key)
    return {**_headers(profile, None), **await api_key.headers(passed)}


def _headers(profile: Profile, api_key: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json", **profile.headers}
    if api_key and profile.auth in ("bearer", "chatgpt"):
        headers["Authorization"] = f"Bearer {api_key}"
    elif api_key and profile.auth == "api-key":
        headers["api-key"] = api_key
    return headers


def _unreachable(profile: Profile, url: str, error: BaseException) -> TurnError:
    return TurnError(
        Kind.PROVIDER_UNREACHABLE,
        f"{profile.label} cannot be reached at {url}: {_why(error)}. "
        "Is the server running, and is this its address?",
        provider=profile.name,
    )


def _why(error: BaseException) -> str:
    """The system's own words; aiohttp's name its internals around them."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, socket.gaierror):
        return "no host has this name"
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno).lower()
    return str(error) or "it does not answer"


def _no_http(profile: Profile, url: str) -> TurnError:
    return TurnError(
        Kind.PROVIDER_BROKEN,
        f"{profile.label} at {url} answered with something that is not HTTP. Check the base URL: "
        "its port, and whether it begins with http:// or https://.",
        provider=profile.name,
    )


def _may_retry(error: TurnError) -> bool:
    # Our own first-byte limit already took minutes; a gateway timeout of the provider's did not.
    slow = error.kind is Kind.PROVIDER_TIMEOUT and error.provider_status is None
    return error.kind.transient and not slow


def _wait_before_retry(error: TurnError, attempt: int) -> float:
    if error.retry_after is not None:
        return error.retry_after
    return _FIRST_BACKOFF_S * 2.0**attempt * random.uniform(0.8, 1.2)
