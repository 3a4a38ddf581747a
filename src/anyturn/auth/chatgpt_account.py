"""Whose tokens a request to ChatGPT gets: our own login's, kept fresh, or Codex's, as they are."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from anyturn.auth.chatgpt import (
    DamagedLogin,
    LoginError,
    Refused,
    Tokens,
    Unavailable,
    decode_codex_login,
    ended_words,
    headers_of,
    is_expired,
    wants_refresh,
)
from anyturn.auth.chatgpt_file import MAX_BYTES, FileTrouble, LoginFile
from anyturn.auth.chatgpt_issuer import Issuer
from anyturn.auth.private_file import FileProblem, Stamp, read_private, stamp_of
from anyturn.errors import Kind, TurnError

log = logging.getLogger("anyturn")

PROVIDER = "chatgpt"
NO_LOGIN = "There is no ChatGPT login. Log in: anyturn login chatgpt"

_EXPIRY, _REFUSAL = "proactive_expiry", "unauthorized_recovery"
# After a refresh that could not be had, tokens that are still good are used this long.
_PAUSE_S = 30.0
# Tokens that are this new and refused are not made better by newer ones.
_NEW_S = 60.0


class OwnLogin:
    """Our own login: read again whenever its file changed, renewed by one task of one process.

    A refresh token is spent by its first use, so that whoever loses an answer or a race is logged
    out (F71). Therefore: one renewal at a time, here by a task and elsewhere by the file's lock;
    the file is read again under the lock; a client that leaves cuts no renewal off; nothing that
    another process has written is ever overwritten or cleared.
    """

    def __init__(
        self, file: LoginFile, issuer: Issuer, *, now: Callable[[], float] = time.time
    ) -> None:
        self.file = file
        self._issuer = issuer
        self._now = now
        self._stamp: Stamp = ()
        self._tokens: Tokens | None = None
        self._renewal: asyncio.Task[Tokens] | None = None
        self._pause_until = 0.0
        # What could not be written, and the refresh token that it replaces.
        self._unsaved: tuple[str, Tokens] | None = None

    def exists(self) -> bool:
        """Whether somebody logged in."""
        return self.file.exists()

    async def tokens(self) -> Tokens:
        """Tokens for a request, renewed when that is due. Raises `LoginError`."""
        tokens, now = self._current(), self._now()
        if not wants_refresh(tokens, now):
            return tokens
        usable = not is_expired(tokens, now)
        if usable and (tokens.problem or now < self._pause_until):
            return tokens
        try:
            return await self._renewed(tokens, _EXPIRY)
        except (Refused, Unavailable, FileTrouble) as error:
            if not usable:
                raise
            self._pause_until = now + _PAUSE_S
            log.warning("The ChatGPT login was not renewed and is used as it is. %s", error)
            return tokens

    async def better(self, refused: str) -> Tokens | None:
        """Tokens to use after the provider refused an access token; None when there are none.

        Raises `LoginError`.
        """
        tokens = self._current()
        if tokens.access_token != refused:
            return tokens
        if tokens.last_refresh is not None and self._now() - tokens.last_refresh < _NEW_S:
            return None
        return await self._renewed(tokens, _REFUSAL)

    async def close(self) -> None:
        """Wait for a renewal: the answer that is under way is the only one there will be."""
        if self._renewal is not None:
            await asyncio.wait([self._renewal])

    def _current(self) -> Tokens:
        stamp = self.file.stamp()
        if stamp != self._stamp:
            self._tokens = self.file.read()
            self._stamp = stamp
        return self._checked(self._tokens)

    def _checked(self, tokens: Tokens | None) -> Tokens:
        """What the file holds, unless something newer could not be written to it."""
        if tokens is None:
            raise LoginError(f"{NO_LOGIN}.")
        if tokens.issuer != self._issuer.url:
            raise LoginError(
                f"The ChatGPT login in {self.file.path} was given by {tokens.issuer}, and "
                f"{self._issuer.url} is set (chatgpt_issuer). Log in again: anyturn login chatgpt."
            )
        if self._unsaved is not None and self._unsaved[0] == tokens.refresh_token:
            return self._unsaved[1]
        return tokens

    # ---------------------------------------------------------------- renewal

    async def _renewed(self, stale: Tokens, reason: str) -> Tokens:
        if self._renewal is None or self._renewal.done():
            loop = asyncio.get_running_loop()
            self._renewal = loop.create_task(self._renew(stale, reason))
            # Everybody who asked may be gone when it fails.
            self._renewal.add_done_callback(_look_at)
        return await asyncio.shield(self._renewal)

    async def _renew(self, stale: Tokens, reason: str) -> Tokens:
        async with self.file.locked():
            found = self._checked(self.file.read())
            if found.access_token != stale.access_token and not is_expired(found, self._now()):
                # Another process was faster.
                return found
            if found.problem:
                raise Refused(found.problem, ended_words(found.problem))
            try:
                new = await self._issuer.refresh(found, reason)
            except Refused as refusal:
                return self._after_refusal(found, refusal)
            self._save(found, new)
            log.info("The ChatGPT login was renewed.")
            return new

    def _after_refusal(self, tried: Tokens, refusal: Refused) -> Tokens:
        """Note that a login has ended, unless it is another one by now."""
        found = self._checked(self.file.read())
        if found.refresh_token != tried.refresh_token:
            return found
        self._save(tried, msgspec.structs.replace(tried, problem=refusal.code))
        raise refusal

    def _save(self, old: Tokens, new: Tokens) -> None:
        """Write new tokens; if that fails they still count, because the old ones are spent."""
        replaced = self._unsaved[0] if self._unsaved is not None else old.refresh_token
        try:
            self.file.write(new)
        except FileTrouble as trouble:
            self._unsaved = (replaced, new)
            log.error("%s It is used from memory, and gone when this process ends.", trouble)
        else:
            self._unsaved = None


def _look_at(renewal: asyncio.Task[Tokens]) -> None:
    if not renewal.cancelled():
        renewal.exception()


class CodexLogin:
    """The login of Codex in its `auth.json`: only read, because its refresh token is single use."""

    def __init__(self, path: Path, *, now: Callable[[], float] = time.time) -> None:
        self.path = path
        self._now = now
        self._stamp: Stamp = ()
        self._tokens: Tokens | None = None

    def exists(self) -> bool:
        """Whether Codex has a file for its login."""
        return os.path.exists(self.path)

    def read(self) -> Tokens | None:
        """The tokens as they are; None when there is no file. Raises `LoginError`."""
        stamp = stamp_of(self.path)
        if stamp != self._stamp:
            self._tokens = self._read()
            self._stamp = stamp
        return self._tokens

    async def tokens(self) -> Tokens:
        """Tokens for a request. Raises `LoginError`."""
        tokens = self.read()
        if tokens is None:
            raise LoginError(f"{NO_LOGIN}.")
        if is_expired(tokens, self._now()):
            raise LoginError(self._words("has expired"))
        return tokens

    async def better(self, refused: str) -> Tokens | None:
        """The tokens that Codex has written meanwhile. Raises `LoginError`."""
        tokens = await self.tokens()
        if tokens.access_token == refused:
            raise LoginError(self._words("is not accepted any more"))
        return tokens

    async def close(self) -> None:
        """Nothing is under way here."""

    def _read(self) -> Tokens | None:
        try:
            data = read_private(self.path, MAX_BYTES)
            return None if data is None else decode_codex_login(data)
        except (FileProblem, DamagedLogin) as error:
            sentence = f"The login of Codex in {self.path} cannot be used: {error}."
            raise LoginError(sentence) from None

    def _words(self, what: str) -> str:
        return (
            f"The login of Codex in {self.path} {what}, and only Codex may renew it: run `codex` "
            "once, or log in with Anyturn: anyturn login chatgpt."
        )


class LoginState(msgspec.Struct, frozen=True):
    """What can be told of a login; no token is in it. `state` is ready, expired, ended or damaged.

    `expires_at` is when the access token ends, in seconds since 1970; our own is renewed before.
    """

    source: str
    path: str
    used: bool
    state: str
    words: str = ""
    account: str = ""
    plan: str = ""
    expires_at: float | None = None


class ChatGptAccount:
    """The tokens of a ChatGPT account, as a `wire.credentials.TokenSource`.

    Our own login comes first; Codex's counts where there is no own one. Which it is, is decided
    for every request, so that `anyturn login` needs no restart.
    """

    def __init__(self, own: OwnLogin | None, codex: CodexLogin | None) -> None:
        both: tuple[OwnLogin | CodexLogin | None, ...] = (own, codex)
        self._logins = [login for login in both if login is not None]
        self._own = own
        self._codex = codex

    def exists(self) -> bool:
        """Whether there is any login, be it good or not."""
        return any(login.exists() for login in self._logins)

    async def headers(self, client: Mapping[str, str]) -> dict[str, str]:
        """Return the headers for one request (see `TokenSource`)."""
        try:
            return headers_of(await self._chosen().tokens())
        except LoginError as error:
            raise _turn_error(error) from None

    async def renewed(
        self, refused: Mapping[str, str], client: Mapping[str, str]
    ) -> dict[str, str] | None:
        """Return other headers after a 401 (see `TokenSource`)."""
        bearer = refused.get("Authorization", "").removeprefix("Bearer ")
        try:
            tokens = await self._chosen().better(bearer)
        except LoginError as error:
            raise _turn_error(error) from None
        return headers_of(tokens) if tokens is not None else None

    async def close(self) -> None:
        """Wait for a renewal that is under way."""
        for login in self._logins:
            await login.close()

    def states(self, now: float) -> list[LoginState]:
        """What there is, in the order in which it counts."""
        states: list[LoginState] = []
        if self._own is not None and self._own.exists():
            file = self._own.file
            states.append(_state("anyturn", file.path, file.read, True, now, renews=True))
        if self._codex is not None and self._codex.exists():
            path, read = self._codex.path, self._codex.read
            states.append(_state("codex", path, read, not states, now, renews=False))
        return states

    def _chosen(self) -> OwnLogin | CodexLogin:
        for login in self._logins:
            if login.exists():
                return login
        raise LoginError(f"{NO_LOGIN}.")


def _state(
    source: str,
    path: Path,
    read: Callable[[], Tokens | None],
    used: bool,
    now: float,
    *,
    renews: bool,
) -> LoginState:
    try:
        tokens = read()
    except LoginError as error:
        return LoginState(source, str(path), used, "damaged", str(error))
    if tokens is None:
        return LoginState(source, str(path), used, "damaged", "It has just gone.")
    over = is_expired(tokens, now)
    state, words = "ready", ""
    if tokens.problem:
        state, words = "ended", ended_words(tokens.problem)
    elif over and not renews:
        state, words = "expired", "Only Codex may renew it: run `codex` once."
    account, plan = tokens.account_id, tokens.plan
    return LoginState(source, str(path), used, state, words, account, plan, tokens.expires_at)


def _turn_error(error: LoginError) -> TurnError:
    kind = Kind.PROVIDER_CREDENTIALS
    if isinstance(error, Unavailable):
        kind = Kind.PROVIDER_UNREACHABLE
    return TurnError(kind, str(error), provider=PROVIDER)
