from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from anyturn.capture import format as f
from anyturn.capture_files import CaptureError, CaptureFolder, write_plain
from anyturn.inspector import reader
from anyturn.inspector.index import FolderIndex
from anyturn.inspector.reading import ReadingThread
from support.captured_turns import EVENTS, REQUEST, records
from support.inspectors import LIMIT_S, write_turn


class Noted(ReadingThread):
    """Reads, and remembers which files were wanted; some of them may be too much for it."""

    def __init__(self, *, too_much: str = "") -> None:
        super().__init__()
        self.read: list[str] = []
        self._too_much = too_much

    async def do(self, job: reader.Job) -> bytes:
        assert isinstance(job, reader.Rows)
        if self._too_much in [one.name for one in job.files]:
            raise CaptureError("Too much.")
        result = await super().do(job)
        self.read += [one.name for one in job.files[: len(reader.decode_rows(result))]]
        return result


MakeIndex = Callable[..., FolderIndex]


@pytest.fixture
async def index_of(tmp_path: Path) -> AsyncIterator[MakeIndex]:
    made: list[tuple[FolderIndex, Noted]] = []

    def make(**options: Any) -> FolderIndex:
        reading = options.pop("reading", None) or Noted()
        index = FolderIndex(CaptureFolder(tmp_path), reading, **options)
        made.append((index, reading))
        return index

    yield make
    for index, reading in made:
        await index.close()
        await reading.close()


async def until(index: FolderIndex, reached: Callable[[], bool]) -> None:
    """Look again and again, for as long as it needs."""
    async with asyncio.timeout(LIMIT_S):
        while not reached():
            await index.refresh()


def begun(folder: Path, number: int, **options: Any) -> str:
    """A turn without an end."""
    name = write_turn(folder, number)
    write_plain(folder / f"{name}.ndjson", records(**options)[:-1])
    return name


async def test_what_did_not_change_is_read_once(tmp_path: Path, index_of: MakeIndex) -> None:
    names = [write_turn(tmp_path, number) for number in range(3)]
    reading = Noted()
    index = index_of(reading=reading)
    for _ in range(3):
        await index.refresh()
    assert reading.read == names[::-1]
    new = write_turn(tmp_path, 9)
    await until(index, lambda: index.total == index.indexed == 4)
    assert reading.read == [*names[::-1], new]


async def test_a_file_that_is_written_anew_in_place_is_found(
    tmp_path: Path, index_of: MakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder's own time says nothing of that."""
    monkeypatch.setattr("anyturn.inspector.index._LIST_S", 0.0)
    write_turn(tmp_path, 1)
    index = index_of()
    await index.refresh()
    write_turn(tmp_path, 1, status="failed", error={"message": "No."})
    await until(index, lambda: index.rows()[0].error == "No.")


async def test_a_file_that_is_gone_leaves_the_list(tmp_path: Path, index_of: MakeIndex) -> None:
    gone, stays = write_turn(tmp_path, 1), write_turn(tmp_path, 2)
    index = index_of()
    await index.refresh()
    (tmp_path / f"{gone}.ndjson").unlink()
    await until(index, lambda: index.total == 1)
    assert [row.name for row in index.rows()] == [stays]
    assert index.later(gone, ["call_1"]) == []


async def test_a_growing_turn_is_followed_to_its_end(tmp_path: Path, index_of: MakeIndex) -> None:
    name = begun(tmp_path, 1, events=EVENTS[:2])
    index = index_of()
    await index.refresh()
    assert [row.status for row in index.rows()] == ["live"]
    begun(tmp_path, 1, events=EVENTS[:7])
    await until(index, lambda: index.rows()[0].tools == ["run"])
    assert index.rows()[0].status == "live"
    write_turn(tmp_path, 1)
    await until(index, lambda: index.rows()[0].status == "completed")
    assert index.rows()[0].name == name


@pytest.mark.parametrize(
    ("underway", "status"), [((), "cut"), (("resp_1",), "live")], ids=["nobody knows it", "runs"]
)
async def test_a_silent_turn_was_cut_unless_it_is_known_to_run(
    tmp_path: Path, index_of: MakeIndex, underway: tuple[str, ...], status: str
) -> None:
    begun(tmp_path, 1)
    later = time.time() + 60
    index = index_of(underway=lambda: underway, now=lambda: later)
    await index.refresh()
    assert [row.status for row in index.rows()] == [status]


async def test_a_turn_that_is_over_without_an_end_becomes_cut(
    tmp_path: Path, index_of: MakeIndex
) -> None:
    name = begun(tmp_path, 1)
    running = {"resp_1"}
    index = index_of(underway=lambda: running)
    os.utime(tmp_path / f"{name}.ndjson", (1, 1))
    await index.refresh()
    assert index.rows()[0].status == "live"
    running.clear()
    await until(index, lambda: index.rows()[0].status == "cut")


async def test_one_file_that_is_too_much_does_not_take_the_others_away(
    tmp_path: Path, index_of: MakeIndex
) -> None:
    names = [write_turn(tmp_path, number) for number in range(4)]
    index = index_of(reading=Noted(too_much=names[2]))
    await until(index, lambda: index.total == index.indexed == 4)
    told = {row.name: row.error for row in index.rows()}
    assert told == {**dict.fromkeys(names, ""), names[2]: "Too much."}


async def test_outputs_are_looked_for_in_the_turns_after(
    tmp_path: Path, index_of: MakeIndex
) -> None:
    def brings(number: int, *calls: str) -> str:
        items = [{"type": "function_call_output", "call_id": call, "output": ""} for call in calls]
        return write_turn(tmp_path, number, request={**REQUEST, "input": items})

    before, own = brings(1, "call_1"), write_turn(tmp_path, 2)
    first, more, again = brings(3, "call_1"), brings(4, "call_2", "x"), brings(5, "call_1")
    index = index_of()
    await until(index, lambda: index.indexed == 5)
    assert [one.name for one in index.later(own, ["call_1", "call_2", "none"])] == [first, more]
    assert [one.name for one in index.later(before, [])] == []
    assert again not in [one.name for one in index.later(own, ["call_1"])]


async def test_listeners_get_the_last_of_several_states(
    tmp_path: Path, index_of: MakeIndex
) -> None:
    index = index_of()
    with index.listening() as listener:
        write_turn(tmp_path, 1)
        await until(index, lambda: index.indexed == 1)
        (listed,) = CaptureFolder(tmp_path).files()
        (tmp_path / f"{listed.name}.ndjson").unlink()
        await until(index, lambda: index.total == 0)
        assert listener.fetch() == ([], [listed.name])
        assert listener.fetch() == ([], [])


async def test_nobody_listens_and_nothing_is_looked_at(tmp_path: Path, index_of: MakeIndex) -> None:
    index = index_of()
    await index.refresh()
    looks = index._looks
    task = index._task
    assert task is not None
    done, _ = await asyncio.wait([task], timeout=0.6)
    assert (done, index._looks) == (set(), looks)


async def test_rows_stay_small(tmp_path: Path, index_of: MakeIndex) -> None:
    long = "x" * 1_000_000
    head = msgspec.structs.replace(records()[0], client=long, model=long, provider=long)
    error = {"message": long}
    rest = records(request={"input": long}, status="failed", error=error)[1:]
    folder_name = write_turn(tmp_path, 1)
    write_plain(tmp_path / f"{folder_name}.ndjson", [head, *rest])
    index = index_of()
    await until(index, lambda: index.indexed == 1)
    assert len(f.encode_json(index.rows()[0])) < 2000


async def test_after_its_end_nobody_waits_and_nothing_is_read(
    tmp_path: Path, index_of: MakeIndex
) -> None:
    index = index_of()
    await index.close()
    write_turn(tmp_path, 1)
    async with asyncio.timeout(LIMIT_S):
        await index.refresh()
    with index.listening() as listener:
        assert listener.over
    assert (index.rows(), index._task) == ([], None)


async def test_whoever_asks_has_what_is_new_however_long_a_listing_takes(
    tmp_path: Path, index_of: MakeIndex
) -> None:
    write_turn(tmp_path, 1)
    index = index_of()
    await index.refresh()
    index._took = 1e6
    write_turn(tmp_path, 2)
    await index.refresh()
    assert index.total == 2


async def test_a_look_that_had_begun_is_no_answer(tmp_path: Path, index_of: MakeIndex) -> None:
    write_turn(tmp_path, 1)
    index = index_of()
    looking, written, see = threading.Event(), threading.Event(), index._see

    def slowly(watched: list[str], awaited: bool) -> Any:
        seen = see(watched, awaited)
        looking.set()
        assert written.wait(LIMIT_S)
        return seen

    index._see = slowly  # type: ignore[method-assign]
    with index.listening():
        assert await asyncio.to_thread(looking.wait, LIMIT_S)
        write_turn(tmp_path, 2)
        asked = asyncio.ensure_future(index.refresh())
        await asyncio.sleep(0)
        written.set()
        await asked
    assert index.total == 2
