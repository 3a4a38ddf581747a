from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import anyturn
from anyturn.testing.script import ScriptError

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(at_home: Run) -> Run:
    return at_home


def test_the_version_is_printed(run: Run) -> None:
    assert run("--version") == (0, f"anyturn {anyturn.__version__}\n", "")


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_the_help_names_every_verb(run: Run, flag: str) -> None:
    code, out, err = run(flag)
    assert (code, err) == (0, "")
    for verb in (
        "serve",
        "up",
        "down",
        "restart",
        "logs",
        "systemd",
        "codex",
        "demo",
        "check",
        "keys",
        "providers",
    ):
        assert verb in out


def test_without_a_verb_the_help_is_shown(run: Run) -> None:
    code, out, err = run()
    assert code == 2
    assert "serve" in out + err


def test_the_help_of_serve_names_every_option(run: Run) -> None:
    _, out, _ = run("serve", "--help")
    for option in ("--host", "--port", "--config", "--provider", "--base-url", "--model"):
        assert option in out
    assert "--api-key-env" in out
    assert "--log-level" in out


@pytest.mark.parametrize("verb", ["up", "restart", "systemd"])
def test_what_starts_a_gateway_takes_all_flags_of_serve(run: Run, verb: str) -> None:
    serve, other = (
        set(re.findall(r"--[a-z-]+", run(name, "--help")[1])) for name in ("serve", verb)
    )
    assert serve <= other


LOCAL = ("--port", "0", "--base-url", "http://127.0.0.1:9/v1")

# Wrong set-ups: the arguments, the environment, the file, and what is said.
WRONG: list[tuple[str, list[str], dict[str, str], str, str]] = [
    ("option", ["serve", "--prot", "5"], {}, "", "--prot"),
    ("verb", ["sevre"], {}, "", "sevre"),
    ("port as a word", ["serve", "--port", "many"], {}, "", "Invalid value for '--port'"),
    ("port out of range", ["serve", "--port", "70000"], {}, "", "from 0 to 65535"),
    ("provider", ["serve", "--provider", "cerebra"], {}, "", "cerebras"),
    ("no provider", ["serve"], {}, "", "export CEREBRAS_API_KEY=YOUR-KEY"),
    ("no key", ["serve", "--provider", "groq"], {}, "", "GROQ_API_KEY"),
    ("brackets", ["serve", "--provider", "groq"], {}, "", "under [providers.groq]"),
    ("variable", ["serve"], {"ANYTURN_PROT": "5"}, "", "Did you mean ANYTURN_PORT?"),
    ("log level", ["serve", "--log-level", "loud"], {}, "", "debug, info, warning, error"),
    ("file key", ["serve"], {}, "prot = 5\n", "anyturn.toml, line 1: unknown key 'prot'"),
    ("file type", ["serve"], {}, 'port = "5"\n', "anyturn.toml, line 1: port takes"),
    ("no TOML", ["serve"], {}, "port = = 5\n", "anyturn.toml, line 1: not valid TOML"),
    ("no file", ["serve", "--config", "gone.toml"], {}, "", "there is no file 'gone.toml'"),
    ("open to all", ["serve", "--host", "0.0.0.0", *LOCAL], {}, "", "anyturn keys add NAME"),
    ("no keys file", ["serve", *LOCAL], {"ANYTURN_KEYS_FILE": "k"}, "", "there is no file 'k'"),
    ("auth", ["serve", *LOCAL], {"ANYTURN_AUTH": "yes"}, "", "one of auto, required, off"),
    ("base URL", ["serve", "--base-url", "localhost:8000"], {}, "", "http"),
    ("damaged key", ["serve", "--provider", "groq"], {"GROQ_API_KEY": "a b"}, "", "a blank"),
]


@pytest.mark.parametrize(
    ("arguments", "environ", "file", "words"),
    [row[1:] for row in WRONG],
    ids=[row[0] for row in WRONG],
)
def test_a_wrong_set_up_is_told_in_a_sentence(
    run: Run,
    tmp_path: Path,
    arguments: list[str],
    environ: dict[str, str],
    file: str,
    words: str,
) -> None:
    if file:
        (tmp_path / "anyturn.toml").write_text(file, encoding="utf-8")
    code, out, err = run(*arguments, **environ)
    assert (code, out) == (2, "")
    assert words in " ".join(err.split())
    assert "Traceback" not in err


def test_a_taken_port_is_told_in_a_sentence(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, _, err = run("serve", "--port", port, "--base-url", "http://127.0.0.1:9/v1")
    assert code == 2
    assert err.startswith(f"anyturn: Port {port} on 127.0.0.1 is taken.")


def test_an_error_of_ours_is_not_hidden(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ScriptError("a bug")

    monkeypatch.setattr("anyturn.cli.serve.Routing", broken)
    with pytest.raises(ScriptError):
        run("serve", "--base-url", "http://127.0.0.1:9/v1")


def test_the_package_is_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "anyturn", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"anyturn {anyturn.__version__}\n"
