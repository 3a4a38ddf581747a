"""Lists in OpenAI's form, a page at a time."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from anyturn.errors import Kind, TurnError

JSON = dict[str, Any]

LIMIT_MAX = 100
_LIMIT = 20


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
        shown = ordered[start : start + self.limit]
        return listed(shown, has_more=len(ordered) > start + len(shown))


def listed(items: list[JSON], *, has_more: bool = False) -> JSON:
    """Items as a list object."""
    return {
        "object": "list",
        "data": items,
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
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= LIMIT_MAX):
        raise _refuse("limit", f"limit must be a number from 1 to {LIMIT_MAX}")
    if order not in ("asc", "desc"):
        raise _refuse("order", "order must be asc or desc")
    return Page(request.query.get("after", ""), int(limit), order == "asc")


def _refuse(param: str, message: str) -> TurnError:
    return TurnError(Kind.INVALID_REQUEST, f"Invalid request: {message}.", param=param)
