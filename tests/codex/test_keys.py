"""Codex at a gateway that asks its clients for keys."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from anyturn.auth.key_file import KeyFile
from anyturn.testing import Answer, call, text

pytestmark = pytest.mark.codex


def with_key(secret: str) -> tuple[str, str]:
    return "-c", f'model_providers.anyturn.experimental_bearer_token="{secret}"'


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


async def test_with_its_key_codex_works_and_nobody_else_sees_the_key(stage, keys):
    _, secret = keys.add("laptop")
    s = await stage(
        Answer(call("exec_command", {"cmd": "echo ran >> log"})),
        text("Done."),
        keys_file=str(keys.path),
    )
    run = await s.codex("Run it.", *with_key(secret))
    assert (run.code, run.said, run.complaints) == (0, ["Done."], [])
    assert (s.workspace / "log").read_text() == "ran\n"
    assert secret[4:] not in str([request.headers for request in s.requests])


async def test_a_wrong_key_ends_it_at_once_with_a_sentence(stage, keys, caplog):
    """codex-cli.md section 8: a 401 would be sent five times more."""
    keys.add("laptop")
    s = await stage(keys_file=str(keys.path))
    with caplog.at_level(logging.INFO):
        run = await (await s.start("Hi.", *with_key("any_planted0wrong"))).result()
    assert run.code == 1
    # The catalogue was refused as well, of which Codex only says that it does not know the model.
    complaint = run.complaints[-1]
    assert complaint.startswith("This gateway does not know this key. ")
    assert "anyturn keys add NAME" in complaint
    assert "{" not in complaint
    assert caplog.text.count("POST /v1/responses refused") == 1
    assert s.requests == []
    assert "planted0wrong" not in run.stdout + run.stderr + caplog.text


async def test_a_key_that_is_revoked_between_two_requests_ends_the_turn(stage, keys):
    _, secret = keys.add("laptop")

    def revoking(_):
        keys.revoke("laptop")
        return Answer(call("exec_command", {"cmd": "true"}))

    s = await stage(revoking, keys_file=str(keys.path))
    run = await s.codex("Run it.", *with_key(secret))
    assert run.code == 1
    assert "does not know this key" in run.complaints[-1]
    assert len(s.requests) == 1
