"""Requests: one with everything in it, damaged ones, a long one; and what becomes of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
from hypothesis import strategies as st

from anyturn.errors import TurnError
from anyturn.translate.responses_to_chat import ChatRequest, convert_request
from anyturn.wire.profile import Profile
from anyturn.wire.request import parse_request

JSON = dict[str, Any]

SCHEMA = {"type": "object", "properties": {"cmd": {"type": "string"}}}
TOOL = {"type": "function", "name": "exec", "description": "Runs.", "parameters": SCHEMA}
JSON_SCHEMA = {
    "type": "json_schema",
    "name": "codex_output_schema",
    "strict": True,
    "schema": SCHEMA,
}
EVERYTHING: JSON = {
    "model": "m",
    "instructions": "You code.",
    "tools": [
        TOOL,
        {"type": "function", "function": {"name": "nested", "parameters": None}},
        {
            "type": "custom",
            "name": "apply_patch",
            "description": "Edits.",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"},
        },
        {"type": "namespace", "name": "mcp__tiny", "tools": [{**TOOL, "name": "add"}]},
        {"type": "web_search", "external_web_access": True},
    ],
    "tool_choice": {"type": "allowed_tools", "tools": [{"type": "function", "name": "exec"}]},
    "parallel_tool_calls": False,
    "reasoning": {"effort": "high", "summary": "auto"},
    "text": {"verbosity": "low", "format": JSON_SCHEMA},
    "max_output_tokens": 100,
    "temperature": 0.5,
    "top_logprobs": 2,
    "stop": ["x"],
    "service_tier": "flex",
    "input": [
        {
            "type": "additional_tools",
            "role": "developer",
            "tools": [{"type": "custom", "name": "p"}],
        },
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "a"}]},
        {
            "type": "message",
            "id": "msg_1",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "see"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:x;base64,AA=="},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            ],
        },
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "s"}],
            "content": [{"type": "reasoning_text", "text": "r"}],
            "encrypted_content": "g",
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "t", "annotations": []},
                {"type": "refusal", "refusal": "no"},
            ],
        },
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "exec", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "x"},
        {"type": "local_shell_call", "call_id": "c3", "action": {"command": ["ls"]}},
        {"type": "tool_search_call", "call_id": "c4", "arguments": {"query": "q"}},
        {"type": "function_call_output", "call_id": "c1", "output": "ok"},
        {
            "type": "custom_tool_call_output",
            "call_id": "c2",
            "output": [
                {"type": "input_text", "text": "ok"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
            ],
        },
        {"type": "local_shell_call_output", "call_id": "c3", "output": {"stdout": "a"}},
        {"type": "tool_search_output", "call_id": "c4", "tools": [{**TOOL, "name": "loaded"}]},
        {"type": "function_call_output", "call_id": "gone", "output": "late"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "agent_message", "author": "a", "recipient": "b", "content": "hello"},
    ],
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict | list):
        members = value.items() if isinstance(value, dict) else enumerate(value)
        for key, member in members:
            yield from places(member, (*path, key))


PLACES = [path for path in places(EVERYTHING) if path]
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["c1", "exec", "function_call", "message", "user", "auto", "x:y"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "role", "content", "name", "call_id", "text", "tools", "id"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


def with_value(request: JSON, path: tuple[Any, ...], value: Any) -> None:
    """Put a value at a place, if the place is still there."""
    inner: Any = request
    with suppress(KeyError, IndexError, TypeError):
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value


@st.composite
def damaged(draw: st.DrawFn) -> JSON:
    """A request with everything in it, and wrong values at a few places."""
    request = copy.deepcopy(EVERYTHING)
    for path in draw(st.lists(st.sampled_from(PLACES), max_size=3)):
        with_value(request, path, draw(ANYTHING))
    return request


def outcome(request: Any, profile: Profile) -> ChatRequest | TurnError:
    """What the gateway makes of a body: the request that leaves, or the refusal."""
    try:
        return convert_request(parse_request(msgspec.json.encode(request)), profile, "m")
    except TurnError as error:
        return error


def long_conversation() -> bytes:
    """About 1 MB in 400 items, shaped like a long conversation of Codex."""
    code = 'def handler(self, request):\n    """Return the \\"next\\" chunk."""\n    # → ok\n'
    items: list[JSON] = []
    for turn in range(100):
        role, kind = ("user", "input_text") if turn % 10 == 0 else ("assistant", "output_text")
        call_id = f"call_{turn:024}"
        items += [
            {
                "type": "message",
                "role": role,
                "content": [{"type": kind, "text": f"step {turn}: {code * 4}"}],
            },
            {
                "type": "reasoning",
                "id": f"rs_{turn}",
                "summary": [{"type": "summary_text", "text": "thinking " * 20}],
                "content": None,
                "encrypted_content": None,
            },
            {
                "type": "function_call",
                "id": f"fc_{turn}",
                "call_id": call_id,
                "name": f"tool_{turn % 12}",
                "arguments": '{"cmd": ["sed", "-n", "1,9p", "src/gateway/stream.py"]}',
            },
            {"type": "function_call_output", "call_id": call_id, "output": (code * 110)[:8400]},
        ]
    request = {
        "model": "m",
        "instructions": "You are a coding agent. " * 400,
        "input": items,
        "tools": [{**TOOL, "name": f"tool_{n}"} for n in range(12)],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "store": False,
        "stream": True,
        "include": [],
    }
    return msgspec.json.encode(request)
