"""The tables of the SQLite store, and how older files become today's.

`put_at` is when a record was last put: what is too old, and what is the oldest, follows from it. A
lower time to live so holds for what is already there, too. `seq` grows with every put of an item or
response, because these are replaced and not changed.
"""

from __future__ import annotations

import sqlite3

# "Anyt": tells our files from those of other programs.
APPLICATION_ID = 0x416E7974

# Step n lifts a file from version n to n + 1. A step that was released is never changed.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE items (
            seq INTEGER PRIMARY KEY,
            owner TEXT NOT NULL,
            id TEXT NOT NULL,
            call_id TEXT NOT NULL,
            put_at REAL NOT NULL,
            body BLOB NOT NULL,
            UNIQUE (owner, id)
        )
        """,
        "CREATE INDEX items_by_call ON items (owner, call_id) WHERE call_id <> ''",
        "CREATE INDEX items_by_age ON items (put_at)",
        """
        CREATE TABLE responses (
            seq INTEGER PRIMARY KEY,
            owner TEXT NOT NULL,
            id TEXT NOT NULL,
            parent TEXT NOT NULL,
            conversation TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            put_at REAL NOT NULL,
            body BLOB NOT NULL,
            input BLOB NOT NULL,
            events BLOB NOT NULL,
            UNIQUE (owner, id)
        )
        """,
        # created_at is in there so that the oldest is found without reading a body.
        "CREATE INDEX responses_by_age ON responses (put_at, created_at)",
        """
        CREATE TABLE conversations (
            seq INTEGER PRIMARY KEY,
            owner TEXT NOT NULL,
            id TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            put_at REAL NOT NULL,
            metadata BLOB NOT NULL,
            UNIQUE (owner, id)
        )
        """,
        "CREATE INDEX conversations_by_age ON conversations (put_at)",
        """
        CREATE TABLE conversation_items (
            position INTEGER PRIMARY KEY,
            conversation INTEGER NOT NULL REFERENCES conversations (seq) ON DELETE CASCADE,
            id TEXT NOT NULL,
            call_id TEXT NOT NULL,
            body BLOB NOT NULL,
            UNIQUE (conversation, id)
        )
        """,
    ),
)


def version_of(connection: sqlite3.Connection) -> int:
    """The number of steps that the file has behind it."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def is_foreign(connection: sqlite3.Connection) -> bool:
    """Whether the file is another program's; an empty one is nobody's yet."""
    if connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID:
        return False
    used = connection.execute("SELECT EXISTS (SELECT 1 FROM sqlite_master)").fetchone()[0]
    return bool(used or version_of(connection))


def migrate(connection: sqlite3.Connection) -> None:
    """Lift the file to today's version, all steps or none."""
    if version_of(connection) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Asked again: another process may have been faster.
        for step in MIGRATIONS[version_of(connection) :]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
