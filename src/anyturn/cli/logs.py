"""`anyturn logs`: what a background gateway said."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Annotated

import typer

from anyturn.cli.gateways import ALIVE, WhichOption, the_one
from anyturn.daemon.folder import DaemonError, Phase
from anyturn.daemon.log_file import last_lines

FollowOption = Annotated[
    bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
]
CountOption = Annotated[int, typer.Option("--lines", "-n", help="How many lines.", min=0)]


def logs(port: WhichOption = None, follow: FollowOption = False, lines: CountOption = 50) -> None:
    """Show the end of a background gateway's log, also after it has ended."""
    folder = the_one(port, ALIVE, [Phase.ENDED], [Phase.ABSENT])
    try:
        with suppress(KeyboardInterrupt):
            for block in last_lines(folder.log, lines, follow=follow) if folder else ():
                sys.stdout.buffer.write(block)
                sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except FileNotFoundError:
        folder = None
    except OSError as error:
        raise DaemonError(f"The log cannot be read: {error}.") from None
    if folder is None:
        where = f"on port {port}" if port else "in the background"
        raise DaemonError(f"There is no log: no gateway ran {where}. See anyturn up --help.")
