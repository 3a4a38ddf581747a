"""Rules of order: what must be announced before it is spoken of (I1), counted (I2) and closed."""

from __future__ import annotations

from anyturn.conformance.events import (
    ADDED,
    COMPLETED,
    CREATED,
    DELTAS,
    END,
    IN_PROGRESS,
    INSIDE,
    ITEM_DONE,
    PART_ADDED,
    PART_DONE,
    PAYLOAD_DELTA,
    PAYLOAD_DONE,
    TERMINAL,
    TEXT_DELTA,
    TEXT_DONE,
    Event,
    is_known,
    shown,
)
from anyturn.conformance.rules import AI_SDK, ALL, CODEX, NODE, OPEN, PYTHON, rule
from anyturn.conformance.turn import Part, Turn, final_output

_RESPONSE_EVENTS = frozenset({CREATED, IN_PROGRESS, "response.queued"})


@rule(
    "grammar.created-missing",
    expected="`response.created` as the first event",
    why="openai-python and openai-node raise at any other first event. Codex does without.",
    fix="Send `response.created`, then `response.in_progress`, before the first item.",
    breaks=(PYTHON, NODE, OPEN),
    degrades=(AI_SDK,),
    once=True,
)
def created_missing(turn: Turn, event: Event) -> str | None:
    first = turn.count == 0 and is_known(event.type) and event.type.startswith("response.")
    return f"the first event is {event.type}" if first and event.type != CREATED else None


@rule(
    "grammar.created-twice",
    on=(CREATED, IN_PROGRESS),
    expected="`response.created` and `response.in_progress` once each, before the first item",
    why="A response is created once. openai-node 6 resets its state at it and raises at the "
    "next event.",
    fix="Send both at the start only; keep a connection alive with comments.",
    breaks=(NODE,),
    degrades=(OPEN,),
    cosmetic=(PYTHON, AI_SDK),
)
def created_twice(turn: Turn, event: Event) -> str | None:
    again = turn.is_created if event.type == CREATED else turn.opened > 0
    return f"{event.type} once more" if again and turn.terminal is None else None


@rule(
    "grammar.item-not-announced",
    on=(ITEM_DONE,),
    expected="`response.output_item.added` before `response.output_item.done` of an item",
    why="openai-node has no place for the item and raises; the AI SDK closes a text that never "
    "began. Codex and openai-python take it, but Codex shows nothing while it is written.",
    fix="Announce every item before anything else is said of it.",
    breaks=(NODE, AI_SDK, OPEN),
    cosmetic=(CODEX, PYTHON),
)
def item_not_announced(turn: Turn, event: Event) -> str | None:
    return None if event.item is not None else f"done and never added: {shown(event.spoken)}"


@rule(
    "grammar.item-not-done",
    on=(COMPLETED, "response.incomplete"),
    expected="`response.output_item.done` for every item before the terminal event",
    why="Codex takes items from `response.output_item.done` alone: the call never runs, the "
    "message is neither kept nor printed, and nothing says so. openai-python 3 and "
    "openai-node 7 raise.",
    fix="Close every open item before `response.completed`.",
    breaks=ALL,
    seen="bridges that close a call only when the next one begins",
)
def item_not_done(turn: Turn, event: Event) -> str | None:
    left = [f"{item.type} {item.id}" for item in turn.open_items]
    return f"{event.type} with open items: {', '.join(left)}" if left else None


@rule(
    "grammar.delta-without-item",
    on=INSIDE,
    expected="an item that was announced, for everything that speaks of one",
    why="openai-python and openai-node raise, the AI SDK fails. Codex drops the text: "
    "`OutputTextDelta without active item`.",
    fix="Send `response.output_item.added` first, after reasoning too, and name its id.",
    breaks=(PYTHON, NODE, AI_SDK, OPEN),
    degrades=(CODEX,),
    seen="codex_plus: text after reasoning points at an item that was never added",
)
def delta_without_item(turn: Turn, event: Event) -> str | None:
    if event.item is not None or not _is_addressed(event):
        return None
    named = event.body.get("item_id", event.body.get("output_index"))
    return f"{event.type} of {shown(named)}, which was never added"


@rule(
    "grammar.address-missing",
    on=INSIDE,
    expected="`item_id` and `output_index` in every event inside an item",
    why="The SDKs find the item by its index, the AI SDK by its id, and raise without. Codex "
    "attaches the text to the item that is open.",
    fix="Repeat the item's id and index in each event.",
    breaks=(PYTHON, NODE, AI_SDK, OPEN),
    once=True,
)
def address_missing(turn: Turn, event: Event) -> str | None:
    names = ("item_id", "output_index")
    missing = [name for name in names if event.body.get(name) is None]
    return f"{event.type} without {' and '.join(missing)}" if missing else None


@rule(
    "grammar.delta-after-done",
    on=INSIDE,
    expected="nothing more about an item that is done",
    why="The item is finished for every client: the AI SDK fails, Codex does not keep the text.",
    fix="Send `response.output_item.done` when the item's last word is said.",
    breaks=(AI_SDK, OPEN),
    degrades=(PYTHON, NODE, CODEX),
)
def delta_after_done(turn: Turn, event: Event) -> str | None:
    late = event.item is not None and event.item.is_done
    return f"{event.type} of {event.item.id}, which is done" if late and event.item else None


@rule(
    "grammar.part-not-announced",
    on=INSIDE - {*PART_ADDED, *PAYLOAD_DELTA, *PAYLOAD_DONE},
    expected="`response.content_part.added` (or its summary kin) before the text of a part",
    why="openai-python and openai-node look the part up and raise. Codex and the AI SDK do "
    "without.",
    fix="Announce every part of a message, of reasoning and of a summary.",
    breaks=(PYTHON, NODE, OPEN),
    cosmetic=(CODEX, AI_SDK),
    seen="many Responses servers leave out `content_part.*` (F56)",
)
def part_not_announced(turn: Turn, event: Event) -> str | None:
    item = event.item
    if item is None or item.is_ghost or item.is_done or event.part is not None:
        return None
    return f"{event.type} in a part of {item.id} that was never added"


@rule(
    "grammar.part-not-done",
    on=(ITEM_DONE,),
    expected="`response.content_part.done` for every part before its item is done",
    why="The specification demands it; a client that waits for whole parts waits in vain.",
    fix="Send `response.output_text.done` and `response.content_part.done`, then the item.",
    degrades=(OPEN,),
    cosmetic=ALL - {OPEN},
)
def part_not_done(turn: Turn, event: Event) -> str | None:
    left = [number for number, part in _parts(event) if not (part.is_done or part.is_ghost)]
    return f"{event.spoken.get('id')} is done with part {left[0]} open" if left else None


@rule(
    "grammar.text-not-done",
    on=PART_DONE,
    expected="a done event of the text before the part is done",
    why="The specification demands it; a client that waits for whole texts waits in vain.",
    fix="Send `response.output_text.done` with the whole text before `response.content_part.done`.",
    degrades=(OPEN,),
    cosmetic=ALL - {OPEN},
)
def text_not_done(turn: Turn, event: Event) -> str | None:
    part = event.part
    if part is None or part.is_ghost or part.is_done or not part.pieces or part.said is not None:
        return None
    return f"a part of {event.body.get('item_id')} is done before its text is"


@rule(
    "grammar.arguments-not-done",
    on=(ITEM_DONE,),
    expected="`response.function_call_arguments.done` after the deltas of a call's arguments",
    why="The specification demands it. Clients that read the item itself do not mind.",
    fix="Send the done event with the whole arguments before the item is done.",
    degrades=(OPEN,),
    cosmetic=ALL - {OPEN},
)
def arguments_not_done(turn: Turn, event: Event) -> str | None:
    item = event.item
    if item is None or item.is_done or item.type != "function_call":
        return None
    return (
        f"no done event for the arguments of {item.id}"
        if item.pieces and item.said is None
        else None
    )


@rule(
    "grammar.wrong-part",
    on={*DELTAS, *TEXT_DONE},
    expected="deltas of the kind of their part and item",
    why="openai-python and openai-node raise when a delta comes into an item of another kind. A "
    "refusal that is none makes the AI SDK tell of a content filter.",
    fix="Announce the part that the text belongs to: output_text, refusal, reasoning_text.",
    breaks=(PYTHON, NODE, OPEN),
    degrades=(AI_SDK,),
)
def wrong_part(turn: Turn, event: Event) -> str | None:
    if event.item is None or event.item.is_ghost:
        return None
    if event.type in PAYLOAD_DELTA:
        fits, there = event.item.type == PAYLOAD_DELTA[event.type], event.item.type
    elif event.part is None or not event.part.kind or event.part.is_ghost:
        return None
    else:
        delta = event.type.removesuffix(".done").removesuffix(".delta") + ".delta"
        fits, there = event.part.kind == TEXT_DELTA[delta], event.part.kind
    return None if fits else f"{event.type} in a {there}"


@rule(
    "grammar.index-not-dense",
    on=(ADDED,),
    expected="`output_index` that counts the items from 0",
    why="openai-python up to version 2 and openai-node 6 take it as the place in `output` and "
    "raise, or write into another item. The others do not read it.",
    fix="Give each item the number of items before it, and never compute it again.",
    breaks=(PYTHON, NODE),
    degrades=(OPEN,),
    cosmetic=(AI_SDK,),
    seen="bridges that pass the provider's index of the call on",
)
def index_not_dense(turn: Turn, event: Event) -> str | None:
    index = event.body.get("output_index")
    return None if index == turn.opened else f"item {turn.opened} has output_index {shown(index)}"


@rule(
    "grammar.index-changes",
    on={ITEM_DONE, *INSIDE},
    expected="the same `output_index` in all events of an item",
    why="openai-node 7 raises. The other SDKs write by index: what they show of a call while it "
    "is written is another call's.",
    fix="Fix the index when the item opens.",
    breaks=(NODE,),
    degrades=(PYTHON, AI_SDK, OPEN),
)
def index_changes(turn: Turn, event: Event) -> str | None:
    item, index = event.item, event.body.get("output_index")
    if item is None or item.is_ghost or index is None or index == item.index:
        return None
    return f"{event.type} of {item.id}: {shown(index)}, announced with {item.index}"


@rule(
    "grammar.part-index",
    on=PART_ADDED,
    expected="`content_index` or `summary_index` that counts the parts from 0",
    why="openai-python and openai-node take it as the place in the list of parts.",
    fix="Give each part the number of parts before it in its item.",
    breaks=(PYTHON, NODE),
    degrades=(OPEN,),
)
def part_index(turn: Turn, event: Event) -> str | None:
    if event.item is None or event.item.is_ghost or event.item.is_done:
        return None
    parts, index = event.item.parts(event)
    return None if index == len(parts) else f"part {len(parts)} has index {index}"


@rule(
    "grammar.sequence-missing",
    expected="`sequence_number` in every event",
    why="The specification and the strict types of openai-python demand it.",
    fix="Number the events from 0.",
    breaks=(OPEN,),
    degrades=(PYTHON,),
    cosmetic=(NODE, AI_SDK),
    seen="OpenAI's own streams of early 2025; many Responses servers",
    once=True,
)
def sequence_missing(turn: Turn, event: Event) -> str | None:
    if event.type not in _NUMBERED or type(event.body.get("sequence_number")) is int:
        return None
    return f"{event.type} has sequence_number {shown(event.body.get('sequence_number'))}"


_NUMBERED = frozenset({*_RESPONSE_EVENTS, *TERMINAL, ADDED, ITEM_DONE, *INSIDE})


@rule(
    "grammar.sequence-not-increasing",
    expected="`sequence_number` that grows from event to event",
    why="Clients that resume a stream, and the test suites, take a number that does not grow for a "
    "repetition.",
    fix="Count the events of one response in one place.",
    breaks=(OPEN,),
    cosmetic=(PYTHON, NODE, AI_SDK),
    once=True,
)
def sequence_not_increasing(turn: Turn, event: Event) -> str | None:
    number = event.body.get("sequence_number")
    if type(number) is not int or turn.sequence is None or number > turn.sequence:
        return None
    return f"{number} after {turn.sequence}"


@rule(
    "grammar.sequence-gap",
    expected="`sequence_number` that begins with 0 and leaves none out",
    why="OpenAI counts so, and a client may take a gap for lost events.",
    fix="Begin with 0 and add 1.",
    cosmetic=(PYTHON, NODE, AI_SDK, OPEN),
    seen="trimmed recordings, and streams that were resumed with `starting_after`",
    once=True,
)
def sequence_gap(turn: Turn, event: Event) -> str | None:
    number = event.body.get("sequence_number")
    expected = 0 if turn.sequence is None else turn.sequence + 1
    if type(number) is not int or number <= expected - (turn.sequence is not None):
        return None
    return None if number == expected else f"{number} where {expected} was due"


@rule(
    "grammar.items-overlap",
    on=(ADDED,),
    expected="one item at a time",
    why="Codex shows an open message twice when a call comes in between, and the history gets "
    "the order of the done events. vLLM's validator refuses it.",
    fix="Close an item before the next one opens; hold back what belongs to a later one.",
    degrades=(CODEX, OPEN),
    cosmetic=(PYTHON, NODE, AI_SDK),
    seen="OpenRouter closes reasoning after the next item has opened",
)
def items_overlap(turn: Turn, event: Event) -> str | None:
    left = turn.open_items
    return f"an item opens while {left[0].id or left[0].type} is open" if left else None


@rule(
    "grammar.id-repeats",
    on=(ADDED,),
    expected="an id of its own for every item",
    why="openai-python 3 and openai-node 7 raise. A program that keeps what it shows by id mixes "
    "the two up.",
    fix="Mint an id for each item.",
    breaks=(PYTHON, NODE, OPEN),
    cosmetic=(CODEX, AI_SDK),
)
def id_repeats(turn: Turn, event: Event) -> str | None:
    named = event.spoken.get("id")
    known = turn.knows(named) if isinstance(named, str) and named else None
    return f"{named} is the id of two items" if known and not known.is_ghost else None


@rule(
    "grammar.id-changes",
    on={ITEM_DONE, *INSIDE, *TERMINAL},
    expected="one id for an item from `added` to the final output (I3)",
    why="openai-python and openai-node raise; AI SDK 5 and 6 crash while they look for the item.",
    fix="Mint the id when the item opens and keep it.",
    breaks=ALL - {CODEX},
    seen="GitHub Copilot gives every event a new id",
)
def id_changes(turn: Turn, event: Event) -> str | None:
    if event.type in TERMINAL:
        for done, item in zip(turn.done, final_output(event), strict=False):
            named = item.get("id") if isinstance(item, dict) else None
            if done.id and named and named != done.id:
                return f"{done.id} is {shown(named)} in the final output"
        return None
    if event.claimed_id is None or event.item is None or event.item.is_ghost:
        return None
    return f"{event.item.id} is {event.claimed_id} in {event.type}" if event.item.id else None


@rule(
    "grammar.done-twice",
    on=(ITEM_DONE,),
    expected="`response.output_item.done` once for each item",
    why="Codex runs the tool twice: every done item counts.",
    fix="Remember which items are closed.",
    breaks=(CODEX, AI_SDK, OPEN),
    cosmetic=(PYTHON, NODE),
)
def done_twice(turn: Turn, event: Event) -> str | None:
    again = event.item is not None and event.item.is_done
    return f"{event.spoken.get('id')} is done once more" if again else None


@rule(
    "grammar.event-after-terminal",
    expected="nothing after the terminal event but `[DONE]`",
    why="Codex and openai-python are gone by then: a call that comes later never runs, a text "
    "is not shown.",
    fix="Send the terminal event last.",
    breaks=ALL - {AI_SDK},
    degrades=(AI_SDK,),
    once=True,
)
def event_after_terminal(turn: Turn, event: Event) -> str | None:
    quiet = {*TERMINAL, END, "keepalive"}
    if turn.terminal is None or event.type in quiet or not is_known(event.type):
        return None
    return f"{event.type} after {turn.terminal}"


def _is_addressed(event: Event) -> bool:
    return any(event.body.get(name) is not None for name in ("item_id", "output_index"))


def _parts(event: Event) -> list[tuple[int, Part]]:
    item = event.item
    return [*item.content.items(), *item.summary.items()] if item and not item.is_done else []
