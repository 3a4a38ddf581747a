"""What the provider said against what the client read. The defects are in the rules' table."""

from __future__ import annotations

from typing import Any

import pytest

from anyturn.conformance import check_stream
from support.bent_streams import chunks, told_call
from support.responses_streams import as_sse, call, freeform, message, reasoning, stream

JSON = dict[str, Any]


def test_chunks_that_cannot_be_told_apart_are_not_judged() -> None:
    entry = {name: value for name, value in told_call().items() if name != "index"}
    report = check_stream(
        stream(message()), chunks=chunks(content="Hello there.", tool_calls=[entry])
    )
    assert report.findings == ()


@pytest.mark.parametrize(
    ("told", "sent"),
    [
        ('{"cmd":"date"', '{"cmd":"date"}'),
        ('{"n":120.0}', '{"n":120}'),
        ("", "{}"),
        ('{ "cmd": "date" }', '{"cmd":"date"}'),
    ],
    ids=["mended", "numbers", "empty", "spaces"],
)
def test_arguments_that_were_mended_are_the_providers_own(told: str, sent: str) -> None:
    told_chunks = chunks("tool_calls", tool_calls=[told_call(told)])
    assert check_stream(stream(call(sent)), chunks=told_chunks).findings == ()


def test_a_freeform_call_is_what_its_function_was_called_with() -> None:
    told = chunks("tool_calls", tool_calls=[told_call('{"input":"a\\tb"}', "apply_patch")])
    assert check_stream(stream(freeform("a\tb")), chunks=told).findings == ()


def test_a_namespaced_call_can_be_traced() -> None:
    told = chunks("tool_calls", tool_calls=[told_call("{}", "mcp__docs__search")])
    events = stream(call("{}", "search", namespace="mcp__docs"))
    assert check_stream(events, chunks=told).findings == ()


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content", "reasoning_text"])
def test_reasoning_is_found_under_all_its_names(name: str) -> None:
    told = chunks(content="Hello there.", **{name: "Let me see."})
    assert check_stream(stream(reasoning(), message()), chunks=told).findings == ()
    report = check_stream(stream(message()), chunks=told)
    assert [finding.rule for finding in report.findings] == ["fidelity.reasoning"]


def test_the_bytes_of_a_provider_are_read_as_well() -> None:
    report = check_stream(stream(message()), chunks=as_sse(chunks(content="Other words.")))
    assert [finding.rule for finding in report.findings] == ["fidelity.text"]


@pytest.mark.parametrize(
    "told",
    [
        [*chunks(content="Hel"), {"error": {"message": "Boom."}}],
        chunks(content="<think>Hm.</think>Hello there."),
        chunks(content=[{"type": "text", "text": "Hello there."}]),
        [{"choices": [{"delta": 7}]}, {"choices": 7}, {"usage": 7, "choices": None}],
    ],
    ids=["error", "think tags", "a list of parts", "nonsense"],
)
def test_what_cannot_be_judged_is_not_judged(told: list[JSON]) -> None:
    report = check_stream(stream(message()), chunks=told)
    assert {finding.rule for finding in report.findings} <= {"fidelity.end"}
