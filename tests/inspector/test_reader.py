"""What the reader makes of files, damaged and hostile ones among them."""

from __future__ import annotations

import io
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anyturn.capture import format as f
from anyturn.capture_files import CaptureError
from anyturn.inspector import reader
from support.captured_turns import records

LINES = [f.encode_record(one) for one in records()]
HEAD = LINES[0]
NOW = 2e9
# More than one step of the decompressor, whatever it does.
NOISE = f.encode_record(f.Lost(why="".join(sha256(bytes([n])).hexdigest() for n in range(99))))
DAMAGED = (
    b"".join(map(zstandard.compress, (b"".join(LINES[:5]), NOISE))) + b"\x28\xb5\x2f\xfdodd" * 9
)


def file(path: Path, *, changed: float = 0.0) -> reader.File:
    name = path.name.removesuffix(".zst").removesuffix(".ndjson")
    return reader.File(str(path), name, path.stat().st_size if path.exists() else 0, changed)


def row_and_document(path: Path) -> tuple[reader.Row, Any]:
    """What the list and the page show of a file."""
    (read,) = reader.decode_rows(reader.do(reader.Rows([file(path)], NOW)))
    row = read.entry.row
    return row, msgspec.json.decode(reader.do(reader.Document(file(path), row, 1, [])))


def written(folder: Path, data: bytes) -> Path:
    path = folder / "a.ndjson"
    path.write_bytes(data)
    return path


# ---------------------------------------------------------------- damaged and hostile files


@pytest.mark.parametrize(
    ("data", "words", "events"),
    [
        (b"", "nothing in it", 0),
        (b"\x00\xff" * 50, "nothing in it", 0),
        (b"".join(LINES[1:]), "does not begin", 9),
        (b"".join(LINES[:-1]), "breaks off", 9),
        (b"".join(LINES)[:-200], "cannot be read", 0),
        (HEAD + b'{"kind":"new","x":1}\n' + b"".join(LINES[1:]), "unknown", 9),
        (
            HEAD.replace(b'"version":%d' % f.VERSION, b'"version":99') + b"".join(LINES[1:]),
            "version 99",
            9,
        ),
        (HEAD + b"[" * 100_000 + b"\n" + b"".join(LINES[1:]), "cannot be read", 9),
        (DAMAGED, "damaged", 9),
    ],
    ids=["empty", "bytes", "no head", "cut", "torn", "new kind", "new version", "deep", "zstd"],
)
def test_what_can_be_read_is_shown_and_the_rest_is_said(
    tmp_path: Path, data: bytes, words: str, events: int
) -> None:
    row, shown = row_and_document(written(tmp_path, data))
    assert any(words in problem for problem in shown["problems"])
    assert row.problems == len(shown["problems"])
    assert len(shown["events"]) == events


def test_a_file_that_unfolds_to_gigabytes_is_read_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "MAX_BYTES", 1_000_000)
    path = tmp_path / "a.ndjson.zst"
    path.write_bytes(zstandard.compress(HEAD + b"\n" * 300_000_000))
    row, shown = row_and_document(path)
    assert row.client == "codex"
    assert "only its first 1,000,000 bytes were read" in shown["problems"]
    assert len(reader.do(reader.Plain(file(path)))) <= 1_100_000


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "item", "id", "delta", "item_id", "response", "usage", "role"])
            | st.sampled_from(["content", "text", "input", "tools", "name", "output", "call_id"])
            | st.text(max_size=3),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)
EVENT_TYPES = ["response.completed", "response.output_item.added", "response.output_item.done"]
EVENT = st.fixed_dictionaries(
    {"type": st.sampled_from([*EVENT_TYPES, "response.output_text.delta", "error"]) | ODD},
    optional={
        **dict.fromkeys(("item", "response", "item_id", "delta", "output_index", "part"), ODD),
        "sequence_number": ODD,
    },
)
BIG = st.integers(-(10**30), 10**30)
RECORD = st.one_of(
    st.fixed_dictionaries(
        {"kind": st.sampled_from(sorted(f._KINDS)) | st.text(max_size=5)},
        optional={
            **dict.fromkeys(("t", "events", "text", "error", "status", "findings", "body"), ODD),
            "base64": st.text(max_size=8),
        },
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("events"),
            "t": st.lists(BIG, max_size=3),
            "events": st.lists(st.lists(EVENT, max_size=3), max_size=3),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("provider"),
            "t": st.lists(BIG, max_size=3),
            "text": st.lists(
                ODD.map(lambda v: f"data: {v}\n\n") | st.text(max_size=20), max_size=3
            ),
        }
    ),
    st.fixed_dictionaries(
        {"kind": st.just("request"), "body": st.dictionaries(st.text(max_size=5), ODD)}
    ),
    st.fixed_dictionaries(
        {"kind": st.just("end"), "t": BIG, "status": st.text(max_size=9), "error": ODD}
    ),
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(RECORD, max_size=6), st.booleans())
def test_no_record_breaks_the_list_or_the_page(
    tmp_path: Path, lines: list[Any], has_head: bool
) -> None:
    data = HEAD * has_head + b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    row, shown = row_and_document(written(tmp_path, data))
    assert not row.error.startswith("it cannot be shown")
    assert len(shown["links"]) == len(shown["events"])
    assert all(0 <= begin <= end <= len(shown["chunks"]) for begin, end in shown["links"])


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_wrong_byte_costs_one_line_at_most(tmp_path: Path, place: int, byte: int) -> None:
    data = bytearray(b"".join(LINES))
    data[place % len(data)] = byte
    row, shown = row_and_document(written(tmp_path, bytes(data)))
    assert not row.error.startswith("it cannot be shown")
    # A line end in the middle makes two of one.
    assert len(shown["problems"]) <= 4


def test_a_fault_of_ours_in_one_file_leaves_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(reader, "entry_of", fail)
    path = written(tmp_path, b"".join(LINES))
    (read,) = reader.decode_rows(reader.do(reader.Rows([file(path)], NOW)))
    assert "planted" in read.entry.row.error


def test_a_file_that_is_gone_has_a_row_that_says_so(tmp_path: Path) -> None:
    (read,) = reader.decode_rows(reader.do(reader.Rows([file(tmp_path / "none.ndjson")], NOW)))
    assert "cannot be read" in read.entry.row.error
    with pytest.raises(CaptureError, match="cannot be read"):
        reader.do(reader.Plain(file(tmp_path / "none.ndjson")))


def test_links_are_not_followed(tmp_path: Path) -> None:
    target = written(tmp_path, b"".join(LINES))
    link = tmp_path / "link.ndjson"
    link.symlink_to(target)
    for job in (reader.Plain(file(link)), reader.Export(file(link), "sse")):
        with pytest.raises(CaptureError):
            reader.do(job)


# ---------------------------------------------------------------- live or cut


@pytest.mark.parametrize(
    ("changed", "underway", "status"),
    [(0.0, [], "cut"), (0.0, ["resp_1"], "live"), (NOW - 5, [], "live"), (0.0, ["other"], "cut")],
    ids=["old", "known to run", "changed just now", "another runs"],
)
def test_a_turn_without_an_end_lives_while_it_is_known_to(
    tmp_path: Path, changed: float, underway: list[str], status: str
) -> None:
    path = written(tmp_path, b"".join(LINES[:-1]))
    (read,) = reader.decode_rows(
        reader.do(reader.Rows([file(path, changed=changed)], NOW, underway))
    )
    assert read.entry.row.status == status


# ---------------------------------------------------------------- as a process


def test_jobs_are_done_one_after_the_other_until_there_are_none(tmp_path: Path) -> None:
    good, bad = file(written(tmp_path, b"".join(LINES))), file(tmp_path / "none.ndjson")
    jobs = [reader.Plain(good), reader.Plain(bad), reader.Export(good, "no form")]
    results = io.BytesIO()
    reader.serve(io.BytesIO(b"".join(map(reader.framed, jobs))), results)
    results.seek(0)
    marks = []
    while head := results.read(reader.HEAD_BYTES):
        mark, length = reader.head_of(head)
        assert len(results.read(length)) == length
        marks.append(mark)
    assert marks == [reader.OK, reader.REFUSED, reader.BROKEN]


def test_a_fault_of_ours_is_told_without_its_words() -> None:
    """They may quote what a model was shown, and go to the gateway's log."""

    def fail(job: reader.Job) -> bytes:
        raise LookupError("-".join(("planted", "words")))

    results = io.BytesIO()
    job = reader.Plain(reader.File("/nowhere", "a", 0, 0.0))
    reader.serve(io.BytesIO(reader.framed(job)), results, fail)
    told = results.getvalue()[reader.HEAD_BYTES :].decode()
    assert "LookupError" in told and "in fail" in told
    assert "planted-words" not in told


def test_a_turn_that_has_no_such_form_says_so(tmp_path: Path) -> None:
    head = msgspec.structs.replace(msgspec.json.decode(HEAD, type=f.Head), passive=True)
    path = written(tmp_path, f.encode_record(head) + b"".join(LINES[1:]))
    with pytest.raises(CaptureError, match="No gateway took part"):
        reader.do(reader.Export(file(path), "pytest"))
