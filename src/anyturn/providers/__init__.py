"""The providers of Chat Completions that are known, as data, and how to find one."""

from anyturn.providers.registry import (
    GENERIC,
    UnknownProvider,
    find,
    for_base_url,
    generic,
    is_local,
    load_table,
    model_facts,
    moved,
    names,
    nearest,
    retired_on,
    with_changes,
)

__all__ = [
    "GENERIC",
    "UnknownProvider",
    "find",
    "for_base_url",
    "generic",
    "is_local",
    "load_table",
    "model_facts",
    "moved",
    "names",
    "nearest",
    "retired_on",
    "with_changes",
]
