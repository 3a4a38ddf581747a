"""Lists in OpenAI's form, a page at a time."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from anyturn.errors import Kind, TurnError

JSON = dict[str, Any]

LIMIT_MAX = 100
_LIMIT = 20
_BY_CLIENT = frozenset({"tool_search_call", "tool_search_output"})
_PART_DEFAULTS: dict[Any, JSON] = {
    "input_image": {"detail": "auto"},
    "output_text": {"annotations": [], "logprobs": []},
}
_WITHOUT_STATUS = frozenset({"reasoning", "compaction", "item_reference"})


class Page(msgspec.Struct, frozen=True):
    """What a client asked to see of a list."""

    after: str
    limit: int
    ascending: bool

    def cut(self, items: list[JSON]) -> JSON:
        """The page of a whole list that is in ascending order.

        Raises `TurnError` (INVALID_REQUEST) when `after` is not in the list.
        """
        ordered = items if self.ascending else items[::-1]
        start = 0
        if self.after:
            ids = [item.get("id") for item in ordered]
            if self.after not in ids:
                raise _refuse("after", f"no item of this list has the id {self.after[:80]!r}")
            start = ids.index(self.after) + 1
        page = ordered[start : start + self.limit]
        return listed(page, has_more=len(ordered) > start + len(page))


def shown(item: JSON) -> JSON:
    """An item as it is listed: with what requests may leave out and clients' types demand."""
    told = {name: value for name, value in item.items() if value is not None}
    if told.get("type") in _BY_CLIENT:
        told.setdefault("execution", "client")
    if told.get("type") not in _WITHOUT_STATUS:
        told.setdefault("status", "completed")
    for member in ("content", "output"):
        if isinstance(parts := told.get(member), list):
            told[member] = [_shown_part(part) for part in parts]
    return told


def _shown_part(part: Any) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    return {**_PART_DEFAULTS[kind], **part} if kind in _PART_DEFAULTS else part


def listed(items: list[JSON], *, has_more: bool = False) -> JSON:
    """Items as a list object."""
    return {
        "object": "list",
        "data": [shown(item) for item in items],
        "first_id": items[0].get("id") if items else None,
        "last_id": items[-1].get("id") if items else None,
        "has_more": has_more,
    }


def page_of(request: web.Request) -> Page:
    """Read `after`, `limit` and `order` of the query; newest first unless asked otherwise.

    Raises `TurnError` (INVALID_REQUEST) for anything else.
    """
    limit = request.query.get("limit", str(_LIMIT))
    order = request.query.get("order", "desc")
    # Digits without end are a number that Python refuses to read.
    is_number = limit.isascii() and limit.isdigit() and len(limit) < 9
    if not (is_number and 1 <= int(limit) <= LIMIT_MAX):
        raise _refuse("limit", f"limit must be a number from 1 to {LIMIT_MAX}")
    if order not in ("asc", "desc"):
        raise _refuse("order", "order must be asc or desc")
    return Page(request.query.get("after", ""), int(limit), order == "asc")


def _refuse(param: str, message: str) -> TurnError:
    return TurnError(Kind.INVALID_REQUEST, f"Invalid request: {message}.", param=param)
