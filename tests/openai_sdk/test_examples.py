from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
LAST_LINES = {
    "track_a_stream.py": "Tracked: [('add_task', '{\"title\":\"Test\"}')]",
    "intercept_a_client.py": "Findings: ['arguments_misfit'] in {\"title\": 3}",
    "agents_sdk_chat.py": "Answer: Two tasks are on your list.",
    "agents_sdk_responses.py": "Answer: Two tasks are on your list.",
    "responses_in_process.py": "Answer: Two tasks are on your list.",
}
SHARED = {"provider.py"}


def run(script: str) -> list[str]:
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environ["PYTHONPATH"] = str(ROOT / "src")
    done = subprocess.run(
        [sys.executable, EXAMPLES / script],
        env=environ,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("script", LAST_LINES)
def test_an_example_runs_offline(script: str) -> None:
    lines = run(script)
    assert lines[-1] == LAST_LINES[script]
    completed = ("[LLM STREAM] Tool calls completed:", "[LLM RESPONSE] Tool calls completed:")
    assert any(line.startswith(completed) for line in lines)


def test_every_example_is_run_and_listed() -> None:
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    assert scripts == set(LAST_LINES) | SHARED
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in listed for name in LAST_LINES)
