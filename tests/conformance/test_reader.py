from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from anyturn.conformance import check_stream, read_stream
from anyturn.conformance.reader import event_of
from support.bent_streams import chunks
from support.responses_streams import as_sse, call, message, stream

EVENTS = stream(message())
LINES = b"\n".join(map(msgspec.json.encode, EVENTS))


@pytest.mark.parametrize(
    ("body", "kind", "framing", "count"),
    [
        (as_sse(EVENTS), "responses", "sse", len(EVENTS) + 1),
        (as_sse(EVENTS).replace(b"\n", b"\r\n"), "responses", "sse", len(EVENTS) + 1),
        (b"\xef\xbb\xbf" + as_sse(EVENTS), "responses", "sse", len(EVENTS) + 1),
        (b": hello\n\n" + as_sse(EVENTS), "responses", "sse", len(EVENTS) + 1),
        (LINES, "responses", "lines", len(EVENTS)),
        (LINES + b"\n\n", "responses", "lines", len(EVENTS)),
        (as_sse(chunks(content="Hi")), "chat", "sse", 3),
        (b"\n".join(map(msgspec.json.encode, chunks(content="Hi"))), "chat", "lines", 2),
        (b'{"object":"chat.completion","choices":[]}', "chat", "lines", 1),
        (b'data: {"type":"message_start"}\n\n', "foreign", "sse", 1),
        (b"<html></html>", "nothing", "lines", 1),
        (b"", "nothing", "", 1),
    ],
    ids=[
        *("sse", "CRLF", "BOM", "comment first", "lines", "blank lines", "chat sse", "chat lines"),
        *("whole chat answer", "Anthropic", "page", "empty"),
    ],
)
def test_content_decides_what_a_file_is(body: bytes, kind: str, framing: str, count: int) -> None:
    recording = read_stream(body)
    assert (recording.kind, recording.framing) == (kind, framing)
    assert [len(turn) for turn in recording.turns] == [count]


def test_a_file_of_lines_may_hold_several_turns() -> None:
    body = b"\n".join(map(msgspec.json.encode, [*stream(call()), *EVENTS]))
    recording = read_stream(body)
    assert [turn[0].type for turn in recording.turns] == ["response.created"] * 2


def test_a_body_of_server_sent_events_is_one_turn() -> None:
    assert (
        len(read_stream(as_sse(EVENTS).replace(b"data: [DONE]\n\n", b"") + as_sse(EVENTS)).turns)
        == 1
    )


def test_a_type_of_ours_cannot_be_claimed() -> None:
    assert event_of({"type": "( done )"}, 0).type == "( untyped )"


RECORDED = Path(__file__).parents[2].parent / "shared" / "streams"
PAGE = Path(__file__).parents[2] / "docs" / "rules" / "known.md"
RESPONSES = sorted(
    path for end in ("sse", "jsonl") for path in RECORDED.glob(f"*/responses-*.{end}")
)
CHATS = sorted(path for end in ("sse", "jsonl") for path in RECORDED.glob(f"*/chat-*.{end}"))
needs_recordings = pytest.mark.skipif(not RESPONSES, reason="the recorded streams are not here")


def known_findings() -> dict[str, tuple[set[str], str]]:
    """The table of the page: stream, what is found in it, and who is not ready."""
    rows = [line.split("|") for line in PAGE.read_text(encoding="utf-8").splitlines()]
    return {
        cells[1].strip(): (set(cells[2].split()), cells[4].strip())
        for cells in rows
        if len(cells) > 4 and "/" in cells[1]
    }


@needs_recordings
@pytest.mark.parametrize("path", RESPONSES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_is_found_in_a_recorded_stream_stands_on_the_page(path: Path) -> None:
    report = check_stream(path.read_bytes())
    unready = [client for client, verdict in report.verdicts.items() if verdict != "ready"]
    found = ({finding.rule for finding in report.findings}, ", ".join(unready) or "nobody")
    name = f"{path.parent.name}/{path.name}"
    assert found == known_findings().get(name, (set(), "nobody"))
    assert report.kind == "responses"


@needs_recordings
def test_every_stream_on_the_page_is_a_recorded_one() -> None:
    assert known_findings().keys() <= {f"{path.parent.name}/{path.name}" for path in RESPONSES}


@needs_recordings
@pytest.mark.parametrize("path", CHATS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recorded_chat_stream_is_said_to_be_one(path: Path) -> None:
    report = check_stream(path.read_bytes())
    assert report.kind == read_stream(path.read_bytes()).kind == "chat"
    assert {finding.rule for finding in report.findings} == {"foreign.chat-chunk"}
