"""Codex versions that users still have: each executes the tools that it declares itself.

They differ in their tools, in where the instructions stand and in what they print; all of them
take the options of today's.
"""

from __future__ import annotations

from typing import Any

import pytest

from anyturn.testing import Answer, Call, call, interleaved, reasoning, text

MODEL = "gpt-oss-120b"
SAID = "The file is there."
COUNT = "seq -s - 7"
COUNTED = "1-2-3-4-5-6-7"

ADD = """\
*** Begin Patch
*** Add File: src/grüße.py
+print("Grüße \\n 👋")
*** End Patch
"""
ADDED = """print("Grüße \\n 👋")\n"""


def words(command: str) -> Call:
    return call("shell", {"command": ["bash", "-lc", command]})


def own(command: str) -> Call:
    return call("local_shell", {"command": ["bash", "-lc", command]})


def line(command: str) -> Call:
    return call("shell_command", {"command": command})


def session(command: str) -> Call:
    return call("exec_command", {"cmd": command})


def case(version: str, model: str, *values: Any) -> Any:
    marks = pytest.mark.codex(version)
    return pytest.param(model, *values, marks=marks, id=f"{version}-{model}")


SHELLS = [
    case("0.42.0", MODEL, words),
    case("0.58.0", MODEL, words),
    case("0.80.0", MODEL, words),
    # F29: a tool of a type of its own, `local_shell`.
    case("0.42.0", "codex-mini-latest", own),
    case("0.80.0", "codex-mini-latest", own),
    # What Codex declares depends on the name of the model, whoever serves it.
    case("0.80.0", "gpt-5.1-codex", line),
    case("0.100.0", MODEL, session),
    case("0.125.0", MODEL, session),
    case("0.150.0", MODEL, session),
]


@pytest.mark.parametrize(("model", "shell"), SHELLS)
async def test_the_declared_shell_is_executed_and_its_output_goes_back(stage, model, shell):
    thought = reasoning("A file is wanted. One command does it.")
    made = shell(f"{COUNT} | tee made.txt")
    s = await stage(Answer(thought, made), text(SAID), model=model)
    run = await s.codex("Make made.txt.")
    assert made.name in [tool["function"]["name"] for tool in s.requests[0].tools]
    assert (s.workspace / "made.txt").read_text().strip() == COUNTED
    assert run.code == 0
    assert f'"{SAID}"' in run.stdout
    assert len(s.requests) == 2
    called, answered = s.requests[1].messages[-2:]
    assert called["tool_calls"][0]["function"]["arguments"] == made.arguments
    assert called["tool_calls"][0]["id"] == answered["tool_call_id"] == "call_1"
    assert called["reasoning"] == thought.text
    assert COUNTED in answered["content"]


@pytest.mark.parametrize(("model", "shell"), SHELLS)
async def test_two_calls_of_one_answer_are_executed_once_each(stage, model, shell):
    both = interleaved(shell("echo 1 >> log; echo a-1"), shell("echo 2 >> log; echo a-2"))
    s = await stage(Answer(both, fragment=4), text(SAID), model=model)
    run = await s.codex("Run both.")
    assert sorted((s.workspace / "log").read_text().split()) == ["1", "2"]
    assert run.code == 0
    assert f'"{SAID}"' in run.stdout
    assert len(s.requests) == 2
    # Up to 0.58.0 each output follows its call, later all calls come first: both forms are valid.
    first, second = s.outputs(2)
    assert ("a-1" in first, "a-2" in second) == (True, True)


# A model that Codex does not know gets a function up to 0.80.0 and nothing later; one that it knows
# gets a freeform tool.
PATCHES = [
    case("0.42.0", MODEL),
    case("0.58.0", MODEL),
    case("0.58.0", "gpt-5-codex"),
    case("0.80.0", MODEL),
    case("0.80.0", "gpt-5.1-codex"),
    case("0.100.0", "gpt-5.2-codex"),
    case("0.125.0", "gpt-5.4"),
    case("0.150.0", "gpt-5.4"),
]


@pytest.mark.parametrize("model", PATCHES)
async def test_a_patch_is_applied_whether_its_tool_is_a_function_or_freeform(stage, model):
    s = await stage(
        Answer(call("apply_patch", {"input": ADD}), fragment=3), text(SAID), model=model
    )
    run = await s.codex("Add a file.")
    assert "apply_patch" in [tool["function"]["name"] for tool in s.requests[0].tools]
    assert (s.workspace / "src" / "grüße.py").read_text(encoding="utf-8") == ADDED
    assert run.code == 0
    assert f'"{SAID}"' in run.stdout
    assert len(s.requests) == 2
    assert "Success." in s.outputs(2)[0]
