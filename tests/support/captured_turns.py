"""A recorded turn, without having been recorded."""

from __future__ import annotations

from typing import Any

import msgspec

from anyturn.capture import format as f
from anyturn.wire import sse

JSON = dict[str, Any]


def chunk(delta: JSON, finish: str | None = None) -> JSON:
    return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def stream(*chunks: JSON) -> str:
    return (
        b"".join(sse.encode(msgspec.json.encode(one)) for one in chunks).decode()
        + "data: [DONE]\n\n"
    )


CALLED = chunk(
    {
        "tool_calls": [
            {"index": 0, "id": "call_1", "function": {"name": "run", "arguments": '{"x":1}'}}
        ]
    }
)
CALL: JSON = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "run",
    "arguments": '{"x":1}',
    "status": "completed",
}
RESPONSE: JSON = {
    "id": "resp_1",
    "status": "completed",
    "created_at": 5,
    "usage": {"input_tokens": 10, "output_tokens": 4},
}
EVENTS: list[JSON] = [
    {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}},
    {
        "type": "response.output_item.added",
        "item": {"type": "reasoning", "id": "rs_1", "summary": []},
    },
    {"type": "response.reasoning_text.delta", "item_id": "rs_1", "delta": "Hm."},
    {
        "type": "response.output_item.done",
        "item": {"type": "reasoning", "id": "rs_1", "content": [{"text": "Hm."}]},
    },
    {
        "type": "response.output_item.added",
        "item": {**CALL, "arguments": "", "status": "in_progress"},
    },
    {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "delta": '{"x"'},
    {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "delta": ":1}"},
    {"type": "response.output_item.done", "item": CALL},
    {"type": "response.completed", "response": RESPONSE},
]
REQUEST: JSON = {
    "model": "m",
    "input": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Run."}]}
    ],
    "tools": [{"type": "function", "name": "run"}],
}


def records(
    *,
    events: list[JSON] = EVENTS,
    status: str = "completed",
    error: JSON | None = None,
    request: JSON = REQUEST,
    text: str = stream(CALLED, chunk({}, "tool_calls")),
    turn: str = "resp_1",
    started: str = "2026-01-02T03:04:05.000Z",
) -> list[f.Record]:
    times = [1000 * (1 + number) for number in range(len(events))]
    return [
        f.Head(
            turn=turn, started=started, client="codex", client_version="1", provider="p", model="m"
        ),
        f.ClientRequest(headers={"user-agent": "codex/1"}, body=request),
        f.ProviderRequest(t=10, url="http://p/v1", body={"model": "m", "messages": []}),
        f.ProviderBytes(t=[900], text=[text]),
        f.Events(t=times, events=[[event] for event in events]),
        f.End(t=20_000, status=status, error=error),
    ]


def captured(**options: Any) -> f.Capture:
    return f.read_capture(f.encode_record(one) for one in records(**options))


def without(*types: str) -> list[JSON]:
    return [event for event in EVENTS if event["type"] not in types]
