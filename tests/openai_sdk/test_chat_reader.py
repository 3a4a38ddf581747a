from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._models import construct_type
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from anyturn.openai_sdk import Rule
from anyturn.openai_sdk.chat_reader import ChatReader, Quirk
from anyturn.testing import Answer, Stamp, call, chunks, completion, interleaved, reasoning, text
from anyturn.testing.script import Quirk as Bend
from anyturn.translate.signals import Call, Finish, LeakedText, Reasoning, Text, UsageSeen
from support.sdk_chunks import delta


def sdk_chunks(answer: Answer) -> list[Any]:
    """The chunks of an answer as the SDK builds them: not validated, unknown members kept."""
    frames = [frame.removeprefix(b"data: ").strip() for frame in chunks(answer, Stamp())]
    return [
        construct_type(type_=ChatCompletionChunk, value=msgspec.json.decode(frame))
        for frame in frames
        if frame != b"[DONE]"
    ]


def read(answer: Answer) -> list[Any]:
    reader = ChatReader()
    said: list[Any] = []
    for chunk in sdk_chunks(answer):
        said += reader.read(chunk)
    return said + reader.close()


def calls_of(said: list[Any]) -> dict[int, tuple[str, str, str]]:
    found: dict[int, tuple[str, str, str]] = {}
    for one in said:
        if isinstance(one, Call):
            _, _, before = found.get(one.key, ("", "", ""))
            found[one.key] = (one.id, one.name, before + one.arguments)
    return found


TWO = {0: ("call_1", "a", '{"x":1}'), 1: ("call_2", "b", '{"y":2}')}


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(call("a", {"x": 1}), call("b", {"y": 2})), id="in turn"),
        pytest.param(Answer(interleaved(call("a", {"x": 1}), call("b", {"y": 2}))), id="F43"),
        pytest.param(
            Answer(call("a", {"x": 1}, Bend.NO_INDEX), call("b", {"y": 2}, Bend.NO_INDEX)), id="Q44"
        ),
        pytest.param(Answer(call("a", {"x": 1}, index=0), call("b", {"y": 2}, index=0)), id="Q45"),
        pytest.param(
            Answer(call("a", {"x": 1}, Bend.NEW_IDS), call("b", {"y": 2}, Bend.NEW_IDS)), id="Q46"
        ),
        pytest.param(
            Answer(call("a", {"x": 1}, Bend.EMPTY_REPEATS), call("b", {"y": 2})), id="Q47"
        ),
        pytest.param(Answer(call("a", {"x": 1}, Bend.REPEATS), call("b", {"y": 2})), id="Q48"),
        pytest.param(Answer(call("a", {"x": 1}, index=1), call("b", {"y": 2}, index=2)), id="Q50"),
        pytest.param(Answer(call("a", {"x": 1}, Bend.LATE_NAME), call("b", {"y": 2})), id="Q51"),
        pytest.param(Answer(call("a", {"x": 1}, Bend.WHOLE), call("b", {"y": 2})), id="Q52"),
        pytest.param(
            Answer(call("a", {"x": 1}, Bend.ARGUMENTS_AS_OBJECT), call("b", {"y": 2})), id="Q34"
        ),
    ],
)
def test_calls_are_told_apart_whatever_the_index_and_the_id(answer: Answer) -> None:
    assert calls_of(read(answer)) == TWO


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(Answer(call("a", {"x": 1}, Bend.NO_INDEX)), (Rule.INDEX_MIXED, 0), id="Q44"),
        pytest.param(
            Answer(call("a", {"x": 1}), call("b", index=0)), (Rule.INDEX_MIXED, 1), id="Q45"
        ),
        pytest.param(Answer(call("a", {"x": 1}, index=1)), (Rule.INDEX_MIXED, 0), id="Q50"),
        pytest.param(Answer(call("a", {"x": 1}, Bend.NEW_IDS)), (Rule.ID_CHANGED, 0), id="Q46"),
    ],
)
def test_indexes_and_ids_that_mislead_are_told(answer: Answer, expected: tuple[Rule, int]) -> None:
    quirks = {(one.rule, one.key) for one in read(answer) if isinstance(one, Quirk)}
    assert quirks == {expected}


def test_a_proper_stream_has_no_quirks() -> None:
    said = read(Answer(reasoning("hm"), text("Hi"), call("a", {"x": 1}), call("b")))
    assert not [one for one in said if isinstance(one, Quirk)]


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_is_found_in_members_that_the_sdk_does_not_know(field: str) -> None:
    said = read(Answer(reasoning("Let me see."), text("Hi"), reasoning_field=field))
    assert any(isinstance(one, Reasoning) for one in said)


def test_a_leaked_call_is_noticed() -> None:
    said = read(Answer(text('<tool_call>{"name": "a", "arguments": {}}</tool_call>')))
    assert any(isinstance(one, LeakedText) for one in said)


def test_json_text_is_no_leak() -> None:
    said = read(Answer(text('{"name": "Ada"}')))
    assert any(isinstance(one, Text) for one in said)
    assert not any(isinstance(one, LeakedText) for one in said)


bends = st.frozensets(
    st.sampled_from([bend for bend in Bend if bend is not Bend.ARGUMENTS_AS_OBJECT]), max_size=2
)
parts = st.one_of(
    st.builds(text, st.text("ab <{\n", min_size=1, max_size=30)),
    st.builds(reasoning, st.text("ab ", min_size=1, max_size=30)),
    st.builds(
        lambda name, value, bent, index: call(name, {"x": value}, *bent, index=index),
        st.sampled_from("ab"),
        st.text(max_size=30),
        bends,
        st.none() | st.integers(0, 2),
    ),
)


def _as_doubles(value: Any) -> Any:
    """The same chunk as plain objects, of which none takes the short cut."""
    if isinstance(value, dict):
        members = {"content": None, "tool_calls": None, "finish_reason": None, **value}
        return SimpleNamespace(**{name: _as_doubles(below) for name, below in members.items()})
    return [_as_doubles(one) for one in value] if isinstance(value, list) else value


@given(st.lists(parts, min_size=1, max_size=4), st.integers(1, 9))
def test_the_short_cut_changes_nothing(given_parts: list[Any], fragment: int) -> None:
    answer = Answer(*given_parts, fragment=fragment)
    short, long = ChatReader(), ChatReader()
    told_short: list[Any] = []
    told_long: list[Any] = []
    for chunk in sdk_chunks(answer):
        told_short += short.read(chunk)
        double = _as_doubles(chunk.to_dict())
        for choice in double.choices:
            for one in getattr(choice.delta, "tool_calls", None) or []:
                one.id = getattr(one, "id", None)
                one.function.name = getattr(one.function, "name", None)
                one.function.arguments = getattr(one.function, "arguments", None)
        told_long += long.read(double)
    told_short += short.close()
    told_long += long.close()
    assert calls_of(told_short) == calls_of(told_long)
    # The usage of the doubles is no object that can be dumped.
    kinds = {type(one) for one in told_short} - {UsageSeen}
    assert kinds == {type(one) for one in told_long}
    assert [one for one in told_short if isinstance(one, Finish)] == [
        one for one in told_long if isinstance(one, Finish)
    ]


def test_a_long_run_of_arguments_is_told_now_and_then() -> None:
    answer = Answer(call("a", {"x": "y" * 3000}), fragment=1)
    reader = ChatReader()
    told = [reader.read(chunk) for chunk in sdk_chunks(answer)]
    assert 5 < sum(bool(one) for one in told) < 20


def test_a_whole_answer_is_read() -> None:
    body = completion(Answer(text("Hi"), call("a", {"x": 1})), Stamp(stream=False))
    said = ChatReader(whole=True).read(ChatCompletion.model_validate(body))
    assert calls_of(said) == {0: TWO[0]}
    assert [type(one) for one in said if not isinstance(one, Call)] == [Text, Finish, UsageSeen]


def test_the_usage_chunk_has_no_choices() -> None:
    said = read(Answer(text("Hi"), usage={"prompt_tokens": 3, "completion_tokens": 4}))
    [usage] = [one.usage for one in said if isinstance(one, UsageSeen)]
    assert (usage.input_tokens, usage.output_tokens) == (3, 4)


@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param(MagicMock(), id="bare mock"),
        pytest.param(MagicMock(choices=[MagicMock()]), id="mock with a choice"),
        pytest.param(SimpleNamespace(choices=None), id="no choices"),
        pytest.param({"choices": [{"delta": {"content": None}}]}, id="dict"),
        pytest.param(delta(content=7, index="x", id=5, name=[], finish=None), id="wrong types"),
    ],
)
def test_a_chunk_that_says_nothing_says_nothing(chunk: Any) -> None:
    said = [one for one in ChatReader().read(chunk) if not isinstance(one, Call | Quirk)]
    assert said == []


def test_a_mock_with_a_call_is_read() -> None:
    function = MagicMock(arguments='{"x":1}')
    function.name = "a"
    one = MagicMock(index=0, id="call_1", function=function)
    choice = MagicMock(index=0, finish_reason="tool_calls")
    choice.delta = MagicMock(content=None, tool_calls=[one])
    said = ChatReader().read(MagicMock(choices=[choice]))
    assert calls_of(said) == {0: TWO[0]}
    assert said[-1].raw == "tool_calls"


def test_freeform_calls_are_read() -> None:
    custom = SimpleNamespace(name="patch", input="*** Begin Patch")
    one = SimpleNamespace(index=0, id="call_1", function=None, custom=custom)
    chunk = delta()
    chunk.choices[0].delta.tool_calls = [one]
    assert calls_of(ChatReader().read(chunk)) == {0: ("call_1", "patch", "*** Begin Patch")}


def test_the_old_function_call_is_read() -> None:
    chunk = delta(function_call=SimpleNamespace(name="a", arguments="{}"))
    assert calls_of(ChatReader().read(chunk)) == {0: ("", "a", "{}")}
