from __future__ import annotations

import stat
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.auth.private_file import (
    FileProblem,
    locked,
    locked_within,
    read_private,
    remove_private,
    stamp_of,
    write_private,
)


def test_what_is_written_is_for_its_owner_alone_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "f"
    assert read_private(path, 10) is None
    write_private(path, b"one")
    before = stamp_of(path)
    write_private(path, b"two")
    assert read_private(path, 3) == b"two"
    assert stamp_of(path) != before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["f"]
    with pytest.raises(FileProblem, match="more than 2 bytes"):
        read_private(path, 2)


def test_removing_says_whether_there_was_anything(tmp_path: Path) -> None:
    write_private(tmp_path / "f", b"")
    assert remove_private(tmp_path / "f")
    assert not remove_private(tmp_path / "f")
    with pytest.raises(FileProblem):
        remove_private(tmp_path)


async def test_a_lock_is_waited_for_and_not_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "f"
    async with locked_within(path, 0):
        with pytest.raises(FileProblem, match="another process keeps it locked"):
            async with locked_within(path, 0.01):
                pytest.fail("two have the lock")
    with locked(path):
        pass
    async with locked_within(path, 0):
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_a_lock_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    with pytest.raises(FileProblem, match=r"exists|directory"):
        async with locked_within(tmp_path / "f" / "g", 0):
            pytest.fail("there is no such folder")


@given(st.text(max_size=20))
def test_any_path_is_read_or_complained_about(name: str) -> None:
    path = Path("/dev/null") / name
    assert stamp_of(path)
    with suppress(FileProblem):
        assert read_private(path, 10) is None
