"""What a recorded turn says: read, redacted, explained, compared. Pure."""
