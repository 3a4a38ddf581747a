from __future__ import annotations

from typing import Any

import msgspec
import pytest

from anyturn.testing import Answer, Defect, Usage, call, interleaved, raw_chunks, reasoning, text
from anyturn.testing.responses_script import bent, event_stream
from support.stream_rules import Broken, check_stream

JSON = dict[str, Any]
REQUEST: JSON = {
    "model": "m",
    "tools": [
        {"type": "custom", "name": "patch"},
        {"type": "namespace", "name": "mcp", "tools": [{"type": "function", "name": "add"}]},
    ],
}


def stream(*parts: Any, defects: tuple[Defect, ...] = (), **options: Any) -> list[JSON]:
    made = event_stream(Answer(*parts, **options), REQUEST, 1, 5, "s-")
    return bent(made, frozenset(defects))


FULL = (
    reasoning("Hm."),
    text("Hello there, you."),
    interleaved(call("f", {"a": 1}), call("patch", "*** x")),
    call("add", "{}"),
)


def test_an_answer_is_a_stream_that_keeps_every_rule() -> None:
    response = check_stream(stream(*FULL, usage=Usage(7, 3, 1, 2)))
    items = response["output"]
    assert [item["type"] for item in items] == [
        *("reasoning", "message", "function_call", "custom_tool_call", "function_call"),
    ]
    assert [item["call_id"] for item in items[2:]] == ["call_5", "call_6", "call_7"]
    assert items[4]["namespace"] == "mcp"
    assert items[0]["encrypted_content"].startswith("s-")
    assert response["usage"]["total_tokens"] == 10


@pytest.mark.parametrize(
    ("finish", "kind"),
    [("length", "response.incomplete"), ("stop", "response.completed")],
)
def test_the_finish_decides_the_terminal_event(finish: str, kind: str) -> None:
    assert stream(text("x"), finish=finish)[-1]["type"] == kind
    assert stream(text("x"), finish=None)[-1]["type"] == "response.output_item.done"


def test_an_error_ends_the_stream() -> None:
    events = stream(text("x"), error_after=(3, {"code": "server_error", "message": "No"}))
    assert len(events) == 4 and events[-1]["type"] == "response.failed"


def test_events_can_be_given() -> None:
    assert {"type": "x"} in [{"type": e["type"]} for e in stream(raw_chunks([{"type": "x"}]))]


@pytest.mark.parametrize("defect", Defect)
def test_every_defect_breaks_the_stream(defect: Defect) -> None:
    good, bad = stream(*FULL), stream(*FULL, defects=(defect,))
    assert msgspec.json.encode(good) != msgspec.json.encode(bad)
    if defect is not Defect.NO_ARGUMENT_DELTAS:
        with pytest.raises((Broken, KeyError)):
            check_stream(bad)
