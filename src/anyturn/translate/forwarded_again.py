"""What may be asked of a Responses server that refused a request before it said anything."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from anyturn.errors import Kind, TurnError
from anyturn.translate.forwarded_calls import paired, with_short_call_ids
from anyturn.translate.lowered_tools import FUNCTIONS, lower_tools
from anyturn.translate.responses_to_responses import ForwardedRequest
from anyturn.translate.tool_map import ToolMap
from anyturn.wire.profile import Profile

Item = dict[str, Any]

_NO_IMAGE = "[image left out: this model takes no images]"
_CUT = "[the beginning of the conversation was left out: it did not fit into the context]"
_SEAL_REFUSED = re.compile(
    r"invalid_encrypted_content"
    r"|encrypted[ _]content\b.{0,120}\b(?:could not|cannot|can't|failed|invalid|not be)",
    re.IGNORECASE | re.DOTALL,
)
_TYPES = r"(?:custom|namespace|tool_search|local_shell|shell|apply_patch|web_search\w*)\b"
_TOOL_REFUSED = re.compile(
    r"\btool types?\b"
    r"|\btype\W{0,3}of (?:a |the )?tool\b"
    r"|\btools\W{0,2}\d+\W{0,3}(?:type\b|unknown variant)"
    r"|\bonly\b.{0,20}\bfunction\b.{0,8}\btools?\b"
    rf"|\b{_TYPES}\W{{0,3}}tools? (?:is|are) not\b"
    rf"|\b(?:unknown variant|invalid value)\W{{1,4}}{_TYPES}",
    re.IGNORECASE | re.DOTALL,
)
_NOTE: Item = {"type": "message", "role": "user", "content": _CUT}
_SYSTEM = frozenset({"system", "developer"})
_OUTPUTS = ("function_call_output", "custom_tool_call_output")


def refuses_seals(refusal: TurnError) -> bool:
    """Whether the server could not open reasoning that another account or server sealed (F17)."""
    return refusal.kind is Kind.PROVIDER_REFUSED and bool(_SEAL_REFUSED.search(refusal.message))


def without_sealed_reasoning(
    request: ForwardedRequest, profile: Profile
) -> ForwardedRequest | None:
    """The request without any sealed reasoning; None when it holds none."""
    items = request.body["input"]
    kept = [item for item in items if not _is_sealed_reasoning(item)]
    if len(kept) == len(items):
        return None
    what = f"{profile.label} could not open it; it was asked again without {len(items) - len(kept)}"
    request.adaptations.loss("reasoning.refused", "input", what)
    return _with_input(request, kept)


def _is_sealed_reasoning(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and item.get("type") in ("reasoning", "compaction", "context_compaction")
        and bool(item.get("encrypted_content"))
    )


def refuses_tool_types(refusal: TurnError) -> bool:
    """Whether the server takes no tools of some type that it was sent (F21)."""
    return refusal.kind is Kind.PROVIDER_REFUSED and bool(_TOOL_REFUSED.search(refusal.message))


def with_functions_only(request: ForwardedRequest, profile: Profile) -> ForwardedRequest | None:
    """The request with functions in the place of all other tools; None when it has no others."""
    if len(request.tools):
        return None
    adaptations, tools = request.adaptations, ToolMap(profile.rename_tools)
    lowered = lower_tools(request.body, FUNCTIONS, tools, profile, adaptations)
    if lowered == request.body:
        return None
    what = f"{profile.label} refused a type of tool; it was asked again with functions"
    adaptations.note("tools.refused", "tools", what)
    lowered["input"] = with_short_call_ids(paired(lowered["input"], adaptations), adaptations)
    return msgspec.structs.replace(request, body=lowered, tools=tools)


def without_forwarded_images(
    request: ForwardedRequest, profile: Profile
) -> ForwardedRequest | None:
    """The request with a sentence for each image; None when it holds none (F11)."""
    items = [_told(item) for item in request.body["input"]]
    if items == request.body["input"]:
        return None
    what = f"{profile.label} refused images; it was asked again without"
    request.adaptations.loss("content.image_left_out", "input", what)
    return _with_input(request, items)


def _told(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    for member in ("content", "output"):
        parts = item.get(member)
        if isinstance(parts, list) and any(map(_is_image, parts)):
            stand_in = {"type": "input_text", "text": _NO_IMAGE}
            told = [stand_in if _is_image(part) else part for part in parts]
            item = {**item, member: told}
    return item


def _is_image(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "input_image"


def shortened_input(request: ForwardedRequest) -> ForwardedRequest | None:
    """The request without the older half of its rounds; None when nothing more can be left out.

    A round begins with what a user says; of the last one, the older half of the steps is left out.
    A step is what the model said with the outputs of its calls.
    """
    items = [item for item in request.body["input"] if item != _NOTE]
    head = next((n for n, item in enumerate(items) if _role(item) not in _SYSTEM), len(items))
    starts = [n for n, item in enumerate(items) if n >= head and _role(item) == "user"]
    if len(starts) > 1:
        first, cut = head, starts[len(starts) // 2]
    else:
        first = starts[0] + 1 if starts else head
        steps = _steps(items, first)
        if len(steps) < 2:
            return None
        cut = steps[len(steps) // 2]
    instructions = [item for item in items[first:cut] if _role(item) in _SYSTEM]
    count = cut - first - len(instructions)
    if not count:
        return None
    what = f"the context is full: {count} of {len(items)} items, the oldest, were left out"
    request.adaptations.loss("history.truncated", "input", what)
    return _with_input(request, [*items[:first], *instructions, _NOTE, *items[cut:]])


def _steps(items: list[Any], first: int) -> list[int]:
    """Where a step begins: behind an output, or at the first thing."""
    return [
        n
        for n in range(first, len(items))
        if (n == first or _kind(items[n - 1]) in _OUTPUTS) and _kind(items[n]) not in _OUTPUTS
    ]


def _kind(item: Any) -> Any:
    return item.get("type") if isinstance(item, dict) else None


def _role(item: Any) -> Any:
    return item.get("role") if isinstance(item, dict) else None


def _with_input(request: ForwardedRequest, items: list[Any]) -> ForwardedRequest:
    return msgspec.structs.replace(request, body={**request.body, "input": items})
