"""The file with the clients' keys: read with care, written by one process at a time."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from anyturn.auth.keys import (
    ID_PREFIX,
    PREFIX,
    SECRET_BYTES,
    DamagedKeys,
    Key,
    decode_keys,
    digest_of,
    encode_keys,
    name_problem,
    named_key,
    secret_of,
)
from anyturn.auth.private_file import (
    FileProblem,
    Stamp,
    locked,
    read_private,
    stamp_of,
    write_private,
)

# Some five thousand keys.
_MAX_BYTES = 1024 * 1024


class KeysError(Exception):
    """The keys cannot be used, or not in this way. `str()` is a sentence for the user."""


class UnknownKey(KeysError):
    """No key has this name or id. `names` are those that there are."""

    def __init__(self, word: str, names: Iterable[str]) -> None:
        if word.startswith(PREFIX):
            super().__init__("This looks like a key itself. Give its name or its id.")
        else:
            super().__init__(f"There is no key with the name or id {word!r}.")
        self.word = word
        self.names = tuple(names)


class KeyFile:
    """The keys at `path`. The file and its folder are made with the first key."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def stamp(self) -> Stamp:
        """What changes whenever the file does, comes or goes. Cheap: one look at the folder."""
        return stamp_of(self.path)

    def read(self) -> tuple[Key, ...] | None:
        """All keys; None when there is no file. Raises `KeysError` when they cannot be read."""
        try:
            data = read_private(self.path, _MAX_BYTES)
            return None if data is None else decode_keys(data)
        except (FileProblem, DamagedKeys) as error:
            raise self._complaint(str(error)) from None

    def add(self, name: str) -> tuple[Key, str]:
        """Make a key for `name`; returns what is kept of it, and the key, which nobody keeps.

        Raises `KeysError` for a name that is taken or cannot be one.
        """
        if problem := name_problem(name):
            raise KeysError(problem)
        with self._locked():
            keys = self.read() or ()
            if named_key(keys, name):
                raise KeysError(
                    f"There is a key {name!r} already. Revoke it, or take another name."
                )
            secret = secret_of(secrets.token_bytes(SECRET_BYTES))
            id = ID_PREFIX + secrets.token_hex(6)
            key = Key(id, name, datetime.now(UTC).replace(microsecond=0), digest_of(secret))
            self._write((*keys, key))
        return key, secret

    def revoke(self, word: str) -> tuple[Key, int]:
        """Forget the key with this name or id; returns it, and how many are left.

        Raises `UnknownKey`, and `KeysError` when the file cannot be used.
        """
        with self._locked():
            keys = self.read() or ()
            revoked = named_key(keys, word)
            if revoked is None:
                raise UnknownKey(word, [key.name for key in keys])
            rest = [key for key in keys if key is not revoked]
            self._write(rest)
        return revoked, len(rest)

    # ---------------------------------------------------------------- writing

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with locked(self.path):
                yield
        except FileProblem as error:
            raise self._complaint(str(error), "written") from None

    def _write(self, keys: Iterable[Key]) -> None:
        try:
            write_private(self.path, encode_keys(keys))
        except FileProblem as error:
            raise self._complaint(str(error), "written") from None

    def _complaint(self, why: str, done: str = "read") -> KeysError:
        return KeysError(f"The keys file {self.path} cannot be {done}: {why.rstrip('.')}.")
