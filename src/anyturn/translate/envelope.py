"""Our own sealed texts inside `encrypted_content`.

Codex returns the `encrypted_content` of reasoning and compaction items verbatim on every later
turn, also after a restart (codex-cli.md section 2.1): what a provider needs back travels there,
and the gateway keeps nothing (G8). A seal names its kind, version and issuer and carries a
checksum: what is foreign or damaged is recognised and never sent on (F17). It is no secret: who has
the client's files can read it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from typing import Any

import msgspec

REASONING = "reasoning"
COMPACTION = "compaction"
STATUS_LINE = "status_line"

# A megabyte of reasoning is 200,000 tokens, more than any model thinks in one turn.
MAX_BYTES = 1024 * 1024
_PREFIX = "anyturn1"
_DIGEST = 16


class Unsealable(ValueError):
    """The text is not one of our seals, or not whole. `str()` says which."""


def seal(kind: str, issuer: str, content: Any) -> str | None:
    """Pack JSON-like content; None when it is larger than `MAX_BYTES`, or nested beyond reason.

    The same content always gives the same text.
    """
    try:
        data = msgspec.json.encode([issuer, content])
    except RecursionError:
        return None
    if len(data) > MAX_BYTES:
        return None
    packed = base64.urlsafe_b64encode(zlib.compress(data, 6)).decode()
    return f"{_PREFIX}.{kind}.{_checksum(kind, packed)}.{packed}"


def is_sealed(text: str, kind: str = "") -> bool:
    """Whether a text claims to be one of our seals, of this kind or of any."""
    return text.startswith(f"{_PREFIX}.{kind}." if kind else f"{_PREFIX}.")


def unseal(kind: str, text: str) -> tuple[str, Any]:
    """The issuer and the content of a seal of this kind.

    Raises `Unsealable` for anything else: another kind or version, a foreign blob, damage.
    """
    prefix, _, rest = text.partition(".")
    found, _, rest = rest.partition(".")
    checksum, _, packed = rest.partition(".")
    if prefix != _PREFIX or found != kind:
        raise Unsealable("it was not sealed by Anyturn")
    if checksum != _checksum(kind, packed):
        raise Unsealable("it is damaged")
    try:
        issuer, content = msgspec.json.decode(_inflated(packed), type=tuple[str, Any])
    except Unsealable:
        raise
    except (binascii.Error, zlib.error, msgspec.DecodeError, ValueError, RecursionError):
        raise Unsealable("it is damaged") from None
    return issuer, content


def _inflated(packed: str) -> bytes:
    decoder = zlib.decompressobj()
    data = decoder.decompress(base64.urlsafe_b64decode(packed), MAX_BYTES + 1)
    if len(data) > MAX_BYTES or not decoder.eof:
        raise Unsealable("it is larger than any seal of ours")
    return data


def _checksum(kind: str, packed: str) -> str:
    return hashlib.sha256(f"{kind}.{packed}".encode()).hexdigest()[:_DIGEST]
