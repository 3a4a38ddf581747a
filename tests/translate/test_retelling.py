"""A stored response, told as a stream once more: by the same rules, to the same end."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.errors import Kind, TurnError
from anyturn.translate.retelling import retell
from anyturn.wire import responses as r
from support.provider_streams import Script, scripts
from support.stream_rules import check_stream
from support.turns import call_delta, chunk, new_machine, run_blocks, run_chunks, sse_stream

JSON = dict[str, Any]
# Events that say where something stands and what it became; deltas and numbers may differ.
DELTA = ".delta"


def retold(response: JSON) -> list[JSON]:
    """The events as a client reads them."""
    events: list[JSON] = msgspec.json.decode(msgspec.json.encode(retell(response)))
    return events


def milestones(events: list[JSON]) -> list[JSON]:
    """Events without deltas and numbers."""
    kept = [event for event in events if not event["type"].endswith(DELTA)]
    return [{name: value for name, value in e.items() if name != "sequence_number"} for e in kept]


def words(events: list[JSON]) -> dict[tuple[Any, ...], str]:
    """The sums of the deltas, for each place; not of arguments, which may have been mended."""
    sums: dict[tuple[Any, ...], str] = {}
    for event in events:
        if event["type"].endswith(DELTA) and "arguments" not in event["type"]:
            place = ("output_index", "content_index", "summary_index")
            key = (event["type"], *(event.get(name) for name in place))
            sums[key] = sums.get(key, "") + event["delta"]
    return sums


def assert_same_story(first: list[JSON]) -> None:
    """The stream that a client got, and the one that is made of its last event."""
    response = first[-1]["response"]
    again = retold(response)
    assert check_stream(again) == response
    told = {"error", "response.output_item.added"}
    for one, other in zip(milestones(first), milestones(again), strict=True):
        if one["type"] not in told:
            assert one == other
    assert words(first) == words(again)


@settings(max_examples=150)
@given(scripts(finishes=["stop", "tool_calls", "length", "content_filter"]), st.booleans())
def test_any_stream_that_was_sent_whole_is_told_again(script: Script, summary: bool) -> None:
    run = run_blocks([script.stream()], summary=summary, seal=True)
    response = run.decoded[-1]["response"]
    if response["status"] == "failed":
        # What was begun and not done is not stored.
        assert check_stream(retold(response)) == response
    else:
        assert_same_story(run.decoded)


@settings(max_examples=100)
@given(scripts(), st.floats(0, 1))
def test_whatever_a_stream_ended_with_is_told_again(script: Script, share: float) -> None:
    stream = script.stream()
    response = run_blocks([stream[: int(len(stream) * share)]]).decoded[-1]["response"]
    assert check_stream(retold(response)) == response


LOGPROB = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}
CITATION = {
    "type": "url_citation",
    "url_citation": {"url": "http://localhost/a", "title": "A", "start_index": 0, "end_index": 2},
}
CALL = [{"type": "function", "name": "f", "parameters": {"type": "object"}}]


@pytest.mark.parametrize(
    ("deltas", "options"),
    [
        ([chunk({"content": "Hi"})], {}),
        ([chunk({"refusal": "No."})], {}),
        ([chunk({"content": "Hi"}), chunk({"refusal": "No."}), chunk({"content": "!"})], {}),
        ([chunk({"reasoning": "Hm"}), chunk({"content": "Hi"})], {"seal": True}),
        ([chunk({"reasoning": "Hm"}), chunk({"content": "Hi"})], {"summary": True}),
        ([chunk({"content": "Hi", "annotations": [CITATION, CITATION]})], {}),
        ([chunk({"content": "Hi"}), chunk({"annotations": [CITATION]})], {}),
        ([chunk(call_delta("{}", "f", index=0, id="c1"))], {"tools": CALL}),
        ([chunk(call_delta("", "now", index=0, id="c1"))], {}),
        ([chunk(call_delta('{"input":"x"}', "apply_patch", index=0, id="c1"))], {}),
        ([chunk(call_delta('{"input":""}', "apply_patch", index=0, id="c1"))], {}),
        ([chunk({"content": "Look."}), chunk(call_delta("{}", "now", index=0, id="c1"))], {}),
    ],
    ids=[
        *("text", "refusal", "text and refusal", "sealed reasoning", "a summary", "annotations"),
        *("late annotations", "a call", "no arguments", "freeform", "empty input", "a preamble"),
    ],
)
def test_each_kind_of_item_is_told_again(deltas: list[JSON], options: JSON) -> None:
    assert_same_story(run_chunks(*deltas, chunk({}, "stop"), **options).decoded)


def test_logprobs_are_told_again() -> None:
    delta = chunk({"content": "Hi"})
    delta["choices"][0]["logprobs"] = {"content": [LOGPROB]}
    run = run_chunks(delta, chunk({}, "stop"))
    (told,) = [e for e in retold(run.decoded[-1]["response"]) if e["type"].endswith("text.done")]
    assert told["logprobs"] == run.decoded[-1]["response"]["output"][0]["content"][0]["logprobs"]
    assert_same_story(run.decoded)


BUILT_IN_CALLS = [
    r.ToolSearchCall("tsc_1", "c1", {"query": "x"}, "completed"),
    r.LocalShellCall("lsh_1", "c1", {"type": "exec", "command": ["ls"], "env": {}}, "completed"),
    r.ShellCall("sh_1", "c1", {"commands": ["ls"]}, "completed"),
    r.ApplyPatchCall("apc_1", "c1", {"type": "delete_file", "path": "a"}, "completed"),
    r.FunctionCall("fc_1", "c1", "f", "{}", "completed", namespace="mcp__docs"),
    r.ReasoningItem("rs_1", encrypted_content="anyturn1.x", status="completed"),
    r.CompactionItem("cmp_1", "anyturn1.x"),
]


@pytest.mark.parametrize("item", BUILT_IN_CALLS, ids=lambda item: type(item).__name__)
def test_an_item_that_comes_whole_is_told_again(item: r.Item) -> None:
    response = run_chunks(chunk({"content": "Hi"}), chunk({}, "stop")).decoded[-1]["response"]
    response["output"] = [msgspec.json.decode(msgspec.json.encode(item))]
    assert check_stream(retold(response)) == response


def test_a_failure_is_told_with_its_words() -> None:
    machine = new_machine()
    events = machine.start() + machine.fail(TurnError(Kind.PROVIDER_BROKEN, "It burned down."))
    response = msgspec.json.decode(msgspec.json.encode(events[-1].response))
    *_, error, failed = retold(response)
    assert (error["type"], error["message"]) == ("error", "It burned down.")
    assert failed["response"] == response == check_stream(retold(response))


@pytest.mark.parametrize(
    ("status", "names"),
    [
        ("queued", ["created", "queued"]),
        ("in_progress", ["created", "queued", "in_progress"]),
        ("cancelled", ["created", "queued", "in_progress"]),
        ("completed", ["created", "queued", "in_progress", "completed"]),
    ],
)
def test_a_background_response_is_told_as_far_as_it_came(status: str, names: list[str]) -> None:
    response = run_chunks(chunk({}, "stop")).decoded[-1]["response"]
    events = retold({**response, "background": True, "status": status})
    assert [event["type"].removeprefix("response.") for event in events] == names
    assert [event["response"]["status"] for event in events[:2]] == ["queued", "queued"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


def test_what_is_told_again_is_not_changed_by_telling_it() -> None:
    stream = sse_stream(chunk({"content": "Hi"}), chunk(call_delta("{}", "now", index=0, id="c")))
    cuts = sorted(random.Random(7).sample(range(len(stream)), 5))
    blocks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    response = run_blocks([*blocks, sse_stream(chunk({}, "stop"))]).decoded[-1]["response"]
    before = msgspec.json.encode(response)
    retell(response)
    assert msgspec.json.encode(response) == before
