from __future__ import annotations

import socket
from collections.abc import Iterator

import aiohttp
import pytest

from anyturn.auth.chatgpt import LoginError, Refused
from anyturn.auth.chatgpt_callback import Callback, PortsTaken, waiting_for_browser

STATE = "state-planted"


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def visit(callback: Callback, path: str, method: str = "GET") -> tuple[int, str]:
    root = callback.redirect.removesuffix("/auth/callback").replace("localhost", "127.0.0.1")
    async with aiohttp.request(method, root + path) as response:
        assert response.status >= 404 or "no-store" in response.headers["Cache-Control"]
        return response.status, await response.text()


async def test_the_browser_brings_the_code_and_gets_a_page_that_holds_none_of_it() -> None:
    async with waiting_for_browser(STATE, [0]) as callback:
        status, page = await visit(callback, f"/auth/callback?code=planted&state={STATE}")
        assert (status, await callback.code(1)) == (200, "planted")
        assert "planted" not in page
        # A second visit, of a reloaded page, changes nothing.
        assert (await visit(callback, f"/auth/callback?code=other&state={STATE}"))[0] == 200
        assert await callback.code(1) == "planted"


@pytest.mark.parametrize(
    "query", ["", "?code=evil", "?code=evil&state=other", "?state=&code=evil", "?error=x&state=y"]
)
async def test_a_visit_of_somebody_else_neither_ends_nor_fills_the_login(query: str) -> None:
    async with waiting_for_browser(STATE, [0]) as callback:
        assert (await visit(callback, f"/auth/callback{query}"))[0] == 400
        await visit(callback, f"/auth/callback?code=ours&state={STATE}")
        assert await callback.code(1) == "ours"


async def test_a_user_who_says_no_ends_the_login() -> None:
    async with waiting_for_browser(STATE, [0]) as callback:
        query = f"?error=access_denied&error_description=<b>x&state={STATE}"
        _, page = await visit(callback, f"/auth/callback{query}")
        assert "<b>" not in page
        with pytest.raises(Refused, match="access_denied"):
            await callback.code(1)


async def test_a_login_that_is_cancelled_frees_the_port() -> None:
    async with waiting_for_browser(STATE, [0]) as callback:
        port = int(callback.redirect.split(":")[2].partition("/")[0])
        assert (await visit(callback, "/cancel", "POST"))[0] == 405
        assert (await visit(callback, "/cancel"))[0] == 200
        with pytest.raises(LoginError, match="cancelled"):
            await callback.code(1)
    async with waiting_for_browser(STATE, [port]) as callback:
        assert callback.redirect == f"http://localhost:{port}/auth/callback"


async def test_nobody_is_waited_for_for_ever() -> None:
    async with waiting_for_browser(STATE, [0]) as callback:
        with pytest.raises(LoginError, match=r"within 0\.01 s"):
            await callback.code(0.01)


async def test_the_next_port_is_taken_where_the_first_is_not_free(taken: int) -> None:
    async with waiting_for_browser(STATE, [taken, 0]) as callback:
        assert f":{taken}/" not in callback.redirect
        assert (await visit(callback, "/other"))[0] == 404


async def test_ports_that_are_all_taken_are_named_with_the_way_out(taken: int) -> None:
    with pytest.raises(PortsTaken, match=f"{taken} and {taken}.*--device"):
        async with waiting_for_browser(STATE, [taken, taken]):
            pytest.fail("nothing is free")
