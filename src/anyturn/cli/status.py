"""`anyturn status`: the gateways in the background, and the logins. Never a token."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from anyturn.auth.chatgpt_account import NO_LOGIN, LoginState
from anyturn.cli.gateways import ALIVE, known
from anyturn.cli.screen import error_screen, screen
from anyturn.cli.serve import ConfigOption, load
from anyturn.daemon.folder import Folder, Phase, State, arguments_of, shown
from anyturn.daemon.process import damaged
from anyturn.routing import chatgpt_account

_MARKS = {
    "ready": "[green]✔ ready[/]",
    "expired": "[yellow]expired[/]",
    "ended": "[red]✘ ended[/]",
    "damaged": "[red]✘ damaged[/]",
}
_PHASES = {
    Phase.STARTING: "[yellow]starting[/]",
    Phase.RUNNING: "[green]✔ running[/]",
    Phase.STOPPING: "[yellow]stopping[/]",
    Phase.ENDED: "[red]✘ ended[/]",
    Phase.DAMAGED: "[red]✘ damaged[/]",
}
_SHOWN = (*ALIVE, Phase.ENDED)
_FINE = (Phase.STARTING, Phase.RUNNING, Phase.STOPPING)
_Gateway = tuple[Folder, Phase, State | None]


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    config: ConfigOption = None,
) -> None:
    """Show the gateways that run in the background, and the ChatGPT logins.

    Exit code 1 when something of Anyturn's own needs you: a gateway that ended without being asked,
    a login of its own that cannot be used; and when there is nothing, no gateway and no login.
    """
    now = time.time()
    gateways = [(folder, *folder.look()) for folder in known(_SHOWN)]
    if gateways and not as_json:
        _show_gateways(gateways, now)
    states = chatgpt_account(load(config=config)).states(now)
    if as_json:
        rows = {
            "gateways": [_gateway_row(*one) for one in gateways],
            "chatgpt": [_row(state) for state in states],
        }
        print(msgspec.json.format(msgspec.json.encode(rows)).decode())
    else:
        if not gateways:
            screen().print("No gateway runs in the background: anyturn up starts one.")
        screen().print()
        if states:
            _show(states, now)
        else:
            screen().print(f"{NO_LOGIN}, or log in with Codex.")
    ready = any(state.used and state.state == "ready" for state in states)
    broken = any(s.used and s.source == "anyturn" and s.state != "ready" for s in states)
    runs = all(phase in _FINE for _, phase, _ in gateways)
    if broken or not runs or not (gateways or ready):
        raise typer.Exit(1)


def _show_gateways(gateways: list[_Gateway], now: float) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("gateway", "state", "model", "process", "since"):
        table.add_column(heading, no_wrap=True)
    for folder, phase, state in gateways:
        if state is None:
            table.add_row(f"port {folder.port}", _PHASES[phase])
            continue
        table.add_row(
            f"[bold]{state.base_url}[/]",
            _PHASES[phase],
            escape(f"{state.provider}/{state.model}"),
            str(state.pid),
            _length(now - state.started.timestamp()) if phase in _FINE else "",
        )
    out = screen()
    out.print(table)
    for folder, phase, state in gateways:
        if state is not None:
            command = shown(["anyturn", "up", *arguments_of(state.flags)])
            out.print(f"[dim]{folder.port}: {escape(command)}[/]", soft_wrap=True)
        if phase is Phase.ENDED:
            words = f"The gateway on port {folder.port} ended without being asked. Why: anyturn "
            words += f"logs --port {folder.port}. Run it again: anyturn restart --port "
            error_screen().print(f"{words}{folder.port}", style="yellow", soft_wrap=True)
        elif phase is Phase.DAMAGED:
            error_screen().print(escape(damaged(folder)), style="yellow", soft_wrap=True)


def _gateway_row(folder: Folder, phase: Phase, state: State | None) -> dict[str, Any]:
    said = msgspec.structs.asdict(state) if state else {}
    said.pop("stopping", None)
    return {"port": folder.port, "state": phase, "log": str(folder.log), **said}


def _show(states: list[LoginState], now: float) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("source", "state", "account", "plan", "token holds", "where"):
        table.add_column(heading, no_wrap=True)
    for state in states:
        table.add_row(
            f"[bold]{state.source}[/]" if state.used else f"[dim]{state.source}, not used[/]",
            _MARKS[state.state],
            escape(state.account),
            escape(state.plan),
            _span(state.expires_at, now),
            f"[dim]{escape(state.path)}[/]",
        )
    screen().print(table)
    for state in states:
        if state.words:
            error_screen().print(escape(state.words), style="yellow", soft_wrap=True)


def _row(state: LoginState) -> dict[str, Any]:
    moment = state.expires_at
    expires = None if moment is None else datetime.fromtimestamp(moment, UTC)
    return {**msgspec.structs.asdict(state), "expires_at": expires}


def _span(moment: float | None, now: float) -> str:
    """How long from now."""
    if moment is None:
        return "unknown"
    return _length(moment - now) if moment > now else "over"


def _length(seconds: float) -> str:
    """A time in the largest unit that says enough."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"
