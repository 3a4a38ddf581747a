"""Tools that a Responses server does not know become functions (F21–F29).

Many servers take functions only, and refuse the whole request for one tool of another type. Their
tools go the way of those of Chat providers (`tools`, `tool_map`), and so does the history; what is
called comes back in the client's form by `raised_calls`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from anyturn.translate.adaptations import Adaptations
from anyturn.translate.built_in_tools import ToolKind, output_text
from anyturn.translate.calls_as_functions import (
    CALLS,
    OUTPUTS,
    SERVER_SIDE,
    answered_id_of,
    call_id_of,
    called_name,
    called_with,
    is_by_server,
    loaded_tools,
)
from anyturn.translate.content import bad_field
from anyturn.translate.tool_choice import chosen_names
from anyturn.translate.tool_map import Tool, ToolMap, plain_namespace
from anyturn.translate.tools import ConvertedTools, add_tools
from anyturn.wire.profile import EVERY_TOOL, Profile

JSON = dict[str, Any]
Item = dict[str, Any]

FUNCTIONS = (str(ToolKind.FUNCTION),)
_ABOUT_TOOLS = ("tools", "tool_choice", "parallel_tool_calls")


def lower_tools(
    body: JSON, known: Collection[str], tools: ToolMap, profile: Profile, adaptations: Adaptations
) -> JSON:
    """The body of a request for a server that knows tools of the `known` types only.

    `body` may go to a server that knows all of them, but for its pairs: calls that became functions
    may be without an output. All functions join `tools`. Raises `TurnError` for what is malformed.
    """
    if EVERY_TOOL in known:
        return body
    lowering = _Lowering(known, tools, profile, adaptations)
    declared = lowering.declare(body.get("tools") or [], body["input"])
    items = [*lowering.items(body["input"])]
    lowered = {**body, "input": items}
    if not declared:
        return {name: value for name, value in lowered.items() if name not in _ABOUT_TOOLS}
    lowered["tools"] = declared
    if isinstance(choice := body.get("tool_choice"), dict):
        lowered["tool_choice"] = lowering.choice(choice)
    return lowered


def needs_raising(tool: Tool) -> bool:
    """Whether the client knows a tool by another name or form than the server does."""
    return tool.kind is not ToolKind.FUNCTION or tool.chat_name != tool.name


class _Lowering:
    """One request."""

    def __init__(
        self,
        known: Collection[str],
        tools: ToolMap,
        profile: Profile,
        adaptations: Adaptations,
    ) -> None:
        self._known = known
        self._tools = tools
        self._profile = profile
        self._adaptations = adaptations

    # ---------------------------------------------------------------- tools

    def declare(self, tools: list[Any], items: list[Any]) -> list[Any]:
        """All tools of the request, also those that its items declare (F22)."""
        converted = ConvertedTools([], self._tools)
        self._add(converted, tools, "tools")
        for position, item in enumerate(items):
            if self._declares(item):
                where = f"input[{position}].tools"
                more = item.get("tools")
                if not isinstance(more, list):
                    raise bad_field(where, "a list", more)
                self._add(converted, more, where)
        return [_in_responses_form(tool) for tool in converted.declared]

    def _add(self, converted: ConvertedTools, tools: list[Any], where: str) -> None:
        add_tools(converted, tools, self._profile, self._adaptations, where, self._known)

    def _declares(self, item: Any) -> bool:
        kind = item.get("type") if isinstance(item, dict) else None
        if kind == "tool_search_output":
            return ToolKind.TOOL_SEARCH not in self._known
        return bool(kind == "additional_tools")

    def choice(self, choice: JSON) -> Any:
        """A `tool_choice` that names tools, by their names there."""
        if choice.get("type") == "allowed_tools" and isinstance(choice.get("tools"), list):
            return {**choice, "tools": [*self._chosen(choice["tools"])]}
        chosen = [*self._chosen([choice])]
        if len(chosen) == 1:
            return chosen[0]
        if chosen:
            return {"type": "allowed_tools", "mode": "required", "tools": chosen}
        kind = str(choice.get("type"))[:60]
        what = f"{kind!r} cannot be run; now auto"
        self._adaptations.loss("tool_choice.widened", "tool_choice", what)
        return "auto"

    def _chosen(self, entries: list[Any]) -> Iterator[Any]:
        for entry in entries:
            if not isinstance(entry, dict):
                continue
            kind = entry.get("type")
            if kind in self._known and kind != ToolKind.FUNCTION:
                yield entry
            else:
                for name in chosen_names(entry, self._tools):
                    yield {"type": "function", "name": name}

    # ---------------------------------------------------------------- items

    def items(self, items: list[Any]) -> Iterator[Any]:
        """The items as a server knows them that knows these tools only."""
        for position, item in enumerate(items):
            kind = item.get("type") if isinstance(item, dict) else None
            place = f"input[{position}]"
            if not isinstance(kind, str):
                yield item
            elif is_by_server(item) and ToolKind.TOOL_SEARCH not in self._known:
                what = "a search for tools by the server; its tools are offered"
                self._adaptations.note("history.searched", place, what)
            elif kind in CALLS:
                yield self._call(item, place)
            elif kind in OUTPUTS:
                yield self._output(item)
            elif kind in SERVER_SIDE and not self._is_of_known_tool(kind):
                what = f"{kind} is of a tool that {self._profile.label} does not run"
                self._adaptations.loss("history.left_out", place, what)
            elif kind == "agent_message":
                yield _agents_words(item)
            elif kind != "additional_tools":
                yield item

    def _call(self, item: Item, place: str) -> Item:
        kind, name = called_name(item, place)
        namespace = plain_namespace(item.get("namespace"))
        if namespace and "namespace" in self._known:
            return item
        chat_name = self._tools.chat_name(name, namespace, kind)
        if kind is ToolKind.FUNCTION:
            bare = {member: value for member, value in item.items() if member != "namespace"}
            return {**bare, "name": chat_name}
        if kind in self._known:
            return item
        return {
            "type": "function_call",
            "call_id": call_id_of(item, place),
            "name": chat_name,
            "arguments": called_with(item, place, self._adaptations),
        }

    def _output(self, item: Item) -> Item:
        kind, field = OUTPUTS[item["type"]]
        if kind in self._known:
            return item
        if kind is ToolKind.TOOL_SEARCH:
            told: Any = loaded_tools(item.get(field), self._tools)
        elif (told := output_text(item)) is None:
            told = item.get(field)
        if not isinstance(told, str | list):
            told = msgspec.json.encode(told).decode()
        return {"type": "function_call_output", "call_id": answered_id_of(item), "output": told}

    def _is_of_known_tool(self, kind: str) -> bool:
        tools = (known.removesuffix("_preview") for known in self._known if known != "function")
        return kind.startswith(tuple(tools))


def _in_responses_form(tool: JSON) -> JSON:
    """A converted tool; what is not strict must say so, for strict is the API's default."""
    function = tool.get("function")
    if not isinstance(function, dict):
        return tool
    return {"type": "function", "strict": False, **function}


def _agents_words(item: Item) -> Item:
    """What another agent said, as the user's words: only Codex and OpenAI know such items."""
    heading = f"[message from {item.get('author')} to {item.get('recipient')}]"
    content = item.get("content")
    parts = content if isinstance(content, list) else [{"type": "input_text", "text": str(content)}]
    head = {"type": "input_text", "text": heading}
    return {"type": "message", "role": "user", "content": [head, *parts]}
