"""The terminal: where words go, and how set-ups look."""

from __future__ import annotations

import logging
import os
import re
import sys
from types import TracebackType
from typing import ClassVar, TypeAlias
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from anyturn.config import Settings
from anyturn.own_faults import log_what_nobody_catches, where_from
from anyturn.routing import Target

_ExcInfo: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


def screen() -> Console:
    """Standard output."""
    return Console(highlight=False)


def error_screen() -> Console:
    """Standard error: messages that are not the command's result."""
    return Console(stderr=True, highlight=False)


def picture(out: Console, title: str) -> str:
    """What a recording console has shown, as SVG that loads nothing from elsewhere."""
    svg = out.export_svg(title=title)
    svg = re.sub(r"@font-face\s*\{[^}]*\}", "", svg)
    return svg.replace("Fira Code", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono")


class _LogLine(logging.Formatter):
    """`10:33:44 warning: words`, the level in colour on a terminal. The time has no blanks.

    Rich's own handler costs three times what a whole small turn does.
    """

    _COLOURS: ClassVar[dict[int, str]] = {logging.WARNING: "33", logging.ERROR: "31"}

    def __init__(self, *, colour: bool = False, time: str = "%H:%M:%S") -> None:
        super().__init__("%(asctime)s %(message)s", time)
        self._colour = colour

    def formatException(self, ei: _ExcInfo) -> str:
        return where_from(ei[1]) if ei[1] is not None else ""

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        if record.levelno < logging.WARNING:
            return line
        word = record.levelname.lower()
        if self._colour:
            word = f"\x1b[{self._COLOURS.get(record.levelno, '31')}m{word}\x1b[0m"
        return line.replace(" ", f" {word}: ", 1)


def log_to_screen(level: str) -> None:
    """Send the log to standard error, one line for each turn."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LogLine(colour=sys.stderr.isatty() and "NO_COLOR" not in os.environ))
    _log_to(handler, level)


def log_to_file(handler: logging.Handler, level: str) -> None:
    """Send the log to a handler that keeps it for days; also what ends the process or a thread."""
    log_what_nobody_catches()
    handler.setFormatter(_LogLine(time="%Y-%m-%dT%H:%M:%S"))
    _log_to(handler, level)


def _log_to(handler: logging.Handler, level: str) -> None:
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # aiohttp's server logs each malformed request with a traceback: noise that anyone can cause.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    # It quotes the subprotocols of a handshake, in which some clients send their key (A2).
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)


def facts_table(rows: list[tuple[str, str]]) -> Table:
    """Names left, values right, without lines."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", justify="right")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table


def target_rows(target: Target) -> list[tuple[str, str]]:
    """Provider, model and key of a target; where the key was found, never the key itself."""
    if target.key_source:
        key = f"found in [green]{escape(target.key_source)}[/]"
    else:
        key = "[dim]none, and none is needed on this address[/]"
    return [
        ("provider", f"[bold]{escape(target.profile.label)}[/]  {escape(target.profile.base_url)}"),
        ("model", escape(target.model) or "[yellow]none set: each request must name one[/]"),
        ("key", key),
    ]


def store_place(settings: Settings) -> str:
    """Where the store is, without the user name and password of its address."""
    if settings.store == "sqlite":
        return settings.store_path
    address = urlsplit(settings.store_url)
    return f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"


def memory_words(settings: Settings, *, works: bool = True) -> str:
    """Where the gateway remembers, in few words."""
    if settings.store == "off":
        return "off: nothing is kept"
    if settings.store == "memory":
        return "in this process, gone when it ends"
    place = escape(from_home(store_place(settings)))
    if not works:
        return f"[bold yellow]does not work, see the error above:[/] {place}"
    return f"{place}, for {settings.store_ttl_days:g} days"


def from_home(path: str) -> str:
    """Return a path with ~ for the home folder."""
    home = os.environ.get("HOME", "").rstrip("/")
    return f"~{path.removeprefix(home)}" if home and path.startswith(f"{home}/") else path
