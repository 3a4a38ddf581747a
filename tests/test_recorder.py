from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

import anyturn.recorder as recorder_module
from anyturn import turn_recording
from anyturn.capture import format as f
from anyturn.capture_files import CaptureError, CaptureFolder, TurnFile, read_file
from anyturn.config import Settings
from anyturn.recorder import Recorder, recording
from anyturn.testing import Answer, Dropped, Raw, Refusal, call, openai_error, text
from anyturn.turn_recording import client_of
from anyturn.wire import responses as r
from support.gateway_turns import Sink, ask, run
from support.recorded import KEY, REQUEST, record


def captures(folder: Path) -> list[f.Capture]:
    return [read_file(one.path) for one in CaptureFolder(folder).files()]


async def recorded(folder: Path, *script: Any, **options: Any) -> f.Capture:
    """One turn through a gateway with a recorder."""
    recorder = Recorder(CaptureFolder(folder), **options)
    try:
        await run(*script, sink=Sink(), taps=[recorder])
    finally:
        recorder.close()
    return captures(folder)[-1]


def everything(folder: Path) -> bytes:
    """All that stands in a folder, unpacked."""
    return b"".join(f.encode_record(one) for capture in captures(folder) for one in capture.records)


# ---------------------------------------------------------------- what is in a file


async def test_a_turn_is_recorded_with_both_sides(recorded_folder: Path) -> None:
    first, second = captures(recorded_folder)
    assert first.problems == second.problems == []
    assert first.head.version == f.VERSION
    assert (first.head.provider, first.head.model) == ("cerebras", "gpt-oss-120b")
    assert first.head.client
    assert first.head.gateway
    assert first.head.started.endswith("Z")
    assert first.request["input"][0]["content"] == "Run it."
    assert first.asked[0].body["messages"][-1] == {"role": "user", "content": "Run it."}
    assert first.asked[0].url.endswith("/v1/chat/completions")
    assert b'"tool_calls"' in first.stream and first.stream.endswith(b"data: [DONE]\n\n")
    assert first.events[0]["type"] == "response.created"
    assert first.events[-1]["type"] == "response.completed"
    assert (first.status, second.status) == ("completed", "completed")
    assert second.usage is not None


async def test_times_grow_along_a_turn(real_capture: f.Capture) -> None:
    for times in ([t for t, _ in real_capture.blocks], [t for t, _ in real_capture.timed_events]):
        assert times == sorted(times)
    assert real_capture.end is not None
    assert 0 < real_capture.blocks[0][0] <= real_capture.end.t < 60_000_000


async def test_adaptations_are_recorded(tmp_path: Path) -> None:
    request = {**REQUEST, "tools": [{"type": "web_search"}, *REQUEST["tools"]]}
    (capture,) = await record(tmp_path / "c", Answer(text("x")), request=request)
    assert capture.adaptations
    assert any(change.lossy for change in capture.adaptations)


@pytest.mark.parametrize(
    ("entry", "status", "code"),
    [
        (Refusal(429, openai_error("Slow down.")), "failed", "rate_limit_exceeded"),
        (Dropped(), "failed", "provider_unreachable"),
        (Answer(text("Hi"), finish="length"), "incomplete", None),
        (Answer(text("Hi"), cut_after=2), "failed", "server_error"),
    ],
    ids=["refused", "no answer", "length", "cut"],
)
async def test_however_a_turn_ends_that_is_recorded(tmp_path, entry, status, code) -> None:
    capture = await recorded(tmp_path / "c", entry)
    assert capture.status == status
    error = capture.end.error if capture.end else None
    assert (error or {}).get("code") == code or status != "failed"
    assert capture.problems == []


async def test_a_turn_that_asks_no_provider_is_recorded_too(tmp_path: Path) -> None:
    (capture,) = await record(
        tmp_path / "c", Answer(text("x")), request={**REQUEST, "generate": False}
    )
    assert capture.asked == [] and capture.blocks == []
    assert capture.request["input"][0]["content"] == "Run it."
    assert capture.status == "completed"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n', id="no UTF-8"),
        pytest.param(
            b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}', id="JSON"
        ),
        pytest.param(b'data: {"choices":[]}\r\n\r\ndata: [DONE]\r\n\r\n', id="CRLF"),
        pytest.param(b"data: {", id="half"),
    ],
)
async def test_what_the_provider_sent_stays_byte_for_byte(tmp_path: Path, body: bytes) -> None:
    assert (await recorded(tmp_path / "c", Raw(body))).stream == body


@pytest.mark.parametrize("size", [1, 7, 100])
async def test_however_a_stream_is_cut_its_bytes_and_events_are_kept(tmp_path, size: int) -> None:
    words = "".join(f" w\u00fc{n}" for n in range(60))
    chunks = [
        {"choices": [{"index": 0, "delta": {"content": f" w\u00fc{n}"}, "finish_reason": None}]}
        for n in range(60)
    ]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    data = b"".join(b"data: %b\n\n" % msgspec.json.encode(one) for one in chunks)
    data += b"data: [DONE]\n\n"
    recorder, sink = Recorder(CaptureFolder(tmp_path / "c")), Sink()
    cut = Cut(recorder, size)
    await run(Raw(data), sink=sink, taps=[cut])
    recorder.close()
    (capture,) = captures(tmp_path / "c")
    assert capture.problems == []
    assert capture.stream == data
    sent = [msgspec.json.decode(r.encode_json(e)) for burst in sink.bursts for e in burst]
    assert capture.events == sent
    assert "".join(e["delta"] for e in capture.events if "delta" in e) == words


class Cut:
    """Hands the provider's bytes on in pieces of this size."""

    def __init__(self, recorder: Recorder, size: int) -> None:
        self._size = size
        self._recorder = recorder
        self.request, self.events, self.ended = recorder.request, recorder.events, recorder.ended

    def provider_bytes(self, turn: Any, block: bytes) -> None:
        for start in range(0, len(block), self._size):
            self._recorder.provider_bytes(turn, block[start : start + self._size])


# ---------------------------------------------------------------- secrets (A2)


async def test_a_key_planted_everywhere_is_in_no_file(tmp_path: Path) -> None:
    """In the headers, in every part of the request, in what the model says, calls and thinks."""
    other = "gsk_Zz9Yy8Xx7Ww6Vv5Uu4Tt3Ss2"
    request = {
        **REQUEST,
        "instructions": f"Use {KEY} and {other}",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": f"key: {other}"}]},
            {"type": "function_call", "call_id": "c", "name": "run",
             "arguments": f'{{"token":"{KEY}","h":"Bearer {other}"}}'},
            {"type": "function_call_output", "call_id": "c", "output": f"API_KEY={KEY}\n{other}"},
        ],
        "metadata": {"k": other, other: "k"},
        "user": "ann@example.org",
        "safety_identifier": "person-77",
    }  # fmt: skip
    answer = Answer(
        text(f"The keys are {KEY} and {other}."), call("run", {"key": f"{other}"}), fragment=5
    )
    await record(tmp_path / "c", answer, request=request)
    assert len(captures(tmp_path / "c")) == 1
    written = everything(tmp_path / "c")
    for secret in (KEY, other, "ann@example.org", "person-77"):
        assert secret.encode() not in written
    (capture,) = captures(tmp_path / "c")
    said = "".join(e["delta"] for e in capture.events if "delta" in e)
    assert other[-8:] not in said and KEY[-8:] not in said
    assert "The keys are " in said


# ---------------------------------------------------------------- never in the way


class Stuck(TurnFile):
    """A disk that takes nothing until it is told to."""

    may_go = threading.Event()

    def flush(self) -> None:
        assert self.may_go.wait(20)
        super().flush()


async def test_a_stuck_disk_delays_no_stream_and_what_is_missing_is_said(
    tmp_path, monkeypatch, caplog
) -> None:
    monkeypatch.setattr("anyturn.capture_files.TurnFile", Stuck)
    Stuck.may_go.clear()
    recorder = Recorder(CaptureFolder(tmp_path / "c"), max_waiting_bytes=20_000)
    started = time.monotonic()
    sink = Sink()
    await run(Answer(text("word " * 3000), fragment=5), sink=sink, taps=[recorder])
    await run(Answer(text("word " * 3000), fragment=5), sink=Sink(), taps=[recorder])
    assert time.monotonic() - started < 10
    assert sink.names[-1] == "response.completed"
    Stuck.may_go.set()
    recorder.close()
    lost = [lost for capture in captures(tmp_path / "c") for lost in capture.lost]
    assert recorder.lost > 0
    assert lost and lost[0].records > 0 and "too slow" in lost[0].why
    assert "something was not recorded" in caplog.text


class Full(TurnFile):
    """A disk that is full after the first frame."""

    def flush(self) -> None:
        if self.bytes:
            raise OSError(28, "No space left on device")
        super().flush()


async def test_a_full_disk_fails_no_turn_and_leaves_a_readable_file(
    tmp_path, monkeypatch, caplog
) -> None:
    monkeypatch.setattr("anyturn.capture_files.TurnFile", Full)
    monkeypatch.setattr(recorder_module, "ROUND_S", 0.0)
    recorder = Recorder(CaptureFolder(tmp_path / "c"))
    sink = Sink()
    answer = Answer(text("word " * 50), fragment=5, pace=0.01)
    await run(answer, sink=sink, taps=[recorder])
    recorder.close()
    assert sink.names[-1] == "response.completed"
    (capture,) = captures(tmp_path / "c")
    assert capture.request["input"][0]["content"] == "Hi"
    assert any("breaks off" in problem for problem in capture.problems)
    assert "No space left on device" in caplog.text


async def test_a_fault_of_the_recorder_fails_no_turn(tmp_path, monkeypatch, caplog) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(KEY)

    monkeypatch.setattr(turn_recording.Streams, "events", broken)
    recorder = Recorder(CaptureFolder(tmp_path / "c"))
    sink = Sink()
    await run(Answer(text("Hi")), sink=sink, taps=[recorder])
    recorder.close()
    assert sink.names[-1] == "response.completed"
    assert "the recorder itself failed" in caplog.text
    assert KEY not in caplog.text


async def test_what_a_process_that_dies_has_written_is_readable(tmp_path: Path) -> None:
    """Written in frames: whatever the process does afterwards, they are on the disk."""
    recorder = Recorder(CaptureFolder(tmp_path / "c"))
    seen: list[f.Capture] = []

    class Looking(Sink):
        async def send(self, events: list[Any]) -> None:
            await super().send(events)
            if len(self.bursts) == 12:
                while not (now := captures(tmp_path / "c")) or not now[0].events:
                    time.sleep(0.01)
                seen.extend(now)

    await run(Answer(text("word " * 50), fragment=5, pace=0.005), sink=Looking(), taps=[recorder])
    recorder.close()
    assert seen[0].head.turn and seen[0].events[0]["type"] == "response.created"
    assert seen[0].status == "cut"
    assert captures(tmp_path / "c")[0].status == "completed"


async def test_a_turn_that_is_too_large_says_what_is_missing(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(turn_recording, "MAX_TURN_BYTES", 3000)
    capture = await recorded(tmp_path / "c", Answer(text("word " * 500)))
    assert "larger than 3,000 bytes" in capture.lost[0].why
    assert capture.status == "completed"


async def test_the_history_is_not_kept_while_the_answer_streams(tmp_path: Path) -> None:
    recorder = Recorder(CaptureFolder(tmp_path / "c"))

    class Looking(Sink):
        async def send(self, events: list[Any]) -> None:
            await super().send(events)
            while not recorder._turns:
                time.sleep(0.001)
            for writing in recorder._turns.values():
                while writing._begun.body:
                    time.sleep(0.001)

    await run(Answer(text("Hi"), fragment=1, pace=0.01), sink=Looking(), taps=[recorder])
    recorder.close()


# ---------------------------------------------------------------- retention, settings


async def test_old_recordings_are_deleted_while_new_ones_come(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(recorder_module, "_PRUNE_EVERY", 1)
    recorder = Recorder(CaptureFolder(tmp_path / "c"), max_turns=2)
    for _ in range(4):
        await run(Answer(text("Hi")), sink=Sink(), taps=[recorder])
    recorder.close()
    assert len(captures(tmp_path / "c")) == 2
    assert recorder.written == 4


async def test_a_gateway_of_few_turns_deletes_old_recordings_too(tmp_path: Path) -> None:
    await recorded(tmp_path / "c", Answer(text("Hi")))
    for number in range(5):
        (tmp_path / "c" / f"2020010{number}-000000-000-x.ndjson").write_text("")
    await recorded(tmp_path / "c", Answer(text("Hi")), max_turns=3)
    assert len(captures(tmp_path / "c")) == 3


async def test_findings_stand_in_the_file(tmp_path: Path) -> None:
    recorder = Recorder(CaptureFolder(tmp_path / "c"))
    finding = f.Finding(rule="I1", where="event 2", what="x")

    class Checking:
        def request(self, turn: Any) -> None: ...

        def provider_bytes(self, turn: Any, block: bytes) -> None: ...

        def events(self, turn: Any, events: list[Any]) -> None: ...

        def ended(self, turn: Any) -> None:
            recorder.found(turn, [finding])

    await run(Answer(text("Hi")), sink=Sink(), taps=[Checking(), recorder])
    recorder.close()
    assert captures(tmp_path / "c")[0].findings == [finding]


def test_nothing_is_recorded_unless_it_is_asked_for(tmp_path: Path) -> None:
    with recording(Settings()) as recorders:
        assert recorders == []
    with recording(Settings(capture_path=tmp_path / "c")) as (recorder,):
        assert recorder.folder.path == tmp_path / "c"
    assert (tmp_path / "c").is_dir()


@pytest.mark.skipif(os.name == "nt", reason="needs a path below a file")
def test_a_folder_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CaptureError), recording(Settings(capture_path=tmp_path / "file" / "c")):
        raise AssertionError("never reached")


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ({"User-Agent": "codex_exec/0.169.0 (Debian; x86_64) xterm"}, ("codex_exec", "0.169.0")),
        ({"user-agent": "OpenAI/Python 1.2"}, ("OpenAI", "Python")),
        ({"originator": "codex_vscode"}, ("codex_vscode", "")),
        ({}, ("", "")),
        ({"user-agent": "x" * 999}, ("x" * 80, "")),
    ],
)
def test_the_client_is_who_it_says(headers, client) -> None:
    assert client_of(headers) == client


def test_the_log_is_not_flooded(tmp_path: Path, caplog) -> None:
    recorder = Recorder(CaptureFolder(tmp_path / "c"), clock=lambda: 1.0)
    for _ in range(50):
        recorder._say(1, "x")
    recorder.close()
    assert recorder.lost == 50
    assert len([one for one in caplog.records if one.levelno == logging.WARNING]) == 1
    assert ask()
