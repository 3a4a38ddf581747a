"""The status line in the real Codex: shown under the answer, and never in what a model reads."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from anyturn.server.app import Server
from anyturn.testing import Answer, ScriptedProvider, Usage, call, text
from anyturn.translate.status_line import marked
from support.hook_turns import Ended, silent

pytestmark = pytest.mark.codex

RUNS = call("exec_command", {"cmd": "echo ran >> log"})
LINE = "{git} · {model}"
SHOWN = "trunk* · gpt-oss-120b"
# Codex under another name, with the same events: as its terminal interface it shows messages only.
TUI = {"CODEX_INTERNAL_ORIGINATOR_OVERRIDE": "codex-tui"}
VERSIONS = ["0.58.0", "0.125.0", "0.150.0"]


@pytest.fixture
async def lined(stage):
    """A stage in a repository, whose provider ends no answer before git has said what it says."""
    opened = []

    async def open_stage(*script, line=LINE, **options):
        held = [silent(one) if isinstance(one, Answer) else one for one in script]
        seen = Ended()
        seen.provider = ScriptedProvider(held, strict=True, models=("gpt-oss-120b",))
        await seen.provider.start()
        opened.append(seen.provider)
        s = await stage(provider=seen.provider, taps=[seen], status_line=line, **options)
        subprocess.run(["git", "init", "-q", "-b", "trunk"], cwd=s.workspace, check=True)
        (s.workspace / "new").touch()
        return s

    yield open_stage
    for one in opened:
        await one.aclose()


needs_git = pytest.mark.skipif(not shutil.which("git"), reason="there is no git")


@needs_git
async def test_exec_shows_it_under_the_answer_and_the_result_stays_as_it_is(lined, tmp_path):
    script = [Answer(text("I run it."), RUNS), Answer(text("It ran.")), Answer(text("Once."))]
    s = await lined(*script)
    last = tmp_path / "last"
    run = await s.codex("Run it.", "-o", str(last))
    assert run.said == ["I run it.", "It ran."]
    assert [item["text"] for item in run.items("reasoning")] == [SHOWN]
    assert run.events[-2]["item"]["text"] == SHOWN
    assert last.read_text(encoding="utf-8") == "It ran."
    again = await s.codex("How often?", "resume", "--last")
    assert (again.said, again.complaints) == (["Once."], [])
    assert s.requests[2].messages[-2:] == [
        {"role": "assistant", "content": "It ran."},
        {"role": "user", "content": "How often?"},
    ]
    history = s.requests[1].messages
    assert s.requests[2].messages[: len(history)] == history
    assert "trunk" not in s.requests[2].raw.decode()


@needs_git
async def test_the_terminal_interface_has_it_as_the_last_line_of_the_answer(lined, tmp_path):
    script = [Answer(text("I run it."), RUNS), Answer(text("It ran.")), Answer(text("Once."))]
    s = await lined(*script)
    s.environ = TUI
    last = tmp_path / "last"
    run = await s.codex("Run it.", "-o", str(last))
    assert run.said == ["I run it.", f"It ran.{marked(SHOWN)}"]
    assert last.read_text(encoding="utf-8") == f"It ran.{marked(SHOWN)}"
    again = await s.codex("How often?", "resume", "--last")
    assert again.said == [f"Once.{marked(SHOWN)}"]
    history = s.requests[1].messages
    assert s.requests[2].messages[: len(history)] == history
    assert s.requests[2].messages[-2] == {"role": "assistant", "content": "It ran."}
    assert "\u2063" not in s.requests[2].raw.decode()


@pytest.mark.parametrize(
    "version", [pytest.param(one, marks=pytest.mark.codex(one)) for one in VERSIONS]
)
async def test_older_versions_give_it_back_as_they_got_it(lined, version):
    s = await lined(Answer(text("Yes.")), Answer(text("No.")), line="{model}")
    s.environ = TUI
    run = await s.codex("Yes?")
    assert run.said == [f"Yes.{marked('gpt-oss-120b')}"]
    thread = next(event["thread_id"] for event in run.events if "thread_id" in event)
    await s.codex("No?", "resume", thread)
    assert s.requests[1].messages[-2:] == [
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "No?"},
    ]


async def test_what_codex_compacts_was_never_there(lined):
    """The summary becomes the user's own words, out of reach: it must not hold a line."""
    full = Usage(prompt=int(131_072 * 0.85), completion=100)
    s = await lined(Answer(RUNS, usage=full), Answer(text("The log.")), Answer(text("Done.")))
    s.environ = TUI
    run = await s.codex("Run it.")
    assert run.said[-1].startswith("Done.\n\n*")
    compaction, after = s.requests[1:]
    assert not compaction.tools
    assert after.messages[-1]["content"].endswith("The log.")


async def test_structured_output_stays_structured(lined, tmp_path):
    schema = tmp_path / "schema.json"
    schema.write_text(
        '{"type":"object","properties":{"a":{"type":"number"}},"required":["a"],'
        '"additionalProperties":false}',
        encoding="utf-8",
    )
    s = await lined(Answer(text('{"a":1}')))
    s.environ = TUI
    run = await s.codex("Count.", "--output-schema", str(schema))
    assert run.said == ['{"a":1}'] and run.items("reasoning") == []


async def test_a_session_over_a_websocket(lined, monkeypatch):
    """Codex sends only what is new; what the connection remembers has no line."""
    monkeypatch.delattr(Server, "_stream")
    script = [Answer(text("I run it."), RUNS), Answer(text("It ran.")), Answer(text("Once."))]
    s = await lined(*script, line="{model}")
    s.environ = TUI
    provider = (
        f'model_providers.anyturn={{name="anyturn",base_url="{s.base_url}",'
        'wire_api="responses",experimental_bearer_token="anyturn",'
        f'model_catalog_url="{s.base_url}/models",supports_websockets=true}}'
    )
    run = await s.codex("Run it.", "-c", provider)
    assert run.said == ["I run it.", f"It ran.{marked('gpt-oss-120b')}"]
    again = await s.codex("How often?", "-c", provider, "resume", "--last")
    assert again.said == [f"Once.{marked('gpt-oss-120b')}"]
    history = s.requests[1].messages
    assert s.requests[2].messages[: len(history)] == history
    assert s.requests[2].messages[-2] == {"role": "assistant", "content": "It ran."}
