"""`anyturn inspect`: the inspector for a folder of captures, without a gateway."""

from __future__ import annotations

import asyncio
import signal
import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from anyturn.capture_files import CaptureError, CaptureFolder
from anyturn.cli.captures import folder_of
from anyturn.cli.loop import run
from anyturn.cli.screen import error_screen, log_to_screen, screen
from anyturn.inspector.app import Inspector, standalone
from anyturn.inspector.reading import ReadingProcess
from anyturn.server.lifecycle import listening

_HOST = "127.0.0.1"


def inspect(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Folder of captures. [default: as anyturn captures]"),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 for any.")] = 0,
    opens: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Show recorded turns in the browser: both wires, tool calls, what went wrong and why."""
    where = folder_of(folder)
    if not where.path.is_dir():
        what = "is no folder" if where.path.exists() else "does not exist"
        raise CaptureError(
            f"The folder {str(where.path)!r} {what}. Record turns: anyturn serve --inspector, "
            "or name the folder: anyturn inspect DIR."
        )
    log_to_screen("warning")
    run(_inspect(where, port, opens))


async def _inspect(folder: CaptureFolder, port: int, opens: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    inspector = Inspector(folder, reading=ReadingProcess())
    async with listening(standalone(inspector), _HOST, port) as bound:
        link = inspector.access.link(_HOST, bound)
        out = screen()
        out.print(f"The turns in [bold]{escape(str(folder.path))}[/]:\n")
        out.print(f"  [bold cyan]{link}[/]\n", soft_wrap=True)
        out.print("Only this link lets anybody in, and only from this machine. Ctrl-C stops.")
        if opens and not await asyncio.to_thread(webbrowser.open, link):
            error_screen().print("There is no browser that could be opened.", style="yellow")
        await stop.wait()
        await inspector.close()
