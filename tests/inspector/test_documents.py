from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.capture import format as f
from anyturn.captured_findings import findings_of
from anyturn.inspector.documents import chunks_in, document_of, links_of
from anyturn.inspector.rows import entry_of
from support.captured_turns import EVENTS, REQUEST, captured, records, without

JSON = dict[str, Any]
TIMES = st.lists(st.integers(-5, 50), max_size=30).map(sorted)


def document(capture: f.Capture, *later: f.Capture, live: bool = False) -> JSON:
    row = entry_of("a", 5, capture, findings_of, live=live).row
    return msgspec.json.decode(document_of(row, 7, capture, list(later), findings_of))


def test_a_document_has_both_wires_with_times() -> None:
    shown = document(captured())
    assert shown["version"] == 7
    assert shown["row"]["name"] == "a"
    assert shown["head"]["turn"] == "resp_1"
    assert shown["request"] == {"headers": {"user-agent": "codex/1"}, "body": REQUEST}
    assert [one["url"] for one in shown["asked"]] == ["http://p/v1"]
    assert [chunk["t"] for chunk in shown["chunks"]] == [900, 900, 900]
    assert shown["chunks"][-1]["data"] == "[DONE]"
    assert [one["event"] for one in shown["events"]] == EVENTS
    assert [one["t"] for one in shown["events"]] == [1000 * (1 + n) for n in range(len(EVENTS))]
    assert shown["end"]["status"] == "completed"
    assert shown["problems"] == []


def relayed(text: str, *events: JSON) -> f.Capture:
    head = f.Head(turn="t", passive=True, wire="responses")
    read = [f.Events(t=[5], events=[list(events)])] if events else []
    return f.Capture(records=[head, f.ProviderBytes(t=[5], text=[text]), *read, f.End(t=9)])


@pytest.mark.parametrize(
    ("text", "events", "chunks", "links"),
    [
        ('data: {"type":"a"}\n\ndata: [DONE]\n\n', ["a"], ["[DONE]"], [[0, 0]]),
        ('event: a\ndata: {"type":"a"}\n\n', ["a"], [], [[0, 0]]),
        (
            'data: {"type":"a"}\n\ndata: {"odd\n\ndata: {"type":"b"}\n\n',
            *(["a", "b"], ['{"odd'], [[0, 0], [1, 1]]),
        ),
        ('data: {"type":"a"}\n\n', ["a", "b"], [], [[0, 0], [0, 0]]),
        ('data: {"choices":[]}\n\n', [], ['{"choices":[]}'], []),
        ('data: {"type":"error"}\n\n', [], ['{"type":"error"}'], []),
        ('{"type":"a","x":1}', [], ['{"type":"a","x":1}'], []),
    ],
    ids=["done", "named", "odd", "more events", "chat", "chat error", "document"],
)
def test_what_a_relay_read_as_an_event_is_there_once(
    text: str, events: list[str], chunks: list[str], links: list[list[int]]
) -> None:
    shown = document(relayed(text, *[{"type": one} for one in events]))
    assert [one["event"]["type"] for one in shown["events"]] == events
    assert [one["data"] for one in shown["chunks"]] == chunks
    assert shown["links"] == links


def test_a_document_explains_its_turn() -> None:
    shown = document(captured(status="failed", error={"message": "No.", "source": "provider"}))
    told = shown["explanation"]
    assert told["summary"]
    assert told["verdicts"][-1]["whose"] == "the provider or its model"
    assert told["verdicts"][-1]["what"] == "No."


def test_outputs_come_from_later_turns() -> None:
    output = {"type": "function_call_output", "call_id": "call_1", "output": "It ran."}
    request = {**REQUEST, "input": [output]}
    later = captured(request=request, turn="resp_2", started="2026-01-02T03:04:06.000Z")
    (call,) = [e for e in document(captured(), later)["timeline"]["entries"] if "call_id" in e]
    assert call["output"] == "It ran."
    assert call["output_after"] == 1_000_000 - call["done"]


def test_findings_have_the_time_of_the_event_they_speak_of() -> None:
    shown = document(captured(events=[EVENTS[-1], *EVENTS]))
    placed = [one for one in shown["findings"] if one["where"]]
    assert placed
    for one in placed:
        assert one["t"] == shown["events"][int(one["where"].removeprefix("event "))]["t"]


def test_recorded_findings_and_adaptations_have_the_time_of_their_record() -> None:
    change = f.Change(rule="a.b", where="tools[0]", what="left out", lossy=True)
    found = f.Finding(rule="x", what="odd")
    more = [f.Changes(t=5, adaptations=[change]), f.Findings(t=6, findings=[found])]
    shown = document(f.Capture(records=[*records(), *more]))
    assert shown["adaptations"] == [
        {"rule": "a.b", "where": "tools[0]", "what": "left out", "lossy": True, "t": 5}
    ]
    assert [(one["rule"], one["t"]) for one in shown["findings"]] == [("x", 6)]


def test_a_turn_that_runs_is_not_judged_by_what_did_not_come_yet() -> None:
    begun = f.Capture(records=records(events=without("response.completed"))[:-1])
    begun.problems.append(f.BREAKS_OFF)
    shown = document(begun, live=True)
    assert shown["row"]["status"] == "live"
    assert shown["explanation"]["summary"].startswith("The turn is under way.")
    assert all(one["runs"] for one in shown["explanation"]["verdicts"])
    assert shown["findings"] == shown["problems"] == []
    assert document(begun)["problems"] == [f.BREAKS_OFF]


@pytest.mark.parametrize(
    "kept", [[], [0], [0, 1, 2, 3]], ids=["nothing", "a head", "a provider's stream alone"]
)
def test_what_is_not_there_is_empty(kept: list[int]) -> None:
    lines = records()
    shown = document(f.Capture(records=[lines[number] for number in kept]))
    assert shown["events"] == shown["links"] == []
    assert bool(shown["chunks"]) == (3 in kept)


# ---------------------------------------------------------------- chunks


@pytest.mark.parametrize(
    ("blocks", "found"),
    [
        ([], []),
        ([(1, b"data: a\n\n"), (2, b"data: b\n\n")], [(1, "a"), (2, "b")]),
        ([(1, b"data: a\n"), (2, b"\ndata: b\n\n")], [(2, "a"), (2, "b")]),
        ([(1, b": keep\n\nevent: e\ndata: a\n\n")], [(1, "event: e\ndata: a")]),
        ([(1, b"data: a\n\ndata: half")], [(1, "a"), (1, "half")]),
        ([(1, b' {"a":'), (9, b"1}")], [(9, ' {"a":1}')]),
        ([(1, b"data: \xff\n\n")], [(1, "\ufffd")]),
    ],
    ids=["none", "two", "split", "named", "half", "JSON", "no UTF-8"],
)
def test_a_chunk_is_a_message_with_the_time_at_which_it_was_whole(blocks: Any, found: Any) -> None:
    assert chunks_in(blocks, []) == found


def test_a_stream_without_an_end_is_told() -> None:
    problems: list[str] = []
    blocks = [(1, b"data: a\n\n"), (2, b"data: " + b"x" * 17_000_000)]
    chunks_in(blocks, problems)
    assert "longer than" in problems[0]


# ---------------------------------------------------------------- links


@pytest.mark.parametrize(
    ("chunks", "events", "links"),
    [
        ([], [1], [(0, 0)]),
        ([1, 2, 3], [], []),
        ([2, 3], [1, 2, 5, 5, 6], [(0, 0), (0, 1), (1, 2), (1, 2), (2, 2)]),
        ([5, 5, 5], [5], [(0, 3)]),
        ([5, 1, 6], [5, 6], [(0, 2), (2, 3)]),
    ],
    ids=["no chunk", "no event", "in turns", "at once", "a clock that went back"],
)
def test_an_event_is_linked_to_the_chunks_since_the_write_before(
    chunks: Any, events: Any, links: Any
) -> None:
    assert links_of(chunks, events) == links


@given(TIMES, TIMES)
def test_links_cover_the_chunks_in_order_and_none_twice(chunks: Any, events: Any) -> None:
    links = links_of(chunks, events)
    assert len(links) == len(events)
    writes = dict(zip(events, links, strict=True))
    assert all(writes[t] == link for t, link in zip(events, links, strict=True))
    place = 0
    for t, (begin, end) in writes.items():
        assert begin == place <= end
        assert all(chunk <= t for chunk in chunks[begin:end])
        place = end
    assert not events or all(chunk > events[-1] for chunk in chunks[place:])
