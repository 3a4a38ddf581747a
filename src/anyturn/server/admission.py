"""Before any handler: does this request come from where it may, and who sends it?

A gateway on loopback is within reach of every web page that its user opens. Two headers that a page
cannot forge tell them apart: `Origin`, which browsers add to whatever could change something, and
`Host`, which stays the page's own name even where that name was made to mean 127.0.0.1 (DNS
rebinding). Programs send no Origin and are not concerned.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec
from aiohttp import web

from anyturn.auth.client_bearer import account_in, passed_on
from anyturn.auth.gate import Caller, Gate
from anyturn.errors import Kind, TurnError
from anyturn.server.dialect import dialect_of
from anyturn.translate.adaptations import HEADER
from anyturn.wire.address import host_name, is_local_host, origin_of
from anyturn.wire.credentials import NOTHING_PASSED

CALLER: web.RequestKey[Caller] = web.RequestKey("caller", Caller)

_OPEN_PATHS = frozenset({"/", "/health"})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_OTHER_HEADERS = ("x-api-key", "api-key")
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, DELETE",
    "Access-Control-Max-Age": "600",
}
_EXPOSED = f"{HEADER}, Retry-After"
_HOW = (
    "Send one of its keys, which begin with any_, as `Authorization: Bearer KEY`. Whoever runs the "
    "gateway makes one with `anyturn keys add NAME`."
)

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Admission:
    """Guards an application: `install` it before the application starts.

    `host` is what the gateway listens on, and `origins` are those of the web pages that may use it.
    With `passes_on`, callers bring what a provider is asked with, and are known by its account.
    """

    def __init__(
        self,
        gate: Gate,
        *,
        host: str,
        origins: frozenset[str] = frozenset(),
        passes_on: bool = False,
    ) -> None:
        self._gate = gate
        self._host = host.lower()
        self._listens_locally = is_local_host(host)
        self._origins = origins
        self._passes_on = passes_on

    def install(self, app: web.Application) -> None:
        """Have every request of `app` checked, behind the middlewares that it has."""

        @web.middleware
        async def admit(request: web.Request, handler: _Handler) -> web.StreamResponse:
            return await self._admit(request, handler)

        app.middlewares.append(admit)
        if self._origins:
            app.on_response_prepare.append(self._sign)

    async def _admit(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        self._check_host(request)
        self._check_origin(request)
        if self._is_preflight(request):
            return web.Response(status=204, headers=self._preflight(request))
        request[CALLER] = self._caller(request)
        return await handler(request)

    # ---------------------------------------------------------------- who

    def _caller(self, request: web.Request) -> Caller:
        passed = passed_on(request.headers) if self._passes_on else NOTHING_PASSED
        caller = self._gate.caller(secrets_in(request.headers), account_in(passed))
        if caller is not None:
            return msgspec.structs.replace(caller, passed=passed) if passed else caller
        if request.method in ("GET", "HEAD") and request.path in _OPEN_PATHS:
            return Caller()
        raise self._refusal(request)

    def _refusal(self, request: web.Request) -> TurnError:
        if self._gate.complaint and not self._gate.keys:
            return TurnError(
                Kind.MISCONFIGURED,
                "This gateway cannot read its clients' keys and lets nobody in. Its log says why.",
            )
        stated = "does not know this key" if secrets_in(request.headers) else "needs a key"
        # Codex shows a 400 at once, word for word; nobody else has to be told untruly.
        final = dialect_of(request.headers).retries_401
        kind = Kind.KEY_REFUSED_FOR_GOOD if final else Kind.KEY_REFUSED
        return TurnError(kind, f"This gateway {stated}. {_HOW}")

    # ---------------------------------------------------------------- from where

    def _check_host(self, request: web.Request) -> None:
        # What listens for others has names that nobody knows here; and no page knows a key.
        if not self._listens_locally or self._gate.closed:
            return
        for host in request.headers.getall("Host", ()):
            if not self._is_own(host_name(host)):
                raise TurnError(
                    Kind.FORBIDDEN,
                    f"This gateway does not answer to {host[:80]!r}: it is for this machine, and "
                    "a web page could make its own name lead here. Use http://127.0.0.1, or have "
                    "clients send a key (anyturn keys add NAME): then any name will do.",
                )

    def _check_origin(self, request: web.Request) -> None:
        origin = request.headers.get("Origin")
        if origin is None or self._allows(origin) or self._is_same(origin, request):
            return
        # A WebSocket begins with a GET, and its page may read all of it.
        if request.method not in _READING or "Upgrade" in request.headers or _asks_first(request):
            raise TurnError(
                Kind.FORBIDDEN,
                f"Web pages of {origin[:80]!r} may not use this gateway. Whoever runs it can allow "
                "them with the option cors_origins.",
            )

    def _allows(self, origin: str | None) -> bool:
        return bool(origin) and origin_of(origin or "") in self._origins

    def _is_same(self, origin: str, request: web.Request) -> bool:
        """Whether the page is the gateway's own, under a name that is."""
        host = request.headers.get("Host", "")
        own = self._is_own(host_name(host))
        return own and origin_of(origin) == origin_of(f"{request.scheme}://{host}") != ""

    def _is_own(self, name: str) -> bool:
        return bool(name) and (name == self._host or is_local_host(name))

    # ---------------------------------------------------------------- CORS

    def _is_preflight(self, request: web.Request) -> bool:
        return _asks_first(request) and self._allows(request.headers.get("Origin"))

    def _preflight(self, request: web.Request) -> dict[str, str]:
        asked = request.headers.get("Access-Control-Request-Headers", "")
        return {**_PREFLIGHT, **({"Access-Control-Allow-Headers": asked} if asked else {})}

    async def _sign(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Vary"] = "Origin"
        origin = request.headers.get("Origin")
        if origin is not None and self._allows(origin):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED


def secrets_in(headers: Mapping[str, str]) -> list[str]:
    """The keys that these headers send, `Authorization: Bearer` first."""
    scheme, _, bearer = headers.get("Authorization", "").partition(" ")
    sent = [bearer if scheme.lower() == "bearer" else ""]
    sent += [headers.get(name, "") for name in _OTHER_HEADERS]
    return [secret for text in sent if (secret := text.strip())]


def _asks_first(request: web.Request) -> bool:
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
