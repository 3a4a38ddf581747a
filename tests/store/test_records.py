from __future__ import annotations

from anyturn.store.records import MissingLink


def test_a_missing_link_says_which_response_is_not_stored() -> None:
    assert MissingLink("resp_1").id == str(MissingLink("resp_1")) == "resp_1"
