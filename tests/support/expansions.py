"""Requests that name what is stored, and what becomes of them."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

from anyturn.translate.adaptations import Adaptations
from anyturn.translate.expansion import Remembered, expand, what_is_wanted
from support.chat_items import called, output, reasoned, said

JSON = dict[str, Any]


def ref(item_id: Any) -> JSON:
    return {"type": "item_reference", "id": item_id}


def thought(item_id: str = "rs_1", words: str = "Hm.") -> JSON:
    return {**reasoned(words), "id": item_id, "encrypted_content": f"sealed {words}"}


def hollow(item_id: str = "rs_1") -> JSON:
    return {"type": "reasoning", "id": item_id, "summary": []}


def custom(call_id: str, **fields: Any) -> JSON:
    return {"type": "custom_tool_call", "call_id": call_id, "name": "p", "input": "x", **fields}


def bare(call_id: str, kind: str = "function_call", **fields: Any) -> JSON:
    return {"type": kind, "call_id": call_id, **fields}


RS1, RS2, RS3 = thought("rs_1"), thought("rs_2", "So."), thought("rs_3", "Or.")
MSG = said("Hello.", id="msg_1", status="completed")
FC1 = called("c1x1y2z3", id="fc_1", arguments='{"a": 1}', status="completed")
FC2 = called("c2x1y2z3", id="fc_2", arguments='{"a": 2}', status="completed")
FC3 = called("c3x1y2z3", id="fc_3", arguments='{"a": 3}', status="completed")
CTC = custom("c4x1y2z3", id="ctc_1")
# One answer with reasoning, a message and two calls; two more with a call each; one without.
STORE = [
    Remembered(RS1),
    Remembered(MSG, ("rs_1",)),
    Remembered(FC1, ("rs_1",)),
    Remembered(FC2, ("rs_1",)),
    Remembered(RS2),
    Remembered(FC3, ("rs_2",)),
    Remembered(RS3),
    Remembered(CTC, ("rs_3",)),
    Remembered(called("c5x1y2z3", id="fc_5")),
    Remembered(called("c6x1y2z3", id="fc_6")),
]


class Expanded(NamedTuple):
    items: list[Any]
    rules: list[tuple[str, str, bool]]


def expanded(
    items: list[Any], before: list[JSON] | None = None, store: list[Remembered] | None = None
) -> Expanded:
    """What becomes of a request, when only what it wants is looked up, as the gateway does."""
    before, stored = before or [], STORE if store is None else store
    pristine = copy.deepcopy((items, before))
    wanted = what_is_wanted(items, before)
    by_id = {one.item["id"]: one for one in stored}
    calls = {
        one.item["call_id"]: one
        for one in stored
        if "call_id" in one.item and one.item["call_id"] in wanted.call_ids
    }
    found = {item_id: one for item_id, one in by_id.items() if item_id in wanted.ids}
    led_by = {item_id for one in (*found.values(), *calls.values()) for item_id in one.led_by}
    found |= {item_id: by_id[item_id] for item_id in led_by & by_id.keys()}
    adaptations = Adaptations()
    expansion = expand(items, before, found, calls, adaptations)
    assert (items, before) == pristine
    return Expanded(expansion, [(a.rule, a.where, a.lossy) for a in adaptations])


def again(position: int) -> tuple[str, str, bool]:
    return ("history.repeated", f"input[{position}]", False)


IMPLIED = ("history.repeated", "input", False)


def recovered(position: int) -> tuple[str, str, bool]:
    return ("memory.call_recovered", f"input[{position}]", False)


OUT1, OUT2, OUT3 = (
    output("c1x1y2z3", "one"),
    output("c2x1y2z3", "two"),
    output("c3x1y2z3", "three"),
)
INLINE1 = called("c1x1y2z3", arguments='{"a":1}')


def strip(item: JSON) -> JSON:
    """An item as a client sends it that keeps no ids, but reasoning, which is nothing without."""
    return {k: v for k, v in item.items() if k != "id" or item["type"] == "reasoning"}
