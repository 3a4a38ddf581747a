"""Input items and the Chat messages that they become, in few words."""

from __future__ import annotations

from typing import Any

from anyturn.translate.adaptations import Adaptations
from anyturn.translate.history import CONTINUE, HistoryConverter
from anyturn.translate.tool_map import ToolMap
from anyturn.wire.profile import Profile

JSON = dict[str, Any]

GENERIC = Profile(name="generic")
ANY_POSITION = Profile(
    name="openai-like",
    system_position="any",
    developer_role="developer",
    assistant_last="keep",
)
MISTRAL = Profile(
    name="mistral-like",
    call_id_exact=9,
    user_after_tool=False,
    merge_same_role=True,
    assistant_empty="empty",
)
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
CHAT_IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def convert(
    *items: JSON, profile: Profile = GENERIC, instructions: str = "", tools: ToolMap | None = None
) -> tuple[list[JSON], Adaptations]:
    adaptations = Adaptations()
    converter = HistoryConverter(tools or ToolMap(), profile, adaptations)
    return converter.convert(instructions, list(items)), adaptations


def messages(*items: JSON, profile: Profile = GENERIC, instructions: str = "") -> list[JSON]:
    return convert(*items, profile=profile, instructions=instructions)[0]


def rules(*items: JSON, profile: Profile = GENERIC) -> list[tuple[str, str, bool]]:
    return [(a.rule, a.where, a.lossy) for a in convert(*items, profile=profile)[1]]


def message(role: str, words: Any = "Hi", **fields: Any) -> JSON:
    return {"type": "message", "role": role, "content": words, **fields}


def user(words: Any = "Hi") -> JSON:
    return message("user", words)


def said(words: str, **fields: Any) -> JSON:
    return message("assistant", [{"type": "output_text", "text": words}], **fields)


def reasoned(words: str) -> JSON:
    return {
        "type": "reasoning",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": words}],
    }


def called(call_id: Any = "c1", name: Any = "f", arguments: Any = "{}", **fields: Any) -> JSON:
    return {
        "type": "function_call",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        **fields,
    }


def output(call_id: Any = "c1", words: Any = "ok", kind: str = "function_call", **f: Any) -> JSON:
    return {"type": f"{kind}_output", "call_id": call_id, "output": words, **f}


def chat_call(call_id: str = "c1", name: str = "f", arguments: str = "{}") -> JSON:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def assistant(words: str | None, *calls: JSON, **fields: Any) -> JSON:
    tool_calls = {"tool_calls": list(calls)} if calls else {}
    return {"role": "assistant", "content": words, **fields, **tool_calls}


def result(call_id: str = "c1", words: str = "ok") -> JSON:
    return {"role": "tool", "tool_call_id": call_id, "content": words}


USER = {"role": "user", "content": "Hi"}
CONTINUES = {"role": "user", "content": CONTINUE}
