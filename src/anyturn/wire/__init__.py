"""What is on the wire: bytes, chunks, items, parts and events. No I/O, no decisions."""
