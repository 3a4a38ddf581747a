"""A client's own login, sent on: for providers that are asked as whoever asks us."""

from __future__ import annotations

from collections.abc import Mapping

from anyturn.auth.chatgpt import ACCOUNT_HEADER, claims_or_none
from anyturn.auth.keys import PREFIX
from anyturn.errors import Kind, TurnError
from anyturn.wire.credentials import PassedOn

_LENGTH_MAX = 64 * 1024


def passed_on(headers: Mapping[str, str]) -> PassedOn:
    """What of a client's headers may be sent on: its bearer, and the account that goes with it.

    A key of ours is nobody else's business and stays here.
    """
    scheme, _, bearer = headers.get("Authorization", "").partition(" ")
    bearer = bearer.strip()
    if scheme.lower() != "bearer" or bearer.startswith(PREFIX) or not _can_be_sent(bearer):
        return PassedOn()
    passed = PassedOn({"Authorization": f"Bearer {bearer}"})
    account = headers.get(ACCOUNT_HEADER, "").strip()
    if _can_be_sent(account):
        passed[ACCOUNT_HEADER] = account
    return passed


def account_in(passed: Mapping[str, str]) -> str:
    """Whose login this is, for as long as its tokens change: account and user.

    Empty when the bearer is no ChatGPT login. It is what the token says of itself, unverified: it
    tells callers apart where none of them needs a key, and proves nothing.
    """
    claims = claims_or_none(passed.get("Authorization", "").removeprefix("Bearer "))
    account = passed.get(ACCOUNT_HEADER, claims.account)
    return f"{account} {claims.user}" if claims.account and claims.user else ""


class ClientBearer:
    """Sends the client's own headers on, as a `wire.credentials.TokenSource`."""

    async def headers(self, client: Mapping[str, str]) -> dict[str, str]:
        """Return what the client sent. Raises `TurnError` when that is nothing."""
        if not client:
            raise TurnError(
                Kind.KEY_REFUSED_FOR_GOOD,
                "This provider is asked with the client's own login, and the request has none: "
                "send it as `Authorization: Bearer`, and a key of this gateway, where one is "
                "needed, as `x-api-key`.",
            )
        return dict(client)

    async def renewed(
        self, refused: Mapping[str, str], client: Mapping[str, str]
    ) -> dict[str, str] | None:
        """Return None: only the client can renew its login."""
        return None

    async def close(self) -> None:
        """Nothing is under way here."""


def _can_be_sent(text: str) -> bool:
    plain = text.isascii() and text.isprintable() and " " not in text
    return bool(text) and plain and len(text) <= _LENGTH_MAX
