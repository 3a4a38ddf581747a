"""Programs beside a turn: bounded, without a key, and never left behind."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from anyturn.hooks import programs
from anyturn.hooks.programs import (
    MOST,
    Leave,
    ProgramError,
    Programs,
    Run,
    Unwanted,
    environment,
    output_of,
)

ENVIRON = {"PATH": os.environ["PATH"]}
PATIENCE_S = 30.0


def python(code: str, **options: Any) -> bytes:
    """What a Python program prints."""
    given: dict[str, Any] = {"leave": Leave(PATIENCE_S), "cwd": None, "environ": ENVIRON, **options}
    return output_of([sys.executable, "-c", code], **given)


def wait_for(condition: Any) -> None:
    ends_at = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends_at
        Event().wait(0.01)


def is_running(pid: int) -> bool:
    """Whether a process of this id does anything: one that nobody collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def test_a_program_reads_its_input_and_is_read() -> None:
    said = python("import sys; print(sys.stdin.read().upper())", stdin=b"facts")
    assert said.strip() == b"FACTS"


def test_it_runs_where_it_is_told_to(tmp_path: Path) -> None:
    said = python("import os; print(os.getcwd())", cwd=str(tmp_path))
    assert Path(said.decode().strip()) == tmp_path.resolve()


def test_a_program_that_reads_nothing_is_no_failure() -> None:
    assert python("import os; os.close(0); print(1)", stdin=b"x" * 4096) == b"1\n"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise SystemExit(3)", "ended with code 3"),
        ("import sys; sys.exit('first\\nno such thing')", "ended with code 1: no such thing"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "was ended by signal 15"),
    ],
)
def test_a_failure_says_how(code: str, why: str) -> None:
    with pytest.raises(ProgramError, match=f"^{why}$"):
        python(code)


@pytest.mark.parametrize("where", ["nowhere", "folder"])
def test_what_cannot_be_started_is_a_failure(tmp_path: Path, where: str) -> None:
    absent = str(tmp_path / "absent")
    program, cwd = (absent, None) if where == "nowhere" else (sys.executable, absent)
    with pytest.raises(ProgramError, match="cannot be started: No such file or directory"):
        output_of([program], Leave(PATIENCE_S), cwd=cwd, environ=ENVIRON)


def test_codes_that_are_expected_are_no_failure() -> None:
    assert python("print(1); raise SystemExit(128)", codes=frozenset({0, 128})) == b"1\n"


def test_a_program_that_never_stops_writing_is_ended() -> None:
    said = python("while True: print('x' * 1000)", max_bytes=4096)
    assert len(said) == 4096


def test_a_program_that_complains_without_end_is_read_and_forgotten() -> None:
    assert python("import sys; sys.stderr.write('x' * 500_000); print(1)") == b"1\n"


def test_a_program_that_takes_too_long_is_ended_with_what_it_started(tmp_path: Path) -> None:
    code = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open('pids.new', 'w').write(f'{os.getpid()} {child.pid}')\n"
        "os.rename('pids.new', 'pids')\n"
        "time.sleep(600)\n"
    )
    leave = Leave(PATIENCE_S)
    pids = tmp_path / "pids"
    with Withdrawal(leave, pids), pytest.raises(Unwanted):
        python(code, cwd=str(tmp_path), leave=leave)
    for pid in map(int, pids.read_text(encoding="utf-8").split()):
        wait_for(lambda pid=pid: not is_running(pid))


class Withdrawal:
    """Withdraws a leave when a file is there."""

    def __init__(self, leave: Leave, file: Path) -> None:
        self._leave = leave
        self._file = file
        self._programs = Programs(timeout_s=PATIENCE_S)

    def __enter__(self) -> None:
        self._programs.start(self._wait)

    def _wait(self, _: Leave) -> str:
        wait_for(self._file.exists)
        self._leave.withdraw()
        return ""

    def __exit__(self, *_: object) -> None:
        self._programs.close()


def test_time_that_is_over_is_a_failure() -> None:
    with pytest.raises(ProgramError, match=r"^took longer than 0\.2 s$"):
        python("import time; time.sleep(600)", leave=Leave(0.2))


def test_a_child_that_stays_keeps_nobody_waiting(tmp_path: Path) -> None:
    """What a program leaves behind on purpose is not ours to end."""
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid)\n"
    )
    pid = int(python(code))
    try:
        assert is_running(pid)
    finally:
        os.kill(pid, 9)


def test_no_key_is_in_the_environment() -> None:
    given = {
        "PATH": "/bin",
        "HOME": "/root",
        "LC_ALL": "C",
        "XDG_RUNTIME_DIR": "/run",
        "CEREBRAS_API_KEY": "sk-1",
        "ANYTURN_KEY": "any_1",
        "AWS_SECRET_ACCESS_KEY": "x",
        "GIT_DIR": "/x",
        "LD_PRELOAD": "/x.so",
        "PYTHONPATH": "/x",
    }
    assert list(environment(given)) == ["PATH", "HOME", "LC_ALL", "XDG_RUNTIME_DIR"]


# ---------------------------------------------------------------- in threads


@pytest.fixture
def pool() -> Iterator[Programs]:
    started = Programs(timeout_s=PATIENCE_S)
    yield started
    started.close()


def test_work_has_a_result_when_it_is_over(pool: Programs) -> None:
    go = Event()
    run = pool.start(lambda _: "said" if go.wait(PATIENCE_S) else "")
    assert run is not None
    assert (run.is_over, run.result(), run.failure()) == (False, "", "")
    go.set()
    wait_for(lambda: run.is_over)
    assert (run.result(), run.failure()) == ("said", "")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ProgramError("ended with code 1"), "ended with code 1"),
        (OSError(5, "sk-planted"), "OSError"),
        (KeyError("sk-planted"), "KeyError"),
    ],
    ids=["program", "system", "bug"],
)
def test_work_that_fails_says_so(pool: Programs, error: Exception, words: str) -> None:
    def fail(_: Leave) -> str:
        raise error

    run = pool.start(fail)
    assert run is not None
    wait_for(lambda: run.is_over)
    assert (run.result(), run.failure()) == ("", words)


def test_there_is_no_queue(pool: Programs) -> None:
    go = Event()
    runs = [pool.start(lambda _: str(go.wait(PATIENCE_S))) for _ in range(MOST)]
    assert pool.start(lambda _: "") is None
    go.set()
    for run in runs:
        assert isinstance(run, Run)
        wait_for(lambda run=run: run.is_over)
    again = pool.start(lambda _: "room")
    assert again is not None
    wait_for(lambda: again.is_over)


def test_closing_ends_what_runs_and_takes_no_more(pool: Programs) -> None:
    run = pool.start(lambda leave: python("import time; time.sleep(600)", leave=leave).decode())
    assert run is not None
    pool.close()
    wait_for(lambda: run.is_over)
    assert run.result() == ""
    assert pool.start(lambda _: "") is None


def test_the_time_limit_is_that_of_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    assert programs.TIMEOUT_S < 10
    quick = Programs(timeout_s=0.2)
    run = quick.start(lambda leave: python("import time; time.sleep(600)", leave=leave).decode())
    assert run is not None
    wait_for(lambda: run.is_over)
    assert run.failure() == "took longer than 0.2 s"
    quick.close()
