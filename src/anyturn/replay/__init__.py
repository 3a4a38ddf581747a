"""Run what was recorded again: as the provider, or as the client."""
