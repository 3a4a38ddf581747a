from __future__ import annotations

import base64
import hashlib
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anyturn.auth.chatgpt import (
    CLIENT_ID,
    ISSUER,
    PORTS,
    Claims,
    DamagedLogin,
    ForeignAnswer,
    Pkce,
    Refused,
    Tokens,
    authorize_url,
    claims_or_none,
    code_in,
    decode_codex_login,
    decode_login,
    encode_login,
    ended_words,
    granted,
    headers_of,
    is_expired,
    is_permanent,
    pkce_of,
    read_claims,
    redirect_uri,
    refusal_of,
    state_of,
    tokens_of,
    wants_refresh,
)
from support.authorization_server import ACCOUNT, USER, claims, jwt

NOW = 1_800_000_000.0
ACCESS = jwt(claims(exp=NOW + 3600))
ID = jwt(claims(plan="team"))


def make(**changes: Any) -> Tokens:
    return msgspec.structs.replace(tokens_of(ACCESS, ID, "rt-planted", last_refresh=NOW), **changes)


# ---------------------------------------------------------------- the browser's way


def test_the_challenge_is_the_digest_of_the_verifier() -> None:
    pkce = pkce_of(bytes(range(64)))
    digest = hashlib.sha256(pkce.verifier.encode()).digest()
    assert base64.urlsafe_b64decode(pkce.challenge + "=") == digest
    assert 43 <= len(pkce.verifier) <= 128, "RFC 7636 section 4.1"
    assert pkce.verifier not in repr(pkce)


def test_the_page_of_the_login_is_asked_for_as_it_is_registered_and_in_our_own_name() -> None:
    """F72: no other client's name is used, whatever the account then offers."""
    url = urlsplit(authorize_url(ISSUER, redirect_uri(PORTS[1]), Pkce("v", "c"), "s"))
    assert f"{url.scheme}://{url.netloc}{url.path}" == "https://auth.openai.com/oauth/authorize"
    assert {name: value for name, [value] in parse_qs(url.query).items()} == {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": "http://localhost:1457/auth/callback",
        "scope": "openid profile email offline_access",
        "code_challenge": "c",
        "code_challenge_method": "S256",
        "id_token_add_organizations": "true",
        "codex_cli_simplified_flow": "true",
        "state": "s",
        "originator": "anyturn",
    }


def test_a_code_counts_with_our_state_only() -> None:
    state = state_of(b"x" * 32)
    assert code_in({"state": state, "code": "c"}, state) == "c"
    for foreign in ({}, {"code": "c"}, {"state": "é\udc80", "code": "c"}, {"state": state}):
        with pytest.raises(ForeignAnswer):
            code_in(foreign, state)
    with pytest.raises(ForeignAnswer):
        code_in({"state": "other", "error": "access_denied"}, state)


@pytest.mark.parametrize(
    ("error", "shown"),
    [("access_denied", "access_denied"), ("<script>", "unknown"), ("x" * 65, "unknown")],
)
def test_a_refusal_is_said_by_its_code_and_nothing_else_of_it(error: str, shown: str) -> None:
    with pytest.raises(Refused) as caught:
        code_in({"state": "s", "error": error, "error_description": "secret words"}, "s")
    assert str(caught.value) == f"The login was refused ({shown}). Nothing was changed."


# ---------------------------------------------------------------- tokens


def test_a_token_says_account_user_plan_and_when_it_ends() -> None:
    assert read_claims(ACCESS) == Claims(ACCOUNT, USER, "plus", NOW + 3600)
    assert read_claims(jwt({"sub": "auth0|1"})) == Claims(user="auth0|1")


@pytest.mark.parametrize("exp", [True, "1", None, -1, 1e300, [], 10**400])
def test_an_end_that_is_no_moment_is_none(exp: Any) -> None:
    token = jwt({"exp": 0}).split(".")
    raw = b'{"exp":%d}' % exp if exp == 10**400 else msgspec.json.encode({"exp": exp})
    token[1] = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    assert claims_or_none(".".join(token)).expires_at is None


@given(st.text() | st.binary().map(lambda raw: f"a.{base64.urlsafe_b64encode(raw).decode()}.b"))
@example("a..b")
@example("a." + base64.urlsafe_b64encode(b"[" * 10_000).decode() + ".b")
@example("a." + base64.urlsafe_b64encode(b"[]").decode() + ".b")
def test_anything_is_read_as_claims_or_complained_about(token: str) -> None:
    with suppress(DamagedLogin):
        read_claims(token)
    assert isinstance(claims_or_none(token), Claims)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
    st.sampled_from(["exp", "sub", "https://api.openai.com/auth", "account"]),
)
def test_claims_of_any_type_are_read(value: Any, name: str) -> None:
    if name == "account":
        said = {"https://api.openai.com/auth": {"chatgpt_account_id": value}}
    else:
        said = {name: value}
    try:
        found = read_claims(jwt(said))
    except DamagedLogin:
        return
    assert found.account.isprintable()
    assert found.expires_at is None or 0 <= found.expires_at < 1e11


@pytest.mark.parametrize(
    ("left_s", "wants", "over"),
    [(310, False, False), (290, True, False), (0, True, True), (-1, True, True)],
)
def test_tokens_are_renewed_five_minutes_before_they_end(
    left_s: float, wants: bool, over: bool
) -> None:
    tokens = make(expires_at=NOW + left_s)
    assert (wants_refresh(tokens, NOW), is_expired(tokens, NOW)) == (wants, over)


def test_tokens_that_say_no_end_are_renewed_after_eight_days() -> None:
    tokens = make(expires_at=None)
    assert not wants_refresh(tokens, NOW + 7.9 * 86400)
    assert wants_refresh(tokens, NOW + 8.1 * 86400)
    assert wants_refresh(make(expires_at=None, last_refresh=None), NOW)
    assert not is_expired(tokens, NOW + 1e9)


def test_a_request_says_who_we_are_and_for_which_account() -> None:
    """F72: no disguise."""
    assert headers_of(make()) == {
        "Authorization": f"Bearer {ACCESS}",
        "chatgpt-account-id": ACCOUNT,
        "originator": "anyturn",
    }


@pytest.mark.parametrize(
    ("access", "id_token", "account", "words"),
    [
        ("", ID, "", "access token"),
        ("a b", ID, "", "access token"),
        ("a\r\nX: y", ID, "", "access token"),
        ("ü", ID, "", "access token"),
        ("opaque", "opaque", "", "which ChatGPT account"),
        (ACCESS, ID, "a b", "account id"),
    ],
)
def test_a_login_that_no_request_can_be_made_with_is_none(
    access: str, id_token: str, account: str, words: str
) -> None:
    with pytest.raises(DamagedLogin, match=words) as caught:
        tokens_of(access, id_token, account_id=account)
    assert ID not in str(caught.value)


# ---------------------------------------------------------------- the server's words


def test_what_a_renewal_leaves_out_stays() -> None:
    new = granted(msgspec.json.encode({"access_token": "other"}), ISSUER, NOW + 9.5, make())
    assert (new.access_token, new.refresh_token, new.id_token) == ("other", "rt-planted", ID)
    assert (new.account_id, new.last_refresh) == (ACCOUNT, NOW + 9)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"access_token":1}', b"<html>", b'{"id_token":"x"}']
)
def test_an_answer_that_is_no_login_is_said(body: bytes) -> None:
    with pytest.raises(DamagedLogin):
        granted(body, ISSUER, NOW)


@given(st.binary())
@example(b"[" * 10_000)
@example(b'{"error":{"code":1}}')
def test_any_refusal_has_a_code_that_can_be_shown_or_none(body: bytes) -> None:
    code = refusal_of(body)
    assert len(code) <= 64 and code.isascii() and code.isprintable()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": {"code": "refresh_token_reused"}}, "refresh_token_reused"),
        ({"error": "invalid_grant", "error_description": "x"}, "invalid_grant"),
        ({"code": "slow_down"}, "slow_down"),
        ({"error": {"type": "server_error", "code": None}}, "server_error"),
    ],
)
def test_a_code_is_found_in_every_shape(body: Any, code: str) -> None:
    assert refusal_of(msgspec.json.encode(body)) == code


@pytest.mark.parametrize(
    ("status", "code", "permanent"),
    [
        (400, "refresh_token_expired", True),
        (400, "refresh_token_reused", True),
        (400, "refresh_token_invalidated", True),
        (400, "invalid_grant", True),
        (401, "", True),
        (400, "invalid_request", False),
        (403, "", False),
        (429, "", False),
        (500, "server_error", False),
    ],
)
def test_only_some_refusals_are_for_good(status: int, code: str, permanent: bool) -> None:
    assert is_permanent(status, code) == permanent


@pytest.mark.parametrize("code", ["refresh_token_reused", "strange", ""])
def test_the_end_of_a_login_says_what_to_do(code: str) -> None:
    assert ended_words(code).endswith("Log in again: anyturn login chatgpt.")


# ---------------------------------------------------------------- the files


def test_a_login_is_read_as_it_was_written() -> None:
    for tokens in (make(), make(problem="refresh_token_reused"), make(last_refresh=None)):
        assert decode_login(encode_login(tokens)) == tokens


def test_tokens_show_themselves_in_no_repr() -> None:
    assert repr(make()) == "<Tokens>"
    assert ACCESS not in str([make()])


@given(st.binary())
@example(b"[" * 10_000)
@example(encode_login(make())[:-5])
@example(encode_login(make(problem="<b>")))
def test_any_file_is_a_login_or_a_complaint(data: bytes) -> None:
    for read in (decode_login, decode_codex_login):
        with pytest.raises(DamagedLogin) as caught:
            read(data)
        assert "planted" not in str(caught.value)


@given(st.binary(min_size=1, max_size=4), st.integers(0, len(encode_login(make()))))
def test_a_file_with_damage_is_a_login_or_a_complaint(noise: bytes, at: int) -> None:
    data, said = encode_login(make()), ""
    try:
        decode_login(data[:at] + noise + data[at + len(noise) :])
    except DamagedLogin as complaint:
        said = str(complaint)
    assert "planted" not in said
    assert ACCESS not in said


CODEX = {
    "auth_mode": "chatgpt",
    "OPENAI_API_KEY": None,
    "tokens": {
        "id_token": ID,
        "access_token": ACCESS,
        "refresh_token": "rt-of-codex",
        "account_id": "acc-other",
    },
    "last_refresh": "2026-11-01T00:00:00Z",
    "agent_identity": {},
}


def test_codex_login_is_read_without_its_refresh_token() -> None:
    tokens = decode_codex_login(msgspec.json.encode(CODEX))
    assert (tokens.access_token, tokens.account_id, tokens.plan) == (ACCESS, "acc-other", "team")
    assert tokens.refresh_token == ""


def test_codex_login_without_an_account_id_takes_the_one_of_its_token() -> None:
    tokens = {**CODEX["tokens"], "account_id": None}  # type: ignore[dict-item]
    assert (
        decode_codex_login(msgspec.json.encode({**CODEX, "tokens": tokens})).account_id == ACCOUNT
    )


def test_an_api_key_of_codex_is_no_login() -> None:
    with pytest.raises(DamagedLogin, match="API key"):
        decode_codex_login(b'{"OPENAI_API_KEY":"sk-planted"}')
