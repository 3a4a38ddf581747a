from __future__ import annotations

from typing import Any

import pytest

from anyturn.translate.thought_signatures import has_signature, with_signature


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        pytest.param({"google": {"thought_signature": "s"}}, True, id="google"),
        pytest.param({"vertex": {"thought_signature": "s"}}, True, id="vertex"),
        pytest.param({"google": {"thought_signature": ""}}, False, id="empty"),
        pytest.param({"google": {"thought": True}}, False, id="something else"),
        pytest.param({"google": "s", "x": None}, False, id="no namespaces"),
        pytest.param({}, False, id="nothing in it"),
        pytest.param(None, False, id="nothing"),
    ],
)
def test_a_signature_is_found_in_any_namespace_q24(extra: Any, expected: bool) -> None:
    assert has_signature(extra) is expected


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (None, {"google": {"thought_signature": "skip"}}),
        (
            {"google": {"a": 1}, "x": 2},
            {"google": {"a": 1, "thought_signature": "skip"}, "x": 2},
        ),
        ({"google": 5}, {"google": {"thought_signature": "skip"}}),
    ],
    ids=["nothing", "beside other members", "beside nonsense"],
)
def test_a_placeholder_leaves_the_rest_as_it_is_q24(extra: Any, expected: Any) -> None:
    assert with_signature(extra, "skip") == expected
