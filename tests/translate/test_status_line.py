"""The status line: what it says, and that nothing of it is left in a history."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.translate.adaptations import Adaptations
from anyturn.translate.envelope import REASONING, STATUS_LINE, seal
from anyturn.translate.responses_to_chat import convert_request
from anyturn.translate.responses_to_responses import forward_request
from anyturn.translate.status_line import (
    BUILT_INS,
    MAX_CHARACTERS,
    command_of,
    filled,
    marked,
    one_line,
    status_line_problem,
    without_status_lines,
)
from anyturn.wire.profile import Profile
from support.histories import histories

JSON = dict[str, Any]
CHAT = Profile(name="acme", title="Acme")
RESPONSES = Profile(name="acme", title="Acme", wire="responses")
LINE = marked("main* ↑1 · gpt-oss-120b")
SEALED: JSON = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "main*"}],
    "encrypted_content": seal(STATUS_LINE, "", {}),
}
FACTS = {
    "git": "main*",
    "model": "m",
    "provider": "Acme",
    "tokens_per_s": "12",
    "context_used": "3%",
}


def said(text: Any, **fields: Any) -> JSON:
    return {"type": "message", "role": "assistant", "content": text, **fields}


def parts(*texts: str) -> list[JSON]:
    return [{"type": "output_text", "text": text, "annotations": []} for text in texts]


def cleaned(*items: Any) -> list[Any]:
    return without_status_lines(list(items), Adaptations())


# ---------------------------------------------------------------- what is asked for


@pytest.mark.parametrize(
    "stated",
    [
        *("default", "git", "{git}", "on {git} with {model}", "{tokens_per_s} {unknown {model}"),
        *("command: starship prompt", "command:/opt/x 'a b'", "command: ~/bin/status"),
    ],
)
def test_what_a_status_line_takes(stated: str) -> None:
    assert status_line_problem(stated) == ""


@pytest.mark.parametrize(
    "stated",
    [
        *("defualt", "starship prompt", "hello", "{modle}", "{git} {modle}", "command:"),
        *("command: ./status.sh", "command: bin/status", "command: 'open", "command: ''"),
    ],
)
def test_what_a_status_line_does_not_take(stated: str) -> None:
    assert status_line_problem(stated)


def test_a_command_is_split_as_a_shell_would_and_run_by_none() -> None:
    assert command_of("command: a 'b c' $HOME; d") == ["a", "b c", "$HOME;", "d"]
    assert command_of("{git}") == []


# ---------------------------------------------------------------- what it says


@pytest.mark.parametrize(
    ("template", "left_out", "line"),
    [
        (BUILT_INS["default"], [], "main* · m · Acme · 12 tok/s · 3% context"),
        (BUILT_INS["default"], ["git"], "m · Acme · 12 tok/s · 3% context"),
        (BUILT_INS["default"], ["tokens_per_s", "context_used"], "main* · m · Acme"),
        ("{git} | {model} • {provider}", ["model"], "main* • Acme"),
        ("{git}", ["git"], ""),
        ("here · {git}", ["git"], ""),
        ("here · {git} {model}", ["git"], ""),
        ("no field", [], "no field"),
        ("{other} {model}", [], "{other} m"),
        ("{model}", ["model"], ""),
    ],
)
def test_a_template_goes_without_what_is_not_known(
    template: str, left_out: list[str], line: str
) -> None:
    facts = {name: value for name, value in FACTS.items() if name not in left_out}
    assert filled(template, facts) == line


def test_what_a_fact_says_is_no_template() -> None:
    assert filled("{git} · {model}", {**FACTS, "git": "{model} · x"}) == "{model} · x · m"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb", "a"),
        ("\n\n a \n", "a"),
        ("\x1b[1;31mred\x1b[0m \x1b]0;title\x07x\x1b]8;;http://a\x1b\\y", "red xy"),
        ("a\x1b", "a"),
        ("a\tb\x00\x08c\x7f\x9b", "a bc"),
        ("a\u202eb\u2063\u2064\u200b\ufeff", "ab"),
        ("a\x85b", "a"),
        ("\ud800", ""),
        ("x" * 500, "x" * (MAX_CHARACTERS - 1) + "…"),
        ("", ""),
    ],
)
def test_a_line_is_one_of_plain_characters(text: str, line: str) -> None:
    assert one_line(text) == line


@given(st.text())
def test_whatever_was_said_becomes_a_line(text: str) -> None:
    line = one_line(text)
    assert len(line) <= MAX_CHARACTERS
    assert line == one_line(line) == "".join(line.splitlines())


def test_the_line_is_markdown_for_its_own_characters() -> None:
    shown = marked("a*b_`c` <d> [e](f) # ~g~ \\")
    assert r"a\*b\_\`c\` \<d\> \[e\](f) \# \~g\~ \\" in shown
    assert shown.startswith("\n\n*") and shown.endswith("*")


# ---------------------------------------------------------------- how it is taken out


@given(st.text(), st.text())
def test_what_was_put_behind_a_text_is_taken_away_exactly(text: str, words: str) -> None:
    tail = marked(one_line(words))
    assert cleaned(said(text + tail)) == [said(text)]
    assert cleaned(said(parts("a", text + tail))) == [said(parts("a", text))]


@given(st.text(), st.text())
def test_only_the_last_line_is_taken_away(text: str, words: str) -> None:
    """The model may say marks itself: what it said stays."""
    quoted = text + LINE
    assert cleaned(said(quoted + marked(one_line(words)))) == [said(quoted)]


@pytest.mark.parametrize(
    "item",
    [
        {"type": "message", "role": "user", "content": f"What is this?{LINE}"},
        {"type": "message", "role": "user", "content": parts(LINE)},
        {"type": "function_call_output", "call_id": "c", "output": LINE},
        said(f"Look:{LINE} there"),
        said(parts(f"a{LINE}", "b")),
        said(None),
        said([]),
        said([1]),
        said([{"type": "output_text"}]),
        said(LINE[3:]),
        {"type": "reasoning", "encrypted_content": seal(REASONING, "acme", {"text": "Hm"})},
        {"type": "reasoning", "encrypted_content": None},
        {"role": "assistant"},
        "no item",
    ],
    ids=str,
)
def test_everything_else_stays_as_it_is(item: Any) -> None:
    items = [item]
    assert without_status_lines(items, found := Adaptations()) is items
    assert found == []


def test_what_was_taken_out_is_reported_once_and_the_request_is_left_alone() -> None:
    items = [said(f"a{LINE}"), SEALED, said(f"b{LINE}")]
    found = Adaptations()
    assert without_status_lines(items, found) == [said("a"), said("b")]
    assert [(change.rule, change.lossy) for change in found] == [("history.status_line", False)]
    assert items == [said(f"a{LINE}"), SEALED, said(f"b{LINE}")]


@st.composite
def with_lines(draw: st.DrawFn) -> tuple[list[JSON], list[JSON]]:
    """A history, and the same one as it comes back from a client that shows status lines."""
    history = draw(histories())
    lined: list[JSON] = []
    for item in history:
        content = item.get("content")
        may_have = item.get("role") == "assistant" and content and draw(st.booleans())
        if may_have and isinstance(content, str):
            item = {**item, "content": content + LINE}
        elif may_have and isinstance(content, list) and "text" in content[-1]:
            last = {**content[-1], "text": content[-1]["text"] + LINE}
            item = {**item, "content": [*content[:-1], last]}
        lined.append(item)
        if draw(st.booleans()):
            lined.append(SEALED)
    return history, lined


@given(with_lines())
def test_a_provider_gets_the_same_bytes_as_without_lines(both: Any) -> None:
    """I9: neither its cache nor the model sees a difference."""
    history, lined = both
    assert cleaned(*lined) == history
    question = {"type": "message", "role": "user", "content": "Go on."}
    for convert, profile in ((convert_request, CHAT), (forward_request, RESPONSES)):
        sent = [
            convert({"input": [*items, question]}, profile, "m", Adaptations()).encode()
            for items in (history, cleaned(*lined))
        ]
        assert sent[0] == sent[1]
        assert "\u2063" not in sent[1].decode()
