"""A keys file in an empty folder, and a ChatGPT login beside an authorization server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from anyturn.auth.chatgpt_file import LoginFile
from anyturn.auth.chatgpt_issuer import Issuer
from anyturn.auth.key_file import KeyFile
from support.authorization_server import AuthorizationServer


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "anyturn" / "keys.json")


@pytest.fixture
def login_file(tmp_path: Path) -> LoginFile:
    return LoginFile(tmp_path / "anyturn" / "chatgpt.json")


@pytest.fixture
async def server() -> AsyncIterator[AuthorizationServer]:
    async with AuthorizationServer() as started:
        yield started


@pytest.fixture
def issuer(server: AuthorizationServer) -> Issuer:
    return Issuer(server.url, timeout_s=5)
