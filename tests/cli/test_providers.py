from __future__ import annotations

import asyncio

import msgspec
import pytest
from typer.testing import CliRunner

from anyturn.cli.main import app
from anyturn.providers import names
from anyturn.testing import Answer, Refusal, ScriptedProvider, call, openai_error, text


@pytest.fixture
def anyturn(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("CEREBRAS_API_KEY", "GROQ_API_KEY"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments, **environ):
        return CliRunner().invoke(app, ["providers", *arguments], env=environ)

    return run


def test_the_list_names_every_provider_and_where_its_key_is(anyturn):
    shown = anyturn(GROQ_API_KEY="gsk_made_up")
    assert shown.exit_code == 0
    assert all(name in shown.stdout for name in names())
    assert "✔ GROQ_API_KEY" in shown.stdout
    assert "set CEREBRAS_API_KEY" in shown.stdout
    assert "made_up" not in shown.stdout


def test_the_list_is_also_json(anyturn):
    rows = msgspec.json.decode(anyturn("--json", GROQ_API_KEY="gsk_made_up").stdout)
    found = {row["name"]: row["key_found_in"] for row in rows}
    assert (found["groq"], found["cerebras"]) == ("GROQ_API_KEY", None)


def test_a_provider_is_shown_with_what_is_particular_to_it(anyturn):
    shown = anyturn("show", "cerebras")
    assert "max_completion_tokens" in shown.stdout
    assert "rename_tools" in shown.stdout


def test_an_unknown_provider_gets_the_nearest_name(anyturn):
    shown = anyturn("show", "cerebas")
    assert shown.exit_code == 2
    assert "Did you mean 'cerebras'?" in shown.output


@pytest.mark.parametrize(
    ("first", "code", "words"),
    [
        pytest.param(text("ready"), 0, "✔ holds  text", id="works"),
        pytest.param(
            Refusal(401, openai_error("bad key", code="invalid_api_key")),
            1,
            "✘ fails  text",
            id="wrong key",
        ),
    ],
)
async def test_probes_are_run_and_counted(anyturn, first, code, words):
    def rest(body):
        if body["messages"][-1]["role"] == "tool" or "tools" not in body:
            return text("Sunny.")
        return Answer(call("get_weather", {"city": "Paris"}))

    async with ScriptedProvider([first, *[rest] * 5]) as provider:
        shown = await asyncio.to_thread(
            anyturn, "test", "cerebras", "--base-url", provider.base_url, "--no-overflow"
        )
    assert words in shown.stdout, shown.output
    assert shown.exit_code == code
    assert provider.refusals == ([] if code == 0 else provider.refusals)
