"""What a client did not ask to be included is not sent to it (`include`).

The seal of reasoning is made for every answer that is stored, because a client may come back with
a reference to it; in the answer it stands only where it was asked for, as in OpenAI's API.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from anyturn.wire import responses as r


def without_seals(events: list[r.Event]) -> list[r.Event]:
    """The events without `encrypted_content` in their reasoning."""
    return [_visible(event) for event in events]


def response_without_seals(response: r.Response) -> r.Response:
    """The response without `encrypted_content` in its reasoning."""
    return msgspec.structs.replace(response, output=tuple(map(_unsealed, response.output)))


def _visible(event: r.Event) -> r.Event:
    if isinstance(event, r.ItemAdded | r.ItemDone) and isinstance(event.item, r.ReasoningItem):
        return msgspec.structs.replace(event, item=_unsealed(event.item))
    if isinstance(event, r.Completed | r.Incomplete | r.Failed):
        return msgspec.structs.replace(event, response=response_without_seals(event.response))
    return event


def _unsealed(item: r.Item) -> r.Item:
    if isinstance(item, r.ReasoningItem):
        return msgspec.structs.replace(item, encrypted_content=UNSET)
    return item
