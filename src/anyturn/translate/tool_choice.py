"""Which tools may be called, and whether one must be (F31, F32)."""

from __future__ import annotations

from typing import Any, NoReturn

import msgspec

from anyturn.errors import Kind, TurnError
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.built_in_tools import BUILT_INS, ToolKind
from anyturn.translate.content import bad_field
from anyturn.translate.tool_map import ToolMap
from anyturn.wire.profile import Profile


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
    names = chosen_names(value, tools)
    if not names:
        kind = str(value.get("type"))[:60]
        adaptations.loss("tool_choice.widened", "tool_choice", f"{kind!r} cannot be run; now auto")
        return ToolChoice()
    return ToolChoice("named" if len(names) == 1 else "required", names)


def limit_calls(choice: ToolChoice, tools: ToolMap) -> None:
    """Let only those tools be called that the choice allows, whatever the provider makes of it."""
    if choice.mode == "none":
        tools.allow(())
    elif choice.allowed is not None:
        tools.allow(choice.allowed)


def _allowed_tools(value: dict[str, Any], tools: ToolMap, adaptations: Adaptations) -> ToolChoice:
    entries, mode = value.get("tools"), value.get("mode", "auto")
    if not isinstance(entries, list):
        raise bad_field("tool_choice.tools", "a list", entries)
    if mode not in ("auto", "required"):
        raise bad_field("tool_choice.mode", "auto or required", mode)
    names: tuple[str, ...] = ()
    for position, entry in enumerate(entries):
        chosen = chosen_names(entry, tools) if isinstance(entry, dict) else ()
        if not chosen:
            where = f"tool_choice.tools[{position}]"
            adaptations.loss("tool_choice.left_out", where, "this tool cannot be run")
        names += chosen
    return ToolChoice(mode, names)


def chosen_names(value: dict[str, Any], tools: ToolMap) -> tuple[str, ...]:
    """The provider's names that a choice object means; none for a tool that a server would run.

    Raises `TurnError` (INVALID_REQUEST) for a tool that was not declared.
    """
    kind = value.get("type")
    if isinstance(kind, str) and kind in BUILT_INS:
        tool = tools.find(kind, None, ToolKind(kind))
        return (tool.chat_name,) if tool and tool.kind == kind else ()
    if kind == "namespace":
        chosen = tuple(tool.chat_name for tool in tools.in_namespace(_name_in(value)))
        return chosen or _refuse_choice(_name_in(value))
    if kind not in ("function", "custom"):
        return ()
    nested = value.get("function")
    named = nested if isinstance(nested, dict) else value
    name = _name_in(named)
    tool = tools.find(name, named.get("namespace"), ToolKind(kind)) or tools.resolve(name)
    return (tool.chat_name,) if tool else _refuse_choice(name)


def _name_in(value: dict[str, Any]) -> str:
    name = value.get("name")
    if not isinstance(name, str):
        raise bad_field("tool_choice.name", "a name", name)
    return name


def _refuse_choice(name: str) -> NoReturn:
    raise TurnError(
        Kind.INVALID_REQUEST,
        f"Invalid request: tool_choice names {name[:80]!r}, which is not among the tools.",
        param="tool_choice",
    )


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
