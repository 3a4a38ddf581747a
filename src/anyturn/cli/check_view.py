"""How results of `anyturn check` are shown and written, of files and of servers alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from rich.markup import escape
from rich.table import Table

from anyturn.cli.screen import screen
from anyturn.config import ConfigError
from anyturn.conformance import Severity, Verdict

VERDICTS = {
    Verdict.READY: "[green]✔ ready[/]",
    Verdict.PARTLY: "[yellow]≈ partly[/]",
    Verdict.NOT_READY: "[red]✘ not ready[/]",
    Verdict.UNPROVEN: "[yellow]? unproven[/]",
}
COLOURS = {
    Severity.BREAKS: "red",
    Severity.DEGRADES: "yellow",
    Severity.COSMETIC: "dim",
    Severity.NONE: "dim",
}


class Forms(NamedTuple):
    """In which forms a report is wanted beside the screen's."""

    as_json: bool = False
    junit: Path | None = None
    markdown: Path | None = None


def print_facts(*facts: tuple[str, str]) -> None:
    """Print names and words below each other, and a blank line."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", min_width=10, justify="right")
    table.add_column(overflow="fold")
    for name, words in facts:
        if words:
            table.add_row(name, escape(words))
    screen().print(table)
    screen().print()


def print_json(document: dict[str, Any]) -> None:
    """Print a document, indented."""
    print(msgspec.json.format(msgspec.json.encode(document)).decode())


def write(path: Path, data: bytes) -> None:
    """Write a file. Raises `ConfigError` when that cannot be done."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from None
