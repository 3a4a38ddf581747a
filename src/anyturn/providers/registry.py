"""Which providers are known, and which one stands at an address.

The facts are data, in `table.toml` beside this module. A new provider is a new entry there.
"""

from __future__ import annotations

import difflib
import ipaddress
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from anyturn.wire.profile import ModelFacts, Profile

GENERIC = "custom"
"""The name of the profile that fits any server of Chat Completions."""

_NO_PROFILES: Mapping[str, Profile] = {}


class UnknownProvider(LookupError):
    """No provider has this name. `nearest` is the known name most like it, or empty."""

    def __init__(self, name: str, nearest: str) -> None:
        hint = f" Did you mean {nearest!r}?" if nearest else ""
        super().__init__(f"unknown provider {name!r}.{hint}")
        self.name = name
        self.nearest = nearest


class _Entry(NamedTuple):
    profile: Profile
    hosts: tuple[str, ...]
    aliases: tuple[str, ...]
    retired: str


class _Table(NamedTuple):
    entries: dict[str, _Entry]
    anywhere: tuple[ModelFacts, ...]


# ---------------------------------------------------------------- by name


@cache
def load_table() -> dict[str, Profile]:
    """Return every profile of the table by its name, in the table's order."""
    return {name: entry.profile for name, entry in _table().entries.items()}


def names() -> list[str]:
    """Return the names of all known providers, in the table's order."""
    return list(load_table())


def find(name: str, configured: Mapping[str, Profile] = _NO_PROFILES) -> Profile:
    """Return the profile called `name`, or known under it as an alias (`kimi`).

    A profile in `configured` stands before one of the table. Raises `UnknownProvider`.
    """
    wanted = name.strip().lower()
    if wanted in configured:
        return configured[wanted]
    entries = _table().entries
    for own_name, entry in entries.items():
        if wanted == own_name or wanted in entry.aliases:
            # What the file says about a provider holds under every name of it.
            return configured.get(own_name, entry.profile)
    raise UnknownProvider(name, nearest(wanted, [*configured, *entries, *_aliases()]))


def retired_on(name: str) -> str:
    """Return the day on which the service called `name` ended, or an empty string."""
    entry = _table().entries.get(name)
    return entry.retired if entry else ""


def nearest(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """Return the member of `known` that is most like `word`, or an empty string.

    `likeness` is the least that counts, between 0 and 1 (the same word).
    """
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=likeness)), "")


def _aliases() -> list[str]:
    return [alias for entry in _table().entries.values() for alias in entry.aliases]


# ---------------------------------------------------------------- by address


def for_base_url(url: str) -> Profile | None:
    """Return the profile of the provider that is known to stand at `url`, moved to `url`.

    A server of one's own is known by its usual port. None when the address says nothing.
    """
    host, port = _address(url)
    if is_local(url):
        host = "localhost"
    if not host:
        return None
    for entry in _table().entries.values():
        if any(_is_at(known, host, port) for known in _known_hosts(entry)):
            return moved(entry.profile, url)
    return None


def generic(base_url: str) -> Profile:
    """Return the profile for a server at `base_url` about which nothing is known.

    It claims no reasoning efforts, so that none is sent unless the client insists, and it looks for
    a leading <think> block, which local templates leave in the text (Q19).
    """
    profile = Profile(
        name=GENERIC,
        title=urlsplit(base_url).netloc,
        key_env=(f"{GENERIC.upper()}_API_KEY",),
        efforts=(),
        think_tags=True,
        models=_table().anywhere,
    )
    return moved(profile, base_url)


def moved(profile: Profile, base_url: str) -> Profile:
    """Return `profile` at another address."""
    return msgspec.structs.replace(profile, base_url=base_url.rstrip("/"))


def is_local(url: str) -> bool:
    """Return whether `url` names this machine: localhost, 127.0.0.0/8 or ::1."""
    host, _ = _address(url)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _address(url: str) -> tuple[str, int | None]:
    """The host and the port of `url`; an empty host when there is none to be read."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "").removesuffix("."), parts.port
    except ValueError:
        return "", None


def _known_hosts(entry: _Entry) -> tuple[str, ...]:
    own = "" if is_local(entry.profile.base_url) else _address(entry.profile.base_url)[0]
    return (own, *entry.hosts) if own else entry.hosts


def _is_at(known: str, host: str, port: int | None) -> bool:
    if known.startswith("."):
        return host.endswith(known)
    known_host, colon, known_port = known.partition(":")
    return host == known_host and (not colon or str(port) == known_port)


# ---------------------------------------------------------------- reading profiles


def with_changes(base: Profile, changes: Mapping[str, Any]) -> Profile:
    """Return `base` with the fields of `changes` laid over it.

    Entries of `models` hold `match` and, beside it, the fields that differ; they come behind those
    of `base`. Raises `msgspec.ValidationError` for a value that does not fit its field.
    """
    models = (*base.models, *map(model_facts, changes.get("models", ())))
    return base.replacing(**{**changes, "models": models})


def model_facts(entry: Mapping[str, Any]) -> ModelFacts:
    """Read one entry of `models` as it is written in TOML: `match`, and beside it the fields."""
    facts = {key: value for key, value in entry.items() if key != "match"}
    return ModelFacts(match=entry["match"], facts=facts)


@cache
def _table() -> _Table:
    text = resources.files(__package__).joinpath("table.toml").read_text(encoding="utf-8")
    data = tomllib.loads(text)
    anywhere = tuple(map(model_facts, data["models"]))
    return _Table(
        {n: _entry(n, dict(row), anywhere) for n, row in data["provider"].items()}, anywhere
    )


def _entry(name: str, row: dict[str, Any], anywhere: tuple[ModelFacts, ...]) -> _Entry:
    hosts, aliases = tuple(row.pop("hosts", ())), tuple(row.pop("aliases", ()))
    retired = row.pop("retired", "")
    return _Entry(with_changes(Profile(name=name, models=anywhere), row), hosts, aliases, retired)
