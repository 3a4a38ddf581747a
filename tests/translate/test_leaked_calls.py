from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.translate import leaked_calls
from anyturn.translate.leaked_calls import (
    MAX_HELD,
    OPENINGS,
    FoundCall,
    LeakWatch,
    Rescue,
    rescue_calls,
)
from anyturn.translate.leaked_forms import FORMS, Said
from support.turns import PROFILE, TOOLS, Run, call_delta, chunk, run_blocks, sse_stream, told
from support.turns import tool_map as map_of

JSON = dict[str, Any]
LEAKY = PROFILE.replacing(text_calls=FORMS)
LS = '{"cmd":"ls"}'
HARMONY = f"<|channel|>commentary to=functions.shell <|constrain|>json<|message|>{LS}<|call|>"
LEAKS = {
    "harmony": HARMONY,
    "hermes": f'<tool_call>\n{{"name": "shell", "arguments": {LS}}}\n</tool_call>',
    "function_tags": "<function=shell>\n<parameter=cmd>\nls\n</parameter>\n</function>",
    "glm": "<tool_call>shell\n<arg_key>cmd</arg_key>\n<arg_value>ls</arg_value>\n</tool_call>",
    "mistral": f'[TOOL_CALLS] [{{"name": "shell", "arguments": {LS}}}]',
    "json": f'{{"name": "shell", "parameters": {LS}}}',
}


def squeezed(text: str) -> str:
    return "".join(text.split())


# ---------------------------------------------------------------- the watch

WORDS = st.sampled_from(
    [*(o for form in FORMS for o in OPENINGS[form]), "<", "<|", "to", "assistant", " ", "\n", "a"]
)
TEXTS = st.lists(WORDS | st.text(max_size=3), max_size=6).map("".join)


def split(text: str, cuts: list[int]) -> list[str]:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[a:b] for a, b in pairwise(edges) if a < b]


@given(TEXTS, st.lists(st.integers(0, 30), max_size=5))
def test_only_what_may_begin_a_call_is_held_and_everything_comes_out_as_it_came(
    text: str, cuts: list[int]
) -> None:
    openings = [o for form in FORMS for o in OPENINGS[form]]
    watch, out, fed = LeakWatch(FORMS), [], ""
    pieces = [(piece, [number]) for number, piece in enumerate(split(text, cuts))]
    for piece, logprobs in pieces:
        if watch.is_done:
            break
        fed += piece
        out += watch.feed(piece, logprobs)
        begun = squeezed(fed)
        assert watch.is_leak == any(begun.startswith(o) for o in openings)
        may_become_one = watch.is_leak or any(o.startswith(begun) for o in openings)
        assert watch.is_done == (not may_become_one)
        assert ("".join(t for t, _ in out) == fed) == watch.is_done, "held, or all of it is out"
    out += watch.release()
    assert out == pieces[: len(out)] and "".join(t for t, _ in out) == fed


@pytest.mark.parametrize("opening", [o for form in FORMS for o in OPENINGS[form]])
def test_an_opening_is_recognised_however_it_is_split(opening: str) -> None:
    for pieces in ([opening], list(opening), [" \n", opening], list(f"\n{opening} more")):
        watch = LeakWatch(FORMS)
        assert [watch.feed(piece) for piece in pieces] == [[]] * len(pieces)
        assert watch.is_leak
        assert "".join(text for text, _ in watch.release()) == "".join(pieces)


@pytest.mark.parametrize(
    "text", ["Hello", "`<tool_call>`", "{", "to do", "I call <|channel|>", "commentary: none"]
)
def test_a_plain_answer_is_not_delayed(text: str) -> None:
    watch = LeakWatch(["harmony", "hermes"])
    assert watch.feed(text, 7) == [(text, 7)]
    assert watch.is_done


def test_a_form_that_is_not_asked_for_is_not_held() -> None:
    assert LeakWatch(["harmony"]).feed(LEAKS["hermes"]) == [(LEAKS["hermes"], None)]


def test_no_more_is_held_than_the_limit() -> None:
    watch = LeakWatch(["harmony"])
    began = time.perf_counter()
    assert watch.feed("<|channel|>") == []
    while not watch.is_done:
        out = watch.feed("a")
    assert sum(len(text) for text, _ in out) == MAX_HELD + 1
    assert time.perf_counter() - began < 5


def test_endless_white_space_is_not_held_either() -> None:
    watch = LeakWatch(["harmony"])
    assert watch.feed(" " * MAX_HELD) == []
    assert watch.feed(" ") == [(" " * MAX_HELD, None), (" ", None)]


# ---------------------------------------------------------------- the rescue


def rescue(text: str) -> Rescue | None:
    return rescue_calls(text, FORMS, map_of(TOOLS))


@pytest.mark.parametrize(("form", "text"), LEAKS.items(), ids=LEAKS)
def test_calls_of_declared_tools_are_found(form: str, text: str) -> None:
    assert rescue(text) == Rescue(form, (FoundCall("shell", LS),))


def test_a_name_is_read_as_in_a_real_call() -> None:
    """F26, Q27: decorations, and the provider's name of a namespaced tool."""
    found = rescue(f"to=functions.mcp__docs__search json{LS}")
    assert found is not None
    assert found.calls == [FoundCall("mcp__docs__search", LS)]


@pytest.mark.parametrize("text", [text.replace("shell", "rm") for text in LEAKS.values()])
def test_a_tool_that_was_not_declared_leaves_the_text_as_it_is(text: str) -> None:
    assert rescue(text) is None


def test_one_unknown_name_is_enough() -> None:
    known, unknown = LEAKS["hermes"], LEAKS["hermes"].replace("shell", "rm")
    assert rescue(known + known) is not None
    assert rescue(known + unknown) is None


def test_a_name_that_can_only_be_guessed_is_not_enough() -> None:
    """Q30 is for real calls; a text must say exactly what it means."""
    tools = [
        {
            "type": "function",
            "name": "exec_command",
            "parameters": {"type": "object", "properties": {"cmd": {"type": "string"}}},
        }
    ]
    mapped = map_of(tools)
    assert mapped.guess("container.exec", LS) is not None
    assert rescue_calls(f"to=container.exec {LS}", FORMS, mapped) is None


def test_a_text_beyond_the_limit_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaked_calls, "MAX_HELD", len(HARMONY) - 1)
    assert rescue(HARMONY) is None


def test_values_get_the_types_of_the_tool_that_is_called() -> None:
    parameters = {"type": "object", "properties": {"list": {"type": "array"}}}
    mapped = map_of([{"type": "function", "name": "f", "parameters": parameters}])
    text = "<function=f><parameter=list>[1]</parameter></function>"
    found = rescue_calls(text, FORMS, mapped)
    assert found is not None and found.calls == [FoundCall("f", '{"list":[1]}')]


def test_channels_without_a_call_are_told_apart() -> None:
    text = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>A"
    assert rescue(text) == Rescue("harmony", (Said("Hm.", True), Said("A", False)))


# ---------------------------------------------------------------- in an answer


def run(pieces: list[str], finish: str | None = "stop", *more: JSON, **options: Any) -> Run:
    """An answer whose text comes in these pieces."""
    chunks = [chunk({"content": piece}) for piece in pieces]
    run = run_blocks(
        [sse_stream(*chunks, *more, chunk({}, finish))], **{"profile": LEAKY, **options}
    )
    run.check()
    return run


def outputs(run: Run) -> list[Any]:
    """What the items tell; of a message and of reasoning, its parts."""
    shown = [told(item) for item in run.check()["output"]]
    return [part for one in shown for part in (one if isinstance(one, list) else [one])]


def rules(run: Run) -> list[tuple[str, str]]:
    return [(a.rule, a.what) for a in run.machine.adaptations if a.rule != "usage.estimated"]


SHELL = ("function", "shell", "", LS)


@pytest.mark.parametrize("finish", ["stop", "tool_calls"])
@pytest.mark.parametrize(("form", "text"), LEAKS.items(), ids=LEAKS)
def test_leaked_calls_become_calls_however_they_come(form: str, text: str, finish: str) -> None:
    """F48, F49, Q42."""
    for pieces in ([text], list(text), ["\n", text, "\n"]):
        answer = run(pieces, finish)
        assert answer.check()["status"] == "completed"
        assert outputs(answer) == [SHELL]
        assert rules(answer) == [("calls.recovered", f"shell came as text ({form})")]


@given(st.sampled_from(sorted(LEAKS.values())), st.lists(st.integers(0, 120), max_size=6))
def test_the_cuts_of_a_leak_change_nothing(text: str, cuts: list[int]) -> None:
    assert outputs(run(split(text, cuts))) == [SHELL]


@pytest.mark.parametrize(
    ("finish", "status"),
    [("length", "incomplete"), ("content_filter", "incomplete"), (None, "failed")],
)
@pytest.mark.parametrize("text", LEAKS.values(), ids=LEAKS)
def test_an_answer_that_was_cut_off_stays_text(text: str, finish: str | None, status: str) -> None:
    """F44, Q41."""
    answer = run(list(text), finish)
    assert answer.check()["status"] == status
    deltas = [e["delta"] for e in answer.decoded if e["type"] == "response.output_text.delta"]
    assert "".join(deltas) == text
    assert rules(answer) == []


@pytest.mark.parametrize(
    "text",
    [pytest.param(f"{text} and so on", id=f"{form} and prose") for form, text in LEAKS.items()]
    + [
        pytest.param(text.replace("shell", "rm"), id=f"{form}, an unknown tool")
        for form, text in LEAKS.items()
    ]
    + [pytest.param(f"So: {text}", id=f"{form} behind prose") for form, text in LEAKS.items()]
    + [
        pytest.param(text[:-3].rstrip("]}"), id=f"cut {form}")
        for form, text in LEAKS.items()
        if form != "harmony"
    ]
    + [pytest.param("<|channel|>", id="a marker alone")],
)
def test_what_is_not_recovered_comes_out_as_it_came(text: str) -> None:
    for pieces in ([text], list(text)):
        answer = run(pieces)
        assert outputs(answer) == [("text", text)]
        assert rules(answer) == []


@given(TEXTS.filter(bool), st.lists(st.integers(0, 30), max_size=5))
def test_any_text_that_is_no_call_comes_out_as_it_came(text: str, cuts: list[int]) -> None:
    if rescue(text) is None:
        assert outputs(run(split(text, cuts))) == [("text", text)]


@given(st.text(min_size=1), st.lists(st.integers(0, 30), max_size=5))
def test_a_text_without_a_marker_gives_the_events_that_it_always_gave(
    text: str, cuts: list[int]
) -> None:
    begun = squeezed(text)
    if not any(o.startswith(begun[: len(o)]) for form in FORMS for o in OPENINGS[form]):
        pieces = split(text, cuts)
        plain = run(pieces, profile=PROFILE)
        if squeezed(pieces[0]):
            assert run(pieces, profile=LEAKY).wire == plain.wire
        assert outputs(run(pieces, profile=LEAKY)) == outputs(plain)


REAL = chunk(call_delta("{}", "now", index=0, id="call_1"))


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        pytest.param(REAL, [("function", "now", "", "{}")], id="a real call"),
        pytest.param(chunk({"refusal": "No."}), [("refusal", "No.")], id="a refusal"),
        pytest.param(chunk({"reasoning": "Hm."}), [("reasoning", "Hm.")], id="reasoning"),
        pytest.param(
            chunk({"reasoning_details": [{"text": "Hm."}]}), [("reasoning", "Hm.")], id="details"
        ),
        pytest.param(chunk({"annotations": [{"type": "url_citation"}]}), [], id="a citation"),
    ],
)
def test_a_leak_beside_something_else_stays_text_in_its_place(more: JSON, shown: list[Any]) -> None:
    answer = run([HARMONY], "stop", more)
    assert outputs(answer) == [("text", HARMONY), *shown]
    assert rules(answer) == []


def test_a_leak_before_content_in_parts_stays_text() -> None:
    parts = chunk({"content": [{"type": "text", "text": "And so on."}]})
    assert outputs(run([HARMONY], "stop", parts)) == [("text", f"{HARMONY}And so on.")]


def test_text_after_a_real_call_is_not_held() -> None:
    answer = run_blocks(
        [sse_stream(REAL, chunk({"content": HARMONY}), chunk({}, "stop"))], profile=LEAKY
    )
    assert outputs(answer) == [("function", "now", "", "{}"), ("text", HARMONY)]


@pytest.mark.parametrize(
    "delta",
    [
        pytest.param({"reasoning": "Hm."}, id="a field"),
        pytest.param({"reasoning_details": [{"text": "Hm."}]}, id="details"),
        pytest.param({"content": [{"type": "thinking", "thinking": "Hm."}]}, id="parts"),
    ],
)
def test_reasoning_may_come_before(delta: JSON) -> None:
    chunks = [chunk(delta), chunk({"content": HARMONY}), chunk({}, "stop")]
    answer = run_blocks([sse_stream(*chunks)], profile=LEAKY)
    assert outputs(answer) == [("reasoning", "Hm."), SHELL]


def test_reasoning_in_tags_may_come_before() -> None:
    tagged = LEAKY.replacing(think_tags=True)
    for pieces in (["<think>Hm.</think>\n" + HARMONY], list("<think>Hm.</think>" + HARMONY)):
        assert outputs(run(pieces, profile=tagged)) == [("reasoning", "Hm."), SHELL]


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_the_channels_of_a_whole_harmony_answer_are_told_apart(finish: str) -> None:
    """chat-providers.md section 6."""
    text = (
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>"
        "I look.<|end|><|start|>assistant<|channel|>final<|message|>Done."
    )
    answer = run(list(text), finish)
    assert outputs(answer) == [("reasoning", "Hm."), ("text", "I look.Done.")]
    assert [rule for rule, _ in rules(answer)] == ["text.channels"]


def test_a_freeform_tool_gets_its_raw_input() -> None:
    patch = '{"input":"*** Begin Patch\\n*** End Patch"}'
    answer = run([f"to=functions.apply_patch<|message|>{patch}"])
    assert outputs(answer) == [("freeform", "apply_patch", "", "*** Begin Patch\n*** End Patch")]


def test_several_leaked_calls_have_ids_of_their_own() -> None:
    response = run([LEAKS["hermes"], LEAKS["hermes"]]).check()
    ids = [item["call_id"] for item in response["output"]]
    assert len(set(ids)) == 2


def test_log_probabilities_stay_with_the_text_that_was_held() -> None:
    tokens = [{"token": t, "bytes": list(t.encode()), "top_logprobs": []} for t in ("to", "=", "x")]
    pieces = [
        {"choices": [{"delta": {"content": t["token"]}, "logprobs": {"content": [t]}}]}
        for t in tokens
    ]
    answer = run_blocks([sse_stream(*pieces, chunk({}, "stop"))], profile=LEAKY)
    deltas = [e for e in answer.decoded if e["type"] == "response.output_text.delta"]
    assert [(e["delta"], e["logprobs"]) for e in deltas] == [(t["token"], [t]) for t in tokens]


# ---------------------------------------------------------------- calls in an error


def groq_error(generation: Any) -> JSON:
    message = "tool call validation failed: attempted to call tool which was not in request.tools"
    error = {"message": message, "code": "tool_use_failed", "failed_generation": generation}
    return {"error": {**error, "type": "invalid_request_error", "status_code": 400}}


@pytest.mark.parametrize(
    "generation", [json for form, json in LEAKS.items()] + [f"[{LEAKS['json']}]"]
)
def test_the_call_that_a_provider_would_not_read_is_handed_out(generation: str) -> None:
    """Q29."""
    answer = run([], None, chunk({"reasoning": "Hm."}), groq_error(generation))
    assert answer.check()["status"] == "completed"
    assert outputs(answer) == [("reasoning", "Hm."), SHELL]
    assert rules(answer) == [("calls.recovered", "shell came as the provider's error")]


def test_text_before_such_an_error_is_kept() -> None:
    for profile in (PROFILE, LEAKY):
        answer = run(["I look", "."], None, groq_error(LEAKS["json"]), profile=profile)
        assert outputs(answer) == [("text", "I look."), SHELL]


@pytest.mark.parametrize(
    ("generation", "more"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param(None, [], id="null"),
        pytest.param({"name": "shell"}, [], id="an object"),
        pytest.param('{"name": "rm", "arguments": {}}', [], id="an unknown tool"),
        pytest.param('{"name": "shell", "arguments": {"cmd": "l', [], id="cut"),
        pytest.param("I would call shell", [], id="prose"),
        pytest.param("<|channel|>final<|message|>Hi", [], id="words"),
        pytest.param(LEAKS["json"], [REAL], id="a call was already told"),
    ],
)
def test_an_error_without_a_usable_call_is_the_error_it_was(
    generation: Any, more: list[JSON]
) -> None:
    answer = run([], None, *more, groq_error(generation))
    response = answer.check()
    assert response["status"] == "failed"
    assert "tool call validation failed" in response["error"]["message"]
    assert not [item for item in response["output"] if "call_id" in item]
    assert msgspec.json.encode(response).find(b"failed_generation") == -1
