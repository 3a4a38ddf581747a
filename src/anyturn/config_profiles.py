"""The [providers.NAME] tables of the configuration file become profiles.

A table changes a known provider, or describes one of one's own: `like` names the profile that it
starts from, and every field of `wire.profile.Profile` may be set.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec

from anyturn.config_file import ConfigFile, Keys, did_you_mean, found
from anyturn.providers import UnknownProvider, find, generic, with_changes
from anyturn.wire.profile import Profile

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
# Keys of several services look like names in small letters (`gsk_…`): a key that was put here by
# mistake must not be taken for a name and repeated in an error.
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")

_TYPES: dict[str, Any] = {
    name: hint
    for name, hint in get_type_hints(Profile).items()
    if name in Profile.__struct_fields__ and name not in ("name", "models")
}
# Short forms that say in one word what people mean.
_SHORT = {"api_key_env": "key_env", "model": "default_model"}
_TABLE_KEYS = (*_TYPES, *_SHORT, "like", "models")
_NOT_OF_A_MODEL = frozenset(
    {"title", "base_url", "models_path", "key_env", "key_optional", "auth", "default_model"}
)
_MODEL_KEYS = ("match", *(name for name in _TYPES if name not in _NOT_OF_A_MODEL))

Problem = Callable[[Any], str]
"""Says what a value should have been, or nothing when it is right."""


def read_profiles(file: ConfigFile) -> dict[str, Profile]:
    """Return the profiles that the file's [providers.NAME] tables describe, by name.

    Raises `ConfigError`.
    """
    tables = file.data.get("providers", {})
    if not isinstance(tables, dict):
        raise file.error(
            ["providers"], f"providers takes tables like [providers.NAME], not {found(tables)}."
        )
    return {name: _read_profile(file, name, table) for name, table in tables.items()}


def _read_profile(file: ConfigFile, name: str, table: Any) -> Profile:
    keys = ["providers", name]
    if not _NAME.fullmatch(name):
        raise file.error(
            keys, f"a provider's name takes small letters, digits, - and _, not {name!r}."
        )
    if not isinstance(table, dict):
        raise file.error(keys, f"[providers.{name}] takes a table, not {found(table)}.")
    for key, value in table.items():
        _check_key(file, [*keys, key], key, value)
    for short, long in _SHORT.items():
        if short in table and long in table:
            raise file.error([*keys, long], f"{short} says the same as {long}: leave one out.")
    base = _base(file, name, table)
    return with_changes(base, _changes(table))


def _changes(table: dict[str, Any]) -> dict[str, Any]:
    changes = {_SHORT.get(key, key): value for key, value in table.items() if key != "like"}
    if "api_key_env" in table:
        changes["key_env"] = [table["api_key_env"]]
    if "base_url" in table:
        changes["base_url"] = table["base_url"].rstrip("/")
    return changes


def _base(file: ConfigFile, name: str, table: dict[str, Any]) -> Profile:
    """The profile to start from. A new name has a key of its own, whomever it is like."""
    own = {"name": name, "key_env": (f"{name.upper().replace('-', '_')}_API_KEY",)}
    if "like" in table:
        try:
            like = find(table["like"])
        except UnknownProvider as error:
            raise file.error(["providers", name, "like"], f"like names an {error}") from None
        return like if like.name == name else msgspec.structs.replace(like, title="", **own)
    try:
        return msgspec.structs.replace(find(name), name=name)
    except UnknownProvider:
        return msgspec.structs.replace(generic(table.get("base_url", "")), title="", **own)


# ---------------------------------------------------------------- keys and their values


def _check_key(file: ConfigFile, keys: Keys, key: str, value: Any) -> None:
    if key not in _TABLE_KEYS:
        table = f"[providers.{keys[1]}]"
        raise file.error(keys, f"unknown key {key!r} in {table}.{did_you_mean(key, _TABLE_KEYS)}")
    if key == "models":
        _check_models(file, keys, value)
    elif key == "like":
        _check_value(file, keys, key, value, str, None)
    elif key == "api_key_env":
        _check_value(file, keys, key, value, str, variable_problem)
    else:
        field = _SHORT.get(key, key)
        _check_value(file, keys, key, value, _TYPES[field], _PROBLEMS.get(field))


def _check_models(file: ConfigFile, keys: Keys, entries: Any) -> None:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise file.error(keys, f"models takes [[providers.{keys[1]}.models]] tables.")
    for position, entry in enumerate(entries):
        where = [*keys, position]
        if "match" not in entry:
            raise file.error(where, "a table of models takes match: a regular expression.")
        for key, value in entry.items():
            if key not in _MODEL_KEYS:
                hint = did_you_mean(key, _MODEL_KEYS)
                raise file.error([*where, key], f"unknown key {key!r} for a model.{hint}")
            kind = str if key == "match" else _TYPES[key]
            problem = _pattern_problem if key == "match" else _PROBLEMS.get(key)
            _check_value(file, [*where, key], key, value, kind, problem)


def _check_value(
    file: ConfigFile, keys: Keys, key: str, value: Any, kind: Any, problem: Problem | None
) -> None:
    try:
        fitting = msgspec.convert(value, kind)
        expected = problem(fitting) if problem else ""
    except msgspec.ValidationError:
        expected = _description(kind)
    if expected:
        # What is in a list or a table is not repeated: headers may hold secrets.
        hidden = problem is variable_problem or isinstance(value, list | dict)
        shown = "what was found" if hidden else found(value)
        raise file.error(keys, f"{key} takes {expected}, not {shown}.")


def _description(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(repr, get_args(kind)))
    if get_origin(kind) is tuple:
        return f"a list, each member {_description(get_args(kind)[0])}"
    if get_origin(kind) is dict:
        return "a table of texts" if get_args(kind)[1] is str else "a table"
    return {str: "a text", bool: "true or false", int: "a whole number"}[kind]


# ---------------------------------------------------------------- what a value may be


def url_problem(url: str) -> str:
    """Return what a base URL should have been, or an empty string when `url` is one."""
    try:
        parts = urlsplit(url)
        address = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        address = False
    if not address or any(c.isspace() or not c.isprintable() for c in url):
        return "an address like http://localhost:8000/v1"
    if parts.username is not None or parts.password is not None:
        return "an address without a password (keys belong into the environment)"
    if "?" in url or "#" in url or "{" in url:
        return "an address without ?, # and {placeholders}"
    for path in ("/chat/completions", "/responses"):
        if parts.path.rstrip("/").endswith(path):
            return f"an address that ends before {path}"
    return ""


def variable_problem(name: str) -> str:
    """Return what an environment variable's name should have been, or an empty string."""
    if _VARIABLE.fullmatch(name):
        return ""
    return "the name of an environment variable in capital letters (the name, not the key itself)"


def _pattern_problem(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"a regular expression ({error})"
    return ""


def _at_least(low: int) -> Problem:
    return lambda value: "" if value >= low else f"a whole number, {low} or more"


def _path_problem(path: str) -> str:
    return "" if path.startswith("/") and path.isprintable() else "a path that begins with /"


def _headers_problem(headers: dict[str, str]) -> str:
    if all(_HEADER.fullmatch(name) and text.isprintable() for name, text in headers.items()):
        return ""
    return "names and values that HTTP allows"


_PROBLEMS: types.MappingProxyType[str, Problem] = types.MappingProxyType(
    {
        "base_url": url_problem,
        "chat_path": _path_problem,
        "responses_path": _path_problem,
        "models_path": lambda path: "" if not path else _path_problem(path),
        "key_env": lambda names: next(filter(None, map(variable_problem, names)), ""),
        "headers": _headers_problem,
        "context_window": _at_least(1),
        "max_tools": _at_least(1),
        "call_id_max": _at_least(1),
        "call_id_exact": _at_least(0),
        "max_tokens_default": _at_least(0),
    }
)
