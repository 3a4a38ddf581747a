"""`anyturn keys`: who may use the gateway."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from anyturn.auth.key_file import KeyFile, KeysError, UnknownKey
from anyturn.cli.screen import error_screen, screen
from anyturn.cli.serve import ConfigOption, load
from anyturn.config import ConfigError, Settings
from anyturn.config_file import did_you_mean

app = typer.Typer(
    help="Give clients a key each, list who has one, take one back.", no_args_is_help=True
)
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Who will use it: laptop, ci, anna ...")],
    config: ConfigOption = None,
) -> None:
    """Make a key and show it, once: only a hash of it is kept.

    The key alone goes to standard output. A running gateway knows it at once.
    """
    settings = load(config=config)
    file = _file(settings)
    first = not file.read()
    key, secret = file.add(name)
    print(secret)
    words = f"The key of {key.name!r} ({key.id}); it is not shown again. Clients send it as "
    words += "their API key (Authorization: Bearer)."
    if settings.auth == "off":
        words += ' It is not asked for yet: the option auth is "off".'
    elif first:
        words += " From now on every client needs a key."
    error_screen().print(escape(words), style="dim", soft_wrap=True)


@app.command("list")
def listing(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """List the keys: names, ids and dates, since nobody keeps the keys themselves."""
    file = _file(load(config=config))
    keys = file.read() or ()
    rows = [{"name": key.name, "id": key.id, "created": key.created} for key in keys]
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(rows)).decode())
        return
    if not keys:
        screen().print("There are no keys. Make one: anyturn keys add NAME")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "id", "created"):
        table.add_column(heading, no_wrap=True)
    for key in keys:
        table.add_row(f"[bold]{escape(key.name)}[/]", key.id, f"{key.created:%Y-%m-%d %H:%M} UTC")
    screen().print(table)
    screen().print(f"\n[dim]{escape(str(file.path))}[/]", soft_wrap=True)


@app.command()
def revoke(
    word: Annotated[str, typer.Argument(metavar="NAME|ID", help="As anyturn keys list shows it.")],
    config: ConfigOption = None,
) -> None:
    """Take a key back. A running gateway refuses it at once."""
    file = _file(load(config=config))
    try:
        key, left = file.revoke(word)
    except UnknownKey as error:
        raise KeysError(f"{error}{did_you_mean(word, error.names)}") from None
    screen().print(f"Revoked {key.name!r} ({key.id}).", soft_wrap=True)
    if not left:
        error_screen().print(
            "That was the last one: nobody is let in until there is another key. To need none "
            f"again, delete {file.path} and start the gateway anew.",
            markup=False,
            soft_wrap=True,
        )


def _file(settings: Settings) -> KeyFile:
    if settings.keys_path is None:
        raise ConfigError(
            "There is no folder for the keys, as neither HOME nor XDG_CONFIG_HOME is set. "
            "Name a file: keys_file, or ANYTURN_KEYS_FILE."
        )
    return KeyFile(settings.keys_path)
