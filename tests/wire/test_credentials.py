from __future__ import annotations

from anyturn.wire.credentials import NOTHING_PASSED, PassedOn


def test_what_is_passed_on_shows_itself_in_no_repr() -> None:
    passed = PassedOn(Authorization="Bearer planted")
    assert "planted" not in f"{passed!r} {passed}"
    assert passed == {"Authorization": "Bearer planted"}
    assert not NOTHING_PASSED
