from __future__ import annotations

import msgspec
import pytest

from anyturn.conformance import CLIENTS
from anyturn.conformance.probes import LOOP, PROBES, WORD, Probe, Way, request_of
from anyturn.wire.request import parse_request

each_request = pytest.mark.parametrize(
    "probe", [p for p in PROBES if p.way is not Way.MODELS and not p.raw], ids=lambda p: p.id
)


def test_every_probe_has_its_own_name_and_somebody_who_needs_it() -> None:
    assert len({probe.id for probe in PROBES}) == len(PROBES) >= 13
    assert all(probe.clients and probe.clients <= CLIENTS.keys() for probe in PROBES)


def test_every_client_needs_text_calls_and_errors() -> None:
    for client in CLIENTS:
        needed = {probe.id for probe in PROBES if client in probe.clients}
        assert {"text", "one call", "parallel calls", LOOP, "bad JSON"} <= needed


@each_request
def test_a_request_is_a_valid_request(probe: Probe) -> None:
    """Types as the specification has them; the gateway's own parser knows."""
    for attempt in range(len(probe.attempts)):
        body = request_of(probe, "m", attempt)
        parse_request(msgspec.json.encode(body))
        assert body["stream"] is (probe.way is Way.STREAM)


def test_the_tool_loop_answers_each_call_of_the_model() -> None:
    said = tuple(
        {"type": "function_call", "call_id": f"c{n}", "name": "get_weather", "arguments": "{}"}
        for n in range(2)
    )
    loop = next(probe for probe in PROBES if probe.id == LOOP)
    items = request_of(loop, "m", said=said)["input"]
    assert [item.get("call_id") for item in items] == [None, "c0", "c1", "c0", "c1"]
    assert WORD in items[-1]["output"]
    made_up = request_of(loop, "m")["input"]
    assert [item["type"] for item in made_up[1:]] == ["function_call", "function_call_output"]
