"""A Responses server's stream without a network: its bytes in, the client's events out."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

import msgspec

from anyturn.translate.adaptations import Adaptations
from anyturn.translate.failures import failure_from_body
from anyturn.translate.raised_calls import RaisedCalls
from anyturn.translate.relay import Relay
from anyturn.translate.snapshot import response_snapshot
from anyturn.wire import responses as r
from anyturn.wire import sse
from anyturn.wire.chat_stream import Unreadable
from anyturn.wire.profile import Profile
from anyturn.wire.server_events import EventReader
from support.stream_rules import check_stream, decode_events

JSON = dict[str, Any]

PROFILE = Profile(name="acme", title="Acme", wire="responses")


class Relayed:
    """What came of one stream of a Responses server."""

    def __init__(self, machine: Relay | RaisedCalls, events: list[r.Event]) -> None:
        self.machine = machine
        self.events = events
        self.data = [r.encode_json(event) for event in events]
        self.decoded = decode_events(b"".join(map(r.encode_event, events)))

    @property
    def rules(self) -> set[str]:
        return {change.rule for change in self.machine.adaptations}

    @property
    def response(self) -> JSON:
        assert self.machine.terminal is not None
        return r.as_object(self.machine.terminal.response)

    def check(self) -> JSON:
        """The terminal response of a stream that keeps every rule."""
        return check_stream(self.decoded)

    def done_items(self) -> list[JSON]:
        return [e["item"] for e in self.decoded if e["type"] == "response.output_item.done"]


def new_relay(**options: Any) -> Relay | RaisedCalls:
    """A relay with a clock that stands still and ids that count; with `tools`, calls are raised."""
    numbers = count(1)
    request, tools = options.pop("request", {}), options.pop("tools", None)

    def new_id(prefix: str) -> str:
        return f"{prefix}_new{next(numbers)}"

    relay = Relay(
        response_snapshot(request, response_id="resp_own", created_at=1000, model="m"),
        options.pop("profile", PROFILE),
        new_id=new_id,
        now=lambda: 1002,
        adaptations=Adaptations(),
        **options,
    )
    return relay if tools is None else RaisedCalls(relay, tools, PROFILE, new_id=new_id)


def relay_blocks(blocks: Iterable[bytes], **options: Any) -> Relayed:
    """Relay a stream that arrives in these blocks, to its end."""
    machine, reader = new_relay(**options), EventReader()
    events: list[r.Event] = list(machine.start())
    for block in blocks:
        events += _translate(machine, reader.feed(block))
    events += _translate(machine, reader.close())
    return Relayed(machine, events + machine.end())


def relay_events(events: Iterable[JSON | bytes], *, done: bool = False, **options: Any) -> Relayed:
    """Relay these events."""
    frames = [sse.encode(e if isinstance(e, bytes) else msgspec.json.encode(e)) for e in events]
    return relay_blocks([b"".join(frames) + (sse.DONE if done else b"")], **options)


def _translate(machine: Relay | RaisedCalls, found: list[Any]) -> list[r.Event]:
    events: list[r.Event] = []
    for one in found:
        if isinstance(one, Unreadable):
            events += machine.fail(failure_from_body(one.data, PROFILE))
        else:
            events += machine.receive(one)
    return events
