from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def systemd(at_home: Run) -> Run:
    """Run `anyturn systemd ARGUMENTS` in an empty home: exit code, output, errors."""
    return partial(at_home, "systemd")


def test_the_unit_has_the_flags_and_names_the_keys_variable(systemd: Run, tmp_path: Path) -> None:
    given = ("--port", "10001", "--provider", "groq", "--no-strict", "--model", "a b%c$d")
    code, out, err = systemd(*given, GROQ_API_KEY="gsk-planted")
    assert (code, err) == (0, "")
    assert (
        f"ExecStart={sys.executable} -P -m anyturn serve --port 10001 --provider groq --model "
        '"a b%%c$$d" --no-strict\n'
    ) in out
    assert f"WorkingDirectory={tmp_path}\n" in out
    assert f"EnvironmentFile=-{tmp_path}/.config/anyturn/gateway.env\n" in out
    assert "GROQ_API_KEY=YOUR-KEY" in out
    assert "planted" not in out
    assert not (tmp_path / ".config").exists()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd judges its own units")
def test_systemd_accepts_the_unit(systemd: Run, tmp_path: Path) -> None:
    _, out, _ = systemd("--provider", "ollama", "--model", 'say "50%" $HOME \\n')
    unit = tmp_path / "anyturn-test.service"
    unit.write_text(out, encoding="utf-8")
    environ = {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path), "PATH": os.defpath}
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        env=environ,
    )
    assert "anyturn-test" not in done.stderr, done.stderr


def test_it_is_installed_only_where_that_is_asked_for(systemd: Run, tmp_path: Path) -> None:
    code, out, err = systemd("--provider", "ollama", "--port", "10001", "--install")
    path = tmp_path / ".config" / "systemd" / "user" / "anyturn-10001.service"
    assert (code, out) == (0, f"{path}\n")
    assert "serve --port 10001 --provider ollama" in path.read_text(encoding="utf-8")
    assert "systemctl --user enable --now anyturn-10001.service" in err


def test_what_the_unit_would_lack_is_said(systemd: Run) -> None:
    code, out, err = systemd("--provider", "groq", ANYTURN_STORE="memory")
    assert code == 0
    assert "There is no key for Groq: GROQ_API_KEY is not set" in err
    assert "Set here and not in the unit: ANYTURN_STORE." in err
    assert "ExecStart=" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--base-url", "http://me:secret@127.0.0.1/v1"], "without a password"),
        (["--port", "0"], "needs a port of its own"),
    ],
    ids=["password", "port"],
)
def test_wrong_flags_make_no_unit(systemd: Run, arguments: list[str], words: str) -> None:
    code, out, err = systemd(*arguments)
    assert (code, out) == (2, "")
    assert words in err and "secret" not in err


def test_the_port_of_the_environment_stands_in_the_unit(systemd: Run) -> None:
    assert (
        "serve --provider ollama --port 10007"
        in systemd("--provider", "ollama", ANYTURN_PORT="10007")[1]
    )
