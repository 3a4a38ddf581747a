"""`anyturn store`: what is remembered, and how to have less of it; beside a running gateway too."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer
from rich.markup import escape

from anyturn.cli.loop import run
from anyturn.cli.screen import facts_table, screen, store_place
from anyturn.cli.serve import ConfigOption, load
from anyturn.config import ConfigError, Settings
from anyturn.store import Store, open_store
from anyturn.store.records import Stats
from anyturn.store.sqlite import SqliteStore

app = typer.Typer(
    help="Show what the store holds, or make it smaller. The gateway may go on meanwhile.",
    no_args_is_help=True,
)
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of words.")]

T = TypeVar("T")


@app.command()
def stats(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show where the store is, how much is in it, and since when."""
    settings = _load(config)
    held = _with_store(settings, lambda store: store.stats(), Stats("sqlite", 0, 0, 0, 0))
    facts = {"place": store_place(settings), **msgspec.to_builtins(held)}
    if as_json:
        _print_json(facts)
        return
    days, most = f"{settings.store_ttl_days:g} days", _in_bytes(settings.store_max_bytes)
    limit = f"{most} at most" if settings.store == "sqlite" else "no limit of ours"
    screen().print(
        facts_table(
            [
                ("place", _place_words(settings)),
                ("items", f"{held.items:,}"),
                ("responses", f"{held.responses:,}"),
                ("conversations", f"{held.conversations:,}"),
                ("oldest response", _day(held.oldest)),
                ("size", f"{_in_bytes(held.bytes)}, {limit}"),
                ("kept for", days),
            ]
        )
    )


@app.command()
def prune(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Forget now what is too old or too much; the gateway does so by itself now and then."""
    settings = _load(config)
    count = _with_store(settings, lambda store: store.prune(), 0)
    if as_json:
        _print_json({"place": store_place(settings), "forgotten": count})
        return
    screen().print(
        f"{count:,} records forgotten in {escape(store_place(settings))}.", soft_wrap=True
    )


@app.command()
def vacuum(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Give the room of what was forgotten back to the system."""
    settings = _load(config)
    if settings.store != "sqlite":
        raise ConfigError("Only the SQLite store is a file that can be made smaller.")
    freed = _with_store(settings, _vacuum, 0)
    if as_json:
        _print_json({"place": store_place(settings), "bytes": freed})
        return
    screen().print(
        f"{escape(store_place(settings))} is {_in_bytes(freed)} smaller.", soft_wrap=True
    )


async def _vacuum(store: Store) -> int:
    assert isinstance(store, SqliteStore)
    return await store.vacuum()


def _load(config: Path | None) -> Settings:
    settings = load(config=config)
    if settings.store == "off":
        raise ConfigError("The store is off (store = off): nothing is kept.")
    if settings.store == "memory":
        raise ConfigError("The store is the gateway's own memory: there is nothing to see here.")
    return settings


def _is_missing(settings: Settings) -> bool:
    is_file = settings.store == "sqlite" and bool(settings.store_path)
    return is_file and not Path(settings.store_path).exists()


def _place_words(settings: Settings) -> str:
    words = f"[bold]{escape(store_place(settings))}[/]"
    return f"{words} [dim](nothing there yet)[/]" if _is_missing(settings) else words


def _with_store(settings: Settings, work: Callable[[Store], Awaitable[T]], of_none: T) -> T:
    """What `work` finds in the store, or `of_none` when there is no file: none is made for this."""
    if _is_missing(settings):
        return of_none

    async def open_and_work() -> T:
        store = open_store(settings)
        assert store is not None
        try:
            return await work(store)
        finally:
            await store.close()

    return run(open_and_work())


def _print_json(facts: dict[str, Any]) -> None:
    print(msgspec.json.format(msgspec.json.encode(facts)).decode())


def _day(seconds: int | None) -> str:
    if seconds is None:
        return "[dim]none[/]"
    made = datetime.datetime.fromtimestamp(seconds, datetime.UTC).astimezone()
    return f"{made:%Y-%m-%d %H:%M}"


def _in_bytes(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.3g} {unit}" if unit != "bytes" else f"{count} bytes"
        size /= 1024
    return f"{size:.3g} GiB"
