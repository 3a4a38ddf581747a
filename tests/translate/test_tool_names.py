from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.translate.tool_names import alias_for, normalise_name

KNOWN = {"exec_command", "write_stdin", "apply_patch", "read_file", "mcp__docs__search", "View"}


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("exec_command", "exec_command"),
        ("functions.exec_command", "exec_command"),
        ("exec_command<|channel|>commentary", "exec_command"),
        ("exec_command<|channel|>analysis", "exec_command"),
        ("exec_command<|constrain|>json", "exec_command"),
        ("exec_command <|constrain|>json<|message|>{}", "exec_command"),
        ("functions.exec_command<|channel|>commentary json", "exec_command"),
        ("exec_command json", "exec_command"),
        ("exec_commandjson", "exec_command"),
        ("assistant to=functions.exec_command", "exec_command"),
        ("to=functions.exec_command<|channel|>", "exec_command"),
        ("tools.exec_command", "exec_command"),
        ("function:exec_command", "exec_command"),
        ("tool:exec_command", "exec_command"),
        ("google:tool:exec_command:index:0", "exec_command"),
        ("repo_browser.read_file", "read_file"),
        ("container.read_file", "read_file"),
        ("mcp.read_file", "read_file"),
        ("  exec_command\n", "exec_command"),
        ("Exec_Command", "exec_command"),
        ("view", "View"),
        ("exec.command", "exec_command"),
        ("exec-command", "exec_command"),
        ("exec command", "exec_command"),
        ("exec/command", "exec_command"),
        ("Apply-Patch", "apply_patch"),
        ("mcp.docs.search", "mcp__docs__search"),
        ("functions.mcp__docs.search", "mcp__docs__search"),
    ],
)
def test_a_decorated_name_is_read(raw: str, name: str) -> None:
    assert normalise_name(raw, KNOWN) == name


@pytest.mark.parametrize(
    "raw",
    [
        "",
        " ",
        "functions.",
        "<|channel|>commentary",
        "assistant<|channel|>analysis",
        "json",
        "exec",
        "container.exec",
        "repo_browser.exec",
        "exec_command2",
        "my.exec_command",
        "docs__search",
        "search",
    ],
)
def test_another_name_is_not_guessed(raw: str) -> None:
    assert normalise_name(raw, KNOWN) is None


@pytest.mark.parametrize(
    ("raw", "known"),
    [
        ("READ", {"read", "Read"}),
        ("read file", {"read_file", "read-file"}),
        ("read.file", {"read__file", "Read_File"}),
    ],
)
def test_a_name_that_could_be_two_tools_is_none(raw: str, known: set[str]) -> None:
    assert normalise_name(raw, known) is None


@pytest.mark.parametrize("raw", ["functions.read", "tools.x json", "to=x", "get_json", "a<|b"])
def test_a_known_name_is_never_taken_apart(raw: str) -> None:
    assert normalise_name(raw, {raw, "read", "x", "get_", "a"}) == raw


@given(st.text(), st.sets(st.text(), max_size=5))
def test_what_is_read_is_known(raw: str, known: set[str]) -> None:
    name = normalise_name(raw, known)

    assert name is None or name in known


# ---------------------------------------------------------------- aliases


def tool(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


STRING = {"type": "string"}
STRINGS = {"type": "array", "items": STRING}
EXEC = tool(["cmd"], cmd=STRING, workdir=STRING, yield_time_ms={"type": "number"})
SHELL = tool(["command"], command=STRINGS, workdir=STRING)
STDIN = tool(["session_id"], session_id={"type": "number"}, chars=STRING)
PATCH = tool(["input"], input=STRING)
CODEX = {"exec_command": EXEC, "write_stdin": STDIN, "apply_patch": PATCH, "get_goal": tool([])}


@pytest.mark.parametrize(
    "raw",
    [
        *("container.exec", "repo_browser.exec", "exec", "shell", "bash", "local_shell"),
        *("run_command", "run_shell", "Bash", "run-shell", "functions.bash"),
        *("tool:execute_terminal", "google:tool:shell:index:0"),
        "container.exec<|channel|>commentary",
    ],
)
def test_the_name_of_a_shell_means_the_shell_that_is_there(raw: str) -> None:
    assert alias_for(raw, '{ "cmd":"ls" }', CODEX) == ("exec_command", '{ "cmd":"ls" }')


@pytest.mark.parametrize(
    ("schemas", "arguments", "wanted"),
    [
        pytest.param(
            {"exec_command": EXEC},
            '{"workdir":"/","command":"ls | wc"}',
            ("exec_command", '{"workdir":"/","cmd":"ls | wc"}'),
            id="another-key",
        ),
        pytest.param(
            {"exec_command": EXEC},
            '{"cmd":["bash","-lc","echo $A | wc"],"yield_time_ms":1000.0}',
            ("exec_command", '{"cmd":"bash -lc \'echo $A | wc\'","yield_time_ms":1000.0}'),
            id="words-to-a-string",
        ),
        pytest.param(
            {"shell": SHELL},
            '{"cmd":"ls | wc"}',
            ("shell", '{"command":["bash","-lc","ls | wc"]}'),
            id="a-string-to-words",
        ),
        pytest.param(
            {"shell": SHELL}, '{"script":["ls"]}', ("shell", '{"command":["ls"]}'), id="words"
        ),
        pytest.param(
            {"shell_command": tool(["command"], command={"type": ["string", "array"]})},
            '{"bash":"ls"}',
            ("shell_command", '{"command":"ls"}'),
            id="either",
        ),
        pytest.param(
            {"run_bash": EXEC},
            '{"cmd":"ls"}<|call|>',
            ("run_bash", '{"cmd":"ls"}<|call|>'),
            id="nothing-to-rewrite",
        ),
        pytest.param({"exec_command": EXEC}, '{"cmd":"ls","timeout":5}', None, id="unknown-key"),
        pytest.param({"exec_command": EXEC}, '{"cmd":1}', None, id="no-command"),
        pytest.param({"exec_command": EXEC}, '{"cmd":["ls",1]}', None, id="not-only-words"),
        pytest.param({"exec_command": EXEC}, '{"cmd":[]}', None, id="no-words"),
        pytest.param({"exec_command": EXEC}, '{"cmd":"a","bash":"b"}', None, id="two-commands"),
        pytest.param({"exec_command": EXEC}, '{"workdir":"/"}', None, id="no-key"),
        pytest.param({"exec_command": EXEC}, "{}", None, id="empty"),
        pytest.param({"exec_command": EXEC}, "", None, id="nothing"),
        pytest.param({"exec_command": EXEC}, '{"cmd":"rm -rf /tm', None, id="cut-off"),
        pytest.param({"exec_command": EXEC}, '["ls"]', None, id="list"),
        pytest.param(
            {"exec_command": tool(["cmd", "why"], cmd=STRING, why=STRING)},
            '{"cmd":"ls"}',
            None,
            id="a-required-key-is-missing",
        ),
        pytest.param({"exec_command": EXEC, "shell": SHELL}, '{"cmd":"ls"}', None, id="two-shells"),
        pytest.param({"exec": PATCH}, '{"cmd":"ls"}', None, id="no-shell"),
        pytest.param({}, '{"cmd":"ls"}', None, id="no-tools"),
        pytest.param({"exec_command": {}}, '{"cmd":"ls"}', None, id="no-schema"),
        pytest.param({"exec_command": tool([], cmd={})}, '{"cmd":"ls"}', None, id="no-type"),
    ],
)
def test_arguments_are_fitted_to_the_shell(schemas: Any, arguments: str, wanted: Any) -> None:
    assert alias_for("container.exec", arguments, schemas) == wanted


@pytest.mark.parametrize(
    "raw", ["", " ", "assistant", "commentary", "analysis", "final", "assistant<|channel|>analysis"]
)
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ('{"cmd":"ls"}', "exec_command"),
        ('{"session_id":1, "chars":""}', "write_stdin"),
        ('{"input":"x"}<|call|>', "apply_patch"),
        ('{"chars":"x"}', None),
        ('{"cmd":"ls","chars":"x"}', None),
        ("{}", None),
        ("", None),
        ('{"cmd":"ls', None),
    ],
)
def test_a_role_instead_of_a_name_means_the_only_tool_that_fits(
    raw: str, arguments: str, name: str | None
) -> None:
    assert alias_for(raw, arguments, CODEX) == (name and (name, arguments))


def test_arguments_that_fit_two_tools_are_no_guide() -> None:
    assert alias_for("", '{"cmd":"ls"}', {**CODEX, "other": EXEC}) is None


@pytest.mark.parametrize("raw", ["read_file", "python", "exec_command2", "user", "write"])
def test_any_other_name_has_no_alias(raw: str) -> None:
    assert alias_for(raw, '{"cmd":"ls"}', CODEX) is None


@given(st.text(), st.text())
def test_no_call_is_too_odd(raw: str, arguments: str) -> None:
    assert alias_for(raw, arguments, CODEX) is None or raw.strip() in ("",)
