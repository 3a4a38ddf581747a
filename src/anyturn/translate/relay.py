"""A Responses server's answer, relayed: untouched where it conforms, mended where it does not.

Clients trust the order and the ids of the events (I1 to I5), and Codex acts on
`response.output_item.done` alone. Servers leave things out: the announcement of an item, an id that
stays the same, the output of the terminal event (F41, F45, F56; clients.md section 3.3). What
conforms goes out byte for byte; what is missing is supplied, and every mending is an adaptation,
noted once per rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from anyturn.errors import Kind, TurnError
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.chat_to_responses import ChatToResponses
from anyturn.translate.failures import failure_from_value
from anyturn.translate.foreign_forms import (
    CALL_ENDS,
    CALL_PIECES,
    NAMES,
    read_piece,
    standard_items,
)
from anyturn.translate.foreign_streams import AnyTool, ForeignStream, other_api
from anyturn.translate.relayed_items import (
    ACTIONS,
    PAYLOADS,
    Action,
    RelayedState,
    Repairs,
    Told,
    item_type_of,
    mend_item,
    mended_part,
)
from anyturn.translate.relayed_responses import OPENINGS, TERMINALS, Shown, as_opening, is_unique
from anyturn.translate.retelling import retell
from anyturn.wire import responses as r
from anyturn.wire.profile import Profile
from anyturn.wire.server_events import DONE, WHOLE, ReadEvent, ServerEvent

JSON = dict[str, Any]

# As for chunks: past these the server is broken (A1). The envelope of a delta is larger than it.
MAX_ANSWER_BYTES = 512 * 1024 * 1024
MAX_ITEMS = 4096

_NOTHING: Mapping[str, Any] = {}


class Relay:
    """One answer. It is used as `ChatToResponses` is, with events in the place of chunks.

    `told` are members of the response that the gateway answers for, whatever the server says: what
    is stored, what was continued, and the id where the client was told one already. What is stored
    (`is_stored`) is found by its ids, so there those of a server that counts are replaced.
    """

    def __init__(
        self,
        snapshot: r.Response,
        profile: Profile,
        *,
        new_id: Callable[[str], str],
        now: Callable[[], int],
        adaptations: Adaptations,
        told: Mapping[str, Any] = _NOTHING,
        request_bytes: int = 0,
        is_stored: bool = False,
    ) -> None:
        self._is_good: Callable[[str], bool] = is_unique if is_stored else bool
        self._profile = profile
        self._new_id = new_id
        self._now = now
        self._repairs = Repairs(adaptations)
        self._shown = Shown(
            snapshot, told, self._repairs, adaptations, request_bytes, self._is_good
        )
        self._number = 0
        self._bytes = 0
        self._opened = 0
        self._states: list[RelayedState] = []
        self._by_id: dict[str, RelayedState] = {}
        self._by_index: dict[int, RelayedState] = {}
        self._call_ids: set[str] = set()
        self._done: dict[int, r.RelayedItem] = {}
        self._failure: TurnError | None = None
        self._foreign: ForeignStream | None = None
        self._request_bytes = request_bytes
        self._is_over = False
        self.snapshot = snapshot
        self.adaptations = adaptations
        self.error: TurnError | None = None
        self.terminal: r.Terminal | None = None
        self.finish: object | None = None
        """Set for a stream of another API only: else the terminal event is the last word."""

    # ---------------------------------------------------------------- one answer

    def start(self) -> list[r.Event]:
        """Nothing: the server opens its own stream."""
        return []

    def skip(self) -> list[r.Event]:
        """End the answer without asking anybody (`generate: false`)."""
        members = {"usage": r.Usage(0, 0, 0), "completed_at": self._now()}
        return [*self._open_stream(2), self._end("completed", members)]

    def so_far(self, status: str) -> r.RelayedResponse:
        """The response with the items that are done, for a turn that ends without an event."""
        return self._response({"status": status})

    @property
    def called(self) -> list[str]:
        """The names of the tools that the model called so far."""
        return [state.name or state.type for state in self._states if state.call_id]

    def receive(self, event: ServerEvent) -> list[r.Event]:
        """The events that one of the server's causes: as a rule the same one."""
        if self.terminal is not None:
            return []
        self._bytes += len(event.data)
        if self._bytes > MAX_ANSWER_BYTES:
            return self._fail_as("sent an answer of more than 512 MiB.")
        action = ACTIONS.get(event.type)
        if action is not None and self._opened == 2:
            state = self._find(event)
            if (
                state is not None
                and event.sequence_number == self._number
                and event.item_id == state.id
                and event.output_index == state.index
                and state.takes(action, event)
            ):
                return [self._as_it_came(event)]
        try:
            return self._receive_slowly(event)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return self._fail_as(f"sent an event that cannot be read: {event.data[:100]!r}")

    def _receive_slowly(self, event: ServerEvent) -> list[r.Event]:
        name = NAMES.get(event.type, event.type)
        if name in OPENINGS:
            return self._receive_opening(name, event)
        if name in TERMINALS:
            return self._receive_terminal(name, event)
        if name == "response.queued":
            return [self._shown_event(name, event)]
        if name == WHOLE:
            return self._receive_whole(event)
        if name == "error":
            return self._receive_error(event)
        if name == DONE:
            self._is_over = True
            return []
        if api := other_api(name):
            return self._receive_foreign(api, event)
        if not name.startswith("response."):
            return [] if self._foreign else [self._pass(name, event)]
        events = self._open_stream(2)
        if name == "response.output_item.added":
            return events + self._receive_added(event)
        if name == "response.output_item.done":
            return events + self._receive_done(event)
        if name in CALL_PIECES:
            return events + self._receive_piece(event)
        if name in CALL_ENDS:
            self._repairs.note("repair.foreign_event", f"{name} is no event of the Responses API")
            return events
        if (action := ACTIONS.get(name)) is not None:
            return events + self._receive_inside(name, action, event)
        return [*events, self._pass_of_item(name, event)]

    def end(self) -> list[r.Event]:
        """The server's stream is over: that is only right behind a terminal event (F39)."""
        if self.terminal is not None:
            return []
        if self._failure is not None:
            self._repairs.note("repair.terminal", "an error without response.failed behind it")
            return self.fail(self._failure)
        if self._foreign is not None:
            return self._end_foreign(is_whole=False)
        if self._is_over and self._done and len(self._done) == len(self._states):
            self._repairs.note("repair.terminal", "[DONE] without a terminal event before it")
            response = {"completed_at": self._now(), "status": "completed"}
            return [self._end("completed", self._shown.end(response, "completed", self._output()))]
        return self._fail_as("ended its stream before the answer was over.")

    def take_back(self, events: list[r.Event]) -> None:
        """Forget these events, the last ones made, which were not sent. Only `fail` may follow."""
        if events:
            self._number = events[0].sequence_number
        unsent = {id(event.item) for event in events if isinstance(event, r.RelayedDone)}
        self._done = {at: item for at, item in self._done.items() if id(item) not in unsent}
        self.terminal = None

    def fail(self, error: TurnError) -> list[r.Event]:
        """End the stream with this error. Items that are not done are not handed out."""
        if self.terminal is not None:
            return []
        self.error = error
        events = self._open_stream(2, is_repair=False)
        if self._failure is None:
            told = {"code": error.kind.code, "message": error.message, "param": error.param}
            events.append(self._make("error", {**told, "error": error.envelope()["error"]}))
        failed = {"code": error.kind.code, "message": error.message}
        return [*events, self._end("failed", {"error": failed})]

    def _fail_as(self, what: str) -> list[r.Event]:
        sentence = f"{self._profile.label} {what}"
        return self.fail(TurnError(Kind.PROVIDER_BROKEN, sentence, provider=self._profile.name))

    # ---------------------------------------------------------------- the response

    def _open_stream(self, upto: int, *, is_repair: bool = True) -> list[r.Event]:
        """The opening events that did not come."""
        events: list[r.Event] = []
        while self._opened < upto:
            name = OPENINGS[self._opened]
            self._opened += 1
            if is_repair:
                self._repairs.note("repair.lifecycle", f"{name} was missing")
            events.append(self._make(name, {"response": self._shown.opening()}))
        return events

    def _receive_opening(self, name: str, event: ServerEvent) -> list[r.Event]:
        position = OPENINGS.index(name)
        if position < self._opened:
            self._repairs.note("repair.lifecycle", f"{name} came twice, or too late")
            return []
        passed = _decoded(event.data)
        shown = self._shown.open(_object(passed.get("response")))
        events = self._open_stream(position)
        self._opened = position + 1
        return [*events, self._pass_body(name, event, passed, {**passed, "response": shown})]

    def _shown_event(self, name: str, event: ServerEvent) -> r.Relayed:
        body = _decoded(event.data)
        shown = self._shown.open(_object(body.get("response")))
        return self._pass_body(name, event, body, {**body, "response": shown})

    def _receive_whole(self, event: ServerEvent) -> list[r.Event]:
        """An answer in one piece, from a server that ignored `stream`."""
        body = _decoded(event.data)
        body.pop("type", None)
        self._repairs.note("repair.lifecycle", "the answer came in one piece")
        events: list[r.Event] = []
        for told in retell(body):
            kind, index = told["type"], told.get("output_index")
            data = msgspec.json.encode(told)
            again = msgspec.json.decode(data, type=ServerEvent)
            again.type, again.data, again.output_index = kind, data, index
            events += self.receive(again)
        return events

    def _receive_foreign(self, api: str, event: ServerEvent) -> list[r.Event]:
        """A message of another API, as the events that it means."""
        if self._foreign is None:
            what = f"the answer came as {api} has it; is its wire set right (--wire)?"
            self._repairs.note("repair.foreign_stream", what)
            machine = ChatToResponses(
                self.snapshot,
                AnyTool(),
                self._profile,
                new_id=self._new_id,
                now=self._now,
                request_bytes=self._request_bytes,
                adaptations=self.adaptations,
            )
            self._foreign = ForeignStream(machine, self._profile)
        events = self._read(self._foreign.receive(_decoded(event.data)))
        self.finish = self._foreign.finish
        return events

    def _end_foreign(self, *, is_whole: bool) -> list[r.Event]:
        assert self._foreign is not None
        foreign, self._foreign = self._foreign, None
        return self._read(foreign.end(is_whole=is_whole))

    def _read(self, told: Iterable[ReadEvent]) -> list[r.Event]:
        events: list[r.Event] = []
        for one in told:
            assert isinstance(one, ServerEvent)
            events += self.receive(one)
        return events

    def _receive_terminal(self, name: str, event: ServerEvent) -> list[r.Event]:
        body = _decoded(event.data)
        response = _object(body.get("response"))
        status = TERMINALS[name] or str(response.get("status") or "completed")
        if self._foreign is not None and status == "completed":
            return self._end_foreign(is_whole=True)
        if not self._opened:
            self._shown.open(as_opening(response))
        events = self._open_stream(2, is_repair=status != "failed")
        if status != "failed":
            events += self._finish_rest(response.get("output"), status)
        right_name = f"response.{status}" if f"response.{status}" in TERMINALS else name
        if right_name != name:
            self._repairs.note("repair.terminal", f"{name} is {right_name}")
        mended = self._shown.end(response, status, self._output())
        if status == "failed":
            self.error = failure_from_value(mended.get("error"), self._profile)
        whole = body if mended == response else {**body, "response": mended}
        passed = self._pass_body(right_name, event, body, whole)
        return [*events, self._terminate(passed, mended)]

    def _terminate(self, passed: r.Relayed, body: JSON) -> r.RelayedTerminal:
        response = r.RelayedResponse(body, self._output())
        terminal = r.RelayedTerminal(passed.name, passed.data, passed.sequence_number, response)
        self.terminal = terminal
        return terminal

    def _end(self, status: str, members: JSON) -> r.RelayedTerminal:
        body = self._response({"status": status, **members}).body
        return self._terminate(self._make(f"response.{status}", {"response": body}), body)

    def _response(self, members: JSON) -> r.RelayedResponse:
        output = self._output()
        said = {**self._shown.opening(), "output": [item.body for item in output], **members}
        body: JSON = msgspec.json.decode(msgspec.json.encode(said))
        return r.RelayedResponse(body, output)

    def _output(self) -> tuple[r.RelayedItem, ...]:
        return tuple(self._done[index] for index in sorted(self._done))

    def _receive_error(self, event: ServerEvent) -> list[r.Event]:
        body = _decoded(event.data)
        failure = failure_from_value(body, self._profile)
        if not self._opened:
            # Nobody was told anything yet: the client gets a status (F68).
            return self.fail(failure)
        self._failure = failure
        return [*self._open_stream(2), self._pass("error", event)]

    # ---------------------------------------------------------------- items

    def _receive_added(self, event: ServerEvent) -> list[r.Event]:
        body = _decoded(event.data)
        item = self._standard(_object(body.get("item")))[0]
        known = self._by_id.get(str(item.get("id")))
        if known is not None and known.type == item.get("type"):
            self._repairs.note("repair.lifecycle", "an item was announced twice")
            return []
        state = self._new_state(item, event.output_index)
        whole = {**body, "item": state.announced, "output_index": state.index}
        if state.announced.get("id") != item.get("id"):
            self._repairs.note("repair.item_id", "an item was announced without an id of its own")
        if state.announced.get("call_id") != item.get("call_id"):
            self._repairs.note("repair.call_id", "a call came without an id, or under another's")
        if state.announced.keys() != item.keys():
            self._repairs.note("repair.item", "an item was announced without all its members")
        return [self._pass_body("response.output_item.added", event, body, whole)]

    def _receive_done(self, event: ServerEvent) -> list[r.Event]:
        body = _decoded(event.data)
        first, *others = self._standard(_object(body.get("item"))) or [{}]
        state = self._state_of(event, first)
        if state is not None and state.is_done:
            self._repairs.note("repair.lifecycle", "an item was done twice")
            return []
        events: list[r.Event] = []
        if state is None:
            state, events = self._announce(first, event.output_index)
        events += self._finish(state, first, event, body)
        for other in others:
            events += self._tell_whole(other)
        return events

    def _standard(self, item: JSON) -> list[JSON]:
        items = standard_items(item)
        if items != [item]:
            self._repairs.note("repair.foreign_event", "calls came in a form of another API")
        return items or [{"type": "message", "content": []}]

    def _finish(
        self, state: RelayedState, item: JSON, event: ServerEvent | None, body: JSON
    ) -> list[r.Event]:
        """Everything that was still to be said of an item, and that it is done."""
        mended = mend_item(item, state, self._repairs)
        events = self._supply(state.missing_events(mended))
        state.is_done = True
        done = r.RelayedItem(mended)
        self._done[state.index] = done
        whole = {**body, "item": mended, "output_index": state.index}
        name = "response.output_item.done"
        passed = self._pass_body(name, event, body, whole) if event else self._make(name, whole)
        return [*events, r.RelayedDone(name, passed.data, passed.sequence_number, done)]

    def _tell_whole(self, item: JSON) -> list[r.Event]:
        """An item of which no event spoke."""
        state, events = self._announce(item, None)
        return events + self._finish(state, item, None, {})

    def _finish_rest(self, output: Any, status: str) -> list[r.Event]:
        """Items that only the terminal event holds, and those that were never done (F56)."""
        events: list[r.Event] = []
        items = output if isinstance(output, list) else []
        for position, given in enumerate(items):
            for item in self._standard(given) if isinstance(given, dict) else ():
                state = self._match(item, position)
                if state is None:
                    self._repairs.note("repair.lifecycle", "an item came in the terminal event")
                    events += self._tell_whole(item)
                elif not state.is_done:
                    self._repairs.note("repair.lifecycle", "an item was never done")
                    events += self._finish(state, item, None, {})
        for state in self._states:
            is_whole = status == "completed" and (state.type not in PAYLOADS or state.name)
            if not state.is_done and (is_whole or state.type in ("message", "reasoning")):
                self._repairs.note("repair.lifecycle", "an item was never done")
                ended = {**state.announced, "status": status}
                events += self._finish(state, ended, None, {})
        return events

    def _match(self, item: JSON, position: int) -> RelayedState | None:
        """The item of the stream that one of the terminal output is."""
        if (known := self._by_id.get(str(item.get("id") or ""))) is not None:
            return known
        call_id = item.get("call_id")
        for state in self._states if call_id else ():
            if call_id in (state.told_call_id, state.call_id):
                return state
        if position < len(self._states) and self._states[position].type == item.get("type"):
            return self._states[position]
        return None

    def _receive_inside(self, name: str, action: Action, event: ServerEvent) -> list[r.Event]:
        """A delta, a part, or the end of one, that is not simply the next one of its item."""
        events: list[r.Event] = []
        body = _decoded(event.data)
        state = self._state_of(event, {})
        if state is None:
            begun = {**body, "type": item_type_of(action), "id": event.item_id}
            begun = {k: v for k, v in begun.items() if k in ("type", "id", "name", "call_id")}
            state, events = self._announce(begun, event.output_index)
        if name != event.type:
            self._repairs.note("repair.foreign_event", f"{event.type} is {name}")
        whole = {**body, "item_id": state.id, "output_index": state.index}
        if event.item_id != state.id or event.output_index != state.index:
            self._repairs.note("repair.item_id", "an id or an index changed on the way")
        if action.group in ("content", "summary"):
            whole.setdefault(f"{action.group}_index", 0)
        if action.verb in ("open", "close") and (part := mended_part(body.get("part"))):
            if part != body.get("part"):
                self._repairs.note("repair.part", "a part came without all its members")
            whole["part"] = part
        if action.verb == "delta" and not isinstance(whole.get("delta"), str):
            whole["delta"] = str(whole.get("arguments") or whole.get("text") or "")
        events += self._supply(state.follow(action, event, whole))
        return [*events, self._pass_body(name, event, body, whole)]

    def _receive_piece(self, event: ServerEvent) -> list[r.Event]:
        body = _decoded(event.data)
        piece = read_piece(body)
        if piece is None:
            return [self._pass(event.type, event)]
        self._repairs.note("repair.foreign_event", f"{event.type} holds a call")
        state = self._state_of(event, {"call_id": piece.call_id}, default="function_call")
        events: list[r.Event] = []
        if state is None or (piece.name and state.payload and piece.name != state.name):
            begun = {"type": "function_call", "call_id": piece.call_id, "name": piece.name}
            state, events = self._announce(begun, event.output_index)
        state.name = state.name or piece.name
        state.announced["name"] = state.name
        if piece.arguments:
            name = f"{PAYLOADS['function_call'][1]}.delta"
            at = {"item_id": state.id, "output_index": state.index, "delta": piece.arguments}
            list(state.follow(ACTIONS[name], event, at))
            events.append(self._make(name, at))
        return events

    # ---------------------------------------------------------------- whose event it is

    def _find(self, event: ServerEvent) -> RelayedState | None:
        """The item that an event names, by its id or else by its index."""
        state = self._by_id.get(event.item_id) if event.item_id else None
        if state is None and event.output_index is not None:
            return self._by_index.get(event.output_index)
        return state

    def _state_of(self, event: ServerEvent, item: JSON, default: str = "") -> RelayedState | None:
        """The item that an event means: the one that it names, else the one that is open."""
        if (state := self._find(event)) is not None:
            return state
        if (state := self._by_id.get(str(item.get("id") or ""))) is not None:
            return state
        for known in self._states if item.get("call_id") else ():
            if item["call_id"] in (known.told_call_id, known.call_id):
                return known
        if event.output_index is not None or item.get("call_id"):
            return None
        action = ACTIONS.get(NAMES.get(event.type, event.type))
        wanted = item_type_of(action) if action else str(item.get("type") or default)
        for known in reversed(self._states):
            if not known.is_done and known.type == wanted:
                return known
        return None

    def _announce(self, item: JSON, key: int | None) -> tuple[RelayedState, list[r.Event]]:
        self._repairs.note("repair.lifecycle", "an item was not announced")
        state = self._new_state(_not_yet(item), key)
        body = {"output_index": state.index, "item": state.announced}
        return state, [self._make("response.output_item.added", body)]

    def _new_state(self, item: JSON, key: int | None) -> RelayedState:
        index = len(self._states)
        if index >= MAX_ITEMS:
            sentence = f"{self._profile.label} sent more than {MAX_ITEMS} items."
            raise TurnError(Kind.PROVIDER_BROKEN, sentence, provider=self._profile.name)
        state = RelayedState(index, item, self._new_id, self._call_ids, self._is_good)
        self._states.append(state)
        self._by_index[index if key is None else key] = state
        for item_id in {state.id, state.told_id} - {""}:
            self._by_id[item_id] = state
        return state

    # ---------------------------------------------------------------- writing

    def _supply(self, told: Iterable[Told]) -> list[r.Event]:
        events: list[r.Event] = []
        for name, body in told:
            self._repairs.note("repair.lifecycle", f"{name} was missing")
            events.append(self._make(name, body))
        return events

    def _as_it_came(self, event: ServerEvent) -> r.Relayed:
        number = self._number
        self._number = number + 1
        return r.Relayed(event.type, event.data, number)

    def _pass(self, name: str, event: ServerEvent) -> r.Relayed:
        """An event as it came, with another number only where the numbers are wrong."""
        if event.sequence_number == self._number and name == event.type:
            return self._as_it_came(event)
        if event.sequence_number is None and not name.startswith("response."):
            # Not of the API (`codex.rate_limits`): whoever knows it knows it without a number.
            return r.Relayed(name, event.data, max(self._number - 1, 0))
        self._repairs.note("repair.sequence", "the numbers of the events were wrong or missing")
        return self._make(name, _decoded(event.data))

    def _pass_of_item(self, name: str, event: ServerEvent) -> r.Relayed:
        """An event that nobody here knows, under the id and the index that its item has."""
        state = self._find(event)
        if state is None or (event.item_id in (None, state.id) and event.output_index is None):
            return self._pass(name, event)
        body = _decoded(event.data)
        return self._pass_body(
            name, event, body, {**body, "item_id": state.id, "output_index": state.index}
        )

    def _pass_body(self, name: str, event: ServerEvent, body: JSON, whole: JSON) -> r.Relayed:
        if body == whole and name == event.type:
            return self._pass(name, event)
        if event.sequence_number != self._number:
            self._repairs.note("repair.sequence", "the numbers of the events were wrong or missing")
        return self._make(name, whole)

    def _make(self, name: str, body: JSON) -> r.Relayed:
        number = self._number
        self._number = number + 1
        data = msgspec.json.encode({**body, "type": name, "sequence_number": number})
        return r.Relayed(name, data, number)


def _decoded(data: bytes) -> JSON:
    body: JSON = msgspec.json.decode(data)
    return body


def _object(value: Any) -> JSON:
    return value if isinstance(value, dict) else {}


def _not_yet(item: JSON) -> JSON:
    """An item as it would have been announced: in progress, and nothing said yet."""
    empty: JSON = {"content": [], "summary": []}
    begun: JSON = {name: empty.get(name, value) for name, value in item.items()}
    if item.get("type") in PAYLOADS:
        begun[PAYLOADS[item["type"]][0]] = ""
    if "status" in item or item.get("type") in (*PAYLOADS, "message"):
        begun["status"] = "in_progress"
    if item.get("type") == "reasoning":
        begun.pop("encrypted_content", None)
    return begun
