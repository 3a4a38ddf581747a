"""Gateways that run in the background: one folder for each port, one lock for each gateway."""
