from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from anyturn.daemon.folder import (
    DaemonError,
    Folder,
    Phase,
    Seen,
    State,
    arguments_of,
    folders,
    shown,
)


def test_the_lock_says_whether_it_runs_and_the_state_how_far(folder: Folder, state: State) -> None:
    assert folder.look() == Seen(Phase.ABSENT, None)
    assert not folder.path.exists()
    lock = folder.take()
    assert lock is not None
    assert folder.look() == Seen(Phase.STARTING, None)
    folder.write(state)
    assert folder.look() == Seen(Phase.RUNNING, state)
    stopping = msgspec.structs.replace(state, stopping=True)
    folder.write(stopping)
    assert folder.look() == Seen(Phase.STOPPING, stopping)
    os.close(lock)
    assert folder.look() == Seen(Phase.ENDED, stopping)
    assert folder.clear()
    assert not folder.clear()
    assert folder.look() == Seen(Phase.ABSENT, None)


def test_one_has_the_lock_and_whoever_looks_does_not_take_it(folder: Folder) -> None:
    lock = folder.take()
    assert lock is not None
    assert folder.take() is None
    os.close(lock)
    assert folder.look().phase is Phase.ABSENT
    again = folder.take()
    assert again is not None
    os.close(again)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"null", b'{"pid":1}', b"\xff", b"[" * 100_000, b"x" * 2_000_000]
)
def test_a_state_that_cannot_be_read_is_never_believed(folder: Folder, content: bytes) -> None:
    lock = folder.take()
    assert lock is not None
    (folder.path / "state.json").write_bytes(content)
    assert folder.look() == Seen(Phase.DAMAGED, None)
    os.close(lock)
    assert folder.look() == Seen(Phase.ENDED, None)


@pytest.mark.parametrize("pid", [0, -1])
def test_a_state_that_names_many_processes_is_never_believed(
    folder: Folder, state: State, pid: int
) -> None:
    lock = folder.take()
    assert lock is not None
    folder.write(msgspec.structs.replace(state, pid=pid))
    assert folder.look() == Seen(Phase.DAMAGED, None)
    os.close(lock)


def test_folders_are_listed_by_port_and_others_are_not_ours(tmp_path: Path) -> None:
    assert folders(tmp_path / "gone") == []
    for name in ("10001", "9999", "notes", ".hidden"):
        (tmp_path / name).mkdir()
    assert [folder.port for folder in folders(tmp_path)] == [9999, 10001]


def test_a_folder_that_cannot_be_made_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "gateways").write_text("a file", encoding="utf-8")
    folder = Folder(tmp_path / "gateways", 10000)
    for use in (folder.take, folder.open_log):
        with pytest.raises(DaemonError, match=r"cannot be used: Not a directory.*XDG_STATE_HOME"):
            use()
    assert folder.look().phase is Phase.ABSENT


def test_flags_become_arguments_and_a_command(state: State) -> None:
    arguments = arguments_of({**state.flags, "api_key_env": "A_KEY", "config": "my file.toml"})
    assert arguments == [
        *("--port", "10000", "--strict", "--no-allow-anyone", "--model=-m"),
        *("--api-key-env", "A_KEY", "--config", "my file.toml"),
    ]
    assert shown(arguments).endswith("--config 'my file.toml'")
