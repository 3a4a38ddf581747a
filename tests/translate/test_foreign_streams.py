"""Streams of other APIs, from servers that were said to speak Responses (codex-cli.md 2.5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.errors import Kind
from anyturn.testing import Answer, Defect, call, reasoning, text
from anyturn.testing.responses_script import bent, event_stream
from anyturn.translate.foreign_streams import other_api
from support.relays import Relayed, relay_blocks, relay_events

JSON = dict[str, Any]
STREAMS = Path(__file__).parents[2].parent / "shared" / "streams"
CHUNKS = sorted(STREAMS.glob("*/chat-*tool*.sse"))
FOREIGN = [Defect.CHAT_CHUNKS, Defect.CONTENT_BLOCKS, Defect.BLOCKS_THEN_COMPLETED]


def stream(*parts: Any, defect: Defect, **options: Any) -> list[JSON]:
    answer = Answer(*parts, **{"fragment": 3, **options})
    return bent(event_stream(answer, {"model": "m"}, 1, 1, "s"), frozenset({defect}))


def relayed(*parts: Any, defect: Defect, **options: Any) -> Relayed:
    return relay_events(stream(*parts, defect=defect, **options))


def test_a_message_is_of_one_api() -> None:
    assert other_api("response.created") == other_api("ping") == ""
    assert other_api("content_block_delta") == "Anthropic's Messages"
    assert other_api("chat.completion.chunk") == "Chat Completions"


PARTS = st.lists(
    st.sampled_from(
        [
            *(text("I look."), reasoning("Hm."), call("shell", {"cmd": "ls -l"}), call("x", "")),
            call("patch", {"input": "*** Begin\n+ä"}),
        ]
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize("defect", FOREIGN)
@settings(max_examples=60, deadline=None)
@given(PARTS, st.integers(1, 40))
def test_every_word_and_call_comes_out_in_a_stream_that_keeps_the_rules(
    defect: Defect, parts: list[Any], fragment: int
) -> None:
    said = [*parts, text("So.")]
    run = relayed(*said, defect=defect, fragment=fragment)
    run.check()
    assert run.rules <= {"repair.foreign_stream", "usage.estimated"}
    calls = [item for item in run.done_items() if item["type"] == "function_call"]
    wanted = [part for part in said if type(part).__name__ == "Call"]
    assert [item["name"] for item in calls] == [part.name for part in wanted]
    assert all(isinstance(msgspec.json.decode(item["arguments"]), dict) for item in calls)
    assert len({item["call_id"] for item in calls}) == len(calls)


def test_the_tokens_of_both_ends_are_counted() -> None:
    run = relayed(text("So."), defect=Defect.CONTENT_BLOCKS)
    assert (run.response["usage"]["input_tokens"], run.response["usage"]["output_tokens"]) == (
        10,
        5,
    )


@pytest.mark.parametrize("defect", FOREIGN)
def test_a_stream_that_breaks_off_fails(defect: Defect) -> None:
    """I6."""
    events = stream(call("shell", {"cmd": "ls"}), defect=defect)
    keep = -1 if defect is not Defect.CONTENT_BLOCKS else -2
    run = relay_events(events[:keep])
    assert run.machine.error is not None and run.machine.error.kind is Kind.PROVIDER_BROKEN
    assert run.done_items() == []


def test_a_limit_makes_the_answer_incomplete() -> None:
    events = stream(text("So."), defect=Defect.CONTENT_BLOCKS)
    events[-2]["delta"]["stop_reason"] = "max_tokens"
    assert relay_events(events).response["status"] == "incomplete"


def test_an_error_in_the_stream_is_told() -> None:
    events = stream(text("So."), defect=Defect.CONTENT_BLOCKS)
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    run = relay_events([*events[:4], error])
    assert run.response["status"] == "failed"
    assert "Overloaded" in run.response["error"]["message"]


def test_an_answer_in_one_piece_is_read() -> None:
    called = {"id": "c", "function": {"name": "shell", "arguments": '{"cmd":"ls"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [called]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    body = {"id": "x", "object": "chat.completion", "choices": [choice]}
    run = relay_blocks([msgspec.json.encode(body)])
    assert [item["name"] for item in run.done_items()] == ["shell"]


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["", "x", "tool_use"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "id", "name", "text", "partial_json", "stop_reason"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=5,
)
PLACES = st.sampled_from(
    ["index", "delta", "content_block", "usage", "message", "choices", "object", "type"]
)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(FOREIGN),
    st.lists(st.tuples(st.integers(0, 30), PLACES, JUNK), max_size=5),
)
def test_whatever_comes_the_stream_ends_properly(
    defect: Defect, changes: list[tuple[int, str, Any]]
) -> None:
    events = stream(text("So."), call("shell", {"cmd": "ls"}), defect=defect)
    for position, place, junk in changes:
        at = position % len(events)
        events[at] = {**events[at], place: junk}
    run = relay_events(events)
    assert run.machine.terminal is not None


@pytest.mark.skipif(not CHUNKS, reason="the recorded streams are not here")
@pytest.mark.parametrize("path", CHUNKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_recorded_chunks_become_a_stream_that_keeps_the_rules(path: Path) -> None:
    run = relay_blocks([path.read_bytes()])
    if run.machine.error is None:
        run.check()
    assert "repair.foreign_stream" in run.rules
