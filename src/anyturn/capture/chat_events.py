"""A Chat Completions answer told as the events that a timeline is made of.

It is a reading for people, of recordings in which nothing was translated. It shares no code with
the translator, and no client ever gets these events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from anyturn.capture.format import chunks_of

JSON: TypeAlias = dict[str, Any]
_Timed: TypeAlias = tuple[int, JSON]

_TEXTS = {"reasoning_content": "reasoning", "reasoning": "reasoning", "content": "message"}


def chat_events(blocks: list[tuple[int, bytes]]) -> list[_Timed]:
    """The items of an answer with times: announced, word by word, and done once it has ended.

    `blocks` hold whole messages, or one JSON document in pieces.
    """
    answer = _Answer()
    if blocks and blocks[0][1].lstrip()[:1] in (b"{", b"["):
        blocks = [(blocks[-1][0], b"".join(data for _, data in blocks))]
    for t, data in blocks:
        for chunk in chunks_of(data):
            answer.take(t, chunk)
    return answer.events


class _Answer:
    """The items of one answer, in the order in which they begin."""

    def __init__(self) -> None:
        self.events: list[_Timed] = []
        self._items: dict[Any, JSON] = {}

    def take(self, t: int, chunk: JSON) -> None:
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            said = choice.get("delta") or choice.get("message")
            if isinstance(said, dict):
                self._say(t, said)
            if isinstance(choice.get("finish_reason"), str):
                self._finish(t)

    def _say(self, t: int, said: JSON) -> None:
        for name, kind in _TEXTS.items():
            text = said.get(name)
            # Some providers send the same reasoning under both names.
            if (
                isinstance(text, str)
                and text
                and not (name == "reasoning" and text == said.get("reasoning_content"))
            ):
                item = self._item(t, kind, {"type": kind, "content": [{"text": ""}]})
                item["content"][0]["text"] += text
                self._delta(t, item, text)
        for call in _calls_of(said):
            self._call(t, call)

    def _call(self, t: int, call: JSON) -> None:
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        index = call.get("index")
        key = ("call", index if isinstance(index, int) else call.get("id"))
        name, arguments = function.get("name"), function.get("arguments")
        known = self._items.get(key)
        if index is None and call.get("id") is None and self._items:
            known = next(reversed(self._items.values()))
        item = known or self._item(
            t,
            key,
            {"type": "function_call", "name": name, "call_id": call.get("id"), "arguments": ""},
        )
        if isinstance(arguments, str) and arguments and "arguments" in item:
            item["arguments"] += arguments
            self._delta(t, item, arguments)

    def _item(self, t: int, key: Any, new: JSON) -> JSON:
        item = self._items.get(key)
        if item is None:
            item = self._items[key] = {**new, "id": f"item {len(self._items) + 1}"}
            self.events.append((t, {"type": "response.output_item.added", "item": dict(item)}))
        return item

    def _delta(self, t: int, item: JSON, text: str) -> None:
        event = {"type": f"{item['type']}.delta", "item_id": item["id"], "delta": text}
        self.events.append((t, event))

    def _finish(self, t: int) -> None:
        for item in self._items.values():
            self.events.append((t, {"type": "response.output_item.done", "item": item}))
        self._items = {}


def _calls_of(said: JSON) -> Iterator[JSON]:
    calls: Iterable[Any] = said.get("tool_calls") or ()
    if isinstance(calls, list):
        yield from (call for call in calls if isinstance(call, dict))
