"""A gateway that runs on a ChatGPT account: tokens are renewed behind the client's back (F71)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from anyturn.auth.chatgpt import tokens_of
from anyturn.auth.chatgpt_file import LoginFile
from anyturn.testing import Refusal, openai_error, text
from anyturn.wire.profile import Profile
from support.authorization_server import ACCOUNT, AuthorizationServer
from support.http_clients import ASK, STREAM

REFUSED = Refusal(401, openai_error("Token expired.", code="token_expired"))


@pytest.fixture
async def server() -> AsyncIterator[AuthorizationServer]:
    async with AuthorizationServer() as started:
        yield started


@pytest.fixture
def account(server: AuthorizationServer, login_file: LoginFile) -> dict[str, Any]:
    """The options of a gateway whose provider is asked with a login."""
    profile = Profile(name="account", title="ChatGPT", auth="chatgpt")
    return {
        "profile": "account",
        "providers": {"account": profile},
        "chatgpt_issuer": server.url,
        "chatgpt_path": login_file.path,
    }


@pytest.fixture
def login_file(server: AuthorizationServer, tmp_path: Path) -> LoginFile:
    file = LoginFile(tmp_path / "chatgpt.json")
    file.write(tokens_of(**server.login(), issuer=server.url, last_refresh=1.0))
    return file


async def test_a_token_that_the_provider_refuses_is_renewed_and_the_client_sees_nothing(
    stage: Any,
    server: AuthorizationServer,
    login_file: LoginFile,
    account: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    on = await stage(REFUSED, text("Hi."), **account)
    reply = await on.post(STREAM, authorization="Bearer of-the-client")
    assert reply.names[-1] == "response.completed"
    sent = [request.headers for request in on.provider.requests]
    kept = login_file.read()
    assert kept is not None
    assert sent[0]["Authorization"] != sent[1]["Authorization"] == f"Bearer {kept.access_token}"
    for headers in sent:
        assert headers["chatgpt-account-id"] == ACCOUNT
        assert headers["originator"] == "anyturn"
        assert headers["User-Agent"].startswith("anyturn/")
    assert len(server.refreshes) == 1
    assert not any(secret in caplog.text + str(reply.raw) for secret in server.secrets)


async def test_a_login_that_ended_is_said_to_the_client(
    stage: Any, server: AuthorizationServer, account: dict[str, Any]
) -> None:
    on = await stage(REFUSED, **account)
    server.revoke_all()
    reply = await on.post(ASK)
    assert reply.status == 400
    assert "anyturn login chatgpt" in reply.error["message"]
    assert not any(secret in str(reply.raw) for secret in server.secrets)


async def test_a_provider_that_refuses_every_token_is_asked_twice_and_no_more(
    stage: Any, server: AuthorizationServer, account: dict[str, Any]
) -> None:
    on = await stage(*[REFUSED] * 5, **account)
    for _ in range(2):
        assert "Token expired." in (await on.post(ASK)).error["message"]
    assert len(on.provider.requests) == 3
    assert len(server.refreshes) == 1
