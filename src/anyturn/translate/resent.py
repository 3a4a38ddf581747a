"""Input items as clients send them back: what they are, which say the same, which were implied.

The name of a response stands for everything up to its end. Some clients send all of that again
beside the name (F4), in their own words: without ids, with `null` in every unused field, with the
arguments of calls written anew. User messages have no id by which they could be recognised; only
the order of the whole tells a repetition from a user who says "continue" twice.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any

import msgspec

Item = dict[str, Any]

# Says whose item it is, or how far it had come: not what it says.
_ASIDE = frozenset({"id", "type", "status", "phase"})
# What a client that does not know it does not send back.
_MAY_LACK = frozenset({"namespace", "execution", "encrypted_content"})
# The field without which a call says nothing.
_TELLING = {
    "function_call": "name",
    "custom_tool_call": "name",
    "tool_search_call": "arguments",
    "local_shell_call": "action",
    "shell_call": "action",
    "apply_patch_call": "operation",
}


def implied(items: list[Any], before: list[Item]) -> set[int]:
    """The positions of the items at the beginning that `before` says already, all in its order.

    They must reach the end of `before` and hold something that the model said; otherwise they are
    new. `before` may hold more: clients leave out reasoning, and what became too old. What the
    system said anew stays.
    """
    by_id = {item_id: item for item in before if (item_id := id_of(item))}
    resolved = [_resolved(item, by_id) for item in takewhile(is_item, items)]
    end = _end_of_repetition(resolved, [item for item in before if _is_solid(item)])
    # Reasoning right behind proves an answer of nothing else.
    if not (
        any(is_call(item) or item.get("role") == "assistant" for item in resolved[:end])
        or any(_is_thought_of(item, by_id) for item in resolved[: end + 1])
    ):
        return set()
    return {n for n in range(end) if not _is_news(items[n], before)}


def _end_of_repetition(items: list[Item], said: list[Item]) -> int:
    """How many items lead to the end of what was said, without one that was not; the most."""
    reached = end = 0
    for position, item in enumerate(items):
        if reached == len(said):
            break
        if not _is_solid(item):
            continue
        if reached == 0 and is_output(item):
            # Nobody repeats an output without its call: this is the next one.
            break
        if is_same(item, said[-1]):
            end = position + 1
        while reached < len(said) and not is_same(item, said[reached]):
            reached += 1
        reached = min(reached + 1, len(said))
    return end


def _resolved(item: Item, by_id: dict[str, Item]) -> Item:
    return by_id.get(id_of(item), item) if is_reference(item) else item


def _is_thought_of(item: Item, by_id: dict[str, Item]) -> bool:
    earlier = by_id.get(id_of(item), {})
    return kind_of(earlier) == "reasoning" and kind_of(item) == "reasoning"


def _is_solid(item: Item) -> bool:
    """Whether every client sends it back: reasoning gets lost, and the system is told anew."""
    if is_reference(item):
        return not id_of(item).startswith("rs_")
    return kind_of(item) != "reasoning" and item.get("role") not in ("system", "developer")


def _is_news(item: Item, before: list[Item]) -> bool:
    by_system = item.get("role") in ("system", "developer")
    return by_system and not any(is_same(item, earlier) for earlier in before)


# ---------------------------------------------------------------- what an item is


def is_item(item: Any) -> bool:
    """Whether it is an object at all; what else stands in an input is refused later."""
    return isinstance(item, dict)


def is_reference(item: Item) -> bool:
    """Whether it only names an item: `item_reference`, also bare, as `type` is optional there."""
    kind = item.get("type")
    return kind == "item_reference" or (kind is None and "role" not in item and "id" in item)


def is_hollow(item: Item) -> bool:
    """Whether it is reasoning that a client sends back without what was sealed in it (F8)."""
    return item.get("type") == "reasoning" and not item.get("encrypted_content")


def is_call(item: Item) -> bool:
    """Whether it is a call that an output can name."""
    return kind_of(item).endswith("_call") and bool(call_id_of(item))


def is_bare_call(item: Item) -> bool:
    """Whether it is a call of which hardly more than its `call_id` was sent (F20)."""
    telling = _TELLING.get(kind_of(item))
    return telling is not None and is_call(item) and not item.get(telling)


def is_output(item: Item) -> bool:
    """Whether it is what became of a call."""
    return kind_of(item).endswith(("_call_output", "tool_search_output"))


def id_of(item: Item) -> str:
    """The item's id; empty where there is none."""
    value = item.get("id")
    return value if isinstance(value, str) else ""


def call_id_of(item: Item) -> str:
    """The id that a call and its output share; empty where there is none."""
    value = item.get("call_id")
    return value if isinstance(value, str) else ""


def kind_of(item: Item) -> str:
    """The item's type: `message` where only a role says so, empty where nothing does."""
    kind = item.get("type")
    if kind is None and "role" in item:
        return "message"
    return kind if isinstance(kind, str) else ""


# ---------------------------------------------------------------- whether two say the same


def is_same(one: Item, other: Item) -> bool:
    """Whether an item is the other one, as far as clients send them back unchanged.

    Two ids that differ tell two items apart. One id proves nothing, because some servers count
    anew in every answer; only reasoning, which clients empty, is known by it.
    """
    if one is other:
        return True
    ids = {id_of(one), id_of(other)} - {""}
    if len(ids) > 1 or kind_of(one) != kind_of(other):
        return False
    if kind_of(one) == "reasoning" and id_of(one) and id_of(other):
        return True
    names = (one.keys() | other.keys()) - _ASIDE
    try:
        return all(_says_the_same(name, one.get(name), other.get(name)) for name in names)
    except RecursionError:
        return False


def _says_the_same(name: str, one: Any, other: Any) -> bool:
    one, other = _plain(one), _plain(other)
    if one == other:
        return True
    if name in _MAY_LACK:
        return one is None or other is None
    # Clients parse the arguments of a call and write them again.
    return name == "arguments" and _decoded(one) == _decoded(other)


def _plain(value: Any) -> Any:
    """A value without what clients leave out: a text is the same in every form."""
    if isinstance(value, list):
        value = [_plain_part(part) for part in value]
        return value[0] if len(value) == 1 and isinstance(value[0], str) else value or None
    return _told(value) or None


def _plain_part(part: Any) -> Any:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return part["text"]
    return _told(part)


def _told(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: member for name, member in value.items() if member is not None}
    return value


def _decoded(arguments: Any) -> Any:
    try:
        return msgspec.json.decode(arguments) if isinstance(arguments, str) else arguments
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return arguments
