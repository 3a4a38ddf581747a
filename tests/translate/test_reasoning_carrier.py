"""What a provider wants back is carried: by the reasoning item, else by one of its own."""

from __future__ import annotations

from typing import Any

import pytest

from anyturn.translate.chat_to_responses import MAX_ANSWER_CHARACTERS
from anyturn.translate.envelope import MAX_BYTES, REASONING, unseal
from anyturn.translate.reasoning_carrier import ReasoningCarrier
from support.turns import PROFILE, Run, call_delta, chunk, run_chunks

JSON = dict[str, Any]

TAGS = PROFILE.replacing(think_tags=True)
HM = {"type": "reasoning.text", "text": "Hm", "index": 0}
SIGNED = {"type": "reasoning.text", "signature": "sig", "index": 0}
SECRET = {"type": "reasoning.encrypted", "data": "SECRET", "id": "rs_1"}
EXTRA = {"google": {"thought_signature": "sig1"}}
OTHER = {"google": {"thought_signature": "sig2"}}


def shell(arguments: Any = "{}", **members: Any) -> JSON:
    return call_delta(arguments, "shell", **{"index": 0, "id": "call_1", **members})


def run(*deltas: JSON, finish: str = "stop", **options: Any) -> Run:
    chunks = [chunk(delta) for delta in deltas]
    return run_chunks(*chunks, chunk({}, finish), **{"seal": True, **options})


def carried(done: Run) -> list[tuple[str, Any]]:
    """The items of an answer, reasoning with what is sealed in it."""
    response = done.check()
    found = []
    for item in response["output"]:
        sealed = item.get("encrypted_content")
        found.append((item["type"], unseal(REASONING, sealed)[1] if sealed else None))
    return found


@pytest.mark.parametrize("summary", [True, False], ids=["summary", "text"])
@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        pytest.param(
            [
                {"reasoning": "Hm", "reasoning_details": [HM]},
                {"reasoning": None, "reasoning_details": [SIGNED, SECRET]},
                {"content": "Yes"},
            ],
            [
                ("reasoning", {"text": "Hm", "details": [{**HM, **SIGNED}, SECRET]}),
                ("message", None),
            ],
            id="details of an open item",
        ),
        pytest.param(
            [{"reasoning_details": [SECRET]}, {"content": "Yes"}],
            [("message", None), ("reasoning", {"details": [SECRET]})],
            id="encrypted only",
        ),
        pytest.param(
            [{"reasoning_details": [SECRET]}, {"reasoning": "Hm"}, {"content": "Yes"}],
            [("reasoning", {"text": "Hm", "details": [SECRET]}), ("message", None)],
            id="details before the item",
        ),
        pytest.param(
            [{"reasoning_details": [HM]}, {"content": "Yes"}, {"reasoning_details": [SIGNED]}],
            [
                ("reasoning", {"text": "Hm", "details": [HM]}),
                ("message", None),
                ("reasoning", {"details": [SIGNED]}),
            ],
            id="a signature after the item was done",
        ),
        pytest.param(
            [shell(extra_content=EXTRA)],
            [("function_call", None), ("reasoning", {"calls": {"call_1": EXTRA}})],
            id="Q24 a signed call",
        ),
        pytest.param(
            [{"reasoning": "Hm"}, shell(extra_content=EXTRA), shell(index=1, id="call_2")],
            [
                ("reasoning", {"text": "Hm"}),
                ("function_call", None),
                ("function_call", None),
                ("reasoning", {"calls": {"call_1": EXTRA}}),
            ],
            id="Q24 the first of parallel calls is signed",
        ),
        pytest.param(
            [shell(id="", extra_content=EXTRA)],
            [("function_call", None), ("reasoning", {"calls": {"call_new1": EXTRA}})],
            id="Q24 under the id that the client sees",
        ),
        pytest.param(
            [{**shell(), "extra_content": EXTRA}],
            [("function_call", None), ("reasoning", {"calls": {"call_1": EXTRA}})],
            id="Q24 signed on the delta of the call",
        ),
        pytest.param(
            [shell("", extra_content=EXTRA), shell("{}", extra_content=OTHER)],
            [("function_call", None), ("reasoning", {"calls": {"call_1": EXTRA}})],
            id="Q24 the first signature of a call counts",
        ),
        pytest.param(
            [{"content": "Yes"}, {"content": "", "extra_content": EXTRA}],
            [("message", None), ("reasoning", {"message": EXTRA})],
            id="Q24 a signed message",
        ),
        pytest.param(
            [{"content": "Yes", "extra_content": {"google": {"thought": False}}}],
            [("message", None)],
            id="other extra content of a delta",
        ),
        pytest.param(
            [{"content": "Yes", "extra_content": "x", "reasoning_details": "y"}],
            [("message", None)],
            id="members of a wrong type",
        ),
        pytest.param(
            [{"reasoning": "Hm", "reasoning_details": []}, {"content": "Yes"}],
            [("reasoning", {"text": "Hm"}), ("message", None)],
            id="empty details",
        ),
    ],
)
def test_what_must_go_back_is_carried_q18_q24(
    deltas: list[JSON], expected: list[tuple[str, Any]], summary: bool
) -> None:
    assert carried(run(*deltas, summary=summary)) == expected


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "Yes", "reasoning_details": [SECRET]},
        {"content": "Yes", "extra_content": EXTRA},
        shell(extra_content=EXTRA),
    ],
    ids=["details", "message", "call"],
)
def test_without_a_seal_nothing_is_carried(delta: JSON) -> None:
    response = run(delta, seal=False).check()
    assert "reasoning" not in {item["type"] for item in response["output"]}


def test_a_carrier_has_no_words_and_comes_last() -> None:
    """Codex drops an item without `summary` (codex-cli.md section 2)."""
    done = run(shell(extra_content=EXTRA), {"content": "Ran."}, {"reasoning": "Hm"})
    *_, carrier = done.check()["output"]
    assert carrier.keys() == {"id", "type", "summary", "encrypted_content", "status"}
    assert (carrier["summary"], carrier["status"]) == ([], "completed")
    assert done.types[-3:] == ["output_item.added", "output_item.done", "completed"]


def test_encrypted_data_is_never_shown_q18() -> None:
    done = run({"reasoning": "Hm", "reasoning_details": [SECRET]}, {"reasoning_details": [SECRET]})
    assert b"SECRET" not in done.wire
    done = run({"reasoning_details": [{**SECRET, "text": "SECRET"}]}, {"content": "Yes"})
    assert b"SECRET" not in done.wire


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_an_answer_that_was_cut_carries_what_came(finish: str) -> None:
    done = run({"content": "Yes", "reasoning_details": [SECRET]}, finish=finish)
    assert done.check()["status"] == "incomplete"
    assert carried(done)[-1] == ("reasoning", {"details": [SECRET]})


def test_a_call_that_is_not_handed_out_has_no_signature_either() -> None:
    cut = call_delta('{"input":"*** Beg', "apply_patch", index=0, id="c", extra_content=EXTRA)
    assert carried(run(cut, finish="length")) == []


def test_a_failed_answer_carries_nothing() -> None:
    assert carried(run({"reasoning_details": [SECRET]}, finish="error")) == []


@pytest.mark.parametrize(
    ("deltas", "kinds"),
    [
        pytest.param(
            [{"reasoning": "x" * MAX_BYTES}, {"content": "Yes"}],
            [("reasoning", None), ("message", None)],
            id="words",
        ),
        pytest.param(
            [
                {"reasoning": "Hm", "reasoning_details": [{**SECRET, "data": "x" * MAX_BYTES}]},
                {"content": "Yes"},
            ],
            [("reasoning", None), ("message", None)],
            id="details",
        ),
        pytest.param(
            [{"content": "Yes", "reasoning_details": [{**SECRET, "data": "x" * MAX_BYTES}]}],
            [("message", None)],
            id="a carrier's details",
        ),
        pytest.param(
            [
                {
                    "content": "Yes",
                    "extra_content": {"google": {"thought_signature": "x" * MAX_BYTES}},
                }
            ],
            [("message", None)],
            id="a signature",
        ),
    ],
)
def test_what_is_too_large_to_be_carried_is_reported(
    deltas: list[JSON], kinds: list[tuple[str, None]]
) -> None:
    """A3."""
    done = run(*deltas)
    assert carried(done) == kinds
    struck = [(a.rule, a.lossy) for a in done.machine.adaptations]
    assert ("reasoning.too_large", True) in struck


def test_a_provider_cannot_fill_the_memory_with_what_is_carried() -> None:
    """A1."""
    details = [{"reasoning_details": [{**SECRET, "data": "x" * (8 * MAX_BYTES)}]}] * 8
    done = run({"content": "Yes"}, *details)
    assert 8 * 8 * MAX_BYTES >= MAX_ANSWER_CHARACTERS
    assert done.check()["status"] == "failed"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(
            "<think>a\n</think>\n\nYes", {"text": "a\n", "think": ["", "\n\n"]}, id="block"
        ),
        pytest.param(" \n<think>a</think>Yes", {"text": "a", "think": [" \n", ""]}, id="no gap"),
    ],
)
@pytest.mark.parametrize("size", [1, 100], ids=["in pieces", "whole"])
def test_a_think_block_is_carried_as_it_stood_q19(content: str, expected: JSON, size: int) -> None:
    pieces = [content[i : i + size] for i in range(0, len(content), size)]
    done = run(*({"content": piece} for piece in pieces), profile=TAGS)
    assert carried(done) == [("reasoning", expected), ("message", None)]


def test_a_think_block_before_a_call_is_carried_q19() -> None:
    done = run({"content": "<think>a</think>\n"}, shell(), profile=TAGS)
    assert carried(done)[0] == ("reasoning", {"text": "a", "think": ["", "\n"]})


# ---------------------------------------------------------------- the carrier alone


def test_an_extra_content_that_cannot_be_written_is_none() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    carrier = ReasoningCarrier()
    assert carrier.add_extra(0, {"google": nested}) == 0
    assert carrier.content({0: "call_1"}) == {}


def test_details_that_were_taken_are_not_carried_again() -> None:
    carrier = ReasoningCarrier()
    carrier.details.add([SECRET])
    assert carrier.take_details().whole() == [SECRET]
    assert carrier.content({}) == {}
