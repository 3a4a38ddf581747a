"""Lists, a page at a time."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from anyturn.errors import Kind, TurnError
from anyturn.server.listing import LIMIT_MAX, Page, listed, page_of
from support.http_clients import JSON

IDS = st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=40)


def items_of(ids: list[str]) -> list[JSON]:
    return [{"id": id, "type": "message"} for id in ids]


@given(IDS, st.integers(1, LIMIT_MAX), st.booleans())
def test_the_pages_put_together_are_the_list(ids: list[str], limit: int, ascending: bool) -> None:
    items = items_of(ids)
    seen: list[JSON] = []
    after, pages = "", 0
    while True:
        page = Page(after, limit, ascending).cut(items)
        seen += page["data"]
        pages += 1
        assert len(page["data"]) <= limit
        if not page["has_more"]:
            break
        assert len(page["data"]) == limit
        after = page["last_id"]
    assert [item["id"] for item in seen] == (ids if ascending else ids[::-1])
    assert pages == max(1, -(-len(items) // limit))


@given(IDS, st.data())
def test_a_page_behind_the_last_item_is_empty_and_the_end(
    ids: list[str], data: st.DataObject
) -> None:
    if not ids:
        return
    ascending = data.draw(st.booleans())
    last = ids[-1] if ascending else ids[0]
    page = Page(last, 5, ascending).cut(items_of(ids))
    assert page == listed([])
    assert (page["data"], page["first_id"], page["last_id"]) == ([], None, None)
    assert page["has_more"] is False


def test_a_page_names_its_first_and_its_last_item() -> None:
    page = Page("a", 2, ascending=True).cut(items_of(["a", "b", "c", "d"]))
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("b", "c", True)


def test_an_item_that_is_not_there_is_named() -> None:
    with pytest.raises(TurnError, match="'zz'") as raised:
        Page("zz", 5, ascending=True).cut(items_of(["a"]))
    assert (raised.value.kind, raised.value.param) == (Kind.INVALID_REQUEST, "after")


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ("", Page("", 20, ascending=False)),
        ("limit=1&order=asc&after=msg_1", Page("msg_1", 1, ascending=True)),
        ("limit=100&order=desc", Page("", 100, ascending=False)),
        ("after=%C3%A4%2F%20", Page("ä/ ", 20, ascending=False)),
        ("before=x&include[]=y", Page("", 20, ascending=False)),
    ],
)
def test_a_query_says_what_is_seen(query: str, page: Page) -> None:
    assert page_of(make_mocked_request("GET", f"/x?{query}")) == page


@pytest.mark.parametrize(
    ("query", "param"),
    [
        *[(f"limit={n}", "limit") for n in ("0", "101", "-1", "1.5", "x", "", "1e1", "%C2%B2")],
        ("limit=" + "9" * 5000, "limit"),
        *[(f"order={order}", "order") for order in ("", "up", "ASC")],
    ],
    ids=lambda text: text[:12],
)
def test_anything_else_is_refused_by_name(query: str, param: str) -> None:
    with pytest.raises(TurnError) as raised:
        page_of(make_mocked_request("GET", f"/x?{query}"))
    assert (raised.value.kind, raised.value.param) == (Kind.INVALID_REQUEST, param)
