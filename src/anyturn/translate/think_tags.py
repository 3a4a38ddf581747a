"""A leading `<think>` block of an answer is reasoning (Q19, F50).

Only a leading one: an answer may speak of the tags. A tag may come in pieces, so the few
characters that could be the beginning of one are held back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

_OPEN, _CLOSE = "<think>", "</think>"

Pieces = list[tuple[bool, str]]
"""Text with whether it is reasoning."""


class ThinkTags:
    """Splits the text of one answer.

    `feed` takes a piece of content and returns what is now certain; `close` returns what was held
    back. The tags, and blank lines between the block and the answer, are left out.
    """

    __slots__ = ("_around", "_held", "_state")

    def __init__(self) -> None:
        self._state = "start"
        self._held = ""
        self._around = ["", ""]

    @property
    def is_done(self) -> bool:
        """Whether everything from here on is plain answer."""
        return self._state in ("answer", "plain")

    @property
    def block(self) -> tuple[str, str] | None:
        """What stood before the block and behind it, once the block is closed.

        A provider that wants the block back gets it as it was (MiniMax).
        """
        before, gap = self._around
        return None if self._state in ("start", "thinking", "plain") else (before, gap)

    def feed(self, text: str) -> Pieces:
        """Take the next piece of content."""
        text, self._held = self._held + text, ""
        return self._STEPS[self._state](self, text)

    def close(self) -> Pieces:
        """Say that no more content comes; returns what was held back."""
        held, self._held = self._held, ""
        return [(self._state == "thinking", held)] if held else []

    def _start(self, text: str) -> Pieces:
        stripped = text.lstrip()
        if stripped.startswith(_OPEN):
            self._state = "thinking"
            self._around[0] = text[: len(text) - len(stripped)]
            return self._thinking(stripped.removeprefix(_OPEN))
        if _OPEN.startswith(stripped):
            self._held = text
            return []
        self._state = "plain"
        return [(False, text)]

    def _thinking(self, text: str) -> Pieces:
        thought, tag, answer = text.partition(_CLOSE)
        if tag:
            self._state = "gap"
            return [*([(True, thought)] if thought else []), *self._gap(answer)]
        kept = _beginning_of_close(text)
        thought, self._held = text[: len(text) - kept], text[len(text) - kept :]
        return [(True, thought)] if thought else []

    def _gap(self, text: str) -> Pieces:
        answer = text.lstrip("\r\n")
        self._around[1] += text[: len(text) - len(answer)]
        if not answer:
            return []
        self._state = "answer"
        return [(False, answer)]

    def _answer(self, text: str) -> Pieces:
        return [(False, text)] if text else []

    _STEPS: ClassVar[dict[str, Callable[[ThinkTags, str], Pieces]]] = {
        "start": _start,
        "thinking": _thinking,
        "gap": _gap,
        "answer": _answer,
        "plain": _answer,
    }


def _beginning_of_close(text: str) -> int:
    """How many of the last characters may be the beginning of the closing tag."""
    return next((n for n in range(len(_CLOSE) - 1, 0, -1) if text.endswith(_CLOSE[:n])), 0)
