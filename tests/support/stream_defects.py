"""Defects of how an answer is told: the transport, foreign forms, the grammar of the events."""

from __future__ import annotations

import msgspec

from support.bent_streams import (
    CHAT,
    Defects,
    Events,
    at,
    edited,
    end,
    end_set,
    item_set,
    one_call,
    text,
    thought,
    two_calls,
    with_extra,
    without,
)
from support.responses_streams import as_sse, call, message, numbered, reasoning, stream

STREAM_DEFECTS = Defects()
_add = STREAM_DEFECTS.add
_HTML = b"<html><title>502 Bad Gateway</title></html>\n"
_ANTHROPIC = {
    "type": "content_block_delta",
    "index": 0,
    "delta": {"type": "text_delta", "text": "Hello"},
}
_TOOL_CALL = {"type": "response.tool_call.delta", "delta": {"name": "exec_command"}}
_NO_DONE = as_sse(text()).removesuffix(b"data: [DONE]\n\n")


def _overlapping() -> Events:
    events = two_calls()
    added = next(n for n, e in enumerate(events) if e["type"].endswith("added") and n > 3)
    events.insert(added - 1, events.pop(added))
    return numbered(events)


def _refusing(parts: Events) -> Events:
    events = stream(message())
    for name in (
        "output_text.delta",
        "output_text.done",
        "content_part.added",
        "content_part.done",
    ):
        events = without(events, name)
    return item_set(events, done_only=True, content=parts)


def _sse() -> bytes:
    return as_sse(text())


# transport
_add(
    "transport.status",
    _sse,
    lambda _: b'{"error":{"message":"Unknown model."}}',
    good_known={"status": 200},
    bad_known={"status": 404},
)
_add(
    "transport.content-type",
    _sse,
    good_known={"headers": {"Content-Type": "text/event-stream"}},
    bad_known={"headers": {"Content-Type": "application/json"}},
)
_add("transport.not-a-stream", _sse, lambda _: _HTML)
_add("transport.not-a-stream", _sse, lambda _: b"", name="empty")
_add("transport.not-a-stream", _sse, lambda _: b"Internal error", name="plain text")
_add(
    "transport.not-a-stream",
    _sse,
    lambda _: msgspec.json.format(b'{"object":"response","output":[]}'),
    name="JSON answer",
)
_add("transport.unended", lambda: _NO_DONE + b"data: [DONE]\n\n", lambda _: _NO_DONE[:-1])
_add(
    "transport.bad-json",
    _sse,
    lambda s: s.replace(
        b'data: {"type":"response.output_text.done"',
        b'data: {\'type\': 1}\n\ndata: {"type":"response.output_text.done"',
    ),
)
_add(
    "transport.no-type",
    text,
    lambda e: [*e[:4], {"delta": "more"}, *e[4:]],
)
_add(
    "transport.event-name",
    _sse,
    lambda s: s.replace(b"data:", b"event: message\ndata:", 1),
)
_add("transport.done-missing", _sse, lambda _: _NO_DONE)
_add(
    "transport.after-done",
    _sse,
    lambda s: s.removesuffix(b"data: [DONE]\n\n").replace(
        b'data: {"type":"response.completed"', b'data: [DONE]\n\ndata: {"type":"response.completed"'
    ),
)
# foreign
_add("foreign.chat-chunk", one_call, lambda _: CHAT)
_add("foreign.chat-chunk", one_call, lambda e: [*e[:3], CHAT[0], *e[3:]], name="in between")
_add(
    "foreign.anthropic-event",
    text,
    lambda _: [{"type": "message_start", "message": {}}, _ANTHROPIC, {"type": "message_stop"}],
)
_add("foreign.tool-call-event", one_call, lambda _: with_extra(stream(), _TOOL_CALL))
_add(
    "foreign.tool-call-event",
    one_call,
    lambda _: with_extra(stream(), {**_TOOL_CALL, "type": "response.output_item.delta"}),
    name="output_item.delta",
)
_add(
    "foreign.arguments-event-name",
    one_call,
    lambda e: [
        {**x, "type": x["type"].replace("call_arguments.delta", "call.arguments.delta")} for x in e
    ],
)
_add("foreign.unknown-event", text, lambda e: with_extra(e, {"type": "acme:progress"}))
_add(
    "foreign.reasoning-names-of-open-responses",
    thought,
    lambda e: [
        *e[:3],
        {
            "type": "response.content_part.added",
            "item_id": "rs_1",
            "output_index": 0,
            "content_index": 0,
            "part": {"type": "reasoning_text", "text": ""},
        },
        {
            "type": "response.reasoning.done",
            "item_id": "rs_1",
            "output_index": 0,
            "content_index": 0,
            "text": "",
        },
        {
            "type": "response.content_part.done",
            "item_id": "rs_1",
            "output_index": 0,
            "content_index": 0,
            "part": {"type": "reasoning_text", "text": ""},
        },
        *e[3:],
    ],
)
STREAM_DEFECTS[-1].bad = numbered(STREAM_DEFECTS[-1].bad)  # type: ignore[arg-type]
_add(
    "foreign.reasoning-names-of-openai",
    thought,
    lambda _: [
        {**x, "type": x["type"].replace("reasoning.done", "reasoning_text.done")}
        for x in STREAM_DEFECTS[-1].bad
        if isinstance(x, dict)
    ],
)
# grammar
_add("grammar.created-missing", text, lambda e: without(e, "created"))
_add("grammar.created-twice", text, lambda e: with_extra(e, e[1], 5))
_add("grammar.created-twice", text, lambda e: with_extra(e, e[0], 5), name="created")
_add("grammar.item-not-announced", lambda: _refusing([]), lambda e: without(e, "output_item.added"))
_add(
    "grammar.item-not-done",
    one_call,
    lambda e: end_set(without(e, "output_item.done"), output=[]),
)
_add(
    "grammar.item-not-done",
    one_call,
    lambda e: without(e, "output_item.done"),
    name="but in the final output",
)
_add("grammar.delta-without-item", text, lambda e: without(e, "output_item.added"))
_add(
    "grammar.address-missing",
    one_call,
    lambda e: edited(e, "function_call_arguments.delta", item_id=...),
)
_add(
    "grammar.address-missing",
    one_call,
    lambda e: edited(e, "function_call_arguments.delta", output_index=...),
    name="index",
)
_add(
    "grammar.delta-after-done",
    text,
    lambda e: with_extra(e, {**at(e, "output_text.delta"), "delta": "!"}),
)
_add(
    "grammar.part-not-announced",
    text,
    lambda e: without(e, "content_part.added", "content_part.done"),
)
_add("grammar.part-not-done", text, lambda e: without(e, "content_part.done"))
_add("grammar.text-not-done", text, lambda e: without(e, "output_text.done"))
_add("grammar.arguments-not-done", one_call, lambda e: without(e, "function_call_arguments.done"))
_add(
    "grammar.wrong-part",
    one_call,
    lambda e: with_extra(
        e,
        {
            "type": "response.custom_tool_call_input.delta",
            "item_id": "fc_1",
            "output_index": 0,
            "delta": "",
        },
        4,
    ),
)
_add(
    "grammar.wrong-part",
    text,
    lambda e: with_extra(
        e, {**at(e, "output_text.delta"), "type": "response.refusal.delta", "delta": ""}, 5
    ),
    name="refusal",
)
_add(
    "grammar.wrong-part",
    text,
    lambda e: with_extra(
        e,
        {
            "type": "response.function_call_arguments.delta",
            "item_id": "msg_1",
            "output_index": 0,
            "delta": "",
        },
        5,
    ),
    name="arguments in a message",
)
_add(
    "grammar.index-not-dense",
    one_call,
    lambda e: [{**x, "output_index": 1} if "output_index" in x else x for x in e],
)
_add(
    "grammar.index-changes",
    two_calls,
    lambda e: edited(e, "function_call_arguments.delta", 2, output_index=0),
)
_add(
    "grammar.part-index",
    text,
    lambda e: [{**x, "content_index": 1} if "content_index" in x else x for x in e],
)
_add(
    "grammar.sequence-missing",
    text,
    lambda e: [{k: v for k, v in x.items() if k != "sequence_number"} for x in e],
)
_add(
    "grammar.sequence-not-increasing",
    text,
    lambda e: edited(e, "output_text.delta", 1, sequence_number=4),
)
_add(
    "grammar.sequence-gap",
    text,
    lambda e: [{**x, "sequence_number": x["sequence_number"] + 1} for x in e],
)
_add("grammar.items-overlap", two_calls, lambda _: _overlapping())
_add(
    "grammar.id-repeats",
    two_calls,
    lambda e: msgspec.json.decode(msgspec.json.encode(e).replace(b"fc_2", b"fc_1")),
)
_add(
    "grammar.id-repeats",
    lambda: stream(message(), message("Good bye.", 2)),
    lambda e: msgspec.json.decode(msgspec.json.encode(e).replace(b"msg_2", b"msg_1")),
    name="messages",
)
_add(
    "grammar.id-repeats",
    lambda: stream(reasoning(), reasoning("Hm.", 2), message()),
    lambda e: msgspec.json.decode(msgspec.json.encode(e).replace(b"rs_2", b"rs_1")),
    name="reasoning",
)
_add(
    "grammar.id-changes",
    one_call,
    lambda e: edited(e, "function_call_arguments.done", item_id="fc_8"),
)
_add(
    "grammar.id-changes",
    text,
    lambda e: item_set(e, done_only=True, id="msg_8"),
    name="message when done",
)
_add(
    "grammar.id-changes",
    thought,
    lambda e: item_set(e, done_only=True, id="rs_8"),
    name="reasoning when done",
)
_add(
    "grammar.id-changes",
    text,
    lambda e: edited(e, "output_text.delta", item_id="msg_8"),
    name="delta",
)
_add(
    "grammar.id-changes",
    one_call,
    lambda e: item_set(e, done_only=True, id="fc_8"),
    name="when done",
)


def _final_id(events: Events) -> Events:
    end(events)["output"][0]["id"] = "fc_8"
    return events


_add("grammar.id-changes", one_call, _final_id, name="final output")
_add("grammar.done-twice", one_call, lambda e: with_extra(e, at(e, "output_item.done")))
_add(
    "grammar.event-after-terminal",
    lambda: stream(message(), call()),
    lambda e: numbered([*text(), *[x for x in e if x.get("output_index") == 1]]),
)
_add(
    "grammar.event-after-terminal",
    text,
    lambda e: numbered([*e, {"type": "response.in_progress", "response": e[1]["response"]}]),
    name="response.in_progress",
)
_add("grammar.text-differs", text, lambda e: edited(e, "output_text.delta", delta="Hell"))
_add(
    "grammar.part-differs",
    text,
    lambda e: edited(
        e, "content_part.done", part={**at(e, "content_part.done")["part"], "text": ""}
    ),
)
_add("grammar.item-differs", text, lambda e: item_set(e, done_only=True, content=[]))
_add(
    "grammar.arguments-differ",
    one_call,
    lambda e: edited(e, "function_call_arguments.delta", 1, delta='d":"rm -r /tmp/x"}'),
)
