"""Tools: every kind that a client can execute becomes a Chat function.

Freeform tools become functions with one string `input` (F23), namespaces are flattened (F25), tools
of a type of their own get the schema of what they take (F29). What nobody can run is left out and
reported, never half-declared (F21, F33).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from anyturn.translate.adaptations import Adaptations
from anyturn.translate.built_in_tools import BuiltIn, ToolKind, built_in
from anyturn.translate.content import bad_field
from anyturn.translate.schemas import SchemaRules, normalise_schema
from anyturn.translate.tool_map import Tool, ToolMap, plain_namespace
from anyturn.wire.profile import Profile

_FREEFORM_PARAMETERS = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole raw input as one text."}},
    "required": ["input"],
    "additionalProperties": False,
}


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
    kept: Collection[str] = (),
) -> None:
    """Add more tools, for instance those of an `additional_tools` item (F22).

    Types that are `kept` join the declared tools as they are; a function may get another name.
    """
    _ToolConverter(converted, profile, adaptations, kept).add_all(tools, where, _Namespace())


class _Namespace:
    """The namespace that is being read; the first tool of it also says what it is for."""

    def __init__(self, name: str = "", description: str = "") -> None:
        self.name = name
        self._description = description

    def introduce(self, description: str) -> str:
        """The description of the next tool."""
        heading, self._description = self._description, ""
        return f"{heading}\n\n{description}".strip()


class _ToolConverter:
    """Declares tools one after the other."""

    def __init__(
        self,
        converted: ConvertedTools,
        profile: Profile,
        adaptations: Adaptations,
        kept: Collection[str],
    ) -> None:
        self._converted = converted
        self._profile = profile
        self._adaptations = adaptations
        self._kept = kept

    def add_all(self, tools: list[Any], where: str, namespace: _Namespace) -> None:
        for position, tool in enumerate(tools):
            place = f"{where}[{position}]"
            if not isinstance(tool, dict):
                raise bad_field(place, "an object", tool)
            self._add(tool, place, namespace)

    def _add(self, tool: dict[str, Any], place: str, namespace: _Namespace) -> None:
        kind = tool.get("type")
        if isinstance(kind, str) and kind in self._kept and not namespace.name:
            self._keep(tool, place)
        elif kind == "namespace":
            self._add_namespace(tool, place)
        elif kind == "custom":
            self._add_freeform(tool, place, namespace)
        elif kind == "function":
            # Chat clients nest the definition (F31); both forms mean the same.
            nested = tool.get("function")
            self._add_function(nested if isinstance(nested, dict) else tool, place, namespace)
        elif own := built_in(tool):
            self._add_built_in(own, tool, place)
        else:
            what = f"a tool of type {str(kind)[:60]!r} cannot be offered there"
            self._adaptations.loss("tools.left_out", place, what)

    def _keep(self, tool: dict[str, Any], place: str) -> None:
        if tool["type"] != ToolKind.FUNCTION:
            self._converted.declared.append(tool)
            return
        nested = tool.get("function")
        definition = nested if isinstance(nested, dict) else tool
        name, parameters = _name_of(definition, place), definition.get("parameters")
        known = parameters if isinstance(parameters, dict) else None
        if declared := self._declare(ToolKind.FUNCTION, name, place, _Namespace(), known):
            renamed = {**definition, "type": "function", "name": declared.chat_name}
            self._converted.declared.append(tool if renamed == tool else renamed)

    def _add_namespace(self, tool: dict[str, Any], place: str) -> None:
        inner = tool.get("tools")
        if not isinstance(inner, list):
            raise bad_field(f"{place}.tools", "a list", inner)
        name = plain_namespace(_name_of(tool, place))
        self.add_all(inner, f"{place}.tools", _Namespace(name, _description_of(tool, place)))

    def _add_freeform(self, definition: dict[str, Any], place: str, namespace: _Namespace) -> None:
        name = _name_of(definition, place)
        if tool := self._declare(ToolKind.CUSTOM, name, place, namespace):
            what = f"{name!r} is a function with one string 'input'"
            self._adaptations.note("tools.freeform", place, what)
            description = _freeform_description(definition, place)
            self._append(tool, namespace.introduce(description), _FREEFORM_PARAMETERS)

    def _add_function(self, definition: dict[str, Any], place: str, namespace: _Namespace) -> None:
        name = _name_of(definition, place)
        parameters = definition.get("parameters")
        known = parameters if isinstance(parameters, dict) else None
        if tool := self._declare(ToolKind.FUNCTION, name, place, namespace, known):
            schema = self._schema(parameters, f"{place}.parameters")
            description = namespace.introduce(_description_of(definition, place))
            function = self._append(tool, description, schema)
            if self._profile.tool_strict == "keep" and isinstance(definition.get("strict"), bool):
                function["strict"] = definition["strict"]
            elif definition.get("strict") is True:
                self._adaptations.note(
                    "parameters.left_out", f"{place}.strict", "strict arguments are not asked for"
                )

    def _add_built_in(self, own: BuiltIn, definition: dict[str, Any], place: str) -> None:
        given = definition.get("parameters")
        parameters = given if isinstance(given, dict) else own.parameters
        if tool := self._declare(own.kind, own.kind, place, _Namespace(), parameters):
            what = f"{own.kind!r} is a function; its calls come back as {own.call_type}"
            self._adaptations.note("tools.built_in", place, what)
            description = _description_of(definition, place) or own.description
            self._append(tool, description, self._schema(parameters, f"{place}.parameters"))

    def _declare(
        self,
        kind: ToolKind,
        name: str,
        place: str,
        namespace: _Namespace,
        parameters: dict[str, Any] | None = None,
    ) -> Tool | None:
        limit = self._profile.max_tools
        if len(self._converted.map) >= limit:
            what = f"{self._profile.label} takes at most {limit} tools"
            self._adaptations.loss("tools.too_many", place, what)
            return None
        tool = self._converted.map.add(kind, name, namespace.name, parameters)
        if tool is None:
            self._adaptations.note("tools.duplicate", place, f"{name!r} was declared before")
        elif tool.chat_name != name:
            what = f"{name!r} is called {tool.chat_name!r} there"
            self._adaptations.note("tools.renamed", place, what)
        return tool

    def _append(self, tool: Tool, description: str, schema: dict[str, Any]) -> dict[str, Any]:
        function: dict[str, Any] = {"name": tool.chat_name}
        if description:
            function["description"] = description
        function["parameters"] = schema
        self._converted.declared.append({"type": "function", "function": function})
        return function

    def _schema(self, parameters: Any, where: str) -> dict[str, Any]:
        rules = SchemaRules(self._profile.schema_drop, self._profile.schema_rules)
        normalised = normalise_schema(_checked_schema(parameters, where), rules)
        if normalised.changes and parameters:
            self._adaptations.note("tools.schema", where, ", ".join(normalised.changes))
        return normalised.schema


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


def _freeform_description(definition: dict[str, Any], place: str) -> str:
    """F23: the grammar goes into the description, or the model would not know the form."""
    description = _description_of(definition, place)
    tool_format = definition.get("format")
    if isinstance(tool_format, dict) and tool_format.get("type") == "grammar":
        syntax, grammar = tool_format.get("syntax", ""), tool_format.get("definition", "")
        description += f"\n\n`input` must follow this {syntax} grammar:\n{grammar}"
    return description.strip()


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
