"""A provider entry named "OpenAI": Codex leaves compaction to the server (remote compaction v2).

codex-cli.md section 6. The provider behind the gateway knows nothing of it.
"""

from __future__ import annotations

from typing import Any

import pytest

from anyturn.testing import Answer, Refusal, Usage, call, openai_error, reasoning, text
from anyturn.translate.compaction import ASK, HEADING

pytestmark = pytest.mark.codex

JSON = dict[str, Any]

REMOTE = ("-c", 'model_providers.anyturn.name="OpenAI"')
WINDOW = 131_072
FULL = Usage(prompt=int(WINDOW * 0.85), completion=100)


def writes(word: str) -> Any:
    return call("exec_command", {"cmd": f"echo {word} >> log"})


def summed_up(words: str) -> JSON:
    """The message that stands for what was compacted."""
    return {"role": "user", "content": f"{HEADING}\n\n{words}"}


def asks(request: Any) -> bool:
    """Whether the provider was asked for a summary, and for nothing else."""
    without = not {"tools", "tool_choice", "parallel_tool_calls"} & request.body.keys()
    return without and request.messages[-1] == {"role": "user", "content": ASK}


async def test_codex_goes_on_from_the_summary_and_compacts_that_again(stage):
    """F61, G9: in the middle of a turn, twice, and every call is executed once."""
    s = await stage(
        Answer(writes("one"), usage=FULL),
        Answer(reasoning("What matters?"), text("One is written.")),
        Answer(text("Now two."), writes("two"), usage=FULL),
        text("One and two are written."),
        writes("three"),
        text("All three."),
    )
    run = await s.codex("Write one, two and three.", *REMOTE)
    assert (s.workspace / "log").read_text() == "one\ntwo\nthree\n"
    assert (run.code, run.complaints, run.said) == (0, [], ["Now two.", "All three."])
    first, ask, second, ask_again, third, _ = s.requests
    assert [asks(request) for request in s.requests] == [False, True, False, True, False, False]
    task = {"role": "user", "content": "Write one, two and three."}
    assert [message["role"] for message in ask.messages[-3:]] == ["assistant", "tool", "user"]
    assert second.messages[-2:] == [task, summed_up("One is written.")]
    # The second summary is made from the first one and from what came after it.
    at = ask_again.messages.index(summed_up("One is written."))
    after = [message["role"] for message in ask_again.messages[at + 1 :]]
    assert after == ["assistant", "tool", "user"]
    assert third.messages[-2:] == [task, summed_up("One and two are written.")]
    assert third.tools == first.tools
    assert b"What matters?" not in b"".join(request.raw for request in s.requests[2:])


async def test_a_compacted_session_is_resumed_with_its_summary(stage):
    """The summary lives in the files of Codex, the gateway keeps nothing (G8)."""
    s = await stage(
        Answer(writes("one"), usage=FULL), text("One is written."), text("Done."), text("Once.")
    )
    await s.codex("Write one.", *REMOTE)
    run = await s.codex("How often?", *REMOTE, "resume", "--last")
    assert run.said == ["Once."]
    before, after = s.requests[2].messages, s.requests[3].messages
    assert summed_up("One is written.") in before
    assert after[: len(before)] == before


UNUSABLE = {
    "F53-cut-by-length": (Answer(text("One is wri"), finish="length"), "token limit"),
    "filtered": (Answer(text("One is wri"), finish="content_filter"), "content filter"),
    "called": (Answer(writes("wrong")), "'exec_command' instead"),
    "empty": (Answer(text(" \n")), "an empty summary"),
    "F39-cut-off": (Answer(text("One is wri"), finish=None), "ended before the answer did"),
    "500": (Refusal(500, openai_error("Busy.", type="server_error")), "Busy."),
}


@pytest.mark.parametrize(("bad", "words"), UNUSABLE.values(), ids=UNUSABLE)
async def test_codex_asks_again_for_a_summary_that_cannot_be_used(stage, bad, words):
    """F61: half a summary is never installed."""
    s = await stage(
        Answer(writes("one"), usage=FULL), bad, text("One is written."), text("Done."), retries=0
    )
    run = await s.codex("Write one.", *REMOTE)
    assert (s.workspace / "log").read_text() == "one\n"
    assert (run.code, run.said) == (0, ["Done."])
    assert [asks(request) for request in s.requests] == [False, True, True, False]
    assert s.requests[1].messages == s.requests[2].messages
    assert s.requests[3].messages[-1] == summed_up("One is written.")
    assert b"One is wri" not in s.requests[3].raw.replace(b"One is written", b"")
    (complaint,) = run.complaints
    assert complaint.startswith("Reconnecting... 1/2")
    assert words in complaint


async def test_a_history_that_cannot_be_summarised_ends_the_run_with_the_reason(stage):
    cut = Answer(text("One is wri"), finish="length")
    s = await stage(Answer(writes("one"), usage=FULL), cut, cut, cut)
    run = await s.codex("Write one.", *REMOTE)
    assert (s.workspace / "log").read_text() == "one\n"
    assert (run.code, run.said) == (1, [])
    assert "the summary was cut off at Cerebras's token limit" in run.events[-1]["error"]["message"]
    assert len(s.requests) == 4
