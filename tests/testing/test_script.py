from __future__ import annotations

from itertools import chain
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.testing import (
    Answer,
    Quirk,
    Raw,
    Recorded,
    ScriptError,
    Stamp,
    Usage,
    call,
    chunks,
    completion,
    interleaved,
    openai_error,
    raw_chunks,
    reasoning,
    text,
)
from anyturn.testing.script import sending
from anyturn.wire import sse


def bodies(answer: Answer, stamp: Stamp | None = None) -> list[dict[str, Any]]:
    """The chunks of an answer, decoded, without `[DONE]`."""
    decoder = sse.Decoder()
    messages = decoder.feed(b"".join(chunks(answer, stamp or Stamp())))
    return [msgspec.json.decode(one.data) for one in messages if one.data != b"[DONE]"]


def deltas(answer: Answer) -> list[dict[str, Any]]:
    return [body["choices"][0]["delta"] for body in bodies(answer) if body["choices"]]


def entries(answer: Answer) -> list[dict[str, Any]]:
    return list(chain(*(delta.get("tool_calls", []) for delta in deltas(answer))))


def finishes(answer: Answer) -> list[str]:
    choices = chain(*(body["choices"] for body in bodies(answer)))
    return [choice["finish_reason"] for choice in choices if choice["finish_reason"]]


# ---------------------------------------------------------------- text and reasoning


def test_an_answer_opens_with_the_role_and_ends_with_done() -> None:
    frames = chunks(Answer(text("Hello")))
    assert msgspec.json.decode(frames[0][6:])["choices"][0]["delta"]["role"] == "assistant"
    assert frames[-1] == b"data: [DONE]\n\n"


def test_text_is_cut_into_fragments() -> None:
    said = [delta["content"] for delta in deltas(Answer(text("abcdefg"), fragment=3))[1:-1]]
    assert said == ["abc", "def", "g"]


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_goes_into_its_field_before_the_text(field: str) -> None:
    answer = Answer(reasoning("hm"), text("yes"), reasoning_field=field)
    assert deltas(answer)[1:3] == [{field: "hm"}, {"content": "yes"}]


def test_parts_that_are_not_ascii_are_sent_as_they_are() -> None:
    wire = b"".join(chunks(Answer(text("naïve \u2028 ☃"), call("f", {"päth": "ü"}), fragment=99)))
    assert "naïve \u2028 ☃".encode() in wire
    assert r"{\"päth\":\"ü\"}".encode() in wire


def test_a_fragment_of_nothing_is_refused() -> None:
    with pytest.raises(ScriptError, match="fragment"):
        Answer(text("x"), fragment=0)


def test_an_answer_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Answer(text("x")).pace = 1.0  # type: ignore[misc]


# ---------------------------------------------------------------- calls


def test_a_call_opens_with_id_and_name_and_continues_with_arguments_alone() -> None:
    first, *later = entries(Answer(call("exec_command", {"cmd": "ls"}), fragment=6))
    assert first == {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "exec_command", "arguments": ""},
    }
    assert later == [
        {"index": 0, "function": {"arguments": '{"cmd"'}},
        {"index": 0, "function": {"arguments": ':"ls"}'}},
    ]


def test_ids_and_indexes_count_through_all_calls_of_an_answer() -> None:
    answer = Answer(call("a"), interleaved(call("b"), call("c", id="own")), call("d"))
    opened = [(one["id"], one["index"]) for one in entries(answer) if "id" in one]
    assert opened == [("call_1", 0), ("call_2", 1), ("own", 2), ("call_4", 3)]


def test_the_stamp_says_where_the_ids_begin() -> None:
    answer = Answer(call("a", "{}", Quirk.WHOLE))
    (opened,) = (body for body in bodies(answer, Stamp(first_call=7)) if "call_7" in str(body))
    assert opened["choices"][0]["delta"]["tool_calls"][0]["id"] == "call_7"


def test_broken_arguments_are_sent_unchanged() -> None:
    sent = "".join(one["function"]["arguments"] for one in entries(Answer(call("f", '{"a":'))))
    assert sent == '{"a":'


def test_interleaved_calls_take_turns() -> None:
    answer = Answer(interleaved(call("a", "1234"), call("b", "12")), fragment=2)
    assert [one["index"] for one in entries(answer)] == [0, 1, 0, 1, 0]


QUIRKS = {
    Quirk.ARGUMENTS_AS_OBJECT: [
        {"index": 0, "id": "i", "function": {"name": "f", "arguments": {"a": 1}}},
    ],
    Quirk.NO_INDEX: [
        {"id": "i", "function": {"name": "f", "arguments": ""}},
        {"function": {"arguments": '{"a"'}},
        {"function": {"arguments": ":1}"}},
    ],
    Quirk.NEW_IDS: [
        {"index": 0, "id": "i", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "id": "i_1", "function": {"name": None, "arguments": '{"a"'}},
        {"index": 0, "id": "i_2", "function": {"name": None, "arguments": ":1}"}},
    ],
    Quirk.EMPTY_REPEATS: [
        {"index": 0, "id": "i", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "id": "", "function": {"name": "", "arguments": '{"a"'}},
        {"index": 0, "id": "", "function": {"name": "", "arguments": ":1}"}},
    ],
    Quirk.REPEATS: [
        {"index": 0, "id": "i", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "id": "i", "function": {"name": "f", "arguments": '{"a"'}},
        {"index": 0, "id": "i", "function": {"name": "f", "arguments": ":1}"}},
    ],
    Quirk.NO_ID: [
        {"index": 0, "function": {"name": "f", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"a"'}},
        {"index": 0, "function": {"arguments": ":1}"}},
    ],
    Quirk.LATE_NAME: [
        {"index": 0, "id": "i", "function": {"arguments": ""}},
        {"index": 0, "function": {"arguments": '{"a"'}},
        {"index": 0, "function": {"name": "f", "arguments": ":1}"}},
    ],
    Quirk.WHOLE: [
        {"index": 0, "id": "i", "function": {"name": "f", "arguments": '{"a":1}'}},
    ],
}


@pytest.mark.parametrize(("quirk", "expected"), QUIRKS.items(), ids=lambda value: str(value)[:20])
def test_a_quirk_has_the_shape_seen_in_the_field(
    quirk: Quirk, expected: list[dict[str, Any]]
) -> None:
    sent = entries(Answer(call("f", {"a": 1}, quirk, id="i"), fragment=4))
    for one in sent:
        one.pop("type", None)
    assert sent == expected


def test_every_quirk_is_in_the_table() -> None:
    assert set(QUIRKS) == set(Quirk)


def test_all_calls_may_have_the_index_zero() -> None:
    """Q45."""
    answer = Answer(call("a", "{}", Quirk.WHOLE, index=0), call("b", "{}", Quirk.WHOLE, index=0))
    assert [(one["index"], one["id"]) for one in entries(answer)] == [(0, "call_1"), (0, "call_2")]


@given(
    arguments=st.text(st.characters(exclude_categories=["Cs"])),
    fragment=st.integers(1, 20),
    others=st.lists(st.text("ab"), max_size=3),
)
def test_the_fragments_of_every_call_add_up(
    arguments: str, fragment: int, others: list[str]
) -> None:
    script = [arguments, *others]
    answer = Answer(interleaved(*(call("f", one) for one in script)), fragment=fragment)
    sums = [""] * len(script)
    for entry in entries(answer):
        sums[entry["index"]] += entry["function"]["arguments"]
    assert sums == script


# ---------------------------------------------------------------- finish, usage, end


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(Answer(text("x")), ["stop"], id="text stops"),
        pytest.param(Answer(text("x"), call("f")), ["tool_calls"], id="a call is a tool turn"),
        pytest.param(Answer(interleaved(call("f"))), ["tool_calls"], id="interleaved calls too"),
        pytest.param(Answer(text("x"), finish="length"), ["length"], id="as scripted"),
        pytest.param(Answer(text("x"), finish=None), [], id="none at all"),
        pytest.param(Answer(), ["stop"], id="an empty answer"),
    ],
)
def test_the_finish_reason(answer: Answer, expected: list[str]) -> None:
    assert finishes(answer) == expected


def test_usage_comes_in_a_last_chunk_without_choices() -> None:
    *_, last = bodies(Answer(text("x"), usage=Usage(10, 5, cached=4, reasoning=2)))
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }


def test_usage_may_come_in_the_finish_chunk() -> None:
    *_, last = bodies(Answer(text("x"), usage={"total_tokens": 3}, usage_in_finish=True))
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"] == {"total_tokens": 3}


def test_made_up_usage_counts_reasoning_within_the_completion() -> None:
    answer = Answer(reasoning("r" * 40), text("t" * 20))
    *_, last = bodies(answer, Stamp(prompt_tokens=50))
    assert last["usage"]["prompt_tokens"] == 50
    assert last["usage"]["completion_tokens"] == 16
    assert last["usage"]["completion_tokens_details"] == {"reasoning_tokens": 10}


@pytest.mark.parametrize(
    ("answer", "asked", "sent"),
    [
        pytest.param(Answer(text("x")), False, False, id="made up and not asked for"),
        pytest.param(Answer(text("x")), True, True, id="made up and asked for"),
        pytest.param(Answer(text("x"), usage=Usage(1, 1)), False, True, id="scripted"),
        pytest.param(Answer(text("x"), usage=None), True, False, id="scripted away"),
        pytest.param(Answer(text("x"), usage_in_finish=True), False, True, id="in the finish"),
    ],
)
def test_usage_is_sent_when_it_is_asked_for_or_scripted(
    answer: Answer, asked: bool, sent: bool
) -> None:
    assert any("usage" in body for body in bodies(answer, Stamp(include_usage=asked))) is sent


def test_done_may_be_missing() -> None:
    assert b"[DONE]" not in b"".join(chunks(Answer(text("x"), done=False)))


def test_all_line_ends_may_be_crlf() -> None:
    frames = chunks(Answer(text("a\nb"), crlf=True))
    assert all(frame.endswith(b"\r\n\r\n") and frame.count(b"\n") == 2 for frame in frames)


@pytest.mark.parametrize(
    ("event_error", "prefix"),
    [(False, b'data: {"error":'), (True, b'event: error\ndata: {"error":')],
    ids=["data alone", "named event"],
)
def test_an_error_takes_the_place_of_the_rest(event_error: bool, prefix: bytes) -> None:
    answer = Answer(
        text("abc"), fragment=1, error_after=(2, {"message": "no"}), event_error=event_error
    )
    frames = chunks(answer)
    assert len(frames) == 4
    assert frames[2] == prefix + b'{"message":"no"}}\n\n'
    assert frames[3] == sse.DONE


def test_chunks_as_given_get_nothing_added_but_done() -> None:
    given_chunk = {"choices": [{"delta": None}], "odd": True}
    assert bodies(Answer(raw_chunks([given_chunk, {}]))) == [given_chunk, {}]
    assert chunks(Answer(raw_chunks([])))[-1] == sse.DONE


def test_chunks_as_given_may_stand_among_other_parts() -> None:
    answer = Answer(text("a"), raw_chunks([{"odd": True}]), usage=None)
    assert [next(iter(body)) for body in bodies(answer)] == ["id", "id", "odd", "id"]


# ---------------------------------------------------------------- whole answers


def test_a_whole_answer_says_the_same_as_its_stream() -> None:
    answer = Answer(reasoning("hm"), text("I "), text("will"), call("f", {"a": 1}))
    whole = completion(answer, Stamp(number=3, model="m", first_call=5))
    assert whole["object"] == "chat.completion"
    assert whole["model"] == "m"
    assert whole["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "I will",
                "reasoning": "hm",
                "tool_calls": [
                    {
                        "id": "call_5",
                        "type": "function",
                        "function": {"name": "f", "arguments": '{"a":1}'},
                    }
                ],
            },
            "finish_reason": "tool_calls",
        }
    ]
    assert whole["usage"] == bodies(answer)[-1]["usage"]


def test_a_whole_answer_of_calls_has_no_content() -> None:
    assert completion(Answer(call("f")))["choices"][0]["message"]["content"] is None


def test_a_whole_answer_may_lack_usage_and_be_an_error() -> None:
    assert "usage" not in completion(Answer(text("x"), usage=None))
    assert completion(Answer(error_after=(0, {"code": 502}))) == {"error": {"code": 502}}


def test_chunks_as_given_have_no_whole_form() -> None:
    with pytest.raises(ScriptError, match="without stream"):
        completion(Answer(raw_chunks([{}])))


# ---------------------------------------------------------------- what leaves


def test_raw_bytes_leave_in_one_frame() -> None:
    leaving = sending(Raw(b"<html>", content_type="text/html", status=502), Stamp())
    assert (leaving.frames, leaving.content_type, leaving.status) == (
        (b"<html>",),
        "text/html",
        502,
    )


def test_an_answer_without_stream_is_held_and_cut_at_once() -> None:
    leaving = sending(Answer(text("x"), hold_after=3, cut_after=4), Stamp(stream=False))
    assert (leaving.hold_after, leaving.cut_after) == (0, 0)
    assert leaving.content_type == "application/json"


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"], ids=["lf", "crlf", "cr"])
def test_a_recorded_stream_is_sent_message_by_message(tmp_path: Any, end: bytes) -> None:
    path = tmp_path / "x.sse"
    path.write_bytes(end.join([b"data: {}", b": note", b"data: [DONE]"]))
    assert Recorded(path).frames() == (b"data: {}" + end, b": note" + end, b"data: [DONE]")


def test_recorded_lines_are_framed_and_ended(tmp_path: Any) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a":1}\r\n\n{"b":2}')
    assert Recorded(path).frames() == (b'data: {"a":1}\n\n', b'data: {"b":2}\n\n', sse.DONE)


def test_an_error_body_has_openais_members() -> None:
    assert openai_error("no", code="c") == {
        "error": {"message": "no", "type": "invalid_request_error", "param": None, "code": "c"}
    }
