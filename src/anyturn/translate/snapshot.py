"""The response object's fixed members: what the client asked for, echoed back.

All 31 members are required by clients' parsers (responses-api.md section 2.5); each has the value
that they accept when the request does not say.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET

from anyturn.wire.responses import Response


def response_snapshot(
    request: dict[str, Any],
    *,
    response_id: str,
    created_at: int,
    model: str,
    stores: bool = False,
) -> Response:
    """The response as it stands when the turn begins: in progress, nothing said yet.

    `stores` says whether it will be remembered.
    """
    return Response(
        id=response_id,
        created_at=created_at,
        model=model,
        background=bool(request.get("background")),
        conversation=_conversation(request.get("conversation")),
        instructions=request.get("instructions"),
        max_output_tokens=request.get("max_output_tokens"),
        max_tool_calls=request.get("max_tool_calls"),
        metadata=request.get("metadata") or {},
        parallel_tool_calls=_or(request.get("parallel_tool_calls"), True),
        presence_penalty=_or(request.get("presence_penalty"), 0.0),
        frequency_penalty=_or(request.get("frequency_penalty"), 0.0),
        previous_response_id=request.get("previous_response_id") or None,
        prompt_cache_key=request.get("prompt_cache_key"),
        reasoning=_reasoning(request.get("reasoning")),
        safety_identifier=request.get("safety_identifier"),
        store=stores,
        service_tier=request.get("service_tier") or "default",
        temperature=_or(request.get("temperature"), 1.0),
        text=_text(request.get("text")),
        tool_choice=_tool_choice(request.get("tool_choice")),
        tools=_tools(request.get("tools")),
        top_logprobs=_or(request.get("top_logprobs"), 0),
        top_p=_or(request.get("top_p"), 1.0),
        truncation=request.get("truncation") or "disabled",
    )


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _conversation(asked: Any) -> Any:
    if not asked:
        return UNSET
    return {"id": asked} if isinstance(asked, str) else {"id": asked.get("id")}


def _reasoning(asked: dict[str, Any] | None) -> dict[str, Any]:
    asked = asked or {}
    return {"effort": asked.get("effort"), "summary": asked.get("summary")}


def _text(asked: dict[str, Any] | None) -> dict[str, Any]:
    echo = {name: value for name, value in (asked or {}).items() if value is not None}
    echo.setdefault("format", {"type": "text"})
    form = echo["format"]
    if isinstance(form, dict) and form.get("type") == "json_schema":
        echo["format"] = {"description": None, "strict": None, **form}
    return echo


def _tool_choice(asked: Any) -> Any:
    if asked is None:
        return "auto"
    if isinstance(asked, dict) and isinstance(asked.get("function"), dict):
        return {"type": "function", "name": asked["function"].get("name")}
    if isinstance(asked, dict) and asked.get("type") == "allowed_tools":
        return {**asked, "mode": asked.get("mode") or "auto"}
    return asked


def _tools(asked: list[Any] | None) -> msgspec.Raw:
    """The tools as one piece of JSON: it is sent three times, and encoded once."""
    return msgspec.Raw(msgspec.json.encode([_echoed_tool(tool) for tool in asked or ()]))


def _echoed_tool(tool: Any) -> Any:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        return tool
    definition = tool["function"] if isinstance(tool.get("function"), dict) else tool
    return {
        "type": "function",
        "name": definition.get("name"),
        "description": definition.get("description"),
        "parameters": definition.get("parameters"),
        "strict": definition.get("strict"),
    }
