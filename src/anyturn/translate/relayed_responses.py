"""The response object of a Responses server, as it is shown to the client.

It is the server's own, with what clients demand of it (responses-api.md section 2.5), with one id
from its beginning to its end, and with what only the gateway can answer for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from anyturn.translate.adaptations import Adaptations
from anyturn.translate.relayed_items import Repairs
from anyturn.translate.usage import estimate_usage
from anyturn.wire import responses as r

JSON = dict[str, Any]

OPENINGS = ("response.created", "response.in_progress")
TERMINALS = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.done": "",
}
# What parsers of clients insist on.
_DEMANDED = (
    *("id", "object", "created_at", "status", "model", "output", "parallel_tool_calls"),
    *("tool_choice", "tools"),
)
_NO_DETAILS = {
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
}
_NOT_YET: JSON = {
    "status": "in_progress",
    "output": [],
    "usage": None,
    "completed_at": None,
    "error": None,
    "incomplete_details": None,
}
_ABSENT = object()
# OpenAI's have 48 characters behind the prefix, others 22 or 32; a counter has few.
_UNIQUE = 20


def as_opening(response: JSON) -> JSON:
    """A response that is over, as it was when it began."""
    return {**response, **_NOT_YET} if response else {}


def is_unique(given: str) -> bool:
    """Whether an id can hardly be given twice: what is stored is found by it."""
    return len(given) >= _UNIQUE


class Shown:
    """What the client is told of one response."""

    def __init__(
        self,
        snapshot: r.Response,
        told: Mapping[str, Any],
        repairs: Repairs,
        adaptations: Adaptations,
        request_bytes: int,
        is_good: Callable[[str], bool] = bool,
    ) -> None:
        self._is_good = is_good
        self._snapshot = snapshot
        self._told = dict(told)
        self._repairs = repairs
        self._adaptations = adaptations
        self._request_bytes = request_bytes
        self._opening: JSON | None = None
        self._is_ours = False

    def opening(self) -> JSON:
        """The response as it began; ours where the server did not say."""
        if self._opening is None:
            self._opening = {**r.as_object(self._snapshot), **self._told}
            self._is_ours = True
        return self._opening

    def open(self, response: JSON) -> JSON:
        """The response of an opening event."""
        shown = self._with_told(response)
        if not self._is_good(str(shown.get("id") or "")) or self._opening is not None:
            shown = {**shown, "id": self.opening()["id"]}
        if shown.get("id") != response.get("id") and "id" not in self._told:
            self._repairs.note(
                "repair.item_id", "the response changed its id on the way, or counts its ids"
            )
        if self._opening is None:
            self._opening = {**r.as_object(self._snapshot), **shown}
        return response if shown == response else shown

    def end(self, response: JSON, status: str, done: Iterable[r.RelayedItem]) -> JSON:
        """The response of the terminal event."""
        mended = {**self._with_told(response), "id": self.opening()["id"]}
        if self._is_ours and "created_at" in mended:
            mended["created_at"] = self.opening()["created_at"]
        if mended["id"] != response.get("id") and "id" not in self._told:
            self._repairs.note("repair.response", "the response ended under another id, or none")
        if mended.get("status") != status:
            mended["status"] = status
            self._repairs.note("repair.terminal", "its status did not fit")
        self._mend_output(mended, status, [item.body for item in done])
        self._mend_usage(mended, status)
        for member in _DEMANDED:
            if member not in mended:
                mended[member] = self.opening()[member]
                self._repairs.note("repair.response", "members of the response were missing")
        if status == "failed" and not isinstance(mended.get("error"), dict):
            mended["error"] = {"code": "server_error", "message": "The server gave no reason."}
            self._repairs.note("repair.terminal", "response.failed without an error")
        return mended

    def _with_told(self, response: JSON) -> JSON:
        """The response with what the gateway answers for, where the server says otherwise."""
        other = {
            name: value
            for name, value in self._told.items()
            if response.get(name, _ABSENT) != value and (name in response or value)
        }
        return {**response, **other}

    def _mend_output(self, response: JSON, status: str, done: list[JSON]) -> None:
        if same_items(response.get("output"), done) or (status == "failed" and not done):
            return
        response["output"] = done
        self._repairs.note("repair.output", "the terminal event did not hold the items")

    def _mend_usage(self, response: JSON, status: str) -> None:
        usage = response.get("usage")
        if not isinstance(usage, dict):
            if status == "failed":
                return
            said = len(msgspec.json.encode(response["output"]))
            response["usage"] = msgspec.to_builtins(estimate_usage(self._request_bytes, said))
            self._adaptations.note("usage.estimated", "usage", "the provider reported no tokens")
        elif (whole := whole_usage(usage)) != usage:
            response["usage"] = whole
            self._repairs.note("repair.usage", "members of usage were missing")


def whole_usage(usage: JSON) -> JSON:
    """Usage with all its members: one that is missing makes Codex ask again, five times (F58)."""
    whole = dict(usage)
    for member in ("input_tokens", "output_tokens"):
        if type(whole.get(member)) is not int:
            whole[member] = 0
    if type(whole.get("total_tokens")) is not int:
        whole["total_tokens"] = whole["input_tokens"] + whole["output_tokens"]
    for member, zero in _NO_DETAILS.items():
        given = whole.get(member)
        kept = given if isinstance(given, dict) else {}
        counts = {name: value for name, value in kept.items() if type(value) is int}
        whole[member] = {**zero, **counts}
    return whole


def same_items(output: Any, done: list[JSON]) -> bool:
    """Whether a terminal output is these items (I4), though it may say more or less of them."""
    if not isinstance(output, list) or len(output) != len(done):
        return False
    return all(
        isinstance(item, dict) and all(item.get(name) == one.get(name) for name in _MARKS)
        for item, one in zip(output, done, strict=True)
    )


_MARKS = ("id", "type", "call_id", "arguments", "input")
