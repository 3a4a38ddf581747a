"""What a request to a provider is authorised with: a key, or something that has tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class PassedOn(dict[str, str]):
    """What a client sent of its own to be sent on: headers, which no log and no error shows."""

    def __repr__(self) -> str:
        return f"<{len(self)} headers>"


NOTHING_PASSED = PassedOn()


class TokenSource(Protocol):
    """Gives the headers that authorise a request, instead of a key that never changes."""

    async def headers(self, client: Mapping[str, str]) -> dict[str, str]:
        """Return the headers for one request; `client` is what its client sent to be passed on.

        Raises `TurnError` with a sentence that says what to do when there are none.
        """

    async def renewed(
        self, refused: Mapping[str, str], client: Mapping[str, str]
    ) -> dict[str, str] | None:
        """Return what to ask with once more, after a 401 for `refused`; None for nothing better.

        Raises `TurnError` as `headers` does.
        """

    async def close(self) -> None:
        """Wait for what must not be cut off."""


Credential = str | TokenSource | None
"""A key, a source of tokens, or nothing where none is needed."""
