"""Routes of conversations: items that belong together, whoever answered (clients.md 2.5)."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from aiohttp import web

from anyturn.errors import Kind, TurnError
from anyturn.memory import Memory, conversation_items, new_id, readable, stored_form
from anyturn.server.body import read_body
from anyturn.server.callers import caller_of
from anyturn.server.listing import listed, page_of, shown
from anyturn.server.replies import json_reply
from anyturn.store.records import Store, StoredConversation, StoredItem
from anyturn.wire.request import parse_request

JSON = dict[str, Any]

ITEMS_MAX = 20
"""How many items one request may add, as in OpenAI's API."""
KEYS_MAX, KEY_LENGTH_MAX, VALUE_LENGTH_MAX = 16, 64, 512
"""What metadata may hold, as in OpenAI's API."""


# Clients choose the ids of items, and braces are no part of aiohttp's own pattern.
_ITEM = "{item_id:[^/]+}"


class ConversationRoutes:
    """`/v1/conversations` and below."""

    def __init__(self, memory: Memory, max_body_bytes: int) -> None:
        self._memory = memory
        self._max_body_bytes = max_body_bytes

    def add_to(self, app: web.Application, prefix: str) -> None:
        """Register the routes."""
        path = f"{prefix}/conversations"
        one, items = f"{path}/{{id}}", f"{path}/{{id}}/items"
        app.router.add_post(path, self.create)
        app.router.add_get(one, self.fetch, allow_head=False)
        app.router.add_post(one, self.update)
        app.router.add_delete(one, self.delete)
        app.router.add_post(items, self.add_items)
        app.router.add_get(items, self.list_items, allow_head=False)
        app.router.add_get(f"{items}/{_ITEM}", self.fetch_item, allow_head=False)
        app.router.add_delete(f"{items}/{_ITEM}", self.delete_item)

    async def create(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/conversations`: a new one, with items and metadata if they are given."""
        body = await self._read(request)
        made = StoredConversation(new_id("conv"), int(time.time()), _metadata(body))
        items = _items(body, required=False)
        owner = caller_of(request).owner
        await self._memory.asked(self._store.put_conversation(owner, made))
        if items:
            await self._add(owner, made.id, items)
        return json_reply(_shown(made))

    async def fetch(self, request: web.Request) -> web.StreamResponse:
        """`GET /v1/conversations/{id}`."""
        return json_reply(_shown(await self._find(request)))

    async def update(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/conversations/{id}`: other metadata in place of the old."""
        found = await self._find(request)
        body = await self._read(request)
        if "metadata" not in body:
            raise _refuse("metadata", "metadata is missing")
        changed = msgspec.structs.replace(found, metadata=_metadata(body))
        await self._memory.asked(self._store.put_conversation(caller_of(request).owner, changed))
        return json_reply(_shown(changed))

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """`DELETE /v1/conversations/{id}`: forget it and its items."""
        found = await self._find(request)
        await self._memory.asked(
            self._store.delete_conversation(caller_of(request).owner, found.id)
        )
        return json_reply({"id": found.id, "object": "conversation.deleted", "deleted": True})

    async def add_items(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/conversations/{id}/items`: append up to 20 items."""
        found = await self._find(request)
        items = _items(await self._read(request), required=True)
        await self._add(caller_of(request).owner, found.id, items)
        return json_reply(listed(items))

    async def list_items(self, request: web.Request) -> web.StreamResponse:
        """`GET /v1/conversations/{id}/items`: a page, newest first unless asked otherwise."""
        page = page_of(request)
        found = await self._find(request)
        items = await self._all_items(request, found.id)
        return json_reply(page.cut([_decoded(item) for item in items]))

    async def fetch_item(self, request: web.Request) -> web.StreamResponse:
        """`GET /v1/conversations/{id}/items/{item_id}`."""
        found = await self._find(request)
        item_id = request.match_info["item_id"]
        for item in await self._all_items(request, found.id):
            if item.id == item_id:
                return json_reply(shown(_decoded(item)))
        raise _no_item(item_id, found.id)

    async def delete_item(self, request: web.Request) -> web.StreamResponse:
        """`DELETE /v1/conversations/{id}/items/{item_id}`: the conversation without it."""
        found = await self._find(request)
        owner, item_id = caller_of(request).owner, request.match_info["item_id"]
        deleted = self._store.delete_conversation_item(owner, found.id, item_id)
        if not await self._memory.asked(deleted):
            raise _no_item(item_id, found.id)
        return json_reply(_shown(found))

    # ---------------------------------------------------------------- the store

    @property
    def _store(self) -> Store:
        return self._memory.needed_store()

    async def _find(self, request: web.Request) -> StoredConversation:
        owner, conversation_id = caller_of(request).owner, request.match_info["id"]
        found = await self._memory.asked(self._store.get_conversation(owner, conversation_id))
        if found is None:
            message = f"Conversation with id {conversation_id[:80]!r} not found."
            raise TurnError(Kind.NOT_FOUND, message)
        return found

    async def _all_items(self, request: web.Request, conversation_id: str) -> list[StoredItem]:
        owner = caller_of(request).owner
        return await self._memory.asked(self._store.conversation_items(owner, conversation_id))

    async def _add(self, owner: str, conversation_id: str, items: list[JSON]) -> None:
        stored = conversation_items(items)
        await self._memory.asked(self._store.add_to_conversation(owner, conversation_id, stored))

    async def _read(self, request: web.Request) -> JSON:
        raw = await read_body(request, self._max_body_bytes)
        return parse_request(raw) if raw.strip() else {}


def _items(body: JSON, *, required: bool) -> list[JSON]:
    items = body.get("items")
    if items is None and not required:
        return []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise _refuse("items", "items must be a list of objects")
    if len(items) > ITEMS_MAX:
        raise _refuse("items", f"items holds {len(items)} items; at most {ITEMS_MAX} at a time")
    return stored_form(items)


def _metadata(body: JSON) -> bytes:
    metadata = body.get("metadata") or {}
    if len(metadata) > KEYS_MAX:
        raise _refuse("metadata", f"metadata has {len(metadata)} keys; at most {KEYS_MAX}")
    for key, value in metadata.items():
        place = f"metadata.{key[:KEY_LENGTH_MAX]}"
        if len(key) > KEY_LENGTH_MAX:
            raise _refuse(place, f"a key of metadata is longer than {KEY_LENGTH_MAX} characters")
        if not isinstance(value, str):
            raise _refuse(place, "the values of metadata must be strings")
        if len(value) > VALUE_LENGTH_MAX:
            raise _refuse(place, f"{place} is longer than {VALUE_LENGTH_MAX} characters")
    return msgspec.json.encode(metadata)


def _decoded(item: StoredItem) -> JSON:
    return readable(item.body, JSON, f"the item {item.id[:80]!r}")


def _shown(conversation: StoredConversation) -> JSON:
    what = f"the conversation {conversation.id[:80]!r}"
    return {
        "id": conversation.id,
        "object": "conversation",
        "created_at": conversation.created_at,
        "metadata": readable(conversation.metadata, JSON, what),
    }


def _no_item(item_id: str, conversation_id: str) -> TurnError:
    message = f"Item {item_id[:80]!r} not found in the conversation {conversation_id[:80]!r}."
    return TurnError(Kind.NOT_FOUND, message)


def _refuse(param: str, message: str) -> TurnError:
    return TurnError(Kind.INVALID_REQUEST, f"Invalid request: {message}.", param=param)
