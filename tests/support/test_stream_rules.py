"""The checker itself: a rule that cannot be broken checks nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from support.stream_rules import Broken, check_stream, decode_events
from support.turns import call_delta, chunk, run_chunks

JSON = dict[str, Any]
Events = list[JSON]


@pytest.fixture(scope="module")
def good() -> Events:
    """Reasoning, text and two calls: every kind of item."""
    return run_chunks(
        chunk({"reasoning": "Hm"}),
        chunk({"content": "Hello"}),
        chunk({"content": " world"}),
        chunk(call_delta('{"a":', "shell", index=0, id="call_1")),
        chunk(call_delta("1}", index=0)),
        chunk(call_delta('{"input":"x"}', "apply_patch", index=1, id="call_2")),
        chunk({}, "tool_calls", usage={"prompt_tokens": 1, "completion_tokens": 2}),
    ).decoded


def at(kind: str, number: int = 0) -> Callable[[Events], int]:
    def find(events: Events) -> int:
        places = [i for i, e in enumerate(events) if e["type"] == f"response.{kind}"]
        return places[number]

    return find


def change(kind: str, *path: Any, to: Any, number: int = 0) -> Callable[[Events], None]:
    def apply(events: Events) -> None:
        target: Any = events[at(kind, number)(events)]
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = to

    return apply


def drop(kind: str, number: int = 0) -> Callable[[Events], None]:
    def apply(events: Events) -> None:
        del events[at(kind, number)(events)]
        renumber(events)

    return apply


def double(kind: str) -> Callable[[Events], None]:
    def apply(events: Events) -> None:
        place = at(kind)(events)
        events.insert(place, copy.deepcopy(events[place]))
        renumber(events)

    return apply


def remove(kind: str, *path: Any) -> Callable[[Events], None]:
    def apply(events: Events) -> None:
        target: Any = events[at(kind)(events)]
        for step in path[:-1]:
            target = target[step]
        del target[path[-1]]

    return apply


def renumber(events: Events) -> None:
    for number, event in enumerate(events):
        event["sequence_number"] = number


DELTA, DONE = "output_text.delta", "output_text.done"
ADDED, FINISHED = "output_item.added", "output_item.done"
ARGUMENTS = "function_call_arguments"


@pytest.mark.parametrize(
    ("rule", "damage"),
    [
        pytest.param("I1", change(DELTA, "item_id", to="msg_9"), id="delta of another item"),
        pytest.param("I1", change(DELTA, "content_index", to=1), id="delta of no part"),
        pytest.param("I1", drop(ADDED), id="item never announced"),
        pytest.param("I1", drop("content_part.added"), id="part never announced"),
        pytest.param("I1", double(ADDED), id="item announced twice"),
        pytest.param("I1", drop(FINISHED), id="item never done"),
        pytest.param("I2", change(ADDED, "output_index", to=7), id="index with a gap"),
        pytest.param("I2", change(DELTA, "output_index", to=0), id="delta under another index"),
        pytest.param("I3", change(FINISHED, "item", "id", to="rs_9"), id="id changes"),
        pytest.param(
            "I3", change(FINISHED, "item", "call_id", to="call_9", number=2), id="call_id changes"
        ),
        pytest.param(
            "I3", change(ADDED, "item", "call_id", to="call_1", number=3), id="call_id twice"
        ),
        pytest.param("I3", change("completed", "response", "id", to="x"), id="response id changes"),
        pytest.param("I4", change("completed", "response", "output", to=[]), id="empty output"),
        pytest.param(
            "I4",
            change("completed", "response", "output", 1, "content", 0, "text", to="Hello"),
            id="terminal text differs",
        ),
        pytest.param("I5", change(DONE, "text", to="Hello"), id="done text differs"),
        pytest.param("I5", drop(DELTA), id="a delta is missing"),
        pytest.param(
            "I5", change(f"{ARGUMENTS}.done", "arguments", to="{}"), id="arguments differ"
        ),
        pytest.param("I5", drop(f"{ARGUMENTS}.done"), id="no done for arguments"),
        pytest.param("I5", drop(DONE), id="no done for text"),
        pytest.param("I5", drop("content_part.done"), id="no done for a part"),
        pytest.param("I5", drop("completed"), id="no terminal event"),
        pytest.param("I5", double("completed"), id="two terminal events"),
        pytest.param("I5", change("content_part.done", "part", "text", to="x"), id="part differs"),
        pytest.param(
            "I6", change(FINISHED, "item", "status", to="incomplete"), id="cut, completed"
        ),
        pytest.param("order", change(DELTA, "sequence_number", to=3), id="number out of order"),
        pytest.param("order", drop("created"), id="not created"),
        pytest.param("order", drop("in_progress"), id="not in progress"),
        pytest.param("order", change("created", "response", "status", to="x"), id="wrong opening"),
        pytest.param("shape", remove(DELTA, "logprobs"), id="no logprobs"),
        pytest.param("shape", change(DELTA, "delta", to=""), id="empty delta"),
        pytest.param("shape", change(DELTA, "type", to="response.text"), id="unknown event"),
        pytest.param("shape", remove("completed", "response", "tools"), id="no tools"),
        pytest.param("shape", change("completed", "response", "usage", to=None), id="no usage"),
        pytest.param(
            "shape", change("completed", "response", "tool_choice", to=None), id="null tool_choice"
        ),
        pytest.param(
            "shape", change(ADDED, "item", "encrypted_content", to=None), id="null member"
        ),
        pytest.param("shape", remove(ADDED, "item", "summary"), id="no summary"),
        pytest.param(
            "shape", change("completed", "response", "status", to="failed"), id="wrong status"
        ),
    ],
)
def test_a_stream_that_breaks_a_rule_is_found(
    good: Events, rule: str, damage: Callable[[Events], None]
) -> None:
    events = copy.deepcopy(good)
    damage(events)
    if rule == "I6":
        events[-1]["response"]["output"][0]["status"] = "incomplete"
    with pytest.raises(Broken) as caught:
        check_stream(events)
    assert str(caught.value).startswith(f"{rule}:")


@pytest.mark.parametrize(
    ("rule", "damage"),
    [
        pytest.param(
            "shape", change(ADDED, "item", "encrypted_content", to="a"), id="opens with content"
        ),
        pytest.param("shape", remove(FINISHED, "item", "encrypted_content"), id="no content"),
        pytest.param("F61", change(FINISHED, "item", "encrypted_content", to=""), id="empty"),
        pytest.param("I3", change(FINISHED, "item", "id", to="cmp_9"), id="id changes"),
        pytest.param("I4", change("completed", "response", "output", to=[]), id="empty output"),
    ],
)
def test_a_compaction_that_breaks_a_rule_is_found(
    rule: str, damage: Callable[[Events], None]
) -> None:
    events = run_chunks(chunk({"content": "It ran."}, "stop"), compacts=True).decoded
    damage(events)
    with pytest.raises(Broken) as caught:
        check_stream(events)
    assert str(caught.value).startswith(f"{rule}:")


def test_a_compaction_stands_alone_and_comes_from_a_completed_turn() -> None:
    events = run_chunks(chunk({"content": "It ran."}, "stop"), compacts=True).decoded
    first, (added, done), last = events[:2], events[2:4], events[4]
    again = [copy.deepcopy(event) for event in (added, done)]
    for event in again:
        event["output_index"] = 1
        event["item"]["id"] = "cmp_2"
    twice = [*first, added, done, *again, copy.deepcopy(last)]
    twice[-1]["response"]["output"].append(again[1]["item"])
    renumber(twice)
    with pytest.raises(Broken, match="F61: a compaction stands alone"):
        check_stream(twice)
    cut = copy.deepcopy(events)
    cut[-1]["type"] = "response.incomplete"
    reason = {"reason": "max_output_tokens"}
    cut[-1]["response"] |= {
        "status": "incomplete",
        "completed_at": None,
        "incomplete_details": reason,
    }
    with pytest.raises(Broken, match="F61: a compaction comes from a completed turn"):
        check_stream(cut)


def test_a_good_stream_is_not_blamed(good: Events) -> None:
    assert check_stream(good)["status"] == "completed"


def queued(good: Events) -> Events:
    """The same stream as a background response has it."""
    events = copy.deepcopy(good)
    for event in events:
        if "response" in event:
            event["response"]["background"] = True
    waiting = {**events[0]["response"], "status": "queued"}
    events[0]["response"] = waiting
    events.insert(1, {"type": "response.queued", "response": waiting})
    renumber(events)
    return events


def test_a_background_response_is_queued_before_it_begins(good: Events) -> None:
    assert check_stream(queued(good))["background"] is True
    check_stream(good)


@pytest.mark.parametrize(
    "harm",
    [
        lambda events: events.pop(1),
        lambda events: events.pop(2),
        lambda events: events.insert(1, events.pop(2)),
        lambda events: events[1].update(response={**events[1]["response"], "status": "completed"}),
        lambda events: events[2].update(response={**events[2]["response"], "status": "queued"}),
        lambda events: events[2].update(response={**events[2]["response"], "model": "other"}),
        lambda events: [e["response"].update(background=False) for e in events if "response" in e],
    ],
    ids=["no queued", "no in_progress", "swapped", "status", "waits on", "changed", "foreground"],
)
def test_a_background_response_that_breaks_the_order_is_found(
    good: Events, harm: Callable[[Events], Any]
) -> None:
    events = queued(good)
    harm(events)
    renumber(events)
    with pytest.raises(Broken):
        check_stream(events)


def test_response_failed_needs_an_error_event_right_before_it() -> None:
    events = run_chunks(chunk({"content": "a"}), {"error": {"message": "no"}}).decoded
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    check_stream(events)
    alone = [*events[:-2], events[-1]]
    renumber(alone)
    with pytest.raises(Broken, match="order"):
        check_stream(alone)
    with pytest.raises(Broken, match="I5"):
        check_stream(events[:-1])


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(b'event: a\ndata: {"type":"b"}\n\n', id="name differs from type"),
        pytest.param(b'event: a\ndata: {"type":"a"}\n', id="not ended"),
    ],
)
def test_bad_framing_is_found(stream: bytes) -> None:
    with pytest.raises(Broken, match="framing"):
        decode_events(stream)
