from __future__ import annotations

import pytest

from anyturn.capture.explain import explain
from anyturn.capture_files import capture_paths, read_file
from anyturn.cli.demo import program_name

GREETING = "Hello from a tool call that really ran ✔"


def shows_the_whole_way(shown: str) -> None:
    """The provider's chunks, the client's events, the file, and what to do next."""
    assert "tool_calls[0] exec_command" in shown
    assert "finish_reason tool_calls" in shown
    assert "output_item.added function_call exec_command" in shown
    assert "output_item.done function_call exec_command ← executed" in shown
    assert "request 2: " in shown
    assert f"running it printed: {GREETING}" in shown
    assert f'print("{GREETING}")' in shown
    assert "export CEREBRAS_API_KEY=" in shown
    assert "codex --provider cerebras -- exec" in shown


@pytest.mark.codex
async def test_the_demo_runs_the_real_codex(start, home, workspace, codex_binary):
    anyturn = await start("demo", environ={"ANYTURN_CODEX": str(codex_binary)})
    ended = await anyturn.ended()
    assert (ended.code, ended.stderr) == (0, "")
    assert "the Codex CLI." in ended.stdout
    shows_the_whole_way(ended.stdout)
    assert not (home / ".codex").exists()
    assert [one.name for one in workspace.iterdir()] == [".anyturn"]
    assert "The turns are recorded in .anyturn/captures" in ended.stdout
    first, second = (read_file(path) for path in capture_paths(workspace / ".anyturn/captures"))
    assert first.head.client == "codex_exec"
    assert explain(first, [second]).summary.endswith("Its output came back.")


async def test_the_demo_runs_without_codex(start, workspace, path_without_codex):
    anyturn = await start("demo", environ={"PATH": path_without_codex})
    ended = await anyturn.ended()
    assert (ended.code, ended.stderr) == (0, "")
    assert "the Codex CLI is not installed here" in ended.stdout
    shows_the_whole_way(ended.stdout)


async def test_the_demo_records_nothing_where_nothing_is_wanted(
    start, workspace, path_without_codex
):
    anyturn = await start("demo", "--no-capture", environ={"PATH": path_without_codex})
    ended = await anyturn.ended()
    assert (ended.code, ended.stderr) == (0, "")
    assert list(workspace.iterdir()) == []


async def test_the_demo_goes_on_where_it_cannot_record(start, workspace, path_without_codex):
    (workspace / ".anyturn").write_text("in the way")
    ended = await (await start("demo", environ={"PATH": path_without_codex})).ended()
    assert ended.code == 0
    assert "Nothing will be recorded." in ended.stderr


async def test_the_demo_replays_a_session(start, path_without_codex):
    anyturn = await start("demo", "--replay", environ={"PATH": path_without_codex})
    ended = await anyturn.ended()
    assert (ended.code, ended.stderr) == (0, "")
    shows_the_whole_way(ended.stdout)


async def test_a_demo_whose_agent_fails_says_so(start, tmp_path):
    anyturn = await start("demo", environ={"ANYTURN_CODEX": str(tmp_path / "no-codex")})
    ended = await anyturn.ended()
    assert ended.code == 1
    assert "The agent failed" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("called", "path", "words"),
    [
        pytest.param(".venv/bin/anyturn", "", ".venv/bin/anyturn", id="as make calls it"),
        pytest.param("{here}/.venv/bin/anyturn", "", ".venv/bin/anyturn", id="whole path"),
        pytest.param("{here}/.venv/bin/anyturn", "{here}/.venv/bin", "anyturn", id="on PATH"),
        pytest.param("/opt/x/bin/anyturn", "", "/opt/x/bin/anyturn", id="from elsewhere"),
        pytest.param("/x/anyturn/__main__.py", "", "python -m anyturn", id="as a module"),
    ],
)
def test_the_next_command_can_be_typed_as_it_is_shown(monkeypatch, tmp_path, called, path, words):
    program = tmp_path / ".venv" / "bin" / "anyturn"
    program.parent.mkdir(parents=True)
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [called.format(here=tmp_path)])
    monkeypatch.setattr("sys.executable", "/usr/bin/python")
    monkeypatch.setenv("PATH", path.format(here=tmp_path))
    assert program_name() == words
