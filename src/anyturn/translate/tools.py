"""Tools: every kind that a client can execute, to Chat functions and back.

A Chat provider knows functions with flat names of at most 64 characters. Freeform tools become
functions with one string `input` (F23), namespaces are flattened (F25), and the map made here
turns each call back into what the client declared. What nobody can run is left out and reported,
never half-declared (F21, F33).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import msgspec

from anyturn.errors import Kind, TurnError
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.content import bad_field
from anyturn.translate.schemas import SchemaRules, normalise_schema
from anyturn.translate.tool_names import alias_for, normalise_name
from anyturn.wire.profile import Profile

NAME_MAX = 64
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FREEFORM_PARAMETERS = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole raw input as one text."}},
    "required": ["input"],
    "additionalProperties": False,
}


class ToolKind(StrEnum):
    """How the client declared a tool, and so how it must be called."""

    FUNCTION = "function"
    CUSTOM = "custom"


class Tool(msgspec.Struct, frozen=True):
    """One declared tool: the name that the provider sees, and what the client knows it by."""

    chat_name: str
    kind: ToolKind
    name: str
    namespace: str = ""
    parameters: dict[str, Any] = {}
    """The schema as the client declared it, by which arguments are judged."""


class ToolMap:
    """The tools of one request, by the provider's name and by the client's."""

    def __init__(self, renames: dict[str, str] | None = None) -> None:
        self._renames = renames or {}
        self._by_chat_name: dict[str, Tool] = {}
        self._by_source: dict[tuple[str, str], Tool] = {}

    def __len__(self) -> int:
        return len(self._by_chat_name)

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._by_chat_name.values())

    def add(
        self,
        kind: ToolKind,
        name: str,
        namespace: str,
        parameters: dict[str, Any] | None = None,
    ) -> Tool | None:
        """Declare a tool; None when the same tool was declared before.

        Raises `TurnError` (INVALID_REQUEST) when no name is left for it (F27).
        """
        if (namespace, name) in self._by_source:
            return None
        flat = self._flat_name(namespace, name)
        if flat in self._by_chat_name:
            flat = _hashed(flat, namespace, name)
        if flat in self._by_chat_name:
            raise TurnError(
                Kind.INVALID_REQUEST,
                f"Invalid request: tools holds two tools that would both be called {flat!r}.",
                param="tools",
            )
        tool = Tool(flat, kind, name, namespace, parameters or {})
        self._by_chat_name[flat] = tool
        self._by_source[namespace, name] = tool
        return tool

    def chat_name(self, name: str, namespace: str | None) -> str:
        """The provider's name of a tool that a call in the history used, declared now or not."""
        namespace = _plain_namespace(namespace)
        tool = self._by_source.get((namespace, name))
        return tool.chat_name if tool else self._flat_name(namespace, name)

    def resolve(self, chat_name: str) -> Tool | None:
        """The tool that the provider called, or None when it was not declared.

        Models write decorations around a name (Q27, Q28): they are taken off when the name as it
        stands is unknown.
        """
        tool = self._by_chat_name.get(chat_name)
        if tool is None and (name := normalise_name(chat_name, self._by_chat_name)):
            tool = self._by_chat_name[name]
        return tool

    def guess(self, chat_name: str, arguments: str) -> tuple[Tool, str] | None:
        """The tool that a whole call under an unknown name can only have meant (Q28, Q30).

        With the arguments as that tool takes them. None when nothing can be said safely.
        """
        functions = {
            tool.chat_name: tool.parameters for tool in self if tool.kind is ToolKind.FUNCTION
        }
        found = alias_for(chat_name, arguments, functions)
        return (self._by_chat_name[found[0]], found[1]) if found else None

    def _flat_name(self, namespace: str, name: str) -> str:
        flat = f"{namespace}__{name}" if namespace else name
        flat = self._renames.get(flat, flat)
        if _NAME.fullmatch(flat):
            return flat
        return _hashed(re.sub(r"[^A-Za-z0-9_-]", "_", flat), namespace, name)


def _hashed(flat: str, namespace: str, name: str) -> str:
    """`flat` cut to size, made unique by a digest of the real name: the same every time (F27)."""
    digest = hashlib.sha256(f"{namespace}\0{name}".encode()).hexdigest()[:8]
    return f"{flat[: NAME_MAX - 9]}_{digest}"


def _plain_namespace(namespace: Any) -> str:
    # Codex treats "functions" and an absent namespace alike (codex-cli.md section 4.1, F26).
    return namespace if isinstance(namespace, str) and namespace != "functions" else ""


class ConvertedTools(msgspec.Struct):
    """The Chat form of the tools, and the map that leads back."""

    declared: list[dict[str, Any]]
    map: ToolMap


def convert_tools(
    tools: list[Any], profile: Profile, adaptations: Adaptations, where: str = "tools"
) -> ConvertedTools:
    """Turn the tools of a request into Chat functions.

    Raises `TurnError` (INVALID_REQUEST) for a tool that is malformed, naming its place.
    """
    converted = ConvertedTools([], ToolMap(profile.rename_tools))
    add_tools(converted, tools, profile, adaptations, where)
    return converted


def add_tools(
    converted: ConvertedTools,
    tools: list[Any],
    profile: Profile,
    adaptations: Adaptations,
    where: str,
    namespace: str = "",
) -> None:
    """Add more tools, for instance those of an `additional_tools` item (F22)."""
    for position, tool in enumerate(tools):
        place = f"{where}[{position}]"
        if not isinstance(tool, dict):
            raise bad_field(place, "an object", tool)
        _add_tool(converted, tool, profile, adaptations, place, namespace)


def _add_tool(
    converted: ConvertedTools,
    tool: dict[str, Any],
    profile: Profile,
    adaptations: Adaptations,
    place: str,
    namespace: str,
) -> None:
    kind = tool.get("type")
    if kind == "namespace":
        inner = tool.get("tools")
        if not isinstance(inner, list):
            raise bad_field(f"{place}.tools", "a list", inner)
        add_tools(
            converted,
            inner,
            profile,
            adaptations,
            f"{place}.tools",
            _plain_namespace(_name_of(tool, place)),
        )
    elif kind in ("function", "custom"):
        definition = tool
        if kind == "function" and isinstance(tool.get("function"), dict):
            # Chat clients nest the definition (F31); both forms mean the same.
            definition = tool["function"]
        _declare(converted, ToolKind(kind), definition, profile, adaptations, place, namespace)
    else:
        adaptations.loss(
            "tools.left_out", place, f"a tool of type {str(kind)[:60]!r} cannot be offered there"
        )


def _declare(
    converted: ConvertedTools,
    kind: ToolKind,
    definition: dict[str, Any],
    profile: Profile,
    adaptations: Adaptations,
    place: str,
    namespace: str,
) -> None:
    name = _name_of(definition, place)
    if len(converted.map) >= profile.max_tools:
        adaptations.loss(
            "tools.too_many", place, f"{profile.label} takes at most {profile.max_tools} tools"
        )
        return
    parameters = definition.get("parameters")
    known = parameters if isinstance(parameters, dict) else None
    tool = converted.map.add(kind, name, namespace, known)
    if tool is None:
        adaptations.note("tools.duplicate", place, f"{name!r} was declared before")
        return
    if tool.chat_name != name:
        adaptations.note("tools.renamed", place, f"{name!r} is called {tool.chat_name!r} there")
    if kind is ToolKind.CUSTOM:
        adaptations.note("tools.freeform", place, f"{name!r} is a function with one string 'input'")
        function = _freeform_function(tool, definition, place)
    else:
        function = _plain_function(tool, definition, profile, adaptations, place)
        if definition.get("strict") is True and "strict" not in function:
            adaptations.note(
                "parameters.left_out", f"{place}.strict", "strict arguments are not asked for"
            )
    converted.declared.append({"type": "function", "function": function})


def _plain_function(
    tool: Tool,
    definition: dict[str, Any],
    profile: Profile,
    adaptations: Adaptations,
    place: str,
) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.chat_name}
    if description := _description_of(definition, place):
        function["description"] = description
    where = f"{place}.parameters"
    parameters = _checked_schema(definition.get("parameters"), where)
    rules = SchemaRules(profile.schema_drop, profile.schema_rules)
    normalised = normalise_schema(parameters, rules)
    if normalised.changes and parameters:
        adaptations.note("tools.schema", where, ", ".join(normalised.changes))
    function["parameters"] = normalised.schema
    if profile.tool_strict == "keep" and isinstance(definition.get("strict"), bool):
        function["strict"] = definition["strict"]
    return function


def _checked_schema(parameters: Any, place: str) -> dict[str, Any]:
    """The schema as declared, whose root can be an object, as all providers demand (Q73, F30)."""
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise bad_field(place, "an object or null", parameters)
    kind = parameters.get("type")
    if kind in (None, "object") or (isinstance(kind, list) and "object" in kind):
        return parameters
    raise bad_field(f"{place}.type", "'object'", kind)


def _freeform_function(tool: Tool, definition: dict[str, Any], place: str) -> dict[str, Any]:
    """F23: the grammar goes into the description, or the model would not know the form."""
    description = _description_of(definition, place)
    tool_format = definition.get("format")
    if isinstance(tool_format, dict) and tool_format.get("type") == "grammar":
        syntax, grammar = tool_format.get("syntax", ""), tool_format.get("definition", "")
        description += f"\n\n`input` must follow this {syntax} grammar:\n{grammar}"
    return {
        "name": tool.chat_name,
        "description": description.strip(),
        "parameters": _FREEFORM_PARAMETERS,
    }


def _name_of(definition: dict[str, Any], place: str) -> str:
    name = definition.get("name")
    if not isinstance(name, str) or not name:
        raise bad_field(f"{place}.name", "a name", name)
    return name


def _description_of(definition: dict[str, Any], place: str) -> str:
    description = definition.get("description")
    if description is not None and not isinstance(description, str):
        raise bad_field(f"{place}.description", "a string", description)
    return description or ""


# ---------------------------------------------------------------- tool_choice


class ToolChoice(msgspec.Struct, frozen=True):
    """What the client wants called: a mode, and the tools it may be (None: all)."""

    mode: str = "auto"
    allowed: tuple[str, ...] | None = None
    """Chat names."""


def read_tool_choice(value: Any, tools: ToolMap, adaptations: Adaptations) -> ToolChoice:
    """Read every form of `tool_choice` (F32).

    Raises `TurnError` (INVALID_REQUEST) for a form that does not exist or a tool that was not
    declared.
    """
    if value is None:
        return ToolChoice()
    if value in ("auto", "none", "required"):
        return ToolChoice(value)
    if not isinstance(value, dict):
        raise bad_field("tool_choice", "auto, none, required or an object", value)
    if value.get("type") == "allowed_tools":
        return _allowed_tools(value, tools, adaptations)
    name = _chosen_name(value, tools)
    if name is None:
        kind = str(value.get("type"))[:60]
        adaptations.loss("tool_choice.widened", "tool_choice", f"{kind!r} cannot be run; now auto")
        return ToolChoice()
    return ToolChoice("named", (name,))


def _allowed_tools(value: dict[str, Any], tools: ToolMap, adaptations: Adaptations) -> ToolChoice:
    entries, mode = value.get("tools"), value.get("mode", "auto")
    if not isinstance(entries, list):
        raise bad_field("tool_choice.tools", "a list", entries)
    if mode not in ("auto", "required"):
        raise bad_field("tool_choice.mode", "auto or required", mode)
    names = []
    for position, entry in enumerate(entries):
        name = _chosen_name(entry, tools) if isinstance(entry, dict) else None
        if name is None:
            where = f"tool_choice.tools[{position}]"
            adaptations.loss("tool_choice.left_out", where, "this tool cannot be run")
        else:
            names.append(name)
    return ToolChoice(mode, tuple(names))


def _chosen_name(value: dict[str, Any], tools: ToolMap) -> str | None:
    """The Chat name that a choice object names; None for a hosted tool."""
    if value.get("type") not in ("function", "custom"):
        return None
    nested = value.get("function")
    named = nested if isinstance(nested, dict) else value
    name = named.get("name")
    if not isinstance(name, str):
        raise bad_field("tool_choice.name", "a name", name)
    chat_name = tools.chat_name(name, named.get("namespace"))
    if tools.resolve(chat_name) is None:
        raise TurnError(
            Kind.INVALID_REQUEST,
            f"Invalid request: tool_choice names {name[:80]!r}, which is not among the tools.",
            param="tool_choice",
        )
    return chat_name


def apply_tool_choice(
    choice: ToolChoice,
    declared: list[dict[str, Any]],
    profile: Profile,
    adaptations: Adaptations,
) -> dict[str, Any]:
    """The Chat fields `tools` and `tool_choice` for a choice, as far as the provider knows it.

    `allowed_tools` is a hard constraint (responses-api.md section 2.7), so only the allowed tools
    are sent. Without tools neither field is (F31, Q75).
    """
    mode = choice.mode
    if mode == "named" and choice.allowed and "named" in profile.tool_choice:
        function = {"name": choice.allowed[0]}
        return {"tools": declared, "tool_choice": {"type": "function", "function": function}}
    if choice.allowed is not None:
        declared = [t for t in declared if t["function"]["name"] in choice.allowed]
    if not declared:
        if mode == "required":
            adaptations.loss("tool_choice.widened", "tool_choice", "no tool is left to be called")
        return {}
    if mode == "none" and "none" not in profile.tool_choice:
        adaptations.loss("tools.left_out", "tools", f"{profile.label} knows no tool_choice none")
        return {}
    fields: dict[str, Any] = {"tools": declared}
    if mode in ("named", "required"):
        if "required" in profile.tool_choice:
            fields["tool_choice"] = profile.tool_choice_required_as
        else:
            adaptations.loss(
                "tool_choice.widened", "tool_choice", f"{profile.label} cannot be made to call"
            )
    elif mode in profile.tool_choice:
        fields["tool_choice"] = mode
    return fields
