"""The [models] table of the configuration file: aliases, and patterns with one star.

`fast = "groq/llama-3.3-70b"` names one model, `"gpt-*" = "chatgpt/gpt-*"` many.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from anyturn.config_file import ConfigFile, found
from anyturn.providers import UnknownProvider, find, nearest
from anyturn.wire.profile import Profile

_STAR = "*"


@dataclasses.dataclass(frozen=True)
class Pattern:
    """Names with one star, and the model that they stand for.

    The star takes anything but a slash, so that a provider which a client names is not overruled
    by accident. A star in `target` gives what the star in `name` took.
    """

    name: str
    target: str

    def target_for(self, model: str) -> str:
        """Return the model that `model` stands for, empty when this pattern does not take it."""
        before, _, after = self.name.partition(_STAR)
        taken = model[len(before) : len(model) - len(after)]
        if model != before + taken + after or "/" in taken:
            return ""
        return self.target.replace(_STAR, taken)


class Models(NamedTuple):
    """What [models] says. `patterns` begin with the one that has the most letters."""

    aliases: dict[str, str]
    patterns: tuple[Pattern, ...]


NO_MODELS = Models({}, ())


def read_models(file: ConfigFile, profiles: Mapping[str, Profile]) -> Models:
    """Return the aliases and the patterns of the file. Raises `ConfigError`."""
    table = file.data.get("models", {})
    if not isinstance(table, dict):
        raise file.error(["models"], f"models takes a table [models], not {found(table)}.")
    aliases = {name: target for name, target in table.items() if _STAR not in name}
    for name, target in table.items():
        if problem := _problem(name, target, aliases, profiles):
            raise file.error(["models", name], problem)
    # A table has no order: of several patterns that fit, the one that says most counts.
    names = sorted((name for name in table if _STAR in name), key=lambda one: (-len(one), one))
    return Models(aliases, tuple(Pattern(name, table[name]) for name in names))


def _problem(
    name: str, target: Any, aliases: Mapping[str, Any], profiles: Mapping[str, Profile]
) -> str:
    """Say what is wrong with an alias or a pattern, or nothing."""
    what = f"the {'pattern' if _STAR in name else 'alias'} {name!r}"
    if not isinstance(target, str) or not target.strip():
        return f'{what} takes a model like "cerebras/gpt-oss-120b", not {found(target)}.'
    if problem := _star_problem(name, target):
        return f"{what} {problem}"
    if target == name in aliases:
        return f"{what} leads to itself."
    if target in aliases and aliases[target] in list(aliases):
        return f"{what} leads over more than one other alias."
    provider, slash, model = target.partition("/")
    if not slash:
        return ""
    if not provider or not model:
        return f"{what} takes a model or provider/model, not {found(target)}."
    try:
        find(provider, profiles)
    except UnknownProvider as error:
        # Ids of models may have slashes of their own (`mistralai/…`): only what can hardly be
        # anything but a slip is refused.
        if error.nearest and nearest(provider, [error.nearest], likeness=0.9):
            return f"{what} names an {error}"
    return ""


def _star_problem(name: str, target: str) -> str:
    if name.count(_STAR) > 1:
        return "has more than one star."
    if target.count(_STAR) > name.count(_STAR):
        return f"has {name.count(_STAR) or 'no'} star, and {target!r} more."
    return ""
