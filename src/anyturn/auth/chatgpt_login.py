"""To log in and to log out: the two ways to tokens, and the end of them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence

from anyturn.auth.chatgpt import (
    PORTS,
    LoginError,
    Refused,
    Tokens,
    Unavailable,
    authorize_url,
    pkce_of,
    state_of,
)
from anyturn.auth.chatgpt_callback import waiting_for_browser
from anyturn.auth.chatgpt_file import FileTrouble, LoginFile
from anyturn.auth.chatgpt_issuer import DeviceCode, Grant, Issuer, grant_of

TIMEOUT_S = 900.0
"""How long a user may take: as long as a device code lives."""


async def log_in_by_browser(
    issuer: Issuer,
    file: LoginFile,
    show: Callable[[str], None],
    *,
    timeout_s: float = TIMEOUT_S,
    ports: Sequence[int] = PORTS,
) -> Tokens:
    """Log in on a page of the authorization server, whose address is `show`n.

    Raises `LoginError`; what was in the file before is then still there.
    """
    pkce, state = pkce_of(secrets.token_bytes(64)), state_of(secrets.token_bytes(32))
    async with waiting_for_browser(state, ports) as callback:
        show(authorize_url(issuer.url, callback.redirect, pkce, state))
        code = await callback.code(timeout_s)
        return await _keep(issuer, file, grant_of(code, pkce, callback.redirect))


async def log_in_by_device(
    issuer: Issuer,
    file: LoginFile,
    show: Callable[[DeviceCode], None],
    *,
    timeout_s: float = TIMEOUT_S,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Tokens:
    """Log in with a code that is typed on another device. Raises `LoginError`."""
    device = await issuer.device_code()
    show(device)
    try:
        async with asyncio.timeout(timeout_s):
            grant = await _granted(issuer, device, sleep)
    except TimeoutError:
        raise LoginError(f"Nobody typed the code within {timeout_s:g} s.") from None
    return await _keep(issuer, file, grant)


async def _granted(
    issuer: Issuer, device: DeviceCode, sleep: Callable[[float], Awaitable[None]]
) -> Grant:
    pause_s = device.interval_s
    while True:
        await sleep(pause_s)
        try:
            answer = await issuer.device_grant(device)
        except Unavailable:
            # The user is still typing; the network may be back when that is done.
            continue
        if isinstance(answer, Grant):
            return answer
        # Who was told to slow down stays slow (RFC 8628 section 3.5).
        pause_s += answer


async def _keep(issuer: Issuer, file: LoginFile, grant: Grant) -> Tokens:
    tokens = await issuer.exchange(grant)
    async with file.locked():
        file.write(tokens)
    return tokens


async def log_out(issuer: Issuer, file: LoginFile) -> str:
    """End the login at the server and remove the file, which goes whatever the server says.

    Returns a sentence when the server was not told, and nothing when all went well. Raises
    `FileTrouble`, and `LoginError` when there is no login.
    """
    async with file.locked():
        try:
            tokens, complaint = file.read(), ""
        except FileTrouble as trouble:
            tokens, complaint = None, str(trouble)
        if not file.remove():
            raise LoginError("There is no ChatGPT login of Anyturn.")
    if tokens is None or tokens.problem:
        return complaint
    if tokens.issuer != issuer.url:
        # A token is for the server that gave it, and for no other.
        return f"{tokens.issuer} gave this login and was not told."
    try:
        await issuer.revoke(tokens)
    except (Refused, Unavailable) as error:
        return f"The authorization server was not told: {error}"
    return ""
