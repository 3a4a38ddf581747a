"""The end of an answer, with a status line: events → events.

Events are immutable and numbered, and done texts are the sum of their deltas (I5). So the end of a
message is held back until it is known to be the last thing said; then the line is one delta more,
and everything behind it says so and is numbered anew. Where the line is an item of its own, nothing
is held. Whatever is not a whole answer in the known form passes as it came.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec

from anyturn.translate.adaptations import Adaptations
from anyturn.translate.envelope import STATUS_LINE, seal
from anyturn.translate.status_line import marked
from anyturn.wire import responses as r

JSON = dict[str, Any]

# What may be said behind a message and is held back with it: reasoning, and the ends of things.
_MAX_HELD = 256
_TERMINAL = (r.Completed, r.Incomplete, r.Failed, r.RelayedTerminal)
_TEXT_DONE, _PART_DONE = "response.output_text.done", "response.content_part.done"
_ITEM_DONE = "response.output_item.done"
_BEGINS = {"response.output_item.added": "item", "response.content_part.added": "part"}


class StatusEnding:
    """Puts a line at the end of one answer. `passed` takes its events, all of them, in order.

    `line` is asked once, when a whole answer without calls has ended, with the response's usage;
    '' is for none. The line is the end of the last message's text, or with `as_reasoning` an item
    of its own. Afterwards `response` is the response as the client got it.
    """

    def __init__(
        self,
        line: Callable[[r.Usage | None], str],
        adaptations: Adaptations,
        new_id: Callable[[str], str],
        *,
        as_reasoning: bool = False,
    ) -> None:
        self._line = line
        self._adaptations = adaptations
        self._new_id = new_id
        self._as_reasoning = as_reasoning
        self._held: list[r.Event] = []
        self.response: r.AnyResponse | None = None

    def passed(self, events: list[r.Event]) -> list[r.Event]:
        """The events that may be sent now."""
        passed: list[r.Event] = []
        for event in events:
            if isinstance(event, _TERMINAL):
                passed += self._end(event)
            elif self._held and self._may_wait(event):
                self._held.append(event)
            else:
                passed += self._release()
                waits = not self._as_reasoning and r.name_of(event) == _TEXT_DONE
                (self._held if waits else passed).append(event)
        return passed

    def _may_wait(self, event: r.Event) -> bool:
        name = r.name_of(event)
        if len(self._held) >= _MAX_HELD:
            return False
        if name in _BEGINS:
            begun = _decoded(event).get(_BEGINS[name])
            return isinstance(begun, dict) and str(begun.get("type")).startswith("reasoning")
        return name in (_PART_DONE, _ITEM_DONE) or name.startswith("response.reasoning")

    def _release(self) -> list[r.Event]:
        held, self._held = self._held, []
        return held

    def _end(self, event: r.Terminal) -> list[r.Event]:
        held = self._release()
        unchanged = [*held, event]
        if r.name_of(event) != "response.completed" or not (self._as_reasoning or held):
            return unchanged
        body = _decoded(event)
        message = _last_word(body["response"])
        line = self._line(event.response.usage) if message else ""
        if not message or not line:
            return unchanged
        if self._as_reasoning:
            ending = self._with_item(line, body)
        else:
            ending = _with_text(marked(line), message, held, body)
        if not ending:
            return unchanged
        self._adaptations.note("answer.status_line", "output", "a status line was added")
        assert isinstance(ending[-1], r.RelayedTerminal)
        self.response = ending[-1].response
        return ending

    def _with_item(self, line: str, body: JSON) -> list[r.Event]:
        """The line as a reasoning item behind all others, sealed as what it is."""
        item_id, output, number = self._new_id("rs"), body["response"]["output"], _numbers(body)
        at, summary = (item_id, len(output)), r.SummaryText(line)
        sealed = seal(STATUS_LINE, "", {})
        assert sealed is not None
        item = r.ReasoningItem(item_id, (summary,), encrypted_content=sealed, status="completed")
        begun = r.ReasoningItem(item_id, status="in_progress")
        events: list[r.Event] = [
            r.ItemAdded(len(output), begun, number()),
            r.SummaryPartAdded(*at, 0, r.SummaryText(""), number()),
            r.SummaryDelta(*at, 0, line, number()),
            r.SummaryDone(*at, 0, line, number()),
            r.SummaryPartDone(*at, 0, summary, number()),
            r.ItemDone(len(output), item, number()),
        ]
        output.append(msgspec.json.decode(r.encode_json(item)))
        return [*events, _again(body, number())]


def _last_word(response: JSON) -> JSON | None:
    """The message that ends a turn; None where the client goes on with calls, or with nothing."""
    output = [item for item in response["output"] if isinstance(item, dict)]
    if response.get("end_turn") is False or any(item.get("call_id") for item in output):
        return None
    messages = [item for item in output if item.get("type") == "message"]
    return messages[-1] if messages else None


def _with_text(tail: str, message: JSON, held: list[r.Event], end: JSON) -> list[r.Event]:
    """The held events and the end, with one delta more; none where their form is another one."""
    bodies = [*map(_decoded, held), end]
    first = bodies[0]
    item_id, part, text = first.get("item_id"), first.get("content_index"), first.get("text")
    if not isinstance(item_id, str) or item_id != message.get("id"):
        return []
    if not isinstance(part, int) or not isinstance(text, str):
        return []
    seen = set()
    for body in bodies:
        if (holder := _holder(body, item_id, part)) is None:
            continue
        if holder.get("text") != text:
            return []
        holder["text"] = text + tail
        seen.add(body["type"])
    if not seen >= {_TEXT_DONE, _ITEM_DONE, end["type"]}:
        return []
    number = _numbers(first)
    at = {"item_id": item_id, "output_index": first.get("output_index"), "content_index": part}
    delta: JSON = {"type": "response.output_text.delta", **at, "delta": tail, "logprobs": []}
    return [_again(body, number()) for body in ({**delta, "sequence_number": 0}, *bodies)]


def _holder(body: JSON, item_id: str, part: int) -> JSON | None:
    """The object in which an event says the whole text of this part."""
    name = body["type"]
    if name in (_TEXT_DONE, _PART_DONE):
        is_it = (body.get("item_id"), body.get("content_index")) == (item_id, part)
        return body if is_it and name == _TEXT_DONE else body.get("part") if is_it else None
    items = body["response"]["output"] if "response" in body else [body.get("item")]
    for item in items:
        if isinstance(item, dict) and item.get("id") == item_id:
            content = item.get("content")
            # The line stands under the answer: nothing of the message comes behind it.
            if not isinstance(content, list) or len(content) != part + 1:
                return {}
            return content[part] if isinstance(content[part], dict) else {}
    return None


def _decoded(event: r.Event) -> JSON:
    body: JSON = msgspec.json.decode(r.encode_json(event))
    return {**body, "type": r.name_of(event), "sequence_number": event.sequence_number}


def _numbers(body: JSON) -> Callable[[], int]:
    """Gives the sequence numbers from this event's on."""
    return count(body["sequence_number"]).__next__


def _again(body: JSON, number: int) -> r.Relayed:
    """The event that this object is, under this number."""
    body["sequence_number"] = number
    name, data = body["type"], msgspec.json.encode(body)
    if name == _ITEM_DONE:
        return r.RelayedDone(name, data, number, r.RelayedItem(body["item"]))
    if "response" in body:
        output = tuple(map(r.RelayedItem, body["response"]["output"]))
        return r.RelayedTerminal(name, data, number, r.RelayedResponse(body["response"], output))
    return r.Relayed(name, data, number)
