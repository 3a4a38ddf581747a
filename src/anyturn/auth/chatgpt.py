"""The ChatGPT login without I/O: addresses, PKCE, what tokens say, what the files hold.

Tokens are read and not verified: whoever may verify them is the server that they are sent to.
Facts: clients.md section 3.1.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec

ISSUER = "https://auth.openai.com"
CLIENT_ID = "app_EMoamEEZ73f0CkXaXp7hrann"
PORTS = (1455, 1457)
"""Where the browser may come back to: the only ports that are registered."""
BACKEND_HOST = "chatgpt.com"
ACCOUNT_HEADER = "chatgpt-account-id"
ORIGINATOR = "anyturn"
"""Who we are. No other client's name is used, whatever models that may cost (F72)."""

# Five minutes before they end, tokens are renewed; those that do not say when, after eight days.
REFRESH_BEFORE_S = 300.0
REFRESH_AFTER_S = 8 * 24 * 3600.0

_SCOPE = "openid profile email offline_access"
_CLAIM = "https://api.openai.com/auth"
_RANDOM_BYTES = 64
_SENDABLE = re.compile(r"[\x21-\x7e]+")
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# The year 5138; a float beyond has no date.
_LATEST = 1e11
_AGAIN = "Log in again: anyturn login chatgpt"

_PERMANENT = {
    "refresh_token_expired": "its refresh token has expired",
    "refresh_token_reused": "its refresh token was used by another program, or by a copy of it",
    "refresh_token_invalidated": "it was ended, by a logout or a new password",
}


class LoginError(Exception):
    """There is no login that can be used. `str()` is a sentence that says what to do."""


class Unavailable(LoginError):
    """The authorization server cannot be asked now; what we have stays as it is."""


class Refused(LoginError):
    """The authorization server says no. `code` is its word for why."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class DamagedLogin(ValueError):
    """The bytes are no login. `str()` says why, for the end of a sentence; no token is in it."""


class ForeignAnswer(Exception):
    """A request to our callback that does not belong to this login."""


# ---------------------------------------------------------------- the browser's way


class Pkce(msgspec.Struct, frozen=True):
    """A secret and its digest (RFC 7636): only who began a login can end it."""

    verifier: str
    challenge: str

    def __repr__(self) -> str:
        return "<Pkce>"


def pkce_of(random: bytes) -> Pkce:
    """The secret that 64 random bytes make."""
    assert len(random) == _RANDOM_BYTES
    verifier = _base64url(random)
    return Pkce(verifier, _base64url(hashlib.sha256(verifier.encode("ascii")).digest()))


def state_of(random: bytes) -> str:
    """What tells our own callback from anybody else's."""
    return _base64url(random)


def redirect_uri(port: int) -> str:
    """Where the browser comes back to. The name must be localhost: that is what is registered."""
    return f"http://localhost:{port}/auth/callback"


def authorize_url(issuer: str, redirect: str, pkce: Pkce, state: str) -> str:
    """The page on which the user logs in."""
    query = {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": redirect,
        "scope": _SCOPE,
        "code_challenge": pkce.challenge,
        "code_challenge_method": "S256",
        "id_token_add_organizations": "true",
        "codex_cli_simplified_flow": "true",
        "state": state,
        "originator": ORIGINATOR,
    }
    return f"{issuer}/oauth/authorize?{urlencode(query)}"


def code_in(query: Mapping[str, str], state: str) -> str:
    """The code that the browser brings.

    Raises `ForeignAnswer` when it is not of this login, and `Refused` when the user or the server
    said no.
    """
    given = query.get("state", "").encode("utf-8", "surrogateescape")
    if not hmac.compare_digest(given, state.encode("ascii")):
        raise ForeignAnswer
    if "error" in query:
        code = shown_code(query["error"])
        raise Refused(code, f"The login was refused ({code}). Nothing was changed.")
    if not (code := query.get("code", "")):
        raise ForeignAnswer
    return code


# ---------------------------------------------------------------- tokens


class Claims(msgspec.Struct, frozen=True):
    """What a token says of itself, unverified; empty where it says nothing."""

    account: str = ""
    user: str = ""
    plan: str = ""
    expires_at: float | None = None


def read_claims(token: str) -> Claims:
    """Read the claims of a JWT. Raises `DamagedLogin` for anything else."""
    parts = token.split(".")
    if len(parts) != 3:
        raise DamagedLogin("a token in it is no JWT")
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        said = msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, msgspec.MsgspecError, ValueError, RecursionError):
        raise DamagedLogin("a token in it is no JWT") from None
    if not isinstance(said, dict):
        raise DamagedLogin("a token in it is no JWT")
    return _claims(said)


def _claims(said: dict[str, Any]) -> Claims:
    own = said.get(_CLAIM)
    own = own if isinstance(own, dict) else {}
    return Claims(
        _word(own.get("chatgpt_account_id")),
        _word(own.get("chatgpt_user_id")) or _word(own.get("user_id")) or _word(said.get("sub")),
        _word(own.get("chatgpt_plan_type")),
        _moment(said.get("exp")),
    )


def claims_or_none(token: str) -> Claims:
    """What a token says, and nothing for one that is no JWT."""
    try:
        return read_claims(token)
    except DamagedLogin:
        return Claims()


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """A login. `problem` is the server's code for why it cannot be renewed any more."""

    access_token: str
    account_id: str
    refresh_token: str = ""
    id_token: str = ""
    plan: str = ""
    expires_at: float | None = None
    last_refresh: float | None = None
    issuer: str = ISSUER
    problem: str = ""

    def __repr__(self) -> str:
        return "<Tokens>"


def tokens_of(
    access_token: str, id_token: str, refresh_token: str = "", account_id: str = "", **rest: Any
) -> Tokens:
    """Put a login together. Raises `DamagedLogin` when no request could be made with it."""
    if not _SENDABLE.fullmatch(access_token):
        raise DamagedLogin("its access token is none")
    own, access = claims_or_none(id_token), claims_or_none(access_token)
    account_id = account_id or own.account or access.account
    if not account_id:
        raise DamagedLogin("it does not say which ChatGPT account it is for")
    if not _SENDABLE.fullmatch(account_id):
        raise DamagedLogin("its account id is none")
    return Tokens(
        access_token=access_token,
        refresh_token=refresh_token,
        id_token=id_token,
        account_id=account_id,
        plan=own.plan or access.plan,
        expires_at=access.expires_at,
        **rest,
    )


def headers_of(tokens: Tokens) -> dict[str, str]:
    """What a request to the provider needs."""
    return {
        "Authorization": f"Bearer {tokens.access_token}",
        ACCOUNT_HEADER: tokens.account_id,
        "originator": ORIGINATOR,
    }


def is_expired(tokens: Tokens, now: float) -> bool:
    """Whether the access token is known to be over."""
    return tokens.expires_at is not None and tokens.expires_at <= now


def wants_refresh(tokens: Tokens, now: float) -> bool:
    """Whether it is time for new tokens."""
    if tokens.expires_at is not None:
        return tokens.expires_at - now < REFRESH_BEFORE_S
    return tokens.last_refresh is None or now - tokens.last_refresh > REFRESH_AFTER_S


# ---------------------------------------------------------------- the authorization server's words


class _Granted(msgspec.Struct, frozen=True):
    access_token: str = ""
    id_token: str = ""
    refresh_token: str = ""


def granted(body: bytes, issuer: str, now: float, before: Tokens | None = None) -> Tokens:
    """Read the answer of the token endpoint; what it leaves out stays as it was `before`.

    Raises `DamagedLogin`.
    """
    try:
        new = msgspec.json.decode(body, type=_Granted)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise DamagedLogin("its form is unknown") from None
    old = before or Tokens(access_token="", account_id="")
    refresh_token = new.refresh_token or old.refresh_token
    if not refresh_token:
        raise DamagedLogin("it has no refresh token")
    return tokens_of(
        new.access_token or old.access_token,
        new.id_token or old.id_token,
        refresh_token,
        old.account_id,
        last_refresh=float(int(now)),
        issuer=issuer,
    )


def refusal_of(body: bytes) -> str:
    """The code of an error that the authorization server answered with, in any of its shapes."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""
    error = said.get("error", said) if isinstance(said, dict) else None
    if isinstance(error, dict):
        error = error.get("code") or error.get("type")
    return shown_code(error) if isinstance(error, str) else ""


def is_permanent(status: int, code: str) -> bool:
    """Whether a refresh that was refused like this will be refused for ever."""
    return status == 401 or code in _PERMANENT or code == "invalid_grant"


def ended_words(code: str) -> str:
    """Say that a login cannot be renewed, and what to do."""
    reason = _PERMANENT.get(code, f"the authorization server refuses it ({code or 'no reason'})")
    return f"The ChatGPT login has ended: {reason}. {_AGAIN}."


def shown_code(text: str) -> str:
    """An error code, fit to be shown: nothing else that a server or a page may have put there."""
    return text if _CODE.fullmatch(text) else "unknown"


# ---------------------------------------------------------------- the files


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    issuer: str
    account_id: str
    access_token: str
    refresh_token: Annotated[str, msgspec.Meta(min_length=1)]
    id_token: str
    last_refresh: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    problem: str = ""


def encode_login(tokens: Tokens) -> bytes:
    """Write the content of our own login file."""
    moment = tokens.last_refresh
    content = _Content(
        1,
        tokens.issuer,
        tokens.account_id,
        tokens.access_token,
        tokens.refresh_token,
        tokens.id_token,
        None if moment is None else datetime.fromtimestamp(moment, UTC),
        tokens.problem,
    )
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def decode_login(data: bytes) -> Tokens:
    """Read the content of our own login file. Raises `DamagedLogin`, whatever the bytes are."""
    content = _decode(data, _Content)
    if content.problem and not _CODE.fullmatch(content.problem):
        raise DamagedLogin("it does not have the form of a login")
    return tokens_of(
        content.access_token,
        content.id_token,
        content.refresh_token,
        content.account_id,
        last_refresh=_timestamp(content.last_refresh),
        issuer=content.issuer,
        problem=content.problem,
    )


class _CodexTokens(msgspec.Struct, frozen=True):
    # Its refresh token is single use and Codex's own: it is not even read.
    access_token: str
    id_token: str = ""
    account_id: str | None = None


class _CodexContent(msgspec.Struct, frozen=True):
    tokens: _CodexTokens | None = None


def decode_codex_login(data: bytes) -> Tokens:
    """Read Codex's `auth.json`. Raises `DamagedLogin`, whatever the bytes are."""
    tokens = _decode(data, _CodexContent).tokens
    if tokens is None:
        raise DamagedLogin("Codex has no ChatGPT login there (but perhaps an API key)")
    return tokens_of(tokens.access_token, tokens.id_token, account_id=tokens.account_id or "")


def _decode(data: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError:
        raise DamagedLogin("it does not have the form of a login") from None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise DamagedLogin("it is not JSON") from None


# ---------------------------------------------------------------- small values


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _word(value: Any) -> str:
    return value if isinstance(value, str) and len(value) <= 200 and value.isprintable() else ""


def _moment(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < _LATEST else None


def _timestamp(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
