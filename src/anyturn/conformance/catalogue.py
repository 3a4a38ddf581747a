"""All rules, by id, in the order in which they are told."""

from __future__ import annotations

from types import ModuleType

from anyturn.conformance import (
    calls,
    codex,
    contents,
    fidelity,
    foreign,
    grammar,
    items,
    live,
    open_responses,
    terminal,
    transport,
)
from anyturn.conformance.rules import Rule

_MODULES = (
    *(transport, foreign, grammar, contents, items, calls, terminal, codex, open_responses),
    *(fidelity, live),
)


def _rules_of(module: ModuleType) -> list[Rule]:
    return [value for value in vars(module).values() if isinstance(value, Rule)]


def _by_type(rules: dict[str, Rule]) -> dict[str, tuple[Rule, ...]]:
    types = {type for rule in rules.values() for type in rule.on}
    return {
        type: tuple(rule for rule in rules.values() if not rule.on or type in rule.on)
        for type in types
    }


RULES: dict[str, Rule] = {rule.id: rule for module in _MODULES for rule in _rules_of(module)}

_EVERY = tuple(rule for rule in RULES.values() if not rule.on)
_BY_TYPE = _by_type(RULES)


def rules_at(type: str) -> tuple[Rule, ...]:
    """The rules to be asked at an event of this type."""
    return _BY_TYPE.get(type, _EVERY)
