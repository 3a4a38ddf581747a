"""What needs no gateway; the rest is in tests/cli/test_up.py and test_down.py."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest

from anyturn.daemon import process
from anyturn.daemon.folder import DaemonError, Folder, Phase, State
from anyturn.daemon.process import ask_to_end, start, wait_for_end

STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(flush=True)
signal.pause()
"""


@pytest.fixture
def stubborn(folder: Folder, state: State) -> Iterator[subprocess.Popen[bytes]]:
    """A gateway that does not hear SIGTERM. It has the lock of the folder."""
    lock = folder.take()
    assert lock is not None
    with subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, pass_fds=[lock]
    ) as made:
        os.close(lock)
        assert made.stdout is not None
        made.stdout.readline()
        folder.write(msgspec.structs.replace(state, pid=made.pid))
        yield made
        made.kill()


def test_one_that_does_not_end_is_said_and_can_be_killed(
    folder: Folder, stubborn: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "FAREWELL_S", 0.01)
    seen = ask_to_end(folder)
    assert seen.phase is Phase.RUNNING and seen.state is not None
    assert not wait_for_end(folder, seen.state)
    assert stubborn.poll() is None
    monkeypatch.setattr(process, "FAREWELL_S", 20.0)
    ask_to_end(folder, now=True)
    assert wait_for_end(folder, seen.state)
    assert folder.look().phase is Phase.ABSENT


def test_a_process_whose_gateway_has_ended_is_never_touched(folder: Folder, state: State) -> None:
    """The id may be another program's by now: here it is that of this very process."""
    lock = folder.take()
    assert lock is not None
    folder.write(state)
    os.close(lock)
    assert ask_to_end(folder, now=True).phase is Phase.ENDED
    assert folder.look().phase is Phase.ABSENT


def test_one_that_never_says_how_far_it_is_is_not_waited_for_without_end(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "START_LIMIT_S", 0.01)
    lock = folder.take()
    assert lock is not None
    with pytest.raises(DaemonError, match="port 10000 is still starting"):
        start(folder, {}, "/", {})
    with pytest.raises(DaemonError, match="lsof -t"):
        ask_to_end(folder)
    os.close(lock)


def test_one_that_does_not_listen_in_time_is_ended(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "START_LIMIT_S", 0.01)
    with pytest.raises(DaemonError, match=r"did not listen within 0\.01 s and was ended"):
        start(folder, {"base_url": "http://127.0.0.1:9/v1", "port": 1}, "/", {})
    taken = folder.take()
    assert taken is not None
    os.close(taken)


def test_a_working_directory_that_is_gone_is_told_in_words(folder: Folder) -> None:
    with pytest.raises(DaemonError, match="cannot be started in /gone: No such file"):
        start(folder, {}, "/gone", {})
    assert folder.look().phase is Phase.ABSENT
