"""What the SQLite store asks of its tables: each function is one job on a connection.

`since` is the time after which a record must have been put to be still known.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import zstandard

from anyturn.store.records import (
    MissingLink,
    Order,
    Stats,
    StoredConversation,
    StoredItem,
    StoredResponse,
    StoreError,
)

# Smaller bodies share a page with others anyway.
_PACKED_FROM = 2048
_MOST_UNPACKED = 1 << 30
# As many names in one question as every build of SQLite takes.
_NAMES_AT_ONCE = 500


# ---------------------------------------------------------------- bodies


def pack(body: bytes) -> bytes:
    """The body as it is stored: compressed where that makes it clearly smaller.

    What begins like compressed data is always compressed, so that `unpack` cannot be misled.
    """
    misleading = body.startswith(zstandard.FRAME_HEADER)
    if len(body) < _PACKED_FROM and not misleading:
        return body
    packed = zstandard.ZstdCompressor(level=1).compress(body)
    return packed if misleading or len(packed) < 0.9 * len(body) else body


def unpack(stored: bytes) -> bytes:
    """The body that `pack` was given. Raises `StoreError` when it was damaged since."""
    if not stored.startswith(zstandard.FRAME_HEADER):
        return stored
    try:
        # A damaged size must not ask for all of the memory.
        if zstandard.frame_content_size(stored) > _MOST_UNPACKED:
            raise zstandard.ZstdError
        return zstandard.ZstdDecompressor().decompress(stored)
    except zstandard.ZstdError:
        raise StoreError("A record of the store is damaged.") from None


# ---------------------------------------------------------------- items


def put_items(
    connection: sqlite3.Connection, owner: str, items: Sequence[StoredItem], now: float
) -> None:
    """Insert or replace items."""
    connection.executemany(
        "INSERT OR REPLACE INTO items (owner, id, call_id, put_at, body) VALUES (?, ?, ?, ?, ?)",
        [(owner, item.id, item.call_id, now, pack(item.body)) for item in items],
    )


def get_items(
    connection: sqlite3.Connection, owner: str, ids: Collection[str], since: float
) -> dict[str, bytes]:
    """The bodies of the known ones among these items, by id."""
    question = (
        "SELECT id, body FROM items WHERE owner = ? AND put_at > ? AND id IN ({names}) ORDER BY seq"
    )
    return _bodies(connection, question, owner, since, ids)


def get_calls(
    connection: sqlite3.Connection, owner: str, call_ids: Collection[str], since: float
) -> dict[str, bytes]:
    """The bodies of calls by call id, the last put where there are several."""
    question = (
        "SELECT call_id, body FROM items WHERE owner = ? AND put_at > ? AND call_id <> '' "
        "AND call_id IN ({names}) ORDER BY seq"
    )
    return _bodies(connection, question, owner, since, call_ids)


def _bodies(
    connection: sqlite3.Connection, question: str, owner: str, since: float, names: Collection[str]
) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for some in _in_parts(list(names)):
        marks = ", ".join("?" * len(some))
        found.update(connection.execute(question.format(names=marks), (owner, since, *some)))
    return {name: unpack(body) for name, body in found.items()}


def _in_parts(all_of_them: list[Any]) -> Iterator[list[Any]]:
    for at in range(0, len(all_of_them), _NAMES_AT_ONCE):
        yield all_of_them[at : at + _NAMES_AT_ONCE]


def delete_items(
    connection: sqlite3.Connection, owner: str, ids: Collection[str], since: float
) -> int:
    """Delete items; how many of them were known."""
    return connection.executemany(
        "DELETE FROM items WHERE owner = ? AND put_at > ? AND id = ?",
        [(owner, since, id) for id in ids],
    ).rowcount


# ---------------------------------------------------------------- responses

_RESPONSE = "id, created_at, body, input, parent, conversation"
_WALK = """
    WITH RECURSIVE chain (depth, seq, parent) AS (
        SELECT 1, seq, parent FROM responses WHERE owner = :owner AND id = :id AND put_at > :since
        UNION ALL
        SELECT depth + 1, older.seq, older.parent
        FROM chain JOIN responses AS older ON older.owner = :owner AND older.id = chain.parent
        WHERE chain.parent <> '' AND older.put_at > :since AND depth <= :most
    )
    SELECT seq, parent FROM chain ORDER BY depth
"""


def put_response(
    connection: sqlite3.Connection, owner: str, response: StoredResponse, now: float
) -> None:
    """Insert or replace a response."""
    connection.execute(
        f"INSERT OR REPLACE INTO responses ({_RESPONSE}, events, owner, put_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(response.id, response.created_at, pack(response.body), pack(response.input)),
            *(response.parent, response.conversation, pack(response.events), owner, now),
        ),
    )


def get_response(
    connection: sqlite3.Connection, owner: str, id: str, since: float
) -> StoredResponse | None:
    """One response, or None."""
    row = connection.execute(
        f"SELECT {_RESPONSE}, events FROM responses WHERE owner = ? AND id = ? AND put_at > ?",
        (owner, id, since),
    ).fetchone()
    return _response(row) if row else None


def get_chain(
    connection: sqlite3.Connection, owner: str, id: str, most: int, since: float
) -> list[StoredResponse]:
    """A response and all that it continues, the first one first."""
    # Without bodies first: a chain that is refused must not be read into memory before.
    asked = {"owner": owner, "id": id, "since": since, "most": most}
    walked: list[tuple[int, str]] = connection.execute(_WALK, asked).fetchall()
    if len(walked) > most:
        raise StoreError(f"A response continues more than {most} others.")
    missing = walked[-1][1] if walked else id
    if missing or not walked:
        raise MissingLink(missing)
    chain: dict[int, StoredResponse] = {}
    for some in _in_parts([seq for seq, _ in walked]):
        marks = ", ".join("?" * len(some))
        question = f"SELECT seq, {_RESPONSE} FROM responses WHERE seq IN ({marks})"
        chain.update((row[0], _response(row[1:])) for row in connection.execute(question, some))
    return [chain[seq] for seq, _ in reversed(walked)]


def _response(row: Sequence[Any]) -> StoredResponse:
    id, created_at, body, input, parent, conversation, *events = row
    return StoredResponse(
        id=id,
        created_at=created_at,
        body=unpack(body),
        input=unpack(input),
        parent=parent,
        conversation=conversation,
        events=unpack(events[0]) if events else b"",
    )


def delete_response(connection: sqlite3.Connection, owner: str, id: str, since: float) -> bool:
    """Delete a response; whether it was known."""
    return _delete_one(connection, "responses", owner, id, since)


# ---------------------------------------------------------------- conversations


def put_conversation(
    connection: sqlite3.Connection,
    owner: str,
    conversation: StoredConversation,
    now: float,
    since: float,
) -> None:
    """Insert a conversation, or change it and keep its items."""
    # One that is too old is gone, with its items, even if nobody has cleared it away yet.
    connection.execute(
        "DELETE FROM conversations WHERE owner = ? AND id = ? AND put_at <= ?",
        (owner, conversation.id, since),
    )
    connection.execute(
        "INSERT INTO conversations (owner, id, created_at, put_at, metadata) "
        "VALUES (?, ?, ?, ?, ?) ON CONFLICT (owner, id) DO UPDATE SET "
        "created_at = excluded.created_at, put_at = excluded.put_at, metadata = excluded.metadata",
        (owner, conversation.id, conversation.created_at, now, pack(conversation.metadata)),
    )


def get_conversation(
    connection: sqlite3.Connection, owner: str, id: str, since: float
) -> StoredConversation | None:
    """One conversation, or None."""
    row = connection.execute(
        "SELECT id, created_at, metadata FROM conversations "
        "WHERE owner = ? AND id = ? AND put_at > ?",
        (owner, id, since),
    ).fetchone()
    return StoredConversation(row[0], row[1], unpack(row[2])) if row else None


def delete_conversation(connection: sqlite3.Connection, owner: str, id: str, since: float) -> bool:
    """Delete a conversation and its items; whether it was known."""
    return _delete_one(connection, "conversations", owner, id, since)


def add_to_conversation(
    connection: sqlite3.Connection,
    owner: str,
    id: str,
    items: Sequence[StoredItem],
    now: float,
    since: float,
) -> bool:
    """Append items to a conversation; False when it is not known."""
    seq = _conversation(connection, owner, id, since)
    if seq is None:
        return False
    connection.execute("UPDATE conversations SET put_at = ? WHERE seq = ?", (now, seq))
    connection.executemany(
        "INSERT INTO conversation_items (conversation, id, call_id, body) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (conversation, id) DO UPDATE "
        "SET call_id = excluded.call_id, body = excluded.body",
        [(seq, item.id, item.call_id, pack(item.body)) for item in items],
    )
    return True


def conversation_items(
    connection: sqlite3.Connection,
    owner: str,
    id: str,
    after: str,
    limit: int,
    order: Order,
    since: float,
) -> list[StoredItem]:
    """Items of a conversation, in order or in the opposite one."""
    seq = _conversation(connection, owner, id, since)
    if seq is None:
        return []
    behind, way = (">", "ASC") if order == "asc" else ("<", "DESC")
    place = "SELECT position FROM conversation_items WHERE conversation = :seq AND id = :after"
    rows = connection.execute(
        "SELECT id, body, call_id FROM conversation_items WHERE conversation = :seq "
        f"AND (:after = '' OR position {behind} ({place})) "
        f"ORDER BY position {way} LIMIT :limit",
        {"seq": seq, "after": after, "limit": limit or -1},
    )
    return [StoredItem(row[0], unpack(row[1]), row[2]) for row in rows]


def delete_conversation_item(
    connection: sqlite3.Connection, owner: str, id: str, item_id: str, since: float
) -> bool:
    """Take an item out of a conversation; whether it was there."""
    seq = _conversation(connection, owner, id, since)
    gone = connection.execute(
        "DELETE FROM conversation_items WHERE conversation = ? AND id = ?", (seq, item_id)
    )
    return gone.rowcount > 0


def _conversation(connection: sqlite3.Connection, owner: str, id: str, since: float) -> int | None:
    row = connection.execute(
        "SELECT seq FROM conversations WHERE owner = ? AND id = ? AND put_at > ?",
        (owner, id, since),
    ).fetchone()
    return int(row[0]) if row else None


def _delete_one(
    connection: sqlite3.Connection, table: str, owner: str, id: str, since: float
) -> bool:
    gone = connection.execute(
        f"DELETE FROM {table} WHERE owner = ? AND id = ? AND put_at > ?", (owner, id, since)
    )
    return gone.rowcount > 0


# ---------------------------------------------------------------- the whole


def count(connection: sqlite3.Connection, since: float) -> Stats:
    """Count what is known; `bytes` is left to whoever knows the files."""
    items, responses, conversations, first = (
        connection.execute(f"SELECT {what} FROM {table} WHERE put_at > ?", (since,)).fetchone()[0]
        for what, table in (
            *(("count(*)", table) for table in ("items", "responses", "conversations")),
            ("min(created_at)", "responses"),
        )
    )
    return Stats("sqlite", items, responses, conversations, bytes=0, oldest=first)


class Old(NamedTuple):
    """A record that may have to go, and the bytes of its bodies."""

    table: str
    seq: int
    size: int


_SIZES = {
    "items": "length(body)",
    "responses": "length(body) + length(input) + length(events)",
    "conversations": "length(metadata) + (SELECT coalesce(sum(length(body)), 0) "
    "FROM conversation_items WHERE conversation = seq)",
}
_OLDEST = " UNION ALL ".join(
    f"SELECT * FROM (SELECT '{table}', seq, {size}, put_at AS age FROM {table} "
    "WHERE put_at <= :until ORDER BY put_at, seq LIMIT :limit)"
    for table, size in _SIZES.items()
)


def oldest(connection: sqlite3.Connection, limit: int, until: float) -> list[Old]:
    """The records that were last put the longest ago, not after `until`."""
    rows = connection.execute(
        f"{_OLDEST} ORDER BY age, seq LIMIT :limit", {"limit": limit, "until": until}
    )
    return [Old(table, seq, size) for table, seq, size, _ in rows]


def delete(connection: sqlite3.Connection, records: Sequence[Old]) -> None:
    """Delete these records."""
    for table in _SIZES:
        its = [(record.seq,) for record in records if record.table == table]
        if its:
            connection.executemany(f"DELETE FROM {table} WHERE seq = ?", its)
