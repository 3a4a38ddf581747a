"""Compaction as clients see it: a trigger in the input, and the route of its own (F61, F62)."""

from __future__ import annotations

from typing import Any

import pytest

from anyturn.server.dialect import dialect_of
from anyturn.testing import Answer, Refusal, Usage, call, openai_error, reasoning, text
from anyturn.translate.compaction import ASK, HEADING, read_summary
from anyturn.wire import sse
from support.http_clients import EVERYONE, JSON
from support.stream_rules import check_stream

USER = {"type": "message", "role": "user", "content": "Run it."}
TRIGGERED: JSON = {"model": "gpt-oss-120b", "input": [USER, {"type": "compaction_trigger"}]}
STREAM = {**TRIGGERED, "stream": True}
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
COMPACT = {"model": "gpt-oss-120b", "input": [USER]}
GOOD = Answer(reasoning("Hm."), text("It ran."), usage=Usage(prompt=900, completion=40))
CUT = Answer(text("It ra"), finish="length")
PATHS = pytest.mark.parametrize("path", ["/v1/responses/compact", "/responses/compact"])


def summary_of(output: list[JSON]) -> str:
    (item,) = output
    assert item["type"] == "compaction"
    text, problem = read_summary(item["encrypted_content"])
    assert not problem
    return text


# ---------------------------------------------------------------- with a trigger


@EVERYONE
async def test_a_trigger_is_answered_with_one_compaction_item(
    stage: Any, client: dict[str, str]
) -> None:
    on = await stage(GOOD)
    reply = await on.post({**STREAM, "tools": [TOOL]}, **client)
    assert reply.status == 200
    assert reply.names == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.output_item.done",
        "response.completed",
    ]
    response = check_stream(reply.events)
    assert summary_of(response["output"]) == "It ran."
    assert (response["usage"]["input_tokens"], response["usage"]["output_tokens"]) == (900, 40)
    assert response["tools"][0]["name"] == "f"
    assert "compaction.as_summary@input[1]" in reply.headers["x-anyturn-adaptations"]
    (request,) = on.provider.requests
    assert request.messages[-1] == {"role": "user", "content": ASK}
    assert "tools" not in request.body
    assert on.provider.refusals == []


async def test_without_a_stream_it_is_the_same_response(stage: Any) -> None:
    on = await stage(GOOD)
    reply = await on.post(TRIGGERED)
    assert (reply.status, reply.json["object"], reply.json["status"]) == (
        200,
        "response",
        "completed",
    )
    assert summary_of(reply.json["output"]) == "It ran."


async def test_the_item_stands_for_the_history_from_then_on_and_is_compacted_again(
    stage: Any,
) -> None:
    on = await stage(text("One."), text("Hello."), text("Two."))
    first = (await on.post(TRIGGERED)).json["output"]
    await on.post({**COMPACT, "input": [*first, USER]})
    again = (await on.post({**COMPACT, "input": [*first, USER, TRIGGERED["input"][-1]]})).json
    assert summary_of(again["output"]) == "Two."
    head = [f"{HEADING}\n\nOne.", "Run it."]
    _, second, third = on.provider.requests
    assert [message["content"] for message in second.messages] == head
    assert [message["content"] for message in third.messages] == [*head, ASK]


@EVERYONE
async def test_the_client_is_kept_waiting_with_signs_of_life(
    stage: Any, client: dict[str, str]
) -> None:
    """F68: nothing is shown while the provider writes, and that may take long."""
    dialect = dialect_of({name.replace("_", "-"): value for name, value in client.items()})
    answer = Answer(text("It ran."), fragment=3, hold_after=2)
    on = await stage(answer, keepalive_s=0.02)
    async with on.open(STREAM, **client) as response:
        seen = b""
        while seen.count(dialect.keepalive) < 3:
            seen += await response.content.readany()
        names = [message.event for message in sse.Decoder().feed(seen) if message.event]
        assert names == ["response.created", "response.in_progress"]
        on.provider.release(1)
        seen += await response.read()
    assert b"event: response.completed" in seen


UNUSABLE = {
    "length": (CUT, "token limit"),
    "filter": (Answer(text("It ra"), finish="content_filter"), "content filter"),
    "call": (Answer(call("f", {})), "'f' instead"),
    "empty": (Answer(text("  ")), "an empty summary"),
    "cut off": (Answer(text("It ra"), finish=None), "ended before the answer did"),
}


@pytest.mark.parametrize(("answer", "words"), UNUSABLE.values(), ids=UNUSABLE)
@EVERYONE
async def test_what_is_no_whole_summary_fails_and_may_be_asked_for_again(
    stage: Any, answer: Answer, words: str, client: dict[str, str]
) -> None:
    on = await stage(answer, answer, answer, GOOD)
    reply = await on.post(STREAM, **client)
    assert reply.names[-2:] == ["error", "response.failed"]
    response = check_stream(reply.events)
    assert words in response["error"]["message"]
    assert response["error"]["code"] == "server_error"
    for path in ("/v1/responses", "/v1/responses/compact"):
        whole = await on.post(TRIGGERED, path, **client)
        assert (whole.status, whole.error["code"]) == (502, "server_error")
        assert words in whole.error["message"]
        assert whole.error["provider"] == "custom"
    assert summary_of((await on.post(TRIGGERED, **client)).json["output"]) == "It ran."


# ---------------------------------------------------------------- POST /v1/responses/compact


@PATHS
async def test_the_route_answers_with_one_compaction_item(stage: Any, path: str) -> None:
    on = await stage(GOOD)
    reply = await on.post({**COMPACT, "instructions": "Be brief.", "prompt_cache_key": "a"}, path)
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/json"
    assert set(reply.json) == {"id", "object", "created_at", "output", "usage"}
    assert reply.json["object"] == "response.compaction"
    assert reply.json["id"].startswith("resp_")
    assert type(reply.json["created_at"]) is int
    assert reply.json["usage"]["total_tokens"] == 940
    assert summary_of(reply.json["output"]) == "It ran."
    assert "compaction.as_summary" in reply.headers["x-anyturn-adaptations"]
    (request,) = on.provider.requests
    assert [message["content"] for message in request.messages] == ["Be brief.", "Run it.", ASK]


@pytest.mark.parametrize("given", ["Run it.", [USER], [USER, {"type": "compaction_trigger"}]])
async def test_every_form_of_input_is_asked_about_once(stage: Any, given: Any) -> None:
    on = await stage(GOOD)
    assert (await on.post({**COMPACT, "input": given}, "/v1/responses/compact")).status == 200
    contents = [message["content"] for message in on.provider.requests[0].messages]
    assert contents == ["Run it.", ASK]


async def test_a_stream_is_not_to_be_had_there_and_unknown_fields_are_as_everywhere(
    stage: Any,
) -> None:
    on = await stage(GOOD)
    body = {**COMPACT, "stream": True, "tools": [TOOL], "logit_bias": {}, "store": False}
    reply = await on.post(body, "/v1/responses/compact")
    assert summary_of(reply.json["output"]) == "It ran."
    assert "parameters.left_out@logit_bias" in reply.headers["x-anyturn-adaptations"]


REFUSED: dict[str, tuple[JSON, str, str]] = {
    "no model": ({"input": "Hi"}, "invalid_value", "model"),
    "no input": ({"model": "m"}, "invalid_value", "input"),
    "empty text": ({"model": "m", "input": ""}, "invalid_value", "input"),
    "no items": ({"model": "m", "input": []}, "invalid_value", "input"),
    "instructions": ({"model": "m", "instructions": "Be brief."}, "invalid_value", "input"),
    "input": ({"model": "m", "input": 5}, "invalid_value", "input"),
    "item": ({"model": "m", "input": ["Hi"]}, "invalid_value", "input[0]"),
    "memory": (
        {"model": "m", "previous_response_id": "resp_1"},
        "previous_response_not_found",
        "previous_response_id",
    ),
}


@pytest.mark.parametrize(("body", "code", "param"), REFUSED.values(), ids=REFUSED)
@EVERYONE
async def test_what_cannot_be_compacted_is_a_400_that_says_why(
    stage: Any, body: JSON, code: str, param: str, client: dict[str, str]
) -> None:
    on = await stage()
    reply = await on.post(body, "/v1/responses/compact", **client)
    assert (reply.status, reply.error["code"], reply.error["param"]) == (400, code, param)
    assert on.provider.requests == []


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (Refusal(503, openai_error("Busy.")), 502, "server_error"),
        (Refusal(429, openai_error("Slow down.")), 429, "rate_limit_exceeded"),
        (
            Refusal(400, openai_error("Too long.", code="context_length_exceeded")),
            400,
            "context_length_exceeded",
        ),
    ],
    ids=["503", "429", "overflow"],
)
async def test_the_providers_refusals_have_the_form_of_the_other_route(
    stage: Any, refusal: Refusal, status: int, code: str
) -> None:
    on = await stage(refusal, refusal)
    there = await on.post(COMPACT, "/v1/responses")
    here = await on.post(COMPACT, "/v1/responses/compact")
    assert (here.status, here.error) == (there.status, there.error)
    assert (here.status, here.error["code"]) == (status, code)
