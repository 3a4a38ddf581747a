from __future__ import annotations

from typing import Any

import pytest

from anyturn.translate.adaptations import Adaptations
from anyturn.translate.relayed_items import Repairs
from anyturn.translate.relayed_responses import Shown, is_unique, same_items, whole_usage
from anyturn.translate.snapshot import response_snapshot

JSON = dict[str, Any]
DETAILS = {
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
}


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 1, "output_tokens": 2}, {"input_tokens": 1, "total_tokens": 3}),
        ({"input_tokens": None, "output_tokens": 2, "total_tokens": 2}, {"input_tokens": 0}),
        ({"input_tokens_details": {"cached_tokens": None}}, DETAILS),
        (
            {"input_tokens_details": {"audio": 3}},
            {"input_tokens_details": {"cached_tokens": 0, "audio": 3}},
        ),
    ],
    ids=["total", "null", "null detail", "more"],
)
def test_usage_is_made_whole(usage: JSON, expected: JSON) -> None:
    """F58."""
    assert expected.items() <= whole_usage(usage).items()


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ([{"id": "a", "type": "x", "more": 1}], True),
        ([{"id": "b", "type": "x"}], False),
        ([], False),
        (None, False),
        ([3], False),
    ],
    ids=["more", "other", "none", "null", "number"],
)
def test_items_are_the_same_when_their_marks_are(output: Any, expected: bool) -> None:
    assert same_items(output, [{"id": "a", "type": "x"}]) is expected


def test_ids_of_counters_are_not_unique() -> None:
    assert not is_unique("resp_12")
    assert is_unique("resp_0123456789abcdef")


def shown(**told: Any) -> tuple[Shown, Adaptations]:
    notes = Adaptations()
    snapshot = response_snapshot({}, response_id="resp_own", created_at=1, model="m")
    return Shown(snapshot, told, Repairs(notes), notes, 40), notes


def test_a_response_that_conforms_is_the_same_object() -> None:
    one, notes = shown()
    response = {"id": "resp_a"}
    assert one.open(response) is response
    assert not notes


def test_a_failure_without_words_gets_some() -> None:
    one, notes = shown()
    ended = one.end({"id": "resp_own"}, "failed", ())
    assert ended["error"]["code"] == "server_error"
    assert {"repair.terminal", "repair.response"} <= {note.rule for note in notes}


def test_what_the_gateway_answers_for_is_no_repair() -> None:
    one, notes = shown(store=True, metadata={})
    assert one.open({"id": "r", "store": False}) == {"id": "r", "store": True}
    assert not notes
