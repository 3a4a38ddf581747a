"""Client keys without I/O: what one looks like, how it is recognised, how the file says it.

A key is 32 random bytes. The file holds one plain SHA-256 of it and no key. Slow hashes and salts
protect what people choose, because that can be guessed; 256 random bits cannot, and a slow hash
would cost every request what it costs an attacker.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import string
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Annotated, Literal

import msgspec

PREFIX = "any_"
ID_PREFIX = "key_"
SECRET_BYTES = 32

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
# 62 ** 43 is the first power above 2 ** 256.
_LENGTH = 43
_NAME = re.compile(r"\w(?:[\w.@+ -]{0,62}\w)?")


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of a client's key: everything but the key."""

    id: Annotated[str, msgspec.Meta(pattern=r"^key_[0-9a-f]{12}\Z")]
    name: str
    created: Annotated[datetime, msgspec.Meta(tz=True)]
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    keys: tuple[Key, ...]


class DamagedKeys(ValueError):
    """The bytes are no list of keys. `str()` says why, for the middle of a sentence."""


# ---------------------------------------------------------------- one key


def secret_of(random: bytes) -> str:
    """The key that `SECRET_BYTES` random bytes make.

    Letters and digits, so that a double click takes all of it.
    """
    number, digits = int.from_bytes(random, "big"), ""
    for _ in range(_LENGTH):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return PREFIX + digits


def digest_of(secret: str) -> str:
    """What is kept of a key."""
    # Headers may hold bytes that are no UTF-8; aiohttp hands them on as surrogates.
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def name_problem(name: str) -> str:
    """Say what is wrong with a name for a key, or nothing. A pasted key is not repeated."""
    if name.startswith(PREFIX):
        return "This looks like a key. Give the name of who will use it: laptop, ci, anna."
    if name.startswith(ID_PREFIX):
        return f"A name cannot begin with {ID_PREFIX}, as the ids of keys do."
    if not _NAME.fullmatch(name):
        return (
            "A name has up to 64 letters, digits, blanks and . _ @ + -, "
            "and begins and ends with a letter or digit."
        )
    return ""


# ---------------------------------------------------------------- several keys


def find_key(keys: Iterable[Key], secret: str) -> Key | None:
    """The key that `secret` is.

    Every key is compared, each in constant time: how long it takes says neither whether one
    matched nor which.
    """
    digest = digest_of(secret)
    found = None
    for key in keys:
        if hmac.compare_digest(key.sha256, digest):
            found = key
    return found


def named_key(keys: Collection[Key], word: str) -> Key | None:
    """The key with this name or id."""
    return next((key for key in keys if word in (key.name, key.id)), None)


# ---------------------------------------------------------------- the file's content


def decode_keys(data: bytes) -> tuple[Key, ...]:
    """Read the content of a keys file. Raises `DamagedKeys`, whatever the bytes are."""
    try:
        keys = msgspec.json.decode(data, type=_Content).keys
    except msgspec.ValidationError as error:
        place = str(error).partition(" - at ")[2]
        reason = f"it does not have the form of a keys file{f', at {place}' if place else ''}"
        raise DamagedKeys(reason) from None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise DamagedKeys("it is not JSON") from None
    for key in keys:
        if name_problem(key.name):
            raise DamagedKeys("a name in it is none that a key can have")
    for values in ([key.name for key in keys], [key.id for key in keys]):
        if len(set(values)) < len(values):
            raise DamagedKeys("two of its keys have the same name or id")
    return keys


def encode_keys(keys: Iterable[Key]) -> bytes:
    """Write the content of a keys file, for people to read too."""
    return msgspec.json.format(msgspec.json.encode(_Content(1, tuple(keys)))) + b"\n"
