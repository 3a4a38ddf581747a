"""Defects of what an answer holds: items, its end, what clients and Open Responses ask for."""

from __future__ import annotations

from typing import Any

from support.bent_streams import (
    CHAT,
    REQUEST,
    Defects,
    Events,
    Mutate,
    at,
    chunks,
    edited,
    end,
    end_set,
    item_set,
    one_call,
    patch,
    text,
    thought,
    told_call,
    two_calls,
    without,
)
from support.responses_streams import call, freeform, message, numbered, reasoning, stream, whole

ANSWER_DEFECTS = Defects()
_add = ANSWER_DEFECTS.add
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
_add("fidelity.calls", one_call, lambda _: stream(call(name="other")), chunks=CHAT, name="renamed")
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
