"""`anyturn up` and `anyturn restart`: the gateway, in the background."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from anyturn.cli.down import end
from anyturn.cli.gateways import ALIVE, root, the_one
from anyturn.cli.screen import error_screen, facts_table, from_home, screen, target_rows
from anyturn.cli.serve import (
    alias_rows,
    given,
    show_codex_command,
    show_inspector,
    takes_flags_of_serve,
)
from anyturn.config import Settings, load_settings
from anyturn.daemon.folder import DaemonError, Flags, Folder, Phase, State, arguments_of, shown
from anyturn.daemon.process import Started, start
from anyturn.routing import Routing

# Flags with paths: they mean the same wherever the gateway is started again.
_PATHS = ("config", "capture")
UrlOption = Annotated[
    bool, typer.Option("--url", help="Print the address alone, the rest to standard error.")
]


@takes_flags_of_serve
def up(url: UrlOption = False, **flags: Any) -> None:
    """Run the gateway in the background: all that anyturn serve takes.

    It listens when the command returns; one that runs already on the port is left alone.
    Keys come from your environment, as it is now.
    """
    stated, cwd = _absolute(given(**flags)), Path.cwd()
    settings = load_settings(stated, os.environ, cwd)
    # What is wrong with the set-up is said here, rather than in a log.
    routing = Routing(settings, os.environ)
    stated["port"] = port = settings.port or _free_port(settings.host)
    _bring_up(Folder(root(), port), stated, cwd, settings, routing, url=url)


@takes_flags_of_serve
def restart(**flags: Any) -> None:
    """End a background gateway and run it again, in the same folder with the same flags.

    Flags that are given take the place of those before; --port says which gateway.
    Keys come from your environment, as it is now.
    """
    new = _absolute(given(**flags))
    port = new.pop("port", None)
    folder = the_one(int(port) if port else None, ALIVE, [Phase.ENDED])
    phase, state = folder.look() if folder else (Phase.ABSENT, None)
    if folder is None or phase is Phase.ABSENT:
        where = f" on port {folder.port}" if folder else ""
        raise DaemonError(f"No gateway runs in the background{where}. Start one: anyturn up.")
    if state is None:
        raise DaemonError(
            f"How the gateway on port {folder.port} was started is not known, it is {phase}: "
            "anyturn down, then anyturn up."
        )
    stated, cwd = {**state.flags, **new}, Path(state.cwd)
    if not cwd.is_dir():
        raise DaemonError(f"Its folder {cwd} is gone: anyturn down, then anyturn up elsewhere.")
    settings = load_settings(stated, os.environ, cwd)
    # Before the old one ends: it is better than none.
    routing = Routing(settings, os.environ)
    if end(folder):
        _bring_up(folder, stated, cwd, settings, routing)
    else:
        raise typer.Exit(1)


def _bring_up(
    folder: Folder,
    flags: Flags,
    cwd: Path,
    settings: Settings,
    routing: Routing,
    *,
    url: bool = False,
) -> None:
    started = start(folder, flags, str(cwd), os.environ)
    state, out = started.state, screen()
    if url:
        print(state.base_url)
    else:
        _say_what_runs(started)
    if not started.new:
        _say_difference(folder, state, flags, settings)
    elif not url:
        rows = [*target_rows(routing.default), *alias_rows(routing)]
        if settings.capture_path is not None:
            rows.append(("captures", escape(from_home(str(settings.capture_path)))))
        rows.append(("log", escape(from_home(str(folder.log)))))
        out.print()
        out.print(facts_table(rows))
    if started.inspector and not url:
        show_inspector(started.inspector)
    elif state.flags.get("inspector") and not (started.new or url):
        again = f"anyturn restart{_at(folder)}"
        words = f"\nThe link to its inspector was shown when it started. For a new one: {again}"
        out.print(words, soft_wrap=True)
    if not url:
        _say_how_to_use_it(folder, state)
    for line in started.said:
        error_screen().print(escape(line), style="yellow", soft_wrap=True)


def _say_what_runs(started: Started) -> None:
    state, out = started.state, screen()
    if started.replaced:
        out.print("The one before had ended without being asked; what it left is cleaned.")
    how = "runs" if started.new else "runs already"
    out.print(
        f"[bold]Anyturn {escape(state.version)}[/] {how} in the background at "
        f"[bold cyan]{state.base_url}[/]  [dim](process {state.pid})[/]",
        soft_wrap=True,
    )


def _say_difference(folder: Folder, state: State, flags: Flags, settings: Settings) -> None:
    file = str(settings.config_file) if settings.config_file else None
    words = []
    if state.flags != flags:
        words.append(f"It was started with other flags: {shown(arguments_of(state.flags))}")
    if state.config_file != file:
        theirs, yours = state.config_file or "no configuration file", file or "none"
        words.append(f"It was started with {theirs}, and here it would be {yours}.")
        words.append(f"To start it from here: anyturn down{_at(folder)}, then anyturn up.")
    elif words:
        words.append(f"To give it yours: anyturn restart{_at(folder)} and the flags.")
    for line in words:
        error_screen().print(escape(line), style="yellow", soft_wrap=True)


def _say_how_to_use_it(folder: Folder, state: State) -> None:
    out = screen()
    key = "any_...   # a key of anyturn keys add NAME" if state.needs_key else "any"
    out.print("\nPoint clients at it:\n")
    out.print(f"  export OPENAI_BASE_URL={state.base_url}", style="green", soft_wrap=True)
    out.print(f"  export OPENAI_API_KEY={key}", style="green", soft_wrap=True)
    out.print("\nOr run Codex on it:\n")
    show_codex_command(state.base_url, state.model, needs_key=state.needs_key)
    at = _at(folder)
    out.print(f"\nanyturn logs{at} shows what it does, anyturn down{at} ends it.", soft_wrap=True)


def _at(folder: Folder) -> str:
    return f" --port {folder.port}"


def _absolute(flags: Flags) -> Flags:
    paths = {name: str(Path.cwd() / str(flags[name])) for name in _PATHS if flags.get(name)}
    return {**flags, **paths}


def _free_port(host: str) -> int:
    """A port that was free a moment ago: the folder is named after it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.bind((host, 0))
        except OSError as error:
            raise DaemonError(f"Cannot listen on {host}: {error.strerror}.") from None
        port: int = probe.getsockname()[1]
    return port
