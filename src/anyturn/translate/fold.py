"""Events become one response: what a client gets that did not ask for a stream.

It reads only what the events say, so a folded stream and its terminal snapshot can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from anyturn.wire import responses as r


def fold(events: Iterable[r.Event]) -> r.Response | None:
    """The response that the events describe, or None when no terminal event was among them.

    Its output are the items that were done, in the order of their indexes.
    """
    done: dict[int, r.Item] = {}
    for event in events:
        if isinstance(event, r.ItemDone):
            done[event.output_index] = event.item
        elif isinstance(event, r.Completed | r.Incomplete | r.Failed):
            output = tuple(done[index] for index in sorted(done))
            return msgspec.structs.replace(event.response, output=output)
    return None
