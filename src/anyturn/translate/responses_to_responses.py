"""A Responses request becomes one that another Responses server takes (clients.md section 3).

As little as possible is changed: what the server is known to refuse is left out or put into the
form that it takes, and each change is an adaptation. A server that keeps nothing gets the whole
input, without the ids of a store that is not its own (F14, F18).
"""

from __future__ import annotations

from typing import Any

import msgspec

from anyturn.errors import Kind, TurnError
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.compaction import (
    ASK,
    HEADING,
    SUMMARY_ITEMS,
    as_summary_request,
    asks_for_compaction,
    read_summary,
)
from anyturn.translate.envelope import is_sealed
from anyturn.translate.forwarded_calls import paired, with_short_call_ids
from anyturn.translate.lowered_tools import lower_tools
from anyturn.translate.tool_map import ToolMap
from anyturn.wire.profile import Profile

JSON = dict[str, Any]
Item = dict[str, Any]

# What only this gateway answers.
_OURS = frozenset({"previous_response_id", "conversation", "background", "generate", "store"})
_FORM = frozenset({"model", "input", "stream", "include", "instructions"})
_SYSTEM = frozenset({"system", "developer"})
# Leaving these out loses the model nothing.
_HINTS = frozenset(
    {
        *("prompt_cache_key", "prompt_cache_retention", "service_tier", "safety_identifier"),
        *("user", "metadata", "client_metadata", "stream_options"),
    }
)
_NO_WISH: dict[str, tuple[Any, ...]] = {
    "truncation": ("disabled", "auto"),
    "service_tier": ("auto", "default"),
    "top_logprobs": (0,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "temperature": (1,),
    "top_p": (1,),
}
_SEALS = "reasoning.encrypted_content"
# Items whose id and status say nothing to a server that stores nothing; others need theirs.
_WITHOUT_ID = frozenset(
    {
        *("message", "reasoning", "function_call", "function_call_output"),
        *("custom_tool_call", "custom_tool_call_output", "tool_search_call", "tool_search_output"),
    }
)


class ForwardedRequest(msgspec.Struct):
    """The request that leaves, and what was adapted."""

    body: JSON
    adaptations: Adaptations
    compacts: bool = False
    """Whether the answer is a summary that becomes a compaction item."""
    tools: ToolMap = msgspec.field(default_factory=ToolMap)
    """The functions, where tools became some; empty where all went out as declared."""

    def encode(self) -> bytes:
        """The body's bytes: the same for the same request (I9)."""
        return msgspec.json.encode(self.body)


def forward_request(
    request: JSON, profile: Profile, model: str, adaptations: Adaptations
) -> ForwardedRequest:
    """Convert a request whose input is whole already for a server that speaks Responses.

    Raises `TurnError` when the input holds nothing to answer.
    """
    items = _input_items(request)
    compacts = asks_for_compaction(items) and not profile.own_compaction
    if compacts:
        request, items = as_summary_request(request, items, adaptations)
    body: JSON = {"model": model, "stream": True, "store": False}
    _add_input(body, request, items, profile, adaptations)
    _check_input(body["input"], compacts)
    _add_include(body, request)
    _add_parameters(body, request, profile, adaptations)
    tools = ToolMap(profile.rename_tools)
    body = lower_tools(body, profile.responses_tools, tools, profile, adaptations)
    body["input"] = with_short_call_ids(paired(body["input"], adaptations), adaptations)
    body.update(profile.extra_body)
    return ForwardedRequest(body, adaptations, compacts, tools)


def _input_items(request: JSON) -> list[Any]:
    value = request.get("input")
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}] if value else []
    return value or []


def _check_input(items: list[Any], compacts: bool) -> None:
    if not items:
        sentence = "Invalid request: input holds nothing to answer."
        raise TurnError(Kind.INVALID_REQUEST, sentence, param="input")
    said = [item for item in items if not isinstance(item, dict) or item.get("role") not in _SYSTEM]
    if compacts and len(said) == 1 and said[0].get("content") == ASK:
        sentence = "Invalid request: input holds nothing to summarise."
        raise TurnError(Kind.INVALID_REQUEST, sentence, param="input")


def _add_include(body: JSON, request: JSON) -> None:
    """A server that keeps nothing must seal its reasoning, or it would be lost (F14)."""
    asked = [one for one in request.get("include") or () if isinstance(one, str)]
    body["include"] = asked if _SEALS in asked else [*asked, _SEALS]


def _add_parameters(body: JSON, request: JSON, profile: Profile, adaptations: Adaptations) -> None:
    """What the server takes is sent, and what it would refuse is not (F35)."""
    for name, value in request.items():
        if name in _OURS or name in _FORM or value is None:
            continue
        if name in profile.responses_params:
            body[name] = _fitting(name, value, profile, adaptations)
        elif value in _NO_WISH.get(name, ()):
            continue
        elif name in _HINTS:
            adaptations.note("parameters.left_out", name, f"{profile.label} does not take it")
        else:
            adaptations.loss("parameters.left_out", name, f"{profile.label} does not take it")


def _fitting(name: str, value: Any, profile: Profile, adaptations: Adaptations) -> Any:
    """The value of a parameter in the words that the server knows."""
    if name == "reasoning" and isinstance(value, dict) and profile.efforts:
        effort = value.get("effort")
        mapped = profile.effort_map.get(effort, effort) if isinstance(effort, str) else effort
        if mapped != effort and effort not in profile.efforts:
            what = f"{effort!r} is sent as {mapped!r}"
            adaptations.note("reasoning.effort", "reasoning.effort", what)
            return {**value, "effort": mapped}
    if name == "tools" and profile.tool_types:
        return [_known_tool(tool, profile, adaptations) for tool in value]
    return value


def _known_tool(tool: Any, profile: Profile, adaptations: Adaptations) -> Any:
    kind = tool.get("type") if isinstance(tool, dict) else None
    known = profile.tool_types.get(kind) if isinstance(kind, str) else None
    if known is None:
        return tool
    adaptations.note("tools.type", "tools", f"{kind} is {known} there")
    return {**tool, "type": known}


def _add_input(
    body: JSON, request: JSON, items: list[Any], profile: Profile, adaptations: Adaptations
) -> None:
    instructions = request.get("instructions") or ""
    forwarded = []
    for position, item in enumerate(items):
        place = f"input[{position}]"
        if isinstance(item, dict):
            item = _forwarded(item, profile, adaptations, place)
        if item is not None:
            forwarded.append(item)
    if profile.instructions == "lift":
        instructions, forwarded = _lifted(instructions, forwarded, adaptations)
        body["instructions"] = instructions
    elif instructions:
        body["instructions"] = instructions
    body["input"] = forwarded


def _forwarded(item: Item, profile: Profile, adaptations: Adaptations, place: str) -> Item | None:
    kind = item.get("type") or ("message" if "role" in item else None)
    if kind in SUMMARY_ITEMS:
        return _own_summary(item, profile, adaptations, place)
    if kind in _WITHOUT_ID:
        item = {name: value for name, value in item.items() if name not in ("id", "status")}
    if kind == "reasoning":
        return _reasoning(item, profile, adaptations, place)
    if kind == "message" and item.get("role") in _SYSTEM:
        item["role"] = profile.developer_role  # F5, F7
    return item


def _own_summary(item: Item, profile: Profile, adaptations: Adaptations, place: str) -> Item | None:
    """A compaction item of ours in words; another server's as it is, for it may be its own."""
    blob = item.get("encrypted_content")
    if isinstance(blob, str) and blob and not is_sealed(blob) and profile.own_compaction:
        return {name: value for name, value in item.items() if name not in ("id", "status")}
    text, problem = read_summary(blob)
    if problem:
        adaptations.loss("compaction.unreadable", place, problem)
        return None
    return {"type": "message", "role": "user", "content": f"{HEADING}\n\n{text}"}


def _reasoning(item: Item, profile: Profile, adaptations: Adaptations, place: str) -> Item | None:
    """Reasoning with the server's own seal; ours means nothing to it, and never leaves (F17)."""
    blob = item.get("encrypted_content")
    own = blob if isinstance(blob, str) and blob and not is_sealed(blob) else None
    if profile.reasoning_back == "sealed":
        if own is None:
            adaptations.loss("reasoning.sealed", place, "reasoning without this server's own seal")
            return None
        # Beside the seal the words are refused.
        return {"type": "reasoning", "summary": item.get("summary") or [], "encrypted_content": own}
    kept = {name: value for name, value in item.items() if name != "encrypted_content"}
    kept = {**kept, "summary": kept.get("summary") or []}
    if own is not None:
        kept["encrypted_content"] = own
    if own is None and not kept.get("content") and not kept["summary"]:
        adaptations.loss("reasoning.sealed", place, "reasoning that only its issuer can read")
        return None
    return kept


def _lifted(
    instructions: str, items: list[Item], adaptations: Adaptations
) -> tuple[str, list[Item]]:
    """Leading system text becomes `instructions`, which the server insists on (clients.md 3.2)."""
    lifted = [instructions] if instructions else []
    position = 0
    for item in items:
        text = _text_of(item) if item.get("role") in _SYSTEM else None
        if text is None:
            break
        lifted.append(text)
        position += 1
    if position and position == len(items):
        # Somebody has to say something.
        return instructions, items
    if position:
        what = f"{position} leading messages are sent as instructions"
        adaptations.note("instructions.lifted", "input[0]", what)
    return "\n\n".join(lifted), items[position:]


def _text_of(item: Item) -> str | None:
    """The text of a message; None when it holds more than text."""
    content = item.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    whole = len(texts) == len(content) and all(isinstance(text, str) for text in texts)
    return "\n".join(str(text) for text in texts) if whole else None
