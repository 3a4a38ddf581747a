"""Tools whose type is the tool: the client runs them, the Responses API defines their form (F29).

A Chat provider sees a function; what it calls comes back as an item of the tool's own type, whose
payload is an object and not a text of JSON. `tool_search` finds more tools, `local_shell` and
`shell` run commands, `apply_patch` edits one file. Tools that OpenAI's servers run have no form
here: nobody behind a Chat provider can run them (F33).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple, TypeGuard

import msgspec

JSON = dict[str, Any]


class ToolKind(StrEnum):
    """How the client declared a tool, and so how it must be called."""

    FUNCTION = "function"
    CUSTOM = "custom"
    TOOL_SEARCH = "tool_search"
    LOCAL_SHELL = "local_shell"
    SHELL = "shell"
    APPLY_PATCH = "apply_patch"


class BuiltIn(NamedTuple):
    """One such tool, under whose type providers and clients call it."""

    kind: ToolKind
    call_type: str
    """The type of the item that calls it."""
    field: str
    """The member of that item that holds what is asked for."""
    description: str
    parameters: JSON
    payload: Callable[[JSON], JSON | None]
    """The value of `field` for the arguments of a call; None when they lack what it needs."""


def built_in(declaration: JSON) -> BuiltIn | None:
    """The built-in tool that a declaration means, None for all others.

    A `tool_search` or a `shell` that the server is to run is one of the others.
    """
    kind = declaration.get("type")
    if kind == ToolKind.TOOL_SEARCH and declaration.get("execution") != "client":
        return None
    environment = declaration.get("environment")
    if kind == ToolKind.SHELL and isinstance(environment, dict):
        return BUILT_INS[ToolKind.SHELL] if environment.get("type") == "local" else None
    return BUILT_INS.get(kind) if isinstance(kind, str) else None


def output_text(item: JSON) -> str | None:
    """The output of a built-in tool in words; None where it is an output like any other."""
    output = item.get("output")
    if item.get("type") == "shell_call_output" and _is_list_of_chunks(output):
        return "\n".join(_chunk_text(chunk) for chunk in output)
    if item.get("type") == "apply_patch_call_output" and isinstance(output, str | None):
        status = item.get("status")
        told = [text for text in (status, output) if isinstance(text, str) and text]
        return "\n".join(told)
    return None


def _is_list_of_chunks(output: Any) -> TypeGuard[list[JSON]]:
    return isinstance(output, list) and all(
        isinstance(chunk, dict) and isinstance(chunk.get("outcome"), dict) for chunk in output
    )


def _chunk_text(chunk: JSON) -> str:
    """What one command of a shell call wrote, and how it ended."""
    outcome = chunk["outcome"]
    exited = outcome.get("type") == "exit"
    ended = f"exit code: {outcome.get('exit_code')}" if exited else f"ended: {outcome.get('type')}"
    written = [f"{name}:\n{chunk[name]}" for name in ("stdout", "stderr") if chunk.get(name)]
    return "\n".join([ended, *written])


# ---------------------------------------------------------------- payloads


class _LocalShell(msgspec.Struct, omit_defaults=True):
    command: list[str]
    env: dict[str, str] = {}
    timeout_ms: int | None = None
    user: str | None = None
    working_directory: str | None = None


class _Shell(msgspec.Struct, omit_defaults=True):
    commands: list[str]
    timeout_ms: int | None = None
    max_output_length: int | None = None


class _Edit(msgspec.Struct, omit_defaults=True):
    path: str
    diff: str = ""


def _local_shell(arguments: JSON) -> JSON | None:
    command = arguments.get("command")
    if isinstance(command, str):
        # Split into words, pipes and variables would be lost.
        arguments = {**arguments, "command": ["bash", "-lc", command]}
    action = _converted(arguments, _LocalShell)
    if action is None or not action["command"]:
        return None
    return {"type": "exec", "env": {}, **action}


def _shell(arguments: JSON) -> JSON | None:
    commands = arguments.get("commands")
    if isinstance(commands, str):
        arguments = {**arguments, "commands": [commands]}
    action = _converted(arguments, _Shell)
    return action if action and action["commands"] else None


def _apply_patch(arguments: JSON) -> JSON | None:
    kind, edit = arguments.get("type"), _converted(arguments, _Edit)
    if edit is None or kind not in ("create_file", "update_file", "delete_file"):
        return None
    if kind == "delete_file":
        return {"type": kind, "path": edit["path"]}
    return {"type": kind, "path": edit["path"], "diff": edit["diff"]} if "diff" in edit else None


def _converted(arguments: JSON, form: type[msgspec.Struct]) -> JSON | None:
    try:
        converted: JSON = msgspec.to_builtins(msgspec.convert(arguments, form))
    except msgspec.ValidationError:
        return None
    return converted


# ---------------------------------------------------------------- the table

_WORDS = {"type": "array", "items": {"type": "string"}}
_MILLISECONDS = {"type": "integer", "description": "The time limit in milliseconds."}

BUILT_INS: dict[str, BuiltIn] = {
    tool.kind: tool
    for tool in (
        BuiltIn(
            ToolKind.TOOL_SEARCH,
            "tool_search_call",
            "arguments",
            "Find further tools. Those that are found can be called from the next turn on.",
            {
                "type": "object",
                "properties": {"query": {"type": "string", "description": "What to look for."}},
                "required": ["query"],
            },
            lambda arguments: arguments,
        ),
        BuiltIn(
            ToolKind.LOCAL_SHELL,
            "local_shell_call",
            "action",
            "Run a command on the user's machine and get its output.",
            {
                "type": "object",
                "properties": {
                    "command": {
                        **_WORDS,
                        "description": 'Program and arguments: ["bash", "-lc", "ls | wc -l"].',
                    },
                    "working_directory": {"type": "string"},
                    "timeout_ms": _MILLISECONDS,
                },
                "required": ["command"],
            },
            _local_shell,
        ),
        BuiltIn(
            ToolKind.SHELL,
            "shell_call",
            "action",
            "Run shell commands on the user's machine and get their output.",
            {
                "type": "object",
                "properties": {
                    "commands": {**_WORDS, "description": "Command lines, run in this order."},
                    "timeout_ms": _MILLISECONDS,
                    "max_output_length": {
                        "type": "integer",
                        "description": "How many characters of the output are wanted.",
                    },
                },
                "required": ["commands"],
            },
            _shell,
        ),
        BuiltIn(
            ToolKind.APPLY_PATCH,
            "apply_patch_call",
            "operation",
            "Create, change or delete one file of the workspace.",
            {
                "type": "object",
                "properties": {
                    "type": {
                        "type": "string",
                        "enum": ["create_file", "update_file", "delete_file"],
                    },
                    "path": {"type": "string", "description": "The file, from the workspace."},
                    "diff": {
                        "type": "string",
                        "description": (
                            "Hunks that start with a line '@@'; in them lines start with ' ' "
                            "(context), '-' (removed) or '+' (added). A new file has '+' lines "
                            "only. Needed unless the file is deleted."
                        ),
                    },
                },
                "required": ["type", "path"],
            },
            _apply_patch,
        ),
    )
}
