from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from anyturn.capture_files import CaptureError, CaptureFolder
from anyturn.inspector import reader, reading
from anyturn.inspector.index import file_of
from anyturn.inspector.reading import Reading, ReadingProcess, ReadingThread
from support.inspectors import LIMIT_S, write_turn


@pytest.fixture
def job(tmp_path: Path) -> reader.Job:
    write_turn(tmp_path, 1)
    (listed,) = CaptureFolder(tmp_path).files()
    return reader.Plain(file_of(listed))


def is_over(pid: int | None) -> bool:
    assert pid is not None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("kind", [ReadingThread, ReadingProcess])
async def test_a_thread_and_a_process_read_the_same(kind: type[Reading], job: reader.Job) -> None:
    own = kind()
    try:
        assert await own.do(job) == reader.do(job)
        with pytest.raises(CaptureError, match="cannot be read"):
            await own.do(reader.Plain(reader.File("none", "none", 0, 0.0)))
        assert await own.do(job) == reader.do(job)
    finally:
        await own.close()


async def test_a_process_serves_many_at_once_and_ends_with_its_owner(job: reader.Job) -> None:
    own = ReadingProcess()
    found = await asyncio.gather(*(own.do(job) for _ in range(5)))
    assert found == [reader.do(job)] * 5
    pid = own.pid
    await own.close()
    assert is_over(pid)
    with pytest.raises(CaptureError, match="was closed"):
        await own.do(job)


async def test_whoever_asked_and_left_leaves_no_half_answer(job: reader.Job) -> None:
    own = ReadingProcess()
    try:
        left = asyncio.ensure_future(own.do(job))
        await asyncio.sleep(0)
        left.cancel()
        assert await own.do(job) == reader.do(job)
    finally:
        await own.close()


@pytest.mark.parametrize(
    "program",
    ["import time; time.sleep(600)", "raise SystemExit", "print('no frame at all')"],
    ids=["hangs", "ends", "talks"],
)
async def test_a_reader_that_fails_is_ended_and_another_one_begins(
    job: reader.Job, program: str
) -> None:
    own = ReadingProcess((sys.executable, "-c", program), job_max_s=1.0)
    with pytest.raises(CaptureError, match="ended in the middle"):
        await own.do(job)
    assert own.pid is None
    own._command = ReadingProcess()._command
    own._job_max_s = LIMIT_S
    try:
        assert await own.do(job) == reader.do(job)
    finally:
        await own.close()


async def test_where_no_process_can_be_started_a_thread_reads(job: reader.Job) -> None:
    own = ReadingProcess(("/nowhere/python",))
    assert await own.do(job) == reader.do(job)
    await own.close()


async def test_a_reader_gets_no_keys_and_imports_nothing_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: reader.Job
) -> None:
    monkeypatch.setenv("CEREBRAS_API_KEY", "planted")
    assert "planted" not in str(reading._environment())
    (tmp_path / "msgspec.py").write_text("raise SystemExit('from the working folder')")
    monkeypatch.chdir(tmp_path)
    own = ReadingProcess()
    try:
        assert await own.do(job) == reader.do(job)
    finally:
        await own.close()


async def test_an_idle_reader_gives_its_memory_back(
    job: reader.Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_IDLE_S", 0.0)
    own = ReadingProcess()
    await own.do(job)
    async with asyncio.timeout(LIMIT_S):
        while own.pid is not None:
            await asyncio.sleep(0)
    await own.close()


async def test_a_reader_ends_when_its_owner_is_gone(job: reader.Job) -> None:
    own = ReadingProcess()
    await own.do(job)
    assert own._process is not None and own._process.stdin is not None
    own._process.stdin.close()
    async with asyncio.timeout(LIMIT_S):
        assert await own._process.wait() == 0
    await own.close()


async def test_a_reader_that_is_ended_in_the_middle_of_much_is_not_waited_for(
    job: reader.Job,
) -> None:
    """asyncio's own loop waits for the end of a pipe that nobody empties."""
    flood = "import sys\nwhile True: sys.stdout.buffer.write(b'\\xff' * 8192)"
    own = ReadingProcess((sys.executable, "-c", flood), job_max_s=0.2)
    async with asyncio.timeout(LIMIT_S):
        with pytest.raises(CaptureError, match="ended in the middle"):
            await own.do(job)
        await own.close()
