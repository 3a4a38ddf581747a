from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.capture import format as f
from anyturn.capture.runs import CUT, chunk_run, delta_run, deltas_of
from anyturn.wire import responses as r

KINDS = st.sampled_from(
    [
        lambda delta, number: r.TextDelta("msg_1", 2, 1, delta, number),
        lambda delta, number: r.ReasoningDelta("rs_1", 0, 0, delta, number),
        lambda delta, number: r.ArgumentsDelta("fc_1", 3, delta, number),
        lambda delta, number: r.InputDelta("ctc_1", 3, delta, number),
    ]
)
words = st.text('ab "\\\n\u00e9\u2028\U0001f680\x7f\x00', max_size=6)


def unfolded(line: bytes) -> f.Capture:
    return f.read_capture([f.encode_record(f.Head()), line, f.encode_record(f.End())])


def as_json(event: r.Event) -> Any:
    return msgspec.json.decode(r.encode_json(event))


@given(KINDS, st.integers(0, 2**40), st.lists(words, min_size=3, max_size=40))
def test_deltas_unfold_to_what_they_were(kind: Any, first: int, deltas: list[str]) -> None:
    events = [kind(delta, number) for number, delta in enumerate(deltas, first)]
    found = deltas_of(events)
    assert found == deltas
    times = [number // 2 for number in range(len(events))]
    capture = unfolded(delta_run(times, events[0], found))
    assert capture.problems == []
    assert capture.timed_events == list(zip(times, map(as_json, events), strict=True))
    assert [list(event) for event in capture.events] == [list(as_json(one)) for one in events]


RUN: list[r.Event] = [r.TextDelta("msg_1", 0, 0, f" {n}", n) for n in range(6)]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(r.TextDelta("msg_2", 0, 0, "x", 3), id="item"),
        pytest.param(r.TextDelta("msg_1", 1, 0, "x", 3), id="output index"),
        pytest.param(r.TextDelta("msg_1", 0, 1, "x", 3), id="content index"),
        pytest.param(r.TextDelta("msg_1", 0, 0, "x", 4), id="number"),
        pytest.param(r.TextDelta("msg_1", 0, 0, "x", 3, ({"token": "x"},)), id="logprobs"),
        pytest.param(r.RefusalDelta("msg_1", 0, 0, "x", 3), id="type"),
        pytest.param(r.TextDone("msg_1", 0, 0, "x", 3), id="no delta"),
    ],
)
def test_whatever_differs_is_no_run(other: r.Event) -> None:
    assert deltas_of(RUN) is not None
    assert deltas_of([*RUN[:3], other, *RUN[4:]]) is None
    assert deltas_of([other, *RUN[:3]]) is None


@given(
    st.lists(words.map(str.encode), min_size=3, max_size=20),
    st.text('x"\n\u00e9', min_size=1, max_size=9),
    st.lists(st.integers(0, 300), max_size=9),
)
def test_chunks_unfold_to_the_same_bytes(
    pieces: list[bytes], between: str, cuts: list[int]
) -> None:
    data = between.encode().join(pieces)
    # Nobody reads an empty block: it is the end.
    places = sorted({cut % (len(data) + 1) for cut in cuts} - {0, len(data)})
    blocks = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
    times = list(range(len(blocks)))
    line = chunk_run(times, list(map(len, blocks)), between.encode(), pieces)
    if line is None:
        assert CUT.encode() in b"".join(pieces)
        return
    assert unfolded(line).blocks == list(zip(times, blocks, strict=True))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"kind":"chunks","t":[1],"sizes":[4],"between":"","text":"abc"}', "3 bytes"),
        (b'{"kind":"chunks","t":[1],"sizes":[-1,4],"between":"","text":"abc"}', "3 bytes"),
        (b'{"kind":"chunks","t":[],"sizes":[3],"between":"","text":"abc"}', "line 2"),
        (b'{"kind":"deltas","t":[1],"first":{},"delta":["x"]}', "no number"),
        (
            b'{"kind":"deltas","t":[1],"first":{"sequence_number":1},"delta":["x","y"]}',
            "line 2",
        ),
    ],
)
def test_a_damaged_run_is_said_and_nothing_is_made_up(line: bytes, problem: str) -> None:
    capture = unfolded(line)
    assert problem in capture.problems[0]
    assert (capture.blocks, capture.events) == ([], [])


@pytest.mark.parametrize(
    ("beside", "problem"),
    [
        ({"logprobs": ["x" * 1000]}, "unfold to more than 1,000,000 bytes"),
        ({f"m{number}": 0 for number in range(16)}, "none that has a delta"),
    ],
    ids=["large", "many"],
)
def test_what_stands_in_every_event_counts_in_every_event(
    beside: dict[str, Any], problem: str, monkeypatch
) -> None:
    monkeypatch.setattr(f, "UNFOLDED_MAX", 1_000_000)
    record = {"t": [0] * 1000, "first": {"sequence_number": 0, **beside}, "delta": [""] * 1000}
    capture = unfolded(msgspec.json.encode({"kind": "deltas", **record}))
    assert problem in capture.problems[0]
    assert capture.events == []


def test_a_long_first_delta_is_in_one_event_only(monkeypatch) -> None:
    monkeypatch.setattr(f, "UNFOLDED_MAX", 1_000_000)
    deltas = ["x" * 10_000, *["y"] * 999]
    first = r.TextDelta("msg_1", 2, 1, deltas[0], 7)
    capture = unfolded(delta_run([0] * 1000, first, deltas))
    assert [event["delta"] for event in capture.events] == deltas


@pytest.mark.parametrize("kind", ["chunks", "deltas"])
def test_a_few_bytes_do_not_unfold_to_gigabytes(kind: str, monkeypatch) -> None:
    monkeypatch.setattr(f, "UNFOLDED_MAX", 1_000_000)
    if kind == "chunks":
        text = CUT * 2000
        size = 2000 * 900
        record = {"t": [0], "sizes": [size], "between": "b" * 900, "text": text}
    else:
        record = {"t": [0] * 9000, "first": {"sequence_number": 0}, "delta": [""] * 9000}
    capture = unfolded(msgspec.json.encode({"kind": kind, **record}))
    assert "unfold to more than 1,000,000 bytes" in capture.problems[0]
    assert (capture.blocks, capture.events) == ([], [])
