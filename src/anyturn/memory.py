"""What the gateway remembers for its clients: between the life of a turn and the store.

A turn that names something remembered fails when the store does. Every other turn goes on: what
could not be remembered is reported, and a store that lets turns wait is left alone for a while:
memory is a service to the turn and never in its way.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, NoReturn, TypeVar

import msgspec

from anyturn.errors import Kind, TurnError
from anyturn.store.records import (
    MissingLink,
    Store,
    StoredItem,
    StoredResponse,
    StoreError,
)
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.compaction import SUMMARY_ITEMS, TRIGGER
from anyturn.translate.expansion import (
    Item,
    Remembered,
    Trail,
    Wanted,
    as_stored,
    expand,
    what_is_wanted,
)
from anyturn.wire import responses as r
from anyturn.wire.credentials import NOTHING_PASSED

log = logging.getLogger("anyturn")

# A chain of this many responses is a day of work; past it something goes in circles (A1).
CHAIN_MAX = 20_000
# How long one operation may take, how long a store that let a turn wait is not asked to write, and
# how long the next failure is not reported.
TIMEOUT_S = 2.0
PAUSE_S = 5.0

_ANSWERED_HERE = {"previous_response_id": None, "conversation": None, "background": None}

T = TypeVar("T")


class Nearby:
    """What one connection remembers by itself: the last responses, also those not to be stored.

    A WebSocket client continues them by id although `store` is false (responses-api.md 2.9). They
    are bounded by number and by the bytes of their JSON (A1): what is more is forgotten.
    """

    MOST = 4
    MAX_BYTES = 32 * 1024 * 1024

    def __init__(self) -> None:
        self._histories: dict[str, list[Item]] = {}
        self._sizes: dict[str, int] = {}

    def get(self, response_id: str) -> list[Item] | None:
        """The whole history up to a response, its output included."""
        return self._histories.get(response_id)

    def put(self, response_id: str, history: list[Item]) -> None:
        """Remember a history; the oldest ones are forgotten, or this one if it is too large."""
        self.forget(response_id)
        self._histories[response_id] = history
        self._sizes[response_id] = len(msgspec.json.encode(history))
        while len(self._sizes) > self.MOST or sum(self._sizes.values()) > self.MAX_BYTES:
            self.forget(next(iter(self._sizes)))

    def forget(self, response_id: str) -> None:
        """Forget a history, after a failed attempt to continue it."""
        self._histories.pop(response_id, None)
        self._sizes.pop(response_id, None)


class Caller(msgspec.Struct, frozen=True):
    """Who asks, and what only their connection knows.

    `passed` is what they sent of their own for a provider. It is never stored.
    """

    owner: str = ""
    nearby: Nearby | None = None
    headers: Mapping[str, str] = {}
    """What the client sent along: for recordings, and what a profile passes on; keys included."""
    passed: Mapping[str, str] = NOTHING_PASSED
    client: str = ""
    """Which program it is, by the names of the checker; '' where it did not say."""


ANYBODY = Caller()


class Recalled(msgspec.Struct):
    """A request with everything that it named, and what is to be kept of its turn."""

    request: dict[str, Any]
    """With the whole input, and without the names of what was put into it."""
    caller: Caller
    own: bytes = b"[]"
    """The JSON array of the items that this request added; empty when nothing is stored."""
    parent: str = ""
    conversation: str = ""
    stores: bool = False
    history: list[Item] | None = None
    """The whole input, where the connection remembers it."""
    trail: Trail = msgspec.field(default_factory=Trail)
    has_waited: bool = False
    """Whether the store let this turn wait in vain: once is enough."""

    @property
    def comes_back(self) -> bool:
        """Whether a later request can name what this turn says: then reasoning is sealed for it."""
        return self.stores or bool(self.conversation) or self.history is not None


class Memory:
    """Recalls what requests name, and remembers what answers hold.

    Without a store it remembers nothing beyond the connections' own, and says so where a request
    needs it.
    """

    def __init__(
        self,
        store: Store | None,
        *,
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self._timeout_s = timeout_s
        self._clock = clock
        self._resumes_at = self._reports_at = float("-inf")

    # ---------------------------------------------------------------- before the turn

    async def recall(
        self, request: dict[str, Any], caller: Caller, adaptations: Adaptations
    ) -> Recalled:
        """Put into the request what it only names.

        Raises `TurnError`: UNKNOWN_REFERENCE for what is not stored or belongs to somebody else,
        STORE_FAILED when the store cannot say.
        """
        parent = request.get("previous_response_id") or ""
        conversation = _conversation_id(request)
        if parent and conversation:
            _refuse("conversation", "previous_response_id and conversation exclude each other.")
        before = await self._before(parent, conversation, caller)
        items = _input_items(request)
        own = await self._expanded(items, before, caller, adaptations)
        stores = self.store is not None and request.get("store") is not False
        whole = [*before, *own]
        return Recalled(
            request={**request, "input": whole, **_ANSWERED_HERE},
            caller=caller,
            own=msgspec.json.encode(stored_form(own, before)) if stores or conversation else b"[]",
            parent=parent,
            conversation=conversation,
            stores=stores,
            history=whole if caller.nearby is not None else None,
        )

    async def _before(self, parent: str, conversation: str, caller: Caller) -> list[Item]:
        if conversation:
            return await self._conversation_items(caller.owner, conversation)
        if not parent:
            return []
        near = caller.nearby.get(parent) if caller.nearby else None
        return near if near is not None else await self._chain_items(caller.owner, parent)

    async def _chain_items(self, owner: str, parent: str) -> list[Item]:
        store = self._needed("previous_response_id", f"the response {parent[:80]!r}")
        try:
            chain = await self._read(store.get_chain(owner, parent, CHAIN_MAX))
        except MissingLink as missing:
            named = f"Previous response with id {parent[:80]!r} not found."
            if missing.id != parent:
                named = (
                    f"The response {parent[:80]!r} cannot be continued: {missing.id[:80]!r}, which "
                    "it continues itself, is no longer stored."
                )
            raise TurnError(Kind.UNKNOWN_REFERENCE, named, param="previous_response_id") from None
        items: list[Item] = []
        for link in chain:
            what = f"the response {link.id[:80]!r}"
            items += readable(link.input, list[Item], what)
            output = readable(link.body, _Output, what).output
            if _is_compacted(output):
                items.clear()
            items += output
        return items

    async def _conversation_items(self, owner: str, conversation: str) -> list[Item]:
        store = self._needed("conversation", f"the conversation {conversation[:80]!r}")
        found = await self._read(store.get_conversation(owner, conversation))
        if found is None:
            message = f"Conversation with id {conversation[:80]!r} not found."
            raise TurnError(Kind.NOT_FOUND, message, param="conversation")
        stored = await self._read(store.conversation_items(owner, conversation))
        return [readable(item.body, Item, f"the item {item.id[:80]!r}") for item in stored]

    async def _expanded(
        self, items: list[Any], before: list[Item], caller: Caller, adaptations: Adaptations
    ) -> list[Any]:
        wanted = what_is_wanted(items, before)
        known: dict[str, Remembered] = {}
        calls: dict[str, Remembered] = {}
        if self.store is not None and (wanted.ids or wanted.call_ids):
            known, calls = await self._look_up(self.store, caller.owner, wanted)
        return expand(items, before, known, calls, adaptations)

    async def _look_up(
        self, store: Store, owner: str, wanted: Wanted
    ) -> tuple[dict[str, Remembered], dict[str, Remembered]]:
        known: dict[str, Remembered] = {}
        calls: dict[str, Remembered] = {}
        if wanted.ids:
            known = _decoded(await self._read(store.get_items(owner, wanted.ids)))
        if wanted.call_ids:
            calls = _decoded(await self._read(store.get_calls(owner, wanted.call_ids)))
        led_by = {id for one in (*known.values(), *calls.values()) for id in one.led_by}
        if missing := led_by - known.keys():
            known |= _decoded(await self._read(store.get_items(owner, missing)))
        return known, calls

    # ---------------------------------------------------------------- during and after the turn

    async def remember(self, recalled: Recalled, items: Iterable[r.AnyItem]) -> None:
        """Remember items that are done, before anybody is told of them (clients.md 1.3)."""
        if not recalled.stores or self.store is None:
            return
        stored = [_stored(item, recalled.trail) for item in items]
        if stored:
            await self._write(recalled, self.store.put_items(recalled.caller.owner, stored))

    async def keep(self, recalled: Recalled, response: r.AnyResponse) -> None:
        """Remember a response that has ended, and add its turn to the conversation."""
        if recalled.history is not None and recalled.caller.nearby is not None:
            said = msgspec.json.decode(r.encode_json(response.output), type=list[Item])
            before = [] if _is_compacted(said) else recalled.history
            recalled.caller.nearby.put(response.id, [*before, *said])
        store, owner = self.store, recalled.caller.owner
        if store is None:
            return
        if recalled.conversation and response.status != "failed":
            turn = _turn_of(recalled, response)
            added = store.add_to_conversation(owner, recalled.conversation, turn)
            await self._write(recalled, added, is_asked_for=True)
        if recalled.stores:
            await self._write(recalled, store.put_response(owner, record_of(recalled, response)))

    # ---------------------------------------------------------------- what clients ask for by id

    async def response(self, owner: str, response_id: str) -> StoredResponse:
        """A stored response. Raises `TurnError`: NOT_FOUND, or STORE_FAILED."""
        found = None
        if self.store is not None:
            found = await self._read(self.store.get_response(owner, response_id))
        return found or _absent(f"Response with id {response_id[:80]!r} not found.")

    async def put_response(self, owner: str, response: StoredResponse) -> None:
        """Store a response for certain: unlike `keep`, this raises STORE_FAILED."""
        await self._read(self.needed_store().put_response(owner, response))

    async def forget_response(self, owner: str, response_id: str) -> None:
        """Forget a response and the items that it handed out. Raises as `response` does."""
        stored = await self.response(owner, response_id)
        store = self.needed_store()
        # The response goes last: as long as it is there, the client can try again.
        await self._read(store.delete_items(owner, _output_ids(stored)))
        await self._read(store.delete_response(owner, response_id))

    async def asked(self, question: Awaitable[T]) -> T:
        """The store's answer to a question of a route. Raises `TurnError` (STORE_FAILED)."""
        return await self._read(question)

    def needed_store(self) -> Store:
        """The store. Raises `TurnError` (UNSUPPORTED) where the gateway has none."""
        if self.store is None:
            raise TurnError(
                Kind.UNSUPPORTED,
                'This gateway runs without a store (store = "off"): nothing is kept here.',
            )
        return self.store

    # ---------------------------------------------------------------- asking the store

    def _needed(self, param: str, what: str) -> Store:
        if self.store is None:
            raise TurnError(
                Kind.UNKNOWN_REFERENCE,
                f"{what[:1].upper()}{what[1:]} is not known here: this gateway runs without a "
                "store. Send the whole input with every request.",
                param=param,
            )
        return self.store

    async def _read(self, asked: Awaitable[T]) -> T:
        """The store's answer. Raises `TurnError` (STORE_FAILED): without it the turn cannot be."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asked
        except TimeoutError:
            why = f"it did not answer within {self._timeout_s:g} s"
        except StoreError as error:
            why = str(error)
        raise TurnError(
            Kind.STORE_FAILED,
            f"The gateway's store, which this request needs, failed: {why.rstrip('.')}.",
        )

    async def _write(
        self, recalled: Recalled, asked: Coroutine[Any, Any, Any], *, is_asked_for: bool = False
    ) -> None:
        """Let the store write, but not at any price: a turn does not fail because of it.

        A turn waits in vain only once, and not at all while another one did so a moment ago. What
        the client asked for by name is tried in any case.
        """
        began_at = self._clock()
        if (recalled.has_waited or began_at < self._resumes_at) and not is_asked_for:
            asked.close()
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                await asked
            return
        except TimeoutError:
            recalled.has_waited = True
            why = f"it did not answer within {self._timeout_s:g} s"
        except StoreError as error:
            recalled.has_waited = self._clock() - began_at >= self._timeout_s / 2
            why = str(error)
        self._report(why, pauses=recalled.has_waited)

    def _report(self, why: str, *, pauses: bool) -> None:
        """Say that something is not remembered: once, not for each item of each turn."""
        now = self._clock()
        if pauses:
            self._resumes_at = now + PAUSE_S
        if now >= self._reports_at:
            self._reports_at = now + PAUSE_S
            log.warning("turns go on, but are not remembered: the store failed: %s", why)


class _Output(msgspec.Struct):
    output: list[Item] = []


def readable(data: bytes, form: type[T], what: str) -> T:
    """Decode what a store gave back. Raises `TurnError` (STORE_FAILED) when it is damaged."""
    try:
        return msgspec.json.decode(data, type=form)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise TurnError(
            Kind.STORE_FAILED, f"The gateway's store holds {what} in a form that nobody can read."
        ) from None


def record_of(recalled: Recalled, response: r.AnyResponse, events: bytes = b"") -> StoredResponse:
    """A response as it is stored, with what its request added."""
    return StoredResponse(
        id=response.id,
        created_at=response.created_at,
        body=r.encode_json(response),
        input=recalled.own,
        parent=recalled.parent,
        conversation=recalled.conversation,
        events=events,
    )


def stored_form(items: Iterable[Any], before: Iterable[Item] = ()) -> list[Item]:
    """The items as they are stored (`as_stored`), no two with one id, nor with one of `before`.

    Some clients number the items of each request anew. An item with a taken id would replace the
    one that has it, so it gets an id of ours.
    """
    taken = {item.get("id") for item in before if isinstance(item.get("id"), str)}
    stored = []
    for item in as_stored(items, new_id):
        if item["id"] in taken:
            (item,) = as_stored([{**item, "id": None}], new_id)
        taken.add(item["id"])
        stored.append(item)
    return stored


def new_id(prefix: str) -> str:
    """A new id; Codex keeps those of the form prefix_lettersanddigits (codex-cli.md 2.1)."""
    return f"{prefix}_{secrets.token_hex(16)}"


def conversation_items(items: Iterable[Item]) -> list[StoredItem]:
    """Items in their stored form (`stored_form`) as a conversation keeps them."""
    return [
        StoredItem(item["id"], msgspec.json.encode(item), _call_id(item.get("call_id")))
        for item in items
    ]


def _call_id(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _turn_of(recalled: Recalled, response: r.AnyResponse) -> list[StoredItem]:
    """What a turn adds to its conversation, which a compaction leaves as it is."""
    said = [item for item in response.output if not _stands_for_all(item)]
    asked = msgspec.json.decode(recalled.own, type=list[Item])
    return conversation_items([item for item in asked if item["type"] != TRIGGER]) + [
        StoredItem(item.id, r.encode_json(item), getattr(item, "call_id", "")) for item in said
    ]


def _is_compacted(output: list[Item]) -> bool:
    """Whether this output stands for everything before it."""
    return any(item.get("type") in SUMMARY_ITEMS for item in output)


def _output_ids(stored: StoredResponse) -> list[str]:
    try:
        output = msgspec.json.decode(stored.body, type=_Output).output
    except (msgspec.DecodeError, UnicodeError):
        # What is damaged can be deleted too.
        return []
    return [item["id"] for item in output if isinstance(item.get("id"), str)]


def _stands_for_all(item: r.AnyItem) -> bool:
    return isinstance(item, r.CompactionItem) or getattr(item, "type", "") == "compaction"


def _stored(item: r.AnyItem, trail: Trail) -> StoredItem:
    is_reasoning = isinstance(item, r.ReasoningItem) or getattr(item, "type", "") == "reasoning"
    led_by = trail.follow(item.id, is_reasoning)
    body = r.encode_json({"item": item, "led_by": led_by})
    return StoredItem(item.id, body, getattr(item, "call_id", ""))


def _decoded(found: dict[str, bytes]) -> dict[str, Remembered]:
    return {id: readable(body, Remembered, f"the item {id[:80]!r}") for id, body in found.items()}


def _input_items(request: dict[str, Any]) -> list[Any]:
    value = request.get("input")
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    return value or []


def _conversation_id(request: dict[str, Any]) -> str:
    value = request.get("conversation")
    if isinstance(value, dict):
        value = value.get("id")
        if not isinstance(value, str) or not value:
            _refuse("conversation.id", "conversation.id must be the id of a conversation.")
    return value or ""


def _absent(message: str) -> NoReturn:
    raise TurnError(Kind.NOT_FOUND, message)


def _refuse(param: str, message: str) -> NoReturn:
    raise TurnError(Kind.INVALID_REQUEST, f"Invalid request: {message}", param=param)
