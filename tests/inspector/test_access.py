"""Who may see the inspector."""

from __future__ import annotations

import logging
from http.cookies import SimpleCookie
from pathlib import Path

import pytest

from anyturn.inspector.access import HEADERS, Access
from support.inspectors import inspected, write_turn

PATHS = [
    *("", "/", "/static/main.js", "/api/turns", "/api/changes", "/api/turns/x"),
    *("/api/turns/x/raw", "/api/turns/x/export?as=sse", "/nowhere"),
]
each_path = pytest.mark.parametrize("path", PATHS)


async def test_the_link_lets_in_and_its_token_leaves_the_address(tmp_path: Path) -> None:
    async with inspected(tmp_path, enters=False) as (_, visitor):
        entered = await visitor.enter()
        assert (entered.status, entered.headers["Location"]) == (303, "/inspector")
        (page, listed) = await visitor.get(""), await visitor.get("/api/turns")
        assert (page.status, listed.status) == (200, 200)


async def test_the_cookie_is_for_the_inspector_alone(tmp_path: Path) -> None:
    async with inspected(tmp_path, enters=False) as (_, visitor):
        entered = await visitor.enter()
        ((name, cookie),) = SimpleCookie(entered.headers["Set-Cookie"]).items()
        port = visitor.address.rpartition(":")[2].partition("/")[0]
        assert name == f"anyturn_inspector_{port}"
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (
            True,
            "Strict",
            "/inspector",
        )
        assert not cookie["max-age"] and not cookie["expires"] and not cookie["domain"]


@each_path
async def test_without_the_link_nothing_is_shown(tmp_path: Path, path: str) -> None:
    async with inspected(tmp_path, enters=False) as (_, visitor):
        refused = await visitor.get(path)
    assert refused.status == 401
    assert "needs the link that was printed" in refused.text
    assert ("<h1>" in refused.text) == (path == "")


@pytest.mark.parametrize(
    "token",
    ["", "x", "x" * 100_000, "%00", "%ff", "é".encode().hex()],
    ids=["none", "wrong", "long", "nul", "no text", "hex"],
)
async def test_a_wrong_token_is_none(tmp_path: Path, token: str) -> None:
    async with inspected(tmp_path, enters=False) as (_, visitor):
        # Longer lines are refused by aiohttp itself.
        refused = await visitor.get(f"?token={token[:4000]}")
        assert refused.status == 401
        assert "Set-Cookie" not in refused.headers


def test_each_start_has_its_own_token() -> None:
    links = {Access().link("127.0.0.1", 1) for _ in range(3)}
    assert len(links) == 3
    assert all(len(link.partition("?token=")[2]) >= 43 for link in links)


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    assert Access("t").link("::1", 5) == "http://[::1]:5/inspector?token=t"


@each_path
async def test_every_answer_has_the_headers_that_shut_others_out(tmp_path: Path, path: str) -> None:
    async with inspected(tmp_path, enters=False) as (_, visitor):
        answers = [await visitor.get(path, method="POST"), await visitor.get(path, Host="evil.org")]
        answers.append(await visitor.get(path))
        answers.append(await visitor.enter())
        if path != "/api/changes":
            answers.append(await visitor.get(path))
    for answer in answers:
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "'unsafe" not in HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "192.168.0.7", "[::2]"]
)
async def test_nobody_is_answered_under_a_foreign_name(tmp_path: Path, host: str) -> None:
    async with inspected(tmp_path) as (_, visitor):
        refused = await visitor.get("/api/turns", Host=host)
        assert refused.status == 403
        assert "names of this machine only" in refused.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
    ],
    ids=lambda headers: " ".join(headers.values()),
)
async def test_other_pages_are_refused_even_with_the_cookie(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    async with inspected(tmp_path) as (_, visitor):
        refused = await visitor.get("/api/turns", **headers)
        assert (refused.status, "Another page" in refused.text) == (403, True)


async def test_its_own_page_is_answered(tmp_path: Path) -> None:
    async with inspected(tmp_path) as (_, visitor):
        origin = visitor.address.removesuffix("/inspector")
        own = await visitor.get("/api/turns", Sec_Fetch_Site="same-origin", Origin=origin)
        assert own.status == 200


async def test_a_link_in_a_terminal_that_is_a_page_leads_on_without_a_redirect(
    tmp_path: Path,
) -> None:
    """A browser would keep a strict cookie back when the other page's click is redirected."""
    async with inspected(tmp_path, enters=False) as (_, visitor):
        followed = await visitor.get(
            visitor.link, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate"
        )
        assert followed.status == 200
        assert 'content="0; url=/inspector"' in followed.text
        assert (await visitor.get("/api/turns")).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
async def test_it_only_shows(tmp_path: Path, method: str) -> None:
    name = write_turn(tmp_path, 1)
    async with inspected(tmp_path) as (_, visitor):
        refused = await visitor.get(f"/api/turns/{name}", method=method)
        assert (refused.status, refused.headers["Allow"]) == (405, "GET")


async def test_the_token_is_in_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with inspected(tmp_path, enters=False) as (_, visitor):
        await visitor.enter()
        await visitor.get("/nowhere")
        await visitor.rows()
    assert visitor.token and visitor.token not in caplog.text
