from __future__ import annotations

import msgspec
import pytest

from anyturn.capture import format as f
from anyturn.capture.chat_events import chat_events
from anyturn.capture.explain import explain
from anyturn.capture.timeline import CallLife, Said, timeline_of
from anyturn.wire import sse

REQUEST = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def delta(finish=None, **said):
    return {"choices": [{"index": 0, "delta": said, "finish_reason": finish}]}


def called(index=None, call_id=None, name=None, arguments=""):
    call = {"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}
    return delta(tool_calls=[{key: value for key, value in call.items() if value is not None}])


def captured(*chunks, turn="a", request=REQUEST, status="completed", started=""):
    texts = [sse.encode(msgspec.json.encode(chunk)).decode() for chunk in chunks]
    return f.Capture(
        records=[
            f.Head(turn=turn, passive=True, wire="chat", transport="http", started=started),
            f.ClientRequest(body=request),
            f.ProviderBytes(t=[10 * n for n in range(len(texts))], text=texts),
            f.End(t=1000, status=status),
        ]
    )


WHOLE = (
    delta(role="assistant", content=""),
    delta(reasoning_content="Hm", reasoning="Hm"),
    delta(reasoning_content="m."),
    delta(content="I run it."),
    called(0, "call_1", "run", '{"n"'),
    called(1, "call_2", "stop", "{}"),
    called(0, arguments=":1}"),
    delta(finish="tool_calls"),
    {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}},
)


def test_a_chat_answer_has_a_timeline() -> None:
    capture = captured(*WHOLE)
    timeline = timeline_of(capture)
    said = [(e.kind, e.text, e.began, e.ended) for e in timeline.entries if isinstance(e, Said)]
    assert said == [("reasoning", "Hmm.", 10, 70), ("text", "I run it.", 30, 70)]
    assert [(c.name, c.call_id, c.text, c.done) for c in timeline.calls] == [
        ("run", "call_1", '{"n":1}', 70),
        ("stop", "call_2", "{}", 70),
    ]
    assert (timeline.calls[0].first_delta, timeline.calls[0].last_delta) == (40, 60)
    assert capture.usage == (7, 3)
    assert [chunk.get("usage") for chunk in capture.said][-1]


def test_a_call_that_was_cut_off_was_not_handed_out() -> None:
    capture = captured(*WHOLE[:5], status="failed")
    (call,) = timeline_of(capture).calls
    assert call.done is None
    (verdict, *_) = explain(capture).verdicts
    assert (verdict.runs, verdict.rule) == (False, "I6")


def test_the_output_comes_with_a_later_request() -> None:
    later = {
        "messages": [
            {"role": "tool", "tool_call_id": "call_1", "content": "one"},
            {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "2"}]},
        ]
    }
    first = captured(*WHOLE, started="2026-01-01T00:00:00Z")
    second = captured(turn="b", request=later, started="2026-01-01T00:00:01Z")
    assert [call.output for call in timeline_of(first, [second]).calls] == ["one", "2"]
    explained = explain(first, [second])
    assert all(verdict.runs for verdict in explained.verdicts)
    assert "finish_reason" in explained.verdicts[0].what


def test_a_whole_document_is_read_as_well() -> None:
    message = {"content": "Hi", "tool_calls": [{"id": "c", "function": {"name": "run"}}]}
    body = msgspec.json.encode({"choices": [{"message": message, "finish_reason": "stop"}]})
    events = chat_events([(5, body[:20]), (9, body[20:])])
    assert {t for t, _ in events} == {9}
    done = [event["item"] for _, event in events if event["type"].endswith(".done")]
    assert [(item["type"], item.get("name")) for item in done] == [
        ("message", None),
        ("function_call", "run"),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"oops",
        b'data: {"choices":[1,{"delta":1},{"delta":{"tool_calls":[1,{"function":2}]}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":[]}}]}\n\n',
    ],
)
def test_odd_answers_do_no_harm(data: bytes) -> None:
    capture = f.Capture(records=[f.Head(wire="chat"), f.ProviderBytes(t=[0], text=[data.decode()])])
    assert all(isinstance(one, CallLife) for one in timeline_of(capture).entries)
