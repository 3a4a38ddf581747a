"""Requests for Responses servers: what they refuse is not sent, and nothing else changes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.errors import TurnError
from anyturn.providers import find
from anyturn.testing.responses_rules import check_forwarded
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.compaction import seal_summary
from anyturn.translate.envelope import REASONING, seal
from anyturn.translate.responses_to_responses import ForwardedRequest, forward_request
from anyturn.wire.profile import Profile

JSON = dict[str, Any]

CHATGPT = find("chatgpt")
PLAIN = Profile(name="acme", title="Acme", wire="responses")
OURS = str(seal(REASONING, "acme", {"text": "x"}))
SEALED: JSON = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA-1"}
CALL: JSON = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT: JSON = {"type": "function_call_output", "call_id": "c", "output": "ok"}


def user(words: str, **members: Any) -> JSON:
    return {"type": "message", "role": "user", "content": words, **members}


def forward(*items: JSON, profile: Profile = CHATGPT, **request: Any) -> ForwardedRequest:
    return forward_request({"input": [*items], **request}, profile, "m", Adaptations())


def rules(asked: ForwardedRequest) -> list[str]:
    return [change.rule for change in asked.adaptations]


def test_the_server_stores_nothing_streams_and_seals() -> None:
    """F35."""
    body = forward(user("Hi"), store=True, stream=False, include=["x"]).body
    assert (body["store"], body["stream"], body["model"]) == (False, True, "m")
    assert body["include"] == ["x", "reasoning.encrypted_content"]
    assert body["instructions"] == ""


def test_ids_and_states_are_left_out_where_they_name_nothing() -> None:
    """F14, F18."""
    message = user("Hi", id="msg_1", status="completed")
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {}}
    items = forward(message, SEALED, CALL, OUTPUT, search).body["input"]
    assert items[0] == user("Hi")
    assert [item.get("id") for item in items] == [None, None, None, None, "ws_1"]


@pytest.mark.parametrize(
    ("item", "expected", "rule"),
    [
        (SEALED, {k: v for k, v in SEALED.items() if k != "id"}, None),
        ({**SEALED, "encrypted_content": OURS}, None, "reasoning.sealed"),
        ({"type": "reasoning", "summary": []}, None, "reasoning.sealed"),
    ],
    ids=["its own", "ours", "none"],
)
def test_reasoning_goes_back_with_the_servers_own_seal_only(
    item: JSON, expected: JSON | None, rule: str | None
) -> None:
    """F17."""
    asked = forward(user("Hi"), item, CALL, OUTPUT)
    found = [i for i in asked.body["input"] if i["type"] == "reasoning"]
    assert found == ([expected] if expected else [])
    assert rules(asked) == ([rule] if rule else [])


def test_elsewhere_words_go_back_as_they_came_and_our_seal_never() -> None:
    words = [{"type": "reasoning_text", "text": "Hm"}]
    item = {"type": "reasoning", "summary": [], "content": words, "encrypted_content": OURS}
    asked = forward(user("Hi"), item, CALL, OUTPUT, profile=PLAIN)
    assert asked.body["input"][1] == {"type": "reasoning", "summary": [], "content": words}


def test_leading_system_text_becomes_instructions_and_later_text_a_developers() -> None:
    system = {"role": "system", "content": [{"type": "input_text", "text": "Be brief."}]}
    asked = forward(system, user("Hi"), {"role": "system", "content": "Now."}, instructions="You.")
    assert asked.body["instructions"] == "You.\n\nBe brief."
    assert [item["role"] for item in asked.body["input"]] == ["user", "developer"]
    assert rules(asked) == ["instructions.lifted"]


def test_system_text_alone_stays_because_somebody_has_to_speak() -> None:
    asked = forward({"role": "system", "content": "Greet."})
    assert asked.body["input"][0]["role"] == "developer"


def test_other_servers_get_the_role_that_they_know() -> None:
    """F5."""
    asked = forward({"role": "developer", "content": "x"}, user("Hi"), profile=PLAIN)
    assert [item["role"] for item in asked.body["input"]] == ["system", "user"]
    assert "instructions" not in asked.body


@pytest.mark.parametrize(
    ("name", "value", "lossy"),
    [
        ("temperature", 0.2, True),
        ("max_output_tokens", 5, True),
        ("truncation", "auto", None),
        ("temperature", 1, None),
        ("user", "me", False),
        ("metadata", {}, False),
        ("something", 1, True),
    ],
    ids=str,
)
def test_a_parameter_that_the_backend_refuses_is_not_sent(
    name: str, value: Any, lossy: bool | None
) -> None:
    """F35."""
    asked = forward(user("Hi"), **{name: value})
    assert name not in asked.body
    assert [change.lossy for change in asked.adaptations] == ([] if lossy is None else [lossy])
    assert forward(user("Hi"), profile=PLAIN, temperature=0.2).body["temperature"] == 0.2


def test_words_that_the_backend_does_not_know_become_those_that_it_does() -> None:
    asked = forward(
        user("Hi"),
        reasoning={"effort": "minimal", "summary": "auto"},
        tools=[{"type": "web_search_preview"}, {"type": "function", "name": "f"}],
    )
    assert asked.body["reasoning"] == {"effort": "low", "summary": "auto"}
    assert [tool["type"] for tool in asked.body["tools"]] == ["web_search", "function"]
    assert rules(asked) == ["reasoning.effort", "tools.type"]


def test_our_summary_goes_in_words_and_the_servers_own_as_it_is() -> None:
    """F61."""
    ours = {"type": "compaction", "id": "cmp_1", "encrypted_content": seal_summary("We met.")}
    theirs = {"type": "compaction", "id": "cmp_2", "encrypted_content": "gAAAA-2"}
    asked = forward(ours, theirs, user("On"))
    assert "We met." in asked.body["input"][0]["content"]
    assert asked.body["input"][1] == {"type": "compaction", "encrypted_content": "gAAAA-2"}
    elsewhere = forward(theirs, user("On"), profile=PLAIN)
    assert rules(elsewhere) == ["compaction.unreadable"]


def test_a_trigger_is_the_servers_where_it_knows_it_and_a_question_elsewhere() -> None:
    trigger = {"type": "compaction_trigger"}
    own = forward(user("Hi"), trigger, tools=[{"type": "function", "name": "f"}])
    assert (own.body["input"][-1], own.compacts) == (trigger, False)
    asked = forward(user("Hi"), trigger, profile=PLAIN, tools=[{"type": "function", "name": "f"}])
    assert asked.compacts and "tools" not in asked.body
    with pytest.raises(TurnError, match="nothing to summarise"):
        forward(trigger, profile=PLAIN)


@pytest.mark.parametrize("value", ["", [], None], ids=repr)
def test_an_input_of_nothing_is_refused(value: Any) -> None:
    with pytest.raises(TurnError, match="nothing to answer"):
        forward_request({"input": value}, CHATGPT, "m", Adaptations())


def test_text_as_input_is_what_the_user_says() -> None:
    assert forward_request({"input": "Hi"}, CHATGPT, "m", Adaptations()).body["input"] == [
        user("Hi")
    ]


ITEMS = st.sampled_from(
    [
        user("Hi", id="msg_1"),
        {"role": "system", "content": "x"},
        {"role": "assistant", "content": "Yes"},
        SEALED,
        {**SEALED, "encrypted_content": OURS},
        {"type": "reasoning", "summary": []},
        CALL,
        {**CALL, "call_id": "d" * 80},
        OUTPUT,
        {**OUTPUT, "call_id": "d" * 80},
        {**OUTPUT, "call_id": "gone"},
        {"type": "custom_tool_call", "call_id": "e", "name": "p", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "e", "output": "x"},
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(ITEMS, max_size=9, unique_by=lambda item: msgspec.json.encode(item)))
def test_whatever_history_comes_the_strict_server_takes_it(items: list[JSON]) -> None:
    """I8."""
    asked = forward(user("Hello"), *items, temperature=0.5, tools=[])
    assert check_forwarded(asked.body, "gAAAA-") is None


def test_a_longer_history_begins_with_the_same_bytes() -> None:
    """I9."""
    history = [user("Hi"), SEALED, CALL, OUTPUT]
    short, long = forward(*history), forward(*history, user("On"))
    assert long.body["input"][:4] == short.body["input"]
    assert short.encode() == forward(*history).encode()
