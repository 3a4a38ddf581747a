from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.wire.sse import Decoder, Message, SSEError, encode

LINE_ENDS = [b"\n", b"\r", b"\r\n"]
PIECES = [
    *(b"data: a", b"data:b", b"data", b"data:", b"data:  c", b"event: error", b"event:x", b"id: 1"),
    *(b": comment", b":", b"retry: 5", b"unknown: y", b"no colon", b"", b"\xef\xbb\xbf", b"\n"),
    *("data: é\u2028\u0085\x0b\x0c\x1c😀".encode(), b"data: \xff", b"\r", b"\r\n", b"\n\n"),
]
streams = st.lists(st.sampled_from(PIECES), max_size=20).flatmap(
    lambda pieces: st.lists(
        st.sampled_from(LINE_ENDS), min_size=len(pieces), max_size=len(pieces)
    ).map(lambda ends: b"".join(p + e for p, e in zip(pieces, ends, strict=True)))
)


def read(*blocks: bytes, limit: int | None = None) -> list[Message]:
    decoder = Decoder() if limit is None else Decoder(limit)
    messages = [message for block in blocks for message in decoder.feed(block)]
    return messages + decoder.close()


def blocks_of(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


def read_by_the_book(stream: bytes) -> list[Message]:
    """The parsing rules of the HTML specification, line by line over the whole stream."""
    stream = stream.removeprefix(b"\xef\xbb\xbf")
    lines = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    messages, data, event = [], [], ""
    for line in [*lines, b""]:
        if not line:
            if data:
                messages.append(Message(b"\n".join(data), event))
            data, event = [], ""
            continue
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            event = value.decode("utf-8", "replace")
    return messages


@settings(max_examples=400, deadline=None)
@given(streams, st.lists(st.integers(0, 200), max_size=8))
def test_messages_do_not_depend_on_how_the_bytes_arrive(stream: bytes, cuts: list[int]) -> None:
    expected = read_by_the_book(stream)
    assert read(stream) == expected
    assert read(*(stream[i : i + 1] for i in range(len(stream)))) == expected
    assert read(*blocks_of(stream, cuts)) == expected


@settings(max_examples=200, deadline=None)
@given(streams, st.integers(1, 30), st.lists(st.integers(0, 200), max_size=8))
def test_the_limit_strikes_at_the_same_message_however_the_bytes_arrive(
    stream: bytes, limit: int, cuts: list[int]
) -> None:
    def outcome(blocks: list[bytes]) -> tuple[list[Message], bool]:
        decoder, messages = Decoder(limit), []
        try:
            for block in blocks:
                messages += decoder.feed(block)
        except SSEError as error:
            return messages + error.before, True
        return messages + decoder.close(), False

    bytewise = outcome([stream[i : i + 1] for i in range(len(stream))])
    assert outcome([stream]) == bytewise
    assert outcome(blocks_of(stream, cuts)) == bytewise


@pytest.mark.parametrize(
    ("stream", "messages"),
    [
        pytest.param(b"data: a\n\n", [Message(b"a")], id="one line"),
        pytest.param(b"data:a\n\n", [Message(b"a")], id="Q2 no space"),
        pytest.param(b"data:  a \n\n", [Message(b" a ")], id="only one space is framing"),
        pytest.param(b"data: a\ndata: b\n\n", [Message(b"a\nb")], id="Q2 several data lines"),
        pytest.param(b"data\n\n", [Message(b"")], id="a data line without a value"),
        pytest.param(b"event: error\ndata: a\n\n", [Message(b"a", "error")], id="Q3 event name"),
        pytest.param(b"data: a\nevent: e\n\n", [Message(b"a", "e")], id="event name after data"),
        pytest.param(
            b"event: e\n\ndata: a\n\n", [Message(b"a")], id="an event name without data is dropped"
        ),
        pytest.param(b": hi\n\ndata: a\n\n", [Message(b"a")], id="Q1 comment"),
        pytest.param(b"data: a\n: hi\nid: 3\n\n", [Message(b"a")], id="comment among data"),
        pytest.param(b"\n\n\ndata: a\n\n\n", [Message(b"a")], id="blank lines"),
        pytest.param(b"data: a", [Message(b"a")], id="F54 no line end"),
        pytest.param(b"data: a\n", [Message(b"a")], id="F54 no blank line"),
        pytest.param(b"data: a\r", [Message(b"a")], id="F54 no blank line, CR"),
        pytest.param(b"\xef\xbb\xbfdata: a\n\n", [Message(b"a")], id="byte order mark"),
        pytest.param(b"", [], id="nothing"),
        pytest.param(b": only a comment", [], id="only a comment"),
        pytest.param(
            "data: a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\n\n".encode(),
            [Message("a\u2028b\u2029c\x85d\x0be\x0cf\x1cg".encode())],
            id="no other character ends a line",
        ),
    ],
)
@pytest.mark.parametrize("line_end", LINE_ENDS, ids=["LF", "CR", "CRLF"])
def test_framing(stream: bytes, messages: list[Message], line_end: bytes) -> None:
    assert read(stream.replace(b"\n", line_end)) == messages


def test_a_byte_order_mark_counts_only_at_the_start() -> None:
    assert read(b"data: a\n\n\xef\xbb\xbfdata: b\n\n") == [Message(b"a")]


def test_a_crlf_that_is_split_between_blocks_is_one_line_end() -> None:
    assert read(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == [Message(b"a\nb")]


def test_a_message_is_given_out_as_soon_as_its_blank_line_is_there() -> None:
    decoder = Decoder()
    assert decoder.feed(b"data: a\r\n\r") == [Message(b"a")]
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"data: b\n") == []
    assert decoder.feed(b"\ndata: c") == [Message(b"b")]
    assert decoder.close() == [Message(b"c")]


def test_a_closed_decoder_has_nothing_left() -> None:
    decoder = Decoder()
    decoder.feed(b"data: a")
    assert decoder.close() == [Message(b"a")]
    assert decoder.close() == []


@pytest.mark.parametrize("size", [1, 3, 7, 1000], ids="in blocks of {}".format)
def test_a_message_above_the_limit_is_refused_and_those_before_it_are_kept(size: int) -> None:
    stream = b"data: a\n\ndata: " + b"b" * 200 + b"\n\n"
    decoder, messages = Decoder(100), []

    def feed_all() -> None:
        for start in range(0, len(stream), size):
            messages.extend(decoder.feed(stream[start : start + size]))

    with pytest.raises(SSEError, match="longer than 100 bytes") as caught:
        feed_all()
    assert messages + caught.value.before == [Message(b"a")]


def test_a_message_of_exactly_the_limit_is_read() -> None:
    stream = b"data: " + b"b" * 94 + b"\n\n"
    assert read(stream, limit=100) == [Message(b"b" * 94)]
    assert read(*(stream[i : i + 1] for i in range(len(stream))), limit=100) == [Message(b"b" * 94)]


def test_many_messages_in_a_block_larger_than_the_limit_are_read() -> None:
    assert len(read(b"data: a\n\n" * 100, limit=20)) == 100


def test_a_message_that_comes_byte_by_byte_takes_linear_time() -> None:
    def seconds(size: int) -> float:
        decoder, byte = Decoder(), b"x"
        started = time.process_time()
        decoder.feed(b"data: ")
        for _ in range(size):
            decoder.feed(byte)
        assert len(decoder.feed(b"\n\n")[0].data) == size
        return time.process_time() - started

    # Quadratic reading would copy 80 GB here.
    assert seconds(400_000) < 5


@pytest.mark.parametrize("event", [b"", b"error"], ids=["without a name", "with a name"])
def test_an_encoded_message_is_read_back(event: bytes) -> None:
    assert read(encode(b'{"a":1}', event)) == [Message(b'{"a":1}', event.decode())]
