"""Defects: each a good stream and what is done to it, by the id of the rule that must name it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from support.responses_streams import (
    JSON,
    as_sse,
    call,
    freeform,
    message,
    numbered,
    reasoning,
    stream,
    whole,
)

Events = list[JSON]
Stream = Events | bytes


@dataclass
class Defect:
    """A good stream, the bad one, and what else was known of the turn."""

    rule: str
    good: Stream
    bad: Stream
    known: JSON = field(default_factory=dict)
    """Arguments of `check_stream` for both: request, chunks."""
    good_known: JSON = field(default_factory=dict)
    bad_known: JSON = field(default_factory=dict)
    name: str = ""


def text() -> Events:
    """A message."""
    return stream(message())


def one_call() -> Events:
    """A call."""
    return stream(call())


def patch() -> Events:
    """A freeform call."""
    return stream(freeform())


def thought() -> Events:
    """Reasoning and a call."""
    return stream(reasoning(), call())


def two_calls() -> Events:
    """Two calls."""
    return stream(call(), call('{"cmd":"pwd"}', number=2))


def at(events: Events, kind: str, nth: int = 0) -> JSON:
    """The nth event of a type."""
    return [event for event in events if event["type"] == f"response.{kind}"][nth]


def end(events: Events) -> JSON:
    """The final response."""
    return events[-1]["response"]


def item_set(events: Events, done_only: bool = False, nth: int = 0, **members: Any) -> Events:
    """Set members of an item wherever it is told; `...` takes them out."""
    places = [at(events, "output_item.done", nth)["item"], end(events)["output"][nth]]
    if not done_only:
        places.append(at(events, "output_item.added", nth)["item"])
    for place in places:
        for name, value in members.items():
            place.pop(name, None) if value is ... else place.update({name: value})
    return events


def end_set(events: Events, **members: Any) -> Events:
    """Set members of the final response; `...` takes them out."""
    for name, value in members.items():
        end(events).pop(name, None) if value is ... else end(events).update({name: value})
    return events


def without(events: Events, *kinds: str) -> Events:
    """The stream without the events of these types."""
    return numbered([e for e in events if e["type"].removeprefix("response.") not in kinds])


def with_extra(events: Events, extra: JSON, place: int = -1) -> Events:
    """The stream with one more event."""
    return numbered([*events[:place], extra, *events[place:]])


def edited(events: Events, kind: str, nth: int = 0, **members: Any) -> Events:
    """The stream with members of an event set; `...` takes them out."""
    for name, value in members.items():
        event = at(events, kind, nth)
        event.pop(name, None) if value is ... else event.update({name: value})
    return events


def every(events: Events, kinds: tuple[str, ...], **members: Any) -> Events:
    """The same for all events of these types."""
    for event in events:
        if event["type"].removeprefix("response.") in kinds:
            event.update(members)
    return events


REQUEST: JSON = {
    "model": "m",
    "input": "What time is it?",
    "tools": [
        {"type": "function", "name": "exec_command"},
        {"type": "custom", "name": "apply_patch"},
        {
            "type": "namespace",
            "name": "mcp__docs",
            "tools": [{"type": "function", "name": "search"}],
        },
    ],
}


def chunks(finish: str | None = "stop", **delta: Any) -> Events:
    """A provider's stream: one delta, and its end."""
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    told = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}]
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": usage}
    return [{"object": "chat.completion.chunk", **one} for one in [*told, last]]


def told_call(arguments: str = '{"cmd":"date"}', name: str = "exec_command", n: int = 1) -> JSON:
    """An entry of `tool_calls`."""
    return {
        "index": n - 1,
        "id": f"call_{n}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


# ---------------------------------------------------------------- the table

Mutate = Callable[[Events], Stream]
_HTML = b"<html><title>502 Bad Gateway</title></html>\n"
_CHAT = chunks(tool_calls=[told_call()])
_ANTHROPIC = {
    "type": "content_block_delta",
    "index": 0,
    "delta": {"type": "text_delta", "text": "Hello"},
}
_TOOL_CALL = {"type": "response.tool_call.delta", "delta": {"name": "exec_command"}}
_OTHER_CALL = {**call()[-1]["item"], "id": "fc_7", "call_id": "call_7"}
_LOCAL = {
    "id": "lsh_1",
    "type": "local_shell_call",
    "call_id": "call_1",
    "status": "completed",
    "action": {"type": "exec", "command": ["ls"], "env": {}},
}
_HOSTED = {
    "id": "ci_1",
    "type": "code_interpreter_call",
    "status": "completed",
    "code": "1",
    "container_id": "cntr_1",
    "outputs": [],
}
_REFUSAL = {"type": "refusal", "refusal": "I cannot help with that."}
_FUNCTION = {"type": "function", "name": "f", "description": None, "parameters": {}, "strict": None}


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


def _refused() -> Events:
    told: Events = []
    for event in message(_REFUSAL["refusal"]):
        event["type"] = event["type"].replace("output_text", "refusal")
        event = {"refusal" if name == "text" else name: v for name, v in event.items()}
        event.pop("logprobs", None)
        if "part" in event:
            event["part"] = {**_REFUSAL, "refusal": event["part"]["text"]}
        told.append(event)
    told[-1]["item"]["content"] = [_REFUSAL]
    return stream(told)


def _cut_call(closing: str) -> Events:
    item = {"arguments": '{"cmd":', "status": "incomplete"}
    events = without(stream(call('{"cmd":'), end=closing), "function_call_arguments.done")
    events = item_set(events, done_only=True, **item)
    return without(events, "function_call_arguments.delta")


_NO_DONE = as_sse(text()).removesuffix(b"data: [DONE]\n\n")

DEFECTS: list[Defect] = []


def _add(rule: str, good: Callable[[], Stream], mutate: Mutate | None = None, **known: Any) -> None:
    name = known.pop("name", "")
    good_known, bad_known = known.pop("good_known", {}), known.pop("bad_known", {})
    bad = mutate(good()) if mutate else good()  # type: ignore[arg-type]
    DEFECTS.append(Defect(rule, good(), bad, known, good_known, bad_known, name))


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
_add("foreign.chat-chunk", one_call, lambda _: _CHAT)
_add("foreign.chat-chunk", one_call, lambda e: [*e[:3], _CHAT[0], *e[3:]], name="in between")
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
DEFECTS[-1].bad = numbered(DEFECTS[-1].bad)  # type: ignore[arg-type]
_add(
    "foreign.reasoning-names-of-openai",
    thought,
    lambda _: [
        {**x, "type": x["type"].replace("reasoning.done", "reasoning_text.done")}
        for x in DEFECTS[-1].bad
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
# items
_add(
    "items.added-not-empty",
    one_call,
    lambda e: edited(
        e,
        "output_item.added",
        item={**at(e, "output_item.added")["item"], "arguments": '{"cmd":"date"}'},
    ),
)
_add(
    "items.summary-missing",
    lambda: stream(whole({"id": "rs_1", "type": "reasoning", "summary": []})),
    lambda e: item_set(e, summary=...),
)
_add(
    "items.item-missing",
    lambda: stream(whole(_OTHER_CALL)),
    lambda e: end_set(edited(e, "output_item.done", item=None), output=[]),
)
_add(
    "items.type-unknown",
    lambda: stream(whole(_OTHER_CALL)),
    lambda e: item_set(e, type="tool_call"),
)
_add("items.id-missing", lambda: stream(whole(_OTHER_CALL)), lambda e: item_set(e, id=...))
_add("items.id-missing", text, lambda e: item_set(e, done_only=True, id=...), name="message")
_add("items.status-missing", one_call, lambda e: item_set(e, status=...))
_add("items.status-missing", text, lambda e: item_set(e, status=...), name="message")
_add("items.status-not-final", one_call, lambda e: item_set(e, status="in_progress"))
_add("items.role-missing", text, lambda e: item_set(e, role=...))
_add("items.content-not-list", text, lambda e: item_set(e, done_only=True, content="Hello there."))
_add(
    "items.part-type",
    text,
    lambda e: item_set(e, done_only=True, content=[{"type": "text", "text": "Hello there."}]),
)
_add(
    "items.annotations-missing",
    text,
    lambda e: item_set(
        e, done_only=True, content=[{"type": "output_text", "text": "Hello there."}]
    ),
)
_add("items.null-member", thought, lambda e: item_set(e, encrypted_content=None))
_add(
    "items.tool-calls-in-message",
    lambda: stream(message(), call()),
    lambda _: item_set(text(), done_only=True, tool_calls=[told_call()]),
)
_LEAK = '<tool_call>{"name":"exec_command","arguments":{"cmd":"date"}}</tool_call>'
_add("items.call-as-text", one_call, lambda _: stream(message(_LEAK)))
_add(
    "items.call-as-text",
    one_call,
    lambda _: stream(
        message('<|channel|>commentary to=functions.exec_command<|message|>{"cmd":"date"}')
    ),
    name="harmony",
)
_add("items.call-id-missing", one_call, lambda e: item_set(e, call_id=...))
_add("items.call-id-missing", patch, lambda e: item_set(e, call_id=""), name="freeform")
_add(
    "items.call-id-changes", one_call, lambda e: item_set(e, done_only=True, call_id="call_call_1")
)
_add("items.call-id-repeats", two_calls, lambda e: item_set(e, nth=1, call_id="call_1"))
_add("items.call-id-too-long", one_call, lambda e: item_set(e, call_id="call_" + 60 * "a"))
_add("items.name-missing", one_call, lambda e: item_set(e, name=...))
_add(
    "items.name-undeclared", one_call, lambda e: item_set(e, name="functions.run"), request=REQUEST
)
_add(
    "items.tool-kind",
    patch,
    lambda _: stream(call('{"input":"x"}', "apply_patch")),
    request=REQUEST,
)
_add(
    "items.tool-kind",
    one_call,
    lambda _: stream(freeform("date", "exec_command")),
    request=REQUEST,
    name="the other way",
)
_add(
    "items.namespace",
    lambda: stream(call('{"q":"x"}', "search", namespace="mcp__docs")),
    lambda _: stream(call('{"q":"x"}', "mcp__docs__search")),
    request=REQUEST,
)
_add(
    "items.namespace",
    one_call,
    lambda e: item_set(e, namespace="exec_command"),
    request=REQUEST,
    name="invented",
)


def _with_arguments(text: Any) -> Mutate:
    def mutate(events: Events) -> Events:
        kept = without(events, "function_call_arguments.delta", "function_call_arguments.done")
        return item_set(kept, done_only=True, arguments=text)

    return mutate


_add("items.arguments-not-text", one_call, _with_arguments({"cmd": "date"}))
_add("items.arguments-not-text", one_call, _with_arguments(None), name="null")
_add("items.arguments-not-text", one_call, _with_arguments(...), name="absent")
_add("items.arguments-empty", lambda: _with_arguments("{}")(one_call()), _with_arguments(""))
_add("items.arguments-not-json", one_call, lambda _: stream(call('{"cmd":"date"')))
_add(
    "items.arguments-not-json",
    one_call,
    lambda _: stream(call('{"a":1}{"b":2}')),
    name="two joined",
)
_add("items.arguments-not-json", one_call, lambda _: stream(call("[1, 2]")), name="a list")
_add(
    "items.input-not-text",
    patch,
    lambda e: item_set(
        without(e, "custom_tool_call_input.delta", "custom_tool_call_input.done"),
        done_only=True,
        input={"patch": "x"},
    ),
)
_add("items.input-wrapped", patch, lambda _: stream(freeform('{"input":"*** Begin Patch"}')))
# terminal
_add("terminal.missing", text, lambda e: e[:-1])
_add("terminal.missing", one_call, lambda e: e[:4], name="cut in the middle")
_add("terminal.error-alone", lambda: stream(end="failed"), lambda e: e[:-1])
_add("terminal.twice", text, lambda e: numbered([*e, e[-1]]))
_add(
    "terminal.twice",
    text,
    lambda e: numbered([*e, stream(message(), end="incomplete")[-1]]),
    name="another",
)
_add("terminal.response-missing", text, lambda e: edited(e, "completed", response=...))
_add("terminal.id-missing", text, lambda e: end_set(e, id=...))
_add("terminal.id-changes", text, lambda e: end_set(e, id="chatcmpl-7"))
_add("terminal.status-wrong", text, lambda e: end_set(e, status="in_progress"))
_add("terminal.usage-missing", text, lambda e: end_set(e, usage=None))
_add(
    "terminal.usage-incomplete",
    text,
    lambda e: end_set(
        e,
        usage={
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    ),
)
_add(
    "terminal.usage-incomplete",
    text,
    lambda e: end_set(e, usage={**end(e)["usage"], "input_tokens_details": {}}),
    name="details",
)
_add(
    "terminal.usage-details-missing",
    text,
    lambda e: end_set(e, usage={"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}),
)
_add(
    "terminal.usage-total",
    text,
    lambda e: end_set(e, usage={**end(e)["usage"], "total_tokens": 10}),
)
_add("terminal.output-empty", one_call, lambda e: end_set(e, output=[]))
_add(
    "terminal.output-only",
    lambda: stream(whole(_OTHER_CALL)),
    lambda e: without(e, "output_item.added", "output_item.done"),
)
_add(
    "terminal.output-differs",
    one_call,
    lambda e: end_set(e, output=[{**end(e)["output"][0], "arguments": '{"cmd":"pwd"}'}]),
)
_add(
    "terminal.output-differs",
    two_calls,
    lambda e: end_set(e, output=end(e)["output"][:1]),
    name="fewer",
)
_add("terminal.members-missing", text, lambda e: end_set(e, model=..., tools=...))
_add(
    "terminal.failed-without-error",
    lambda: without(stream(end="failed"), "error"),
    lambda e: end_set(e, error=None),
)
_add(
    "terminal.error-shape",
    lambda: stream(end="failed"),
    lambda e: [
        {"type": "error", "sequence_number": 2, "error": {}} if x["type"] == "error" else x
        for x in e
    ],
)
_add(
    "terminal.incomplete-without-reason",
    lambda: stream(message(), end="incomplete"),
    lambda e: end_set(e, incomplete_details=None),
)
_add(
    "terminal.completed-with-incomplete-item",
    lambda: _cut_call("incomplete"),
    lambda _: _cut_call("completed"),
)
# codex
_add(
    "codex.refusal-part",
    lambda: stream(message(_REFUSAL["refusal"])),
    lambda _: _refused(),
)
_add("codex.call-not-run", one_call, lambda _: stream(whole(_LOCAL)))
_add("codex.item-ignored", text, lambda _: stream(whole(_HOSTED), message()))
_add("codex.end-turn-false", text, lambda e: end_set(e, end_turn=False))
_add(
    "codex.model-header",
    text,
    request=REQUEST,
    good_known={"headers": {"content-type": "text/event-stream", "openai-model": "m"}},
    bad_known={"headers": {"content-type": "text/event-stream", "openai-model": "other"}},
)
# open-responses
_add("open-responses.members-missing", text, lambda e: end_set(e, truncation=...))
_add("open-responses.member-invalid", text, lambda e: end_set(e, created_at=1000.5))
_add("open-responses.member-invalid", text, lambda e: end_set(e, service_tier=None), name="null")
_add(
    "open-responses.tools-echo",
    lambda: end_set(text(), tools=[_FUNCTION]),
    lambda e: end_set(e, tools=[{"type": "web_search"}]),
)
_add("open-responses.completed-at", text, lambda e: end_set(e, completed_at=None))
# fidelity
_add(
    "fidelity.text", text, lambda _: stream(message("Hello")), chunks=chunks(content="Hello there.")
)
_add(
    "fidelity.reasoning",
    lambda: stream(reasoning(), message()),
    lambda _: text(),
    chunks=chunks(reasoning_content="Let me see.", content="Hello there."),
)
_BOTH = chunks("tool_calls", tool_calls=[told_call(), told_call('{"cmd":"pwd"}', n=2)])
_add("fidelity.calls", two_calls, lambda _: one_call(), chunks=_BOTH)
_add("fidelity.calls", one_call, lambda _: stream(call(name="other")), chunks=_CHAT, name="renamed")
_add(
    "fidelity.arguments",
    one_call,
    lambda _: stream(call('{"cmd":"rm"}')),
    chunks=chunks("tool_calls", tool_calls=[told_call()]),
)
_add(
    "fidelity.usage",
    text,
    lambda e: end_set(e, usage={**end(e)["usage"], "input_tokens": 0, "total_tokens": 5}),
    chunks=chunks(content="Hello there."),
)
_add(
    "fidelity.end",
    lambda: stream(message(), end="incomplete"),
    lambda _: text(),
    chunks=chunks("length", content="Hello there."),
)
_add(
    "fidelity.end",
    lambda: stream(message(), end="failed"),
    lambda _: text(),
    chunks=chunks(None, content="Hello there."),
    name="broken off",
)
