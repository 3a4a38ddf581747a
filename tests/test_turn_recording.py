"""One turn on its way into its file: where its stream is cut, and what that costs."""

from __future__ import annotations

import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from anyturn.capture.redact import Redactor
from anyturn.capture_files import CaptureFolder
from anyturn.turn_recording import Begun, TurnRecording

MARKS = (b"\n\n", b"\r\n\r\n", b"\r\r")
# A hundred times what it takes, and a fifth of what looking at all of it for each block takes.
LIMIT_S = 3.0


def recording() -> TurnRecording:
    begun = Begun(
        turn="t",
        began=0.0,
        wall=0.0,
        provider="p",
        model="m",
        url="http://localhost",
        headers={},
        body={},
        keys=(),
    )
    return TurnRecording(CaptureFolder(Path("unused")), begun, Redactor())


@given(st.lists(st.lists(st.sampled_from([b"a", b"\n", b"\r"]), max_size=6).map(b"".join)))
def test_a_stream_is_cut_behind_messages_however_it_comes(blocks: list[bytes]) -> None:
    writing, pieces = recording(), []
    for number, block in enumerate(blocks):
        times, found = writing._whole_messages([number], [block])
        assert times == [number] * len(found)
        pieces += found
        assert not any(mark in writing._partial for mark in MARKS)
    assert b"".join((*pieces, writing._partial)) == b"".join(blocks)
    assert all(piece.endswith(MARKS) for piece in pieces if piece)


def test_a_long_body_in_small_blocks_costs_no_more_than_its_length() -> None:
    writing = recording()
    blocks = [b"x" * 100] * 10_000
    began = time.thread_time()
    assert writing._whole_messages([0] * len(blocks), blocks) == ([], [])
    assert time.thread_time() - began < LIMIT_S
