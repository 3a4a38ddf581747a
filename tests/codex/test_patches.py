"""apply_patch: a freeform tool for Codex, a function with one string for the provider."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from anyturn.testing import Answer, Quirk, call, text

pytestmark = pytest.mark.codex

ADD = """\
*** Begin Patch
*** Add File: src/grüße.py
+print("Grüße \\n 👋")
+
+x = {"a": '\\\\'}
*** End Patch
"""
ADDED = """print("Grüße \\n 👋")\n\nx = {"a": '\\\\'}\n"""

UPDATE = """\
*** Begin Patch
*** Update File: notes.txt
@@
 one
-two
+zwei
 three
*** End Patch
"""


def patch(words: str, *quirks: Quirk) -> Any:
    return call("apply_patch", {"input": words}, *quirks)


async def test_apply_patch_is_offered_as_a_function_that_explains_the_grammar(stage):
    """F23."""
    s = await stage(text("Hi."))
    await s.codex("Hi.")
    tools = {tool["function"]["name"]: tool["function"] for tool in s.requests[0].tools}
    offered = tools["apply_patch"]
    assert offered["parameters"]["required"] == ["input"]
    assert "begin_patch" in offered["description"]


ADDS = {
    "as-declared": Answer(patch(ADD), fragment=3),
    "Q34-as-object": Answer(patch(ADD, Quirk.ARGUMENTS_AS_OBJECT)),
    "F24-the-raw-patch": Answer(call("apply_patch", ADD)),
    "F24-a-bare-string": Answer(call("apply_patch", msgspec.json.encode(ADD).decode())),
    "F24-another-key": Answer(call("apply_patch", {"patch": ADD})),
    "Q51-name-last": Answer(patch(ADD, Quirk.LATE_NAME), fragment=20),
}


@pytest.mark.parametrize("answer", ADDS.values(), ids=ADDS)
async def test_a_patch_makes_its_file_byte_for_byte(stage, answer):
    s = await stage(answer, text("Added."))
    run = await s.codex("Add a file.")
    assert (s.workspace / "src" / "grüße.py").read_text(encoding="utf-8") == ADDED
    assert (run.code, run.said, run.complaints) == (0, ["Added."], [])
    assert len(run.items("file_change")) == 1
    assert "Success." in s.outputs(2)[0]


async def test_the_history_shows_the_provider_the_call_in_the_declared_form(stage):
    """F24, Q74: what the model wrote as it pleased goes back as valid arguments."""
    s = await stage(Answer(call("apply_patch", ADD)), text("Added."))
    await s.codex("Add a file.")
    called = s.requests[1].messages[-2]["tool_calls"][0]["function"]
    assert called["name"] == "apply_patch"
    assert msgspec.json.decode(called["arguments"]) == {"input": ADD}


async def test_a_patch_that_does_not_fit_is_told_to_the_model_and_the_next_one_is_applied(stage):
    wrong = patch(UPDATE.replace("-two", "-zwo"))
    s = await stage(Answer(wrong), Answer(patch(UPDATE)), text("Updated."))
    (s.workspace / "notes.txt").write_text("one\ntwo\nthree\n")
    run = await s.codex("Translate the second line.")
    assert (s.workspace / "notes.txt").read_text() == "one\nzwei\nthree\n"
    assert (run.code, run.said) == (0, ["Updated."])
    failed, succeeded = s.outputs(3)
    assert "verification failed" in failed
    assert "Success." in succeeded


async def test_a_patch_and_a_command_of_one_answer_are_both_executed(stage):
    command = call("exec_command", {"cmd": "echo ran >> log"})
    s = await stage(Answer(text("Both."), patch(ADD), command), text("Done."))
    run = await s.codex("Patch and run.")
    assert (s.workspace / "src" / "grüße.py").read_text(encoding="utf-8") == ADDED
    assert (s.workspace / "log").read_text() == "ran\n"
    assert run.said == ["Both.", "Done."]
    patched, ran = s.outputs(2)
    assert "Success." in patched
    assert "Process exited with code 0" in ran


async def test_a_patch_that_was_cut_is_not_applied(stage):
    """I6: half a patch can be a valid one."""
    cut = Answer(patch(ADD), fragment=len(ADD) + 20, cut_after=3)
    s = await stage(cut, text("It broke off."))
    run = await s.codex("Add a file.")
    assert list(s.workspace.iterdir()) == []
    assert run.said == ["It broke off."]
    assert len(s.requests) == 2
