"""Real Codex sessions, recorded and replayed."""

from __future__ import annotations

from pathlib import Path

import pytest

from anyturn.capture.explain import explain
from anyturn.capture.format import Capture
from anyturn.capture_files import CaptureFolder, capture_paths, read_file
from anyturn.replay.client import resend
from anyturn.replay.provider import SESSION, replaying
from anyturn.testing import Answer, call, interleaved, reasoning, text

pytestmark = pytest.mark.codex

SCRIPT = (
    Answer(
        reasoning("Two files at once."),
        interleaved(
            call("exec_command", {"cmd": "echo one | tee one.txt"}),
            call("exec_command", {"cmd": "echo two | tee two.txt"}),
        ),
        fragment=5,
    ),
    Answer(text("Both files are made ✔")),
)


def read(folder: Path) -> list[Capture]:
    return [read_file(path) for path in capture_paths(folder)]


async def test_a_recorded_session_is_replayed_to_another_codex(stage, tmp_path) -> None:
    recorded = tmp_path / "recorded"
    s = await stage(*SCRIPT, capture=str(recorded))
    await s.codex("Make one.txt and two.txt.")
    while len(CaptureFolder(recorded).files()) < 2 or read(recorded)[-1].end is None:
        pass
    captures = read(recorded)
    assert captures[0].head.client == "codex_exec"
    assert captures[0].head.client_version.count(".") == 2
    verdicts = explain(captures[0], captures[1:]).verdicts
    assert [verdict.runs for verdict in verdicts] == [True, True]
    assert all("so it ran" in verdict.what for verdict in verdicts)
    for name in ("one.txt", "two.txt"):
        (s.workspace / name).unlink()

    async with replaying(captures) as provider:
        provider.refusals = []
        again = await stage(provider=provider)
        run = await again.codex("Make one.txt and two.txt.")
        assert (run.code, run.said, run.complaints) == (0, ["Both files are made ✔"], [])
        assert (provider.served, provider.refused) == (2, 0)
    assert (s.workspace / "one.txt").read_text() == "one\n"
    assert (s.workspace / "two.txt").read_text() == "two\n"


async def test_the_requests_of_a_recorded_codex_get_the_same_answers_again(stage, tmp_path) -> None:
    recorded = tmp_path / "recorded"
    s = await stage(*SCRIPT, capture=str(recorded))
    await s.codex("Make one.txt and two.txt.")
    while len(CaptureFolder(recorded).files()) < 2 or read(recorded)[-1].end is None:
        pass
    captures = read(recorded)
    async with replaying(captures) as provider:
        provider.refusals = []
        again = await stage(provider=provider)
        results = [one async for one in resend(captures, again.base_url)]
    assert [result.differences for result in results] == [[], []]


async def test_the_shipped_session_runs_on_the_real_codex(stage) -> None:
    async with replaying(map(read_file, capture_paths(SESSION))) as provider:
        provider.refusals = []
        s = await stage(provider=provider)
        run = await s.codex("Create hello.py, which prints a greeting, and run it.")
    assert run.complaints == []
    assert "Hello from a tool call that really ran ✔" in run.said[0]
    assert "print(" in (s.workspace / "hello.py").read_text()
