"""Rules of sameness: what was told in pieces is what is told as a whole (I5)."""

from __future__ import annotations

import msgspec

from anyturn.conformance.events import (
    ITEM_DONE,
    JSON,
    MESSAGE,
    PART_DONE,
    PAYLOAD_OF,
    REASONING,
    TEXT_DONE,
    Event,
    as_list,
    as_object,
    shown,
)
from anyturn.conformance.rules import AI_SDK, ALL, CODEX, NODE, OPEN, PYTHON, rule
from anyturn.conformance.turn import Item, Part, Turn


@rule(
    "grammar.text-differs",
    on=TEXT_DONE,
    expected="the done text is the sum of its deltas",
    why="What the user saw while it was written is not what stays in the history.",
    fix="Build the done event from the deltas that were sent, or from the same buffer.",
    degrades=ALL,
    seen="mutable snapshots that double the first delta (F51)",
)
def text_differs(turn: Turn, event: Event) -> str | None:
    part = event.part
    if part is None or not part.pieces:
        return None
    return _difference("deltas", "".join(part.pieces), "done", event.text(TEXT_DONE[event.type]))


@rule(
    "grammar.part-differs",
    on=PART_DONE,
    expected="the part in its done event has the text that was told",
    why="The specification demands it. Clients read the deltas or the done item, but one that "
    "keeps the parts shows another answer.",
    fix="Put the same text into `output_text.done` and `content_part.done`.",
    degrades=(OPEN,),
    cosmetic=ALL - {OPEN},
)
def part_differs(turn: Turn, event: Event) -> str | None:
    part = event.part
    if part is None or part.said is None:
        return None
    return _difference("text", part.said, "part", _words(as_object(event.body.get("part"))))


@rule(
    "grammar.item-differs",
    on=(ITEM_DONE,),
    expected="the done item has the parts and the text that were told",
    why="The done item is the answer: Codex prints and keeps nothing else, and the final "
    "response of openai-python and openai-node has nothing else. Words that only deltas "
    "told are lost.",
    fix="Build the done item from the parts that were sent.",
    breaks=(CODEX, PYTHON, NODE),
    degrades=(AI_SDK, OPEN),
    seen="servers that leave `content` of the done item empty",
)
def item_differs(turn: Turn, event: Event) -> str | None:
    item = event.item
    if item is None or item.is_done or item.is_ghost:
        return None
    if item.type not in (MESSAGE, REASONING):
        return None
    for parts, member in ((item.content, "content"), (item.summary, "summary")):
        found = _part_lost(item, parts, event.spoken, member)
        if found:
            return found
    return None


def _part_lost(item: Item, parts: dict[int, Part], spoken: JSON, member: str) -> str | None:
    if not isinstance(spoken.get(member), list):
        # Reasoning may keep its raw text to itself; what a message must have is another rule.
        return None
    listed = as_list(spoken.get(member))
    if set(parts) != set(range(len(parts))):
        return None  # their indexes are wrong, which has a rule of its own
    for number, part in parts.items():
        told = part.said if part.said is not None else "".join(part.pieces)
        if not told:
            continue
        kept = _words(as_object(listed[number])) if number < len(listed) else ""
        if found := _difference("told", told, f"{member}[{number}] of {item.id}", kept):
            return found
    return None


@rule(
    "grammar.arguments-differ",
    on=(ITEM_DONE,),
    expected="the arguments or input of a done call are the sum of their deltas",
    why="Every client runs the done item: what the SDKs showed of the call while it was written "
    "is not what was run.",
    fix="Send the same text both ways. Only arguments that were no JSON may be mended at the end.",
    degrades=ALL - {CODEX},
    cosmetic=(CODEX,),
)
def arguments_differ(turn: Turn, event: Event) -> str | None:
    item = event.item
    if item is None or item.is_done or item.is_ghost or not item.pieces:
        return None
    kept = event.spoken.get(PAYLOAD_OF.get(item.type, ""))
    if not isinstance(kept, str) or (not is_json_object(item.payload) and is_json_object(kept)):
        return None
    found = _difference("deltas", item.payload, "item", kept)
    if found is None and item.said is not None:
        found = _difference("done event", item.said, "item", kept)
    return found


@rule(
    "items.added-not-empty",
    on=(ITEM_DONE,),
    expected="an item that opens empty where its deltas follow",
    why="openai-python and openai-node add the deltas to what the item opened with: the arguments "
    "are there twice and no longer JSON.",
    fix='Announce a call with `"arguments": ""`.',
    degrades=(PYTHON, NODE, OPEN),
    cosmetic=(AI_SDK,),
)
def added_not_empty(turn: Turn, event: Event) -> str | None:
    item = event.item
    if item is None or item.is_done or not (item.announced and item.pieces):
        return None
    return f"{item.id} opened with {shown(item.announced)}, and deltas followed"


@rule(
    "items.summary-missing",
    on=(ITEM_DONE,),
    expected="`summary` in every reasoning item, [] where there is none",
    why="Codex drops the item silently: the reasoning does not go back to the model.",
    fix='Send `"summary": []`.',
    breaks=(OPEN,),
    degrades=(CODEX, PYTHON, AI_SDK),
    cosmetic=(NODE,),
)
def summary_missing(turn: Turn, event: Event) -> str | None:
    item = event.spoken
    missing = item.get("type") == REASONING and not isinstance(item.get("summary"), list)
    return f"summary: {shown(item.get('summary'))}" if missing else None


def is_json_object(text: str) -> bool:
    """Whether a text is one JSON object."""
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False


def _words(part: JSON) -> str:
    words = part.get("text", part.get("refusal"))
    return words if isinstance(words, str) else ""


def _difference(first_name: str, first: str, second_name: str, second: str) -> str | None:
    if first == second:
        return None
    same = next(
        (at for at, (a, b) in enumerate(zip(first, second, strict=False)) if a != b),
        min(len(first), len(second)),
    )
    return (
        f"from character {same}, {first_name}: {shown(first[same:] or 'nothing', 50)}; "
        f"{second_name}: {shown(second[same:] or 'nothing', 50)}"
    )
