"""An authorization server on loopback that behaves as clients.md section 3.1 describes OpenAI's.

Codes and refresh tokens are single use, PKCE is checked, a refresh token that comes twice ends the
whole login, devices have to wait. Everything secret that it ever gave away is in `secrets`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import time
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import urlencode

import msgspec
from aiohttp import web

JSON = dict[str, Any]
CLIENT = "app_EMoamEEZ73f0CkXaXp7hrann"
ACCOUNT = "acc-6f1d"
USER = "user-77aa"
HOUR = 3600.0


def jwt(claims: Mapping[str, Any]) -> str:
    """A token that nobody signed."""

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(msgspec.json.encode(value)).rstrip(b"=").decode()

    return f"{part({'alg': 'none'})}.{part(claims)}.c2ln"


def claims(account: str = ACCOUNT, user: str = USER, plan: str = "plus", **more: Any) -> JSON:
    own = {"chatgpt_account_id": account, "chatgpt_user_id": user, "chatgpt_plan_type": plan}
    return {"https://api.openai.com/auth": own, **more}


class Asked(msgspec.Struct):
    """One request that came."""

    path: str
    headers: Mapping[str, str]
    body: JSON


class AuthorizationServer:
    """An async context manager. `url` is the issuer."""

    def __init__(self, *, lifetime_s: float = HOUR) -> None:
        self.lifetime_s = lifetime_s
        self.asked: list[Asked] = []
        self.secrets: list[str] = []
        self.answers: list[tuple[int, JSON | bytes]] = []
        """Answers that the next posts get, whatever they are."""
        self.denies = False
        self.device_pauses: list[tuple[int, JSON]] = []
        """What a device is told before the user has typed its code."""
        self.device_interval: Any = "0"
        self.devices = True
        self.may_answer = asyncio.Event()
        """Cleared: posts wait."""
        self.may_answer.set()
        self._numbers = itertools.count(1)
        self._codes: dict[str, tuple[str, str]] = {}
        self._live: set[str] = set()
        self._spent: set[str] = set()
        self._device: JSON = {}

    # ---------------------------------------------------------------- life

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/oauth/authorize", self._authorize)
        for path, handler in {
            "/oauth/token": self._token,
            "/oauth/revoke": self._revoke,
            "/api/accounts/deviceauth/usercode": self._usercode,
            "/api/accounts/deviceauth/token": self._devicetoken,
        }.items():
            app.router.add_post(path, self._guarded(handler))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.may_answer.set()
        await self._runner.cleanup()

    def posts(self, path: str = "/oauth/token") -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path]

    @property
    def refreshes(self) -> list[Asked]:
        return [one for one in self.posts() if one.body.get("grant_type") == "refresh_token"]

    # ---------------------------------------------------------------- tokens

    def login(self, lifetime_s: float | None = None) -> JSON:
        """The tokens of a new login, as the token endpoint gives them."""
        number = next(self._numbers)
        expires = int(time.time() + (self.lifetime_s if lifetime_s is None else lifetime_s))
        refresh = f"rt-planted-{number}-5b0c9d"
        self._live.add(refresh)
        tokens = {
            "id_token": jwt(claims(n=number)),
            "access_token": jwt(claims(exp=expires, n=number)),
            "refresh_token": refresh,
        }
        self.secrets += tokens.values()
        return tokens

    def revoke_all(self) -> None:
        """End every login at the server."""
        self._live.clear()

    def _guarded(self, handler: Any) -> Any:
        async def answer(request: web.Request) -> web.Response:
            if request.content_type == "application/json":
                body = msgspec.json.decode(await request.read())
            else:
                body = dict(await request.post())
            self.asked.append(Asked(request.path, dict(request.headers), body))
            await self.may_answer.wait()
            if self.answers:
                status, said = self.answers.pop(0)
                raw = said if isinstance(said, bytes) else msgspec.json.encode(said)
                return web.Response(status=status, body=raw)
            reply: web.Response = handler(body)
            return reply

        return answer

    def _token(self, body: JSON) -> web.Response:
        if body.get("client_id") != CLIENT:
            return error(401, "invalid_client")
        if body.get("grant_type") == "refresh_token":
            return self._refresh(body["refresh_token"])
        challenge, redirect = self._codes.pop(body.get("code", ""), ("", ""))
        digest = hashlib.sha256(body.get("code_verifier", "").encode()).digest()
        proved = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if not challenge or challenge != proved or redirect != body.get("redirect_uri"):
            return json({"error": "invalid_grant", "error_description": "No."}, 400)
        return json(self.login())

    def _refresh(self, token: str) -> web.Response:
        if token in self._spent:
            self._live.clear()
            return error(401, "refresh_token_reused")
        if token not in self._live:
            return error(401, "refresh_token_invalidated")
        self._live.discard(token)
        self._spent.add(token)
        return json(self.login())

    def _revoke(self, body: JSON) -> web.Response:
        if body.get("client_id") != CLIENT or body.get("token_type_hint") != "refresh_token":
            return error(400, "invalid_request")
        self._live.discard(body["token"])
        return json({})

    # ---------------------------------------------------------------- the user

    async def _authorize(self, request: web.Request) -> web.Response:
        """The page of the login; its user agrees at once, or refuses."""
        query = request.query
        self.asked.append(Asked(request.path, dict(request.headers), dict(query)))
        redirect = query["redirect_uri"]
        known = redirect.startswith("http://localhost:") and redirect.endswith("/auth/callback")
        asks_rightly = (query["client_id"], query["response_type"]) == (CLIENT, "code")
        if not known or not asks_rightly or query["code_challenge_method"] != "S256":
            return error(400, "invalid_request")
        answer = {"state": query["state"]}
        if self.denies:
            answer |= {"error": "access_denied", "error_description": "<b>No</b>"}
        else:
            answer["code"] = self.code(query["code_challenge"], redirect)
        return web.Response(status=302, headers={"Location": f"{redirect}?{urlencode(answer)}"})

    def code(self, challenge: str, redirect: str) -> str:
        code = f"ac-planted-{next(self._numbers)}-e31f"
        self._codes[code] = (challenge, redirect)
        self.secrets.append(code)
        return code

    def _usercode(self, body: JSON) -> web.Response:
        if not self.devices:
            return error(404, "not_found")
        if body != {"client_id": CLIENT}:
            return error(400, "invalid_request")
        self._device = {"device_auth_id": "dev-planted-1", "user_code": "ABCD-1234"}
        return json({**self._device, "interval": self.device_interval})

    def _devicetoken(self, body: JSON) -> web.Response:
        if body != self._device:
            return error(400, "invalid_request")
        if self.device_pauses:
            status, said = self.device_pauses.pop(0)
            return json(said, status)
        verifier = f"verifier-planted-{next(self._numbers)}"
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        self.secrets.append(verifier)
        code = self.code(challenge, f"{self.url}/deviceauth/callback")
        return json(
            {
                "authorization_code": code,
                "code_challenge": challenge,
                "code_verifier": verifier,
            }
        )


def json(body: Any, status: int = 200) -> web.Response:
    raw = msgspec.json.encode(body)
    return web.Response(status=status, body=raw, content_type="application/json")


def error(status: int, code: str) -> web.Response:
    return json(
        {"error": {"message": "No.", "type": "invalid_request_error", "code": code}}, status
    )
