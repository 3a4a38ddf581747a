"""The tables of options in the file, of which there is one: [hooks]; and what a hook may run."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from anyturn.config_file import ConfigFile, did_you_mean, found
from anyturn.translate.status_line import command_of

_READ_ELSEWHERE = ("models", "providers")


def keys_and_values(
    file: ConfigFile, tables: Collection[str]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value of the file that an option may have given, with the keys that lead to it."""
    for name, raw in file.data.items():
        if name in _READ_ELSEWHERE:
            continue
        if name not in tables:
            yield (name,), raw
        elif isinstance(raw, dict):
            yield from (((name, key), value) for key, value in raw.items())
        else:
            raise file.error([name], f"{name} takes a table [{name}], not {found(raw)}.")


def unknown_key(keys: tuple[str, ...], known: Collection[tuple[str, ...]]) -> str:
    """The sentence on a key that no option has."""
    *table, name = keys
    elsewhere = next((one for one in known if one[-1] == name), None)
    if elsewhere is not None:
        where = f"under [{elsewhere[0]}]" if len(elsewhere) > 1 else "above the first table"
        return f"unknown key {'.'.join(keys)!r}: it belongs {where}."
    near = [one[-1] for one in known if list(one[:-1]) == table]
    others = [] if table else [*(one[0] for one in known), *_READ_ELSEWHERE]
    return f"unknown key {'.'.join(keys)!r}.{did_you_mean(name, [*near, *others])}"


def refuse_command(file: ConfigFile, status_line: str) -> None:
    """Refuse a command of a file that merely lies in the working directory.

    Whoever starts the gateway in a folder that somebody else made would run it unasked. Raises
    `ConfigError`.
    """
    if command_of(status_line):
        raise file.error(
            ["hooks", "status_line"],
            "status_line: a command is not run from a file that merely lies in the working "
            "directory, where anybody may have put it. Write it into your own file "
            "(~/.config/anyturn/anyturn.toml), or name this one: --config.",
        )
