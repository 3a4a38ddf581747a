"""Which requests of Codex are the user's own, and where a session works."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from anyturn.hooks.codex_turns import is_for_the_user, shows_only_messages, working_directory
from anyturn.memory import Caller

JSON = dict[str, Any]
TURN = {"request_kind": "turn", "thread_source": "user", "turn_trigger": "exec"}
METADATA = "x-codex-turn-metadata"


def told(**facts: Any) -> JSON:
    return {METADATA: msgspec.json.encode({**TURN, **facts}).decode()}


def turn(
    request: JSON, headers: JSON | None = None, client: str = "codex", *, compacts: bool = False
) -> Any:
    """As much of a turn as is looked at."""
    caller = Caller(client=client, headers={"originator": "codex_exec", **(headers or {})})
    whole = {"tools": [{"type": "function", "name": "f"}], **request}
    recalled = SimpleNamespace(caller=caller)
    return SimpleNamespace(
        request=whole, recalled=recalled, asked=SimpleNamespace(compacts=compacts)
    )


@pytest.mark.parametrize(
    ("request_", "headers"),
    [
        ({"client_metadata": told()}, told()),
        ({}, told()),
        # An older Codex says nothing of its turns.
        ({}, {}),
        ({"client_metadata": {}}, {METADATA: "{broken"}),
        ({"client_metadata": {METADATA: 1}}, {METADATA: "[]"}),
        ({"text": {"verbosity": "low"}}, {}),
        ({"text": {"format": {"type": "text"}}}, {}),
        # Over a WebSocket the headers are those of the first turn.
        ({"client_metadata": told()}, told(request_kind="prewarm")),
    ],
)
def test_answers_to_the_user(request_: JSON, headers: JSON) -> None:
    assert is_for_the_user(turn(request_, headers))


@pytest.mark.parametrize(
    ("request_", "headers"),
    [
        ({"tools": []}, {}),
        ({"client_metadata": told(request_kind="compaction")}, {}),
        ({"client_metadata": told(thread_source="thread_title")}, told()),
        ({}, told(thread_source="subagent", subagent_kind="review")),
        ({}, told(subagent_kind="thread_spawn")),
        ({}, {"x-openai-subagent": "review"}),
        ({"text": {"format": {"type": "json_schema"}}}, {}),
        ({"text": {"format": {"type": "json_object"}}}, {}),
        ({"generate": False}, {}),
        ({"client_metadata": told(request_kind="prewarm")}, {}),
    ],
)
def test_what_codex_asks_for_itself(request_: JSON, headers: JSON) -> None:
    assert not is_for_the_user(turn(request_, headers))


def test_other_clients_and_compactions_have_no_line() -> None:
    assert not is_for_the_user(turn({}, client="openai-python"))
    assert not is_for_the_user(turn({}, client=""))
    assert not is_for_the_user(turn({}, compacts=True))


@pytest.mark.parametrize(
    ("originator", "is_it"),
    [
        *(("codex-tui", True), ("codex_cli_rs", True), ("codex_exec", False)),
        *(("codex_sdk_ts", False), ("codex_vscode", False), ("", False)),
    ],
)
def test_only_the_terminal_interface_shows_only_messages(originator: str, is_it: bool) -> None:
    assert shows_only_messages(turn({}, {"originator": originator})) is is_it


def context(cwd: str) -> JSON:
    text = (
        f"<environment_context>\n  <cwd>{cwd}</cwd>\n  <shell>bash</shell>\n</environment_context>"
    )
    return user(text)


def user(*texts: str) -> JSON:
    parts = [{"type": "input_text", "text": text} for text in texts]
    return {"type": "message", "role": "user", "content": parts}


@pytest.mark.parametrize(
    ("items", "cwd"),
    [
        ([context("/a"), user("Hi")], "/a"),
        ([context("/a"), user("Hi"), context("/b"), user("Hi")], "/b"),
        ([user("# AGENTS.md", "<environment_context><cwd>/a b</cwd>")], "/a b"),
        ([context("/a &amp;&amp; &lt;b&gt; &amp;lt;")], "/a && <b> &lt;"),
        ([context("/a"), user("What is <environment_context><cwd>/b</cwd>?")], "/a"),
        ([{**context("/a"), "role": "assistant"}], ""),
        ([{"role": "user", "content": "<environment_context><cwd>/a</cwd>"}], ""),
        ([context(""), context("x" * 3000), "no item", {"role": "user", "content": [1, {}]}], ""),
        ("Hi", ""),
        (None, ""),
    ],
)
def test_the_newest_description_says_where_a_session_works(items: Any, cwd: str) -> None:
    assert working_directory(items) == cwd
