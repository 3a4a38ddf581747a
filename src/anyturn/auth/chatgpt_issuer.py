"""What is asked of the authorization server. No answer of it is logged or shown (A2)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec

import anyturn
from anyturn.auth.chatgpt import (
    CLIENT_ID,
    ISSUER,
    DamagedLogin,
    Pkce,
    Refused,
    Tokens,
    Unavailable,
    ended_words,
    granted,
    is_permanent,
    refusal_of,
)
from anyturn.wire.address import is_local

_BODY_MAX = 1024 * 1024
_INTERVAL_S = 5.0
_SLOWER_S = 5.0
_INTERVAL_MAX_S = 60.0


class DeviceCode(msgspec.Struct, frozen=True):
    """What the user types on another device, and where."""

    url: str
    user_code: str
    id: str
    interval_s: float

    def __repr__(self) -> str:
        return "<DeviceCode>"


class Grant(msgspec.Struct, frozen=True):
    """A code that can be exchanged for tokens, once."""

    code: str
    verifier: str
    redirect: str

    def __repr__(self) -> str:
        return "<Grant>"


class _UserCode(msgspec.Struct, frozen=True):
    device_auth_id: str
    user_code: str = ""
    usercode: str = ""
    interval: str | float | None = None


class _DeviceGrant(msgspec.Struct, frozen=True):
    authorization_code: str
    code_verifier: str


class Issuer:
    """The authorization server at `url`. Every question has `timeout_s` seconds.

    Raises `Unavailable` when it cannot be asked now, and `Refused` when it says no.
    """

    def __init__(
        self, url: str = "", *, timeout_s: float = 30.0, now: Callable[[], float] = time.time
    ) -> None:
        self.url = (url or ISSUER).rstrip("/")
        self._timeout_s = timeout_s
        self._now = now

    # ---------------------------------------------------------------- tokens

    async def exchange(self, grant: Grant) -> Tokens:
        """Make tokens of a code."""
        form = {
            "grant_type": "authorization_code",
            "code": grant.code,
            "redirect_uri": grant.redirect,
            "client_id": CLIENT_ID,
            "code_verifier": grant.verifier,
        }
        status, body = await self._post("/oauth/token", data=form)
        if status != 200:
            raise self._refusal("The login was refused", status, body)
        try:
            return granted(body, self.url, self._now())
        except DamagedLogin as error:
            raise self._strange(str(error)) from None

    async def refresh(self, tokens: Tokens, reason: str) -> Tokens:
        """Trade a refresh token, which then is spent, for new tokens.

        `Refused` means that this login can never be renewed again.
        """
        question = {
            "client_id": CLIENT_ID,
            "grant_type": "refresh_token",
            "refresh_token": tokens.refresh_token,
            "refresh_reason": reason,
        }
        status, body = await self._post("/oauth/token", json=question)
        if status != 200:
            code = refusal_of(body)
            if is_permanent(status, code):
                raise Refused(code or "unauthorized", ended_words(code))
            raise self._odd(status)
        try:
            return granted(body, self.url, self._now(), tokens)
        except DamagedLogin as error:
            raise self._strange(str(error)) from None

    async def revoke(self, tokens: Tokens) -> None:
        """End a login at the server."""
        question = {
            "token": tokens.refresh_token,
            "token_type_hint": "refresh_token",
            "client_id": CLIENT_ID,
        }
        status, body = await self._post("/oauth/revoke", json=question)
        if not 200 <= status < 300:
            raise self._refusal("The login could not be ended at the server", status, body)

    # ---------------------------------------------------------------- devices

    async def device_code(self) -> DeviceCode:
        """Begin a login on another device."""
        path = "/api/accounts/deviceauth/usercode"
        status, body = await self._post(path, json={"client_id": CLIENT_ID})
        if status == 404:
            raise Refused("not_found", "This server knows no login by device. Leave --device out.")
        if status != 200:
            raise self._refusal("The login was refused", status, body)
        said = self._read(body, _UserCode)
        user_code = said.user_code or said.usercode
        if not user_code or not user_code.isprintable():
            raise self._strange("it has no code")
        url = f"{self.url}/codex/device"
        return DeviceCode(url, user_code, said.device_auth_id, _interval(said.interval))

    async def device_grant(self, device: DeviceCode) -> Grant | float:
        """Ask whether the user has typed the code; if not, how many seconds longer to pause."""
        question = {"device_auth_id": device.id, "user_code": device.user_code}
        status, body = await self._post("/api/accounts/deviceauth/token", json=question)
        if status == 200:
            said = self._read(body, _DeviceGrant)
            redirect = f"{self.url}/deviceauth/callback"
            return Grant(said.authorization_code, said.code_verifier, redirect)
        code = refusal_of(body)
        if code == "slow_down" or status == 429:
            return _SLOWER_S
        if code in ("access_denied", "expired_token"):
            raise self._refusal("The login was refused", status, body)
        if status in (403, 404) or code == "authorization_pending":
            return 0.0
        raise self._refusal("The login was refused", status, body)

    # ---------------------------------------------------------------- the wire

    async def _post(self, path: str, **content: Any) -> tuple[int, bytes]:
        session = aiohttp.ClientSession(
            headers={"User-Agent": f"anyturn/{anyturn.__version__}"},
            trust_env=not is_local(self.url),
        )
        try:
            async with asyncio.timeout(self._timeout_s), session:
                url = f"{self.url}{path}"
                async with session.post(url, allow_redirects=False, **content) as response:
                    body = bytearray()
                    async for block in response.content.iter_any():
                        body += block
                        if len(body) > _BODY_MAX:
                            raise self._strange("it is too long")
                    return response.status, bytes(body)
        except TimeoutError:
            sentence = f"{self.url} did not answer within {self._timeout_s:g} s."
            raise Unavailable(sentence) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Only the kind of it: words of the network may repeat what was sent.
            why = type(error).__name__
            raise Unavailable(f"{self.url} cannot be reached ({why}).") from None

    def _read(self, body: bytes, kind: type[Any]) -> Any:
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise self._strange("its form is unknown") from None

    def _refusal(self, what: str, status: int, body: bytes) -> Refused | Unavailable:
        if status >= 500 or status == 429:
            return self._odd(status)
        code = refusal_of(body) or f"HTTP {status}"
        return Refused(code, f"{what} ({code}).")

    def _odd(self, status: int) -> Unavailable:
        return Unavailable(f"{self.url} answered HTTP {status}. Try again later.")

    def _strange(self, why: str) -> Unavailable:
        return Unavailable(f"The answer of {self.url} cannot be used: {why}.")


def grant_of(code: str, pkce: Pkce, redirect: str) -> Grant:
    """What the browser brought, and the secret that belongs to it."""
    return Grant(code, pkce.verifier, redirect)


def _interval(stated: str | float | None) -> float:
    try:
        seconds = float(stated) if stated is not None else _INTERVAL_S
    except ValueError:
        return _INTERVAL_S
    return min(max(seconds, 0.0), _INTERVAL_MAX_S) if seconds == seconds else _INTERVAL_S
