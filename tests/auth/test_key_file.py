from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.auth import private_file
from anyturn.auth.key_file import KeyFile, KeysError, UnknownKey
from anyturn.auth.keys import find_key

NOT_AS_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")


def test_a_key_that_was_made_is_known_until_it_is_revoked(file: KeyFile) -> None:
    assert file.read() is None
    laptop, secret = file.add("laptop")
    ci, other = file.add("ci")
    assert file.read() == (laptop, ci)
    assert find_key((laptop, ci), secret) == laptop
    assert secret != other
    assert file.revoke("laptop") == (laptop, 1)
    assert file.read() == (ci,)
    assert file.revoke(ci.id) == (ci, 0)
    assert file.read() == ()


def test_the_file_holds_a_hash_and_is_for_its_owner_alone(file: KeyFile) -> None:
    before = os.umask(0)
    try:
        _, secret = file.add("laptop")
    finally:
        os.umask(before)
    text = file.path.read_text(encoding="utf-8")
    assert secret[4:] not in text
    assert '"laptop"' in text
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert sorted(p.name for p in file.path.parent.iterdir()) == ["keys.json", "keys.json.lock"]


def test_the_key_is_in_no_repr(file: KeyFile) -> None:
    key, secret = file.add("laptop")
    assert secret[4:] not in repr((file, key, vars(file)))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("laptop", "already"),
        ("a/b", "A name has"),
        ("any_0123", "looks like a key"),
    ],
)
def test_a_name_that_cannot_be_changes_nothing(file: KeyFile, name: str, words: str) -> None:
    file.add("laptop")
    before = file.path.read_bytes()
    with pytest.raises(KeysError, match=words):
        file.add(name)
    assert file.path.read_bytes() == before


def test_what_is_unknown_is_told_with_what_there_is(file: KeyFile) -> None:
    file.add("laptop")
    with pytest.raises(UnknownKey, match="'latop'") as caught:
        file.revoke("latop")
    assert caught.value.names == ("laptop",)


def test_a_key_that_was_pasted_is_not_repeated(file: KeyFile) -> None:
    _, secret = file.add("laptop")
    with pytest.raises(UnknownKey) as caught:
        file.revoke(secret)
    assert secret not in str(caught.value)
    assert len(file.read() or ()) == 1


def test_a_damaged_file_is_not_written_over(file: KeyFile) -> None:
    file.add("laptop")
    file.path.write_bytes(b"{}")
    for change in (file.add, file.revoke):
        with pytest.raises(KeysError, match=re.escape(f"{file.path} cannot be read: it does not")):
            change("ci")
    assert file.path.read_bytes() == b"{}"


def test_a_link_stays_a_link(file: KeyFile, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    file.add("laptop")
    link.symlink_to(file.path)
    KeyFile(link).add("ci")
    assert link.is_symlink()
    assert [key.name for key in file.read() or ()] == ["laptop", "ci"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(lambda path: path.mkdir(), "not a file", id="folder"),
        pytest.param(os.mkfifo, "not a file", id="pipe"),
        pytest.param(lambda path: path.write_bytes(b" " * 2**20 + b"{"), "bytes", id="too large"),
        pytest.param(lambda path: path.symlink_to(path), "symbolic", id="a link to itself"),
        pytest.param(lambda path: path.write_bytes(b"\xff"), "not JSON", id="no text"),
    ],
)
def test_what_cannot_be_read_is_said_and_never_taken_for_no_keys(file, make, words) -> None:
    file.path.parent.mkdir()
    make(file.path)
    with pytest.raises(KeysError, match=words):
        file.read()


@NOT_AS_ROOT
def test_a_file_without_rights_is_said(file: KeyFile) -> None:
    file.add("laptop")
    file.path.chmod(0)
    with pytest.raises(KeysError, match="Permission denied"):
        file.read()


@given(st.text(max_size=20))
def test_any_path_is_read_or_complained_about(name: str) -> None:
    file = KeyFile(Path("/dev/null") / name)
    assert file.stamp()
    with suppress(KeysError):
        assert file.read() is None


def test_the_stamp_changes_with_every_change(file: KeyFile) -> None:
    stamps = [file.stamp()]
    for change in (lambda: file.add("a"), lambda: file.add("b"), lambda: file.revoke("b")):
        change()
        stamps.append(file.stamp())
    file.path.unlink()
    stamps.append(file.stamp())
    assert len(set(stamps)) == 4
    assert stamps[0] == stamps[-1]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.add("laptop")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(private_file.os, "fsync", full)
        with pytest.raises(KeysError, match="cannot be written: No space left on device"):
            file.add("ci")
    assert [key.name for key in file.read() or ()] == ["laptop"]
    assert len(list(file.path.parent.iterdir())) == 2


ADD = """
import sys
from contextlib import suppress
from pathlib import Path
from anyturn.auth.key_file import KeyFile
file = KeyFile(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(20):
    file.add(f"{sys.argv[2]}{number}")
"""


def test_two_processes_that_add_at_once_lose_nothing(file: KeyFile) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", ADD, str(file.path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in ("a", "b")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=40)
        assert writer.returncode == 0
    names = {key.name for key in file.read() or ()}
    assert names == {f"{name}{number}" for name in "ab" for number in range(20)}
