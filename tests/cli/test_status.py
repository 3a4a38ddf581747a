from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
import pytest

from anyturn.auth.chatgpt import Tokens, encode_login, tokens_of
from anyturn.daemon.folder import Folder, State
from support.authorization_server import ACCOUNT, claims, jwt

Run = Callable[..., tuple[int, str, str]]
ACCESS = jwt(claims(exp=int(time.time()) + 8000))


@pytest.fixture
def status(at_home: Run) -> Run:
    """Run `anyturn status ARGUMENTS` in an empty home: exit code, output, errors."""
    return partial(at_home, "status")


def write(home: Path, tokens: Tokens) -> None:
    path = home / ".config" / "anyturn" / "chatgpt.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_login(tokens))


def write_codex(home: Path, access: str) -> None:
    path = home / ".codex" / "auth.json"
    path.parent.mkdir(exist_ok=True)
    tokens = {"access_token": access, "id_token": "", "refresh_token": "rt-planted"}
    path.write_bytes(msgspec.json.encode({"tokens": tokens}))


def own() -> Tokens:
    return tokens_of(ACCESS, jwt(claims()), "rt-planted")


def test_without_a_login_the_way_to_one_is_said(status: Run) -> None:
    code, out, _ = status()
    assert (code, "anyturn login chatgpt" in out) == (1, True)
    assert "anyturn up starts one" in out
    assert msgspec.json.decode(status("--json")[1]) == {"gateways": [], "chatgpt": []}


def test_each_login_has_its_row_and_no_token(status: Run, tmp_path: Path) -> None:
    write(tmp_path, own())
    write_codex(tmp_path, ACCESS)
    code, out, err = status()
    assert code == 0
    first, second = out.splitlines()[-2:]
    for words in ("anyturn", "ready", ACCOUNT, "plus", "2 h", "chatgpt.json"):
        assert words in first
    assert "codex, not used" in second
    whole = out + err + status("--json")[1]
    assert "planted" not in whole
    assert not any(part in whole for part in ACCESS.split(".")[:2])


def test_a_login_that_ended_is_exit_code_1_and_says_what_to_do(status: Run, tmp_path: Path) -> None:
    write(tmp_path, msgspec.structs.replace(own(), problem="refresh_token_reused"))
    write_codex(tmp_path, ACCESS)
    code, out, err = status()
    assert (code, "ended" in out) == (1, True)
    assert "Log in again: anyturn login chatgpt." in err


def test_a_login_of_codex_that_expired_is_codex_to_renew(status: Run, tmp_path: Path) -> None:
    write_codex(tmp_path, jwt(claims(exp=1000)))
    code, out, err = status()
    assert (code, "expired" in out, "over" in out) == (1, True, True)
    assert "run `codex` once" in err


def test_json_says_it_with_names(status: Run, tmp_path: Path) -> None:
    write_codex(tmp_path, ACCESS)
    code, out, _ = status("--json")
    (row,) = msgspec.json.decode(out)["chatgpt"]
    assert code == 0
    assert {name: row[name] for name in ("source", "used", "state", "account", "plan")} == {
        "source": "codex",
        "used": True,
        "state": "ready",
        "account": ACCOUNT,
        "plan": "plus",
    }
    assert row["expires_at"].endswith("Z")


# ---------------------------------------------------------------- gateways


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """The folder of a gateway on port 10000."""
    return Folder(tmp_path / ".local" / "state" / "anyturn" / "gateways", 10000)


STATE = State(
    pid=4242,
    started=datetime.now(UTC) - timedelta(hours=3),
    base_url="http://127.0.0.1:10000/v1",
    provider="cerebras",
    model="gpt-oss-120b",
    needs_key=False,
    shutdown_timeout_s=10,
    version="0.1.0",
    cwd="/",
    config_file=None,
    flags={"port": 10000, "strict": True},
)


@pytest.fixture
def running(folder: Folder) -> Iterator[Folder]:
    """A gateway that runs: somebody has its lock."""
    lock = folder.take()
    assert lock is not None
    folder.write(STATE)
    yield folder
    os.close(lock)


def test_a_gateway_that_runs_is_enough(status: Run, running: Folder) -> None:
    code, out, err = status()
    assert (code, err) == (0, "")
    for words in ("http://127.0.0.1:10000/v1", "running", "cerebras/gpt-oss-120b", "4242", "3 h"):
        assert words in out
    assert "10000: anyturn up --port 10000 --strict" in out
    (row,) = msgspec.json.decode(status("--json")[1])["gateways"]
    assert (row["port"], row["state"], row["pid"]) == (10000, "running", 4242)
    assert row["log"] == str(running.log)
    assert row["flags"] == {"port": 10000, "strict": True}
    assert row["started"].endswith("Z")


def test_a_gateway_that_ended_unasked_needs_somebody(
    status: Run, folder: Folder, tmp_path: Path
) -> None:
    write(tmp_path, own())
    lock = folder.take()
    assert lock is not None
    folder.write(STATE)
    os.close(lock)
    code, out, err = status()
    assert (code, "ended" in out) == (1, True)
    assert "anyturn logs --port 10000" in err and "anyturn restart --port 10000" in err


def test_a_login_of_codex_that_expired_is_no_fault_of_a_gateway_that_runs(
    status: Run, running: Folder, tmp_path: Path
) -> None:
    write_codex(tmp_path, jwt(claims(exp=1000)))
    assert status()[0] == 0
    write(tmp_path, msgspec.structs.replace(own(), problem="refresh_token_reused"))
    assert status()[0] == 1


def test_one_that_is_starting_or_damaged_is_shown_by_its_port(status: Run, folder: Folder) -> None:
    lock = folder.take()
    assert lock is not None
    assert "port 10000" in status()[1] and status()[0] == 0
    (folder.path / "state.json").write_bytes(b"{")
    code, out, err = status()
    assert (code, "damaged" in out, "lsof -t" in err) == (1, True, True)
    os.close(lock)


def test_gateways_are_shown_even_if_the_configuration_is_wrong(
    status: Run, running: Folder, tmp_path: Path
) -> None:
    (tmp_path / "anyturn.toml").write_text("prot = 1\n", encoding="utf-8")
    code, out, err = status()
    assert (code, "running" in out, "Did you mean 'port'?" in err) == (2, True, True)
