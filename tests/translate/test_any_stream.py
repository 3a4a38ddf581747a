"""The state machine under any provider stream (I1 to I7)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.translate.fold import fold
from anyturn.translate.leaked_forms import FORMS
from support.provider_streams import Called, Script, scripts
from support.turns import PROFILE, chunk, one_by_one, run_blocks, split_at, sse_stream, told

JSON = dict[str, Any]


@settings(max_examples=400, deadline=None)
@given(scripts(), st.booleans())
def test_every_provider_stream_gives_a_stream_that_keeps_the_rules(
    script: Script, summary: bool
) -> None:
    run = run_blocks([script.stream()], summary=summary)
    assert run.check()["status"] == script.status
    assert fold(run.events) == run.machine.terminal.response


@settings(max_examples=250, deadline=None)
@given(scripts(errors=False, finishes=["stop", "tool_calls", "weird"]), st.booleans())
def test_nothing_of_a_whole_answer_is_lost_or_invented(script: Script, summary: bool) -> None:
    response = run_blocks([script.stream()], summary=summary).check()
    if response["status"] == "failed":
        return
    assert [told(item) for item in response["output"]] == [
        _meant(item, cut=False) for item in script.items
    ]
    _assert_call_ids(script, response)
    _assert_usage(script, response)


@settings(max_examples=150, deadline=None)
@given(scripts(errors=False, finishes=["length", "model_length", "content_filter"]))
def test_an_answer_that_was_cut_off_is_incomplete_and_told_as_far_as_it_came(
    script: Script,
) -> None:
    response = run_blocks([script.stream()]).check()
    reason = "content_filter" if script.finish == "content_filter" else "max_output_tokens"
    assert response["incomplete_details"] == {"reason": reason}
    shown = [item for item in script.items if not _is_cut_freeform(item)]
    assert [told(item) for item in response["output"]] == [_meant(i, cut=True) for i in shown]
    for item, (kind, meant) in zip(response["output"], shown, strict=True):
        if kind == "call":
            assert item["status"] == ("completed" if meant.whole else "incomplete")
    if script.items and script.items[-1][0] != "call":
        assert response["output"][-1]["status"] == "incomplete"


@pytest.mark.parametrize(
    "words",
    [
        '<tool_call>{"name": "shell", "arguments": {"cmd": "rm -r x"}}</tool_call>',
        "<function=shell><parameter=cmd>rm -r x</parameter></function>",
        '{"name": "shell", "arguments": {"cmd": "rm -r x"}}',
        'to=functions.shell {"cmd": "rm -r x"}',
    ],
    ids=["Hermes", "Qwen", "JSON", "Harmony"],
)
@given(cuts=st.lists(st.integers(0, 200), max_size=5))
def test_a_call_that_is_written_as_text_stays_text_f49(words: str, cuts: list[int]) -> None:
    """The model may be quoting, and what it quotes must not run."""
    deltas = [chunk({"content": piece.decode()}) for piece in split_at(words.encode(), cuts)]
    run = run_blocks([sse_stream(*deltas, chunk({}, "stop"))])
    assert [told(item) for item in run.check()["output"]] == [[("text", words)]]


@settings(max_examples=120, deadline=None)
@given(scripts(), st.lists(st.integers(0, 3000), max_size=12))
def test_the_events_do_not_depend_on_how_the_bytes_arrive(script: Script, cuts: list[int]) -> None:
    whole = run_blocks([script.stream(b"\n")]).wire
    for line_end in (b"\n", b"\r", b"\r\n"):
        stream = script.stream(line_end)
        assert run_blocks([stream]).wire == whole
        assert run_blocks(one_by_one(stream)).wire == whole
        assert run_blocks(split_at(stream, cuts)).wire == whole


@settings(max_examples=150, deadline=None)
@given(scripts(errors=False), st.floats(0, 1))
def test_a_stream_that_is_cut_anywhere_keeps_the_rules_and_hands_out_no_call(
    script: Script, share: float
) -> None:
    stream = script.stream()
    run = run_blocks([stream[: int(len(stream) * share)]])
    response = run.check()
    if run.machine.finish is None:
        assert response["status"] == "failed"
        assert not [item for item in run.done_items() if "call_id" in item]
        meant = [_meant(item, cut=False) for item in script.items]
        done = [told(item) for item in run.done_items()]
        assert done == meant[: len(done)]


@settings(max_examples=100, deadline=None)
@given(scripts())
def test_an_error_in_the_stream_ends_it_with_the_words_of_the_provider(script: Script) -> None:
    if script.error is None:
        return
    response = run_blocks([script.stream()]).check()
    assert response["status"] == "failed"
    assert script.error_words in response["error"]["message"]
    assert not [item for item in response["output"] if "call_id" in item]


@settings(max_examples=60, deadline=None)
@given(scripts())
def test_the_same_bytes_give_the_same_bytes(script: Script) -> None:
    assert run_blocks([script.stream()]).wire == run_blocks([script.stream()]).wire


@settings(max_examples=100, deadline=None)
@given(scripts(), st.lists(st.integers(0, 3000), max_size=12))
def test_a_provider_that_thinks_in_tags_changes_none_of_this(
    script: Script, cuts: list[int]
) -> None:
    """F50, Q19."""
    profile = PROFILE.replacing(think_tags=True)
    run = run_blocks([script.stream()], profile=profile)
    response = run.check()
    assert run_blocks(split_at(script.stream(), cuts), profile=profile).wire == run.wire
    if response["status"] != "failed":
        calls = [told(item) for item in response["output"] if "call_id" in item]
        cut = response["status"] == "incomplete"
        shown = [item for item in script.items if not (cut and _is_cut_freeform(item))]
        assert calls == [_meant(item, cut=cut) for item in shown if item[0] == "call"]


SECRET = {"type": "reasoning.encrypted", "data": "x", "id": "rs_1"}
CARRIED: list[JSON] = [
    {"reasoning_details": [SECRET]},
    {"reasoning_details": [{"type": "reasoning.text", "signature": "s"}]},
    {"extra_content": {"google": {"thought_signature": "s"}}},
]


@settings(max_examples=200, deadline=None)
@given(scripts(), st.lists(st.tuples(st.integers(0, 20), st.sampled_from(CARRIED)), max_size=4))
def test_what_is_carried_changes_nothing_else(
    script: Script, carried: list[tuple[int, JSON]]
) -> None:
    """G8: at most one item more, and it is the last."""
    plain = run_blocks([script.stream()])
    for place, delta in carried:
        if place < len(script.deltas):
            script.deltas[place] = {**script.deltas[place], **delta}
    run = run_blocks([script.stream()], seal=True)
    response = run.check()
    assert response["status"] == plain.machine.terminal.response.status
    items = run.done_items()
    if items and items[-1]["type"] == "reasoning" and not told(items[-1]):
        items.pop()
    assert [told(item) for item in items] == [told(item) for item in plain.done_items()]
    # Without a client that keeps it, nothing is carried.
    assert run_blocks([script.stream()]).wire == plain.wire


@settings(max_examples=100, deadline=None)
@given(scripts(), st.lists(st.integers(0, 3000), max_size=12))
def test_a_provider_that_is_watched_for_leaks_changes_none_of_this(
    script: Script, cuts: list[int]
) -> None:
    """F48, F49: what the words of a stream begin like is no call."""
    profile = PROFILE.replacing(text_calls=FORMS)
    run = run_blocks([script.stream()], profile=profile)
    assert run.check()["status"] == script.status
    assert run_blocks(split_at(script.stream(), cuts), profile=profile).wire == run.wire
    plain = run_blocks([script.stream()]).check()
    if plain["status"] != "failed":
        calls = [[i for i in r["output"] if "call_id" in i] for r in (run.check(), plain)]
        assert [told(item) for item in calls[0]] == [told(item) for item in calls[1]]
        assert _texts(run.check()) == _texts(plain)


def _texts(response: JSON) -> str:
    """What the messages say, whatever stands between them."""
    messages = [item for item in response["output"] if item["type"] == "message"]
    return "".join(p.get("text", "") for item in messages for p in item["content"])


def _meant(item: tuple[Any, ...], *, cut: bool) -> Any:
    """What the script says that an item must tell."""
    kind, meant = item
    if kind != "call":
        return meant
    call: Called = meant
    named = (call.tool.name, call.tool.namespace)
    if call.tool.freeform:
        return ("freeform", *named, call.raw_input)
    arguments = call.arguments
    if isinstance(arguments, dict):
        return ("function", *named, msgspec.json.encode(arguments).decode())
    if arguments == "null" and not cut:
        return ("function", *named, "{}")  # Q33
    nothing = not arguments.strip() and not cut
    return ("function", *named, f"{arguments}{{}}" if nothing else arguments)


def _is_cut_freeform(item: tuple[Any, ...]) -> bool:
    return item[0] == "call" and item[1].tool.freeform and not item[1].whole


def _assert_call_ids(script: Script, response: JSON) -> None:
    """A provider's id serves where it came in time and is not too long (F13, Q49)."""
    items = [item for item in response["output"] if "call_id" in item]
    for item, call in zip(items, script.calls, strict=True):
        if script.style.ids in ("first", "each", "rotating") and len(call.id) <= 64:
            assert item["call_id"] == call.id
        elif script.style.ids != "late":
            assert item["call_id"].startswith("call_new")


def _assert_usage(script: Script, response: JSON) -> None:
    if script.usage is None or script.usage_place == "none":
        return
    prompt, completion, cached, reasoning = script.usage
    assert response["usage"] == {
        "input_tokens": prompt,
        "output_tokens": completion,
        "total_tokens": prompt + completion,
        "input_tokens_details": {"cached_tokens": min(cached, prompt), "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": min(reasoning, completion)},
    }
