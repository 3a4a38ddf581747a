"""The AI SDK for Node.js: references instead of items, by default (clients.md section 1.1)."""

from __future__ import annotations

from typing import Any

import pytest

from anyturn.testing import Answer, call, raw_chunks, reasoning, text
from support.tool_loop import (
    ANSWER,
    BUILT_IN,
    CALLS,
    QUESTION,
    THOUGHTS,
    WARMTH,
    check_history,
    function_tools,
    script,
)

JSON = dict[str, Any]
CASE: JSON = {"question": QUESTION, "functions": function_tools(), "warmth": WARMTH}
SUMMARY = {"reasoningSummary": "auto"}
NEWEST = "ai7"


def of_major(*majors: str) -> list[Any]:
    return [pytest.param(major, marks=pytest.mark.node_sdk(major)) for major in majors]


EVERY_MAJOR = pytest.mark.parametrize("major", of_major("ai5", "ai6", "ai7"))
MODES = pytest.mark.parametrize("mode", ["streamText", "generateText"])


@EVERY_MAJOR
@MODES
@pytest.mark.parametrize(
    "options", [SUMMARY, {**SUMMARY, "store": False}], ids=["references", "inline"]
)
async def test_a_tool_loop_of_three_steps(
    stage: Any, run_node: Any, major: str, mode: str, options: JSON
) -> None:
    on = await stage(*script())
    told = await run_node("ai.mjs", on.base_url, {**CASE, "mode": mode, "options": options})
    assert told == {"answer": ANSWER, "reasoning": THOUGHTS, "calls": CALLS}
    check_history(on.provider)


@EVERY_MAJOR
async def test_raw_reasoning_comes_back_although_it_is_not_shown(
    stage: Any, run_node: Any, major: str
) -> None:
    """This SDK shows summaries only (responses-api.md section 6.1)."""
    on = await stage(*script())
    told = await run_node("ai.mjs", on.base_url, {**CASE, "mode": "streamText", "options": {}})
    assert told == {"answer": ANSWER, "reasoning": [""] * 3, "calls": CALLS}
    check_history(on.provider)


@EVERY_MAJOR
@MODES
async def test_a_refusal_is_shown(stage: Any, run_node: Any, major: str, mode: str) -> None:
    """The SDK has no text for a refusal part (rule codex.refusal-part): it gets text."""
    choice = {"index": 0, "delta": {"refusal": "I cannot help with that."}, "finish_reason": None}
    ends = {"index": 0, "delta": {}, "finish_reason": "stop"}
    chunk = {"id": "c", "object": "chat.completion.chunk"}
    on = await stage(
        Answer(raw_chunks([{**chunk, "choices": [choice]}, {**chunk, "choices": [ends]}]))
    )
    told = await run_node("ai.mjs", on.base_url, {**CASE, "mode": mode, "options": {}})
    assert told["answer"] == "I cannot help with that."


@EVERY_MAJOR
@pytest.mark.parametrize("options", [{}, {"store": False}], ids=["references", "inline"])
async def test_a_second_turn_goes_on_from_the_first(
    stage: Any, run_node: Any, major: str, options: JSON
) -> None:
    on = await stage(*script(), Answer(reasoning("Polite."), text("You are welcome.")))
    case = {**CASE, "mode": "streamText", "options": {**SUMMARY, **options}, "more": "Thanks."}
    told = await run_node("ai.mjs", on.base_url, case)
    assert told["more"] == "You are welcome."
    check_history(on.provider, asked=4)
    last = on.provider.requests[3].messages
    assert [message["content"] for message in last[-2:]] == [ANSWER, "Thanks."]


@EVERY_MAJOR
async def test_a_loop_goes_on_from_a_stored_response(stage: Any, run_node: Any, major: str) -> None:
    """The SDK names the same response at every step; some versions resend its items as well."""
    on = await stage(text("Hello."), *script())
    async with on.client() as client:
        first = await client.responses.create(model="gpt-oss-120b", input="Hi.")
    options = {**SUMMARY, "previousResponseId": first.id}
    case = {**CASE, "mode": "streamText", "options": options}
    told = await run_node("ai.mjs", on.base_url, case)
    assert (told["answer"], told["calls"]) == (ANSWER, CALLS)
    before = [("user", "Hi."), ("assistant", "Hello.")]
    for request in on.provider.requests[1:]:
        said = [(message["role"], message["content"]) for message in request.messages]
        assert said[:3] == [*before, ("user", QUESTION)]
    # Newer versions leave reasoning out then, also that of the running loop (clients.md 1.1).
    check_history(on.provider, before=2, forgotten="" if major == "ai5" else THOUGHTS[1])


@pytest.mark.parametrize(
    ("major", "kind", "name", "arguments", "taken", "stores"),
    [
        pytest.param(
            *(major, *case[:4], stores),
            marks=pytest.mark.node_sdk(major),
            id=f"{major}-{case[0]}-{'references' if stores else 'inline'}",
        )
        for case in BUILT_IN
        for major in case[4]
        for stores in ((True, False) if major == NEWEST else (True,))
    ],
)
async def test_a_tool_of_the_providers_is_called_and_answered(
    stage: Any,
    run_node: Any,
    major: str,
    kind: str,
    name: str,
    arguments: JSON,
    taken: Any,
    stores: bool,
) -> None:
    on = await stage(Answer(reasoning("Hm."), call(name, arguments)), text(ANSWER))
    case: JSON = {"mode": "streamText", "built_in": {"kind": kind, "name": name}}
    case["options"] = {} if stores else {"store": False}
    told = await run_node("ai.mjs", on.base_url, {**CASE, **case})
    assert told["answer"] == ANSWER
    assert told["calls"] == [[kind, taken]]
    assistant, result = on.provider.requests[1].messages[-2:]
    assert assistant["reasoning"] == "Hm."
    assert assistant["tool_calls"][0]["id"] == result["tool_call_id"]
    assert "done" in str(result["content"])
