from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from anyturn.codex.launch import (
    CLIENT_KEY,
    CODEX_VERSION,
    command_line,
    find_codex,
    overrides,
    past_proxies,
)

URL = "http://127.0.0.1:10000/v1"


def settings(arguments: list[str]) -> dict[str, Any]:
    """What Codex makes of `-c` options: each is a line of TOML."""
    assert arguments[::2] == ["-c"] * (len(arguments) // 2)
    merged: dict[str, Any] = {}
    for line in arguments[1::2]:
        _merge(merged, tomllib.loads(line))
    return merged


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


# ---------------------------------------------------------------- options


def test_codex_is_pointed_at_the_gateway() -> None:
    made = settings(overrides(URL, "gpt-oss-120b"))
    provider = made["model_providers"][made["model_provider"]]
    assert made["model"] == "gpt-oss-120b"
    assert provider["base_url"] == URL
    assert provider["wire_api"] == "responses"
    assert provider["model_catalog_url"] == f"{URL}/models"
    assert made["web_search"] == "disabled"


@pytest.mark.parametrize(
    ("environ", "bypassed"),
    [
        pytest.param({}, {"127.0.0.1", "localhost"}, id="nothing set"),
        pytest.param(
            {"NO_PROXY": "corp.example"}, {"corp.example", "127.0.0.1", "localhost"}, id="capitals"
        ),
        pytest.param(
            {"no_proxy": "corp.example"}, {"corp.example", "127.0.0.1", "localhost"}, id="small"
        ),
        pytest.param({"NO_PROXY": "*"}, {"*"}, id="every host"),
    ],
)
def test_codex_asks_no_proxy_for_this_machine_f70(
    environ: dict[str, str], bypassed: set[str]
) -> None:
    made = past_proxies({"HTTP_PROXY": "http://proxy.example:3128", **environ})
    assert made["HTTP_PROXY"] == "http://proxy.example:3128"
    # Which of the two spellings counts differs from program to program.
    assert {*made["NO_PROXY"].split(",")} == {*made["no_proxy"].split(",")} == bypassed


@pytest.mark.parametrize("model", ["openai/gpt-oss-120b", "qwen3:8b", "Qwen/Qwen3-Coder", "a b"])
def test_any_name_of_a_model_can_be_given(model: str) -> None:
    assert settings(overrides(URL, model))["model"] == model


def test_a_key_comes_from_the_environment_where_every_user_can_not_see_it() -> None:
    providers = [
        settings(shlex.split(command)[1:])["model_providers"]["anyturn"]
        for command in (command_line(URL, "m"), command_line(URL, "m", key_variable=CLIENT_KEY))
    ]
    assert providers[0]["experimental_bearer_token"]
    assert providers[1]["env_key"] == "ANYTURN_KEY"
    assert "experimental_bearer_token" not in providers[1]


def test_a_gateway_that_is_gone_is_not_waited_for() -> None:
    features = settings(overrides(URL, "m"))["features"]
    assert features["unbounded_connection_retries"] is False


def test_the_shown_command_can_be_pasted_into_a_shell() -> None:
    program, *arguments = shlex.split(command_line(URL, "openai/gpt-oss-120b"))
    assert program == "codex"
    shown, used = settings(arguments), settings(overrides(URL, "openai/gpt-oss-120b"))
    # It is for a gateway that keeps running, so Codex may wait for that one.
    assert used.pop("features")
    assert shown == used


# ---------------------------------------------------------------- the program


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    cached = f"work/.cache/codex/{CODEX_VERSION}/node_modules/.bin/codex"
    return {
        "chosen": program(tmp_path / "own" / "my-codex"),
        "on PATH": program(tmp_path / "bin" / "codex"),
        "cached": program(tmp_path / cached),
    }


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (["chosen", "on PATH", "cached"], "chosen"),
        (["on PATH", "cached"], "on PATH"),
        (["cached"], "cached"),
        ([], None),
    ],
)
def test_the_nearest_codex_is_found(
    tmp_path: Path, places: dict[str, Path], there: list[str], expected: str | None
) -> None:
    environ = {"PATH": str(tmp_path / "empty")}
    if "chosen" in there:
        environ["ANYTURN_CODEX"] = str(places["chosen"])
    if "on PATH" in there:
        environ["PATH"] = str(tmp_path / "bin")
    if "cached" not in there:
        places["cached"].unlink()
    found = find_codex(environ, tmp_path / "work")
    assert found == (places[expected] if expected else None)


def test_without_a_path_nothing_is_found(tmp_path: Path) -> None:
    assert find_codex({"PATH": ""}, tmp_path) is None


def test_an_empty_choice_is_none(tmp_path: Path, places: dict[str, Path]) -> None:
    environ = {"ANYTURN_CODEX": "", "PATH": str(tmp_path / "bin")}
    assert find_codex(environ, tmp_path) == places["on PATH"]
