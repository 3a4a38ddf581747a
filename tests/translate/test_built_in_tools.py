from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.translate.built_in_tools import BUILT_INS, ToolKind, built_in, output_text

JSON = dict[str, Any]
WORDS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("declaration", "kind"),
    [
        ({"type": "tool_search", "execution": "client"}, ToolKind.TOOL_SEARCH),
        ({"type": "tool_search", "execution": "server"}, None),
        ({"type": "tool_search"}, None),
        ({"type": "local_shell"}, ToolKind.LOCAL_SHELL),
        ({"type": "shell"}, ToolKind.SHELL),
        ({"type": "shell", "environment": None}, ToolKind.SHELL),
        ({"type": "shell", "environment": {"type": "local"}}, ToolKind.SHELL),
        ({"type": "shell", "environment": {"type": "container_auto"}}, None),
        ({"type": "apply_patch"}, ToolKind.APPLY_PATCH),
        ({"type": "web_search"}, None),
        ({"type": "function"}, None),
        ({"type": ["shell"]}, None),
        ({}, None),
    ],
)
def test_what_the_client_runs_is_built_in_and_what_the_server_would_run_is_not(
    declaration: JSON, kind: ToolKind | None
) -> None:
    found = built_in(declaration)
    assert (found.kind if found else None) == kind


@pytest.mark.parametrize(
    ("kind", "arguments", "payload"),
    [
        pytest.param(
            "local_shell",
            {"command": ["ls"], "timeout_ms": 5, "working_directory": "/", "env": {"A": "b"}},
            {
                "type": "exec",
                "command": ["ls"],
                "timeout_ms": 5,
                "working_directory": "/",
                "env": {"A": "b"},
            },
            id="all that local_shell takes",
        ),
        pytest.param(
            "local_shell",
            {"command": "ls | wc", "x": 1},
            {"type": "exec", "command": ["bash", "-lc", "ls | wc"], "env": {}},
            id="a command line keeps its pipe",
        ),
        pytest.param("local_shell", {"command": []}, None, id="no command"),
        pytest.param("local_shell", {"command": [1]}, None, id="a number as command"),
        pytest.param("local_shell", {"cmd": ["ls"]}, None, id="another key is not guessed"),
        pytest.param("shell", {"commands": "ls"}, {"commands": ["ls"]}, id="one command line"),
        pytest.param("shell", {"commands": []}, None, id="no command lines"),
        pytest.param(
            "apply_patch",
            {"type": "update_file", "path": "a", "diff": "@@\n-a\n+b"},
            {"type": "update_file", "path": "a", "diff": "@@\n-a\n+b"},
            id="an edit",
        ),
        pytest.param("apply_patch", {"type": "update_file", "path": "a"}, None, id="no diff"),
        pytest.param("apply_patch", {"type": "chmod", "path": "a", "diff": "b"}, None, id="chmod"),
        pytest.param(
            "apply_patch",
            {"type": "delete_file", "path": "a", "diff": "@@"},
            {"type": "delete_file", "path": "a"},
            id="a deletion has no diff",
        ),
        pytest.param("tool_search", {"q": [1]}, {"q": [1]}, id="the client reads its own search"),
    ],
)
def test_arguments_take_the_form_of_the_item(
    kind: str, arguments: JSON, payload: JSON | None
) -> None:
    assert BUILT_INS[kind].payload(arguments) == payload


@given(st.sampled_from(sorted(BUILT_INS)), st.dictionaries(st.text(max_size=9), WORDS))
def test_any_arguments_give_a_payload_or_none(kind: str, arguments: JSON) -> None:
    own = BUILT_INS[kind]
    known = {name: arguments.get(name) for name in own.parameters["properties"]}
    for given_arguments in (arguments, known):
        payload = own.payload(given_arguments)
        assert payload is None or msgspec.json.decode(msgspec.json.encode(payload)) == payload


@pytest.mark.parametrize(
    ("item", "text"),
    [
        pytest.param(
            {
                "type": "shell_call_output",
                "output": [
                    {"stdout": "a\n", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}},
                    {"stdout": "", "stderr": "no", "outcome": {"type": "timeout"}},
                ],
            },
            "exit code: 0\nstdout:\na\n\nended: timeout\nstderr:\nno",
            id="shell",
        ),
        pytest.param(
            {"type": "shell_call_output", "output": [{"stdout": "a"}]}, None, id="odd chunks"
        ),
        pytest.param(
            {"type": "apply_patch_call_output", "status": "failed", "output": "no such file"},
            "failed\nno such file",
            id="apply_patch",
        ),
        pytest.param(
            {"type": "apply_patch_call_output", "status": "completed"}, "completed", id="status"
        ),
        pytest.param({"type": "function_call_output", "output": "x"}, None, id="a function"),
    ],
)
def test_outputs_of_built_in_tools_are_told_in_words(item: JSON, text: str | None) -> None:
    assert output_text(item) == text
