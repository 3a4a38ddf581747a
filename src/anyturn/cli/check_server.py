"""Live checks of a server, which `anyturn check URL` runs."""

from __future__ import annotations

from anyturn.config import ConfigError


def check_server(base_url: str, clients: tuple[str, ...]) -> int:
    """Check the server at `base_url` for these clients and return the exit code.

    Not there yet: raises `ConfigError`, which says so.
    """
    raise ConfigError(
        f"{base_url} cannot be checked live yet: that comes with the next change. Record a stream "
        "with `curl -N ... > answer.sse` and check the file."
    )
