"""Events become one response, for whoever has only the events.

The gateway's own terminal event holds the same response already. This reads nothing but what the
events say, so the two can be compared: the tests hold them equal for every stream (I4).
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
