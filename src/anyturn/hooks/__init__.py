"""What users may hang into a turn. A hook is never in the turn's way."""
