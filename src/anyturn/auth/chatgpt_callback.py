"""Where the browser comes back to after a login: a server on loopback that waits for one code."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from anyturn.auth.chatgpt import ForeignAnswer, LoginError, Refused, code_in, redirect_uri

_HOST = "127.0.0.1"
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
}
# Nothing of a request ever stands in a page.
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Anyturn</title>
<style>body {{ font: 1.1rem system-ui, sans-serif; margin: 20vh auto; max-width: 30rem;
padding: 0 1rem; color-scheme: light dark }}</style>
<h1>{title}</h1><p>{words}</p></html>
"""
_ARRIVED = ("Thank you", "The terminal says how the login went. You can close this page.")
_REFUSED = ("Not logged in", "The login was refused. The terminal says more.")
_FOREIGN = ("Not this one", "This address does not belong to the login that runs here.")
_CANCELLED = ("Cancelled", "The login was cancelled. You can close this page.")


class PortsTaken(LoginError):
    """Nowhere to come back to."""


class Callback:
    """Waits for the code of one login. `redirect` is what the authorization server is told."""

    def __init__(self, state: str) -> None:
        self.redirect = ""
        self._state = state
        self._code: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def code(self, timeout_s: float) -> str:
        """The code that the browser brings. Raises `LoginError` when it brings none in time."""
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(self._code)
        except TimeoutError:
            raise LoginError(f"Nobody logged in within {timeout_s:g} s.") from None

    async def arrive(self, request: web.Request) -> web.Response:
        """`GET /auth/callback`. Answers that are not of this login are refused and forgotten."""
        try:
            code = code_in(request.query, self._state)
        except ForeignAnswer:
            return _page(*_FOREIGN, status=400)
        except Refused as refusal:
            self._end(refusal)
            return _page(*_REFUSED)
        if not self._code.done():
            self._code.set_result(code)
        return _page(*_ARRIVED)

    async def cancel(self, request: web.Request) -> web.Response:
        """`GET /cancel`: give the port to whoever needs it, as other programs ask each other."""
        self._end(LoginError("The login was cancelled, by another login on this machine."))
        return _page(*_CANCELLED)

    def _end(self, error: LoginError) -> None:
        if not self._code.done():
            self._code.set_exception(error)
            # Whoever waited may be gone.
            self._code.exception()


@asynccontextmanager
async def waiting_for_browser(state: str, ports: Sequence[int]) -> AsyncIterator[Callback]:
    """Listen on the first of `ports` that is free. Raises `PortsTaken` when none is."""
    callback = Callback(state)
    app = web.Application()
    app.router.add_get("/auth/callback", callback.arrive, allow_head=False)
    app.router.add_get("/cancel", callback.cancel, allow_head=False)
    # An access log would hold the code.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        port = await _listen(runner, ports)
        callback.redirect = redirect_uri(port)
        yield callback
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, ports: Sequence[int]) -> int:
    for port in ports:
        try:
            await web.TCPSite(runner, _HOST, port).start()
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise PortsTaken(f"Cannot listen on {_HOST}:{port}: {error.strerror}.") from None
        else:
            bound: int = runner.addresses[0][1]
            return bound
    both = " and ".join(map(str, ports))
    raise PortsTaken(
        f"Another program listens on {both} of this machine, and a ChatGPT login can come back to "
        "no other port. Is another login open? End it, or log in with --device."
    )


def _page(title: str, words: str, status: int = 200) -> web.Response:
    text = _PAGE.format(title=title, words=words)
    return web.Response(text=text, status=status, content_type="text/html", headers=_HEADERS)
