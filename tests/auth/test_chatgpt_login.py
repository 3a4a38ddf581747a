from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from anyturn.auth.chatgpt import LoginError, Refused
from anyturn.auth.chatgpt_file import LoginFile
from anyturn.auth.chatgpt_issuer import DeviceCode, Issuer
from anyturn.auth.chatgpt_login import log_in_by_browser, log_in_by_device, log_out
from support.authorization_server import ACCOUNT, AuthorizationServer


class Browser:
    """Opens the page that it is shown, as a user does who agrees."""

    def __init__(self) -> None:
        self.address = ""
        self.visit: asyncio.Task[int] | None = None

    def show(self, address: str) -> None:
        self.address = address
        self.visit = asyncio.get_running_loop().create_task(self._visit())

    async def _visit(self) -> int:
        async with aiohttp.ClientSession() as session, session.get(self.address) as page:
            return page.status


async def by_browser(issuer: Issuer, file: LoginFile, browser: Browser, **options: Any) -> Any:
    try:
        return await log_in_by_browser(issuer, file, browser.show, ports=[0], **options)
    finally:
        assert browser.visit is not None
        await browser.visit


async def test_a_login_in_the_browser_ends_in_a_file(
    server: AuthorizationServer, issuer: Issuer, login_file: LoginFile
) -> None:
    tokens = await by_browser(issuer, login_file, browser := Browser(), timeout_s=5)
    assert login_file.read() == tokens
    assert (tokens.account_id, tokens.plan, tokens.issuer) == (ACCOUNT, "plus", server.url)
    (asked,) = server.posts()
    assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert asked.body["code_verifier"] not in browser.address


async def test_two_logins_share_neither_state_nor_secret(
    issuer: Issuer, login_file: LoginFile
) -> None:
    addresses = []
    for _ in range(2):
        await by_browser(issuer, login_file, browser := Browser(), timeout_s=5)
        addresses.append(parse_qs(urlsplit(browser.address).query))
    for name in ("state", "code_challenge"):
        assert addresses[0][name] != addresses[1][name]


async def test_a_login_that_comes_to_nothing_leaves_the_one_before(
    server: AuthorizationServer, issuer: Issuer, login_file: LoginFile
) -> None:
    before = await by_browser(issuer, login_file, Browser(), timeout_s=5)
    server.denies = True
    with pytest.raises(Refused, match="access_denied"):
        await by_browser(issuer, login_file, Browser(), timeout_s=5)
    server.denies = False
    server.answers = [(500, b"")]
    with pytest.raises(LoginError, match="HTTP 500"):
        await by_browser(issuer, login_file, Browser(), timeout_s=5)
    with pytest.raises(LoginError, match="Nobody logged in"):
        await log_in_by_browser(issuer, login_file, lambda _: None, ports=[0], timeout_s=0.01)
    assert login_file.read() == before


class Sleeps:
    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


async def test_a_login_by_device_waits_as_it_is_told(
    server: AuthorizationServer, issuer: Issuer, login_file: LoginFile
) -> None:
    server.device_interval = "2"
    slow = (400, {"error": "slow_down"})
    server.device_pauses = [(403, {}), slow, (503, {}), slow, (404, {})]
    shown: list[DeviceCode] = []
    sleeps = Sleeps()
    tokens = await log_in_by_device(issuer, login_file, shown.append, sleep=sleeps)
    assert login_file.read() == tokens
    assert [device.user_code for device in shown] == ["ABCD-1234"]
    assert sleeps.seconds == [2, 2, 7, 7, 12, 12]


async def test_a_code_that_nobody_types_is_given_up(
    server: AuthorizationServer, issuer: Issuer, login_file: LoginFile
) -> None:
    server.device_pauses = [(403, {})] * 100_000
    with pytest.raises(LoginError, match=r"within 0\.05 s"):
        await log_in_by_device(issuer, login_file, lambda _: None, timeout_s=0.05, sleep=Sleeps())
    assert login_file.read() is None


async def test_a_logout_ends_the_login_at_the_server_and_here(
    server: AuthorizationServer, issuer: Issuer, login_file: LoginFile
) -> None:
    tokens = await by_browser(issuer, login_file, Browser(), timeout_s=5)
    assert await log_out(issuer, login_file) == ""
    assert not login_file.exists()
    (asked,) = server.posts("/oauth/revoke")
    assert asked.body["token"] == tokens.refresh_token
    with pytest.raises(LoginError, match="There is no ChatGPT login of Anyturn"):
        await log_out(issuer, login_file)


async def test_a_logout_removes_the_file_whatever_the_server_says(
    server: AuthorizationServer, issuer: Issuer, login_file: LoginFile
) -> None:
    await by_browser(issuer, login_file, Browser(), timeout_s=5)
    server.answers = [(500, b"")]
    assert "was not told" in await log_out(issuer, login_file)
    assert not login_file.exists()
    login_file.path.write_bytes(b"damaged")
    assert "not JSON" in await log_out(issuer, login_file)
    assert not login_file.exists()


async def test_a_token_is_shown_to_no_server_that_did_not_give_it(
    server: AuthorizationServer, issuer: Issuer, login_file: LoginFile
) -> None:
    await by_browser(issuer, login_file, Browser(), timeout_s=5)
    async with AuthorizationServer() as other:
        assert server.url in await log_out(Issuer(other.url), login_file)
        assert other.asked == []
