from __future__ import annotations

from typing import Any

import msgspec
import pytest

from anyturn.errors import Kind
from anyturn.translate.signals import (
    Annotation,
    Call,
    Details,
    ExtraContent,
    Failure,
    Finish,
    Outcome,
    Reasoning,
    RefusalText,
    Signal,
    SignalReader,
    Text,
    ThinkBlock,
    UsageSeen,
)
from anyturn.wire.chat import Chunk
from anyturn.wire.profile import Profile
from anyturn.wire.responses import Usage

JSON = dict[str, Any]
PROFILE = Profile(name="acme", title="Acme")
SIGNED = {"google": {"thought_signature": "s"}}
OTHER = {"vertex": {"thought_signature": "t"}}


def read(*chunks: JSON, event: str = "") -> list[Signal]:
    reader = SignalReader(PROFILE)
    return [s for c in chunks for s in reader.read(msgspec.convert(c, Chunk), event)]


def said(delta: JSON, **members: Any) -> list[Signal]:
    return read({"choices": [{"index": 0, "delta": delta, **members}]})


@pytest.mark.parametrize(
    ("delta", "signals"),
    [
        pytest.param({"content": "a"}, [Text("a")], id="text"),
        pytest.param({"content": " "}, [Text(" ")], id="a space"),
        pytest.param({"content": ""}, [], id="empty text"),
        pytest.param({"content": None, "role": "assistant"}, [], id="Q15 only a role"),
        pytest.param({"content": 7, "refusal": 7, "reasoning": 7}, [], id="numbers for text"),
        pytest.param({"reasoning": "a"}, [Reasoning("a")], id="Q17 reasoning"),
        pytest.param({"reasoning_content": "a"}, [Reasoning("a")], id="Q17 reasoning_content"),
        pytest.param({"reasoning_text": "a"}, [Reasoning("a")], id="Q17 reasoning_text"),
        pytest.param(
            {"reasoning": "a", "reasoning_content": "a"}, [Reasoning("a")], id="Q17 the same twice"
        ),
        pytest.param(
            {"reasoning": "", "reasoning_content": "a"},
            [Reasoning("a")],
            id="Q17 the first is empty",
        ),
        pytest.param(
            {"reasoning_details": [{"type": "reasoning.text", "text": "a"}, {"summary": "b"}]},
            [
                Reasoning("a"),
                Reasoning("b"),
                Details([{"type": "reasoning.text", "text": "a"}, {"summary": "b"}]),
            ],
            id="Q18 details alone",
        ),
        pytest.param(
            {"reasoning": "a", "reasoning_details": [{"text": "a"}]},
            [Reasoning("a"), Details([{"text": "a"}])],
            id="Q18 details beside the plain form",
        ),
        pytest.param(
            {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}, None, "y"]},
            [Details([{"type": "reasoning.encrypted", "data": "x"}, None, "y"])],
            id="Q18 encrypted details are not shown",
        ),
        pytest.param({"reasoning_details": {"text": "a"}}, [], id="Q18 details that are no list"),
        pytest.param(
            {"content": "a", "extra_content": SIGNED},
            [Text("a"), ExtraContent(None, SIGNED)],
            id="Q24 a signature of the message",
        ),
        pytest.param(
            {"content": "a", "extra_content": {"google": {"thought": True}}},
            [Text("a")],
            id="Q24 no signature",
        ),
        pytest.param(
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "a"}, "x"]},
                    {"type": "thinking", "thinking": "b"},
                    {"type": "text", "text": "c"},
                    {"type": "refusal", "refusal": "d"},
                    {"type": "reference", "reference_ids": [1]},
                    "e",
                ]
            },
            [Reasoning("a"), Reasoning("b"), Text("c"), RefusalText("d")],
            id="Q20, Q78 content as parts",
        ),
        pytest.param({"refusal": "a"}, [RefusalText("a")], id="Q78 refusal"),
        pytest.param({"audio": {"id": "x"}, "channel": "y"}, [], id="Q81, Q82 unknown members"),
        pytest.param(
            {"content": "b", "reasoning": "a", "refusal": "c"},
            [Reasoning("a"), Text("b"), RefusalText("c")],
            id="several in one delta",
        ),
    ],
)
def test_a_delta_says(delta: JSON, signals: list[Signal]) -> None:
    assert said(delta) == signals


def test_the_message_of_a_whole_answer_is_read_like_a_delta() -> None:
    """F54."""
    message = {"role": "assistant", "content": "a", "reasoning": "b"}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    assert read(body) == [Reasoning("b"), Text("a"), Finish(Outcome.COMPLETE, "stop")]


def test_log_probabilities_go_with_their_text() -> None:
    logprobs = {"content": [{"token": "a", "logprob": -0.1}]}
    assert said({"content": "a"}, logprobs=logprobs) == [Text("a", logprobs)]


# ---------------------------------------------------------------- calls


@pytest.mark.parametrize(
    ("of_delta", "of_calls", "extras"),
    [
        pytest.param(None, [SIGNED, None], [(0, SIGNED)], id="the first of parallel calls"),
        pytest.param(None, [SIGNED, OTHER], [(0, SIGNED), (1, OTHER)], id="every call"),
        pytest.param(SIGNED, [None, None], [(0, SIGNED)], id="on the delta"),
        pytest.param(SIGNED, [OTHER, None], [(0, OTHER)], id="a call's own counts"),
        pytest.param(None, ["x", {}], [], id="wrong types"),
    ],
)
def test_the_extra_content_of_calls_is_told_q24(
    of_delta: Any, of_calls: list[Any], extras: list[tuple[int, Any]]
) -> None:
    calls = [
        {"index": n, "id": f"c{n}", "function": {"name": "f"}, "extra_content": extra}
        for n, extra in enumerate(of_calls)
    ]
    told = said({"tool_calls": calls, "extra_content": of_delta})
    assert told[:2] == [Call(0, "c0", "f", ""), Call(1, "c1", "f", "")]
    assert told[2:] == [ExtraContent(*extra) for extra in extras]


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        (["<think>a</think>\n\nb"], [Reasoning("a"), ThinkBlock("", "\n\n"), Text("b")]),
        (
            ["\n<think>a</think>\n", "\nb", "c"],
            [Reasoning("a"), ThinkBlock("\n", "\n\n"), Text("b"), Text("c")],
        ),
        (["<think>a</think>\n"], [Reasoning("a"), ThinkBlock("", "\n")]),
        (["<think>a"], [Reasoning("a")]),
        (["a"], [Text("a")]),
    ],
    ids=["whole", "in pieces", "nothing behind it", "never closed", "none"],
)
def test_a_think_block_is_told_when_it_is_closed_q19(
    contents: list[str], expected: list[Signal]
) -> None:
    reader = SignalReader(PROFILE.replacing(think_tags=True))
    chunks = [{"choices": [{"delta": {"content": content}}]} for content in contents]
    told = [s for c in chunks for s in reader.read(msgspec.convert(c, Chunk))]
    assert told + reader.close() == expected


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        pytest.param(
            {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}},
            Call(0, "c", "f", "{"),
            id="plain",
        ),
        pytest.param(
            {"function": {"name": "f", "arguments": {"a": "é"}}},
            Call(0, "", "f", '{"a":"é"}'),
            id="Q34 arguments as an object",
        ),
        pytest.param({"function": {"name": "f"}}, Call(0, "", "f", ""), id="Q33 no arguments"),
        pytest.param(
            {"function": {"name": "f", "arguments": None}}, Call(0, "", "f", ""), id="Q33 null"
        ),
        pytest.param(
            {"function": {"name": "f", "arguments": []}}, Call(0, "", "f", ""), id="an empty list"
        ),
        pytest.param({"id": "", "function": {"name": ""}}, Call(0, "", "", ""), id="Q47 empty"),
        pytest.param(
            {"id": 7, "index": [], "function": {"name": 3}},
            Call(0, "", "", ""),
            id="Q56 wrong types",
        ),
        pytest.param({"index": 0, "function": None}, Call(0, "", "", ""), id="Q56 null function"),
        pytest.param({}, Call(0, "", "", ""), id="nothing at all"),
    ],
)
def test_a_call_delta_says(entry: JSON, expected: Call) -> None:
    assert said({"tool_calls": [entry]}) == [expected]


def test_a_call_keeps_its_first_id_and_name() -> None:
    """Q47, Q48: never overwritten, never appended."""
    first = {"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}
    later = [{"index": 0, "id": i, "function": {"name": n}} for i, n in (("c", "f"), ("", None))]
    chunks = [{"choices": [{"delta": {"tool_calls": [entry]}}]} for entry in (first, *later)]
    assert read(*chunks) == [Call(0, "c", "f", "")] * 3


def test_the_older_function_call_is_a_call() -> None:
    chunks = [
        {"choices": [{"delta": {"function_call": {"name": "f", "arguments": ""}}}]},
        {"choices": [{"delta": {"function_call": {"arguments": "{}"}}}]},
    ]
    assert read(*chunks) == [Call(0, "", "f", ""), Call(0, "", "f", "{}")]


# ---------------------------------------------------------------- choices


@pytest.mark.parametrize(
    ("choices", "texts"),
    [
        pytest.param([{"index": 1, "delta": {"content": "x"}}], [], id="Q80 index 1"),
        pytest.param(
            [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"content": "x"}}],
            ["a"],
            id="Q80 two choices",
        ),
        pytest.param([{"delta": {"content": "a"}}], ["a"], id="no index"),
        pytest.param([{"index": None, "delta": {"content": "a"}}], ["a"], id="null index"),
        pytest.param([{"index": "0", "delta": {"content": "a"}}], ["a"], id="index as text"),
        pytest.param([{"index": 0, "delta": None}], [], id="Q14 null delta"),
        pytest.param([{"index": 0}], [], id="Q14 no delta"),
        pytest.param([], [], id="Q13 no choices"),
        pytest.param(None, [], id="null choices"),
    ],
)
def test_only_the_first_choice_counts(choices: list[JSON] | None, texts: list[str]) -> None:
    assert read({"choices": choices}) == [Text(text) for text in texts]


def test_a_chunk_wrapped_in_data_is_unwrapped() -> None:
    """Q12."""
    inner = {"choices": [{"delta": {"content": "a"}}], "usage": {"prompt_tokens": 1}}
    assert read({"success": True, "data": inner}) == [Text("a"), UsageSeen(Usage(1, 0, 1))]


@pytest.mark.parametrize(
    "chunk",
    [
        {"success": False, "message": "no luck", "data": {}},
        {"success": False, "message": "no luck", "data": {"choices": []}},
        {"data": {"choices": [{"delta": {}, "error": {"message": "no luck"}}]}},
        {"data": {"choices": [], "error": {"message": "no luck"}}},
        {"code": 500, "message": "no luck", "data": None},
    ],
    ids=["success false", "with choices", "in the wrapped choice", "wrapped", "null data"],
)
def test_an_error_around_or_inside_data_is_not_lost(chunk: JSON) -> None:
    """Q12, F55."""
    [failure] = read(chunk)
    assert isinstance(failure, Failure) and "no luck" in failure.error.message


# ---------------------------------------------------------------- finish


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        *(
            (r, Outcome.COMPLETE)
            for r in ("stop", "tool_calls", "function_call", "end", "eos", "?")
        ),
        *((r, Outcome.LENGTH) for r in ("length", "LENGTH", "max_tokens", "model_length")),
        *((r, Outcome.FILTERED) for r in ("content_filter", "sensitive", "safety")),
    ],
)
def test_a_finish_reason_means(reason: str, outcome: Outcome) -> None:
    """Q60."""
    assert said({}, finish_reason=reason) == [Finish(outcome, reason)]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("error", Kind.PROVIDER_BROKEN),
        ("abort", Kind.PROVIDER_BROKEN),
        ("network_error", Kind.PROVIDER_BROKEN),
        ("insufficient_system_resource", Kind.PROVIDER_BROKEN),
        ("model_context_window_exceeded", Kind.CONTEXT_OVERFLOW),
    ],
)
def test_a_finish_reason_that_is_a_failure(reason: str, kind: Kind) -> None:
    """Q60, F53."""
    [failure] = said({}, finish_reason=reason)
    assert isinstance(failure, Failure) and failure.error.kind is kind


@pytest.mark.parametrize("reason", [None, ""], ids=["null", "empty"])
def test_no_finish_reason_is_no_finish(reason: str | None) -> None:
    assert said({}, finish_reason=reason) == []


def test_the_words_of_an_error_win_over_its_finish_reason() -> None:
    """Q7, I6: the client must read what the provider said."""
    error = {"code": 502, "message": "upstream fell over"}
    choice = {"index": 0, "delta": {"content": "a"}, "finish_reason": "error"}
    text, failure = read({"choices": [choice], "error": error})
    assert text == Text("a")
    assert isinstance(failure, Failure) and "upstream fell over" in failure.error.message


def test_an_event_named_error_is_a_failure() -> None:
    """Q3."""
    [failure] = read({"error": {"message": "bad call"}}, event="error")
    assert isinstance(failure, Failure) and "bad call" in failure.error.message


# ---------------------------------------------------------------- usage

TOLD = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param({"choices": [], "usage": TOLD}, id="chunk without choices"),
        pytest.param({"choices": [{"delta": {}}], "usage": TOLD}, id="beside a delta"),
        pytest.param({"choices": [{"delta": {}, "usage": TOLD}]}, id="in the choice"),
        pytest.param({"choices": [{"delta": {}}], "x_groq": {"usage": TOLD}}, id="x_groq"),
        pytest.param({"choices": [], "usage": TOLD, "x_groq": {"id": "r"}}, id="beside x_groq"),
        pytest.param(
            {"choices": [], "usage": None, "x_groq": {"usage": TOLD}}, id="null beside x_groq"
        ),
    ],
)
def test_usage_is_found_wherever_it_stands(chunk: JSON) -> None:
    """Q61."""
    assert read(chunk) == [UsageSeen(Usage(3, 4, 7))]


@pytest.mark.parametrize(
    "usage", [None, {}, {"cost": 1}, "x"], ids=["null", "empty", "cost", "text"]
)
def test_usage_without_counts_says_nothing(usage: Any) -> None:
    assert read({"choices": [], "usage": usage, "x_groq": {"id": "r"}}) == []


# ---------------------------------------------------------------- citations


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        pytest.param(
            {
                "type": "url_citation",
                "url_citation": {"url": "u", "title": "t", "start_index": 2, "end_index": 5},
            },
            {"type": "url_citation", "url": "u", "title": "t", "start_index": 2, "end_index": 5},
            id="Chat nests it",
        ),
        pytest.param(
            {"type": "url_citation", "url_citation": {"url": "u", "title": None, "content": "c"}},
            {
                "type": "url_citation",
                "url": "u",
                "title": "",
                "start_index": 0,
                "end_index": 0,
                "content": "c",
            },
            id="with members missing",
        ),
        pytest.param(
            {"type": "file", "name": "n"}, {"type": "file", "name": "n"}, id="another type"
        ),
    ],
)
def test_a_citation_is_told_in_the_flat_form_of_responses(annotation: JSON, expected: JSON) -> None:
    """Q79."""
    assert said({"annotations": [annotation, None, "x"]}) == [Annotation(expected)]
