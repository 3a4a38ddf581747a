from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.auth.gate import Caller, Gate
from anyturn.auth.key_file import KeyFile, KeysError


def test_without_a_keys_file_everyone_comes_in(file: KeyFile) -> None:
    for gate in (Gate(), Gate(file)):
        assert not gate.closed
        assert gate.caller([]) == Caller("", "")


def test_without_keys_callers_are_told_apart_by_what_they_send(file: KeyFile) -> None:
    gate = Gate(file)
    one, other = gate.caller(["sk-one"]), gate.caller(["sk-other"])
    assert one == gate.caller(["sk-one", "more"])
    assert one is not None and other is not None
    assert len({one.owner, other.owner, ""}) == 3
    assert "sk-one" not in repr(one)


def test_with_keys_the_owner_is_the_key(file: KeyFile) -> None:
    key, secret = file.add("laptop")
    gate = Gate(file)
    assert gate.closed
    assert gate.caller([secret]) == gate.caller(["other", secret]) == Caller(key.id, "laptop")
    for refused in ([], [""], ["sk-one"], [secret[:-1]], [secret + "0"], [key.sha256], [key.id]):
        assert gate.caller(refused) is None


@pytest.mark.parametrize(
    ("auth", "with_key", "closed"),
    [
        ("auto", False, False),
        ("auto", True, True),
        ("required", False, True),
        ("required", True, True),
        ("off", False, False),
        ("off", True, False),
    ],
)
def test_auth_says_whether_a_key_is_needed(
    file: KeyFile, auth: str, with_key: bool, closed: bool
) -> None:
    if with_key:
        file.add("laptop")
    gate = Gate(file, auth)
    assert gate.closed == closed
    assert (gate.caller([]) is None) == closed


def test_required_without_any_file_lets_nobody_in() -> None:
    assert Gate(None, "required").caller(["sk-one"]) is None


def test_switched_off_a_broken_file_is_nobodys_business(file: KeyFile) -> None:
    file.path.parent.mkdir()
    file.path.write_bytes(b"broken")
    assert Gate(file, "off").caller([]) == Caller()


# ---------------------------------------------------------------- changes while it runs


def test_the_first_key_closes_a_gate_that_is_open(file: KeyFile) -> None:
    gate = Gate(file)
    assert gate.caller(["sk-one"])
    _, secret = file.add("laptop")
    assert gate.caller(["sk-one"]) is None
    assert gate.caller([secret])


def test_a_revoked_key_is_refused_at_once_and_another_one_not(file: KeyFile) -> None:
    _, laptop = file.add("laptop")
    _, ci = file.add("ci")
    gate = Gate(file)
    assert gate.caller([laptop])
    file.revoke("laptop")
    assert gate.caller([laptop]) is None
    assert gate.caller([ci])


def test_revoking_the_last_key_opens_no_gate_not_even_after_a_restart(file: KeyFile) -> None:
    _, secret = file.add("laptop")
    gate = Gate(file)
    file.revoke("laptop")
    for one in (gate, Gate(file)):
        assert one.caller([secret]) is None
        assert one.caller([]) is None


def test_an_unchanged_file_is_not_read_again(
    file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret = file.add("laptop")
    gate = Gate(file)
    reads = []
    monkeypatch.setattr(file, "read", lambda: reads.append(1))
    assert gate.caller([secret])
    assert gate.caller([]) is None
    assert reads == []


def unlink(path: Path) -> None:
    path.unlink()


def damage(path: Path) -> None:
    path.write_bytes(b'{"version": 1, "keys": []')


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def remove_folder(path: Path) -> None:
    for each in path.parent.iterdir():
        each.unlink()
    path.parent.rmdir()


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [unlink, damage, make_folder, remove_folder, empty])
def test_a_file_that_breaks_opens_no_gate_and_keeps_what_was_known(
    file: KeyFile, caplog: pytest.LogCaptureFixture, harm: Callable[[Path], None]
) -> None:
    _, secret = file.add("laptop")
    gate = Gate(file)
    harm(file.path)
    for _ in range(3):
        assert gate.caller([secret])
        assert gate.caller(["sk-one"]) is None
        assert gate.caller([]) is None
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert str(file.path) in record.getMessage()
    assert secret[4:] not in caplog.text


def test_a_file_that_was_never_right_lets_nobody_into_a_gate_that_was_open(
    file: KeyFile, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(file)
    assert gate.caller([])
    file.path.parent.mkdir()
    file.path.write_bytes(b"half a fi")
    assert gate.caller([]) is None
    assert gate.closed and gate.complaint and not gate.keys
    file.path.unlink()
    assert gate.caller([]) is None


def test_a_file_that_is_mended_counts_again(
    file: KeyFile, caplog: pytest.LogCaptureFixture
) -> None:
    _, laptop = file.add("laptop")
    gate = Gate(file)
    whole = file.path.read_bytes()
    file.path.write_bytes(b"")
    assert gate.caller([laptop])
    file.path.write_bytes(whole)
    file.revoke("laptop")
    assert gate.caller([laptop]) is None
    assert gate.complaint == ""


def test_a_read_that_failed_for_a_moment_is_tried_again(
    file: KeyFile, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, secret = file.add("laptop")
    gate = Gate(file)
    file.revoke("laptop")

    def busy() -> None:
        raise KeysError("Too many open files.")

    with monkeypatch.context() as patch:
        patch.setattr(file, "read", busy)
        assert gate.caller([secret])
    assert gate.caller([secret]) is None


def test_a_file_that_cannot_be_read_stops_the_start(file: KeyFile) -> None:
    file.path.parent.mkdir()
    file.path.write_bytes(b"")
    for auth in ("auto", "required"):
        with pytest.raises(KeysError, match="not JSON"):
            Gate(file, auth)


@given(st.binary(max_size=200))
def test_no_content_of_the_file_opens_the_gate(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / f"{os.getpid()}.json"
    path.unlink(missing_ok=True)
    gate = Gate(KeyFile(path))
    assert gate.caller([])
    path.write_bytes(data)
    assert gate.caller([]) is None
    assert gate.caller(["sk-one"]) is None
