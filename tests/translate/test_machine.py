"""The machines are used in one way, whatever the provider speaks."""

from __future__ import annotations

import pytest

from anyturn.errors import Kind, TurnError
from anyturn.translate.chat_to_compaction import ChatToCompaction
from anyturn.translate.machine import Machine
from anyturn.wire import responses as r
from support.relays import PROFILE, new_relay, relay_events
from support.turns import new_machine

MACHINES = {
    "chat": new_machine,
    "responses": new_relay,
    "compaction of chat": lambda: new_machine(compacts=True),
    "compaction of responses": lambda: ChatToCompaction(
        new_relay(), PROFILE, new_id=lambda prefix: f"{prefix}_1"
    ),
}


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_opens_fails_once_and_then_is_silent(name: str) -> None:
    machine: Machine = MACHINES[name]()
    opening = machine.start()
    events = opening + machine.fail(TurnError(Kind.PROVIDER_BROKEN, "It broke."))
    assert [r.name_of(event) for event in events] == [
        *("response.created", "response.in_progress", "error", "response.failed"),
    ]
    assert machine.terminal is events[-1] and machine.error is not None
    assert machine.fail(machine.error) == machine.end() == []


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_that_got_nothing_fails_at_the_end(name: str) -> None:
    machine: Machine = MACHINES[name]()
    machine.start()
    machine.end()
    assert machine.terminal is not None and machine.terminal.response.status == "failed"
    assert machine.so_far("cancelled").status == "cancelled"
    assert machine.called == []


def test_a_relay_says_what_was_called() -> None:
    item = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
    run = relay_events([{"type": "response.output_item.done", "output_index": 0, "item": item}])
    assert run.machine.called == ["f"]
