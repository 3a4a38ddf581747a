"""`anyturn`: the verbs, and errors as sentences instead of tracebacks."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.markup import escape

import anyturn
from anyturn.auth.key_file import KeysError
from anyturn.capture_files import CaptureError
from anyturn.cli import (
    captures,
    check,
    codex,
    demo,
    down,
    inspect,
    keys,
    login,
    logs,
    providers,
    record,
    replay,
    serve,
    status,
    store,
    systemd,
    up,
)
from anyturn.cli.screen import error_screen
from anyturn.config import ConfigError
from anyturn.daemon.folder import DaemonError
from anyturn.relay.server import BackendError
from anyturn.replay.provider import ReplayError
from anyturn.server.lifecycle import CannotListen
from anyturn.store import StoreError

app = typer.Typer(
    name="anyturn",
    help="Any turn of any agent, on any model, with tool calls that really execute.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve.serve)
app.command()(up.up)
app.command()(down.down)
app.command()(up.restart)
app.command()(status.status)
app.command()(logs.logs)
app.command()(systemd.systemd)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    codex.codex
)
app.command()(demo.demo)
app.command()(check.check)
app.command()(record.record)
app.command()(replay.replay)
app.add_typer(captures.app, name="captures")
app.command()(inspect.inspect)
app.command()(login.login)
app.command()(login.logout)
app.add_typer(providers.app, name="providers")
app.add_typer(keys.app, name="keys")
app.add_typer(store.app, name="store")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"anyturn {anyturn.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version)
    ] = False,
) -> None:
    """Any turn of any agent, on any model, with tool calls that really execute."""


def main() -> None:
    """Run the command line. Exit code 2 for a wrong set-up or store, said in a sentence."""
    try:
        app()
    except (
        *(ConfigError, KeysError, CannotListen, StoreError),
        *(CaptureError, ReplayError, DaemonError, BackendError),
    ) as error:
        error_screen().print(f"[bold red]anyturn:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(2)
