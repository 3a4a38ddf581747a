"""Memory of items, responses and conversations: in the process, in SQLite, or in Redis."""
