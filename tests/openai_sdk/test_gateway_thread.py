from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from anyturn.config import ConfigError
from anyturn.openai_sdk.exchange import Broken, Exchange
from anyturn.openai_sdk.gateway_thread import GatewayThread, open_with
from anyturn.server.direct import Asked

PROVIDER = {"base_url": "http://localhost:9/v1", "model": "some-model"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"stroe": "memory"}, "there is no option 'stroe'"),
        ({"port": 8000}, "'port' is for a gateway that listens"),
        ({"auth": "required"}, "'auth' is for a gateway that listens"),
    ],
    ids=["unknown", "port", "auth"],
)
def test_an_option_that_makes_no_sense_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        open_with({**PROVIDER, **given}, None, {})


def test_a_wrong_value_is_refused_in_the_words_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match="store takes one of"):
        open_with({**PROVIDER, "store": "floppy"}, None, {})


def test_files_and_variables_count_only_when_a_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "anyturn.toml").write_text("retries = false", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    environ = {"ANYTURN_PORT": "many", "HOME": str(tmp_path)}
    open_with(PROVIDER, None, environ)
    with pytest.raises(ConfigError, match="retries"):
        open_with({**PROVIDER, "config": tmp_path / "anyturn.toml"}, None, {})
    (tmp_path / "other.toml").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="ANYTURN_PORT"):
        open_with({**PROVIDER, "config": tmp_path / "other.toml"}, None, environ)


def test_the_key_is_the_argument_or_that_of_the_environment() -> None:
    named = {"provider": "cerebras"}
    open_with(named, "made-up", {})
    open_with(named, None, {"CEREBRAS_API_KEY": "made-up"})
    with pytest.raises(ConfigError, match="CEREBRAS_API_KEY"):
        open_with(named, None, {})


def test_nothing_is_started_before_it_is_needed_or_after_the_end() -> None:
    thread = GatewayThread(open_with(PROVIDER, None, {}))
    assert not thread.is_running
    assert thread.loop is thread.loop
    assert thread.is_running
    thread.close()
    thread.close()
    with pytest.raises(RuntimeError, match="closed"):
        _ = thread.loop


def test_what_keeps_it_from_starting_is_raised(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    given = {**PROVIDER, "capture": tmp_path / "file" / "captures"}
    thread = GatewayThread(open_with(given, None, {}))
    for _ in range(2):
        with pytest.raises(Exception, match="captures"):
            _ = thread.loop
    thread.close()


def test_a_request_in_the_last_moment_is_not_left_waiting() -> None:
    for _ in range(20):
        thread = GatewayThread(open_with(PROVIDER, None, {}))
        exchange = Exchange(thread.loop)
        closing = threading.Thread(target=thread.close)
        closing.start()
        try:
            thread.send(Asked("GET", "/health", [], b""), exchange)
        except RuntimeError:
            exchange.end("closed")
        # A head or an end, but no TimeoutError.
        with contextlib.suppress(Broken):
            assert exchange.wait_for_head(10).status == 200
        closing.join()


BEGIN = """
import os, sys
from anyturn.openai_sdk.gateway_thread import GatewayThread, open_with
thread = GatewayThread(open_with({"base_url": "http://localhost:9/v1", "model": "m"}, None, {}))
parent = thread.loop
"""
FORK = """
sys.stdout.flush()
child = os.fork()
if child == 0:
    print(thread.is_running, thread.loop is parent, thread.loop.is_running(), flush=True)
    thread.close()
    os._exit(0)
os.waitpid(child, 0)
print(thread.is_running, parent.is_running(), flush=True)
"""


def run(code: str) -> str:
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    command = [sys.executable, "-X", "dev", "-W", "ignore::DeprecationWarning", "-c", code]
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_program_ends_without_closing_it() -> None:
    assert run(BEGIN + "print('over')") == "over\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_has_a_gateway_of_its_own() -> None:
    assert run(BEGIN + FORK).splitlines() == ["False False True", "True True"]
