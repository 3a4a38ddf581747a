"""The Responses API as it leaves us: parts, items, events and the response object.

Every struct encodes with its `type` first. Events are immutable snapshots (F51): nothing is
changed after it was handed out. Field sets follow responses-api.md sections 2.3 and 2.5; optional
members are left out rather than null, as clients' parsers demand.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from anyturn.wire.token_counts import InputDetails as InputDetails
from anyturn.wire.token_counts import OutputDetails as OutputDetails
from anyturn.wire.token_counts import Usage as Usage

# ---------------------------------------------------------------- parts


class OutputText(msgspec.Struct, tag="output_text", frozen=True):
    """A text part. `annotations` and `logprobs` are always present, as openai-python requires."""

    text: str
    annotations: tuple[Any, ...] = ()
    logprobs: tuple[Any, ...] = ()


class Refusal(msgspec.Struct, tag="refusal", frozen=True):
    """A refusal part."""

    refusal: str


class ReasoningText(msgspec.Struct, tag="reasoning_text", frozen=True):
    """A part of raw reasoning."""

    text: str


class SummaryText(msgspec.Struct, tag="summary_text", frozen=True):
    """A part of a reasoning summary."""

    text: str


Part: TypeAlias = OutputText | Refusal | ReasoningText | SummaryText

# ---------------------------------------------------------------- items


class MessageItem(msgspec.Struct, tag="message", frozen=True):
    """An assistant message. `phase` tells a preamble from the answer: Codex keeps it (F52)."""

    id: str
    status: str
    content: tuple[OutputText | Refusal, ...] = ()
    role: str = "assistant"
    phase: str | UnsetType = UNSET


class ReasoningItem(msgspec.Struct, tag="reasoning", frozen=True):
    """Reasoning. `summary` is always there (Codex drops the item without it), the rest if known."""

    id: str
    summary: tuple[SummaryText, ...] = ()
    content: tuple[ReasoningText, ...] | UnsetType = UNSET
    encrypted_content: str | UnsetType = UNSET
    status: str | UnsetType = UNSET


class FunctionCall(msgspec.Struct, tag="function_call", frozen=True):
    """A call of a function tool. `namespace` is set when the tool came inside one (F25)."""

    id: str
    call_id: str
    name: str
    arguments: str
    status: str
    namespace: str | UnsetType = UNSET


class CustomToolCall(msgspec.Struct, tag="custom_tool_call", frozen=True):
    """A call of a freeform tool: `input` is the raw text, not JSON (F24)."""

    id: str
    call_id: str
    name: str
    input: str
    status: str
    namespace: str | UnsetType = UNSET


class ToolSearchCall(msgspec.Struct, tag="tool_search_call", frozen=True):
    """A search for more tools, which the client runs (F29). `arguments` is an object."""

    id: str
    call_id: str
    arguments: Any
    status: str
    execution: str = "client"


class LocalShellCall(msgspec.Struct, tag="local_shell_call", frozen=True):
    """A command: `action` is `{"type": "exec", "command": [...], "env": {...}, ...}`."""

    id: str
    call_id: str
    action: Any
    status: str


class ShellCall(msgspec.Struct, tag="shell_call", frozen=True):
    """Command lines: `action` is `{"commands": [...], ...}`."""

    id: str
    call_id: str
    action: Any
    status: str


class ApplyPatchCall(msgspec.Struct, tag="apply_patch_call", frozen=True):
    """An edit of one file: `operation` is `{"type": "update_file", "path": ..., "diff": ...}`."""

    id: str
    call_id: str
    operation: Any
    status: str


BuiltInCall: TypeAlias = ToolSearchCall | LocalShellCall | ShellCall | ApplyPatchCall


class CompactionItem(msgspec.Struct, tag="compaction", frozen=True):
    """What stands for a whole history from now on. The schema has no `status` (section 2.2)."""

    id: str
    encrypted_content: str


Item: TypeAlias = (
    MessageItem | ReasoningItem | FunctionCall | CustomToolCall | BuiltInCall | CompactionItem
)

# ---------------------------------------------------------------- the response object


class ErrorBody(msgspec.Struct, frozen=True):
    """`response.error`."""

    code: str
    message: str


class IncompleteDetails(msgspec.Struct, frozen=True):
    """Why a response is incomplete: `max_output_tokens` or `content_filter`."""

    reason: str


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """The response object with all its required members (responses-api.md section 2.5)."""

    id: str
    object: str = "response"
    created_at: int
    status: str = "in_progress"
    completed_at: int | None = None
    background: bool = False
    error: ErrorBody | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: Any = msgspec.field(default_factory=dict)
    model: str
    output: tuple[Item, ...] = ()
    parallel_tool_calls: bool = True
    previous_response_id: str | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    prompt_cache_key: str | None = None
    reasoning: Any = None
    safety_identifier: str | None = None
    service_tier: str = "default"
    store: bool = False
    temperature: float = 1.0
    text: Any = None
    tool_choice: Any = "auto"
    tools: Any = ()
    top_logprobs: int = 0
    top_p: float = 1.0
    truncation: str = "disabled"
    usage: Usage | None = None
    conversation: Any | UnsetType = UNSET


class CompactedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `POST /responses/compact` (responses-api.md section 2.8)."""

    id: str
    object: str = "response.compaction"
    created_at: int
    output: Any
    usage: Usage | None


# ---------------------------------------------------------------- events


class Created(msgspec.Struct, tag="response.created", frozen=True):
    """The first event of a stream."""

    response: Response
    sequence_number: int


class Queued(msgspec.Struct, tag="response.queued", frozen=True):
    """The second event of a background response's stream."""

    response: Response
    sequence_number: int


class InProgress(msgspec.Struct, tag="response.in_progress", frozen=True):
    """The second event of a stream, the third of a background response's."""

    response: Response
    sequence_number: int


class Completed(msgspec.Struct, tag="response.completed", frozen=True):
    """Terminal: the answer is whole."""

    response: Response
    sequence_number: int


class Incomplete(msgspec.Struct, tag="response.incomplete", frozen=True):
    """Terminal: the model was stopped, by its token budget or by a filter."""

    response: Response
    sequence_number: int


class Failed(msgspec.Struct, tag="response.failed", frozen=True):
    """Terminal: the turn broke; `response.error` says how."""

    response: Response
    sequence_number: int


class StreamError(msgspec.Struct, tag="error", frozen=True):
    """The event before `response.failed`: OpenAI's documented flat form and its real nested one."""

    sequence_number: int
    code: str
    message: str
    error: Any
    param: str | None = None


class ItemAdded(msgspec.Struct, tag="response.output_item.added", frozen=True):
    """An item opens."""

    output_index: int
    item: Item
    sequence_number: int


class ItemDone(msgspec.Struct, tag="response.output_item.done", frozen=True):
    """An item is whole. Codex acts on this event and on no other (codex-cli.md section 0)."""

    output_index: int
    item: Item
    sequence_number: int


class PartAdded(msgspec.Struct, tag="response.content_part.added", frozen=True):
    """A content part opens."""

    item_id: str
    output_index: int
    content_index: int
    part: Part
    sequence_number: int


class PartDone(msgspec.Struct, tag="response.content_part.done", frozen=True):
    """A content part is whole."""

    item_id: str
    output_index: int
    content_index: int
    part: Part
    sequence_number: int


class TextDelta(msgspec.Struct, tag="response.output_text.delta", frozen=True, gc=False):
    """More text."""

    item_id: str
    output_index: int
    content_index: int
    delta: str
    sequence_number: int
    logprobs: tuple[Any, ...] = ()


class TextDone(msgspec.Struct, tag="response.output_text.done", frozen=True):
    """The text of a part is whole."""

    item_id: str
    output_index: int
    content_index: int
    text: str
    sequence_number: int
    logprobs: tuple[Any, ...] = ()


class AnnotationAdded(msgspec.Struct, tag="response.output_text.annotation.added", frozen=True):
    """A citation of the text part."""

    item_id: str
    output_index: int
    content_index: int
    annotation_index: int
    annotation: Any
    sequence_number: int


class RefusalDelta(msgspec.Struct, tag="response.refusal.delta", frozen=True):
    """More of a refusal."""

    item_id: str
    output_index: int
    content_index: int
    delta: str
    sequence_number: int


class RefusalDone(msgspec.Struct, tag="response.refusal.done", frozen=True):
    """A refusal is whole."""

    item_id: str
    output_index: int
    content_index: int
    refusal: str
    sequence_number: int


class ReasoningDelta(msgspec.Struct, tag="response.reasoning_text.delta", frozen=True, gc=False):
    """More raw reasoning, under OpenAI's event name (responses-api.md section 6.1)."""

    item_id: str
    output_index: int
    content_index: int
    delta: str
    sequence_number: int


class ReasoningDone(msgspec.Struct, tag="response.reasoning_text.done", frozen=True):
    """The raw reasoning of a part is whole."""

    item_id: str
    output_index: int
    content_index: int
    text: str
    sequence_number: int


class OpenReasoningDelta(msgspec.Struct, tag="response.reasoning.delta", frozen=True, gc=False):
    """More raw reasoning, under the name of the Open Responses schema (section 6.1)."""

    item_id: str
    output_index: int
    content_index: int
    delta: str
    sequence_number: int


class OpenReasoningDone(msgspec.Struct, tag="response.reasoning.done", frozen=True):
    """The raw reasoning of a part is whole, under the name of the Open Responses schema."""

    item_id: str
    output_index: int
    content_index: int
    text: str
    sequence_number: int


class SummaryPartAdded(msgspec.Struct, tag="response.reasoning_summary_part.added", frozen=True):
    """A part of a reasoning summary opens."""

    item_id: str
    output_index: int
    summary_index: int
    part: SummaryText
    sequence_number: int


class SummaryDelta(
    msgspec.Struct, tag="response.reasoning_summary_text.delta", frozen=True, gc=False
):
    """More of a reasoning summary."""

    item_id: str
    output_index: int
    summary_index: int
    delta: str
    sequence_number: int


class SummaryDone(msgspec.Struct, tag="response.reasoning_summary_text.done", frozen=True):
    """The text of a summary part is whole."""

    item_id: str
    output_index: int
    summary_index: int
    text: str
    sequence_number: int


class SummaryPartDone(msgspec.Struct, tag="response.reasoning_summary_part.done", frozen=True):
    """A summary part is whole."""

    item_id: str
    output_index: int
    summary_index: int
    part: SummaryText
    sequence_number: int


class ArgumentsDelta(
    msgspec.Struct, tag="response.function_call_arguments.delta", frozen=True, gc=False
):
    """More arguments of a function call."""

    item_id: str
    output_index: int
    delta: str
    sequence_number: int


class ArgumentsDone(msgspec.Struct, tag="response.function_call_arguments.done", frozen=True):
    """The arguments of a function call are whole."""

    item_id: str
    output_index: int
    name: str
    arguments: str
    sequence_number: int


class InputDelta(
    msgspec.Struct, tag="response.custom_tool_call_input.delta", frozen=True, gc=False
):
    """More input of a freeform call."""

    item_id: str
    output_index: int
    delta: str
    sequence_number: int


class InputDone(msgspec.Struct, tag="response.custom_tool_call_input.done", frozen=True):
    """The input of a freeform call is whole."""

    item_id: str
    output_index: int
    input: str
    sequence_number: int


class RelayedItem:
    """An item of a Responses server. It is handed on as `body` says, whatever that is."""

    __slots__ = ("body", "call_id", "id", "type")

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.id = str(body.get("id") or "")
        self.type = str(body.get("type") or "")
        self.call_id = str(body.get("call_id") or "")


class RelayedResponse:
    """The response of a Responses server; `body` is all of it."""

    __slots__ = ("body", "created_at", "id", "output", "status", "usage")

    def __init__(self, body: dict[str, Any], output: tuple[RelayedItem, ...]) -> None:
        created, usage = body.get("created_at"), body.get("usage")
        self.body = body
        self.id = str(body.get("id") or "")
        self.status = str(body.get("status") or "")
        self.created_at = int(created) if isinstance(created, int | float) else 0
        self.output = output
        self.usage = msgspec.convert(usage, Usage, strict=False) if usage else None


class Relayed(msgspec.Struct, frozen=True, gc=False):
    """An event of a Responses server: `data` is its JSON, as it came or as it was mended."""

    name: str
    data: bytes
    sequence_number: int


class RelayedDone(Relayed, frozen=True):
    """`response.output_item.done` of such a server."""

    item: RelayedItem


class RelayedTerminal(Relayed, frozen=True):
    """The terminal event of such a server."""

    response: RelayedResponse


AnyItem: TypeAlias = Item | RelayedItem
AnyResponse: TypeAlias = Response | RelayedResponse
Terminal: TypeAlias = Completed | Incomplete | Failed | RelayedTerminal
OwnEvent: TypeAlias = (
    Created
    | Queued
    | InProgress
    | Completed
    | Incomplete
    | Failed
    | StreamError
    | ItemAdded
    | ItemDone
    | PartAdded
    | PartDone
    | TextDelta
    | TextDone
    | AnnotationAdded
    | RefusalDelta
    | RefusalDone
    | ReasoningDelta
    | ReasoningDone
    | OpenReasoningDelta
    | OpenReasoningDone
    | SummaryPartAdded
    | SummaryDelta
    | SummaryDone
    | SummaryPartDone
    | ArgumentsDelta
    | ArgumentsDone
    | InputDelta
    | InputDone
)
Event: TypeAlias = OwnEvent | Relayed


def _as_given(value: Any) -> Any:
    """What other servers said is encoded as they said it."""
    if isinstance(value, RelayedItem | RelayedResponse):
        return value.body
    raise NotImplementedError(f"{type(value).__name__} has no JSON")


_encode = msgspec.json.Encoder(enc_hook=_as_given).encode


def encode_json(value: Any) -> bytes:
    """The JSON of an event, an item, a response, or of anything that holds them."""
    return value.data if isinstance(value, Relayed) else _encode(value)


def as_object(response: AnyResponse) -> dict[str, Any]:
    """The response as the object that a client reads."""
    body: dict[str, Any] = msgspec.json.decode(_encode(response))
    return body


def name_of(event: Event) -> str:
    """The event's type."""
    return event.name if isinstance(event, Relayed) else str(event.__struct_config__.tag)


def encode_event(event: Event) -> bytes:
    """One event as the server-sent message that a client reads."""
    if isinstance(event, Relayed):
        return b"event: %b\ndata: %b\n\n" % (event.name.encode(), event.data)
    name = event.__struct_config__.tag
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _encode(event))  # type: ignore[union-attr]
