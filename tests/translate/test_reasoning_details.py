from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.translate.envelope import MAX_BYTES
from anyturn.translate.reasoning_details import ReasoningDetails

JSON = dict[str, Any]


def merged(*chunks: Any) -> list[JSON]:
    details = ReasoningDetails()
    for pieces in chunks:
        details.add(pieces)
    return details.whole()


def one_by_one(*pieces: Any) -> list[JSON]:
    return merged(*([piece] for piece in pieces))


def text(words: Any = None, **members: Any) -> JSON:
    return {"type": "reasoning.text", **({"text": words} if words is not None else {}), **members}


def summary(words: str, **members: Any) -> JSON:
    return {"type": "reasoning.summary", "summary": words, **members}


def encrypted(data: str, **members: Any) -> JSON:
    return {"type": "reasoning.encrypted", "data": data, **members}


CLAUDE = {"format": "anthropic-claude-v1", "index": 0}


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        pytest.param(
            [text("", signature="", **CLAUDE), text("So", **CLAUDE), text(" it is.", **CLAUDE)],
            [text("So it is.", signature="", **CLAUDE)],
            id="text in pieces",
        ),
        pytest.param(
            [text("So", **CLAUDE), text(signature="sig", **CLAUDE)],
            [text("So", signature="sig", **CLAUDE)],
            id="the signature comes last",
        ),
        pytest.param(
            [text("", signature="sig"), text("a"), text("b")],
            [text("ab", signature="sig")],
            id="the signature comes first",
        ),
        pytest.param(
            [text("a", signature="sig"), text("b", signature="sig")],
            [text("ab", signature="sig")],
            id="the signature comes with every piece",
        ),
        pytest.param(
            [text("a", signature="one"), text("b", signature="two")],
            [text("a", signature="one"), text("b", signature="two")],
            id="two signed blocks in a row",
        ),
        pytest.param(
            [text("a"), text(signature="one"), text("b"), text(signature="two")],
            [text("a", signature="one"), text("b", signature="two")],
            id="words behind a signature are another block",
        ),
        pytest.param(
            [text(signature="one"), text("b"), text(signature="two")],
            [text(signature="one"), text("b", signature="two")],
            id="a signature of words in an earlier item",
        ),
        pytest.param(
            [summary("a", index=0), summary("b", index=0)], [summary("ab", index=0)], id="summary"
        ),
        pytest.param(
            [
                summary("a", index=0),
                encrypted("x", id="rs_1", index=0),
                summary("b", index=0),
                encrypted("y", id="rs_2", index=0),
            ],
            [
                summary("a", index=0),
                encrypted("x", id="rs_1", index=0),
                summary("b", index=0),
                encrypted("y", id="rs_2", index=0),
            ],
            id="blocks under one index, told apart by their types",
        ),
        pytest.param(
            [text("a", index=0), text("x", index=1), text("b", index=0), text("y", index=1)],
            [text("ab", index=0), text("xy", index=1)],
            id="two indexes in turns",
        ),
        pytest.param(
            [text("a", id="t1"), text("b", id="t1"), text("c", id="t2")],
            [text("ab", id="t1"), text("c", id="t2")],
            id="ids tell blocks apart",
        ),
        pytest.param(
            [text("a", id=None, format=None), text("b", id="t1", format="unknown")],
            [text("ab", id="t1", format="unknown")],
            id="id and format from whichever piece has them",
        ),
        pytest.param(
            [text("a", format="one"), text("b", format="two")],
            [text("a", format="one"), text("b", format="two")],
            id="formats tell blocks apart",
        ),
        pytest.param(
            [encrypted("ab", id="e"), encrypted("cd", id="e")],
            [encrypted("abcd", id="e")],
            id="data goes on under its id",
        ),
        pytest.param(
            [encrypted("ab", index=0), encrypted("cd", index=0)],
            [encrypted("ab", index=0), encrypted("cd", index=0)],
            id="data without an id is whole",
        ),
        pytest.param(
            [{"text": "a"}, {"text": "b"}], [{"text": "ab"}], id="MiniMax: text without a type"
        ),
        pytest.param([text("a"), text("a")], [text("aa")], id="equal pieces are no repeat"),
        pytest.param(
            [{"type": "new", "x": [1]}, {"type": "new", "x": [2]}],
            [{"type": "new", "x": [1]}, {"type": "new", "x": [2]}],
            id="an unknown type comes whole",
        ),
        pytest.param([text("a"), text(5)], [text("a"), text(5)], id="words of a wrong type"),
        pytest.param([text(""), encrypted("", id="e"), {}], [], id="nothing said"),
    ],
)
def test_pieces_are_put_together_q18(pieces: list[JSON], expected: list[JSON]) -> None:
    assert one_by_one(*pieces) == expected
    assert merged(pieces) == expected


@pytest.mark.parametrize(
    ("pieces", "again"),
    [
        pytest.param([encrypted("x", id="e")], [encrypted("x", id="e")], id="encrypted, by id"),
        pytest.param([encrypted("x", index=0)], [encrypted("x", index=0)], id="encrypted, by data"),
        pytest.param(
            [text("a"), text("b", signature="s")], [text("ab", signature="s")], id="signed text"
        ),
        pytest.param(
            [text("a"), text("b"), encrypted("x")],
            [text("ab"), encrypted("x")],
            id="the whole list at the end",
        ),
        pytest.param([{"type": "new"}], [{"type": "new"}], id="an unknown type"),
    ],
)
def test_a_repeat_is_told_once_q18(pieces: list[JSON], again: list[JSON]) -> None:
    assert merged(pieces, again) == merged(pieces)


@pytest.mark.parametrize(
    "pieces", [None, "x", 5, {"type": "reasoning.text"}, [None, "x", [text("a")]]]
)
def test_what_is_no_list_of_objects_is_passed_over(pieces: Any) -> None:
    assert merged(pieces) == []


def test_more_than_a_seal_can_hold_is_not_kept() -> None:
    details = ReasoningDetails()
    size = sum(details.add([text("x" * 1000)]) for _ in range(MAX_BYTES // 1000))
    assert details.is_too_large
    assert details.whole() == []
    assert size > MAX_BYTES


def test_a_detail_that_cannot_be_written_is_none() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    assert merged([{"type": "new", "x": nested}]) == []


# ---------------------------------------------------------------- any pieces

BLOCKS = [
    st.fixed_dictionaries(
        {
            "type": st.just("reasoning.text"),
            "text": st.text(min_size=1),
            "signature": st.text("ab", min_size=1),
        },
        optional={"format": st.just("anthropic-claude-v1"), "index": st.integers(0, 2)},
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("reasoning.summary"),
            "summary": st.text(min_size=1),
            "id": st.text("xyz", min_size=1),
        },
        optional={"index": st.integers(0, 2)},
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("reasoning.encrypted"),
            "data": st.text(min_size=1),
            "id": st.text("xyz", min_size=1),
        },
    ),
]


def _identity(detail: JSON) -> tuple[Any, ...]:
    return (detail["type"], detail.get("signature"), detail.get("id"))


blocks = st.lists(st.one_of(BLOCKS), min_size=1, max_size=5, unique_by=_identity)
_WORDS = {"reasoning.text": "text", "reasoning.summary": "summary", "reasoning.encrypted": "data"}


def test_what_comes_behind_a_signature_is_of_the_next_block_even_if_it_is_empty() -> None:
    first = {"type": "reasoning.text", "text": "0"}
    form = {"type": "reasoning.text", "format": "anthropic-claude-v1"}
    pieces = [first, {"type": "reasoning.text", "signature": "b"}, {**form, "text": ""}]
    more = [{**form, "text": "1"}, {**form, "signature": "a"}]
    assert merged(pieces, more) == [
        {**first, "signature": "b"},
        {**form, "text": "1", "signature": "a"},
    ]


@given(blocks, st.data())
def test_every_split_of_the_details_is_put_together_again_q18(
    details: list[JSON], data: st.DataObject
) -> None:
    pieces = [piece for detail in details for piece in data.draw(_split(detail))]
    cuts = data.draw(st.lists(st.integers(0, len(pieces)), max_size=4).map(sorted))
    edges = [0, *cuts, len(pieces)]
    assert merged(*(pieces[a:b] for a, b in pairwise(edges))) == details


@st.composite
def _split(draw: st.DrawFn, detail: JSON) -> list[JSON]:
    """A detail in pieces: each has a part of the words, the last one the signature."""
    member = _WORDS[detail["type"]]
    words = detail[member]
    cuts = sorted(draw(st.lists(st.integers(0, len(words)), max_size=4)))
    edges = [0, *cuts, len(words)]
    always = {k: v for k, v in detail.items() if k not in (member, "signature")}
    pieces = [{**always, member: words[a:b]} for a, b in pairwise(edges)]
    # A repeat of whole data is no piece of it.
    if len({piece[member] for piece in pieces if piece[member]}) == 1:
        pieces = [{**always, member: words}]
    if signature := detail.get("signature"):
        if draw(st.booleans()):
            pieces[-1]["signature"] = signature
        else:
            pieces.append({**always, "signature": signature})
    return pieces


@given(blocks, st.integers(0, 5))
def test_what_was_put_together_in_two_halves_is_the_same_q18(details: list[JSON], at: int) -> None:
    """An item that is done carries what came until then; the rest comes in another one."""
    pieces = [piece for detail in details for piece in _halves(detail)]
    first, second = merged(pieces[:at]), merged(pieces[at:])
    assert merged(first, second) == details


def _halves(detail: JSON) -> list[JSON]:
    signature = {k: v for k, v in detail.items() if k == "signature"}
    rest = {k: v for k, v in detail.items() if k != "signature"}
    bare = {k: v for k, v in rest.items() if k not in _WORDS.values()}
    return [rest, {**bare, **signature}] if signature else [rest]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
odd_members = st.dictionaries(
    st.sampled_from(["type", "text", "summary", "data", "signature", "id", "format", "index", "x"]),
    json_values | st.sampled_from(list(_WORDS)),
)


@given(st.lists(st.lists(odd_members | json_values) | json_values, max_size=6))
def test_any_json_may_stand_there(chunks: list[Any]) -> None:
    msgspec.json.encode(merged(*chunks))
