"""The inspector's routes, asked over HTTP."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anyturn.capture.export import FORMS
from anyturn.capture_files import CaptureFolder, read_file, unpack_file
from anyturn.inspector.reading import ReadingProcess
from support.captured_turns import REQUEST
from support.inspectors import LIMIT_S, inspected, write_turn, write_turns

OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "It ran."}
PACKAGE_FILES = ["app.py", "../app.py", "..%2fapp.py", "%2e%2e/access.py", "", ".", "index.html/"]


# ---------------------------------------------------------------- the page


async def test_the_page_and_its_files_are_there(tmp_path: Path) -> None:
    async with inspected(tmp_path) as (_, visitor):
        page = await visitor.get("")
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "<!doctype html>" in page.text
        script = await visitor.get("/static/main.js")
        assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize("name", PACKAGE_FILES)
async def test_only_the_page_s_own_files_are_served(tmp_path: Path, name: str) -> None:
    async with inspected(tmp_path) as (_, visitor):
        assert (await visitor.get(f"/static/{name}")).status == 404


async def test_alone_it_leads_to_the_page(tmp_path: Path) -> None:
    async with inspected(tmp_path) as (_, visitor):
        root = visitor.address.removesuffix("/inspector")
        led = await visitor.get(f"{root}/")
        assert (led.status, led.headers["Location"]) == (303, "/inspector")
        assert (await visitor.get(f"{root}/elsewhere")).status == 404


# ---------------------------------------------------------------- the list


async def test_the_newest_turn_comes_first(tmp_path: Path) -> None:
    names = [write_turn(tmp_path, number) for number in range(3)]
    async with inspected(tmp_path) as (_, visitor):
        known = (await visitor.get("/api/turns")).json
        assert known["folder"] == str(tmp_path)
        assert known["problem"] == ""
        assert [row["name"] for row in await visitor.rows()] == names[::-1]


async def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    async with inspected(tmp_path / "none") as (_, visitor):
        assert await visitor.rows() == []
        name = write_turn(tmp_path / "none", 1)
        assert [row["name"] for row in await visitor.rows(1)] == [name]


async def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    async with inspected(tmp_path / "file") as (_, visitor):
        assert "cannot be read" in (await visitor.get("/api/turns")).json["problem"]


async def test_ten_thousand_turns_are_there_at_once_and_whole_soon(tmp_path: Path) -> None:
    write_turns(tmp_path, 10_000)
    async with inspected(tmp_path, reading=ReadingProcess()) as (_, visitor):
        began = time.monotonic()
        first = (await visitor.get("/api/turns")).json
        # A second where nothing else runs.
        assert time.monotonic() - began < LIMIT_S / 2
        assert first["total"] == 10_000
        assert first["turns"][0]["name"].endswith("turn09999")
        (await visitor.turn(first["turns"][-1]["name"]))
        async with visitor.changes() as changes:
            rows = {row["name"] for row in (await visitor.get("/api/turns")).json["turns"]}
            async for change in changes:
                rows |= {row["name"] for row in change["rows"]}
                if change["indexed"] == change["total"]:
                    break
        assert len({row["name"] for row in await visitor.rows()}) == 10_000


# ---------------------------------------------------------------- one turn


async def test_a_turn_has_the_outputs_that_came_later(tmp_path: Path) -> None:
    first = write_turn(tmp_path, 1)
    write_turn(tmp_path, 2, request={**REQUEST, "input": "Something else."})
    write_turn(tmp_path, 3, request={**REQUEST, "input": [OUTPUT]})
    async with inspected(tmp_path) as (_, visitor):
        await visitor.rows()
        shown = await visitor.turn(first)
    (call,) = [one for one in shown["timeline"]["entries"] if "call_id" in one]
    assert call["output"] == "It ran."
    assert "It ran." not in str(shown["row"])


async def test_what_did_not_change_is_not_sent_again(tmp_path: Path) -> None:
    name = write_turn(tmp_path, 1)
    async with inspected(tmp_path) as (_, visitor):
        await visitor.rows()
        version = (await visitor.turn(name))["version"]
        assert version < 2**53
        again = await visitor.get(f"/api/turns/{name}?since={version}")
        assert again.json == {"version": version}
        write_turn(tmp_path, 3, request={**REQUEST, "input": [OUTPUT]})
        await visitor.rows()
        changed = (await visitor.get(f"/api/turns/{name}?since={version}")).json
        assert changed["version"] != version and changed["events"]


@pytest.mark.parametrize("since", ["", "x", "-1", "9" * 4000, "%00"])
async def test_an_odd_version_is_an_old_one(tmp_path: Path, since: str) -> None:
    name = write_turn(tmp_path, 1)
    async with inspected(tmp_path) as (_, visitor):
        assert (await visitor.get(f"/api/turns/{name}?since={since}")).json["events"]


async def test_the_raw_lines_can_be_saved(recorded_folder: Path) -> None:
    (listed, *_) = CaptureFolder(recorded_folder).files()
    async with inspected(recorded_folder) as (_, visitor):
        raw = await visitor.get(f"/api/turns/{listed.name}/raw")
    assert raw.body == unpack_file(listed.path)
    assert raw.headers["Content-Type"] == "application/x-ndjson"
    saved = f'attachment; filename="{listed.name}.ndjson"'
    assert raw.headers["Content-Disposition"] == saved


@pytest.mark.parametrize("form", FORMS)
async def test_a_turn_goes_elsewhere_in_every_form(recorded_folder: Path, form: str) -> None:
    (listed, *_) = CaptureFolder(recorded_folder).files()
    async with inspected(recorded_folder) as (_, visitor):
        exported = await visitor.get(f"/api/turns/{listed.name}/export?as={form}")
    assert exported.body == FORMS[form](read_file(listed.path))
    assert exported.headers["Content-Type"] == "text/plain; charset=utf-8"


async def test_an_unknown_form_is_told_with_the_known_ones(tmp_path: Path) -> None:
    name = write_turn(tmp_path, 1)
    async with inspected(tmp_path) as (_, visitor):
        refused = await visitor.get(f"/api/turns/{name}/export?as=exe")
        assert (refused.status, "curl" in refused.json["error"]) == (400, True)


# ---------------------------------------------------------------- nothing but the folder


NASTY = [
    *("..", ".", "...", "%2e%2e", "%2e%2e%2f", "..%2f..%2fsecret", "%2fetc%2fpasswd", "%00"),
    *("secret", "secret.ndjson", "..%5csecret", "a%2fb", "x" * 4000, "%c3%28", "secret%00", "~"),
    *("linked", "pipe", "folder", "%E2%80%AE", "con", "file:%2f%2f%2fetc", "-", "_"),
]


@pytest.mark.parametrize("way", ["", "/raw", "/export?as=jsonl"])
async def test_no_name_leads_out_of_the_folder(tmp_path: Path, way: str) -> None:
    folder = tmp_path / "captures"
    write_turn(folder, 1)
    (tmp_path / "secret.ndjson").write_text('{"kind":"head"}\nplanted')
    (folder / "linked.ndjson").symlink_to(tmp_path / "secret.ndjson")
    (folder / "folder.ndjson").mkdir()
    os.mkfifo(folder / "pipe.ndjson")
    async with inspected(folder) as (_, visitor):
        for name in NASTY:
            answer = await visitor.get(f"/api/turns/{name}{way}")
            assert answer.status == 404, name
            assert answer.json["error"] and "planted" not in answer.text
        assert len(await visitor.rows()) == 1


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(min_size=1, max_size=60).filter(lambda name: "/" not in name))
def test_any_name_is_a_capture_of_the_folder_or_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "known.ndjson").write_text("{}")
    found = CaptureFolder(tmp_path).find(name)
    assert (found is not None) == (name == "known")


async def test_names_that_a_url_writes_in_another_way_are_the_same(tmp_path: Path) -> None:
    name = write_turn(tmp_path, 1)
    async with inspected(tmp_path) as (_, visitor):
        odd = "".join(f"%{ord(letter):02x}" for letter in name)
        assert (await visitor.get(f"/api/turns/{odd}")).json["row"]["name"] == name
        assert (await visitor.get(f"/api/turns/{quote(name)}/")).status == 404


# ---------------------------------------------------------------- what changes


async def test_new_changed_and_deleted_turns_are_told(tmp_path: Path) -> None:
    old = write_turn(tmp_path, 1)
    async with inspected(tmp_path) as (_, visitor):
        await visitor.rows()
        async with visitor.changes() as changes:
            new = write_turn(tmp_path, 2)
            told = await anext(changes)
            assert [row["name"] for row in told["rows"]] == [new]
            assert (told["total"], told["indexed"], told["gone"]) == (2, 2, [])
            write_turn(tmp_path, 2, status="failed", error={"message": "No."})
            told = await anext(changes)
            assert [(row["status"], row["error"]) for row in told["rows"]] == [("failed", "No.")]
            (tmp_path / f"{old}.ndjson").unlink()
            told = await anext(changes)
            assert (told["gone"], told["rows"], told["total"]) == ([old], [], 1)


async def test_a_turn_is_told_again_when_the_output_of_its_call_came(tmp_path: Path) -> None:
    first = write_turn(tmp_path, 1)
    async with inspected(tmp_path) as (_, visitor):
        await visitor.rows()
        async with visitor.changes() as changes:
            second = write_turn(tmp_path, 2, request={**REQUEST, "input": [OUTPUT]})
            told = await anext(changes)
            assert {row["name"] for row in told["rows"]} == {first, second}


async def test_whoever_listens_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with inspected(tmp_path) as (inspector, visitor), visitor.changes() as changes:
        heard = asyncio.ensure_future(anext(changes, None))
        await inspector.close()
        async with asyncio.timeout(LIMIT_S / 4):
            assert await heard is None


async def test_a_fault_of_the_inspector_is_told_without_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with inspected(tmp_path) as (inspector, visitor):

        def fail() -> None:
            raise RuntimeError("planted")

        monkeypatch.setattr(inspector.index, "rows", fail)
        broken = await visitor.get("/api/turns")
        assert (broken.status, "planted" in broken.text) == (500, False)
        assert "planted" in caplog.text


async def test_whoever_leaves_in_the_middle_is_no_fault(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_turn(tmp_path, 1)
    async with inspected(tmp_path) as (inspector, visitor):
        await visitor.rows()
        async with visitor.changes():
            pass
        write_turn(tmp_path, 2)
        assert len(await visitor.rows(2)) == 2
        async with asyncio.timeout(LIMIT_S):
            while inspector.index._listeners:
                await visitor.get("/api/turns")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
