"""Calls and outputs of an input, as a strict Responses server wants them (F2, F13, F16; I8).

Every output stands behind its call, every call has one, and no reasoning stands alone. What a
client cut off or put elsewhere would otherwise be a 400 in every turn from then on.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import Any

import msgspec

from anyturn.translate.adaptations import Adaptations

Item = dict[str, Any]

CALL_ID_MAX = 64
# Calls that the client runs, and the items that answer them.
_OUTPUT_OF = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
}
_OUTPUTS = frozenset(_OUTPUT_OF.values())
_NO_OUTPUT = "[no output: the call was interrupted, or its output is gone]"


def paired(items: list[Any], adaptations: Adaptations) -> list[Any]:
    """The items with one output behind each call, and none without; reasoning only before more.

    Outputs stay where they are unless they stand before their call.
    """
    calls = {_id_of(item) for item in items if _kind(item) in _OUTPUT_OF}
    answered = {_id_of(item) for item in items if _kind(item) in _OUTPUTS}
    placed: list[Any] = []
    called: set[str] = set()
    settled: set[str] = set()
    early: dict[str, list[Item]] = defaultdict(list)
    for position, item in enumerate(items):
        kind, call_id, place = _kind(item), _id_of(item), f"input[{position}]"
        if kind in _OUTPUTS and call_id not in calls:
            adaptations.loss(
                "history.orphan_output", place, f"the call {call_id or '(no id)'} is not there"
            )
            placed.append(_as_message(item, call_id))
        elif kind in _OUTPUTS and call_id in settled:
            adaptations.loss("history.second_output", place, f"{call_id} has an output already")
        elif kind in _OUTPUTS and call_id not in called:
            early[call_id].append(item)
            settled.add(call_id)
        elif kind in _OUTPUTS:
            placed.append(item)
            settled.add(call_id)
        else:
            placed.append(item)
        if kind in _OUTPUT_OF and call_id not in called:
            called.add(call_id)
            placed += early.pop(call_id, ())
            if call_id not in answered:
                adaptations.note("history.dangling_call", place, f"{call_id} has no output")
                placed.append({"type": _OUTPUT_OF[kind], "call_id": call_id, "output": _NO_OUTPUT})
    return _without_lone_reasoning(placed, adaptations)


def _without_lone_reasoning(items: list[Any], adaptations: Adaptations) -> list[Any]:
    """Reasoning must lead to something that the model said or called (clients.md 1.4)."""
    kept: list[Any] = []
    is_followed = False
    for item in reversed(items):
        if _kind(item) == "reasoning":
            if not is_followed:
                adaptations.note("reasoning.unused", "input", "reasoning that led to nothing")
                continue
        else:
            is_followed = _is_said(item)
        kept.append(item)
    return kept[::-1]


def _is_said(item: Any) -> bool:
    kind = str(_kind(item))
    return kind.endswith("_call") or (kind == "message" and item.get("role") == "assistant")


def with_short_call_ids(items: list[Any], adaptations: Adaptations) -> list[Any]:
    """The items with ids of calls that the API takes, the same on a call and its output (F13)."""
    return [_shortened(item, adaptations) for item in items]


def _shortened(item: Any, adaptations: Adaptations) -> Any:
    call_id = _id_of(item)
    if len(call_id) <= CALL_ID_MAX:
        return item
    digest = hashlib.sha256(call_id.encode()).hexdigest()
    short = f"{call_id[:31]}_{digest[:32]}"
    adaptations.note("history.call_id", "input", f"the call id {call_id[:40]}… is sent as {short}")
    return {**item, "call_id": short}


def _as_message(output: Item, call_id: str) -> Item:
    told = output.get("output")
    text = told if isinstance(told, str) else msgspec.json.encode(told).decode()
    heading = f"[output of an earlier tool call whose request is gone: {call_id or 'no id'}]"
    return {"type": "message", "role": "user", "content": f"{heading}\n{text}"}


def _kind(item: Any) -> Any:
    if not isinstance(item, dict):
        return None
    return item.get("type") or ("message" if "role" in item else None)


def _id_of(item: Any) -> str:
    call_id = item.get("call_id") if isinstance(item, dict) else None
    return call_id if isinstance(call_id, str) else ""
