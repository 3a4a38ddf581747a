from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.auth.client_bearer import ClientBearer, account_in, passed_on
from anyturn.errors import Kind, TurnError
from support.authorization_server import ACCOUNT, USER, claims, jwt

BEARER = {"Authorization": "Bearer at-planted"}


def test_a_bearer_and_its_account_are_passed_on_and_nothing_else() -> None:
    sent = {**BEARER, "chatgpt-account-id": "acc", "Cookie": "c", "x-api-key": "any_1"}
    passed = passed_on(sent)
    assert passed == {**BEARER, "chatgpt-account-id": "acc"}
    assert "planted" not in repr(passed)


@pytest.mark.parametrize(
    "value",
    ["", "Bearer ", "Bearer any_0123", "Basic eA==", "Bearer a b", "Bearer é", "Bearer \udc80"],
)
def test_a_key_of_ours_and_what_is_no_bearer_stay_here(value: str) -> None:
    assert passed_on({"Authorization": value, "chatgpt-account-id": "acc"}) == {}


@given(st.dictionaries(st.sampled_from(["Authorization", "chatgpt-account-id"]), st.text()))
def test_only_what_a_header_can_hold_is_passed_on(headers: dict[str, str]) -> None:
    for value in passed_on(headers).values():
        assert value.isascii() and value.isprintable()


async def test_a_client_without_a_login_is_told_where_it_belongs() -> None:
    source = ClientBearer()
    assert await source.headers(BEARER) == BEARER
    assert await source.renewed(BEARER, BEARER) is None
    with pytest.raises(TurnError, match="x-api-key") as caught:
        await source.headers({})
    assert caught.value.kind is Kind.KEY_REFUSED_FOR_GOOD


def bearer(**more: object) -> dict[str, str]:
    return {"Authorization": f"Bearer {jwt(claims(**more))}"}  # type: ignore[arg-type]


def test_an_account_stays_the_same_while_its_tokens_change() -> None:
    assert account_in(bearer(exp=1)) == account_in(bearer(exp=2)) == f"{ACCOUNT} {USER}"
    others = {account_in(bearer(account="b")), account_in(bearer(user="b"))}
    others.add(account_in({**bearer(), "chatgpt-account-id": "workspace"}))
    assert len({*others, account_in(bearer())}) == 4


def test_what_is_no_login_has_no_account() -> None:
    no_user = {"Authorization": f"Bearer {jwt({'https://api.openai.com/auth': {}})}"}
    for passed in ({}, BEARER, {**BEARER, "chatgpt-account-id": "acc"}, no_user):
        assert account_in(passed) == ""
