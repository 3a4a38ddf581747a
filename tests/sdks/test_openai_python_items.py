"""Items that clients send, listed again: openai-python validates each of them strictly."""

from __future__ import annotations

from typing import Any

import pytest

from anyturn.testing import text
from support.tool_loop import function_tools

JSON = dict[str, Any]
MODEL = "gpt-oss-120b"
PIXEL = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0="
TOOLS: list[JSON] = [
    *function_tools(),
    {"type": "custom", "name": "note"},
    {"type": "local_shell"},
    {"type": "shell"},
    {"type": "apply_patch"},
    {"type": "tool_search", "execution": "client"},
]


def called(kind: str, output: Any, **members: Any) -> list[JSON]:
    """A call without what is optional, and its output."""
    end = "tool_search_output" if kind == "tool_search_call" else f"{kind}_output"
    answer = {"tools": output} if kind == "tool_search_call" else {"output": output}
    return [
        {"type": kind, "call_id": "c1", **members},
        {"type": end, "call_id": "c1", **answer},
    ]


ADD: JSON = {"name": "add", "arguments": '{"a":1,"b":2}'}
EXEC: JSON = {"type": "exec", "command": ["ls"], "env": {}}
PRINTED = {"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}
SENT: dict[str, list[JSON]] = {
    "words": [{"role": "developer", "content": "Be brief."}],
    "system": [{"role": "system", "content": [{"type": "input_text", "text": "Be brief."}]}],
    "assistant_words": [{"role": "assistant", "content": "Yes."}],
    "assistant_parts": [
        {"role": "assistant", "content": [{"type": "output_text", "text": "Yes."}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    ],
    "image": [{"role": "user", "content": [{"type": "input_image", "image_url": PIXEL}]}],
    "file": [
        {
            "role": "user",
            "content": [{"type": "input_file", "filename": "a.pdf", "file_data": PDF}],
        }
    ],
    "reasoning": [{"type": "reasoning", "id": "rs_1", "summary": []}],
    "function": called("function_call", "3", **ADD),
    "function_parts": called("function_call", [{"type": "input_text", "text": "3"}], **ADD),
    "function_image": called("function_call", [{"type": "input_image", "image_url": PIXEL}], **ADD),
    "nulls": called("function_call", "3", **ADD, id=None, status=None, namespace=None),
    "custom": called("custom_tool_call", "noted", name="note", input="x"),
    "tool_search": called("tool_search_call", [], arguments={"query": "x"}, execution="client"),
    "local_shell": called("local_shell_call", "a", action=EXEC),
    "shell": called("shell_call", [PRINTED], action={"commands": ["ls"]}),
    "apply_patch": called(
        "apply_patch_call", "done", operation={"type": "delete_file", "path": "a"}
    ),
}


@pytest.mark.parametrize("sent", SENT.values(), ids=SENT)
async def test_what_a_request_adds_is_listed_in_types(stage: Any, sent: list[JSON]) -> None:
    on = await stage(text("Yes."), text("Yes."), profile="", rules=False)
    asked = [*sent, {"role": "user", "content": "And?"}]
    async with on.client() as client:
        made = await client.responses.create(model=MODEL, input=asked, tools=TOOLS)
        listed = [item async for item in client.responses.input_items.list(made.id, order="asc")]
        kept = await client.conversations.create()
        given = {"model": MODEL, "input": asked, "tools": TOOLS, "conversation": kept.id}
        await client.responses.create(**given)
        items = [item async for item in client.conversations.items.list(kept.id, order="asc")]
    assert [item.type for item in listed] == [item.get("type", "message") for item in asked]
    assert [item.type for item in items] == [*(item.type for item in listed), "message"]


@pytest.mark.parametrize("sent", SENT.values(), ids=SENT)
async def test_what_is_added_to_a_conversation_is_listed_in_types(
    stage: Any, sent: list[JSON]
) -> None:
    on = await stage()
    async with on.client() as client:
        kept = await client.conversations.create()
        added = await client.conversations.items.create(kept.id, items=sent)
        items = [item async for item in client.conversations.items.list(kept.id, order="asc")]
        assert items == added.data
        for item in items:
            one = await client.conversations.items.retrieve(item.id, conversation_id=kept.id)
            assert one == item
    assert len(items) == len(sent)
