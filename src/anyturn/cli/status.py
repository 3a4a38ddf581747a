"""`anyturn status`: which logins there are, and how long they hold. Never a token."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from anyturn.auth.chatgpt_account import NO_LOGIN, LoginState
from anyturn.cli.screen import error_screen, screen
from anyturn.cli.serve import ConfigOption, load
from anyturn.routing import chatgpt_account

_MARKS = {
    "ready": "[green]✔ ready[/]",
    "expired": "[yellow]expired[/]",
    "ended": "[red]✘ ended[/]",
    "damaged": "[red]✘ damaged[/]",
}


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    config: ConfigOption = None,
) -> None:
    """Show the ChatGPT logins: whose they are, of which account, and how long they hold.

    Exit code 1 when the one that counts cannot be used.
    """
    now = time.time()
    states = chatgpt_account(load(config=config)).states(now)
    if as_json:
        rows = {"chatgpt": [_row(state) for state in states]}
        print(msgspec.json.format(msgspec.json.encode(rows)).decode())
    elif states:
        _show(states, now)
    else:
        screen().print(f"{NO_LOGIN}, or log in with Codex.")
    if not any(state.used and state.state == "ready" for state in states):
        raise typer.Exit(1)


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
    """How long from now, in the largest unit that says enough."""
    if moment is None:
        return "unknown"
    left = moment - now
    if left <= 0:
        return "over"
    for seconds, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if left >= 2 * seconds:
            return f"{left // seconds:.0f} {unit}"
    return f"{left:.0f} s"
