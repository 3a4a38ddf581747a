from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from anyturn.daemon.log_file import LogMark, last_lines

# A process that logs, prints past its log, and ends with a traceback.
PROGRAM = """
import logging, os, sys
from pathlib import Path
from anyturn.daemon.log_file import BackgroundLog
handler = BackgroundLog(Path(sys.argv[1]), max_bytes=400, older_files=2)
logging.basicConfig(handlers=[handler], format="%(message)s", level="INFO")
for number in range(100):
    logging.info("line %d", number)
    os.write(1, b"printed\\n")
sys.stderr.write("the last words\\n")
raise RuntimeError("the end")
"""


def test_the_log_is_bounded_and_what_is_printed_lands_in_it(tmp_path: Path) -> None:
    path = tmp_path / "gateway.log"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["gateway.log", "gateway.log.1", "gateway.log.2"]
    assert all(file.stat().st_size < 700 for file in files)
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    newest = path.read_text(encoding="utf-8")
    assert "line 99\nprinted\nthe last words\nTraceback" in newest
    assert newest.endswith("RuntimeError: the end\n")


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, b""),
        (1, b"6\n"),
        (3, b"4\n5\n6\n"),
        (5, b"2\n3\n4\n5\n6\n"),
        (99, b"1\n2\n3\n4\n5\n6\n"),
    ],
)
def test_the_last_lines_go_back_into_older_files(
    tmp_path: Path, count: int, expected: bytes
) -> None:
    path = tmp_path / "log"
    for name, content in (("log.2", "1\n2\n"), ("log.1", "3\n"), ("log", "4\n5\n6\n")):
        (tmp_path / name).write_text(content, encoding="utf-8")
    assert b"".join(last_lines(path, count)) == expected


def test_following_goes_on_when_the_log_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("1\n2\n", encoding="utf-8")
    blocks = last_lines(path, 1, follow=True)
    assert next(blocks) == b"2\n"
    with path.open("ab") as log:
        log.write(b"3\n")
    assert next(blocks) == b"3\n"
    with path.open("ab") as log:
        log.write(b"4\n")
    path.rename(tmp_path / "log.1")
    path.write_text("5\n", encoding="utf-8")
    later = b""
    while later != b"4\n5\n":
        later += next(blocks)
        assert b"4\n5\n".startswith(later)
    blocks.close()


def test_a_log_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        next(last_lines(tmp_path / "log", 1))


def test_a_mark_shows_what_came_after_it_also_in_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert LogMark(path).since() == ""
    path.write_text("before\n", encoding="utf-8")
    mark = LogMark(path)
    assert mark.since() == ""
    with path.open("a", encoding="utf-8") as log:
        log.write("after\n")
    assert mark.since() == "after\n"
    path.rename(tmp_path / "log.1")
    path.write_text("new\n", encoding="utf-8")
    assert mark.since() == "new\n"
