"""The file with our own ChatGPT login."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from anyturn.auth.chatgpt import DamagedLogin, LoginError, Tokens, decode_login, encode_login
from anyturn.auth.private_file import (
    FileProblem,
    Stamp,
    locked_within,
    read_private,
    remove_private,
    stamp_of,
    write_private,
)

MAX_BYTES = 1024 * 1024
# Longer than whoever has the lock waits for the authorization server.
_LOCK_S = 60.0


class FileTrouble(LoginError):
    """The file cannot be used; nothing is known about the login in it."""


class LoginFile:
    """The login at `path`. The file and its folder are made with the first login."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def stamp(self) -> Stamp:
        """What changes whenever the file does, comes or goes."""
        return stamp_of(self.path)

    def exists(self) -> bool:
        """Whether there is something, be it readable or not."""
        return os.path.exists(self.path)

    def read(self) -> Tokens | None:
        """The login; None when there is no file. Raises `FileTrouble` when it cannot be read."""
        try:
            data = read_private(self.path, MAX_BYTES)
            return None if data is None else decode_login(data)
        except (FileProblem, DamagedLogin) as error:
            raise self._trouble(str(error), "read") from None

    @asynccontextmanager
    async def locked(self, timeout_s: float = _LOCK_S) -> AsyncIterator[None]:
        """Let in one task of one process at a time. Raises `FileTrouble`."""
        try:
            async with locked_within(self.path, timeout_s):
                yield
        except FileProblem as error:
            raise self._trouble(str(error), "written") from None

    def write(self, tokens: Tokens) -> None:
        """Replace the login. Call it under the lock. Raises `FileTrouble`."""
        try:
            write_private(self.path, encode_login(tokens))
        except FileProblem as error:
            raise self._trouble(str(error), "written") from None

    def remove(self) -> bool:
        """Remove the file; returns whether there was one. Raises `FileTrouble`."""
        try:
            return remove_private(self.path)
        except FileProblem as error:
            raise self._trouble(str(error), "removed") from None

    def _trouble(self, why: str, done: str) -> FileTrouble:
        return FileTrouble(f"The ChatGPT login in {self.path} cannot be {done}: {why}.")
