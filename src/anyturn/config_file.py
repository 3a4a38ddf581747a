"""The configuration file: TOML that knows on which line each of its keys stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from anyturn.providers import nearest

Keys = Sequence[str | int]
"""The way to a value: `("providers", "box", "models", 0, "match")`."""

_DECODE_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_MAX_SHOWN = 60


class ConfigError(Exception):
    """The configuration cannot be used. `str()` is for the user: where, what, and the way out."""


class ConfigFile:
    """One file that was read. `data` is its content, `shown` its name in sentences."""

    def __init__(self, path: Path, shown: str, text: str) -> None:
        """Parse `text`. Raises `ConfigError` when it is not TOML."""
        self.path = path
        self.shown = shown
        self._lines = text.replace("\r\n", "\n").split("\n")
        self.data: dict[str, Any] = self._parse(text)

    def _parse(self, text: str) -> dict[str, Any]:
        try:
            return tomllib.loads(text)
        except RecursionError:
            raise ConfigError(f"{self.shown}: not valid TOML: nested too deeply.") from None
        except ValueError as error:
            # A number of thousands of digits is a plain ValueError, without a place.
            reason, found = str(error), _DECODE_PLACE.search(str(error))
            line = int(found[1]) if found and found[1] else len(self._lines)
            place = f"{self.shown}, line {line}" if found else self.shown
            reason = _DECODE_PLACE.sub("", reason)
            raise ConfigError(f"{place}: not valid TOML: {reason}.") from None

    def place(self, keys: Keys) -> str:
        """Return where `keys` stand, for the beginning of a sentence: `anyturn.toml, line 3`."""
        line = self._line(keys)
        return f"{self.shown}, line {line}" if line else self.shown

    def error(self, keys: Keys, sentence: str) -> ConfigError:
        """Return the error that says `sentence` about `keys`."""
        return ConfigError(f"{self.place(keys)}: {sentence}")

    def _line(self, keys: Keys) -> int | None:
        """The first line of the statement that brings `keys` in.

        The parser itself is asked how far it must read: that is right for every way of writing a
        key. Only a beginning that ends between two statements parses.
        """
        before = 0
        for count in range(1, len(self._lines) + 1):
            try:
                data = tomllib.loads("\n".join(self._lines[:count]))
            except ValueError:
                continue
            if _holds(data, keys):
                return before + 1
            before = count
        return None


def read_config_file(path: Path, shown: str) -> ConfigFile | None:
    """Read the file at `path`; None when there is none.

    Raises `ConfigError` when it cannot be read or is not TOML.
    """
    try:
        return ConfigFile(path, shown, path.read_bytes().decode())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"{shown}: cannot be read: {error.strerror or error}.") from None
    except ValueError:
        # Not UTF-8, or a name that no file can have.
        raise ConfigError(f"{shown}: cannot be read: not a text file in UTF-8.") from None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` with the nearest of `known`, or an empty string."""
    like = nearest(word, known)
    return f" Did you mean {like!r}?" if like else ""


def found(value: Any) -> str:
    """Return what a value is, for the end of a sentence: `the text 'abc'`, `true`, `a list`.

    Text with an @ may hold a password and is not repeated.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return "a huge number" if _is_huge(value) else str(value)
    if isinstance(value, str):
        return "the text that was found" if "@" in value else f"the text {_cut(repr(value))}"
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a table"
    return "a date or time"


def _is_huge(value: float) -> bool:
    # The text of an integer of more than 4,300 digits is refused by Python.
    return isinstance(value, int) and value.bit_length() > 256


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def _holds(data: Any, keys: Keys) -> bool:
    for key in keys:
        try:
            data = data[key]
        except (KeyError, IndexError, TypeError):
            return False
    return True
