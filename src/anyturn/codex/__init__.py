"""What is particular to the Codex CLI: its model catalogue and how to start it."""
