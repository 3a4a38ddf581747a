from __future__ import annotations

import msgspec
import pytest

from anyturn.translate.fold import fold
from anyturn.wire import responses as r
from support.turns import Run, call_delta, chunk, run_blocks, sse_stream


def turn(finish: str | None) -> Run:
    return run_blocks(
        [
            sse_stream(
                chunk({"reasoning": "Hm"}),
                chunk({"content": "Hi"}),
                chunk(call_delta("{}", "shell", index=0, id="call_1")),
                chunk({"content": "Bye"}, finish),
            )
        ]
    )


@pytest.mark.parametrize("finish", ["stop", "length", None], ids=["completed", "cut", "failed"])
def test_a_folded_stream_is_its_terminal_response(finish: str | None) -> None:
    run = turn(finish)
    response = fold(run.events)
    assert response == run.machine.terminal.response
    assert msgspec.json.decode(r.encode_json(response)) == run.decoded[-1]["response"]


def test_the_output_is_made_of_the_done_items_and_not_of_the_snapshot() -> None:
    events = turn("stop").events
    done = [event.item for event in events if isinstance(event, r.ItemDone)]
    bare = [event for event in events if not isinstance(event, r.Completed)]
    snapshot = msgspec.structs.replace(events[0].response, status="completed")
    response = fold([*bare, r.Completed(snapshot, 99)])
    assert response is not None
    assert response.output == tuple(done)


def test_items_are_in_the_order_of_their_indexes() -> None:
    events = turn("stop").events
    done = [event for event in events if isinstance(event, r.ItemDone)]
    response = fold([*reversed(done), events[-1]])
    assert response is not None
    assert response.output == tuple(event.item for event in done)


def test_a_stream_without_an_end_folds_to_nothing() -> None:
    assert fold(turn("stop").events[:-1]) is None
    assert fold([]) is None
