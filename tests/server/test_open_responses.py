"""The Open Responses specification's rules, held by every answer that leaves over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from anyturn.store.memory import MemoryStore
from anyturn.testing import Answer, call, raw_chunks, reasoning, text
from support.http_clients import ASK, JSON, TOOL
from support.open_responses import REQUIRED, NotOpen, check_item, check_response
from support.stream_rules import check_stream

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
EVERY_TOOL: list[JSON] = [
    TOOL,
    {"type": "function", "function": {"name": "nested", "parameters": SCHEMA}},
    {"type": "function", "name": "bare"},
    {"type": "custom", "name": "note"},
    {"type": "namespace", "name": "files", "tools": [{**TOOL, "name": "read"}]},
    {"type": "tool_search", "execution": "client"},
    {"type": "local_shell"},
    {"type": "shell"},
    {"type": "apply_patch"},
    {"type": "web_search"},
]
CALLS = [
    call("f", {}),
    call("note", {"input": "Remember."}),
    call("files__read", {}),
    call("tool_search", {"query": "mail"}),
    call("local_shell", {"command": ["ls"]}),
    call("shell", {"commands": ["ls"]}),
    call("apply_patch", {"type": "delete_file", "path": "a"}),
]
NULLS: JSON = dict.fromkeys(
    [
        *("background", "conversation", "frequency_penalty", "include", "instructions"),
        *("max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls"),
        *("presence_penalty", "previous_response_id", "prompt_cache_key", "reasoning"),
        *("safety_identifier", "service_tier", "store", "temperature", "text", "tool_choice"),
        *("tools", "top_logprobs", "top_p", "truncation"),
    ]
)
INNER_NULLS: JSON = {
    "reasoning": {"effort": None, "summary": None},
    "text": {"format": None, "verbosity": None},
    "tools": [{**TOOL, "description": None, "strict": None}],
}
FULL: JSON = {
    "instructions": "Be brief.",
    "max_output_tokens": 100,
    "max_tool_calls": 3,
    "metadata": {"k": "v"},
    "prompt_cache_key": "p",
    "reasoning": {"effort": "high", "summary": "auto"},
    "safety_identifier": "s",
    "service_tier": "auto",
    "temperature": 0,
    "top_p": 1,
    "text": {
        "format": {"type": "json_schema", "name": "n", "schema": SCHEMA},
        "verbosity": "low",
    },
    "tools": [TOOL],
    "truncation": "auto",
}
ALLOWED = {"type": "allowed_tools", "tools": [{"type": "function", "name": "f"}]}
REQUESTS: dict[str, JSON] = {
    "plain": {},
    "nulls": NULLS,
    "inner_nulls": INNER_NULLS,
    "full": FULL,
    "every_tool": {"tools": EVERY_TOOL},
    "named_tool": {"tools": [TOOL], "tool_choice": {"type": "function", "name": "f"}},
    "nested_choice": {
        "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    },
    "allowed_tools": {"tools": [TOOL], "tool_choice": ALLOWED},
    "sealed": {"include": ["reasoning.encrypted_content"]},
    "not_stored": {"store": False},
    "summary": {"reasoning": {"summary": "auto"}},
}
WHOLE = Answer(reasoning("Hm."), text("Hello."))
CUT = Answer(reasoning("Hm."), text("Hel"), finish="length")
FAILED = Answer(text("Hel"), hold_after=2, error_after=(2, {"message": "Out of memory."}))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def check_all(events: list[JSON]) -> JSON:
    """Every response and item of a stream; returns the terminal response."""
    for event in events:
        if "response" in event:
            check_response(event["response"])
        if "item" in event:
            check_item(event["item"])
    return check_stream(events)


@pytest.mark.parametrize("asked", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize(
    ("answer", "status"), [(WHOLE, "completed"), (CUT, "incomplete")], ids=["whole", "cut"]
)
async def test_every_form_of_an_answer_holds_the_rules(
    stage: Any, store: MemoryStore, asked: JSON, answer: Answer, status: str
) -> None:
    on = await stage(answer, answer, store=store)
    streamed = check_all((await on.post({**ASK, **asked, "stream": True})).events)
    given = (await on.post({**ASK, **asked})).json
    check_response(given)
    assert streamed["status"] == given["status"] == status
    assert streamed.keys() == given.keys() >= REQUIRED
    if given["store"]:
        path = f"/v1/responses/{given['id']}"
        stored = (await on.call("GET", path)).json
        check_response(stored)
        assert stored.keys() == given.keys()
        check_all((await on.call("GET", f"{path}?stream=true")).events)


async def test_every_kind_of_call_holds_the_rules(stage: Any, store: MemoryStore) -> None:
    on = await stage(Answer(reasoning("Hm."), text("So."), *CALLS), store=store)
    asked = {**ASK, "tools": EVERY_TOOL, "stream": True}
    given = check_all((await on.post(asked)).events)
    assert [item["type"] for item in given["output"]] == [
        *("reasoning", "message", "function_call", "custom_tool_call", "function_call"),
        *("tool_search_call", "local_shell_call", "shell_call", "apply_patch_call"),
    ]
    stored = await on.call("GET", f"/v1/responses/{given['id']}?stream=true")
    assert check_all(stored.events) == given


async def test_a_failure_holds_the_rules(stage: Any, store: MemoryStore) -> None:
    on = await stage(FAILED, store=store)
    async with on.open({**ASK, "stream": True}) as response:
        await on.provider.request(1)
        first = await response.content.readuntil(b"output_text.delta")
        on.provider.release()
        raw = first + await response.read()
    reply = type(await on.call("GET", "/health"))(response.status, response.headers, raw)
    failed = check_all(reply.events)
    assert failed["status"] == "failed"
    path = f"/v1/responses/{failed['id']}"
    stored = (await on.call("GET", path)).json
    check_response(stored)
    assert stored["error"] == failed["error"]
    check_all((await on.call("GET", f"{path}?stream=true")).events)


async def test_a_background_response_holds_the_rules_at_every_time(
    stage: Any, store: MemoryStore
) -> None:
    on = await stage(Answer(text("Hello."), hold_after=1), store=store)
    queued = (await on.post({**ASK, "background": True})).json
    path = f"/v1/responses/{queued['id']}"
    await on.provider.request(1)
    running = (await on.call("GET", path)).json
    cancelled = (await on.call("POST", f"{path}/cancel")).json
    for response in (queued, running, cancelled, (await on.call("GET", path)).json):
        check_response(response)
    assert (queued["status"], cancelled["status"]) == ("queued", "cancelled")


async def test_a_refusal_and_a_compaction_hold_the_rules(stage: Any, store: MemoryStore) -> None:
    refusal = {"choices": [{"index": 0, "delta": {"refusal": "No."}, "finish_reason": "stop"}]}
    on = await stage(raw_chunks([refusal]), text("They talked."), store=store)
    check_all((await on.post({**ASK, "stream": True})).events)
    compacted = (await on.post(ASK, "/v1/responses/compact")).json
    for item in compacted["output"]:
        check_item(item)


@pytest.mark.parametrize("bytes_", [None, [72, 105]], ids=["without_bytes", "with_bytes"])
async def test_logprobs_hold_the_rules(stage: Any, store: MemoryStore, bytes_: Any) -> None:
    """The schema's tokens have bytes, some providers' have none."""
    token = {"token": "Hi", "logprob": -0.1, "bytes": bytes_}
    logprobs = {"content": [{**token, "top_logprobs": [token]}]}
    chunk = {
        "choices": [
            {"index": 0, "delta": {"content": "Hi"}, "logprobs": logprobs, "finish_reason": "stop"}
        ]
    }
    on = await stage(raw_chunks([chunk]), store=store)
    asked = {"include": ["message.output_text.logprobs"], "top_logprobs": 1, "stream": True}
    given = check_all((await on.post({**ASK, **asked})).events)
    (part,) = given["output"][0]["content"]
    assert part["logprobs"][0]["bytes"] == [72, 105]


# ---------------------------------------------------------------- names of reasoning events

OPEN = {"response.reasoning.delta", "response.reasoning.done"}
OPENAIS = {"response.reasoning_text.delta", "response.reasoning_text.done"}


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, OPENAIS),
        ({"reasoning_events": "openai"}, OPENAIS),
        ({"reasoning_events": "open-responses"}, OPEN),
    ],
    ids=["default", "openai", "open-responses"],
)
async def test_raw_reasoning_has_one_pair_of_names_everywhere(
    stage: Any, store: MemoryStore, settings: JSON, names: set[str]
) -> None:
    """responses-api.md section 6.1: never both."""
    on = await stage(WHOLE, WHOLE, store=store, **settings)
    asked = {**ASK, "stream": True}
    first = (await on.post(asked)).events
    path = f"/v1/responses/{first[0]['response']['id']}?stream=true"
    retold = (await on.call("GET", path)).events
    background = (await on.post({**asked, "background": True})).events
    path = f"/v1/responses/{background[0]['response']['id']}?stream=true"
    resumed = (await on.call("GET", path)).events
    for events in (first, retold, background, resumed):
        kinds = [event["type"] for event in events]
        assert {kind for kind in kinds if "reasoning" in kind} == names
        back = dict(zip(sorted(names), sorted(OPENAIS), strict=True))
        check_all([{**e, "type": back.get(e["type"], e["type"])} for e in events])


async def test_summaries_have_the_same_names_in_both_forms(stage: Any, store: MemoryStore) -> None:
    on = await stage(WHOLE, store=store, reasoning_events="open-responses")
    asked = {**ASK, "stream": True, "reasoning": {"summary": "auto"}}
    check_all((await on.post(asked)).events)


# ---------------------------------------------------------------- the rules themselves


def test_the_rules_name_all_members_that_are_required() -> None:
    assert len(REQUIRED) == 31


@pytest.mark.parametrize(
    "item",
    [
        {"type": "message", "id": "m", "status": "completed", "role": "assistant"},
        {"type": "reasoning", "id": "r", "status": "completed", "summary": [], "content": None},
        {"type": "function_call", "id": "f", "call_id": "c", "name": "f", "arguments": "{}"},
    ],
    ids=["no_content", "null", "no_status"],
)
def test_the_rules_refuse_what_parsers_refuse(item: JSON) -> None:
    with pytest.raises(NotOpen):
        check_item(item)
