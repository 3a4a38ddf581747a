"""Calls of tools that were lowered to functions, in the form in which the client declared them.

The server's stream is mended first (`relay`), so that items are announced, keep their ids and end
whole. A function that only has another name streams as it comes. A call of any other kind is told
when it is whole, for its form cannot be made of a part; what comes after it gets other numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec

from anyturn.errors import Kind, TurnError
from anyturn.translate.built_in_tools import ToolKind
from anyturn.translate.output_calls import CallState
from anyturn.translate.output_items import COMPLETED, INCOMPLETE, Place
from anyturn.translate.relay import Relay
from anyturn.translate.relayed_responses import OPENINGS
from anyturn.translate.tool_map import Tool, ToolMap
from anyturn.wire import responses as r
from anyturn.wire.profile import Profile

JSON = dict[str, Any]

_ADDED = "response.output_item.added"
_DONE = "response.output_item.done"
_ARGUMENTS_DONE = "response.function_call_arguments.done"
_WITH_RESPONSE = frozenset({*OPENINGS, "response.queued"})
# All others pass untouched as long as nothing before them was changed.
_LOOKED_AT = frozenset({_ADDED, _DONE, _ARGUMENTS_DONE, *_WITH_RESPONSE})


class RaisedCalls:
    """One answer. It is used as the relay is, which it wraps."""

    def __init__(
        self, relay: Relay, tools: ToolMap, profile: Profile, *, new_id: Callable[[str], str]
    ) -> None:
        self._relay = relay
        self._tools = tools
        self._profile = profile
        self._new_id = new_id
        self._may_be_any = any(tool.kind is not ToolKind.FUNCTION for tool in tools)
        # By the index that an item has in the relay's stream.
        self._held: dict[int, str] = {}
        self._places: dict[int, int] = {}
        self._output: dict[int, r.RelayedItem] = {}
        # How far the client's numbers are from those of the relay's events.
        self._shift = 0
        self._is_moved = False
        self._is_changed = False
        self.snapshot = relay.snapshot
        self.adaptations = relay.adaptations
        self.terminal: r.Terminal | None = None

    # ---------------------------------------------------------------- one answer

    @property
    def finish(self) -> object | None:
        """Not None once only token counts and the end are to come."""
        return self._relay.finish

    @property
    def error(self) -> TurnError | None:
        """Why the answer failed."""
        return self._relay.error

    @property
    def called(self) -> list[str]:
        """The names of the tools that the model called so far, as the server knows them."""
        return self._relay.called

    def start(self) -> list[r.Event]:
        """Nothing: the server opens its own stream."""
        return self._relay.start()

    def skip(self) -> list[r.Event]:
        """End the answer without asking anybody (`generate: false`)."""
        return self._raise(self._relay.skip())

    def so_far(self, status: str) -> r.RelayedResponse:
        """The response with the items that are done, for a turn that ends without an event."""
        return self._response(self._relay.so_far(status).body)

    def receive(self, event: Any) -> list[r.Event]:
        """The events that one of the server's causes."""
        return self._raise(self._relay.receive(event))

    def end(self) -> list[r.Event]:
        """The server's stream is over."""
        return self._raise(self._relay.end())

    def fail(self, error: TurnError) -> list[r.Event]:
        """End the stream with this error. Items that are not done are not handed out."""
        return self._raise(self._relay.fail(error))

    def take_back(self, events: list[r.Event]) -> None:
        """Forget these events, the last ones made, which were not sent. Only `fail` may follow."""
        self._relay.take_back(events)
        self.terminal = None
        if events:
            self._shift = 0
        taken = {event.output_index for event in events if isinstance(event, r.ItemDone)}
        items = {id(event.item) for event in events if isinstance(event, r.RelayedDone)}
        self._output = {
            place: item
            for place, item in self._output.items()
            if place not in taken and id(item) not in items
        }

    # ---------------------------------------------------------------- events

    def _raise(self, events: list[r.Event]) -> list[r.Event]:
        """The events as the client knows the tools."""
        raised: list[r.Event] = []
        for position, event in enumerate(events):
            assert isinstance(event, r.Relayed)
            if isinstance(event, r.RelayedTerminal):
                self.terminal = self._terminal(event)
                raised.append(self.terminal)
            elif event.name not in _LOOKED_AT and not (self._held or self._shift or self._is_moved):
                raised.append(event)
            else:
                told, misfit = self._tell(event)
                raised += told
                if misfit is not None:
                    self._relay.take_back(events[position + 1 :])
                    return raised + self.fail(misfit)
        return raised

    def _tell(self, event: r.Relayed) -> tuple[list[r.Event], TurnError | None]:
        """The events that stand for one, and what is wrong with the call that it ends."""
        body: JSON = msgspec.json.decode(event.data)
        index = _index_in(body)
        if isinstance(event, r.RelayedDone):
            if index in self._held:
                return self._tell_whole(event, index)
            return [self._done(event, body)], None
        if index in self._held or (event.name == _ADDED and self._is_held(body)):
            self._shift -= 1
            return [], None
        if event.name == _ADDED:
            return [self._added(event, body)], None
        changes: JSON = {}
        if event.name in _WITH_RESPONSE:
            changes["response"] = self._told(body["response"])
        elif event.name == _ARGUMENTS_DONE and (tool := self._tool(body.get("name"))):
            changes["name"] = tool.name
        return [self._pass(event, body, changes)], None

    def _is_held(self, body: JSON) -> bool:
        """Hold an item that begins, if its form is none of a function call, or may be none."""
        item = body["item"]
        if not self._may_be_any or item.get("type") != "function_call":
            return False
        name = item.get("name")
        tool = self._tool(name)
        if name and (tool is None or tool.kind is ToolKind.FUNCTION):
            return False
        self._held[body["output_index"]] = str(name or "")
        self._is_changed = True
        return True

    def _added(self, event: r.Relayed, body: JSON) -> r.Relayed:
        self._place(body["output_index"])
        return self._pass(event, body, {"item": self._named(body["item"])})

    def _done(self, event: r.RelayedDone, body: JSON) -> r.RelayedDone:
        named = self._named(event.item.body)
        item = event.item if named is event.item.body else r.RelayedItem(named)
        self._output[self._place(body["output_index"])] = item
        passed = self._pass(event, body, {"item": named})
        if passed is event:
            return event
        return r.RelayedDone(passed.name, passed.data, passed.sequence_number, item)

    def _named(self, item: JSON) -> JSON:
        """An item; the call of a function under the name that the client knows."""
        tool = self._tool(item.get("name")) if item.get("type") == "function_call" else None
        if tool is None or (tool.name == item["name"] and not tool.namespace):
            return item
        self._is_changed = True
        named = {**item, "name": tool.name}
        return {**named, "namespace": tool.namespace} if tool.namespace else named

    def _tool(self, name: Any) -> Tool | None:
        return self._tools.resolve(name) if isinstance(name, str) and name else None

    def _tell_whole(
        self, event: r.RelayedDone, index: int
    ) -> tuple[list[r.Event], TurnError | None]:
        """A call that was held, as an item of its own kind."""
        item = event.item.body
        call = CallState(index)
        call.name = self._held.pop(index) or str(item.get("name") or "")
        call.tool = self._tool(call.name) or Tool(call.name, ToolKind.FUNCTION, call.name)
        call.call_id = event.item.call_id
        numbers = count(event.sequence_number + self._shift)
        call.add(item["arguments"], numbers.__next__)
        self._shift -= 1
        is_whole = item.get("status") == COMPLETED
        if not (is_whole or call.may_open_early or call.is_whole()):
            # A truncated patch or script could be executed (F44).
            what = f"{call.name or 'a call'} was cut off"
            self.adaptations.loss("calls.cut_off", f"output[{len(self._output)}]", what)
            return [], None
        if complaint := call.complaint:
            return [], TurnError(Kind.PROVIDER_BROKEN, complaint, provider=self._profile.name)
        place = Place(self._new_id(call.id_prefix), self._place(index))
        status = COMPLETED if is_whole or not call.may_open_early else INCOMPLETE
        events = call.open(place, numbers.__next__)
        more, raised = call.close(status, numbers.__next__)
        if call.repairs:
            repairs = ", ".join(call.repairs)
            self.adaptations.note("arguments.repaired", f"output[{place.index}]", repairs)
        events += more
        self._shift += len(events)
        self._output[place.index] = r.RelayedItem(msgspec.json.decode(r.encode_json(raised)))
        return events, None

    # ---------------------------------------------------------------- writing

    def _place(self, index: int) -> int:
        """Where an item of the relay stands for the client: in the order in which they began."""
        place = self._places.setdefault(index, len(self._places))
        self._is_moved = self._is_moved or place != index
        return place

    def _pass(self, event: r.Relayed, body: JSON, changes: JSON) -> r.Relayed:
        """The event with these members, and the number and the place that it has now."""
        whole = {**body, **changes}
        if (index := _index_in(body)) in self._places:
            whole["output_index"] = self._places[index]
        if self._shift and "sequence_number" in body:
            whole["sequence_number"] = event.sequence_number + self._shift
        if whole == body:
            return event
        number = event.sequence_number + self._shift
        return r.Relayed(event.name, msgspec.json.encode(whole), number)

    def _terminal(self, event: r.RelayedTerminal) -> r.RelayedTerminal:
        response = self._response(event.response.body)
        passed = self._pass(event, msgspec.json.decode(event.data), {"response": response.body})
        return r.RelayedTerminal(passed.name, passed.data, passed.sequence_number, response)

    def _response(self, body: JSON) -> r.RelayedResponse:
        told = self._told(body)
        output = tuple(self._output[place] for place in sorted(self._output))
        if self._is_changed:
            told["output"] = [item.body for item in output]
        return r.RelayedResponse(told, output)

    def _told(self, response: JSON) -> JSON:
        """The response with the tools as the client declared them."""
        own = {"tools": self.snapshot.tools, "tool_choice": self.snapshot.tool_choice}
        return {**response, **{name: own[name] for name in own if name in response}}


def _index_in(body: JSON) -> int:
    """The relay's index of the item that an event speaks of; -1 for none."""
    index = body.get("output_index")
    return index if type(index) is int else -1
