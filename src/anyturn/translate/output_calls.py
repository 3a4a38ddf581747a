"""The state of one tool call, from its first word to its `done` (see `output_items`).

A call can be opened only when its tool is known (F42, Q51). A call of a function streams its
arguments; all others are told when they are whole, for their form cannot be made of a part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET

from anyturn.translate.arguments import repair_arguments, unwrap_freeform
from anyturn.translate.built_in_tools import BUILT_INS, ToolKind
from anyturn.translate.output_items import COMPLETED, Number, Place
from anyturn.translate.tool_map import Tool
from anyturn.wire import responses as r

_ID_PREFIXES = {
    ToolKind.FUNCTION: "fc",
    ToolKind.CUSTOM: "ctc",
    ToolKind.TOOL_SEARCH: "tsc",
    ToolKind.LOCAL_SHELL: "lsh",
    ToolKind.SHELL: "sh",
    ToolKind.APPLY_PATCH: "apc",
}
_BUILT_IN_ITEMS: dict[ToolKind, Callable[[str, str, Any, str], r.BuiltInCall]] = {
    ToolKind.TOOL_SEARCH: r.ToolSearchCall,
    ToolKind.LOCAL_SHELL: r.LocalShellCall,
    ToolKind.SHELL: r.ShellCall,
    ToolKind.APPLY_PATCH: r.ApplyPatchCall,
}


class CallState:
    """One tool call."""

    def __init__(self, key: int) -> None:
        self.key = key
        self.place: Place | None = None
        self.name = ""
        self.tool: Tool | None = None
        self.provider_id = ""
        self.call_id = ""
        self.repairs: tuple[str, ...] = ()
        self._arguments: list[str] = []

    @property
    def id_prefix(self) -> str:
        """The prefix of the item's id, by the kind of the tool."""
        return _ID_PREFIXES[self.tool.kind] if self.tool else "fc"

    @property
    def may_open_early(self) -> bool:
        """Whether the call can be announced while its arguments still come."""
        return self.tool is not None and self.tool.kind is ToolKind.FUNCTION

    @property
    def is_begun(self) -> bool:
        """Whether the provider told anything of the call; some send empty places for calls."""
        return bool(self.name or self.provider_id or self.arguments.strip())

    @property
    def arguments(self) -> str:
        """The arguments so far, as the provider wrote them."""
        return "".join(self._arguments)

    def become(self, tool: Tool, arguments: str) -> None:
        """Be a call of this tool after all, with these arguments; only before it is opened."""
        assert self.place is None
        self.tool = tool
        self._arguments = [arguments]

    def add(self, arguments: str, number: Number) -> list[r.Event]:
        """Take more arguments; returns their event when a function call is open."""
        self._arguments.append(arguments)
        if self.place is None:
            return []
        return [r.ArgumentsDelta(self.place.item_id, self.place.index, arguments, number())]

    def open(self, place: Place, number: Number) -> list[r.Event]:
        """Announce the item and say what waited in it."""
        self.place = place
        payload = self.payload if self._is_built_in else ""
        events: list[r.Event] = [
            r.ItemAdded(place.index, self._item(payload, "in_progress"), number())
        ]
        if self.may_open_early and (arguments := self.arguments):
            events.append(r.ArgumentsDelta(place.item_id, place.index, arguments, number()))
        return events

    def close(self, status: str, number: Number) -> tuple[list[r.Event], r.Item]:
        """Finish the item; returns the last events and the item itself."""
        assert self.place is not None and self.tool is not None
        events: list[r.Event] = []
        payload: Any
        if self._is_built_in:
            payload = self.payload
        elif self.tool.kind is ToolKind.CUSTOM:
            payload = self._finish_input(events, number)
        else:
            payload = self._finish_arguments(events, status, number)
        item = self._item(payload, status)
        events.append(r.ItemDone(self.place.index, item, number()))
        return events, item

    def _finish_input(self, events: list[r.Event], number: Number) -> str:
        assert self.place is not None
        at = (self.place.item_id, self.place.index)
        text = unwrap_freeform(self.arguments)
        if text:
            events.append(r.InputDelta(*at, text, number()))
        events.append(r.InputDone(*at, text, number()))
        return text

    def _finish_arguments(self, events: list[r.Event], status: str, number: Number) -> str:
        assert self.place is not None and self.tool is not None
        at = (self.place.item_id, self.place.index)
        text = self.arguments
        if status == COMPLETED and not text.strip():
            # F44, Q33: a tool without arguments. The delta keeps done equal to the deltas.
            text += "{}"
            events.append(r.ArgumentsDelta(*at, "{}", number()))
        elif status == COMPLETED:
            text = self._mended()
        events.append(r.ArgumentsDone(*at, self.tool.name, text, number()))
        return text

    def _mended(self) -> str:
        """Arguments that the client can parse, wherever that is possible without a guess (F46)."""
        assert self.tool is not None
        repaired = repair_arguments(self.arguments, self.tool.parameters)
        self.repairs = repaired.steps
        return repaired.text

    @property
    def payload(self) -> dict[str, Any] | None:
        """What a call of a built-in tool asks for; None when that cannot be told."""
        assert self.tool is not None
        repaired = repair_arguments(self.arguments, self.tool.parameters)
        if not repaired.is_object:
            return None
        self.repairs = repaired.steps
        return BUILT_INS[self.tool.kind].payload(msgspec.json.decode(repaired.text))

    def is_whole(self) -> bool:
        """Whether a call that was cut off may be handed out: its arguments are one JSON object."""
        if self._is_built_in:
            return bool(self.arguments.strip()) and self.payload is not None
        try:
            return isinstance(msgspec.json.decode(self.arguments), dict)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return False

    @property
    def complaint(self) -> str:
        """Why a whole call cannot take the form that the client knows it in; '' when it can."""
        if not self._is_built_in or self.payload is not None:
            return ""
        return (
            f"The model called {self.name[:80]!r} with arguments that it does not take: "
            f"{self.arguments[:200]}"
        )

    @property
    def _is_built_in(self) -> bool:
        return self.tool is not None and self.tool.kind in BUILT_INS

    def _item(self, payload: Any, status: str) -> r.Item:
        assert self.place is not None and self.tool is not None
        item_id, tool = self.place.item_id, self.tool
        if own := _BUILT_IN_ITEMS.get(tool.kind):
            return own(item_id, self.call_id, payload, status)
        form = r.CustomToolCall if tool.kind is ToolKind.CUSTOM else r.FunctionCall
        return form(item_id, self.call_id, tool.name, payload, status, tool.namespace or UNSET)
