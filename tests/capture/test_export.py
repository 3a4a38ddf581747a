from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from anyturn.capture.export import curl, event_lines, event_stream, provider_stream, pytest_case
from anyturn.capture.format import Capture, Head
from anyturn.wire import sse
from support.captured_turns import EVENTS, REQUEST, captured

HOSTILE = 'x"""\nimport os\n{}\\\x00\'; rm -rf / #'


def test_events_become_a_stream_and_lines() -> None:
    messages = sse.Decoder().feed(event_stream(captured()))
    assert [msgspec.json.decode(message.data) for message in messages] == EVENTS
    assert [message.event for message in messages] == [event["type"] for event in EVENTS]
    lines = event_lines(captured()).split(b"\n")
    assert [msgspec.json.decode(line) for line in lines if line] == EVENTS
    assert provider_stream(captured()) == captured().stream


def test_the_command_sends_the_request_through_a_real_shell(tmp_path: Path) -> None:
    (tmp_path / "curl").write_text('#!/bin/sh\nprintf "%s\\n" "$@" >&2\ncat\n')
    (tmp_path / "curl").chmod(0o755)
    request = {**REQUEST, "note": 'it\'s $HOME `id` \\ "x"\nEND_OF_BODY\n' + "x" * 200_000}
    done = subprocess.run(
        ["/bin/sh"],
        input=curl(captured(request=request)),
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        check=True,
    )
    assert msgspec.json.decode(done.stdout) == request
    assert b"http://127.0.0.1:10000/v1/responses" in done.stderr


def test_a_hostile_capture_makes_no_code() -> None:
    head = Head(turn=HOSTILE, started=HOSTILE, client=HOSTILE, provider=HOSTILE, model=HOSTILE)
    code = pytest_case(Capture(records=[head])).decode()
    tree = ast.parse(code)
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert names == {"asyncio", "base64", "tempfile", "msgspec"}
    assert [n.name for n in tree.body if isinstance(n, ast.FunctionDef)] == [
        "test_the_turn_ximportosrmrf"
    ]


@pytest.mark.parametrize("changed", [False, True], ids=["as recorded", "changed"])
def test_the_test_case_runs_and_can_fail(real_capture, tmp_path: Path, changed: bool) -> None:
    code = pytest_case(real_capture).decode()
    if changed:
        code = code.replace(
            "assert differences(", "expected[-1]['more'] = 1\n    assert differences("
        )
    (tmp_path / "test_case.py").write_text(code)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-c",
            "/dev/null",
            "--rootdir",
            str(tmp_path),
            str(tmp_path / "test_case.py"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == int(changed), done.stdout
