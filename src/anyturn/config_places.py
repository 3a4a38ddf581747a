"""Where the files of one user stand: the XDG folders, or what a setting says.

Every path is absolute when `cwd` is; None, or an empty path, where there is no home folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

KEYS_NAME = "keys.json"
LOGIN_NAME = "chatgpt.json"
_OWN = "anyturn"
_USER_DIRECTORIES = {"CONFIG": ".config", "STATE": ".local/state"}


def user_file(name: str, environ: Mapping[str, str], *, kind: str = "CONFIG") -> Path | None:
    """Return our file `name` in $XDG_CONFIG_HOME, which counts when absolute, or ~/.config.

    `kind` may be STATE for what is not configuration.
    """
    stated = Path(environ.get(f"XDG_{kind}_HOME", ""))
    if stated.is_absolute():
        return stated / _OWN / name
    home = _home(environ)
    return home / _USER_DIRECTORIES[kind] / _OWN / name if home else None


def keys_path(stated: str, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """Return the file of the clients' keys."""
    return cwd / stated if stated else user_file(KEYS_NAME, environ)


def codex_login_path(environ: Mapping[str, str], cwd: Path) -> Path | None:
    """Return where Codex keeps its login."""
    if stated := environ.get("CODEX_HOME"):
        return cwd / stated / "auth.json"
    home = _home(environ)
    return home / ".codex" / "auth.json" if home else None


def captures_path(environ: Mapping[str, str]) -> Path | None:
    """Return where turns are recorded when it is only said that they are."""
    return user_file("captures", environ, kind="STATE")


def store_path(stated: str, environ: Mapping[str, str], cwd: Path) -> str:
    """Return the path of the SQLite store."""
    if stated:
        home = _home(environ)
        own = stated == "~" or stated.startswith("~/")
        return str(home / stated[2:] if home and own else cwd / stated)
    path = user_file("store.sqlite3", environ, kind="STATE")
    return str(path) if path else ""


def _home(environ: Mapping[str, str]) -> Path | None:
    home = environ.get("HOME") or environ.get("USERPROFILE")
    return Path(home) if home else None
