from __future__ import annotations

from typing import Any

import msgspec
import pytest

from anyturn.relay.reading import TurnReader, kept_headers
from anyturn.relay.turns import LEFT, broken_answer, whole_answer
from anyturn.turn_recording import Ending
from anyturn.wire import sse

JSON = dict[str, Any]


def stream(*events: JSON) -> str:
    return b"".join(sse.encode(msgspec.json.encode(one)) for one in events).decode()


def terminal(kind: str, **response: Any) -> JSON:
    return {"type": f"response.{kind}", "response": {"id": "r", **response}}


def chunk(finish: str | None = None) -> JSON:
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}


def ended(wire: str, text: str, ending: Ending) -> Ending:
    reader = TurnReader(wire, b"", "")
    for number in range(0, len(text), 50):
        reader.events(text[number : number + 50])
    return reader.ending(ending)


DOCUMENT = '{"id":"r","object":"response","status":"%s","error":null,\n"output":[]}'
OK = whole_answer(200, {})
ENDS = {
    "completed": ("responses", stream(terminal("completed")), OK, "completed"),
    "incomplete": ("responses", stream(terminal("incomplete")), OK, "incomplete"),
    "failed": ("responses", stream(terminal("failed", error={"message": "No."})), OK, "failed"),
    "error event": ("responses", stream({"type": "error", "message": "No."}), OK, "failed"),
    "no terminal event": ("responses", stream({"type": "response.created"}), OK, "failed"),
    "nothing": ("responses", "", OK, "failed"),
    "document": ("responses", DOCUMENT % "completed", OK, "completed"),
    "document, incomplete": ("responses", DOCUMENT % "incomplete", OK, "incomplete"),
    "terminal, then broken": (
        *("responses", stream(terminal("completed"))),
        *(broken_answer(200, {}, "It broke."), "completed"),
    ),
    "broken": ("responses", "", broken_answer(200, {}, "It broke."), "failed"),
    "left": ("responses", stream({"type": "response.created"}), LEFT, "left"),
    "left with the answer": ("responses", stream(terminal("completed")), LEFT, "completed"),
    "left with a failed one": (
        *("responses", stream(terminal("failed", error={"message": "No."})), LEFT, "failed"),
    ),
    "chat left": ("chat", stream(chunk()), LEFT, "left"),
    "chat left with the answer": ("chat", stream(chunk("stop")), LEFT, "completed"),
    "HTTP 500": ("responses", "oops", whole_answer(500, {}), "failed"),
    "chat stop": ("chat", stream(chunk(), chunk("stop"), {"choices": []}), OK, "completed"),
    "chat tool_calls": ("chat", stream(chunk("tool_calls")), OK, "completed"),
    "chat length": ("chat", stream(chunk("length")), OK, "incomplete"),
    "chat without an end": ("chat", stream(chunk()), OK, "failed"),
    "chat error": ("chat", stream(chunk(), {"error": {"message": "No."}}), OK, "failed"),
    "chat document": ("chat", '{"choices":[{"finish_reason":"stop"}]}', OK, "completed"),
}


@pytest.mark.parametrize(("wire", "text", "ending", "status"), ENDS.values(), ids=ENDS)
def test_how_a_turn_ended(wire: str, text: str, ending: Ending, status: str) -> None:
    told = ended(wire, text, ending)
    assert told.status == status
    assert (told.error is not None) is (status == "failed")


@pytest.mark.parametrize(
    ("body", "words", "code"),
    [
        ('{"error":{"message":"No.","code":"c"}}', "No.", "c"),
        ('{"error":{"message":"No.","type":"t","code":null}}', "No.", "t"),
        ('{"error":"No."}', "No.", ""),
        ('{"detail":"No."}', "No.", ""),
        ('{"message":"No."}', "No.", ""),
        ('[{"error":{}}]', "The backend answered HTTP 400.", ""),
        ("<html>", "The backend answered HTTP 400.", ""),
    ],
)
def test_a_refusal_is_told_in_the_backends_words(body: str, words: str, code: str) -> None:
    error = ended("responses", body, whole_answer(400, {})).error
    assert error is not None
    assert (error["message"], error["code"], error["source"]) == (words, code, "provider")


def test_events_stay_as_they_came() -> None:
    event = '{"type":"x", "n":1.50, "big":123456789012345678901234567890}'
    (raw,) = TurnReader("responses", b"", "").events(f"event: x\ndata: {event}\n\n")
    assert msgspec.json.encode(raw).decode() == event


def test_events_on_several_lines_become_one() -> None:
    """A record of a capture is a line."""
    (read,) = TurnReader("responses", b"", "").events('data: {"type":"x",\ndata: "n":1}\n\n')
    assert b"\n" not in msgspec.json.encode(read)


@pytest.mark.parametrize("text", ["data: [DONE]\n\n", ": keep\n\n", "data: {\n\n", "data: 1\n\n"])
def test_what_is_no_event_is_left_out(text: str) -> None:
    assert TurnReader("responses", b"", "").events(text) == []


def test_of_an_answers_headers_the_telling_values_stay() -> None:
    headers = {
        "Content-Type": "text/event-stream",
        "X-RateLimit-Remaining": "5",
        "Set-Cookie": "a=b",
        "x-request-id": "q",
    }
    assert kept_headers(headers) == {
        "content-type": "text/event-stream",
        "x-ratelimit-remaining": "5",
        "set-cookie": "<redacted>",
        "x-request-id": "<redacted>",
    }
