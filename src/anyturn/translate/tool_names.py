"""Which declared tool a model means when it calls it by another name (chat-providers.md section 6).

gpt-oss decorates names with its own format and calls tools that it was trained with instead of
those that it was given (Q27 to Q30, F48). A wrong guess runs a wrong tool, so only what leaves no
choice counts: a name that can be read as one declared tool only, or arguments that fit one only.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from anyturn.translate.arguments import repair_arguments

_PREFIXES = ("assistant to=", "to=", "functions.", "tools.", "function:", "tool:", "google:tool:")
_FOREIGN = ("repo_browser.", "container.", "mcp.")
_POSITION = re.compile(r":index:\d+\Z")
_SEPARATORS = re.compile(r"[./ \-_]+")

_ROLES = frozenset({"", "assistant", "commentary", "analysis", "final"})
# What models call the tool that runs a command, and what clients call theirs.
_SHELLS = frozenset(
    {
        "bash",
        "container.exec",
        "exec",
        "exec_command",
        "execute_terminal",
        "local_shell",
        "repo_browser.exec",
        "run_bash",
        "run_command",
        "run_shell",
        "shell",
        "shell_command",
    }
)
_COMMANDS = ("cmd", "command", "script", "bash")


def normalise_name(raw: str, known: Collection[str]) -> str | None:
    """Return the tool among `known` that the name `raw` says, None when it says none or several.

    Decorations are taken off (`functions.`, `<|channel|>commentary`), then letters' case and then
    separators are overlooked. The result is a member of `known`.
    """
    if raw in known:
        return raw
    bare = _bare_name(raw)
    for candidate in _readings(bare):
        found = _match(candidate, known)
        if found is not None:
            return found
    return None


def _bare_name(raw: str) -> str:
    """The name without what harmony and others write around it."""
    name = _POSITION.sub("", raw.partition("<|")[0].strip())
    for _ in _PREFIXES:
        prefix = next(filter(name.startswith, _PREFIXES), "")
        if not prefix:
            break
        name = name[len(prefix) :].lstrip()
    return name


def _readings(name: str) -> list[str]:
    """The names that are tried one after the other."""
    readings = [name]
    if name.endswith("json"):  # `<|constrain|>json` that lost its token.
        readings.append(name.removesuffix("json").rstrip())
    readings += [name[len(prefix) :] for prefix in _FOREIGN if name.startswith(prefix)]
    return [reading for reading in readings if reading]


def _match(name: str, known: Collection[str]) -> str | None:
    if name in known:
        return name
    for plain in (str.casefold, _plain):
        found = [other for other in known if plain(other) == plain(name)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _plain(name: str) -> str:
    return _SEPARATORS.sub("_", name).casefold()


# ---------------------------------------------------------------- guesses by the arguments


def alias_for(
    raw: str, arguments: str, schemas: Mapping[str, Mapping[str, Any]]
) -> tuple[str, str] | None:
    """Return the tool that a call with an unknown name means, and its arguments for that tool.

    `schemas` maps the declared names to their parameters. Two cases: the name is one that models
    and clients use for a shell, and exactly one shell is declared; or it is no name at all but a
    role, and the arguments fit exactly one tool. All keys must be declared and all required ones
    there. Arguments that need no rewriting come back byte for byte. None: nothing can be said
    safely.
    """
    value = msgspec.json.decode(_object_text(arguments))
    if not value:
        return None
    name = _bare_name(raw).casefold()
    if name in _SHELLS or name.replace("-", "_") in _SHELLS:
        return _shell_alias(arguments, value, schemas)
    if name in _ROLES:
        fitting = [tool for tool, schema in schemas.items() if _fits(value, schema)]
        return (fitting[0], arguments) if len(fitting) == 1 else None
    return None


def _object_text(arguments: str) -> str:
    repaired = repair_arguments(arguments, None)
    return repaired.text if repaired.is_object else "{}"


def _shell_alias(
    arguments: str, value: dict[str, Any], schemas: Mapping[str, Mapping[str, Any]]
) -> tuple[str, str] | None:
    shells = [tool for tool in schemas if tool in _SHELLS and _command_key(schemas[tool])]
    keys = [key for key in _COMMANDS if key in value]
    if len(shells) != 1 or len(keys) != 1:
        return None
    (shell,), (given,) = shells, keys
    schema = schemas[shell]
    wanted = _command_key(schema)
    command = _command_as(value[given], _properties(schema)[wanted])
    rewritten = {
        wanted if key == given else key: command if key == given else item
        for key, item in value.items()
    }
    if command is None or not _fits(rewritten, schema):
        return None
    if rewritten == value:
        return shell, arguments
    return shell, msgspec.json.encode(rewritten).decode()


def _command_key(schema: Mapping[str, Any]) -> str:
    """The property that takes the command; empty when there is none, or more than one."""
    keys = [key for key in _COMMANDS if key in _properties(schema)]
    return keys[0] if len(keys) == 1 else ""


def _command_as(command: Any, schema: Any) -> Any:
    """The command in the form that the property takes: a string, or a list of words."""
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    kinds = kind if isinstance(kind, list) else [kind]
    if isinstance(command, str):
        if "string" in kinds:
            return command
        # Split into words, pipes and variables would be lost.
        return ["bash", "-lc", command] if "array" in kinds else None
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        return None
    if "array" in kinds:
        return command
    return shlex.join(command) if "string" in kinds and command else None


def _fits(value: dict[str, Any], schema: Mapping[str, Any]) -> bool:
    """Whether all keys are declared, and all required ones there."""
    required = schema.get("required")
    names = required if isinstance(required, list) else []
    return value.keys() <= _properties(schema).keys() and all(
        isinstance(name, str) and name in value for name in names
    )


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}
