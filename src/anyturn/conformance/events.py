"""What a client reads, one at a time, and the names that the Responses API gives to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from anyturn.conformance.turn import Item, Part

JSON = dict[str, Any]

# What is no event of the API has a type of our own, which no JSON can claim: types of events hold
# no spaces.
HEAD = "( head )"
DONE = "( done )"
END = "( end )"
UNREADABLE = "( unreadable )"
UNTYPED = "( untyped )"
CHAT = "( chat )"
NO_STREAM = "( no stream )"
TOO_LONG = "( too long )"
COMPARED = "( compared )"
PROBED = "( probed )"

CREATED = "response.created"
IN_PROGRESS = "response.in_progress"
ADDED = "response.output_item.added"
ITEM_DONE = "response.output_item.done"
PART_ADDED = frozenset({"response.content_part.added", "response.reasoning_summary_part.added"})
PART_DONE = frozenset({"response.content_part.done", "response.reasoning_summary_part.done"})
COMPLETED = "response.completed"
INCOMPLETE = "response.incomplete"
FAILED = "response.failed"
ERROR = "error"
TERMINAL = {COMPLETED: "completed", INCOMPLETE: "incomplete", FAILED: "failed"}

# Deltas of the text of a part, and the type of part they belong in.
TEXT_DELTA = {
    "response.output_text.delta": "output_text",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning_text",
    "response.reasoning.delta": "reasoning_text",
    "response.reasoning_summary_text.delta": "summary_text",
}
# Their done events, and the member with the words.
TEXT_DONE = {
    "response.output_text.done": "text",
    "response.refusal.done": "refusal",
    "response.reasoning_text.done": "text",
    "response.reasoning.done": "text",
    "response.reasoning_summary_text.done": "text",
}
# Deltas of what a call carries, and the type of item they belong in.
PAYLOAD_DELTA = {
    "response.function_call_arguments.delta": "function_call",
    "response.custom_tool_call_input.delta": "custom_tool_call",
}
PAYLOAD_DONE = {
    "response.function_call_arguments.done": "arguments",
    "response.custom_tool_call_input.done": "input",
}
PAYLOAD_OF = {"function_call": "arguments", "custom_tool_call": "input"}
DELTAS = frozenset({*TEXT_DELTA, *PAYLOAD_DELTA})
ANNOTATION = "response.output_text.annotation.added"
INSIDE = frozenset(
    {*DELTAS, *TEXT_DONE, *PAYLOAD_DONE, *PART_ADDED, *PART_DONE, ANNOTATION},
)
KNOWN = frozenset(
    {CREATED, "response.queued", IN_PROGRESS, ADDED, ITEM_DONE, ERROR, *TERMINAL, *INSIDE}
)
# Built-in tools have events of their own, and OpenAI adds to them; none of them carries output
# that another event does not.
_OF_BUILT_IN_TOOLS = re.compile(
    r"response\.(file_search_call|web_search_call|code_interpreter_call(_code)?|audio(\.transcript)?"
    r"|image_generation_call|mcp_call(_arguments)?|mcp_list_tools|computer_call|tool_search_call"
    r"|apply_patch_call(_operation_diff)?|(local_)?shell_call\w*)\.\w+"
)
# What keeps a connection alive, and what OpenAI's own backend sends to Codex.
_BESIDE = frozenset({"keepalive", "codex.rate_limits", "response.metadata"})

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

MESSAGE = "message"
REASONING = "reasoning"
CALLS = frozenset({"function_call", "custom_tool_call"})
ITEMS = frozenset(
    {
        *(MESSAGE, REASONING, *CALLS, "function_call_output", "custom_tool_call_output"),
        *("tool_search_call", "tool_search_output", "compaction", "program", "program_output"),
        *("web_search_call", "file_search_call", "code_interpreter_call", "computer_call"),
        *("image_generation_call", "mcp_list_tools", "mcp_call", "mcp_approval_request"),
        *("local_shell_call", "shell_call", "shell_call_output", "apply_patch_call"),
        *("apply_patch_call_output", "local_shell_call_output", "computer_call_output"),
        *("mcp_approval_response", "additional_tools"),
    }
)


def is_known(type: str) -> bool:
    """Whether OpenAI's clients know this type of event, or are known to bear it."""
    return type in KNOWN or type in _BESIDE or _OF_BUILT_IN_TOOLS.fullmatch(type) is not None


class Event(msgspec.Struct):
    """One event, or what stood in its place.

    `number` counts from 0 over all that was read. `item` and `part` are what it speaks of, as the
    stream announced them; `claimed_id` is set where it names that item by another id.
    """

    type: str
    body: JSON
    number: int
    name: str = ""
    """What the `event:` line says, where there is one."""
    raw: bytes = b""
    ended: bool = True
    """Whether the blank line that ends a message came."""
    item: Item | None = None
    part: Part | None = None
    claimed_id: str | None = None

    @property
    def spoken(self) -> JSON:
        """The `item` that it carries, {} where there is none."""
        return as_object(self.body.get("item"))

    @property
    def kind(self) -> str:
        """The type of the item that it carries, '' where there is none."""
        kind = self.spoken.get("type")
        return kind if isinstance(kind, str) else ""

    @property
    def response(self) -> JSON:
        """The `response` that it carries, {} where there is none."""
        return as_object(self.body.get("response"))

    def text(self, member: str) -> str:
        """A member that is text, '' where it is not."""
        value = self.body.get(member)
        return value if isinstance(value, str) else ""

    def index(self, member: str = "output_index") -> int | None:
        """A member that is an index, None where it is not."""
        value = self.body.get(member)
        return value if type(value) is int and value >= 0 else None


def as_object(value: Any) -> JSON:
    """`value` if it is a JSON object, else {}."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """`value` if it is a JSON array, else []."""
    return value if isinstance(value, list) else []


def type_of(body: Mapping[str, Any]) -> str:
    """The type of a JSON object in a stream: its own, or one of ours."""
    named = body.get("type")
    if isinstance(named, str) and named and " " not in named:
        return named
    kind = body.get("object")
    if "choices" in body or (isinstance(kind, str) and kind.startswith("chat.completion")):
        return CHAT
    return UNTYPED


def plain(text: str, limit: int = 400) -> str:
    """A text that a terminal and a file can bear: cut, its control characters escaped."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    safe = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), cut)
    return safe.encode("utf-8", "replace").decode()


def encoded(value: Any) -> bytes:
    """A value as JSON with sorted keys; its `repr` where it cannot be JSON."""
    try:
        return msgspec.json.encode(value, order="sorted")
    except (TypeError, ValueError, OverflowError, RecursionError):
        return repr(value)[:4096].encode("utf-8", "replace")


def shown(value: Any, limit: int = 160) -> str:
    """A JSON value as text, cut."""
    if isinstance(value, str):
        text = value
    else:
        try:
            text = msgspec.json.encode(value).decode()
        except (TypeError, ValueError, OverflowError, RecursionError):
            text = encoded(value).decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"
