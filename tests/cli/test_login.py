from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from support.authorization_server import ACCOUNT, AuthorizationServer

FILE = ".config/anyturn/chatgpt.json"
# A browser whose user agrees: it follows the way that the page sends it.
BROWSE = "import sys, urllib.request as u; u.urlopen(sys.argv[1]).read()"


@pytest.fixture
async def server() -> AsyncIterator[AuthorizationServer]:
    async with AuthorizationServer() as started:
        yield started


@pytest.fixture
def browser(tmp_path: Path) -> str:
    """The command line of a browser that ends by itself."""
    program = tmp_path / "browser.py"
    program.write_text(BROWSE, encoding="utf-8")
    return f"{sys.executable} {program} %s"


def environ(server: AuthorizationServer, **more: str) -> dict[str, str]:
    return {"ANYTURN_CHATGPT_ISSUER": server.url, **more}


def leaks(server: AuthorizationServer, home: Path, *texts: str) -> list[str]:
    """The secrets that are in these texts, or in a file that is not the login's."""
    files = [path for path in home.rglob("*") if path.is_file() and path != home / FILE]
    said = "".join(texts) + "".join(path.read_text("utf-8", "replace") for path in files)
    return [secret for secret in server.secrets if secret in said]


async def test_a_login_in_the_browser_and_the_way_back(
    start: Any, server: AuthorizationServer, browser: str, home: Path
) -> None:
    known = environ(server, BROWSER=browser)
    login = await (await start("login", "chatgpt", "--port", "0", environ=known)).ended()
    assert login.code == 0, login.stderr
    assert f"Logged in to the ChatGPT account {ACCOUNT}, plan plus." in login.stdout
    address = next(line for line in login.stdout.splitlines() if "/oauth/authorize?" in line)
    assert address.strip().startswith(f"{server.url}/oauth/authorize?response_type=code&")
    status = await (await start("status", "--json", environ=known)).ended()
    (row,) = msgspec.json.decode(status.stdout)["chatgpt"]
    assert (status.code, row["source"], row["account"]) == (0, "anyturn", ACCOUNT)
    logout = await (await start("logout", environ=known)).ended()
    assert (logout.code, logout.stdout) == (0, "Logged out.\n")
    assert len(server.posts("/oauth/revoke")) == 1
    assert not (home / FILE).exists()
    said = [text for one in (login, status, logout) for text in (one.stdout, one.stderr)]
    assert leaks(server, home, *said) == []


async def test_without_a_browser_the_address_is_enough(
    start: Any, server: AuthorizationServer, home: Path
) -> None:
    known = environ(server, BROWSER="/does/not/exist %s")
    anyturn = await start("login", "--no-browser", "--port", "0", environ=known)
    line = ""
    while "/oauth/authorize?" not in line:
        line = await anyturn.line()
    async with aiohttp.ClientSession() as session, session.get(line.strip()) as page:
        assert "Thank you" in await page.text()
    assert (await anyturn.ended()).code == 0
    assert (home / FILE).stat().st_mode & 0o777 == 0o600


async def test_a_login_by_device(start: Any, server: AuthorizationServer, home: Path) -> None:
    server.device_pauses = [(403, {}), (404, {})]
    login = await (await start("login", "--device", environ=environ(server))).ended()
    assert login.code == 0, login.stderr
    assert f"{server.url}/codex/device" in login.stdout
    assert "ABCD-1234" in login.stdout
    assert leaks(server, home, login.stdout, login.stderr) == []
    assert (home / FILE).exists()


async def test_a_refusal_is_a_sentence_and_exit_code_1(
    start: Any, server: AuthorizationServer, browser: str, home: Path
) -> None:
    server.denies = True
    known = environ(server, BROWSER=browser)
    login = await (await start("login", "--port", "0", environ=known)).ended()
    assert login.code == 1
    assert "anyturn: The login was refused (access_denied)." in login.stderr
    assert not (home / FILE).exists()


async def test_a_port_that_is_taken_is_said(start: Any, server: AuthorizationServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        login = await (await start("login", "--port", port, environ=environ(server))).ended()
    assert login.code == 2
    assert f"Another program listens on {port}" in login.stderr


async def test_nobody_waits_for_ever(start: Any, server: AuthorizationServer) -> None:
    arguments = ("login", "--no-browser", "--port", "0", "--timeout", "1")
    login = await (await start(*arguments, environ=environ(server))).ended()
    assert (login.code, "Nobody logged in within 1 s." in login.stderr) == (1, True)


async def test_a_logout_without_a_login_is_exit_code_1(
    start: Any, server: AuthorizationServer
) -> None:
    logout = await (await start("logout", environ=environ(server))).ended()
    assert logout.code == 1
    assert "There is no ChatGPT login of Anyturn." in logout.stderr
    assert server.asked == []
