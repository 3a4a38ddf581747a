"""Answers of Responses servers: untouched where they conform, mended where they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.errors import Kind, TurnError
from anyturn.testing import Answer, Defect, call, reasoning, text
from anyturn.testing.responses_script import bent, event_stream
from anyturn.translate import relay as relay_module
from anyturn.translate.built_in_tools import ToolKind
from anyturn.translate.tool_map import ToolMap
from anyturn.wire import responses as r
from anyturn.wire import sse
from support.provider_streams import Script, scripts
from support.relays import Relayed, new_relay, relay_blocks, relay_events
from support.turns import one_by_one, run_blocks

JSON = dict[str, Any]

SEAL = "gAAAA-"
ANSWER = Answer(
    reasoning("Let me look."),
    text("I look."),
    call("shell", {"cmd": "ls -l"}),
    call("patch", "*** Begin Patch"),
    fragment=4,
)
REQUEST: JSON = {
    "model": "m",
    "tools": [{"type": "function", "name": "shell"}, {"type": "custom", "name": "patch"}],
}
CALLED = [("shell", '{"cmd":"ls -l"}'), ("patch", "*** Begin Patch")]


def stream(*defects: Defect, answer: Answer = ANSWER) -> list[JSON]:
    return bent(event_stream(answer, REQUEST, 1, 1, SEAL), frozenset(defects))


def relayed(*defects: Defect, answer: Answer = ANSWER, **options: Any) -> Relayed:
    events = stream(*defects, answer=answer)
    return relay_events(events, done=Defect.NO_TERMINAL in defects, **options)


def called(items: list[JSON]) -> list[tuple[str, str]]:
    calls = [item for item in items if item["type"].endswith("_call")]
    return [(item["name"], item.get("arguments", item.get("input"))) for item in calls]


# ---------------------------------------------------------------- what conforms


@settings(max_examples=300, deadline=None)
@given(scripts(), st.booleans())
def test_every_stream_of_our_own_passes_byte_for_byte(script: Script, summary: bool) -> None:
    own = run_blocks([script.stream()], summary=summary)
    again = relay_blocks([own.wire])
    assert again.data == [r.encode_json(event) for event in own.events]
    assert not again.rules
    assert again.response == own.decoded[-1]["response"]


def test_a_stream_passes_the_same_in_whatever_blocks_it_comes() -> None:
    own = b"".join(sse.encode(msgspec.json.encode(event)) for event in stream())
    whole, split = relay_blocks([own]), relay_blocks(one_by_one(own))
    assert whole.data == split.data == [msgspec.json.encode(event) for event in stream()]
    assert not whole.rules


STREAMS = Path(__file__).parents[2].parent / "shared" / "streams"
RECORDINGS = sorted(
    path for kind in ("sse", "jsonl") for path in STREAMS.glob(f"*/responses-*.{kind}")
)
# Those that are mended: early or shortened recordings without numbers, a stream that was resumed
# in its middle, and GitHub Copilot's ids.
MENDED = {
    "responses-background-resume-starting-after": {"repair.sequence", "repair.lifecycle"},
    "responses-copilot-id-rotation": {"repair.item_id", "repair.response", "repair.output"},
    "responses-custom-tool": {"repair.sequence", "repair.item", "repair.lifecycle"},
    "responses-function-call": {"repair.sequence"},
    "responses-function-call-answer": {"repair.sequence", "repair.part"},
    "responses-phase": {"repair.sequence", "repair.item_id", "repair.response"},
    "responses-programmatic-tool-calling-1": {"repair.item"},
}


def recorded(path: Path) -> list[list[bytes]]:
    """The events of each response in a file."""
    body = path.read_bytes()
    if path.suffix == ".sse":
        return [
            [m.data for m in sse.Decoder().feed(body + b"\n\n") if m.data not in (b"", b"[DONE]")]
        ]
    found: list[list[bytes]] = []
    for line in filter(bytes.strip, body.split(b"\n")):
        if msgspec.json.decode(line)["type"] == "response.created" or not found:
            found.append([])
        found[-1].append(line)
    return found


@pytest.mark.skipif(not RECORDINGS, reason="the recorded streams are not here")
@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recorded_stream_passes_untouched_or_is_mended_where_it_is_known_to_need_it(
    path: Path,
) -> None:
    for events in recorded(path):
        run = relay_events(events)
        assert run.rules == MENDED.get(path.stem, set())
        if not run.rules:
            assert run.data == events
        sent = [msgspec.json.decode(event) for event in events]
        assert words(run.decoded) == words(sent)
        items = [event["item"] for event in sent if event["type"].endswith("output_item.done")]
        assert list(map(payload, run.done_items())) == list(map(payload, items))


def words(events: list[JSON]) -> dict[str, str]:
    """What all the deltas of each kind say together."""
    said: dict[str, str] = {}
    for event in events:
        if event["type"].endswith(".delta"):
            said[event["type"]] = said.get(event["type"], "") + str(event["delta"])
    return said


def payload(item: JSON) -> JSON:
    """An item without what a server forgot, and without the id that it changed."""
    kept = {name: value for name, value in item.items() if name not in ("id", "status")}
    if item["type"] == "message":
        kept["content"] = [part["text"] for part in item["content"]]
    return kept


@pytest.mark.skipif(not RECORDINGS, reason="the recorded streams are not here")
def test_ids_that_change_with_every_event_become_one_for_each_item() -> None:
    """F41: GitHub Copilot."""
    (path,) = [p for p in RECORDINGS if "rotation" in p.name]
    run = relay_events(recorded(path)[0])
    for index in {e["output_index"] for e in run.decoded if "output_index" in e}:
        inside = [e for e in run.decoded if e.get("output_index") == index]
        ids = {e.get("item_id") or e["item"]["id"] for e in inside}
        assert len(ids) == 1
    assert [item["id"] for item in run.response["output"]] == [
        item["id"] for item in run.done_items()
    ]
    assert len({e["response"]["id"] for e in run.decoded if "response" in e}) == 1


# ---------------------------------------------------------------- what does not

RULES = {
    Defect.EMPTY_OUTPUT: {"repair.output"},
    Defect.NEW_IDS: {"repair.item_id", "repair.output", "repair.response"},
    Defect.NO_CALL_ID: {"repair.call_id", "repair.output"},
    Defect.NEW_CALL_ID: {"repair.call_id", "repair.output"},
    Defect.NO_OPENING: {"repair.lifecycle"},
    Defect.NO_ADDED: {"repair.lifecycle"},
    Defect.NO_PARTS: {"repair.lifecycle"},
    Defect.NO_ARGUMENT_DELTAS: {"repair.lifecycle"},
    Defect.NO_DONE_ARGUMENTS: {"repair.arguments", "repair.output"},
    Defect.ARGUMENTS_AS_OBJECT: {"repair.arguments", "repair.output"},
    Defect.DOUBLED_ARGUMENTS: {"repair.arguments", "repair.output"},
    Defect.NO_ITEM_DONE: {"repair.lifecycle"},
    Defect.ONLY_TERMINAL: {"repair.lifecycle"},
    Defect.TOOL_CALL_DELTA: {"repair.foreign_event", "repair.lifecycle", "repair.output"},
    Defect.ITEM_DELTA: {"repair.foreign_event", "repair.lifecycle", "repair.output"},
    Defect.TOOL_CALL_TYPE: {"repair.foreign_event"},
    Defect.CALLS_IN_MESSAGE: {"repair.foreign_event", "repair.lifecycle", "repair.output"},
    Defect.DOTTED_NAMES: {"repair.foreign_event"},
    Defect.BARE_ITEMS: {"repair.item_id", "repair.item", "repair.part"},
    Defect.NO_NUMBERS: {"repair.sequence"},
    Defect.DONE_EVENT: {"repair.terminal"},
    Defect.NO_TERMINAL: {"repair.terminal"},
    Defect.NO_DETAILS: {"repair.usage"},
    Defect.CHAT_CHUNKS: {"repair.foreign_stream"},
    Defect.CONTENT_BLOCKS: {"repair.foreign_stream"},
    Defect.BLOCKS_THEN_COMPLETED: {"repair.foreign_stream"},
}


# Our own checker wants more than clients do, or items that never overlap.
UNCHECKED = {
    *(Defect.NO_DETAILS, Defect.BARE_ITEMS, Defect.TOOL_CALL_DELTA, Defect.ITEM_DELTA),
    *(Defect.NO_ITEM_DONE, Defect.NO_ADDED, Defect.NO_OPENING),
}


def by_index(run: Relayed) -> list[JSON]:
    done = [e for e in run.decoded if e["type"] == "response.output_item.done"]
    return [e["item"] for e in sorted(done, key=lambda e: e["output_index"])]


def test_every_defect_has_its_rules() -> None:
    assert set(RULES) == set(Defect)


@pytest.mark.parametrize("defect", Defect)
def test_a_broken_stream_is_made_whole_and_told(defect: Defect) -> None:
    """F41, F45, F56: every call comes out whole, in a stream that keeps the rules."""
    run = relayed(defect)
    assert RULES[defect] <= run.rules
    assert sorted(called(run.done_items())) == sorted(CALLED)
    assert run.response["status"] == "completed"
    assert run.response["output"] == by_index(run)
    if defect not in UNCHECKED:
        run.check()
    assert run.response["usage"]["output_tokens_details"] == {"reasoning_tokens": 0}


@settings(max_examples=200, deadline=None)
@given(st.sets(st.sampled_from(list(Defect)), max_size=4), st.integers(1, 30))
def test_no_mix_of_defects_breaks_the_rules_of_ids_and_order(
    defects: set[Defect], fragment: int
) -> None:
    parts = ANSWER.parts
    run = relayed(*defects, answer=Answer(*parts, fragment=fragment))
    numbers = [event["sequence_number"] for event in run.decoded]
    assert numbers == list(range(len(numbers)))
    assert run.response["status"] in ("completed", "failed")
    if run.response["status"] == "completed":
        assert run.response["output"] == by_index(run)
    ids = [item["id"] for item in run.done_items()]
    assert len(set(ids)) == len(ids)


def test_a_call_keeps_the_id_that_it_was_announced_with() -> None:
    run = relayed(Defect.NEW_CALL_ID)
    added = [e["item"] for e in run.decoded if e["type"] == "response.output_item.added"]
    told = [item["call_id"] for item in added if "call_id" in item]
    assert (
        told == [i["call_id"] for i in run.done_items() if "call_id" in i] == ["call_1", "call_2"]
    )


def test_two_calls_with_one_id_get_two() -> None:
    run = relayed(answer=Answer(call("shell", "{}", id="c"), call("shell", "{}", id="c")))
    assert [item["call_id"] for item in run.done_items()] == ["c", "call_new1"]
    assert "repair.call_id" in run.rules


def test_calls_that_were_cut_off_are_not_handed_out() -> None:
    """I6: a limit stopped the answer before the items were done."""
    answer = Answer(text("So"), call("shell", '{"cmd":'), finish="length")
    events = [e for e in stream(answer=answer) if not e["type"].endswith("item.done")]
    events[-1] = {**events[-1], "response": {**events[-1]["response"], "output": []}}
    run = relay_events(events)
    assert [item["type"] for item in run.done_items()] == ["message"]
    assert run.response["status"] == "incomplete"


def test_an_answer_in_one_piece_becomes_a_stream() -> None:
    """A server that ignores `stream`."""
    whole = stream()[-1]["response"]
    run = relay_blocks([msgspec.json.encode(whole)])
    assert called(run.done_items()) == CALLED
    assert run.response == whole


def test_text_that_has_no_parts_gets_them() -> None:
    events = [e for e in stream() if "part" not in e["type"]]
    run = relay_events(events)
    run.check()


def test_events_of_others_pass_without_a_number() -> None:
    limits = b'{"type":"codex.rate_limits","plan_type":"plus"}'
    events = [msgspec.json.encode(event) for event in stream()]
    run = relay_events([*events[:3], limits, *events[3:]])
    assert run.data == [*events[:3], limits, *events[3:]]
    assert not run.rules


# ---------------------------------------------------------------- failures


def test_a_stream_that_ends_too_early_fails() -> None:
    """F39."""
    run = relay_events(stream()[:-1])
    assert run.machine.error is not None and run.machine.error.kind is Kind.PROVIDER_BROKEN
    assert run.decoded[-1]["type"] == "response.failed"
    assert run.decoded[-2]["type"] == "error"


def test_done_does_not_complete_what_is_not_done() -> None:
    run = relay_events(stream()[:-2], done=True)
    assert run.decoded[-1]["type"] == "response.failed"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "rate_limit_exceeded", "message": "Slow down"}, Kind.RATE_LIMITED),
        ({"code": "context_length_exceeded", "message": "x"}, Kind.CONTEXT_OVERFLOW),
        ({"code": "server_error", "message": "x"}, Kind.PROVIDER_BROKEN),
        ({"type": "usage_limit_reached", "message": "x"}, Kind.QUOTA_EXHAUSTED),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_failure_in_the_stream_is_understood_and_passed_on(error: JSON, kind: Kind) -> None:
    run = relayed(answer=Answer(text("So"), error_after=(4, error)))
    assert run.machine.error is not None and run.machine.error.kind is kind
    assert run.decoded[-1]["response"]["error"] == error


def test_an_error_event_before_anything_else_is_a_failure_without_events_of_the_server() -> None:
    """F68: the gateway may still answer with a status."""
    machine = new_relay()
    error = {"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down"}}
    run = relay_events([error])
    assert run.machine.error is not None and run.machine.error.kind is Kind.RATE_LIMITED
    assert machine.terminal is None
    assert [e["type"] for e in run.decoded[-2:]] == ["error", "response.failed"]


def test_an_error_event_without_a_terminal_one_gets_it() -> None:
    error = {"type": "error", "code": "server_error", "message": "Oh no", "sequence_number": 3}
    run = relay_events([*stream()[:3], error])
    assert [e["type"] for e in run.decoded[-2:]] == ["error", "response.failed"]
    assert "Oh no" in run.decoded[-1]["response"]["error"]["message"]
    assert "repair.terminal" in run.rules


def test_an_event_of_broken_bytes_ends_the_turn_and_not_the_gateway() -> None:
    """What is skipped when an event is looked at first may be no text at all."""
    broken = b'{"type":"response.output_item.added","item":{"type":"message","x":"\xff"}}'
    run = relay_events([*stream()[:2], broken])
    assert run.machine.error is not None and run.machine.error.kind is Kind.PROVIDER_BROKEN
    assert run.decoded[-1]["type"] == "response.failed"


def test_nothing_comes_after_the_terminal_event() -> None:
    run = relay_events([*stream(), *stream()])
    assert run.data == [msgspec.json.encode(event) for event in stream()]
    assert run.machine.fail(TurnError(Kind.PROVIDER_BROKEN, "late")) == []


def test_an_endless_answer_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A1."""
    monkeypatch.setattr(relay_module, "MAX_ANSWER_BYTES", 3000)
    run = relayed()
    assert run.machine.error is not None and "512 MiB" in run.machine.error.message


def test_too_many_items_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A1."""
    monkeypatch.setattr(relay_module, "MAX_ITEMS", 2)
    with pytest.raises(TurnError, match="more than 2 items"):
        relayed()


# ---------------------------------------------------------------- what the gateway answers for


def test_the_client_is_told_its_own_id_and_what_is_stored() -> None:
    told = {"id": "resp_own", "store": True, "previous_response_id": "resp_0", "metadata": {}}
    run = relayed(told=told)
    responses = [event["response"] for event in run.decoded if "response" in event]
    assert [{name: body[name] for name in told} for body in responses] == [told] * 3
    assert not run.rules


def test_tokens_that_were_not_counted_are_estimated() -> None:
    """F58: without them Codex never compacts."""
    run = relayed(answer=Answer(text("Hi there"), usage=None), request_bytes=400)
    assert run.response["usage"]["input_tokens"] == 100
    assert "usage.estimated" in run.rules


def test_a_warm_up_asks_nobody() -> None:
    machine = new_relay()
    run = Relayed(machine, machine.skip())
    assert run.check()["usage"]["total_tokens"] == 0


def test_what_came_so_far_can_be_told_at_any_time() -> None:
    machine = new_relay()
    assert machine.so_far("cancelled").body["status"] == "cancelled"


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["", "x", "message", "fc_1"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["id", "type", "content", "text", "part", "output", "usage", "arguments"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
PLACES = st.sampled_from(
    [
        *("item", "item_id", "output_index", "content_index", "summary_index", "delta", "part"),
        *("response", "type", "arguments", "text", "error", "sequence_number"),
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 45), PLACES, JUNK), max_size=6), st.booleans(), st.data())
def test_whatever_a_server_sends_the_stream_ends_properly(
    changes: list[tuple[int, str, Any]], raises: bool, data: st.DataObject
) -> None:
    tools = ToolMap()
    tools.add(ToolKind.CUSTOM, "shell", "")
    events = stream()
    for position, place, junk in changes:
        event = events[position % len(events)]
        inside = event.get(place)
        if isinstance(inside, dict) and data.draw(st.booleans()):
            member = data.draw(st.sampled_from(sorted(inside) or ["id"]))
            changed: Any = {**inside, member: junk}
        else:
            changed = junk
        events[position % len(events)] = {**event, place: changed}
    run = relay_events(events, tools=tools if raises else None)
    assert run.machine.terminal is run.events[-1]
    numbers = [e["sequence_number"] for e in run.decoded if e["type"].startswith("response.")]
    assert numbers == sorted(set(numbers))
