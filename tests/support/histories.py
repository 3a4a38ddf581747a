"""Any history that a client may send, for Hypothesis."""

from __future__ import annotations

import copy
import re
from typing import Any

import msgspec
from hypothesis import strategies as st

from anyturn.translate.compaction import read_summary, seal_summary
from anyturn.translate.envelope import REASONING, seal
from support.chat_items import message, reasoned

JSON = dict[str, Any]

CALL_IDS = st.sampled_from(
    [None, "", "c1", "c2", "call_ü", "c" * 70, "c" * 1324, "abcdefghi", "functions.f:0", "c1#1"]
)
NAMES = st.sampled_from(["f", "apply_patch", "x" * 70])
NAMESPACES = st.sampled_from([None, "functions", "mcp__tiny"])
ITEM_IDS = st.sampled_from([None, "", "msg_1", "item_1", "fc_1"])
NOISE = st.sampled_from(["", " ", "\n", "ü", "\U0001f600", '"}', "</developer>", "\0"])


# What a provider wants back, damaged and of others too.
SECRET = {"type": "reasoning.encrypted", "data": "x", "id": "rs_1"}
SIGNATURE = {"google": {"thought_signature": "s"}}
BLOBS = st.just("gAAAA") | st.builds(
    lambda issuer, content: seal(REASONING, issuer, content),
    st.sampled_from(["openrouter-like", "generic", "deepseek-like", "another"]),
    st.sampled_from(
        [
            {"text": "Hm"},
            {"text": "Hm", "details": [SECRET]},
            {"details": [SECRET, {**SECRET, "id": "rs_2"}]},
            {"calls": {"c1": SIGNATURE, "call_\u00fc": SIGNATURE}},
            {"message": SIGNATURE},
            {"details": "x"},
        ]
    ),
)


class Marker:
    """A text that stands nowhere else in its history, so that its way can be followed."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._count = 0

    def __call__(self) -> str:
        self._count += 1
        return f"mark{self._count:04}"

    def noisy(self) -> str:
        return self._draw(NOISE) + self() + self._draw(NOISE)

    def arguments(self) -> str:
        words = self.noisy()
        broken = self._draw(st.booleans())
        return '{"a": ' + words if broken else msgspec.json.encode({"a": words}).decode()


@st.composite
def contents(draw: st.DrawFn, mark: Marker, media: bool, kind: str) -> Any:
    form = draw(st.sampled_from(["string", "parts", "empty", "null"]))
    if form == "string":
        return mark.noisy()
    if form != "parts":
        empty = st.sampled_from(["", [], [{"type": kind, "text": ""}]])
        return None if form == "null" else draw(empty)
    chosen = draw(st.lists(st.integers(0, 5 if media else 1), max_size=3))
    return [new_part(mark, kind, choice) for choice in chosen]


def new_part(mark: Marker, kind: str, choice: int) -> JSON:
    match choice:
        case 0:
            return {"type": kind, "text": mark.noisy()}
        case 1:
            return {"type": "refusal", "refusal": mark.noisy()}
        case 2:
            return {"type": "input_image", "image_url": f"data:image/png;base64,{mark()}"}
        case 3:
            url = f"https://example.com/{mark()}.png"
            return {"type": "input_image", "image_url": url, "detail": "low"}
        case 4:
            return {
                "type": "input_file",
                "filename": "a.pdf",
                "file_data": f"data:x;base64,{mark()}",
            }
        case _:
            return {"type": "input_audio", "input_audio": {"data": mark(), "format": "wav"}}


@st.composite
def outputs(draw: st.DrawFn, mark: Marker) -> Any:
    words = draw(contents(mark, True, "input_text"))
    return {"stdout": mark()} if words is None else words


KINDS = [
    *["user", "assistant", "developer", "system", "reasoning", "sealed"],
    *["function_call", "function_call", "function_call_output", "function_call_output"],
    *["custom_tool_call", "custom_tool_call_output", "local_shell_call", "shell_call"],
    *["shell_call_output", "tool_search_call", "tool_search_output", "agent_message"],
    *["web_search_call", "additional_tools", "compaction", "again"],
]


@st.composite
def items(draw: st.DrawFn, mark: Marker, before: list[JSON]) -> JSON:
    kind = draw(st.sampled_from(KINDS))
    if kind == "again":
        return copy.deepcopy(draw(st.sampled_from(before))) if before else {"type": "mcp_call"}
    if kind in ("user", "developer", "system", "assistant"):
        form = "output_text" if kind == "assistant" else "input_text"
        content = draw(contents(mark, kind != "assistant", form))
        return message(kind, content, id=draw(ITEM_IDS))
    if kind == "sealed":
        return {"type": "reasoning", "summary": [], "encrypted_content": draw(BLOBS)}
    if kind == "compaction":
        return {"type": kind, "id": draw(ITEM_IDS), "encrypted_content": seal_summary(mark())}
    if kind == "reasoning":
        return {**reasoned(mark.noisy()), "id": draw(ITEM_IDS)}
    if kind == "agent_message":
        content = draw(contents(mark, True, "input_text"))
        return {"type": kind, "author": "a", "recipient": "b", "content": content}
    fields = {"type": kind, "call_id": draw(CALL_IDS), "id": draw(ITEM_IDS)}
    if kind == "tool_search_output":
        return {**fields, "tools": [{"type": "function", "name": mark()}]}
    if kind.endswith("_output"):
        return {**fields, "output": draw(outputs(mark))}
    if kind.endswith("shell_call"):
        return {**fields, "action": {"command": [mark.noisy()]}}
    if kind == "tool_search_call":
        return {**fields, "arguments": {"query": mark()}}
    if kind.endswith("tool_call") or kind == "function_call":
        payload = {"input": mark.noisy()} if "custom" in kind else {"arguments": mark.arguments()}
        return {**fields, **payload, "name": draw(NAMES), "namespace": draw(NAMESPACES)}
    return {**fields, "tools": []}


@st.composite
def histories(draw: st.DrawFn, mark: Marker | None = None) -> list[JSON]:
    mark = mark or Marker(draw)
    found: list[JSON] = []
    for _ in range(draw(st.integers(0, 12))):
        found.append(draw(items(mark, found)))
    return found


def markers(item: JSON) -> set[str]:
    """What must not be lost. Reasoning is kept or not by the provider's rules."""
    if item["type"] == "reasoning":
        return set()
    if item["type"] == "compaction":
        return {read_summary(item["encrypted_content"])[0]}
    return set(re.findall(r"mark\d{4}", msgspec.json.encode(item).decode()))


def closed(history: list[JSON]) -> list[JSON]:
    """The history with an output for every call."""
    answers = [
        {"type": "function_call_output", "call_id": item["call_id"] or item["id"], "output": "ok"}
        for item in history
        if item["type"].endswith("_call") and item["type"] not in ("web_search_call", "mcp_call")
    ]
    return history + answers


def of_later(history: list[JSON]) -> list[JSON]:
    """The history with ids that no earlier one has."""
    return [
        {**item, "call_id": f"later_{item['call_id']}"} if "call_id" in item else item
        for item in history
    ]


@st.composite
def grown(draw: st.DrawFn) -> tuple[list[JSON], list[JSON]]:
    mark = Marker(draw)
    return closed(draw(histories(mark))), of_later(draw(histories(mark)))
