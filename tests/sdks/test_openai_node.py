"""openai-node: `responses.stream()`, which throws on whatever it cannot place."""

from __future__ import annotations

from typing import Any

import pytest

from support.tool_loop import ANSWER, QUESTION, WARMTH, check_history, function_tools, script

CASE = {"question": QUESTION, "tools": function_tools(), "warmth": WARMTH}
EVERY_MAJOR = [
    pytest.param(major, marks=pytest.mark.node_sdk(major)) for major in ("openai6", "openai7")
]


@pytest.mark.parametrize("major", EVERY_MAJOR)
@pytest.mark.parametrize(
    ("keeps", "summary"),
    [
        ("history", None),
        ("previous_response_id", "auto"),
        ("conversation", None),
        ("stateless", "auto"),
    ],
)
async def test_a_tool_loop_of_three_steps(
    stage: Any, run_node: Any, major: str, keeps: str, summary: str | None
) -> None:
    on = await stage(*script())
    told = await run_node("openai.mjs", on.base_url, {**CASE, "keeps": keeps, "summary": summary})
    assert told == {"answer": ANSWER, "thoughts": ["Two cities.", "Now the sum.", "Easy."]}
    check_history(on.provider)
