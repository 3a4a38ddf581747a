"""The check as a whole: good streams, any bytes, any split, and streams beyond all limits."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.conformance import StreamChecker, Verdict, check_stream
from anyturn.conformance.checker import MAX_KEPT
from support.bent_streams import REQUEST
from support.defects import DEFECTS
from support.provider_streams import Calls, Script, scripts
from support.responses_streams import as_sse, call, freeform, message, reasoning, stream
from support.turns import REQUEST as OUR_REQUEST
from support.turns import run_blocks, split_at

JSON = dict[str, Any]

GOOD = {
    "text": stream(message()),
    "empty": stream(),
    "all": stream(reasoning(), message(), call(), freeform()),
    "two of each": stream(message(), message("More.", 2), call(), call(number=2)),
    "failed": stream(end="failed"),
    "incomplete": stream(message(), end="incomplete"),
}

# No stream suits everyone: OpenAI's clients and the Open Responses suite want other names for raw
# reasoning, and other tools in the echo. Codex drops refusals, which OpenAI's clients expect.
CONFLICTS = {
    "foreign.reasoning-names-of-openai",
    "open-responses.tools-echo",
    "codex.refusal-part",
}


@pytest.mark.parametrize("events", GOOD.values(), ids=GOOD)
def test_a_good_stream_has_no_finding_for_anyone(events: list[JSON]) -> None:
    for form in (events, as_sse(events), [msgspec.json.encode(event) for event in events]):
        report = check_stream(form, request=REQUEST)
        assert report.findings == ()
        assert report.kind == "responses"
        assert set(report.verdicts.values()) == {Verdict.READY}


# ---------------------------------------------------------------- our own machine


def borne(script: Script) -> set[str]:
    """What must be borne with: no stream suits everyone, and a model's words are its own."""
    calls = [call for part in script.parts if isinstance(part, Calls) for call in part.calls]
    own = {"items.arguments-not-json"} if any(not call.whole for call in calls) else set()
    return CONFLICTS | own


@settings(max_examples=300)
@given(scripts(), st.booleans())
def test_every_stream_of_the_gateway_suits_every_client(script: Script, summary: bool) -> None:
    run = run_blocks([script.stream()], summary=summary)
    for form in (run.wire + b"data: [DONE]\n\n", run.decoded):
        report = check_stream(form, request=OUR_REQUEST)
        assert {finding.rule for finding in report.findings} <= borne(script), report.text("all")


@settings(max_examples=150)
@given(scripts())
def test_the_gateway_is_faithful_to_every_provider(script: Script) -> None:
    run = run_blocks([script.stream()])
    report = check_stream(run.decoded, request=OUR_REQUEST, chunks=script.stream())
    assert {finding.rule for finding in report.findings} <= borne(script), report.text("all")


RECORDED = Path(__file__).parents[2].parent / "shared" / "streams"
CHATS = sorted(path for kind in ("sse", "jsonl") for path in RECORDED.glob(f"*/chat-*.{kind}"))


@pytest.mark.skipif(not CHATS, reason="the recorded streams are not here")
@pytest.mark.parametrize("path", CHATS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_gateway_is_faithful_to_real_providers(path: Path) -> None:
    body = path.read_bytes()
    if path.suffix == ".jsonl":
        body = b"".join(b"data: %b\n\n" % line for line in body.splitlines() if line.strip())
    run = run_blocks([body], tools=[])
    report = check_stream(run.decoded, chunks=path.read_bytes())
    assert {finding.rule for finding in report.findings} <= CONFLICTS, report.text("all")


# ---------------------------------------------------------------- any bytes, any split

_WHOLE = as_sse(GOOD["all"])
_PIECES = st.sampled_from(
    [
        *(b"data: ", b"\n\n", b"\n", b"\r\n", b"event: x\n", b": c\n\n", b"[DONE]", b"\xff", b"{"),
        *(b'{"type":"response.created","response":{}}', b'"', b"}", b"null", b"[]", b"<html>"),
        *(msgspec.json.encode(event) for event in GOOD["all"]),
        *(
            msgspec.json.encode(event)
            for defect in DEFECTS
            for event in (defect.bad if isinstance(defect.bad, list) else [])
        ),
    ]
)


@settings(max_examples=300)
@given(st.lists(st.one_of(_PIECES, st.binary(max_size=40)), max_size=30))
def test_no_bytes_make_it_crash(pieces: list[bytes]) -> None:
    report = check_stream(b"".join(pieces))
    assert report.text("all")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@settings(max_examples=300)
@given(st.data())
def test_no_value_in_a_strange_place_makes_it_crash(data: st.DataObject) -> None:
    events: list[JSON] = msgspec.json.decode(msgspec.json.encode(GOOD["all"]))
    for _ in range(data.draw(st.integers(1, 4))):
        place: Any = data.draw(st.sampled_from(events))
        for _ in range(data.draw(st.integers(0, 2))):
            inner = [value for value in place.values() if isinstance(value, dict) and value]
            place = data.draw(st.sampled_from(inner)) if inner else place
        place[data.draw(st.sampled_from(sorted(place)))] = data.draw(_VALUES)
    assert check_stream(events, request=REQUEST).text("all")


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_byte_by_byte_gives_the_same_report_as_the_whole(line_end: bytes) -> None:
    for defect in DEFECTS:
        body = defect.bad if isinstance(defect.bad, bytes) else as_sse(defect.bad)
        whole = check_stream(body, **defect.known, **defect.bad_known)
        known = {**defect.known, **defect.bad_known}
        chunks = known.pop("chunks", ())
        checker = StreamChecker(**known)
        for chunk in chunks:
            checker.take_chunk(chunk)
        stream = body.replace(b"\n", line_end)
        for at in range(len(stream)):
            checker.feed(stream[at : at + 1])
        assert checker.close() == whole, defect.rule


@settings(max_examples=100)
@given(st.lists(st.integers(0, len(_WHOLE)), max_size=9), st.booleans())
def test_any_split_gives_the_same_report(cuts: list[int], as_lines: bool) -> None:
    body = b"\n".join(map(msgspec.json.encode, GOOD["all"])) if as_lines else _WHOLE
    checker = StreamChecker()
    for block in split_at(body, cuts):
        checker.feed(block)
    assert checker.close().findings == ()


# ---------------------------------------------------------------- live use


def test_a_finding_is_told_at_its_event() -> None:
    checker = StreamChecker()
    events = stream(call(""))
    told = [[finding.rule for finding in checker.take(event)] for event in events]
    assert [names for names in told if names] == [["items.arguments-empty"]]
    assert told[6] == ["items.arguments-empty"]
    assert checker.close().findings[0].event == 6


def test_repeated_findings_are_counted_and_not_kept() -> None:
    report = check_stream([{"delta": "x"}] * 1000 + stream(message()))
    found = [finding for finding in report.findings if finding.rule == "transport.no-type"]
    assert len(found) == MAX_KEPT
    assert sum(finding.times for finding in found) == 1000


def test_memory_does_not_grow_with_the_stream() -> None:
    checker = StreamChecker()
    opening = stream(message())[:4]
    for event in opening:
        checker.take(event)
    delta = {**stream(message())[4], "delta": ""}
    tracemalloc.start()
    try:
        for number in range(4000):
            checker.take({**delta, "sequence_number": 4 + number})
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 400_000


@pytest.mark.parametrize("framing", [b"data: ", b"{"], ids=["sse", "lines"])
def test_a_message_that_never_ends_is_said_to_be_too_long(framing: bytes) -> None:
    checker = StreamChecker(max_message_bytes=5000)
    told = [finding.rule for _ in range(20) for finding in checker.feed(framing + b"x" * 1000)]
    assert told == ["transport.too-long"]
    assert [finding.rule for finding in checker.close().findings] == told


# ---------------------------------------------------------------- what else was known


def test_a_file_of_several_turns_is_checked_turn_by_turn() -> None:
    turns = [*stream(call()), *stream(message(), end="incomplete"), *stream(message("Bye."))]
    body = b"\n".join(map(msgspec.json.encode, turns))
    assert check_stream(body).findings == ()
    assert {f.rule for f in check_stream(turns).findings} >= {"grammar.event-after-terminal"}


def test_tools_of_a_lite_request_are_known() -> None:
    """F22."""
    tools = [{"type": "additional_tools", "role": "developer", "tools": REQUEST["tools"]}]
    report = check_stream(stream(call(name="other")), request={"input": tools})
    assert [finding.rule for finding in report.findings] == ["items.name-undeclared"]
