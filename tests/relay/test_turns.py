from __future__ import annotations

from pathlib import Path

import pytest

from anyturn.capture_files import CaptureFolder, read_file
from anyturn.recorder import Recorder
from anyturn.relay.turns import (
    LEFT,
    RelayedTurn,
    SocketTurns,
    whole_answer,
    wire_of,
    without_secrets,
)

URL = "http://localhost/v1/responses"


@pytest.mark.parametrize(
    ("path", "wire"),
    [
        ("/v1/responses", "responses"),
        ("/backend-api/codex/responses/", "responses"),
        ("/v1/responses?api-version=1", "responses"),
        ("/openai/deployments/gpt/chat/completions?api-version=1", "chat"),
        ("/v1/responses/resp_1", ""),
        ("/v1/responses/compact", ""),
        ("/v1/models", ""),
        ("/v1/models?next=/responses", ""),
        ("/", ""),
    ],
)
def test_what_is_recorded_is_known_by_its_path(path: str, wire: str) -> None:
    assert wire_of(path) == wire


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://x/v1", "http://x/v1"),
        ("http://x/v1?key=abc&api-version=2", "http://x/v1?key=<redacted>&api-version=2"),
        ("http://x/v1?flag&a=b=c", "http://x/v1?flag&a=<redacted>"),
        ("http://x/v1?", "http://x/v1?"),
    ],
)
def test_of_a_query_the_names_stay(url: str, told: str) -> None:
    assert without_secrets(url) == told


def test_a_turn_ends_once(tmp_path: Path) -> None:
    recorder = Recorder(CaptureFolder(tmp_path))
    turn = RelayedTurn(recorder, URL, {}, "responses")
    turn.sends(b'{"model":')
    turn.sends(b'"m"}')
    turn.ended(LEFT)
    turn.ended(whole_answer(200, {}))
    recorder.close()
    (capture,) = (read_file(one.path) for one in CaptureFolder(tmp_path).files())
    assert (capture.status, capture.head.model) == ("left", "m")
    assert len(capture.all(type(capture.end))) == 1


def test_a_body_that_is_no_json_leaves_an_empty_one(tmp_path: Path) -> None:
    recorder = Recorder(CaptureFolder(tmp_path))
    turn = RelayedTurn(recorder, URL, {"Content-Encoding": "zstd"}, "responses")
    turn.sends(b"not zstd")
    turn.answered(200, {})
    turn.ended(whole_answer(400, {}))
    recorder.close()
    (capture,) = (read_file(one.path) for one in CaptureFolder(tmp_path).files())
    assert (capture.request, capture.status, capture.problems) == ({}, "failed", [])
    assert "the body of the request" in capture.lost[0].why


def test_frames_between_turns_are_nobodys(tmp_path: Path) -> None:
    recorder = Recorder(CaptureFolder(tmp_path))
    turns = SocketTurns(recorder, URL, {})
    turns.received(b'{"type":"hello"}')
    turns.asked(b"not json")
    turns.asked(b'{"type":"response.create","model":"m"}')
    turns.received(b'{"type":"response.created",\n"n":1}')
    turns.closed(by_client=False, code=1011)
    recorder.close()
    (capture,) = (read_file(one.path) for one in CaptureFolder(tmp_path).files())
    assert capture.events == [{"type": "response.created", "n": 1}]
    assert capture.stream == b'data: {"type":"response.created",\ndata: "n":1}\n\n'
    assert "1011" in capture.end.error["message"]


def test_what_has_no_room_is_left_out_and_said(tmp_path: Path) -> None:
    """A recording never holds anything up: the queue is bounded by bytes."""
    recorder = Recorder(CaptureFolder(tmp_path), max_waiting_bytes=1000)
    turn = RelayedTurn(recorder, URL, {}, "responses")
    turn.sends(b'{"model":"m"}')
    turn.answered(200, {})
    turn.received(b"data: " + b"x" * 5000 + b"\n\n")
    turn.ended(whole_answer(200, {}))
    recorder.close()
    (capture,) = (read_file(one.path) for one in CaptureFolder(tmp_path).files())
    assert capture.lost[0].bytes > 5000
