"""What the gateway remembers: items, responses, conversations, and the interface of every store.

Everything belongs to an owner, the caller's identity: what one owner stored does not exist for
another. Bodies are the JSON bytes that clients see; a store never looks into them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Literal, Protocol

import msgspec

Order = Literal["asc", "desc"]
Clock = Callable[[], float]
"""Returns POSIX seconds."""

MONTH_S = 30 * 86_400.0
"""How long OpenAI keeps a response, and so does a store unless told otherwise."""


class StoreError(Exception):
    """The store cannot do its work. `str()` says what and where, without anything that is kept."""


class MissingLink(Exception):
    """A chain is broken: the response `id` is not stored, or no longer."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.id = id


class StoredItem(msgspec.Struct, frozen=True):
    """One item, found again by its id, and a call also by its `call_id`."""

    id: str
    body: bytes
    call_id: str = ""


class StoredResponse(msgspec.Struct, frozen=True, kw_only=True):
    """One response and what was asked for it.

    `parent` is the `previous_response_id`: a chain is kept as pointers, so that two answers may
    continue the same response (clients.md section 1.4). `input` is the JSON array of the items that
    this request added, and `body` the response object with its whole output.
    """

    id: str
    created_at: int
    """POSIX seconds."""
    body: bytes
    input: bytes = b"[]"
    parent: str = ""
    conversation: str = ""
    events: bytes = b""
    """The stream of a background response as it was sent, compressed by its writer; else empty."""


class StoredConversation(msgspec.Struct, frozen=True):
    """A conversation without its items."""

    id: str
    created_at: int
    metadata: bytes = b"{}"


class Stats(msgspec.Struct, frozen=True):
    """What a store holds, over all owners. `bytes` is what it takes where it lives.

    `items` are those of `put_items`: what stands in a conversation is counted with it.
    """

    kind: str
    items: int
    responses: int
    conversations: int
    bytes: int
    oldest: int | None = None
    """When the oldest response was made, in POSIX seconds."""


class Store(Protocol):
    """A store. Every method raises `StoreError` when the store fails, and nothing else of its own.

    What a `put` or `add` has returned from survives the end of the process (except in memory).
    Records are forgotten `ttl_s` after they were last put, and the oldest first when there are
    more bytes than allowed; what alone is more than that is refused with `StoreError`. A
    conversation and its items are one record, and adding to it counts as a put.
    """

    async def put_items(self, owner: str, items: Sequence[StoredItem]) -> None:
        """Remember items; one with a known id replaces it."""

    async def get_items(self, owner: str, ids: Collection[str]) -> dict[str, bytes]:
        """The bodies of those of these items that are known."""

    async def get_calls(self, owner: str, call_ids: Collection[str]) -> dict[str, bytes]:
        """The bodies of the calls with these call ids, the last put where there are several."""

    async def delete_items(self, owner: str, ids: Collection[str]) -> int:
        """Forget items; returns how many of them were known."""

    async def put_response(self, owner: str, response: StoredResponse) -> None:
        """Remember a response; one with a known id replaces it."""

    async def get_response(self, owner: str, id: str) -> StoredResponse | None:
        """The response, or None."""

    async def get_chain(self, owner: str, id: str, most: int) -> list[StoredResponse]:
        """The response and everything it continues, the first one first, without `events`.

        Raises `MissingLink` when one of them is not stored, the named one included, and
        `StoreError` when there are more than `most`, as in a chain that bites its own tail.
        """

    async def delete_response(self, owner: str, id: str) -> bool:
        """Forget a response; False when it was not known.

        Its items stay, and so do responses that continue it, but their chain is broken.
        """

    async def put_conversation(self, owner: str, conversation: StoredConversation) -> None:
        """Remember a conversation; one with a known id is replaced and keeps its items."""

    async def get_conversation(self, owner: str, id: str) -> StoredConversation | None:
        """The conversation, or None."""

    async def delete_conversation(self, owner: str, id: str) -> bool:
        """Forget a conversation and its items; False when it was not known."""

    async def add_to_conversation(self, owner: str, id: str, items: Sequence[StoredItem]) -> bool:
        """Append items in this order; False when the conversation is not known.

        An item whose id the conversation holds already is replaced where it stands.
        """

    async def conversation_items(
        self, owner: str, id: str, *, after: str = "", limit: int = 0, order: Order = "asc"
    ) -> list[StoredItem]:
        """Items of a conversation in order, those behind the item `after`; `limit` 0 means all.

        There are none when the conversation is not known, or does not hold `after`.
        """

    async def delete_conversation_item(self, owner: str, id: str, item_id: str) -> bool:
        """Take one item out of a conversation; False when it was not there."""

    async def stats(self) -> Stats:
        """Count what is there."""

    async def prune(self) -> int:
        """Forget what is too old or too much now, and say how many records that were.

        A store that forgets by itself, as Redis does, has nothing to do and says 0.
        """

    async def close(self) -> None:
        """Finish what was begun and let go of files and connections."""
