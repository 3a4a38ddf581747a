"""`anyturn systemd`: a unit that runs the gateway as a service of yours."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from anyturn.cli.screen import error_screen
from anyturn.cli.serve import given, takes_flags_of_serve
from anyturn.config import OPTIONS, ConfigError, load_settings
from anyturn.config_places import user_file
from anyturn.daemon.folder import DaemonError, arguments_of
from anyturn.daemon.process import FAREWELL_S
from anyturn.daemon.systemd import unit_text
from anyturn.routing import Routing

ENVIRONMENT_NAME = "gateway.env"
InstallOption = Annotated[
    bool, typer.Option("--install", help="Write it to your folder of systemd units.")
]


@takes_flags_of_serve
def systemd(install: InstallOption = False, **flags: Any) -> None:
    """Print a systemd user unit that runs anyturn serve with these flags.

    Nothing is started, and nothing written unless --install says so.
    """
    stated, cwd = given(**flags), Path.cwd()
    settings = load_settings(stated, os.environ, cwd)
    if not settings.port:
        raise DaemonError("A service needs a port of its own: --port.")
    stated["port"] = settings.port
    try:
        key = Routing(settings, os.environ).default.key_source or ""
    except ConfigError as error:
        # The key may well stand in the unit's own environment only.
        _note(f"As things are here, it would not start: {error}")
        key = ""
    environment = user_file(ENVIRONMENT_NAME, os.environ)
    text = unit_text(
        [sys.executable, "-P", "-m", "anyturn", "serve", *arguments_of(stated)],
        port=settings.port,
        cwd=cwd,
        environment_file=environment,
        key_variable=key if key in os.environ else "CEREBRAS_API_KEY",
        stop_limit_s=settings.shutdown_timeout_s + FAREWELL_S,
    )
    own = [option.variable for option in OPTIONS.values() if os.environ.get(option.variable)]
    if own:
        _note(f"Set here and not in the unit: {', '.join(own)}. Put them into {environment}.")
    if install:
        _install(text, f"anyturn-{settings.port}.service")
    else:
        print(text, end="")


def _install(text: str, name: str) -> None:
    if not sys.platform.startswith("linux"):
        raise DaemonError("systemd is there on Linux only. Without --install the unit is printed.")
    own = user_file("", os.environ)
    if own is None:
        raise DaemonError("There is no folder for units: neither HOME nor XDG_CONFIG_HOME is set.")
    path = own.parent / "systemd" / "user" / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DaemonError(f"{path} cannot be written: {error.strerror}.") from None
    print(path)
    _note(
        "Then:\n  systemctl --user daemon-reload\n"
        f"  systemctl --user enable --now {name}\n"
        "  loginctl enable-linger   # to run without being logged in"
    )


def _note(words: str) -> None:
    error_screen().print(escape(words), style="dim", soft_wrap=True)
