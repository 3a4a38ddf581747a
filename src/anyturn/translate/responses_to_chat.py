"""A Responses request becomes a Chat Completions request.

Only what the provider is known to take is sent (chat-providers.md section 1, rule 1); whatever
else the client asked for is an adaptation.
"""

from __future__ import annotations

from typing import Any

import msgspec

from anyturn.errors import Kind, TurnError
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.compaction import (
    as_summary_request,
    asks_for_compaction,
    settle_summary_request,
)
from anyturn.translate.content import bad_field
from anyturn.translate.history import HistoryConverter, Message
from anyturn.translate.tool_choice import apply_tool_choice, limit_calls, read_tool_choice
from anyturn.translate.tool_map import ToolMap
from anyturn.translate.tools import ConvertedTools, add_tools, convert_tools
from anyturn.wire.profile import Profile

# Fields that this gateway answers itself, or that ask the provider for nothing.
_GATEWAY_FIELDS = frozenset(
    {
        "model",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning",
        "text",
        "max_output_tokens",
        "stream",
        "stream_options",
        "store",
        "include",
        "background",
        "client_metadata",
        "previous_response_id",
        "conversation",
        "generate",
        "metadata",
        # It bounds what the server's own tools are called; here the client runs every call.
        "max_tool_calls",
    }
)
# Fields that only help a provider's own book-keeping: leaving them out loses the model nothing.
_HINTS = frozenset(
    {"prompt_cache_key", "prompt_cache_retention", "service_tier", "safety_identifier", "user"}
)
_NO_WISH: dict[str, tuple[Any, ...]] = {
    "truncation": ("disabled", "auto"),
    "service_tier": ("auto", "default"),
    "top_logprobs": (0,),
}


class ChatRequest(msgspec.Struct):
    """The request that leaves: its body, the tools that lead back, and what was adapted."""

    body: dict[str, Any]
    tools: ToolMap
    adaptations: Adaptations
    compacts: bool = False
    """Whether the answer is a summary that becomes a compaction item."""

    def encode(self) -> bytes:
        """The body's bytes: the same for the same request (I9)."""
        return msgspec.json.encode(self.body)


def convert_request(
    request: dict[str, Any],
    profile: Profile,
    model: str,
    adaptations: Adaptations | None = None,
) -> ChatRequest:
    """Convert a request whose field types `wire.request.parse_request` has checked.

    `profile` is the provider's, with the facts of `model` laid over it. What is changed joins
    `adaptations`, where a list is given. Raises `TurnError` when
    the request asks for something impossible, naming the field.
    """
    _refuse_what_needs_memory(request)
    adaptations = Adaptations() if adaptations is None else adaptations
    items = _input_items(request)
    if compacts := asks_for_compaction(items):
        request, items = as_summary_request(request, items, adaptations)
    tools = _collect_tools(request, items, profile, adaptations)
    messages = HistoryConverter(tools.map, profile, adaptations).convert(
        request.get("instructions") or "", items
    )
    if not items or not messages:
        raise TurnError(
            Kind.INVALID_REQUEST, "Invalid request: input holds nothing to answer.", param="input"
        )
    body: dict[str, Any] = {"model": model, "messages": messages, "stream": True}
    if profile.stream_usage == "include_usage":
        body["stream_options"] = {"include_usage": True}
    _add_tools(body, request, tools, profile, adaptations)
    _add_format(body, request, profile, adaptations)
    _add_reasoning(body, request, profile, adaptations)
    _add_limit(body, request, profile)
    _add_parameters(body, request, profile, adaptations)
    body.update(profile.extra_body)
    if compacts:
        settle_summary_request(body, profile.developer_role)
    return ChatRequest(body, tools.map, adaptations, compacts)


def _refuse_what_needs_memory(request: dict[str, Any]) -> None:
    for field in ("previous_response_id", "conversation"):
        if request.get(field):
            raise TurnError(
                Kind.UNKNOWN_REFERENCE,
                f"{field} {str(request[field])[:80]!r} is not known here: this gateway keeps no "
                "responses yet. Send the whole input with every request (store: false).",
                param=field,
            )
    if request.get("background"):
        raise TurnError(
            Kind.UNSUPPORTED, "background responses are not supported yet.", param="background"
        )


def _input_items(request: dict[str, Any]) -> list[Any]:
    value = request.get("input")
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    return value or []


def _collect_tools(
    request: dict[str, Any], items: list[Any], profile: Profile, adaptations: Adaptations
) -> ConvertedTools:
    tools = convert_tools(request.get("tools") or [], profile, adaptations)
    for position, item in enumerate(items):
        if isinstance(item, dict) and item.get("type") in (
            "additional_tools",
            "tool_search_output",
        ):
            where = f"input[{position}].tools"
            more = item.get("tools")
            if not isinstance(more, list):
                raise bad_field(where, "a list", more)
            add_tools(tools, more, profile, adaptations, where)
    return tools


def _add_tools(
    body: dict[str, Any],
    request: dict[str, Any],
    tools: ConvertedTools,
    profile: Profile,
    adaptations: Adaptations,
) -> None:
    choice = read_tool_choice(request.get("tool_choice"), tools.map, adaptations)
    body.update(apply_tool_choice(choice, tools.declared, profile, adaptations))
    limit_calls(choice, tools.map)
    parallel = request.get("parallel_tool_calls")
    if "tools" not in body:
        return
    if profile.parallel_tool_calls == "send":
        if parallel is not None:
            body["parallel_tool_calls"] = parallel
    elif profile.parallel_tool_calls == "force_false":
        body["parallel_tool_calls"] = False
        if parallel:
            adaptations.note(
                "parameters.left_out", "parallel_tool_calls", f"{profile.label} takes false only"
            )
    elif parallel is False:
        adaptations.loss(
            "parameters.left_out", "parallel_tool_calls", f"{profile.label} does not know it"
        )


# ---------------------------------------------------------------- output format


def _add_format(
    body: dict[str, Any], request: dict[str, Any], profile: Profile, adaptations: Adaptations
) -> None:
    text = request.get("text") or {}
    if verbosity := text.get("verbosity"):
        if not isinstance(verbosity, str):
            raise bad_field("text.verbosity", "a string", verbosity)
        if "verbosity" in profile.params:
            body["verbosity"] = verbosity
        else:
            adaptations.note("parameters.left_out", "text.verbosity", "unknown there")
    wanted = text.get("format") or {}
    if not isinstance(wanted, dict):
        raise bad_field("text.format", "an object", wanted)
    kind = wanted.get("type", "text")
    if kind not in ("text", "json_object", "json_schema"):
        raise bad_field("text.format.type", "text, json_object or json_schema", kind)
    if kind == "json_schema" and not isinstance(wanted.get("schema"), dict):
        raise bad_field("text.format.schema", "an object", wanted.get("schema"))
    if not isinstance(wanted.get("name"), str | None):
        raise bad_field("text.format.name", "a string", wanted["name"])
    if kind == "text":
        return
    if "tools" in body and not profile.json_with_tools:
        adaptations.note(
            "format.in_words", "text.format", f"{profile.label} takes no format beside tools"
        )
        _ask_in_words(body["messages"], wanted, profile)
    elif kind == "json_schema" and not profile.json_schema:
        adaptations.note("format.in_words", "text.format", f"{profile.label} takes no JSON schema")
        body["response_format"] = {"type": "json_object"}
        _ask_in_words(body["messages"], wanted, profile)
    else:
        body["response_format"] = _response_format(wanted)


def _response_format(wanted: dict[str, Any]) -> dict[str, Any]:
    if wanted["type"] == "json_object":
        return {"type": "json_object"}
    schema = {"name": wanted.get("name") or "response", "schema": wanted["schema"]}
    for key in ("description", "strict"):
        if wanted.get(key) is not None:
            schema[key] = wanted[key]
    return {"type": "json_schema", "json_schema": schema}


def _ask_in_words(messages: list[Message], wanted: dict[str, Any], profile: Profile) -> None:
    """Say in the system message what a field cannot say; at its end, so its start stays cached."""
    sentence = "Your final answer must be one JSON object and nothing else, without a code fence."
    if wanted["type"] == "json_schema":
        schema = msgspec.json.encode(wanted["schema"]).decode()
        sentence += f" It must match this JSON schema:\n{schema}"
    head = messages[0]
    if head["role"] == profile.developer_role:
        messages[0] = {"role": head["role"], "content": f"{head['content']}\n\n{sentence}"}
    else:
        messages.insert(0, {"role": profile.developer_role, "content": sentence})


# ---------------------------------------------------------------- parameters


def _add_reasoning(
    body: dict[str, Any], request: dict[str, Any], profile: Profile, adaptations: Adaptations
) -> None:
    body.update(profile.reasoning_extra)
    effort = (request.get("reasoning") or {}).get("effort")
    if effort is None:
        return
    if not isinstance(effort, str):
        raise bad_field("reasoning.effort", "a string", effort)
    mapped = profile.effort_map.get(effort)
    if profile.reasoning_param == "none" or mapped is None:
        adaptations.note("reasoning.effort", "reasoning.effort", f"{effort!r} is not sent")
        return
    if mapped != effort:
        adaptations.note(
            "reasoning.effort", "reasoning.effort", f"{effort!r} is sent as {mapped!r}"
        )
    _set_effort(body, profile.reasoning_param, mapped)


def _set_effort(body: dict[str, Any], parameter: str, effort: str) -> None:
    thinking = effort != "none"
    match parameter:
        case "reasoning.effort":
            body["reasoning"] = {"effort": effort}
        case "reasoning.enabled":
            body["reasoning"] = {"enabled": thinking}
        case "thinking.type":
            kind = "enabled" if thinking else "disabled"
            body["thinking"] = {**body.get("thinking", {}), "type": kind}
        case "enable_thinking":
            body["enable_thinking"] = thinking
        case "chat_template_kwargs":
            body["chat_template_kwargs"] = {"enable_thinking": thinking}
        case _:
            body["reasoning_effort"] = effort


def _add_limit(body: dict[str, Any], request: dict[str, Any], profile: Profile) -> None:
    """F37: no limit of our own, unless the provider reserves its default in advance (Cerebras)."""
    limit = request.get("max_output_tokens")
    if limit is not None and limit < 1:
        raise bad_field("max_output_tokens", "at least 1", limit)
    if limit := limit or profile.max_tokens_default:
        body[profile.max_tokens_field] = limit


def _add_parameters(
    body: dict[str, Any], request: dict[str, Any], profile: Profile, adaptations: Adaptations
) -> None:
    for name, value in request.items():
        if name in _GATEWAY_FIELDS or value is None or value in _NO_WISH.get(name, ()):
            continue
        if name in profile.params:
            body[name] = value
            if name == "top_logprobs":
                body["logprobs"] = True
        elif name in _HINTS:
            adaptations.note("parameters.left_out", name, f"{profile.label} does not know it")
        else:
            adaptations.loss("parameters.left_out", name, f"{profile.label} does not know it")
