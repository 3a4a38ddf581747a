"""The calls that the client is handed: whole, named as it declared them, and each of them once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from anyturn.errors import Kind
from anyturn.wire import responses as r
from anyturn.wire.chat import decode_chunk
from anyturn.wire.chat_stream import Frame
from support.turns import (
    call_delta,
    chunk,
    last,
    new_machine,
    outputs,
    receive,
    run_chunks,
    shell,
    spoken,
)

JSON = dict[str, Any]


@pytest.mark.parametrize(
    ("chunks", "words"),
    [
        pytest.param([shell(), last("tool_calls")], None, id="declared"),
        pytest.param(
            [spoken(), chunk(call_delta("{}", "rm", index=0, id="c")), last("tool_calls")],
            "tool 'rm', which this request does not offer. Offered: shell, now, apply_patch",
            id="F47 undeclared",
        ),
        pytest.param(
            [chunk(call_delta("{}", "rm", index=0, id="c")), last("length")],
            "tool 'rm'",
            id="F47 undeclared and cut off",
        ),
        pytest.param(
            [spoken(), chunk(call_delta("{}", index=0, id="c")), last()],
            "without naming it",
            id="F47, Q57 nameless with arguments",
        ),
        pytest.param(
            [spoken(), chunk(call_delta(None, index=0, id="c")), last()],
            "without naming it",
            id="F47, Q57 nameless with an id",
        ),
        pytest.param(
            [shell(), chunk(call_delta("{}", 7, index=1, id="c")), last()],
            "without naming it",
            id="Q56 a number for a name",
        ),
        pytest.param(
            [spoken(), last("tool_calls")], "announced tool calls but sent none", id="Q59"
        ),
        pytest.param([last("function_call")], "announced tool calls but sent none", id="Q59 older"),
        pytest.param(
            [chunk(call_delta(None, index=0)), last("tool_calls")],
            "announced tool calls but sent none",
            id="Q59 only an empty place",
        ),
        pytest.param(
            [chunk({"reasoning": "Hm"}), last()], "reasoning but no answer", id="Q26 reasoning only"
        ),
        pytest.param(
            [chunk({"reasoning": "Hm"}), chunk(call_delta(None, index=0)), last()],
            "reasoning but no answer",
            id="Q26 reasoning and an empty place",
        ),
        pytest.param(
            [spoken(), chunk(call_delta(" ", index=0)), last()],
            None,
            id="an empty place beside text",
        ),
    ],
)
def test_a_call_that_cannot_be_made_fails_the_turn(chunks: list[JSON], words: str | None) -> None:
    """F47: completed without the call, the agent would stop in silence."""
    run = run_chunks(*chunks)
    response = run.check()
    assert response["status"] == ("failed" if words else "completed")
    if words:
        assert words in response["error"]["message"]
        assert run.machine.error is not None and run.machine.error.kind is Kind.PROVIDER_BROKEN
        assert not [item for item in run.done_items() if "call_id" in item]


# ---------------------------------------------------------------- names, input and ids


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("shell", ("function", "shell", "", "{}")),
        ("functions.shell", ("function", "shell", "", "{}")),
        ("shell<|channel|>commentary", ("function", "shell", "", "{}")),
        ("shell<|constrain|>json", ("function", "shell", "", "{}")),
        ("functions.mcp__docs__search<|channel|>x", ("function", "search", "mcp__docs", "{}")),
        ("mcp__docs__search", ("function", "search", "mcp__docs", "{}")),
        ("mcp__docs__note", ("freeform", "note", "mcp__docs", "{}")),
        ("apply_patch<|channel|>analysis", ("freeform", "apply_patch", "", "{}")),
    ],
)
def test_a_name_is_given_back_as_the_client_declared_it(name: str, meant: Any) -> None:
    """F25, F48, Q27, Q28."""
    assert outputs(run_chunks(chunk(call_delta("{}", name, index=0, id="c")), last())) == [meant]


@pytest.mark.parametrize(
    ("arguments", "raw"),
    [
        ('{"input":"*** Begin Patch\\n"}', "*** Begin Patch\n"),
        ('{"patch":"*** Begin Patch\\n"}', "*** Begin Patch\n"),
        ('"*** Begin Patch\\n"', "*** Begin Patch\n"),
        ("*** Begin Patch\n", "*** Begin Patch\n"),
    ],
    ids=["input", "patch", "bare string", "raw text"],
)
def test_a_freeform_tool_gets_its_raw_input(arguments: str, raw: str) -> None:
    """F24."""
    pieces = [arguments[:5], arguments[5:]]
    run = run_chunks(
        chunk(call_delta(pieces[0], "apply_patch", index=0, id="call_1")),
        chunk(call_delta(pieces[1], index=0)),
        last("tool_calls"),
    )
    assert outputs(run) == [("freeform", "apply_patch", "", raw)]
    assert run.types[2:-1] == [
        *("output_item.added", "custom_tool_call_input.delta", "custom_tool_call_input.done"),
        "output_item.done",
    ]


@pytest.mark.parametrize(
    ("ids", "call_ids"),
    [
        pytest.param(["a", "b"], ["a", "b"], id="the provider's"),
        pytest.param(["", None], ["call_new1", "call_new3"], id="Q49 minted"),
        pytest.param(["a", "a"], ["a", "call_new2"], id="F42 the same twice"),
        pytest.param(["x" * 65, "b"], ["call_new1", "b"], id="F13 too long"),
        pytest.param(["x" * 64, 7], ["x" * 64, "call_new2"], id="Q56 no text"),
    ],
)
def test_a_call_has_an_id_of_its_own(ids: list[Any], call_ids: list[str]) -> None:
    run = run_chunks(*(shell(index=i, id=told) for i, told in enumerate(ids)), last())
    assert [item["call_id"] for item in run.done_items()] == call_ids


def test_an_id_that_comes_after_the_call_was_announced_changes_nothing() -> None:
    """F41."""
    run = run_chunks(
        shell("{", id=None), chunk(call_delta("}", index=0, id="late")), last("tool_calls")
    )
    assert [item["call_id"] for item in run.done_items()] == ["call_new1"]


def test_a_call_whose_name_comes_late_is_announced_then_with_all_that_waited() -> None:
    """F42, Q51."""
    machine = new_machine()
    machine.start()
    assert receive(machine, chunk(call_delta('{"a"', index=0, id="call_1"))) == []
    assert receive(machine, spoken()) == []
    added, delta = receive(machine, chunk(call_delta(None, "shell", index=0)))
    assert added.event.item.call_id == "call_1"
    assert delta.event.delta == '{"a"'


@pytest.mark.parametrize(
    ("arguments", "told", "status"),
    [
        pytest.param('{"a":1}', '{"a":1}', "completed", id="whole"),
        pytest.param('{"cmd":"rm -rf a', '{"cmd":"rm -rf a', "incomplete", id="Q41"),
        pytest.param("", "", "incomplete", id="none yet"),
        pytest.param("{", "{", "incomplete", id="F44"),
    ],
)
def test_a_call_cut_off_by_length_is_never_made_whole(
    arguments: str, told: str, status: str
) -> None:
    response = run_chunks(shell(arguments), last("length")).check()
    [item] = response["output"]
    assert (response["status"], item["arguments"], item["status"]) == ("incomplete", told, status)


def test_freeform_input_that_was_cut_off_is_withheld_and_reported() -> None:
    """F44: half a patch could be applied. What stands beside it is kept."""
    run = run_chunks(
        chunk(call_delta('{"input":"*** Begin', "apply_patch", index=0, id="a")),
        shell('{"a":1}', index=1, id="b"),
        chunk(call_delta('{"input":"x"}', "apply_patch", index=2, id="c")),
        last("length"),
    )
    assert [item["call_id"] for item in run.check()["output"]] == ["b", "c"]
    [lost] = [a for a in run.machine.adaptations if a.rule == "calls.cut_off"]
    assert lost.lossy and "apply_patch" in lost.what


def test_a_nameless_call_that_was_cut_off_is_withheld() -> None:
    run = run_chunks(spoken(), chunk(call_delta("{", index=0, id="a")), last("length"))
    assert run.check()["status"] == "incomplete"
    assert outputs(run) == [[("text", "Hi")]]


def test_the_same_tool_may_be_called_by_many_calls_at_once() -> None:
    calls = [shell(f'{{"n":{i}}}', index=i, id=f"call_{i}") for i in range(200)]
    assert len(run_chunks(*calls, last("tool_calls")).done_items()) == 200


# ---------------------------------------------------------------- what is mended

TYPED = {
    "type": "function",
    "name": "wait",
    "parameters": {"type": "object", "properties": {"ms": {"type": "integer"}}},
}
SHELL = {
    "type": "function",
    "name": "exec_command",
    "parameters": {"type": "object", "properties": {"cmd": {"type": "string"}}},
}


def called(name: str, arguments: str) -> tuple[list[tuple[str, str]], set[str]]:
    """The calls handed out for one whole call of the provider, and the rules that changed them."""
    machine = new_machine(tools=[TYPED, SHELL])
    delta = call_delta(arguments, name, index=0, id="call_1")
    events = machine.receive(Frame(decode_chunk(msgspec.json.encode(chunk(delta, "tool_calls")))))
    events += machine.end()
    done = [event.item for event in events if isinstance(event, r.ItemDone)]
    return [(item.name, item.arguments) for item in done], {a.rule for a in machine.adaptations}


@pytest.mark.parametrize(
    ("arguments", "handed_out"),
    [
        pytest.param('{"ms": 1000.0}', '{"ms": 1000}', id="integral float"),
        pytest.param('{"ms":"1000"}', '{"ms":1000}', id="integer in quotes"),
        pytest.param('{"ms":1000}<|call|>', '{"ms":1000}', id="marker behind"),
        pytest.param('{"ms": 0.5}', '{"ms": 0.5}', id="nothing that can be done without loss"),
        pytest.param('{"ms": 10', '{"ms": 10', id="never closed"),
    ],
)
def test_arguments_become_what_the_client_can_parse(arguments: str, handed_out: str) -> None:
    """F46, Q37, Q40, Q41."""
    calls, rules = called("wait", arguments)
    assert calls == [("wait", handed_out)]
    assert ("arguments.repaired" in rules) is (arguments != handed_out)


def test_a_name_that_can_only_mean_one_tool_is_called_by_it() -> None:
    """Q30: `container.exec` of gpt-oss, where one shell tool is declared."""
    calls, rules = called("container.exec", '{"cmd":"ls"}')
    assert calls == [("exec_command", '{"cmd":"ls"}')]
    assert "calls.renamed" in rules


# ---------------------------------------------------------------- a call that comes twice


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        pytest.param(
            "shell", '{"cmd":"ls"}', ("function", "shell", "", '{"cmd":"ls"}'), id="whole"
        ),
        pytest.param("now", "{}", ("function", "now", "", "{}"), id="empty"),
        pytest.param("now", "", ("function", "now", "", "{}"), id="nothing"),
        pytest.param(
            "apply_patch", '{"input":"a"}', ("freeform", "apply_patch", "", "a"), id="freeform"
        ),
    ],
)
@pytest.mark.parametrize("times", [2, 3])
def test_the_same_whole_call_under_one_id_is_one_call(
    name: str, arguments: str, expected: Any, times: int
) -> None:
    """Q48: some servers repeat a call that they have already sent, with its id and index."""
    entry = chunk(call_delta(arguments, name, index=0, id="call_1"))
    for finish in ("tool_calls", "stop"):
        assert outputs(run_chunks(*[entry] * times, last(finish))) == [expected]


def test_two_different_objects_under_one_id_are_not_chosen_from() -> None:
    """Q39: nothing says which is meant, so the client's parser tells the model."""
    run = run_chunks(shell('{"a":1}'), shell('{"b":2}'), last())
    assert outputs(run) == [("function", "shell", "", '{"a":1}{"b":2}')]
