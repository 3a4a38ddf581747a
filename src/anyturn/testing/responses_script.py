"""The events that an answer of a script is at a server of the Responses API, and what breaks them.

A conforming stream is made first; each defect then bends the whole of it, as servers have been seen
to do (clients.md sections 1.3 and 3.3, codex-cli.md section 2.5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum, unique
from typing import Any, TypeAlias

import msgspec

from anyturn.testing.script import Answer, Call, Interleaved, Reasoning, Text, Usage, Verbatim

JSON: TypeAlias = dict[str, Any]
Events: TypeAlias = list[JSON]

_ADDED = "response.output_item.added"
_DONE = "response.output_item.done"
_ARGUMENTS = "response.function_call_arguments"


@unique
class Defect(StrEnum):
    """How a server may break its stream."""

    EMPTY_OUTPUT = "empty output"
    """The terminal event holds no items (the ChatGPT backend)."""
    NEW_IDS = "new ids"
    """Every event has other ids (GitHub Copilot, F41)."""
    NO_CALL_ID = "no call id"
    """Calls have an `id` and no `call_id`."""
    NEW_CALL_ID = "new call id"
    """A call is done under another `call_id` than it was announced with."""
    NO_OPENING = "no opening"
    NO_ADDED = "no added"
    """Neither items nor parts are announced."""
    NO_PARTS = "no parts"
    """No `content_part.*`, and no event that says that a text is whole (F56)."""
    NO_ARGUMENT_DELTAS = "no argument deltas"
    """F45."""
    NO_DONE_ARGUMENTS = "no done arguments"
    """Arguments come in deltas only; the done item has none."""
    ARGUMENTS_AS_OBJECT = "arguments as object"
    DOUBLED_ARGUMENTS = "doubled arguments"
    """`{}` stands before the arguments."""
    NO_ITEM_DONE = "no item done"
    ONLY_TERMINAL = "only terminal"
    """Items stand in the terminal event and nowhere else."""
    TOOL_CALL_DELTA = "tool_call.delta"
    """Calls come as `response.tool_call.delta`."""
    ITEM_DELTA = "output_item.delta"
    """Calls come as `response.output_item.delta`."""
    TOOL_CALL_TYPE = "type tool_call"
    CALLS_IN_MESSAGE = "calls in message"
    """Calls stand in a message's `tool_calls`."""
    DOTTED_NAMES = "dotted names"
    """`response.function_call.arguments.delta`, `response.reasoning.delta`."""
    BARE_ITEMS = "bare items"
    """No id, status, role, summary, annotations, logprobs (F56)."""
    NO_NUMBERS = "no numbers"
    DONE_EVENT = "response.done"
    """The terminal event is called `response.done`."""
    NO_TERMINAL = "no terminal"
    """`[DONE]` comes in its place."""
    NO_DETAILS = "no details"
    """`usage` has the three counts and nothing else (F58)."""
    CHAT_CHUNKS = "chat chunks"
    """The stream is one of Chat Completions."""
    CONTENT_BLOCKS = "content blocks"
    """The stream is one of Anthropic's Messages."""
    BLOCKS_THEN_COMPLETED = "content blocks, completed"
    """Anthropic's blocks, with `response.completed` behind them."""


def event_stream(
    answer: Answer, body: Mapping[str, Any], number: int, first_call: int, seal: str
) -> Events:
    """The events of an answer to a request, all of them conforming, without their numbers.

    `number` is the request's; ids follow from it. Reasoning is sealed with `seal` in front.
    """
    response = _response(body, number)
    events: Events = [
        {"type": "response.created", "response": response},
        {"type": "response.in_progress", "response": response},
    ]
    tools = _declared(body.get("tools") or ())
    output: list[JSON] = []
    for part in _parts(answer, first_call):
        if isinstance(part, Verbatim):
            events += part.chunks
            continue
        item_id = f"{number:020d}a{len(output)}"
        sealed = f"{seal}{number}.{len(output)}"
        told = list(_item_events(part, item_id, len(output), answer, tools, sealed))
        output.append(told[-1]["item"])
        events += told
    if answer.error_after is not None:
        after, error = answer.error_after
        failed = {**response, "status": "failed", "error": error}
        return [*events[:after], {"type": "response.failed", "response": failed}]
    if answer.finish is None:
        return events
    return [*events, _terminal(answer, response, output, body)]


def _parts(answer: Answer, first_call: int) -> Iterator[Text | Reasoning | Call | Verbatim]:
    number = first_call
    for part in answer.parts:
        for one in part.calls if isinstance(part, Interleaved) else (part,):
            if isinstance(one, Call):
                yield msgspec.structs.replace(one, id=one.id or f"call_{number}")
                number += 1
            elif not isinstance(one, Interleaved):
                yield one


def _response(body: Mapping[str, Any], number: int) -> JSON:
    return {
        "id": f"resp_{number:020d}",
        "object": "response",
        "created_at": 1_700_000_000 + number,
        "status": "in_progress",
        "completed_at": None,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "model": body.get("model"),
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "previous_response_id": None,
        "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": {"effort": None, "summary": None, **(body.get("reasoning") or {})},
        "safety_identifier": None,
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
    }


def _declared(tools: Any, namespace: str = "") -> dict[str, tuple[str, str]]:
    """The type and the namespace of each tool, by its name."""
    found: dict[str, tuple[str, str]] = {}
    for tool in tools:
        if tool.get("type") == "namespace":
            found |= _declared(tool.get("tools") or (), str(tool.get("name")))
        elif isinstance(tool.get("name"), str):
            found[tool["name"]] = (str(tool.get("type")), namespace)
    return found


def _terminal(answer: Answer, response: JSON, output: list[JSON], body: Mapping[str, Any]) -> JSON:
    usage = answer.usage if isinstance(answer.usage, Usage) else Usage(10, 5)
    status, details = "completed", None
    if answer.finish in ("length", "content_filter"):
        why = "max_output_tokens" if answer.finish == "length" else "content_filter"
        status, details = "incomplete", {"reason": why}
    whole = {
        **response,
        "status": status,
        "completed_at": response["created_at"] + 1 if status == "completed" else None,
        "incomplete_details": details,
        "output": output,
        "usage": {
            "input_tokens": usage.prompt,
            "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
            "output_tokens": usage.completion,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": usage.prompt + usage.completion,
        },
    }
    if answer.usage is None:
        whole["usage"] = None
    return {"type": f"response.{status}", "response": whole}


def _item_events(
    part: Text | Reasoning | Call,
    item_id: str,
    index: int,
    answer: Answer,
    tools: Mapping[str, tuple[str, str]],
    seal: str,
) -> Iterator[JSON]:
    if isinstance(part, Text):
        yield from _message_events(part.text, f"msg_{item_id}", index, answer.fragment)
    elif isinstance(part, Reasoning):
        yield from _reasoning_events(part.text, f"rs_{item_id}", index, answer.fragment, seal)
    else:
        yield from _call_events(part, item_id, index, answer.fragment, tools)


def _message_events(text: str, item_id: str, index: int, fragment: int) -> Iterator[JSON]:
    item = {"type": "message", "id": item_id, "role": "assistant", "status": "in_progress"}
    at = {"item_id": item_id, "output_index": index, "content_index": 0}
    whole = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    yield {"type": _ADDED, "output_index": index, "item": {**item, "content": []}}
    yield {"type": "response.content_part.added", **at, "part": {**whole, "text": ""}}
    for piece in _pieces(text, fragment):
        yield {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **at, "text": text, "logprobs": []}
    yield {"type": "response.content_part.done", **at, "part": whole}
    done = {**item, "status": "completed", "content": [whole]}
    yield {"type": _DONE, "output_index": index, "item": done}


def _reasoning_events(
    text: str, item_id: str, index: int, fragment: int, seal: str
) -> Iterator[JSON]:
    name = "response.reasoning_summary"
    item = {"type": "reasoning", "id": item_id, "summary": [], "status": "in_progress"}
    at = {"item_id": item_id, "output_index": index, "summary_index": 0}
    whole = {"type": "summary_text", "text": text}
    yield {"type": _ADDED, "output_index": index, "item": item}
    yield {"type": f"{name}_part.added", **at, "part": {**whole, "text": ""}}
    for piece in _pieces(text, fragment):
        yield {"type": f"{name}_text.delta", **at, "delta": piece}
    yield {"type": f"{name}_text.done", **at, "text": text}
    yield {"type": f"{name}_part.done", **at, "part": whole}
    sealed = {"encrypted_content": seal, "status": "completed"}
    done = {**item, "summary": [whole], **sealed}
    yield {"type": _DONE, "output_index": index, "item": done}


def _call_events(
    part: Call, item_id: str, index: int, fragment: int, tools: Mapping[str, tuple[str, str]]
) -> Iterator[JSON]:
    kind, namespace = tools.get(part.name, ("function", ""))
    payload = part.arguments if isinstance(part.arguments, str) else _compact(part.arguments)
    custom = kind == "custom"
    member = "input" if custom else "arguments"
    events = "response.custom_tool_call_input" if custom else _ARGUMENTS
    item = {
        "type": "custom_tool_call" if custom else "function_call",
        "id": f"{'ctc' if custom else 'fc'}_{item_id}",
        "call_id": part.id,
        "name": part.name,
        **({"namespace": namespace} if namespace else {}),
        "status": "in_progress",
    }
    at = {"item_id": item["id"], "output_index": index}
    yield {"type": _ADDED, "output_index": index, "item": {**item, member: ""}}
    for piece in _pieces(payload, fragment):
        yield {"type": f"{events}.delta", **at, "delta": piece}
    named = {} if custom else {"name": part.name}
    yield {"type": f"{events}.done", **at, **named, member: payload}
    done = {**item, "status": "completed", member: payload}
    yield {"type": _DONE, "output_index": index, "item": done}


def _pieces(words: str, fragment: int) -> list[str]:
    return [words[start : start + fragment] for start in range(0, len(words), fragment)]


def _compact(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# ---------------------------------------------------------------- defects


def bent(events: Events, defects: frozenset[Defect]) -> Events:
    """The events with these defects, in the order in which `Defect` lists them, and numbered."""
    for defect in Defect:
        if defect in defects and defect in _BEND:
            events = _BEND[defect](events)
    if Defect.NO_NUMBERS in defects:
        return events
    return [
        {**event, "sequence_number": n} if event.get("type", "").startswith("response.") else event
        for n, event in enumerate(events)
    ]


def _without(*endings: str) -> Callable[[Events], Events]:
    return lambda events: [e for e in events if not e["type"].endswith(endings)]


def _items(change: Callable[[JSON, str], JSON], *kinds: str) -> Callable[[Events], Events]:
    """Change the items of these kinds, wherever they stand."""

    def bend(events: Events) -> Events:
        return [_with_items(event, change, kinds) for event in events]

    return bend


def _with_items(event: JSON, change: Callable[[JSON, str], JSON], kinds: tuple[str, ...]) -> JSON:
    if (item := event.get("item")) and (not kinds or item["type"] in kinds):
        return {**event, "item": change(item, event["type"])}
    response = event.get("response")
    if response and response["output"]:
        output = [
            change(item, event["type"]) if not kinds or item["type"] in kinds else item
            for item in response["output"]
        ]
        return {**event, "response": {**response, "output": output}}
    return event


def _empty_output(events: Events) -> Events:
    return [
        {**e, "response": {**e["response"], "output": []}} if "response" in e else e for e in events
    ]


def _new_ids(events: Events) -> Events:
    numbers = iter(range(1, 1_000_000))

    def fresh(value: JSON) -> JSON:
        return {**value, "id": f"x_{next(numbers)}"}

    changed = []
    for event in events:
        event = {**event}
        if "item_id" in event:
            event["item_id"] = f"x_{next(numbers)}"
        if "item" in event:
            event["item"] = fresh(event["item"])
        if "response" in event:
            output = [fresh(item) for item in event["response"]["output"]]
            event["response"] = {**fresh(event["response"]), "output": output}
        changed.append(event)
    return changed


def _only_terminal(events: Events) -> Events:
    return [event for event in events if "response" in event]


def _new_call_id(item: JSON, kind: str) -> JSON:
    return item if kind == _ADDED else {**item, "call_id": f"{item.get('call_id')}9"}


def _no_done_arguments(item: JSON, kind: str) -> JSON:
    return {**item, "arguments": ""}


def _as_object(item: JSON, kind: str) -> JSON:
    return {**item, "arguments": msgspec.json.decode(item["arguments"] or "{}")}


def _doubled(item: JSON, kind: str) -> JSON:
    if kind == _ADDED or not isinstance(item["arguments"], str):
        return item
    return {**item, "arguments": "{}" + item["arguments"]}


def _as_tool_call(item: JSON, kind: str) -> JSON:
    function = {"name": item["name"], "arguments": item["arguments"]}
    return {"type": "tool_call", "id": item.get("call_id"), "function": function}


def _bare(item: JSON, kind: str) -> JSON:
    dropped = ("id", "status", "role", "summary" if not item.get("summary") else "")
    bare = {name: value for name, value in item.items() if name not in dropped}
    if item["type"] == "message":
        bare["content"] = [{"type": "text", "text": part["text"]} for part in item["content"]]
    return bare


def _of_calls(events: Events) -> set[int]:
    return {
        e["output_index"] for e in events if e["type"] == _ADDED and e["item"]["type"] in _FUNCTION
    }


_FUNCTION = ("function_call",)


def _foreign_deltas(make: Callable[[JSON], JSON]) -> Callable[[Events], Events]:
    """Tell calls by foreign events, and by nothing else: first the name, then the arguments."""

    def bend(events: Events) -> Events:
        calls = _of_calls(events)
        changed: Events = []
        for event in events:
            place = {"output_index": event.get("output_index")}
            if event.get("output_index") not in calls:
                changed.append(event)
            elif event["type"] == _ADDED:
                item = event["item"]
                named = {"id": item.get("call_id"), "name": item["name"], "arguments": ""}
                changed.append({**make(named), **place})
            elif event["type"] == f"{_ARGUMENTS}.delta":
                changed.append({**make({"arguments": event["delta"]}), **place})
        return _empty_output(changed)

    return bend


def _tool_call_delta(call: JSON) -> JSON:
    told = {"call_id" if name == "id" else name: value for name, value in call.items()}
    return {"type": "response.tool_call.delta", **told}


def _item_delta(call: JSON) -> JSON:
    return {
        "type": "response.output_item.delta",
        "delta": {"type": "function_call_delta", **call},
    }


def _calls_in_message(events: Events) -> Events:
    calls = _of_calls(events)
    held = [e["item"] for e in events if e["type"] == _DONE and e["output_index"] in calls]
    kept = [e for e in events if e.get("output_index") not in calls]
    told = [{**_as_tool_call(call, ""), "type": "function"} for call in held]
    message = {"type": "message", "id": "msg_all", "role": "assistant", "status": "completed"}
    item = {**message, "content": [], "tool_calls": told}
    done = {"type": _DONE, "output_index": len(kept), "item": item}
    return _empty_output([*kept[:-1], *([done] if told else []), kept[-1]])


def _dotted(events: Events) -> Events:
    names = {
        f"{_ARGUMENTS}.delta": "response.function_call.arguments.delta",
        f"{_ARGUMENTS}.done": "response.function_call.arguments.done",
        "response.reasoning_summary_text.delta": "response.reasoning_summary.delta",
        "response.reasoning_summary_text.done": "response.reasoning_summary.done",
    }
    return [{**event, "type": names.get(event["type"], event["type"])} for event in events]


def _done_event(events: Events) -> Events:
    return [
        {**event, "type": "response.done"} if event["type"] == "response.completed" else event
        for event in events
    ]


def _no_details(events: Events) -> Events:
    changed = []
    for event in events:
        usage = event.get("response", {}).get("usage")
        if usage:
            counts = {n: v for n, v in usage.items() if not n.endswith("details")}
            event = {**event, "response": {**event["response"], "usage": counts}}
        changed.append(event)
    return changed


# ---------------------------------------------------------------- streams of other APIs

_WORDS = {
    "response.output_text.delta": ("text", "content", "text_delta"),
    "response.reasoning_summary_text.delta": ("thinking", "reasoning_content", "thinking_delta"),
    f"{_ARGUMENTS}.delta": ("partial_json", "", "input_json_delta"),
}
_BLOCKS: dict[str, JSON] = {
    "message": {"type": "text", "text": ""},
    "reasoning": {"type": "thinking", "thinking": ""},
}


def _chat_chunks(events: Events) -> Events:
    chunks: Events = [_chunk({"role": "assistant"})]
    calls: dict[Any, int] = {}
    for event in events:
        kind, item = event["type"], event.get("item") or {}
        if kind == _ADDED and "name" in item:
            place = calls[event["output_index"]] = len(calls)
            function = {"name": item["name"], "arguments": ""}
            call = {"index": place, "id": item.get("call_id"), "type": "function"}
            chunks.append(_chunk({"tool_calls": [{**call, "function": function}]}))
        elif (place := calls.get(event.get("output_index"), -1)) >= 0 and kind.endswith(".delta"):
            function = {"arguments": event["delta"]}
            chunks.append(_chunk({"tool_calls": [{"index": place, "function": function}]}))
        elif kind in _WORDS:
            chunks.append(_chunk({_WORDS[kind][1]: event["delta"]}))
        elif kind == "response.completed":
            chunks.append(_chunk({}, "tool_calls" if calls else "stop"))
    return chunks


def _chunk(delta: JSON, finish: str | None = None) -> JSON:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]}


def _content_blocks(events: Events) -> Events:
    blocks: Events = []
    for event in events:
        blocks += _blocks_of(event.get("type", ""), event, event.get("item") or {})
    return blocks


def _blocks_of(kind: str, event: JSON, item: JSON) -> Iterator[JSON]:
    place = {"index": event.get("output_index")}
    if kind == "response.created":
        yield {"type": "message_start", "message": {"usage": {"input_tokens": 10}}}
        yield {"type": "ping"}
    elif kind == _ADDED:
        used: JSON = {
            "type": "tool_use",
            "id": item.get("call_id"),
            "name": item.get("name"),
            "input": {},
        }
        block = _BLOCKS.get(item["type"], used)
        yield {"type": "content_block_start", **place, "content_block": block}
    elif kind in _WORDS or kind == "response.custom_tool_call_input.delta":
        member, _, name = _WORDS.get(kind, _WORDS[f"{_ARGUMENTS}.delta"])
        delta = {"type": name, member: event["delta"]}
        yield {"type": "content_block_delta", **place, "delta": delta}
    elif kind == _DONE:
        yield {"type": "content_block_stop", **place}
    elif kind == "response.completed":
        delta = {"stop_reason": "end_turn", "stop_sequence": None}
        yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 5}}
        yield {"type": "message_stop"}


def _blocks_then_completed(events: Events) -> Events:
    blocks = [block for block in _content_blocks(events) if "block" in block["type"]]
    ended = [event for event in events if event.get("type") == "response.completed"]
    return [*blocks, *_empty_output(ended)]


def _no_call_id(item: JSON, kind: str) -> JSON:
    return {name: value for name, value in item.items() if name != "call_id"}


_BEND: dict[Defect, Callable[[Events], Events]] = {
    Defect.EMPTY_OUTPUT: _empty_output,
    Defect.NEW_IDS: _new_ids,
    Defect.NO_CALL_ID: _items(_no_call_id, "function_call", "custom_tool_call"),
    Defect.NEW_CALL_ID: _items(_new_call_id, "function_call", "custom_tool_call"),
    Defect.NO_OPENING: _without("response.created", "response.in_progress"),
    Defect.NO_ADDED: _without("item.added", "part.added"),
    Defect.NO_PARTS: _without(
        "part.added", "part.done", "text.done", "arguments.done", "input.done"
    ),
    Defect.NO_ARGUMENT_DELTAS: _without("arguments.delta", "input.delta"),
    Defect.NO_DONE_ARGUMENTS: _items(_no_done_arguments, "function_call"),
    Defect.ARGUMENTS_AS_OBJECT: _items(_as_object, "function_call"),
    Defect.DOUBLED_ARGUMENTS: _items(_doubled, "function_call"),
    Defect.NO_ITEM_DONE: _without("output_item.done"),
    Defect.ONLY_TERMINAL: _only_terminal,
    Defect.TOOL_CALL_DELTA: _foreign_deltas(_tool_call_delta),
    Defect.ITEM_DELTA: _foreign_deltas(_item_delta),
    Defect.TOOL_CALL_TYPE: _items(_as_tool_call, "function_call"),
    Defect.CALLS_IN_MESSAGE: _calls_in_message,
    Defect.DOTTED_NAMES: _dotted,
    Defect.BARE_ITEMS: _items(_bare),
    Defect.DONE_EVENT: _done_event,
    Defect.NO_TERMINAL: _without("response.completed"),
    Defect.NO_DETAILS: _no_details,
    Defect.CHAT_CHUNKS: _chat_chunks,
    Defect.CONTENT_BLOCKS: _content_blocks,
    Defect.BLOCKS_THEN_COMPLETED: _blocks_then_completed,
}
