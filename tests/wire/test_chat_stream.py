from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.wire import chat_stream
from anyturn.wire.chat_stream import ChunkReader, Frame, Read, Unreadable
from anyturn.wire.sse import Decoder


def read(*blocks: bytes) -> list[Read]:
    reader = ChunkReader()
    frames = [frame for block in blocks for frame in reader.feed(block)]
    return frames + reader.close()


def ids(frames: list[Read]) -> list[object]:
    return [frame.chunk.id if isinstance(frame, Frame) else frame.data for frame in frames]


def bytewise(stream: bytes) -> list[Read]:
    return read(*(stream[i : i + 1] for i in range(len(stream))))


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        pytest.param(b'data: {"id":1}\n\ndata: [DONE]\n\n', [1], id="a stream"),
        pytest.param(b'data: {"id":1}\n\n', [1], id="Q8 no [DONE]"),
        pytest.param(b'data: {"id":1}\n\ndata:[DONE]', [1], id="Q2 [DONE] without space or end"),
        pytest.param(b'data: [DONE]\n\ndata: {"id":1}\n\n', [], id="nothing after [DONE] is read"),
        pytest.param(b'data: null\n\ndata:\n\ndata: {"id":1}\n\n', [1], id="Q11 null"),
        pytest.param(
            b'data: {broken\n\ndata: {"id":1}\n\n', [b"{broken", 1], id="Q11 a broken frame"
        ),
        pytest.param(b'data: {"id":1}\n\ndata: [1]\n\n', [1, b"[1]"], id="Q11 no object"),
        pytest.param(b'data: {"id":1}\n\ndata: {"id"', [1], id="a frame cut off at the end"),
        pytest.param(b"data: {broken", [b"{broken"], id="the only frame, broken and without end"),
        pytest.param(b': hi\n\n\ndata: {"id":1}\n\n', [1], id="Q1 comments first"),
        pytest.param(b'event: x\nid: 4\ndata: {"id":1}\n\n', [1], id="other fields first"),
        pytest.param(b'\r\n\r\n data: {"id":1}\n\n', [1], id="blank lines and a space first"),
        pytest.param(b'\xef\xbb\xbfdata: {"id":1}\n\n', [1], id="byte order mark"),
        pytest.param(b'{"id":1}', [1], id="F54 one JSON body"),
        pytest.param(b'\n\n  {"id":1}\n\n', [1], id="JSON after keep-alive blank lines"),
        pytest.param(b'\xef\xbb\xbf{"id":1}', [1], id="JSON after a byte order mark"),
        pytest.param(b'{"id":1', [b'{"id":1'], id="a JSON body that was cut off"),
        pytest.param(b'[{"error":{}}]', [b'[{"error":{}}]'], id="a JSON list"),
        pytest.param(b"<html>no</html>", [b"<html>no</html>"], id="a page"),
        pytest.param(b"Too long.\nSorry", [b"Too long.\nSorry"], id="a bare sentence"),
        pytest.param(b'"Too long"', [b'"Too long"'], id="a JSON string"),
        pytest.param(b"", [], id="Q10 nothing"),
        pytest.param(b" \r\n\t\n", [], id="only white space"),
        pytest.param(b": ping\n\n: ping\n\n", [], id="only comments"),
        pytest.param(b"data: [DONE]\n\n", [], id="only [DONE]"),
        pytest.param(b"id: 7\n\nretry: 1\n\n", [], id="only other fields"),
    ],
)
def test_content_decides_what_a_body_is(stream: bytes, expected: list[object]) -> None:
    """F54, F57."""
    assert ids(read(stream)) == expected
    assert ids(bytewise(stream)) == expected


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                *(b'data: {"id":1}', b"data: [DONE]", b"data: {x", b": c", b"{", b"<", b"x"),
                *(b"\n", b"\n\n", b"\r", b" ", b'{"id":2}', b"\xef\xbb\xbf", b"event: error\n"),
                b"data: null",
            ]
        ),
        max_size=12,
    ),
    st.lists(st.integers(0, 60), max_size=5),
)
def test_chunks_do_not_depend_on_how_the_bytes_arrive(pieces: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(pieces)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    whole = read(stream)
    assert bytewise(stream) == whole
    assert read(*(stream[a:b] for a, b in pairwise(edges))) == whole


def test_a_frame_keeps_the_name_of_its_event() -> None:
    """Q3."""
    [frame] = read(b'event: error\ndata: {"error":{"message":"x"}}\n\n')
    assert isinstance(frame, Frame) and frame.event == "error"


def test_done_is_known_at_once_and_closing_adds_nothing() -> None:
    reader = ChunkReader()
    assert reader.feed(b"data: [DONE]\n\ndata: {x}\n\ndata: y") == []
    assert reader.done
    assert reader.close() == []


def test_a_chunk_is_given_out_before_the_body_ends() -> None:
    reader = ChunkReader()
    assert ids(reader.feed(b'data: {"id":1}\n\ndata: {"i')) == [1]
    assert ids(reader.feed(b'd":2}\n\n')) == [2]


def test_a_message_above_the_limit_ends_the_reading_and_those_before_it_count() -> None:
    """A1."""
    reader = ChunkReader()
    reader._sse = Decoder(100)
    frames = reader.feed(b'data: {"id":1}\n\ndata: ' + b"x" * 200)
    assert ids(frames) == [1, b"one server-sent message is longer than 100 bytes"]
    assert reader.done and reader.close() == []


def test_a_body_above_the_limit_ends_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """A1."""
    monkeypatch.setattr(chat_stream, "MAX_BODY_BYTES", 100)
    reader = ChunkReader()
    assert reader.feed(b"{" + b" " * 99) == []
    [frame] = reader.feed(b"}")
    assert isinstance(frame, Unreadable) and b"64 MiB" in frame.data
    assert reader.done and reader.close() == []


def test_white_space_before_a_body_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A1: some servers send blank lines for as long as they think."""
    monkeypatch.setattr(chat_stream, "MAX_BODY_BYTES", 100)
    assert ids(read(*[b"\n" * 50] * 10, b'{"id":1}')) == [1]


def test_only_the_beginning_of_what_cannot_be_read_is_shown() -> None:
    for stream in (b"data: {" + b"x" * 9000 + b"\n\n", b"<" + b"x" * 9000, b"x" * 9000):
        [frame] = read(stream)
        assert isinstance(frame, Unreadable) and len(frame.data) == 4096


def test_a_json_body_that_comes_byte_by_byte_takes_linear_time() -> None:
    reader, byte = ChunkReader(), b"x"
    started = time.process_time()
    reader.feed(b'{"id":"')
    for _ in range(400_000):
        reader.feed(byte)
    reader.feed(b'"}')
    assert len(str(ids(reader.close())[0])) == 400_000
    assert time.process_time() - started < 5
