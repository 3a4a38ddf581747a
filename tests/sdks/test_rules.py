"""The consequences that the checker's rules state, as the real SDKs show them.

Each bad stream of `DEFECTS` is given to an agent on each SDK by a server over HTTP, and so is the
good one beside it; every request after the first is answered with `Done.`. The agent shows text as
it comes, runs the calls of a completed answer and sends their outputs back. Then

- **breaks** is: the SDK raises, a call does not run or runs with something else, its output cannot
  be sent back (there is no id, or two calls have the same), or the whole text is gone;
- **degrades** is: everything else that the agent sees another way: text while it comes, arguments
  while they are written, reasoning, usage, how the answer ended, its id, the words of an error, an
  error that is not told. So is whatever breaks only openai-python's strict types, or only programs
  that do not stream and are given what the stream ends with;
- **cosmetic**, or nothing, is: the agent cannot tell the two apart.

A rule states the worst that any version of its client does. docs/rules/sdks.md has what was seen.
"""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import ResponseUsage

from anyturn.conformance import RULES, Severity
from anyturn.conformance.rules import AI_SDK, NODE, PYTHON
from support.rule_pages import WITHOUT_STREAMS
from support.sdk_evidence import (
    AGENTS,
    AGENTS_SDK_MINDS_MORE,
    NOT_CONFIRMED,
    PAGE,
    PROGRAMS,
    is_confirmed,
    outcome,
    page,
    read_page,
    severities,
    stated,
    worst,
)
from support.sdk_venvs import LEFT_OUT

SEEN = read_page()
GOOD: dict[str, Any] = {
    "ran": [{"exec_command": {"cmd": "date"}}],
    "text": "Hello.",
    "usage": [10, 5, 15],
    "next": [
        {"type": "function_call", "call_id": "call_1", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "done"},
    ],
}


def _programs() -> list[Any]:
    marks = {
        name: [pytest.mark.node_sdk(program.packages)] if program.packages else []
        for name, program in PROGRAMS.items()
    }
    return [pytest.param(name, marks=mark, id=name) for name, mark in marks.items()]


# ---------------------------------------------------------------- what was seen


@pytest.mark.parametrize("name", _programs())
async def test_a_program_does_what_the_page_says(name: str) -> None:
    """To write the page anew: `PYTHONPATH=src:tests python -m support.sdk_evidence`."""
    if not PROGRAMS[name].python.exists():
        pytest.skip(f"{LEFT_OUT}: {name}")
    seen = await severities(PROGRAMS[name])
    said = SEEN[name]
    wrong = {rule: f"seen {seen[rule]}, page {said.get(rule)}" for rule in seen}
    assert {rule: wrong[rule] for rule in seen if seen[rule] is not said.get(rule)} == {}
    assert seen.keys() == said.keys()


def test_the_page_is_what_it_would_be_written_as() -> None:
    assert list(SEEN) == list(PROGRAMS)
    assert PAGE.read_text(encoding="utf-8") == page(SEEN)


# ---------------------------------------------------------------- what the rules state


@pytest.mark.parametrize("client", [PYTHON, NODE, AI_SDK])
def test_a_rule_states_the_worst_that_was_seen(client: str) -> None:
    versions = [n for n, program in PROGRAMS.items() if program.client == client and n != AGENTS]
    seen = {
        rule: worst(SEEN[name][rule] for name in versions)
        for rule in RULES
        if rule not in WITHOUT_STREAMS and is_confirmed(rule)
    }
    wrong = {rule: f"seen {effect}, stated {stated(rule, client)}" for rule, effect in seen.items()}
    assert {rule: wrong[rule] for rule in seen if seen[rule] is not stated(rule, client)} == {}


def test_the_agents_sdk_minds_no_more_than_openai_python() -> None:
    more = {
        rule
        for rule, effect in SEEN[AGENTS].items()
        if is_confirmed(rule) and effect.rank > stated(rule, PYTHON).rank
    }
    assert more == AGENTS_SDK_MINDS_MORE.keys()


def test_what_is_not_confirmed_are_rules_that_no_run_can_confirm() -> None:
    """The table must not hide a rule that a run confirms after all."""
    listed = {rule for rule in NOT_CONFIRMED if rule in RULES}
    assert {*listed, *(rule for rule in RULES if rule.startswith("live."))} >= WITHOUT_STREAMS
    for rule in listed - WITHOUT_STREAMS:
        clients = {program.client for program in PROGRAMS.values()}
        seen = {
            c: worst(SEEN[n][rule] for n, p in PROGRAMS.items() if p.client == c) for c in clients
        }
        assert any(seen[client] is not stated(rule, client) for client in clients), rule


def test_what_only_the_open_responses_suite_minds_no_client_was_seen_to_mind() -> None:
    for rule in RULES:
        if rule.startswith("open-responses."):
            assert {column[rule] for column in SEEN.values()} == {Severity.NONE}


# ---------------------------------------------------------------- how it is judged


@pytest.mark.parametrize(
    ("change", "meant"),
    [
        ({}, Severity.NONE),
        ({"error": "TypeError: no"}, Severity.BREAKS),
        ({"ran": []}, Severity.BREAKS),
        ({"ran": [{"exec_command": {"cmd": "rm"}}]}, Severity.BREAKS),
        ({"text": ""}, Severity.BREAKS),
        ({"text": None}, Severity.BREAKS),
        ({"text": "Hello"}, Severity.DEGRADES),
        ({"usage": None}, Severity.DEGRADES),
        ({"next": GOOD["next"][:1]}, Severity.BREAKS),
        ({"next": [{**item, "call_id": None} for item in GOOD["next"]]}, Severity.BREAKS),
        ({"next": 2 * GOOD["next"]}, Severity.BREAKS),
        ({"next": [{**item, "call_id": "call_2"} for item in GOOD["next"]]}, Severity.NONE),
    ],
)
def test_an_outcome_has_one_meaning(change: Any, meant: Severity) -> None:
    assert outcome(GOOD, {**GOOD, **change}) is meant


def test_an_error_that_is_not_told_degrades() -> None:
    assert outcome({**GOOD, "error": "The engine burned down."}, GOOD) is Severity.DEGRADES


def test_strict_types_demand_what_the_page_says_no_rule_demands() -> None:
    details = ResponseUsage.model_fields["input_tokens_details"].annotation
    assert details is not None
    assert details.model_fields["cache_write_tokens"].is_required()
    assert "`input_tokens_details.cache_write_tokens`" in PAGE.read_text(encoding="utf-8")
