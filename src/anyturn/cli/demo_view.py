"""The demo's picture of a turn: the provider's chunks left, the client's events right."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from anyturn.gateway import Turn
from anyturn.wire import responses as r
from anyturn.wire import sse

_TEXT_MAX = 40
_WIDE = 96


class TwoWires:
    """A tap that prints each block of chunks beside the events it caused."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._decoder = sse.Decoder()
        self._left: list[Text] = []
        self._turns = 0

    def request(self, turn: Turn) -> None:
        """Head a turn."""
        self._turns += 1
        self._decoder = sse.Decoder()
        self._left = []
        messages = len(turn.asked.body["messages"])
        tools = len(turn.asked.body.get("tools", ()))
        self._out.rule(f"[bold]request {self._turns}[/]: {messages} messages, {tools} tools")
        self._print(
            [Text("Chat Completions, from the provider", style="bold yellow")],
            [Text("Responses, to the agent", style="bold cyan")],
        )

    def provider_bytes(self, turn: Turn, block: bytes) -> None:
        """Remember what the provider sent until its events come."""
        for message in self._decoder.feed(block):
            self._left += _chunk_lines(message.data)

    def events(self, turn: Turn, events: list[r.Event]) -> None:
        """Print the chunks and what became of them, side by side."""
        narrow = self._out.width < _WIDE
        self._print(self._left, [_event_line(event, narrow) for event in events])
        self._left = []

    def ended(self, turn: Turn) -> None:
        """Nothing more to show."""

    def _print(self, left: list[Text], right: list[Text]) -> None:
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(ratio=4, no_wrap=True, overflow="ellipsis")
        table.add_column(width=1)
        table.add_column(ratio=6, no_wrap=True, overflow="ellipsis")
        for position in range(max(len(left), len(right))):
            table.add_row(
                left[position] if position < len(left) else "",
                "→" if position == 0 and left and right else "",
                right[position] if position < len(right) else "",
            )
        self._out.print(table)


def _chunk_lines(data: bytes) -> list[Text]:
    if data == b"[DONE]":
        return [Text("[DONE]", style="dim")]
    chunk = msgspec.json.decode(data)
    lines = []
    for choice in chunk.get("choices", ()):
        delta = choice.get("delta") or {}
        lines += [
            _delta_line(key, delta[key]) for key in ("reasoning", "content") if delta.get(key)
        ]
        lines += [_call_line(call) for call in delta.get("tool_calls") or ()]
        if finish := choice.get("finish_reason"):
            lines.append(Text.assemble(("finish_reason ", "yellow"), finish))
    if usage := chunk.get("usage"):
        lines.append(Text(f"usage {usage['prompt_tokens']} + {usage['completion_tokens']}"))
    return lines


def _delta_line(key: str, text: str) -> Text:
    return Text.assemble((f"{key} ", "yellow"), _quoted(text))


def _call_line(call: dict[str, Any]) -> Text:
    function = call.get("function") or {}
    line = Text.assemble((f"tool_calls[{call.get('index')}] ", "yellow"))
    if name := function.get("name"):
        line.append(f"{name} ", style="bold")
    return line.append(_quoted(function.get("arguments") or ""))


def _event_line(event: r.Event, narrow: bool) -> Text:
    name = r.name_of(event).removeprefix("response.")
    line = Text.assemble((f"{name} ", "cyan"))
    match event:
        case r.ItemDone(item=r.FunctionCall() as call):
            # In a narrow terminal the mark matters more than the item's type, told before.
            line.append(call.name if narrow else _item_words(call), style="bold")
            line.append(" ← executed", style="bold green")
        case r.ItemAdded() | r.ItemDone():
            line.append(_item_words(event.item), style="bold")
        case r.Completed() | r.Incomplete() | r.Failed():
            count = len(event.response.output)
            line.append(f"{count} item{'s' if count != 1 else ''}", style="bold")
        case _:
            text = getattr(event, "delta", None)
            if isinstance(text, str):
                line.append(_quoted(text))
    return line


def _item_words(item: r.Item) -> str:
    if isinstance(item, r.FunctionCall | r.CustomToolCall):
        return f"{item.__struct_config__.tag} {item.name}"
    return str(item.__struct_config__.tag)


def _quoted(text: str) -> str:
    shown = text if len(text) <= _TEXT_MAX else text[: _TEXT_MAX - 1] + "…"
    return msgspec.json.encode(shown).decode()
