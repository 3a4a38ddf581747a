"""Who may come in, and as whom. A change of the keys file counts from the next request on."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence

import msgspec

from anyturn.auth.key_file import KeyFile, KeysError
from anyturn.auth.keys import Key, find_key
from anyturn.auth.private_file import Stamp
from anyturn.wire.credentials import NOTHING_PASSED

log = logging.getLogger("anyturn")

_OWNER_BYTES = 16


class Caller(msgspec.Struct, frozen=True):
    """Who sends a request. `owner` is whom stored things belong to; `name` is for people.

    With a key, the owner is the key's id. Where none is needed, it is a digest of whatever key the
    client sent, so that two users of a machine do not meet, and empty when it sent none. `passed`
    is what it sent of its own to be sent on to a provider.
    """

    owner: str = ""
    name: str = ""
    passed: Mapping[str, str] = NOTHING_PASSED


class Gate:
    """Lets callers in by the keys of a file.

    `auth` is `auto` (a key is needed where there is a keys file, even if all keys in it were
    revoked), `required` or `off` (the file is not looked at). A gate that was closed once stays
    closed: when the file goes or breaks, the keys that were last known count, and the log says so.

    Making one raises `KeysError` when there is a file that cannot be read.
    """

    def __init__(self, file: KeyFile | None = None, auth: str = "auto") -> None:
        self._file = None if auth == "off" else file
        self._keys: tuple[Key, ...] = ()
        self._closed = auth == "required"
        self._stamp: Stamp = ()
        self._complaint = ""
        # Whether there ever was a file.
        self._met = False
        if self._file is not None:
            self._stamp = self._file.stamp()
            self._learn(self._file, self._file.read())

    @property
    def closed(self) -> bool:
        """Whether a key is needed now."""
        self._look()
        return self._closed

    @property
    def keys(self) -> int:
        """How many keys are known now."""
        self._look()
        return len(self._keys)

    @property
    def complaint(self) -> str:
        """Why the keys cannot be read now; empty when they can."""
        return self._complaint

    def caller(self, secrets: Sequence[str], account: str = "") -> Caller | None:
        """Who sends these keys, any of which may be the right one; None when it is nobody.

        Where no key is needed, `account` names the caller instead of a key that keeps changing.
        """
        self._look()
        if not self._closed and account:
            return Caller(_owner_of(account, "account"))
        if not self._closed:
            return Caller(_owner_of(secrets[0]) if secrets else "")
        found = [key for secret in secrets if (key := find_key(self._keys, secret))]
        return Caller(found[0].id, found[0].name) if found else None

    # ---------------------------------------------------------------- the file

    def _look(self) -> None:
        """Read the file again if it is another one than last time, or could not be read."""
        if self._file is None:
            return
        stamp = self._file.stamp()
        if stamp == self._stamp and not self._complaint:
            return
        self._stamp = stamp
        try:
            self._learn(self._file, self._file.read())
        except KeysError as error:
            self._met = self._closed = True
            self._complain(str(error))

    def _learn(self, file: KeyFile, keys: tuple[Key, ...] | None) -> None:
        if keys is not None:
            if self._complaint:
                log.info("The keys file can be read again.")
            self._keys, self._complaint = keys, ""
            self._met = self._closed = True
        elif self._met:
            self._complain(f"The keys file {file.path} is gone.")

    def _complain(self, sentence: str) -> None:
        if sentence != self._complaint:
            known = len(self._keys)
            log.error("%s The keys known last count on (%d), and no other.", sentence, known)
        self._complaint = sentence


def _owner_of(secret: str, kind: str = "bearer") -> str:
    """An owner that says nothing of the key, and is no digest that is used for anything else."""
    data = secret.encode("utf-8", "surrogateescape")
    digest = hashlib.blake2b(data, digest_size=_OWNER_BYTES, person=b"anyturn owner")
    return f"{kind}_{digest.hexdigest()}"
