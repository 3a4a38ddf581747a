from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import anyturn.capture_files as files
from anyturn.capture.format import encode_record
from anyturn.capture_files import CaptureError, CaptureFolder, capture_paths, read_file, write_plain
from support.captured_turns import EVENTS, records

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)


def written(folder: CaptureFolder, turn: str = "resp_0123456789abcdef") -> Path:
    folder.make()
    file = folder.create(NOW, turn)
    for record in records():
        file.write(encode_record(record))
        file.flush()
    file.close()
    return file.path


@pytest.fixture
def folder(tmp_path: Path) -> CaptureFolder:
    return CaptureFolder(tmp_path / "a" / "captures")


def test_a_capture_is_for_nobody_but_its_owner(folder: CaptureFolder) -> None:
    path = written(folder)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert path.name == "20260102-030405-678-456789abcdef.ndjson.zst"
    assert read_file(path).records == records()
    assert read_file(path).problems == []


def test_a_folder_that_was_open_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    CaptureFolder(tmp_path).make()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CaptureError, match="cannot be written to"):
        CaptureFolder(tmp_path / "file" / "captures").make()


def test_a_turn_id_from_elsewhere_stays_in_the_folder(folder: CaptureFolder) -> None:
    assert written(folder, "../../../etc/passwd").parent == folder.path
    assert written(folder, "/").name.endswith("-turn.ndjson.zst")


def test_an_existing_file_is_never_written_over(folder: CaptureFolder) -> None:
    written(folder)
    with pytest.raises(FileExistsError):
        written(folder)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9, 0.99])
def test_a_file_that_was_cut_off_is_read_up_to_there(folder: CaptureFolder, kept: float) -> None:
    path = written(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    capture = read_file(path)
    assert capture.records == records()[: len(capture.records)]
    assert capture.records
    assert any("breaks off" in problem for problem in capture.problems)


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_file_with_a_wrong_byte_never_breaks_the_reader(place: int, byte: int) -> None:
    data = b"".join(zstandard.compress(encode_record(one)) for one in records())
    place %= len(data)
    damaged = data[:place] + bytes([byte]) + data[place + 1 :]
    lines = files._Lines()
    assert list(lines.of(iter([damaged]))) is not None


@pytest.mark.parametrize(
    "data", [b"", b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfdxxxxxxxxxx", b"\0" * 99]
)
def test_what_is_no_capture_is_said(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.ndjson.zst"
    path.write_bytes(data)
    assert read_file(path).problems


def test_a_bomb_is_read_no_further_than_allowed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 1_000_000)
    path = tmp_path / "x.ndjson.zst"
    path.write_bytes(zstandard.compress(b"\n" * 50_000_000))
    assert any("only its first 1,000,000" in problem for problem in read_file(path).problems)


def test_plain_files_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    write_plain(path, records())
    assert read_file(path).events == EVENTS


def test_links_and_strange_names_are_no_captures(folder: CaptureFolder, tmp_path: Path) -> None:
    path = written(folder)
    outside = tmp_path / "outside.ndjson"
    write_plain(outside, records())
    (folder.path / "link.ndjson").symlink_to(outside)
    (folder.path / "..hidden.ndjson").write_text("")
    (folder.path / "notes.txt").write_text("")
    (folder.path / "folder.ndjson").mkdir()
    assert [one.path for one in folder.files()] == [path]
    assert folder.prune(turns=0, bytes=0, before=0) == 1
    assert outside.exists()
    assert {one.name for one in folder.path.iterdir()} == {
        "link.ndjson", "..hidden.ndjson", "notes.txt", "folder.ndjson"
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["pipe", "folder", "absent"])
def test_what_is_no_file_is_not_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.ndjson"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(CaptureError):
        read_file(path)


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        pytest.param({"turns": 2}, ["3", "4"], id="turns"),
        pytest.param({"bytes": 250}, ["3", "4"], id="bytes"),
        pytest.param({"before": 25.0}, ["3", "4"], id="age"),
        pytest.param({}, ["1", "2", "3", "4"], id="within all limits"),
    ],
)
def test_the_oldest_go_first(tmp_path: Path, limits, left) -> None:
    for number in (1, 2, 3, 4):
        path = tmp_path / f"{number}.ndjson"
        path.write_bytes(b"x" * 100)
        os.utime(path, (number * 10, number * 10))
    folder = CaptureFolder(tmp_path)
    gone = folder.prune(**{"turns": 9, "bytes": 9999, "before": 0.0, **limits})
    assert [one.name for one in folder.files()] == left
    assert gone == 4 - len(left)


def test_a_path_is_a_file_or_a_folder_of_them(folder: CaptureFolder, tmp_path: Path) -> None:
    path = written(folder)
    assert capture_paths(path) == capture_paths(folder.path) == [path]
    for absent in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(CaptureError, match="no capture"):
            capture_paths(absent)
    assert CaptureFolder(tmp_path / "nothing").files() == []
