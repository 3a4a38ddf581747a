"""Rules of calls: a tool must run, once, and its output must find the way back."""

from __future__ import annotations

from typing import Any

import msgspec

from anyturn.conformance.events import (
    CALLS,
    ITEM_DONE,
    JSON,
    TERMINAL,
    Event,
    as_list,
    as_object,
    shown,
)
from anyturn.conformance.rules import AI_SDK, ALL, CODEX, NODE, OPEN, PYTHON, Fault, rule
from anyturn.conformance.turn import Turn, final_output

_MAX_CALL_ID = 64
_WITHOUT_NAMESPACE = ""


@rule(
    "items.call-id-missing",
    on=(ITEM_DONE,),
    expected="`call_id` in every call",
    why="Codex drops the call silently: the tool never runs. Others cannot send the output back.",
    fix="Pass the provider's call id on, or mint one, and keep it.",
    breaks=ALL,
    seen="bridges that have only `id`",
)
def call_id_missing(turn: Turn, event: Event) -> str | None:
    call = _call(event)
    missing = call and not (isinstance(call.get("call_id"), str) and call["call_id"])
    return f"call_id: {shown(call.get('call_id'))}" if missing else None


@rule(
    "items.call-id-changes",
    on=(ITEM_DONE, *TERMINAL),
    expected="the same `call_id` in `added`, `done` and the final output (I3)",
    why="The output is sent back under one id and looked for under the other. openai-python 3 "
    "and openai-node 7 raise; the AI SDK shows a call that is never made.",
    fix="Fix the call id when the item opens.",
    breaks=(PYTHON, NODE, OPEN),
    degrades=(AI_SDK,),
    cosmetic=(CODEX,),
    seen="codex_plus writes the id anew",
)
def call_id_changes(turn: Turn, event: Event) -> str | None:
    if event.type in TERMINAL:
        for done, item in zip(turn.done, final_output(event), strict=False):
            named = as_object(item).get("call_id")
            if done.call_id and named and named != done.call_id:
                return f"{done.call_id} is {shown(named)} in the final output"
        return None
    item, named = event.item, _call(event).get("call_id")
    if item is None or item.is_ghost or not item.call_id or not named or named == item.call_id:
        return None
    return f"{item.call_id} when it opened, {shown(named)} when it was done"


@rule(
    "items.call-id-repeats",
    on=(ITEM_DONE,),
    expected="a `call_id` of its own for every call",
    why="Codex runs both and sends two outputs under one id, which strict providers refuse. "
    "openai-python 3 and openai-node 7 raise.",
    fix="Make repeated ids of the provider unique.",
    breaks=ALL - {OPEN},
    degrades=(OPEN,),
    seen="providers that call every call `call_0`",
)
def call_id_repeats(turn: Turn, event: Event) -> str | None:
    named = _call(event).get("call_id")
    again = isinstance(named, str) and named in turn.call_ids
    known = event.item is not None and event.item.is_done
    return f"{named} is the call_id of two calls" if again and not known else None


@rule(
    "items.call-id-too-long",
    on=(ITEM_DONE,),
    expected="`call_id` of at most 64 characters",
    why="OpenAI refuses a longer one when it comes back, and with it the whole session.",
    fix="Shorten it the same way every time, and map it back.",
    degrades=(OPEN,),
    cosmetic=ALL - {OPEN},
    seen="1,324 characters have been seen (F13)",
)
def call_id_too_long(turn: Turn, event: Event) -> str | None:
    named = _call(event).get("call_id")
    long = isinstance(named, str) and len(named) > _MAX_CALL_ID
    return f"{len(named)} characters" if long and isinstance(named, str) else None


@rule(
    "items.name-missing",
    on=(ITEM_DONE,),
    expected="`name` in every call",
    why="Codex drops the call silently: the tool never runs.",
    fix="Wait for the name before the item is opened.",
    breaks=ALL,
)
def name_missing(turn: Turn, event: Event) -> str | None:
    call = _call(event)
    missing = call and not (isinstance(call.get("name"), str) and call["name"])
    return f"name: {shown(call.get('name'))}" if missing else None


@rule(
    "items.name-undeclared",
    on=(ITEM_DONE,),
    expected="the name of a tool that the request declared",
    why="Codex answers `unsupported call: NAME` in the tool's place, and the model tries again.",
    fix="Give the model the names as they are, and map mended ones back.",
    breaks=ALL,
    fault=Fault.MODEL,
    seen="gpt-oss: `functions.NAME`, `container.exec`; models that invent tools",
)
def name_undeclared(turn: Turn, event: Event) -> str | None:
    call = _call(event)
    tools = declared(turn.request)
    name = call.get("name")
    if not tools or not isinstance(name, str) or not name:
        return None
    known = any(name == tool or name in flattened(space, tool) for space, tool in tools)
    return None if known else f"{name}, declared: {shown(', '.join(n for _, n in tools))}"


@rule(
    "items.tool-kind",
    on=(ITEM_DONE,),
    expected="a `function_call` for a function tool, a `custom_tool_call` for a freeform one",
    why="Codex does not run it: the output is `aborted` (`tool apply_patch invoked with "
    "incompatible payload`), and the model loops.",
    fix="Remember of which kind each declared tool is, and answer in kind.",
    breaks=ALL,
    seen="bridges that turn freeform `apply_patch` into a function and not back (F24)",
)
def tool_kind(turn: Turn, event: Event) -> str | None:
    call = _call(event)
    tools = declared(turn.request)
    place = (call.get("namespace") or _WITHOUT_NAMESPACE, call.get("name"))
    if not _hashable(place) or place not in tools:
        return None
    expected = {"custom": "custom_tool_call", "tool_search": "tool_search_call"}.get(
        tools[place], "function_call"
    )
    kind = call.get("type")
    return None if kind == expected else f"{kind} for {place[1]}, a tool of type {tools[place]}"


@rule(
    "items.namespace",
    on=(ITEM_DONE,),
    expected="`namespace` and `name` as the request declared them",
    why="Codex answers `unsupported call`: an MCP tool is found by its namespace and its name. "
    "Other programs do not find it either, but the AI SDK knows no namespaces.",
    fix='Split a flattened name: `"namespace": "mcp__docs", "name": "search"`.',
    breaks=(CODEX, PYTHON, NODE),
    degrades=(OPEN,),
    cosmetic=(AI_SDK,),
    seen="bridges that flatten `mcp__docs__search` and do not split it again (F25, F26)",
)
def namespace(turn: Turn, event: Event) -> str | None:
    call = _call(event)
    tools = declared(turn.request)
    name, space = call.get("name"), call.get("namespace") or _WITHOUT_NAMESPACE
    if not isinstance(name, str) or not isinstance(space, str) or (space, name) in tools:
        return None
    meant = [t for t in tools if name == t[1] or name in flattened(*t)]
    said = f"namespace {shown(space or 'none')}, name {name}"
    return f"{said}; declared: {meant[0][0] or 'none'}, {meant[0][1]}" if meant else None


@rule(
    "items.arguments-not-text",
    on=(ITEM_DONE,),
    expected="`arguments` is a string that holds JSON",
    why="Codex drops the call silently when it is missing, null or an object: the tool never runs.",
    fix="Encode the arguments: a JSON string inside the JSON.",
    breaks=ALL,
    seen="bridges to servers that send arguments as an object",
)
def arguments_not_text(turn: Turn, event: Event) -> str | None:
    call = _call(event)
    wrong = call.get("type") == "function_call" and not isinstance(call.get("arguments"), str)
    return f"arguments: {shown(call.get('arguments', 'missing'))}" if wrong else None


@rule(
    "items.arguments-empty",
    on=(ITEM_DONE,),
    expected='`arguments` that are not empty; `"{}"` for a tool without parameters',
    why="Codex cannot parse them: the tool does not run, `failed to parse function arguments` "
    "goes back to the model. Only the AI SDK takes nothing for `{}`.",
    fix='Send `"{}"` where the provider sends nothing.',
    breaks=ALL - {AI_SDK},
    cosmetic=(AI_SDK,),
    seen="providers that send no arguments for a tool without parameters (F44)",
)
def arguments_empty(turn: Turn, event: Event) -> str | None:
    text = _arguments(event)
    return "arguments: nothing" if text is not None and not text.strip() else None


@rule(
    "items.arguments-not-json",
    on=(ITEM_DONE,),
    expected="`arguments` is the text of one JSON object",
    why="Codex cannot parse them: the tool does not run, `failed to parse function arguments` goes "
    "back to the model, and it tries again.",
    fix="Join the provider's pieces in order and by call. Where the model itself broke off, end "
    "with `response.incomplete` or `response.failed`.",
    breaks=ALL,
    fault=Fault.MODEL,
    seen="bridges that mix parallel calls; models at a length limit (F43, F44)",
)
def arguments_not_json(turn: Turn, event: Event) -> str | None:
    text = _arguments(event)
    if text is None or not text.strip():
        return None
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return f"{shown(text)} ({error})"
    return None if isinstance(value, dict) else f"{shown(text)} is no object"


@rule(
    "items.input-not-text",
    on=(ITEM_DONE,),
    expected="`input` of a freeform call is a string",
    why="Codex drops the call silently: the patch is not applied.",
    fix="Send the raw text, not JSON.",
    breaks=ALL,
)
def input_not_text(turn: Turn, event: Event) -> str | None:
    call = _call(event)
    wrong = call.get("type") == "custom_tool_call" and not isinstance(call.get("input"), str)
    return f"input: {shown(call.get('input', 'missing'))}" if wrong else None


@rule(
    "items.input-wrapped",
    on=(ITEM_DONE,),
    expected="the raw input of a freeform call, without a JSON wrapper",
    why="Codex gives the text to the tool as it is: a patch inside JSON is no patch.",
    fix='Unwrap `{"input": …}`, the form in which a Chat model was asked for it.',
    breaks=ALL,
    seen="bridges that expose a freeform tool as a function (F24)",
)
def input_wrapped(turn: Turn, event: Event) -> str | None:
    call = _call(event)
    text = call.get("input")
    if call.get("type") != "custom_tool_call" or not isinstance(text, str):
        return None
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    wrapped = isinstance(value, dict) and set(value) in ({"input"}, {"patch"})
    return shown(text) if wrapped else None


def declared(request: JSON | None) -> dict[tuple[str, str], str]:
    """The tools of a request: (namespace or '', name) and their type.

    Lite requests carry tools in an `additional_tools` item (F22).
    """
    tools: dict[tuple[str, str], str] = {}
    asked = as_object(request)
    listed = as_list(asked.get("tools"))
    for entry in as_list(asked.get("input")):
        if as_object(entry).get("type") == "additional_tools":
            listed = [*listed, *as_list(as_object(entry).get("tools"))]
    for tool in map(as_object, listed):
        kind, name = tool.get("type"), tool.get("name")
        if kind == "namespace" and isinstance(name, str):
            _declare(tools, name, as_list(tool.get("tools")))
        else:
            _declare(tools, _WITHOUT_NAMESPACE, [tool])
    return tools


def _declare(tools: dict[tuple[str, str], str], space: str, listed: list[Any]) -> None:
    for tool in map(as_object, listed):
        kind = tool.get("type")
        name = tool.get("name") or (kind if kind == "tool_search" else None)
        if isinstance(name, str) and isinstance(kind, str):
            tools[space, name] = kind


def flattened(space: str, name: str) -> tuple[str, ...]:
    """How a namespaced tool is called by those who know no namespaces."""
    return (f"{space}__{name}", f"{space}.{name}", f"{space}{name}") if space else ()


def _call(event: Event) -> JSON:
    return event.spoken if event.kind in CALLS else {}


def _arguments(event: Event) -> str | None:
    """The arguments of a function call that was not cut off."""
    call = _call(event)
    if call.get("type") != "function_call" or call.get("status") == "incomplete":
        return None
    text = call.get("arguments")
    return text if isinstance(text, str) else None


def _hashable(place: tuple[Any, Any]) -> bool:
    return all(isinstance(one, str) for one in place)
