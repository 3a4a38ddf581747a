"""`anyturn down`: end a background gateway, and let its open streams finish."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from anyturn.cli.gateways import ALIVE, WhichOption, known, the_one
from anyturn.cli.screen import error_screen, screen
from anyturn.daemon.folder import DaemonError, Folder, Phase
from anyturn.daemon.process import ask_to_end, wait_for_end

AllOption = Annotated[bool, typer.Option("--all", help="All of them.")]
NowOption = Annotated[bool, typer.Option("--now", help="Kill it, and cut its open streams.")]


def down(port: WhichOption = None, every: AllOption = False, now: NowOption = False) -> None:
    """End a background gateway. Open streams may finish, within shutdown_timeout_s.

    Exit code 1 when it has not ended some time after that.
    """
    if every:
        chosen = known([*ALIVE, Phase.ENDED])
    else:
        one = the_one(port, ALIVE, [Phase.ENDED])
        chosen = [one] if one else []
    if not chosen:
        screen().print("No gateway runs in the background.")
    ended, problems = [], []
    for folder in chosen:
        try:
            ended.append(end(folder, now=now))
        except DaemonError as error:
            problems.append(str(error))
    if problems:
        raise DaemonError("\n".join(problems))
    if not all(ended):
        raise typer.Exit(1)


def end(folder: Folder, *, now: bool = False) -> bool:
    """End one gateway and say what became of it; returns whether nothing runs any more."""
    began = time.monotonic()
    phase, state = ask_to_end(folder, now=now)
    out, where = screen(), f"on port {folder.port}"
    if phase is Phase.ABSENT:
        out.print(f"No gateway runs {where}.")
    elif phase is Phase.ENDED:
        words = f"The gateway {where} had ended without being asked; what it left is cleaned."
        out.print(words, soft_wrap=True)
    elif state is not None:
        if not now:
            limit = f"{state.shutdown_timeout_s:g} s"
            out.print(f"The gateway {where} is asked to end; open streams have {limit}.")
        if not wait_for_end(folder, state):
            error_screen().print(
                f"The gateway {where} (process {state.pid}) has not ended yet. "
                f"To kill it: anyturn down --port {folder.port} --now",
                style="yellow",
                soft_wrap=True,
            )
            return False
        out.print(f"It ended after {time.monotonic() - began:.1f} s.")
    return True
