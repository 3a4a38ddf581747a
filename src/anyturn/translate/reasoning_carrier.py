"""What a provider wants back and no reasoning item could take any more.

Details that came when no reasoning was open, and the signatures of calls and messages, travel in
a reasoning item of their own at the end of the answer: without words, sealed (G8).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from anyturn.translate.envelope import MAX_BYTES
from anyturn.translate.reasoning_details import ReasoningDetails
from anyturn.translate.thought_signatures import Extra


class ReasoningCarrier:
    """Gathers over one answer what is still to be carried."""

    __slots__ = ("_calls", "_message", "_size", "details")

    def __init__(self) -> None:
        self.details = ReasoningDetails()
        self._calls: dict[int, Extra] = {}
        self._message: Extra = {}
        self._size = 0

    @property
    def is_too_large(self) -> bool:
        """Whether more came than a seal can hold; then it is not kept."""
        return self.details.is_too_large or self._size > MAX_BYTES

    def take_details(self) -> ReasoningDetails:
        """Hand the details so far to the reasoning item that begins now."""
        taken, self.details = self.details, ReasoningDetails()
        return taken

    def add_extra(self, key: int | None, extra: Extra) -> int:
        """Keep the `extra_content` of call `key`, or of the message; returns its size in bytes.

        A call's first one counts, because providers repeat; the message's last one, which signs
        all of it.
        """
        try:
            size = len(msgspec.json.encode(extra))
        except RecursionError:
            return 0
        self._size += size
        if self._size > MAX_BYTES:
            self._calls, self._message = {}, {}
        elif key is None:
            self._message = extra
        else:
            self._calls.setdefault(key, extra)
        return size

    def content(self, call_ids: Mapping[int, str]) -> dict[str, Any]:
        """What must be sealed, empty when nothing is left.

        `call_ids` are the ids under which the client knows the calls that it was given.
        """
        content: dict[str, Any] = {}
        if details := self.details.whole():
            content["details"] = details
        if calls := {call_ids[key]: extra for key, extra in self._calls.items() if key in call_ids}:
            content["calls"] = calls
        if self._message:
            content["message"] = self._message
        return content
