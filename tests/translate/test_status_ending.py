"""The status line at the end of an answer: one more delta, or one more item, and no rule broken."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.conformance import check_stream as judged
from anyturn.testing import Answer, call, reasoning, text
from anyturn.testing.responses_script import event_stream
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.status_ending import StatusEnding
from anyturn.translate.status_line import marked, without_status_lines
from anyturn.wire import responses as r
from support.provider_streams import Script, scripts
from support.relays import relay_events
from support.stream_rules import check_stream, decode_events
from support.turns import chunk, run_blocks, run_chunks, sse_stream

JSON = dict[str, Any]
LINE = "main* · m"
TAIL = marked(LINE)
FORMS = pytest.mark.parametrize("as_reasoning", [False, True], ids=["text", "reasoning"])


class Ended:
    """What a client gets of these events, with a status line."""

    def __init__(
        self, bursts: Iterable[list[r.Event]], as_reasoning: bool, line: str = LINE
    ) -> None:
        numbers = count(1)
        self.adaptations = Adaptations()
        self.asked: list[r.Usage | None] = []
        self.ending = StatusEnding(
            lambda usage: self.asked.append(usage) or line,  # type: ignore[func-returns-value]
            self.adaptations,
            lambda prefix: f"{prefix}_{next(numbers):032}",
            as_reasoning=as_reasoning,
        )
        self.bursts = [self.ending.passed(burst) for burst in bursts]
        self.events = [event for burst in self.bursts for event in burst]
        self.decoded = decode_events(b"".join(map(r.encode_event, self.events)))

    @property
    def output(self) -> list[JSON]:
        output: list[JSON] = self.decoded[-1]["response"]["output"]
        return output


def is_lined(output: list[JSON], status: str) -> bool:
    """Whether a line belongs to this answer."""
    return (
        status == "completed"
        and any(item["type"] == "message" for item in output)
        and not any(item.get("call_id") for item in output)
    )


def rules(events: list[r.Event]) -> set[str]:
    """What the checker finds in a stream."""
    return {f.rule for f in judged(b"".join(map(r.encode_event, events))).findings}


def relayed(answer: Answer, **options: Any) -> Any:
    return relay_events(
        event_stream(answer, {"model": "m", "tools": []}, 1, 1, "gAAAA-"), **options
    )


@given(scripts(), st.booleans(), st.booleans(), st.data())
def test_any_answer_keeps_every_rule_and_comes_back_as_it_was(
    script: Script, as_reasoning: bool, is_relayed: bool, data: st.DataObject
) -> None:
    run: Any = run_blocks([script.stream()])
    if is_relayed:
        run = relay_events(run.decoded)
    cut = data.draw(st.integers(0, len(run.events)))
    ended = Ended([run.events[:cut], run.events[cut:]], as_reasoning)
    plain = run.decoded[-1]["response"]
    assert check_stream(ended.decoded)["status"] == plain["status"]
    assert rules(ended.events) <= rules(run.events)
    assert without_status_lines(ended.output, Adaptations()) == plain["output"]
    if not is_lined(plain["output"], plain["status"]):
        assert ended.decoded == run.decoded
    if ended.output != plain["output"]:
        assert [change.rule for change in ended.adaptations] == ["answer.status_line"]
        assert r.as_object(ended.ending.response) == ended.decoded[-1]["response"]
    else:
        assert ended.adaptations == [] and ended.ending.response is None


@FORMS
@pytest.mark.parametrize("is_relayed", [False, True], ids=["chat", "responses"])
def test_the_line_stands_under_the_last_message(as_reasoning: bool, is_relayed: bool) -> None:
    if is_relayed:
        run: Any = relayed(Answer(reasoning("Hm."), text("The answer is **42**.")))
    else:
        run = run_chunks(
            chunk({"reasoning_content": "Hm."}),
            chunk({"content": "The answer is **42**."}),
            chunk({}, "stop"),
        )
    ended = Ended([[event] for event in run.events], as_reasoning)
    check_stream(ended.decoded)
    assert rules(ended.events) == rules(run.events)
    kinds = [item["type"] for item in ended.output]
    said = next(item for item in ended.output if item["type"] == "message")["content"][0]["text"]
    if as_reasoning:
        assert kinds == ["reasoning", "message", "reasoning"]
        assert ended.output[-1]["summary"] == [{"type": "summary_text", "text": LINE}]
        assert said == "The answer is **42**."
    else:
        assert kinds == ["reasoning", "message"]
        assert said == f"The answer is **42**.{TAIL}"
    assert [usage is not None for usage in ended.asked] == [True]


@FORMS
def test_all_that_comes_before_the_end_of_the_text_is_sent_at_once(as_reasoning: bool) -> None:
    run = relayed(Answer(text("One two three."), fragment=4))
    ended = Ended([[event] for event in run.events], as_reasoning)
    until = [r.name_of(event) for event in run.events].index("response.output_text.done")
    assert ended.bursts[:until] == [[event] for event in run.events[:until]]


def test_what_follows_a_message_that_is_not_the_last_is_held_no_longer() -> None:
    run = relayed(Answer(text("I look."), call("f", {}), text("Then I look again.")))
    names = [r.name_of(event) for event in run.events]
    second = names.index("response.output_item.added", names.index("response.output_item.done"))
    ended = Ended([run.events[: second + 1], run.events[second + 1 :]], as_reasoning=False)
    assert ended.bursts[0] == run.events[: second + 1]
    assert ended.decoded == run.decoded


def test_reasoning_behind_the_answer_comes_behind_its_line() -> None:
    run = run_chunks(
        chunk({"content": "Yes."}), chunk({"reasoning_content": "Was it?"}), chunk({}, "stop")
    )
    ended = Ended([run.events], as_reasoning=False)
    check_stream(ended.decoded)
    assert [item["type"] for item in ended.output] == ["message", "reasoning"]
    assert ended.output[0]["content"][0]["text"] == f"Yes.{TAIL}"


def test_more_reasoning_behind_the_answer_than_may_be_held_is_not_held() -> None:
    thoughts = [chunk({"reasoning_content": "Hm. "}) for _ in range(300)]
    run = run_chunks(chunk({"content": "Yes."}), *thoughts, chunk({}, "stop"))
    assert Ended([run.events], as_reasoning=False).decoded == run.decoded


@FORMS
@pytest.mark.parametrize(
    "chunks",
    [
        [chunk({"content": "Ye"}), chunk({}, "length")],
        [chunk({"content": "Ye"}), chunk({}, "content_filter")],
        [chunk({"content": "Ye"})],
        [chunk({"content": "Ye"}), {"error": {"message": "broken"}}],
        [chunk({}, "stop")],
        [chunk({"refusal": "No."}), chunk({}, "stop")],
    ],
    ids=["length", "filter", "cut", "error", "empty", "refusal"],
)
def test_what_is_no_whole_answer_has_no_line(chunks: list[JSON], as_reasoning: bool) -> None:
    run = run_blocks([sse_stream(*chunks)])
    ended = Ended([run.events], as_reasoning)
    if as_reasoning and "refusal" in str(chunks):
        assert len(ended.output) == 2
    else:
        assert ended.decoded == run.decoded


@FORMS
def test_an_answer_that_says_that_it_goes_on_has_no_line(as_reasoning: bool) -> None:
    events = event_stream(Answer(text("I look.")), {"model": "m", "tools": []}, 1, 1, "gAAAA-")
    events[-1]["response"]["end_turn"] = False
    run = relay_events(events)
    assert Ended([run.events], as_reasoning).decoded == run.decoded


@FORMS
def test_where_there_is_nothing_to_say_nothing_is_changed(as_reasoning: bool) -> None:
    run = run_chunks(chunk({"content": "Yes."}), chunk({}, "stop"))
    ended = Ended([run.events], as_reasoning, line="")
    assert ended.events == run.events and ended.adaptations == []


def test_a_server_that_tells_a_text_in_two_ways_is_left_alone() -> None:
    events = event_stream(Answer(text("Yes.")), {"model": "m", "tools": []}, 1, 1, "gAAAA-")
    for event in events:
        if event["type"] == "response.completed":
            event["response"]["output"] = [
                {**e["item"], "content": []}
                for e in events
                if e["type"] == "response.output_item.done"
            ]
    run = relay_events(events)
    assert Ended([run.events], as_reasoning=False).decoded == run.decoded
