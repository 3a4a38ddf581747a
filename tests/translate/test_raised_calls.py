"""Calls of lowered tools come back in the client's form, in a stream that keeps the rules."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn import conformance
from anyturn.errors import Kind, TurnError
from anyturn.testing import Answer, Defect, call, reasoning, text
from anyturn.testing.responses_script import bent, event_stream
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.lowered_tools import FUNCTIONS, lower_tools
from anyturn.translate.tool_map import ToolMap
from anyturn.wire import responses as r
from anyturn.wire import sse
from anyturn.wire.server_events import EventReader
from support.relays import PROFILE, Relayed, new_relay, relay_events

JSON = dict[str, Any]

LONG = "picture." + "x" * 70
LOOK = {"type": "function", "name": "look", "parameters": {"type": "object"}}
TOOLS: list[JSON] = [
    LOOK,
    {"type": "custom", "name": "patch", "description": "Patches."},
    {
        "type": "namespace",
        "name": "mcp__tiny",
        "tools": [
            {"type": "function", "name": "add", "parameters": {"type": "object"}},
            {"type": "function", "name": LONG, "parameters": {"type": "object"}},
            {"type": "custom", "name": "note"},
        ],
    },
    {"type": "tool_search", "execution": "client"},
    {"type": "local_shell"},
    {"type": "shell"},
    {"type": "apply_patch"},
]
REQUEST: JSON = {"model": "m", "tools": TOOLS, "tool_choice": {"type": "custom", "name": "patch"}}


# Codex has some of these tools no more, Open Responses knows functions only, and a Responses server
# need not say [DONE].
ASIDE = {"codex.call-not-run", "open-responses.tools-echo", "transport.done-missing"}


def lowered(tools: list[JSON] = TOOLS) -> tuple[list[JSON], ToolMap]:
    """The tools as a server of functions is told them, and the names that lead back."""
    names = ToolMap()
    body = lower_tools({"input": [], "tools": tools}, FUNCTIONS, names, PROFILE, Adaptations())
    return body["tools"], names


def stream(*parts: Any, defects: Any = (), **options: Any) -> list[JSON]:
    body = {"model": "m", "tools": lowered()[0]}
    answer = Answer(*parts, **{"fragment": 4, **options})
    return bent(event_stream(answer, body, 1, 1, "gAAAA-"), frozenset(defects))


def raised(*parts: Any, defects: Any = (), **options: Any) -> Relayed:
    events = stream(*parts, defects=defects, **options)
    done = Defect.NO_TERMINAL in defects
    return relay_events(events, done=done, tools=lowered()[1], request=REQUEST)


def check(run: Relayed) -> None:
    """By the rules of the tests, and by those of the checker that users run."""
    if run.machine.error is None:
        run.check()
    report = conformance.check_stream(b"".join(map(r.encode_event, run.events)))
    assert {finding.rule for finding in report.findings} <= ASIDE


# ---------------------------------------------------------------- what is raised

EXEC = {"type": "exec", "command": ["ls"], "env": {}}
DELETE = {"type": "delete_file", "path": "a"}
CALLS = [
    ("patch", {"input": "+ä"}, {"type": "custom_tool_call", "name": "patch", "input": "+ä"}),
    ("patch", "+ä", {"type": "custom_tool_call", "name": "patch", "input": "+ä"}),
    (
        *("mcp__tiny__note", {"input": "x"}),
        {"type": "custom_tool_call", "namespace": "mcp__tiny", "name": "note", "input": "x"},
    ),
    (
        *("mcp__tiny__add", {"a": 1}),
        {"type": "function_call", "namespace": "mcp__tiny", "name": "add", "arguments": '{"a":1}'},
    ),
    (
        *(lowered()[0][3]["name"], "{}"),
        {"type": "function_call", "namespace": "mcp__tiny", "name": LONG, "arguments": "{}"},
    ),
    (
        *("tool_search", {"query": "x"}),
        {"type": "tool_search_call", "arguments": {"query": "x"}, "execution": "client"},
    ),
    ("local_shell", {"command": ["ls"]}, {"type": "local_shell_call", "action": EXEC}),
    ("shell", {"commands": ["ls"]}, {"type": "shell_call", "action": {"commands": ["ls"]}}),
    ("apply_patch", DELETE, {"type": "apply_patch_call", "operation": DELETE}),
    ("look", {"a": 1}, {"type": "function_call", "name": "look", "arguments": '{"a":1}'}),
    ("unknown", "{}", {"type": "function_call", "name": "unknown", "arguments": "{}"}),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), CALLS, ids=lambda v: str(v)[:24])
def test_a_call_has_the_form_of_its_declaration(name: str, arguments: Any, expected: JSON) -> None:
    """F23, F25, F27, F29; with something before and something behind it."""
    run = raised(reasoning("Hm."), call(name, arguments), text("And so on."))
    check(run)
    _, item, message = run.done_items()
    assert {member: item.get(member) for member in expected} == expected
    assert (item["call_id"], item["status"]) == ("call_1", "completed")
    assert "namespace" in expected or "namespace" not in item
    assert message["content"][0]["text"] == "And so on."
    assert run.response["output"] == run.done_items()
    assert not any(rule.startswith("repair.") for rule in run.rules)


def test_a_namespaced_call_streams_its_arguments_as_they_come() -> None:
    events = stream(call("mcp__tiny__add", {"a": 12345}))
    run = raised(call("mcp__tiny__add", {"a": 12345}))
    deltas = [e for e in events if e["type"].endswith("arguments.delta")]
    assert len(deltas) > 1
    assert [e for e in run.decoded if e["type"].endswith("arguments.delta")] == deltas
    named = [e["name"] for e in run.decoded if e["type"].endswith("arguments.done")]
    assert named == ["add"]


def test_the_client_is_told_its_own_tools() -> None:
    run = raised(text("Hi."))
    responses = [event["response"] for event in run.decoded if "response" in event]
    assert len(responses) == 3
    assert all(response["tools"][1:] == TOOLS[1:] for response in responses)
    assert all(response["tool_choice"] == REQUEST["tool_choice"] for response in responses)


PARTS = st.sampled_from(
    [
        *(call(name, arguments) for name, arguments, _ in CALLS),
        *(text("I look."), reasoning("Hm."), reasoning("And.")),
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(PARTS, max_size=6), st.integers(1, 40))
def test_every_answer_obeys_the_checker(parts: list[Any], fragment: int) -> None:
    run = raised(*parts, fragment=fragment)
    check(run)
    assert len(run.done_items()) == len(parts)
    assert len({item["id"] for item in run.done_items()}) == len(parts)


@settings(max_examples=100, deadline=None)
@given(st.lists(PARTS.filter(lambda part: "call" not in type(part).__name__.lower())))
def test_a_conforming_stream_without_such_calls_is_not_touched(parts: list[Any]) -> None:
    """But for the tools, which the client knows otherwise."""
    events = stream(*parts, call("look", "{}"))
    data = [msgspec.json.encode(event) for event in events]
    run = relay_events(data, tools=lowered()[1])
    inside = [at for at, event in enumerate(events) if "response" not in event]
    assert [run.data[at] for at in inside] == [data[at] for at in inside]
    assert run.response["output"] == events[-1]["response"]["output"]
    assert not run.rules


BOTH = (text("So."), call("patch", {"input": "+a"}), call("mcp__tiny__add", '{"a":1}'))


@pytest.mark.parametrize("defect", Defect)
def test_a_call_of_a_broken_stream_is_raised(defect: Defect) -> None:
    """F41, F45, F56: it is mended first."""
    run = raised(*BOTH, defects={defect})
    items = {item["type"]: item for item in run.done_items()}
    assert items["custom_tool_call"]["input"] == "+a"
    called = items["function_call"]
    assert (called["namespace"], called["name"]) == ("mcp__tiny", "add")
    assert called["arguments"] == '{"a":1}'
    assert run.response["status"] == "completed"


@settings(max_examples=200, deadline=None)
@given(st.sets(st.sampled_from(list(Defect)), max_size=4), st.integers(1, 30))
def test_no_mix_of_defects_breaks_the_order(defects: set[Defect], fragment: int) -> None:
    run = raised(*BOTH, defects=defects, fragment=fragment)
    numbers = [event["sequence_number"] for event in run.decoded]
    assert numbers == list(range(len(numbers)))
    done = [e for e in run.decoded if e["type"] == "response.output_item.done"]
    if run.response["status"] == "completed":
        done.sort(key=lambda event: event["output_index"])
        assert run.response["output"] == [event["item"] for event in done]
        assert [event["output_index"] for event in done] == list(range(len(done)))


# ---------------------------------------------------------------- order


def test_a_call_that_comes_between_the_parts_of_another_item_stands_behind_it() -> None:
    """A server may interleave its items; what is told later has the later place."""
    events = stream(call("patch", {"input": "+a"}), text("Both."))
    inside = {0: [], 1: []}  # type: dict[int, list[JSON]]
    for event in events:
        if "output_index" in event:
            inside[event["output_index"]].append(event)
    first, second = inside[0], inside[1]
    mixed = [*events[:2], first[0], *second, *first[1:], events[-1]]
    run = relay_events(
        [{**event, "sequence_number": at} for at, event in enumerate(mixed)], tools=lowered()[1]
    )
    check(run)
    assert [item["type"] for item in run.response["output"]] == ["message", "custom_tool_call"]


def test_a_namespaced_call_may_be_named_at_its_end() -> None:
    (_, names), events = lowered([LOOK, TOOLS[2]]), stream(call("mcp__tiny__add", "{}"))
    events[2]["item"]["name"] = ""
    item = relay_events(events, tools=names).done_items()[0]
    assert (item["namespace"], item["name"]) == ("mcp__tiny", "add")


def test_decorations_around_a_name_are_taken_off() -> None:
    """Q27."""
    run = raised(call("functions.look", "{}"), call("functions.patch", {"input": "+a"}))
    check(run)
    assert [item["name"] for item in run.done_items()] == ["look", "patch"]


def test_the_name_of_a_call_may_come_at_its_end() -> None:
    for name, kind in [("patch", "custom_tool_call"), ("look", "function_call")]:
        events = stream(call(name, {"input": "+a"}))
        events[2]["item"]["name"] = ""
        run = relay_events(events, tools=lowered()[1])
        check(run)
        assert [item["type"] for item in run.done_items()] == [kind]
        assert run.done_items()[0]["name"] == name


# ---------------------------------------------------------------- ends


TWO = (call("patch", {"input": "+a"}), call("look", "{}"))


def cut(name: str, arguments: str) -> Relayed:
    """An answer that a limit stopped; the server hands out the call that it stopped in."""
    events = stream(text("So."), call(name, arguments), finish="length")
    for event in events:
        if event["type"] == "response.output_item.done" and "arguments" in event["item"]:
            event["item"]["status"] = "incomplete"
    return relay_events(events, tools=lowered()[1])


def test_a_freeform_call_that_was_cut_off_is_not_handed_out() -> None:
    """F44, I6: half a patch could be applied."""
    run = cut("patch", '{"input":"*** Begin')
    check(run)
    assert [item["type"] for item in run.done_items()] == ["message"]
    assert run.response["status"] == "incomplete"
    assert run.response["output"] == run.done_items()
    assert "calls.cut_off" in run.rules


def test_a_freeform_call_that_was_whole_is_handed_out() -> None:
    run = cut("patch", '{"input":"+a"}')
    check(run)
    assert run.done_items()[1]["input"] == "+a"


def test_arguments_that_have_no_such_form_fail_the_turn() -> None:
    run = raised(text("So."), call("local_shell", {"cmd": 1}), text("Done."))
    check(run)
    assert run.machine.error is not None and run.machine.error.kind is Kind.PROVIDER_BROKEN
    assert "'local_shell' with arguments" in run.machine.error.message
    assert run.decoded[-1]["type"] == "response.failed"
    assert [item["type"] for item in run.response["output"]] == ["message"]


def test_a_stream_that_breaks_off_in_a_call_fails_without_it() -> None:
    """F39."""
    events = stream(call("patch", {"input": "+a"}), call("patch", {"input": "+b"}))
    run = relay_events(events[:-3], tools=lowered()[1])
    check(run)
    assert run.response["status"] == "failed"
    assert [item["input"] for item in run.response["output"]] == ["+a"]


@pytest.mark.parametrize("parts", [TWO, TWO[1:], BOTH], ids=["both", "plain", "all"])
@pytest.mark.parametrize("kept", range(10))
def test_what_was_not_sent_can_be_taken_back(kept: int, parts: Any) -> None:
    """A guard stops a turn in the middle of what it was given."""
    machine = new_relay(tools=lowered()[1])
    frames = [sse.encode(msgspec.json.encode(event)) for event in stream(*parts)]
    events = [e for said in EventReader().feed(b"".join(frames)) for e in machine.receive(said)]
    machine.take_back(events[kept:])
    failed = machine.fail(TurnError(Kind.PROVIDER_BROKEN, "Stopped."))
    run = Relayed(machine, [*events[:kept], *failed])
    numbers = [event["sequence_number"] for event in run.decoded]
    assert numbers == list(range(len(numbers)))
    assert run.decoded[-1]["type"] == "response.failed"
    assert run.response["output"] == run.done_items()


def test_a_warm_up_asks_nobody() -> None:
    machine = new_relay(tools=lowered()[1])
    run = Relayed(machine, machine.skip())
    assert run.check()["output"] == []
    assert machine.so_far("cancelled").body["status"] == "cancelled"
