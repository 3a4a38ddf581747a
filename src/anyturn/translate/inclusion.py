"""What a client did not ask to be included is not sent to it (`include`).

The seal of reasoning is made for every answer that is stored, because a client may come back with
a reference to it; in the answer it stands only where it was asked for, as in OpenAI's API.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET

from anyturn.wire import responses as r

_SEAL = "encrypted_content"
_MAY_HOLD = ("response.output_item.added", "response.output_item.done")


def without_seals(events: list[r.Event]) -> list[r.Event]:
    """The events without `encrypted_content` in their reasoning."""
    return [_visible(event) for event in events]


def response_without_seals(response: r.AnyResponse) -> r.AnyResponse:
    """The response without `encrypted_content` in its reasoning."""
    if isinstance(response, r.RelayedResponse):
        body = _without_seal(response.body)
        return r.RelayedResponse(body, tuple(map(r.RelayedItem, body.get("output") or ())))
    return msgspec.structs.replace(response, output=tuple(map(_unsealed, response.output)))


def _visible(event: r.Event) -> r.Event:
    if isinstance(event, r.Relayed):
        return _visible_relayed(event)
    if isinstance(event, r.ItemAdded | r.ItemDone) and isinstance(event.item, r.ReasoningItem):
        return msgspec.structs.replace(event, item=_unsealed(event.item))
    if isinstance(event, r.Completed | r.Incomplete | r.Failed):
        return msgspec.structs.replace(event, response=response_without_seals(event.response))
    return event


def _visible_relayed(event: r.Relayed) -> r.Relayed:
    may_hold = event.name in _MAY_HOLD or isinstance(event, r.RelayedTerminal)
    if not may_hold or _SEAL.encode() not in event.data:
        return event
    body = msgspec.json.decode(event.data)
    for member in ("item", "response"):
        if isinstance(body.get(member), dict):
            body[member] = _without_seal(body[member])
    return r.Relayed(event.name, msgspec.json.encode(body), event.sequence_number)


def _without_seal(body: dict[str, Any]) -> dict[str, Any]:
    """An item, or a response, of another server."""
    if body.get("type") == "reasoning":
        return {name: value for name, value in body.items() if name != _SEAL}
    if isinstance(body.get("output"), list):
        output = [
            _without_seal(item) if isinstance(item, dict) else item for item in body["output"]
        ]
        return {**body, "output": output}
    return body


def _unsealed(item: r.Item) -> r.Item:
    if isinstance(item, r.ReasoningItem):
        return msgspec.structs.replace(item, encrypted_content=UNSET)
    return item
