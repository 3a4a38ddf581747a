"""Each way in which a provider bends the deltas of a call; Codex executes it exactly once."""

from __future__ import annotations

from typing import Any

import pytest

from anyturn.testing import Answer, Quirk, call, interleaved, raw_chunks, text

pytestmark = pytest.mark.codex


def shell(word: str, *quirks: Quirk, **options: Any) -> Any:
    return call("exec_command", {"cmd": f"echo {word} >> log"}, *quirks, **options)


def delta(*calls: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"tool_calls": list(calls)}, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "choices": [choice]}


def piece(index: int, arguments: str, name: str | None = None) -> dict[str, Any]:
    opening = {} if name is None else {"id": "call_1", "type": "function"}
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {"index": index, **opening, "function": function}


ONE = {
    "Q34-arguments-as-object": Answer(shell("1", Quirk.ARGUMENTS_AS_OBJECT)),
    "Q44-no-index": Answer(shell("1", Quirk.NO_INDEX)),
    "Q44-no-index-and-no-id": Answer(shell("1", Quirk.NO_INDEX, Quirk.NO_ID)),
    "Q46-a-new-id-each-time": Answer(shell("1", Quirk.NEW_IDS)),
    "Q47-empty-id-and-name-repeated": Answer(shell("1", Quirk.EMPTY_REPEATS)),
    "Q48-id-and-name-repeated": Answer(shell("1", Quirk.REPEATS)),
    "Q49-no-id": Answer(shell("1", Quirk.NO_ID)),
    "Q50-index-from-one": Answer(shell("1", index=1)),
    "Q51-name-last": Answer(shell("1", Quirk.LATE_NAME)),
    "Q49-an-empty-id": Answer(shell("1", id="")),
    "Q52-whole": Answer(shell("1", Quirk.WHOLE)),
    "Q52-whole-without-an-index": Answer(shell("1", Quirk.WHOLE, Quirk.NO_INDEX)),
    "Q27-functions-prefix": Answer(call("functions.exec_command", {"cmd": "echo 1 >> log"})),
    "Q28-channel-suffix": Answer(
        call("exec_command<|channel|>commentary", {"cmd": "echo 1 >> log"})
    ),
    "Q28-constrain-suffix": Answer(call("exec_command<|constrain|>json", {"cmd": "echo 1 >> log"})),
    "Q28-a-role-for-a-name": Answer(
        call("assistant<|channel|>commentary", {"cmd": "echo 1 >> log"})
    ),
    "Q30-container-exec": Answer(call("container.exec", {"cmd": ["bash", "-lc", "echo 1 >> log"]})),
    "Q30-a-shell-that-takes-words": Answer(
        call("shell", {"command": ["bash", "-lc", "echo 1 >> log"]})
    ),
    "Q52-whole-in-the-finish-chunk": raw_chunks(
        [delta(piece(0, '{"cmd":"echo 1 >> log"}', "exec_command"), finish="tool_calls")]
    ),
    "Q54-white-space-after-the-arguments": raw_chunks(
        [
            delta(piece(0, '{"cmd":"echo 1 >> log"}', "exec_command")),
            delta(piece(0, "\n")),
            delta(finish="tool_calls"),
        ]
    ),
    "Q55-split-over-two-indexes": raw_chunks(
        [
            delta(piece(0, '{"cmd":"echo 1', "exec_command")),
            delta(piece(1, ' >> log"}')),
            delta(finish="tool_calls"),
        ]
    ),
}

TWO = {
    "Q44-no-index": Answer(shell("1", Quirk.NO_INDEX), shell("2", Quirk.NO_INDEX)),
    "Q45-all-at-index-0": Answer(shell("1", index=0), shell("2", index=0)),
    "Q45-both-whole-at-index-0": Answer(
        shell("1", Quirk.WHOLE, index=0), shell("2", Quirk.WHOLE, index=0)
    ),
    "Q47-empty-ids-and-names-repeated-interleaved": Answer(
        interleaved(shell("1", Quirk.EMPTY_REPEATS), shell("2", Quirk.EMPTY_REPEATS))
    ),
    "Q48-repeats-interleaved": Answer(
        interleaved(shell("1", Quirk.REPEATS), shell("2", Quirk.REPEATS))
    ),
    "Q49-no-ids-interleaved": Answer(interleaved(shell("1", Quirk.NO_ID), shell("2", Quirk.NO_ID))),
    "Q50-indexes-from-one": Answer(shell("1", index=1), shell("2", index=2)),
    "Q51-late-names-interleaved": Answer(
        interleaved(shell("1", Quirk.LATE_NAME), shell("2", Quirk.LATE_NAME))
    ),
    "Q49-empty-ids": Answer(shell("1", id=""), shell("2", id="")),
    "Q52-both-whole": Answer(shell("1", Quirk.WHOLE), shell("2", Quirk.WHOLE)),
    "Q52-both-whole-without-an-index": Answer(
        shell("1", Quirk.WHOLE, Quirk.NO_INDEX), shell("2", Quirk.WHOLE, Quirk.NO_INDEX)
    ),
    "F13-one-id-for-both": Answer(shell("1", id="call_x"), shell("2", id="call_x")),
}

# Each of them makes Codex answer "failed to parse function arguments".
ARGUMENTS = {
    "F46-an-integer-as-float": '{"cmd":"echo 1 >> log","yield_time_ms":1000.0}',
    "F46-an-integer-in-scientific-notation": '{"cmd":"echo 1 >> log","yield_time_ms":1e3}',
    "F46-an-integer-as-string": '{"cmd":"echo 1 >> log","yield_time_ms":"1000"}',
    "Q40-a-boolean-as-string": '{"cmd":"echo 1 >> log","tty":"false"}',
    "Q37-a-marker-behind": '{"cmd":"echo 1 >> log"}<|call|>',
}


@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS)
async def test_arguments_of_the_wrong_type_are_mended_and_the_call_is_executed_once(
    stage, arguments
):
    s = await stage(Answer(call("exec_command", arguments), fragment=5), text("Done."))
    run = await s.codex("Run it.")
    assert (s.workspace / "log").read_text() == "1\n"
    assert (run.code, run.said, run.complaints) == (0, ["Done."], [])
    assert len(s.requests) == 2
    assert "Process exited with code 0" in s.outputs(2)[0]


@pytest.mark.parametrize("answer", ONE.values(), ids=ONE)
async def test_a_bent_call_is_executed_once(stage, answer):
    s = await stage(answer, text("Done."))
    run = await s.codex("Run it.")
    assert (s.workspace / "log").read_text() == "1\n"
    assert (run.code, run.said, run.complaints) == (0, ["Done."], [])
    assert len(s.requests) == 2
    (replayed,) = s.requests[1].messages[-2]["tool_calls"]
    assert replayed["function"]["name"] == "exec_command"


@pytest.mark.parametrize("answer", TWO.values(), ids=TWO)
async def test_two_bent_calls_are_executed_once_each(stage, answer):
    s = await stage(answer, text("Done."))
    run = await s.codex("Run both.")
    assert sorted((s.workspace / "log").read_text().split()) == ["1", "2"]
    assert (run.code, run.said, run.complaints) == (0, ["Done."], [])
    assert len(s.requests) == 2
    assert len(s.requests[1].messages[-3]["tool_calls"]) == len(s.outputs(2)) == 2
