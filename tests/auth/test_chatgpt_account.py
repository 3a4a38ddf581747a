"""F71: whoever loses an answer, a race or the network stays logged in."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from anyturn.auth import private_file
from anyturn.auth.chatgpt import LoginError, Refused, Tokens, Unavailable, headers_of, tokens_of
from anyturn.auth.chatgpt_account import ChatGptAccount, CodexLogin, OwnLogin
from anyturn.auth.chatgpt_file import FileTrouble, LoginFile
from anyturn.auth.chatgpt_issuer import Issuer
from anyturn.errors import Kind, TurnError
from support.authorization_server import ACCOUNT, AuthorizationServer, claims, jwt

SOON, OVER, LATER = 200.0, -10.0, 3600.0
PROCESS = Path(__file__).parents[1] / "support" / "chatgpt_processes.py"


class Stage:
    """A login in a file, and the server that gave it."""

    def __init__(self, server: AuthorizationServer, file: LoginFile) -> None:
        self.server = server
        self.file = file
        self.file.path.parent.mkdir(parents=True, exist_ok=True)

    def issue(self, lifetime_s: float, **changes: Any) -> Tokens:
        """Put a new login into the file, as another process does that does not ask us."""
        given = self.server.login(lifetime_s)
        tokens = tokens_of(**given, issuer=self.server.url, last_refresh=1.0)
        tokens = msgspec.structs.replace(tokens, **changes)
        self.file.write(tokens)
        return tokens

    def login(self) -> OwnLogin:
        return OwnLogin(self.file, Issuer(self.server.url, timeout_s=5))


@pytest.fixture
def stage(server: AuthorizationServer, login_file: LoginFile) -> Stage:
    return Stage(server, login_file)


# ---------------------------------------------------------------- in time, and once


async def test_tokens_that_hold_are_used_as_they_are(stage: Stage) -> None:
    tokens = stage.issue(LATER)
    assert await stage.login().tokens() == tokens
    assert stage.server.asked == []


async def test_tokens_are_renewed_before_they_end_and_kept(stage: Stage) -> None:
    old = stage.issue(SOON)
    login = stage.login()
    new = await login.tokens()
    assert new.access_token != old.access_token
    assert stage.file.read() == new == await login.tokens()
    (asked,) = stage.server.refreshes
    assert asked.body["refresh_reason"] == "proactive_expiry"


async def test_many_turns_at_once_renew_once(stage: Stage) -> None:
    stage.issue(OVER)
    login, other = stage.login(), stage.login()
    asking = [one.tokens() for one in (login, other) for _ in range(20)]
    assert len({tokens.access_token for tokens in await asyncio.gather(*asking)}) == 1
    assert len(stage.server.refreshes) == 1


async def test_two_processes_that_renew_at_once_spend_one_refresh_token(stage: Stage) -> None:
    stage.issue(OVER)
    arguments = [sys.executable, str(PROCESS), str(stage.file.path), stage.server.url]
    processes = [
        await asyncio.create_subprocess_exec(
            *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    said = [out for out, _ in await asyncio.gather(*(p.communicate(b"\n") for p in processes))]
    kept = stage.file.read()
    assert kept is not None
    digest = hashlib.sha256(kept.access_token.encode()).hexdigest()
    assert said == [f"{digest}\n".encode()] * 2
    assert len(stage.server.refreshes) == 1
    assert kept.problem == ""


async def test_a_client_that_leaves_cuts_no_renewal_off(stage: Stage) -> None:
    stage.issue(OVER)
    login = stage.login()
    stage.server.may_answer.clear()
    asking = asyncio.ensure_future(login.tokens())
    while not stage.server.refreshes:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    stage.server.may_answer.set()
    await login.close()
    kept = stage.file.read()
    assert kept is not None and kept == await login.tokens()
    assert len(stage.server.refreshes) == 1


async def test_what_another_process_wrote_is_used_at_once(stage: Stage) -> None:
    stage.issue(LATER)
    login = stage.login()
    await login.tokens()
    other = stage.issue(LATER)
    assert await login.tokens() == other
    stage.file.remove()
    with pytest.raises(LoginError, match="anyturn login chatgpt"):
        await login.tokens()
    assert stage.server.asked == []


# ---------------------------------------------------------------- the end of a login


async def test_a_login_that_has_ended_says_so_and_is_asked_for_once(stage: Stage) -> None:
    stage.issue(OVER)
    stage.server.revoke_all()
    for login in (stage.login(), stage.login()):
        for _ in range(2):
            with pytest.raises(Refused, match="Log in again: anyturn login chatgpt"):
                await login.tokens()
    assert len(stage.server.refreshes) == 1
    kept = stage.file.read()
    assert kept is not None and kept.problem == "refresh_token_invalidated"


async def test_a_lost_race_never_clears_what_the_winner_wrote(stage: Stage) -> None:
    """The winner does not know our lock: a copy of the file, or a file system without locks."""
    stage.issue(OVER)
    login = stage.login()
    stage.server.may_answer.clear()
    asking = asyncio.ensure_future(login.tokens())
    while not stage.server.refreshes:
        await asyncio.sleep(0)
    winner = stage.issue(LATER)
    stage.server.answers = [(401, {"error": {"code": "refresh_token_reused"}})]
    stage.server.may_answer.set()
    assert await asking == winner
    assert stage.file.read() == winner


async def test_a_login_that_ended_is_used_while_its_token_holds(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = stage.issue(SOON)
    stage.server.revoke_all()
    login = stage.login()
    for _ in range(3):
        assert (await login.tokens()).access_token == tokens.access_token
    assert len(stage.server.refreshes) == 1
    assert "anyturn login chatgpt" in caplog.text
    assert not any(secret in caplog.text for secret in stage.server.secrets)


async def test_a_new_login_needs_no_restart(stage: Stage) -> None:
    stage.issue(OVER, problem="refresh_token_reused")
    login = stage.login()
    with pytest.raises(Refused):
        await login.tokens()
    new = stage.issue(LATER)
    assert await login.tokens() == new


# ---------------------------------------------------------------- trouble that passes


def fails(server: AuthorizationServer) -> None:
    server.answers = [(500, b"")] * 9


def hangs(server: AuthorizationServer) -> None:
    server.may_answer.clear()


@pytest.mark.parametrize("trouble", [fails, hangs])
async def test_a_server_that_cannot_be_asked_changes_nothing(
    stage: Stage, trouble: Callable[[AuthorizationServer], None]
) -> None:
    tokens = stage.issue(SOON)
    before = stage.file.path.read_bytes()
    trouble(stage.server)
    login = OwnLogin(stage.file, Issuer(stage.server.url, timeout_s=0.1))
    assert await login.tokens() == await login.tokens() == tokens
    assert len(stage.server.refreshes) == 1, "it is not asked again with every turn"
    assert stage.file.path.read_bytes() == before


async def test_a_token_that_is_over_needs_the_server(stage: Stage) -> None:
    stage.issue(OVER)
    before = stage.file.path.read_bytes()
    stage.server.answers = [(500, b"")]
    login = stage.login()
    with pytest.raises(Unavailable, match="HTTP 500"):
        await login.tokens()
    assert stage.file.path.read_bytes() == before
    assert (await login.tokens()).problem == ""


async def test_new_tokens_that_cannot_be_written_are_used_all_the_same(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    old = stage.issue(OVER)
    login = stage.login()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(private_file.os, "fsync", full)
        new = await login.tokens()
        assert new == await login.tokens()
    assert stage.file.read() == old
    assert "No space left" in caplog.text
    assert not any(secret in caplog.text for secret in stage.server.secrets)
    last = await login.better(new.access_token)
    assert last is None, "they are new"
    assert len(stage.server.refreshes) == 1


async def test_a_file_that_is_damaged_is_said_and_left(stage: Stage) -> None:
    stage.file.path.write_bytes(b"half a lo")
    login = stage.login()
    for _ in range(2):
        with pytest.raises(FileTrouble, match="not JSON"):
            await login.tokens()
    assert stage.file.path.read_bytes() == b"half a lo"


async def test_a_token_is_shown_to_no_server_that_did_not_give_it(stage: Stage) -> None:
    stage.issue(OVER, issuer="https://auth.openai.com")
    with pytest.raises(LoginError, match="chatgpt_issuer"):
        await stage.login().tokens()
    assert stage.server.asked == []


# ---------------------------------------------------------------- after a 401


async def test_a_refused_token_is_renewed_once(stage: Stage) -> None:
    old = stage.issue(LATER)
    login = stage.login()
    new = await login.better(old.access_token)
    assert new is not None and new == stage.file.read()
    assert stage.server.refreshes[0].body["refresh_reason"] == "unauthorized_recovery"
    assert await login.better(new.access_token) is None, "a minute old: no newer one is better"
    assert await login.better(old.access_token) == new
    assert len(stage.server.refreshes) == 1


async def test_a_login_that_ended_elsewhere_is_said_after_a_401(stage: Stage) -> None:
    old = stage.issue(LATER)
    stage.server.revoke_all()
    with pytest.raises(Refused, match="logout"):
        await stage.login().better(old.access_token)


# ---------------------------------------------------------------- the login of Codex


class Codex:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "auth.json"

    def write(self, exp: float) -> str:
        access = jwt(claims(exp=exp))
        tokens = {"id_token": jwt(claims()), "access_token": access, "refresh_token": "rt-codex"}
        self.path.write_bytes(msgspec.json.encode({"tokens": {**tokens, "account_id": ACCOUNT}}))
        return access

    def login(self, now: float = 1000.0) -> CodexLogin:
        return CodexLogin(self.path, now=lambda: now)


@pytest.fixture
def codex(tmp_path: Path) -> Codex:
    return Codex(tmp_path)


async def test_codex_login_is_used_to_its_end_and_never_written(codex: Codex) -> None:
    access = codex.write(exp=1001)
    before = codex.path.read_bytes(), codex.path.stat().st_mtime_ns
    assert (await codex.login().tokens()).access_token == access
    for over in (codex.login(1001), codex.login(9000)):
        with pytest.raises(LoginError, match="run `codex` once, or log in with Anyturn"):
            await over.tokens()
    assert (codex.path.read_bytes(), codex.path.stat().st_mtime_ns) == before
    assert [path.name for path in codex.path.parent.iterdir()] == ["auth.json"]


async def test_what_codex_renewed_is_used_at_once(codex: Codex) -> None:
    old = codex.write(exp=2000)
    login = codex.login()
    await login.tokens()
    with pytest.raises(LoginError, match="only Codex may renew it"):
        await login.better(old)
    new = codex.write(exp=3000)
    better = await login.better(old)
    assert better is not None and better.access_token == new


async def test_a_codex_login_that_cannot_be_used_is_said(codex: Codex) -> None:
    codex.path.write_bytes(b'{"OPENAI_API_KEY":"sk-planted"}')
    with pytest.raises(LoginError, match="API key") as caught:
        await codex.login().tokens()
    assert "planted" not in str(caught.value)


# ---------------------------------------------------------------- which of them


async def test_our_own_login_comes_first_and_codex_counts_where_there_is_none(
    stage: Stage, codex: Codex
) -> None:
    account = ChatGptAccount(stage.login(), CodexLogin(codex.path))
    assert not account.exists()
    with pytest.raises(TurnError, match="anyturn login chatgpt") as caught:
        await account.headers({})
    assert caught.value.kind is Kind.PROVIDER_CREDENTIALS
    access = codex.write(exp=1e10)
    assert account.exists()
    assert (await account.headers({}))["Authorization"] == f"Bearer {access}"
    own = stage.issue(LATER)
    assert await account.headers({"Authorization": "Bearer other"}) == headers_of(own)


async def test_a_401_is_answered_by_the_login_that_counts(stage: Stage) -> None:
    own = stage.issue(LATER)
    account = ChatGptAccount(stage.login(), None)
    renewed = await account.renewed(headers_of(own), {})
    assert renewed is not None
    assert renewed["Authorization"] != headers_of(own)["Authorization"]
    assert await account.renewed(renewed, {}) is None
    stage.server.revoke_all()
    await account.close()


async def test_a_server_that_is_away_is_a_failure_that_may_pass(stage: Stage) -> None:
    stage.issue(OVER)
    stage.server.answers = [(503, b"")]
    with pytest.raises(TurnError) as caught:
        await ChatGptAccount(stage.login(), None).headers({})
    assert caught.value.kind.transient


async def test_a_status_has_everything_but_tokens(stage: Stage, codex: Codex) -> None:
    account = ChatGptAccount(stage.login(), CodexLogin(codex.path))
    assert account.states(1000.0) == []
    codex.write(exp=900)
    (one,) = account.states(1000.0)
    assert (one.source, one.used, one.state) == ("codex", True, "expired")
    stage.issue(OVER)
    own, other = account.states(1000.0)
    assert (own.source, own.used, own.state) == ("anyturn", True, "ready")
    assert (own.account, own.plan, other.used) == (ACCOUNT, "plus", False)
    stage.issue(OVER, problem="refresh_token_reused")
    assert account.states(1000.0)[0].state == "ended"
    stage.file.path.write_bytes(b"")
    assert account.states(1000.0)[0].state == "damaged"
    shown = repr([own, other, *account.states(1000.0)])
    assert not any(secret in shown for secret in stage.server.secrets)


async def test_no_token_is_in_a_log_or_repr(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    tokens = stage.issue(SOON)
    login = stage.login()
    account = ChatGptAccount(login, None)
    headers = await account.headers({})
    await account.renewed(headers, {})
    shown = caplog.text + repr([tokens, vars(login), vars(account), login])
    assert "renewed" in caplog.text
    assert not any(secret in shown for secret in stage.server.secrets)
