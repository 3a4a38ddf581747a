"""Tool calls that came as text, found without delaying any other text (F48, F49, Q42).

`LeakWatch` holds back an answer that begins as one of the profile's forms (`leaked_forms`) does,
and nothing else; when the answer is over, `rescue_calls` makes calls of it. Text runs a command
then, so nothing is left to chance: the whole text must be such calls, and every name one of the
request's tools. Everything else stays the text that it was.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from anyturn.translate.leaked_forms import Called, Said, read_leak
from anyturn.translate.tool_map import ToolMap

MAX_HELD = 256 * 1024
"""Characters; a longer text is not held back and not searched for calls."""

# How a text of each form begins, without its white space.
OPENINGS: dict[str, tuple[str, ...]] = {
    "harmony": (
        "<|start|>",
        "<|channel|>",
        "to=functions.",
        "assistant<|channel|>",
        "assistantto=functions.",
        "commentaryto=functions.",
        "assistantcommentaryto=functions.",
    ),
    "hermes": ("<tool_call>{",),
    "function_tags": ("<function=", "<tool_call><function="),
    "glm": ("<tool_call>",),
    "mistral": ("[TOOL_CALLS]",),
    "json": ('{"name":"', '{"tool":"', '{"function":"', '{"type":"function","', '[{"name":"'),
}

Piece = tuple[str, Any]
"""Text as it came, with its log probabilities."""


class LeakWatch:
    """Watches how the text of one answer begins.

    `feed` takes the next piece of text and returns the pieces that are certain to be plain text;
    `release` returns those that are still held. Pieces come out as they went in.
    """

    __slots__ = ("_openings", "_pieces", "_seen", "_size", "is_done", "is_leak")

    def __init__(self, forms: Collection[str]) -> None:
        self._openings = tuple(opening for form in forms for opening in OPENINGS[form])
        self._pieces: list[Piece] = []
        self._seen = ""
        self._size = 0
        self.is_leak = False
        """Whether the text so far begins as a form does."""
        self.is_done = False
        """Whether everything from here on is plain text."""

    def feed(self, text: str, logprobs: Any = None) -> list[Piece]:
        """Take the next piece of text."""
        self._pieces.append((text, logprobs))
        self._size += len(text)
        if self._size <= MAX_HELD and (self.is_leak or self._may_be_leak(text)):
            return []
        self.is_done = True
        return self.release()

    def release(self) -> list[Piece]:
        """Give out what is held."""
        pieces, self._pieces = self._pieces, []
        return pieces

    def _may_be_leak(self, text: str) -> bool:
        self._seen += "".join(text.split())
        self.is_leak = self._seen.startswith(self._openings)
        return self.is_leak or any(o.startswith(self._seen) for o in self._openings)


class FoundCall(msgspec.Struct, frozen=True):
    """A call of a declared tool, by the provider's name for it."""

    chat_name: str
    arguments: str


class Rescue(msgspec.Struct, frozen=True):
    """What a whole text of one form says, in order."""

    form: str
    parts: tuple[Said | FoundCall, ...]

    @property
    def calls(self) -> list[FoundCall]:
        """The calls among the parts."""
        return [part for part in self.parts if isinstance(part, FoundCall)]


def rescue_calls(text: str, forms: Collection[str], tools: ToolMap) -> Rescue | None:
    """Return what `text` says in one of these forms; None when it must stay text.

    That is so unless all of it is of that form and each call is whole and names a declared tool.
    """
    if len(text) > MAX_HELD or (leak := read_leak(text, forms)) is None:
        return None
    form, parts = leak
    found = [_declared(part, tools) if isinstance(part, Called) else part for part in parts]
    known = tuple(part for part in found if part is not None)
    return Rescue(form, known) if len(known) == len(found) else None


def _declared(call: Called, tools: ToolMap) -> FoundCall | None:
    tool = tools.resolve(call.name)
    if tool is None:
        return None
    return FoundCall(tool.chat_name, call.arguments_for(tool.parameters))
