from __future__ import annotations

import asyncio
import os
import signal
import subprocess

import pytest

from anyturn.testing import Answer, Refusal, ScriptedProvider, call, openai_error, text

CREATES = call("exec_command", {"cmd": "cat > hello.py <<'EOF'\nprint('Hello ✔')\nEOF"})
MODEL = "gpt-oss-120b"
UNATTENDED = ("exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")
QUIET = ("-c", "features.plugins=false", "-c", "analytics.enabled=false")


def options(provider: ScriptedProvider) -> list[str]:
    return ["--provider", "cerebras", "--base-url", provider.base_url, "--model", MODEL]


@pytest.fixture
def real(codex_binary) -> dict[str, str]:
    """The variable that chooses the real Codex."""
    return {"ANYTURN_CODEX": str(codex_binary)}


@pytest.fixture
def fake(tmp_path):
    """Make a program that stands in for Codex, out of the lines of a shell script."""

    def write(*lines: str) -> dict[str, str]:
        script = tmp_path / "fake-codex"
        script.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        script.chmod(0o755)
        return {"ANYTURN_CODEX": str(script)}

    return write


# ---------------------------------------------------------------- with the real Codex


@pytest.mark.codex
async def test_one_command_makes_a_file_with_a_model_behind_chat_completions(
    start, workspace, real
):
    async with ScriptedProvider([Answer(CREATES), text("hello.py is there.")]) as provider:
        anyturn = await start(
            *("codex", *options(provider), "--", *UNATTENDED, *QUIET, "create hello.py"),
            environ=real,
        )
        ended = await anyturn.ended()
    assert (workspace / "hello.py").read_text(encoding="utf-8") == "print('Hello ✔')\n"
    assert (ended.code, ended.stdout) == (0, "hello.py is there.\n")
    assert "metadata" not in ended.stderr
    assert provider.refusals == []
    assert len(provider.requests) == 2
    assert provider.requests[0].messages[-1]["content"] == "create hello.py"


@pytest.mark.codex
async def test_the_plain_sentence_makes_a_file_in_a_repository(start, workspace, real):
    subprocess.run(["git", "init", "-q", str(workspace)], check=True)
    async with ScriptedProvider([Answer(CREATES), text("hello.py is there.")]) as provider:
        anyturn = await start(
            *("codex", *options(provider), "--", *QUIET, "exec", "create hello.py"), environ=real
        )
        ended = await anyturn.ended()
    assert "sandbox workspace-write" in ended.stderr
    output = provider.requests[1].messages[-1]["content"]
    if "bwrap" in output or "namespace" in output:
        pytest.skip("this machine does not let Codex make its sandbox")
    assert (workspace / "hello.py").read_text(encoding="utf-8") == "print('Hello ✔')\n"
    assert ended.code == 0


@pytest.mark.codex
async def test_a_system_proxy_does_not_come_between_codex_and_the_gateway_f70(start, real):
    nobody = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    async with ScriptedProvider([text("Here I am.")]) as provider:
        anyturn = await start(
            *("codex", *options(provider), "--", *UNATTENDED, *QUIET, "hi"),
            environ={**real, **nobody},
        )
        ended = await anyturn.ended()
    assert (ended.code, ended.stdout) == (0, "Here I am.\n")


@pytest.mark.codex
async def test_the_exit_code_of_codex_is_passed_on(start, real):
    refusal = Refusal(401, openai_error("Incorrect API key provided.", code="invalid_api_key"))
    async with ScriptedProvider([refusal]) as provider:
        anyturn = await start(
            *("codex", *options(provider), "--", *UNATTENDED, *QUIET, "hi"), environ=real
        )
        ended = await anyturn.ended()
    assert ended.code == 1
    assert "Incorrect API key provided." in ended.stderr
    assert len(provider.requests) == 1


@pytest.mark.codex
async def test_terminating_anyturn_ends_codex_and_the_turn_at_once(start, real):
    """F73."""
    async with ScriptedProvider([Answer(text("Never said."), hold_after=1)]) as provider:
        anyturn = await start(
            *("codex", *options(provider), "--", *UNATTENDED, *QUIET, "hi"), environ=real
        )
        await provider.request(1)
        terminated_at = asyncio.get_running_loop().time()
        os.kill(anyturn.pid, signal.SIGTERM)
        await provider.cancelled(1)
        ended = await anyturn.ended()
        took_s = asyncio.get_running_loop().time() - terminated_at
    assert ended.code != 0
    assert took_s < 3.0
    assert anyturn.alone()


@pytest.mark.codex
async def test_the_users_own_configuration_is_neither_changed_nor_followed(
    start, home, workspace, real
):
    config = home / ".codex" / "config.toml"
    config.parent.mkdir()
    config.write_text(
        'model = "sentinel"\nmodel_provider = "elsewhere"\n'
        '[model_providers.elsewhere]\nname = "elsewhere"\nbase_url = "http://127.0.0.1:9/v1"\n'
    )
    before = config.read_bytes(), config.stat().st_mtime_ns
    async with ScriptedProvider([Answer(CREATES), text("Done.")]) as provider:
        anyturn = await start(
            *("codex", *options(provider), "--", *UNATTENDED, *QUIET, "create hello.py"),
            environ=real,
        )
        ended = await anyturn.ended()
    assert (config.read_bytes(), config.stat().st_mtime_ns) == before
    assert ended.code == 0
    assert provider.refusals == []
    assert {request.body["model"] for request in provider.requests} == {MODEL}
    assert [path.name for path in workspace.iterdir()] == ["hello.py"]


# ---------------------------------------------------------------- how Codex is started


async def test_what_stands_behind_the_dashes_goes_to_codex_unchanged(start, fake):
    given = ["review", "--model", "x", "-c", 'a="b c"', "--", "--help", ""]
    fakes = fake('for one in "$@"; do echo "[$one]"; done')
    async with ScriptedProvider([]) as provider:
        anyturn = await start("codex", *options(provider), "--", *given, environ=fakes)
        ended = await anyturn.ended()
    shown = ended.stdout.splitlines()
    assert shown[-len(given) :] == [f"[{one}]" for one in given]
    assert set(shown[: -len(given) : 2]) == {"[-c]"}
    assert (ended.code, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("last_words", "code"),
    [
        pytest.param("exit 7", 7, id="its-own-code"),
        pytest.param("kill -KILL $$", 137, id="killed"),
        pytest.param("kill -TERM $$", 143, id="terminated"),
    ],
)
async def test_however_codex_ends_its_code_is_the_one_a_shell_would_show(
    start, fake, last_words, code
):
    async with ScriptedProvider([]) as provider:
        anyturn = await start("codex", *options(provider), environ=fake(last_words))
        assert (await anyturn.ended()).code == code


async def test_ctrl_c_is_left_to_codex(start, fake):
    """In the terminal interface it interrupts a turn and must not end the gateway."""
    fakes = fake(
        "trap 'echo interrupted; exit 5' INT", "echo ready", "while :; do sleep 0.05; done"
    )
    async with ScriptedProvider([]) as provider:
        anyturn = await start("codex", *options(provider), environ=fakes)
        assert await anyturn.line() == "ready\n"
        os.killpg(anyturn.pid, signal.SIGINT)
        ended = await anyturn.ended()
    assert (ended.code, ended.stdout) == (5, "interrupted\n")


async def test_the_gateway_logs_to_a_file_and_never_to_the_screen_of_codex(start, fake, tmp_path):
    log = tmp_path / "anyturn.log"
    async with ScriptedProvider([]) as provider:
        anyturn = await start(
            *("codex", *options(provider), "--log-file", str(log)), environ=fake("echo screen")
        )
        ended = await anyturn.ended()
    assert (ended.code, ended.stdout, ended.stderr) == (0, "screen\n", "")
    assert log.exists()


# ---------------------------------------------------------------- what is missing


async def test_without_codex_the_user_is_told_how_to_install_it(start, path_without_codex):
    anyturn = await start(
        *("codex", "--base-url", "http://127.0.0.1:9/v1", "--model", "m", "--", "exec", "hi"),
        environ={"PATH": path_without_codex},
    )
    ended = await anyturn.ended()
    assert (ended.code, ended.stdout) == (2, "")
    assert "npm install -g @openai/codex" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_a_codex_that_cannot_be_started_is_named(start, tmp_path):
    missing = str(tmp_path / "no-codex")
    anyturn = await start(
        *("codex", "--base-url", "http://127.0.0.1:9/v1", "--model", "m"),
        environ={"ANYTURN_CODEX": missing},
    )
    ended = await anyturn.ended()
    assert ended.code == 2
    assert missing in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_without_a_model_the_user_is_told_how_to_name_one(start, fake):
    anyturn = await start(
        *("codex", "--provider", "openrouter"),
        environ={"OPENROUTER_API_KEY": "made-up", **fake("echo started")},
    )
    ended = await anyturn.ended()
    assert (ended.code, ended.stdout) == (2, "")
    assert "--model" in ended.stderr
    assert "OPENROUTER_MODEL" in ended.stderr
    assert "made-up" not in ended.stderr


async def test_without_a_key_the_user_is_told_which_variable_to_set(start, fake):
    anyturn = await start("codex", "--provider", "cerebras", environ=fake("echo started"))
    ended = await anyturn.ended()
    assert (ended.code, ended.stdout) == (2, "")
    assert "CEREBRAS_API_KEY" in ended.stderr
    assert "Traceback" not in ended.stderr
