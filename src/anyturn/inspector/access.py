"""Who may see the inspector: whoever has the link of this start, from this machine, and no page.

A capture holds everything that a model was shown. So nothing is answered without the token, and
what a browser says of itself (`Host`, `Sec-Fetch-Site`, `Origin`) keeps other pages out.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from aiohttp import web

from anyturn.wire.address import host_name, is_local_host, origin_of

PATH = "/inspector"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_COOKIE = "anyturn_inspector"
_TOKEN_BYTES = 32
_TOKEN_MAX = 200
_ONWARD = (
    '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Anyturn inspector</title>\n'
    f'<meta http-equiv="refresh" content="0; url={PATH}">\n</html>\n'
)
_OWN_SITES = frozenset({"", "same-origin", "none"})


class Access:
    """The token of one start, and who showed it."""

    def __init__(self, token: str = "") -> None:
        self._token = token or secrets.token_urlsafe(_TOKEN_BYTES)

    def link(self, host: str, port: int) -> str:
        """The address that lets in whoever opens it. For the terminal only."""
        name = f"[{host}]" if ":" in host else host
        return f"http://{name}:{port}{PATH}?token={self._token}"

    def why_not(self, request: web.Request) -> str:
        """Why nobody may send this request, whatever he knows; nothing when it is in order."""
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1 or not is_local_host(host_name(hosts[0])):
            return "The inspector answers to names of this machine only: http://127.0.0.1."
        origin = request.headers.get("Origin")
        is_own = origin is None or origin_of(origin) == origin_of(f"http://{hosts[0]}")
        followed = self.has_link(request) and request.headers.get("Sec-Fetch-Mode") == "navigate"
        if not is_own or (_is_of_another_page(request) and not followed):
            return "Another page asked for this. Only the inspector's own page may."
        return ""

    def has_link(self, request: web.Request) -> bool:
        """Whether somebody opens the link."""
        return request.path == PATH and self._knows(request.query.get("token", ""))

    def _knows(self, given: str) -> bool:
        theirs = hashlib.sha256(given[:_TOKEN_MAX].encode("utf-8", "replace")).digest()
        return hmac.compare_digest(theirs, hashlib.sha256(self._token.encode()).digest())

    def lets_in(self, request: web.Request) -> bool:
        """Whether the browser was let in before."""
        return self._knows(request.cookies.get(_cookie_of(request), ""))

    def let_in(self, request: web.Request) -> web.Response:
        """Remember the browser, and send it to the address without the token."""
        if _is_of_another_page(request):
            # A link in a terminal that is a page itself: after a redirect the browser would keep
            # the cookie back, because that page began it.
            response = web.Response(text=_ONWARD, content_type="text/html", charset="utf-8")
        else:
            response = web.Response(status=303, headers={"Location": PATH})
        response.set_cookie(
            _cookie_of(request), self._token, path=PATH, httponly=True, samesite="Strict"
        )
        return response


def _is_of_another_page(request: web.Request) -> bool:
    return request.headers.get("Sec-Fetch-Site", "") not in _OWN_SITES


def _cookie_of(request: web.Request) -> str:
    """Cookies know no ports: two inspectors on one machine must not forget each other's."""
    return f"{_COOKIE}_{request.url.port or 80}"
