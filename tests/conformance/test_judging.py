"""An exchange, judged: states, words, and whatever bytes may come."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.conformance.judging import (
    CUT,
    ENDLESS,
    NO_ANSWER,
    Exchange,
    State,
    judge,
)
from anyturn.conformance.probes import LOOP, PROBES, WORD, request_of
from support.responses_streams import as_sse, call, message, stream

BY_ID = {probe.id: probe for probe in PROBES}
SSE = {"content-type": "text/event-stream"}
CALL = BY_ID["one call"]
REQUEST = request_of(CALL, "m")


def streamed(*items: list[dict[str, object]]) -> Exchange:
    return Exchange(200, SSE, as_sse(stream(*items)))


def test_the_event_itself_stands_beside_a_finding() -> None:
    outcome = judge(CALL, REQUEST, streamed(call("", "get_weather")))
    (found,) = outcome.found
    assert found.finding.rule == "items.arguments-empty"
    assert msgspec.json.decode(found.actual)["type"] == "response.output_item.done"


def test_words_instead_of_a_call_are_no_fault() -> None:
    outcome = judge(CALL, REQUEST, streamed(message("It is sunny.")))
    assert (outcome.state, outcome.found) == (State.NOT_CALLED, ())
    assert "It is sunny." in outcome.words


def test_a_call_that_came_as_text_is_one() -> None:
    leak = '<tool_call>{"name":"get_weather","arguments":{"city":"Paris"}}</tool_call>'
    outcome = judge(CALL, REQUEST, streamed(message(leak)))
    assert (outcome.state, outcome.has) == (State.JUDGED, {"items.call-as-text"})


def test_fewer_calls_than_asked_for_are_the_models_choice() -> None:
    outcome = judge(
        BY_ID["parallel calls"], REQUEST, streamed(call('{"city":"Rome"}', "get_weather"))
    )
    assert (outcome.state, outcome.found) == (State.JUDGED, ())
    assert outcome.words.startswith("1 of 3 calls")


@pytest.mark.parametrize(
    ("text", "words"), [(f"The word is {WORD}.", "The word"), ("No idea.", "does not use")]
)
def test_an_output_that_left_no_trace_is_mentioned(text: str, words: str) -> None:
    outcome = judge(BY_ID[LOOP], REQUEST, streamed(message(text)))
    assert outcome.found == ()
    assert words in outcome.words


def test_what_was_cut_by_our_own_limit_is_not_held_against_the_stream() -> None:
    body = as_sse(stream(message()))[:-700]
    outcome = judge(BY_ID["text"], REQUEST, Exchange(200, SSE, body, ENDLESS, "after 1 s"))
    assert outcome.has == {"live.endless"}


def test_a_404_hints_at_the_address() -> None:
    outcome = judge(CALL, REQUEST, Exchange(404, body=b"404 page not found"))
    assert outcome.has == {"transport.status"}
    assert "404 page not found (does the address end with /v1," in outcome.findings[0].found


def test_a_busy_server_is_not_judged() -> None:
    assert judge(CALL, REQUEST, Exchange(429)).state is State.LIMITED


_bodies = st.one_of(
    st.binary(max_size=300),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["output", "status", "error", "data", "type", "item", "usage"])
                | st.text(max_size=3),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ).map(msgspec.json.encode),
)


@given(
    st.sampled_from(PROBES),
    st.none() | st.sampled_from([101, 200, 302, 400, 426, 500]),
    _bodies,
    st.sampled_from(["", NO_ANSWER, ENDLESS, CUT]),
    st.booleans(),
)
def test_nothing_that_may_come_raises(
    probe: object, status: int | None, body: bytes, problem: str, framed: bool
) -> None:
    assert isinstance(probe, type(CALL))
    sent = b"data: %b\n\n" % body if framed else body
    exchange = Exchange(status, SSE, sent, problem, "words", frames=(body,))
    outcome = judge(probe, request_of(probe, "m"), exchange)
    assert all(finding.found for finding in outcome.findings)
