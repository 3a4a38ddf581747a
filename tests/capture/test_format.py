from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.capture import format as f
from support.captured_turns import EVENTS, captured, records, stream


def lines() -> list[bytes]:
    return [f.encode_record(record) for record in records()]


def test_what_was_written_is_read_again() -> None:
    capture = f.read_capture(lines())
    assert capture.records == records()
    assert capture.problems == []
    assert capture.events == EVENTS
    assert capture.timed_events[1][0] == 2000
    assert (capture.status, capture.usage) == ("completed", (10, 4))
    assert capture.stream.endswith(b"data: [DONE]\n\n")


def test_a_record_is_one_line_whatever_is_in_it() -> None:
    record = f.ProviderBytes(t=[1], text=["a\nb\r\n\u2028\x00"])
    line = f.encode_record(record)
    assert line.count(b"\n") == 1
    assert f.read_capture([line]).blocks == [(1, b"a\nb\r\n\xe2\x80\xa8\x00")]


def test_bytes_that_are_no_text_come_back_as_they_were() -> None:
    record = f.ProviderBytes(t=[7], base64="/wA=")
    assert record.blocks == [(7, b"\xff\x00")]
    with pytest.raises(ValueError):
        assert f.ProviderBytes(t=[7], base64="?").blocks


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param(lambda ls: ls[:-1], "breaks off", id="cut off"),
        pytest.param(lambda ls: [*ls[:-1], ls[-1][:9]], "line 6 cannot be read", id="half a line"),
        pytest.param(lambda ls: [b"\xff{", *ls], "line 1 cannot", id="no JSON"),
        pytest.param(lambda ls: ls[1:], "does not begin as a capture", id="no head"),
        pytest.param(
            lambda ls: [ls[0].replace(b'"version":2', b'"version":9'), *ls[1:]],
            "version 9",
            id="from the future",
        ),
        pytest.param(lambda ls: [*ls, b'{"kind":"music"}'], "'music' are unknown", id="new kind"),
        pytest.param(lambda ls: [*ls, b'{"kind":"end","t":"x"}'], "line 7 cannot", id="wrong type"),
        pytest.param(lambda ls: [b"GIF89a"], "nothing in it", id="something else"),
    ],
)
def test_what_can_be_read_is_given_and_the_rest_is_said(change, problem) -> None:
    capture = f.read_capture(change(lines()))
    assert any(problem in said for said in capture.problems), capture.problems
    if problem != "nothing in it":
        assert capture.events == EVENTS


def test_many_damaged_lines_are_counted() -> None:
    capture = f.read_capture([*lines(), *[b"?"] * 500])
    assert len(capture.problems) < 30
    assert "more lines" in capture.problems[-1]


@given(st.lists(st.binary(max_size=200), max_size=8), st.integers(0, 6))
def test_reading_never_raises(noise: list[bytes], place: int) -> None:
    own = lines()
    capture = f.read_capture([*own[:place], *noise, *own[place:]])
    assert capture.head.version in (0, f.VERSION)
    assert [r for r in capture.records if r in records()] == records()


def test_chunks_are_read_from_streams_and_from_whole_bodies() -> None:
    assert f.chunks_of(stream({"a": 1}, {"b": 2}).encode()) == [{"a": 1}, {"b": 2}]
    assert f.chunks_of(b'{"whole": 1}') == [{"whole": 1}]
    assert f.chunks_of(b"data: [1]\n\ndata: {\n\ndata: x\n\n") == []


def test_a_turn_without_an_end_is_cut() -> None:
    assert f.Capture(records=records()[:-1]).status == "cut"
    assert captured(status="failed").status == "failed"


def passive(wire: str, text: str) -> f.Capture:
    return f.Capture(
        records=[f.Head(passive=True, wire=wire), f.ProviderBytes(t=[1], text=[text]), f.End()]
    )


def test_a_passive_recording_without_events_has_its_document() -> None:
    body = '{"object":"response","id":"r","usage":{"input_tokens":3,"output_tokens":4}}'
    capture = passive("responses", body)
    assert (capture.response["id"], capture.usage) == ("r", (3, 4))
    assert (capture.said, capture.chunks) == ([], [])


def test_a_passive_recording_of_chat_traffic_has_its_chunks() -> None:
    usage = '{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}'
    capture = passive("chat", f"data: {usage}\n\ndata: [DONE]\n\n")
    assert (len(capture.said), capture.usage, capture.response) == (1, (3, 4), {})


def test_a_recording_of_before_has_no_wire() -> None:
    line = b'{"kind":"head","format":"anyturn-capture","version":1}'
    head = f.read_capture([line]).head
    assert (head.passive, head.wire, head.transport) == (False, "", "")


def test_files_of_the_first_version_are_read_as_ever() -> None:
    """Written by the recorder before there were runs."""
    stored = Path(__file__).with_name("version_1.ndjson").read_bytes()
    capture = f.read_capture(stored.splitlines())
    assert capture.head.version == 1
    assert capture.problems == []
    assert capture.status == "completed"
    assert len(f.chunks_of(capture.stream)) == len(f.messages_of(capture.stream)) - 1
    deltas = [event["delta"] for event in capture.events if "output_text.delta" in event["type"]]
    assert "".join(deltas) == 'Grüße ✔ from a tool that "ran".'
    assert [event["sequence_number"] for event in capture.events] == list(range(30))
