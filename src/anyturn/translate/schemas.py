"""Schemas of tools, made what a provider accepts (F30, Q73).

Providers check `parameters` against dialects of their own and refuse the whole request for one
keyword in one tool. What every provider needs is done always: an object at the root. The rest is a
provider's `SchemaRules`. A schema is rewritten only where a rule strikes; names of properties and
values inside `enum`, `const` and `default` are data and never touched.
"""

from __future__ import annotations

from typing import Any

import msgspec

from anyturn.translate.json_schema import UNIONS, find, map_below
from anyturn.translate.schema_rules import (
    AFTER_BELOW,
    BEFORE_BELOW,
    Schema,
    without,
)
from anyturn.translate.schema_unions import merge_unions

# Deeper parts stay as they are. The number of nodes bounds what inlined references can grow to.
_MAX_DEPTH = 64
_MAX_NODES = 10_000
_MAX_REFERENCES = 16

_DEFINITIONS = ("$defs", "definitions")
_OLD_PREFIX, _NEW_PREFIX = "#/definitions/", "#/$defs/"


class SchemaRules(msgspec.Struct, frozen=True):
    """What a provider's schemas must be like. `drop` are keywords that it refuses.

    - `root_object`: a root that is a `$ref` becomes what it names.
    - `no_root_union`: the branches of `anyOf`, `oneOf`, `allOf` at the root become one object.
    - `definitions_to_defs`: `definitions` at the root are called `$defs`.
    - `ref_inline`: every local `$ref` becomes what it names; where that would never end, the bare
      type. Definitions are left out (Gemini).
    - `ref_alone`: a `$ref` has no siblings (Moonshot): it is inlined with them where that ends,
      and loses them where it does not.
    - `tuple_prefix_items`: a list in `items` is called `prefixItems` (Moonshot).
    - `single_type`: `["string", "null"]` becomes `string` with `nullable`; several types become
      branches of `anyOf` (Gemini).
    - `type_lists_to_anyof`: every list of types becomes branches of `anyOf`, null among them.
    - `anyof_type_push`: a `type` beside `anyOf` or `oneOf` moves into the branches, except at the
      root: add `no_root_union` for that (Moonshot).
    - `enum_strings`: the values of `enum` are strings, and so is the type (Gemini). Answers are
      turned back by `argument_types`.
    - `items_present`: arrays say what they hold; strings if the client does not say (Gemini).
    - `required_exist`: `required` names declared properties only (Gemini).
    - `close_objects`, `require_all`: no other properties, and all of them required, as strict
      schemas demand. The first forbids free-form maps, the second optional arguments.

    Where `const` is dropped, an `enum` of one value says the same.
    """

    drop: tuple[str, ...] = ("$schema", "$id")
    rules: tuple[str, ...] = ()


class Normalised(msgspec.Struct, frozen=True):
    """The schema to send, and the names of the rules that changed it, in the order of their work.

    A dropped keyword is listed as `drop $schema`; what is done for every provider as
    `empty_object`, `root_type` and `root_properties`. Without changes `schema` is the very object
    that was passed in.
    """

    schema: dict[str, Any]
    changes: tuple[str, ...] = ()


_DEFAULT = SchemaRules()


def normalise_schema(schema: Any, rules: SchemaRules = _DEFAULT) -> Normalised:
    """Return the parameters of a function as `rules` want them: an object at the root, always.

    Takes any JSON value; does not change it and never raises. The same input gives the same bytes.
    """
    if not isinstance(schema, dict) or not schema:
        return Normalised({"type": "object", "properties": {}}, ("empty_object",))
    rewriting = _Rewriting(schema, rules)
    return Normalised(rewriting.run(), tuple(rewriting.changes))


class _Rewriting:
    """One schema on its way through the rules."""

    def __init__(self, schema: Schema, rules: SchemaRules) -> None:
        self._root = schema
        self._rules = frozenset(rules.rules)
        self._drop = frozenset(rules.drop)
        if "ref_inline" in self._rules:
            self._drop = self._drop.union(_DEFINITIONS)
        self._follows = bool(self._rules & {"ref_inline", "ref_alone"})
        self._before = [step for step in BEFORE_BELOW if step[0] in self._rules]
        self._after = [step for step in AFTER_BELOW if step[0] in self._rules]
        self._nodes = 0
        self.changes: dict[str, None] = {}

    def run(self) -> Schema:
        root = self._root
        if "definitions_to_defs" in self._rules:
            self._root = root = self._noted("definitions_to_defs", root, _renamed(root))
        if self._rules & {"root_object", "no_root_union"}:
            root = self._noted("root_object", root, self._named_root(root))
        if "no_root_union" in self._rules:
            root = self._noted("no_root_union", root, merge_unions(root, self._root))
        root = self._noted("root_type", root, _typed(root))
        root = self._rewrite(root, 0, ())
        # Inlining may have brought the type of what the root named.
        root = self._noted("root_type", root, _typed(root))
        return self._noted("root_properties", root, _with_properties(root))

    def _noted(self, rule: str, before: Schema, after: Schema) -> Schema:
        if after is not before:
            self.changes[rule] = None
        return after

    def _named_root(self, root: Schema) -> Schema:
        seen = set()
        while isinstance(reference := root.get("$ref"), str) and reference not in seen:
            seen.add(reference)
            target = find(self._root, reference)
            if not isinstance(target, dict):
                break
            root = {**target, **without(root, "$ref")}
        return root

    def _rewrite(self, schema: Any, depth: int, inlined: tuple[str, ...]) -> Any:
        if not isinstance(schema, dict) or depth > _MAX_DEPTH:
            return schema
        self._nodes += 1
        if self._follows and "$ref" in schema:
            schema, inlined = self._without_reference(schema, inlined)
        if not self._drop.isdisjoint(schema):
            schema = self._without_dropped(schema)
        for rule, step in self._before:
            if depth or rule != "anyof_type_push":
                schema = self._noted(rule, schema, step(schema))
        schema = map_below(schema, lambda below: self._rewrite(below, depth + 1, inlined))
        for rule, step in self._after:
            schema = self._noted(rule, schema, step(schema))
        return schema

    def _without_dropped(self, schema: Schema) -> Schema:
        dropped = [word for word in schema if word in self._drop]
        for word in dropped:
            self.changes[f"drop {word}"] = None
        kept = without(schema, *dropped)
        if "const" in dropped and "enum" not in schema:
            kept["enum"] = [schema["const"]]
        return kept

    def _without_reference(
        self, schema: Schema, inlined: tuple[str, ...]
    ) -> tuple[Schema, tuple[str, ...]]:
        """Follow the `$ref` of a schema, and those it leads to; returns what was followed, too."""
        inline = "ref_inline" in self._rules
        while isinstance(reference := schema.get("$ref"), str):
            rest = without(schema, "$ref")
            if not inline and not rest:
                break
            self.changes["ref_inline" if inline else "ref_alone"] = None
            target = find(self._root, reference)
            if reference in inlined or self._nodes > _MAX_NODES:
                return ({**_bare(target), **rest} if inline else {"$ref": reference}), inlined
            if not isinstance(target, dict):
                return (rest if inline else {"$ref": reference}), inlined
            inlined = (*inlined, reference)
            schema = {**target, **rest}
        return schema, inlined


def _bare(target: Any) -> Schema:
    """A schema without anything below, for what refers to itself."""
    kind = target.get("type", "object") if isinstance(target, dict) else "object"
    return {"type": kind}


def _typed(root: Schema) -> Schema:
    return root if root.get("type") == "object" else {**root, "type": "object"}


def _with_properties(root: Schema) -> Schema:
    if isinstance(root.get("properties"), dict) or not root.keys().isdisjoint((*UNIONS, "$ref")):
        return root
    return {**root, "properties": {}}


def _renamed(root: Schema) -> Schema:
    """`definitions` as `$defs`, unless both hold different things of one name."""
    old, new = root.get("definitions"), root.get("$defs", {})
    if not isinstance(old, dict) or not isinstance(new, dict) or not old.keys().isdisjoint(new):
        return root
    renamed = {"$defs": {**old, **new}, **without(root, *_DEFINITIONS)}
    changed: Schema = _with_new_references(renamed, 0)
    return changed


def _with_new_references(schema: Any, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return schema
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith(_OLD_PREFIX):
        schema = {**schema, "$ref": _NEW_PREFIX + reference.removeprefix(_OLD_PREFIX)}
    return map_below(schema, lambda below: _with_new_references(below, depth + 1))
