from __future__ import annotations

from typing import Any

import pytest

import anyturn
from anyturn.auth.chatgpt import ISSUER, LoginError, Refused, Tokens, Unavailable, tokens_of
from anyturn.auth.chatgpt_issuer import Grant, Issuer
from support.authorization_server import ACCOUNT, CLIENT, AuthorizationServer


def tokens(server: AuthorizationServer) -> Tokens:
    return tokens_of(**server.login(), issuer=server.url)


def test_nothing_said_means_the_real_one() -> None:
    assert Issuer().url == Issuer("").url == ISSUER == "https://auth.openai.com"


async def test_a_refresh_is_asked_for_as_json_under_our_own_name(
    server: AuthorizationServer, issuer: Issuer
) -> None:
    """F72: the User-Agent is ours."""
    old = tokens(server)
    new = await issuer.refresh(old, "proactive_expiry")
    (asked,) = server.posts()
    assert asked.body == {
        "client_id": CLIENT,
        "grant_type": "refresh_token",
        "refresh_token": old.refresh_token,
        "refresh_reason": "proactive_expiry",
    }
    assert asked.headers["User-Agent"] == f"anyturn/{anyturn.__version__}"
    assert new.refresh_token not in ("", old.refresh_token)
    assert new.account_id == ACCOUNT
    assert new.last_refresh is not None


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ((401, {"error": {"code": "refresh_token_expired"}}), Refused, "has expired"),
        ((400, {"error": "invalid_grant"}), Refused, "invalid_grant"),
        ((401, b""), Refused, "no reason"),
        ((400, {"error": "invalid_request"}), Unavailable, "HTTP 400"),
        ((500, b"<html>"), Unavailable, "HTTP 500"),
        ((429, {}), Unavailable, "HTTP 429"),
        ((302, b""), Unavailable, "HTTP 302"),
        ((200, b"<html>"), Unavailable, "cannot be used"),
        ((200, {"access_token": "a b"}), Unavailable, "cannot be used"),
        ((200, b"x" * 1_100_000), Unavailable, "too long"),
    ],
    ids=str,
)
async def test_a_refresh_that_fails_says_whether_for_good(
    server: AuthorizationServer, issuer: Issuer, answer: Any, error: type[LoginError], words: str
) -> None:
    old = tokens(server)
    server.answers = [answer]
    with pytest.raises(error, match=words) as caught:
        await issuer.refresh(old, "proactive_expiry")
    assert type(caught.value) is error
    assert not any(secret in str(caught.value) for secret in server.secrets)


async def test_a_server_that_is_silent_or_gone_is_said(server: AuthorizationServer) -> None:
    old = tokens(server)
    server.may_answer.clear()
    with pytest.raises(Unavailable, match=r"did not answer within 0\.05 s"):
        await Issuer(server.url, timeout_s=0.05).refresh(old, "proactive_expiry")
    with pytest.raises(Unavailable, match="cannot be reached"):
        await Issuer("http://127.0.0.1:1").refresh(old, "proactive_expiry")


async def test_a_code_that_is_not_ours_is_refused(
    server: AuthorizationServer, issuer: Issuer
) -> None:
    with pytest.raises(Refused, match="invalid_grant"):
        await issuer.exchange(Grant("code", "verifier", "http://localhost:1455/auth/callback"))


async def test_a_revoked_login_cannot_be_renewed(
    server: AuthorizationServer, issuer: Issuer
) -> None:
    old = tokens(server)
    await issuer.revoke(old)
    with pytest.raises(Refused, match="logout") as caught:
        await issuer.refresh(old, "proactive_expiry")
    assert caught.value.code == "refresh_token_invalidated"


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [("7", 7), (7, 7), (None, 5), ("soon", 5), ("nan", 5), ("-1", 0), (1e9, 60)],
)
async def test_the_pause_of_a_device_is_what_the_server_says_within_reason(
    server: AuthorizationServer, issuer: Issuer, stated: Any, seconds: float
) -> None:
    server.device_interval = stated
    device = await issuer.device_code()
    assert device.interval_s == seconds
    assert device.url == f"{server.url}/codex/device"
    assert device.user_code not in repr(device)


@pytest.mark.parametrize(
    ("pause", "longer"),
    [
        ((403, {}), 0),
        ((404, {}), 0),
        ((400, {"error": "authorization_pending"}), 0),
        ((400, {"error": "slow_down"}), 5),
        ((429, {}), 5),
    ],
    ids=str,
)
async def test_a_code_that_nobody_typed_yet_is_waited_for(
    server: AuthorizationServer, issuer: Issuer, pause: Any, longer: float
) -> None:
    server.device_pauses = [pause]
    device = await issuer.device_code()
    assert await issuer.device_grant(device) == longer
    assert isinstance(await issuer.device_grant(device), Grant)


@pytest.mark.parametrize(
    ("pause", "error"),
    [
        ((403, {"error": "access_denied"}), Refused),
        ((400, {"error": {"code": "expired_token"}}), Refused),
        ((400, {}), Refused),
        ((500, {}), Unavailable),
    ],
    ids=str,
)
async def test_a_device_that_is_refused_ends(
    server: AuthorizationServer, issuer: Issuer, pause: Any, error: type[LoginError]
) -> None:
    server.device_pauses = [pause]
    device = await issuer.device_code()
    with pytest.raises(error):
        await issuer.device_grant(device)


async def test_a_server_without_devices_says_so(
    server: AuthorizationServer, issuer: Issuer
) -> None:
    server.devices = False
    with pytest.raises(Refused, match="knows no login by device"):
        await issuer.device_code()
