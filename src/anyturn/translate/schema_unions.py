"""The branches of a union at the root of a schema, as one object (F30)."""

from __future__ import annotations

from typing import Any

from anyturn.translate.json_schema import UNIONS, find
from anyturn.translate.schema_rules import Schema, is_object, without

_MAX_DEPTH = 16


def merge_unions(schema: Schema, root: Schema) -> Schema:
    """Return `schema` without `anyOf`, `oneOf` and `allOf`, or `schema` itself if it has none.

    It allows at least what it allowed: all properties of all branches, and of what they require
    what every one requires (for `allOf`: what any requires). References are looked up in `root`,
    each one once.
    """
    return _Merge(root).merge(schema, 0)


class _Merge:
    def __init__(self, root: Schema) -> None:
        self._root = root
        self._seen: set[str] = set()

    def merge(self, schema: Schema, depth: int) -> Schema:
        words = [word for word in UNIONS if isinstance(schema.get(word), list)]
        if not words or depth > _MAX_DEPTH:
            return schema
        own = _properties(schema)
        properties = dict(own)
        required = _required(schema)
        for word in words:
            branches = [self._branch(branch, depth) for branch in schema[word]]
            objects = [branch for branch in branches if branch is not None]
            for name, below in (p for branch in objects for p in _properties(branch).items()):
                if name not in own:
                    properties[name] = _either(properties.get(name), below)
            required += _required_by(objects, by_every=word != "allOf")
        merged = {**without(schema, *words), "type": "object", "properties": properties}
        if required:
            merged["required"] = list(dict.fromkeys(required))
        return merged

    def _branch(self, branch: Any, depth: int) -> Schema | None:
        """A branch that arguments, always an object, can be; None for any other."""
        while isinstance(branch, dict) and isinstance(reference := branch.get("$ref"), str):
            if reference in self._seen:
                return None
            self._seen.add(reference)
            branch = find(self._root, reference)
        if not isinstance(branch, dict):
            return None
        merged = self.merge(branch, depth + 1)
        return merged if "type" not in merged or is_object(merged) else None


def _properties(schema: Schema) -> dict[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _required(schema: Schema) -> list[str]:
    required = schema.get("required")
    return (
        [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    )


def _required_by(branches: list[Schema], by_every: bool) -> list[str]:
    names = [_required(branch) for branch in branches]
    if by_every:
        return (
            [name for name in names[0] if all(name in others for others in names)] if names else []
        )
    return [name for of_branch in names for name in of_branch]


def _either(one: Any, other: Any) -> Any:
    """A schema for what one or the other accepts."""
    if one is None or _same(one, other):
        return other
    if not isinstance(one, dict) or not isinstance(other, dict):
        return {}
    first, second = _values(one), _values(other)
    if first is not None and second is not None and one.get("type") == other.get("type"):
        return {**without(one, "const"), "enum": first + [v for v in second if v not in first]}
    branches = one["anyOf"] if one.keys() == {"anyOf"} and isinstance(one["anyOf"], list) else [one]
    return one if any(_same(b, other) for b in branches) else {"anyOf": [*branches, other]}


def _values(schema: Schema) -> list[Any] | None:
    """The scalars that a schema enumerates; None when it does not."""
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(values, list) or any(isinstance(value, dict | list) for value in values):
        return None
    return values


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except RecursionError:
        return False
