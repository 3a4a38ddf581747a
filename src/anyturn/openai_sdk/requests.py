"""What a request of the SDK says, read from its body before it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from anyturn.openai_sdk.events import Api

_API_OF_PATH: dict[str, Api] = {"/chat/completions": "chat", "/responses": "responses"}


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A request, as far as it is reported and its answer is judged by it."""

    api: Api | None
    """None: the first chunk tells."""
    model: str = ""
    stream: bool = False
    messages: tuple[Any, ...] = ()
    tools: tuple[str, ...] = ()
    """Names in order; a hosted tool has its type as name."""
    schemas: dict[str, Any] = {}
    """Name → parameters, of the function tools."""
    freeform: frozenset[str] = frozenset()
    """Names of the tools whose input is no JSON."""
    tool_choice: str = ""
    calls_are_known: bool = False
    """Whether a call outside `tools` is a fault: false when tools are declared elsewhere too."""


def read_request(path: str, body: Any) -> Sent | None:
    """Return what a POST to `path` with this body says, None when it asks no model for an answer.

    Never raises: what has another form than it should is left out.
    """
    api = _API_OF_PATH.get(path.rstrip("/"))
    return read_body(api, body) if api is not None and isinstance(body, Mapping) else None


def read_body(api: Api | None, body: Mapping[str, Any]) -> Sent:
    """Return what a request says, of an API that may be unknown."""
    declared = [_declared(tool) for tool in _listed(body.get("tools"))]
    tools = [(name, tool) for name, tool in declared if name]
    model = body.get("model")
    return Sent(
        api=api,
        model=model if isinstance(model, str) else "",
        stream=body.get("stream") is True,
        messages=_messages(body, api),
        tools=tuple(name for name, _ in tools),
        schemas={
            name: tool["parameters"]
            for name, tool in tools
            if isinstance(tool.get("parameters"), dict)
        },
        freeform=frozenset(name for name, tool in tools if tool.get("type") == "custom"),
        tool_choice=_choice(body.get("tool_choice")),
        # Namespaces and stored prompts declare tools that are not in the list.
        calls_are_known=bool(tools)
        and "prompt" not in body
        and all(tool.get("type") in _PLAIN_TOOLS for _, tool in tools),
    )


_PLAIN_TOOLS = ("function", "custom")


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _messages(body: Mapping[str, Any], api: Api | None) -> tuple[Any, ...]:
    given = body.get("input" if api == "responses" else "messages")
    if isinstance(given, str):
        return ({"role": "user", "content": given},)
    return tuple(_listed(given))


def _declared(tool: Any) -> tuple[str, Mapping[str, Any]]:
    """A tool's name, and its members with those of `function` or `custom` laid over (Chat)."""
    if not isinstance(tool, Mapping):
        return "", {}
    kind = tool.get("type")
    inner = tool.get(kind) if isinstance(kind, str) else None
    members = {**tool, **inner, "type": kind} if isinstance(inner, Mapping) else tool
    name = members.get("name") or kind
    return (name if isinstance(name, str) else ""), members


def _choice(choice: Any) -> str:
    if isinstance(choice, str):
        return choice
    if not isinstance(choice, Mapping):
        return ""
    kind = choice.get("type")
    if kind == "allowed_tools":
        return "allowed_tools"
    name = _declared(choice)[0]
    return name if name == kind or not kind else f"{kind} {name}"
