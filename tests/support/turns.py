"""One turn without a network: a provider's bytes in, the client's events out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count, pairwise
from typing import Any

import msgspec

from anyturn.translate.adaptations import Adaptations
from anyturn.translate.chat_to_compaction import ChatToCompaction
from anyturn.translate.chat_to_responses import ChatToResponses
from anyturn.translate.failures import failure_from_body
from anyturn.translate.snapshot import response_snapshot
from anyturn.translate.tools import ToolMap, convert_tools
from anyturn.wire import responses as r
from anyturn.wire.chat import decode_chunk
from anyturn.wire.chat_stream import ChunkReader, Frame, Read
from anyturn.wire.profile import Profile
from support.stream_rules import check_stream, decode_events

JSON = dict[str, Any]

PROFILE = Profile(name="acme", title="Acme")
TOOLS: list[JSON] = [
    {"type": "function", "name": "shell", "parameters": {"type": "object"}},
    {"type": "function", "name": "now"},
    {"type": "custom", "name": "apply_patch", "format": {"type": "text"}},
    {
        "type": "namespace",
        "name": "mcp__docs",
        "tools": [
            {"type": "function", "name": "search", "parameters": {"type": "object"}},
            {"type": "custom", "name": "note"},
        ],
    },
]
Machine = ChatToResponses | ChatToCompaction
REQUEST: JSON = {"model": "gpt-oss-120b", "instructions": "Be brief.", "tools": TOOLS}


class Run:
    """What came of one provider stream."""

    def __init__(self, machine: Machine, events: list[r.Event]) -> None:
        self.machine = machine
        self.events = events
        self.wire = b"".join(map(r.encode_event, events))
        self.decoded = decode_events(self.wire)

    def check(self) -> JSON:
        """The terminal response of a stream that keeps every rule."""
        return check_stream(self.decoded)

    @property
    def types(self) -> list[str]:
        """The events' types without `response.`, deltas of a kind in a row told once."""
        types: list[str] = []
        for event in self.decoded:
            name = event["type"].removeprefix("response.")
            if not (name.endswith("delta") and types and types[-1] == name):
                types.append(name)
        return types

    def done_items(self) -> list[JSON]:
        """The items that the client was told are whole."""
        return [e["item"] for e in self.decoded if e["type"] == "response.output_item.done"]


def new_machine(
    *,
    tools: list[JSON] | None = None,
    profile: Profile = PROFILE,
    summary: bool = False,
    seal: bool = False,
    request_bytes: int = 400,
    compacts: bool = False,
) -> Machine:
    """A machine with a clock that stands still and ids that count."""
    numbers = count(1)

    def new_id(prefix: str) -> str:
        return f"{prefix}_new{next(numbers)}"

    answer = ChatToResponses(
        response_snapshot(REQUEST, response_id="resp_1", created_at=1000, model="gpt-oss-120b"),
        tool_map(TOOLS if tools is None else tools),
        profile,
        new_id=new_id,
        now=lambda: 1002,
        reasoning_as_summary=summary,
        seal_reasoning=seal,
        request_bytes=request_bytes,
    )
    return ChatToCompaction(answer, profile, new_id=new_id) if compacts else answer


def tool_map(tools: list[JSON]) -> ToolMap:
    """The map of these tools."""
    return convert_tools(tools, PROFILE, Adaptations()).map


def run_blocks(blocks: Iterable[bytes], **options: Any) -> Run:
    """Translate a stream that arrives in these blocks, to its end."""
    machine, reader = new_machine(**options), ChunkReader()
    events = machine.start()
    for block in blocks:
        if reader.done or machine.terminal is not None:
            break
        events += _translate(machine, reader.feed(block))
    events += _translate(machine, reader.close())
    return Run(machine, events + machine.end())


def run_chunks(*chunks: JSON, **options: Any) -> Run:
    """Translate these chunks and `[DONE]`, and hold the result against the rules."""
    run = run_blocks([sse_stream(*chunks)], **options)
    run.check()
    return run


def sse_stream(*chunks: JSON) -> bytes:
    """These chunks as a provider sends them."""
    frames = [b"data: %b\n\n" % msgspec.json.encode(chunk) for chunk in chunks]
    return b"".join(frames) + b"data: [DONE]\n\n"


def one_by_one(stream: bytes) -> Iterator[bytes]:
    """A stream that arrives byte by byte."""
    return (stream[i : i + 1] for i in range(len(stream)))


def split_at(stream: bytes, cuts: Iterable[int]) -> list[bytes]:
    """A stream that arrives in blocks which end at these offsets."""
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


def chunk(delta: JSON | None = None, finish: str | None = None, **members: Any) -> JSON:
    """One chunk with one choice."""
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "choices": [choice], **members}


def call_delta(arguments: Any = None, name: Any = None, **members: Any) -> JSON:
    """A delta with one entry of `tool_calls`."""
    function: JSON = {}
    if name is not None:
        function["name"] = name
    if arguments is not None:
        function["arguments"] = arguments
    return {"tool_calls": [{**members, "function": function}]}


def spoken(text: str = "Hi") -> JSON:
    """A chunk with text."""
    return chunk({"content": text})


def shell(arguments: str = "{}", **members: Any) -> JSON:
    """A chunk with a call of `shell`."""
    return chunk(call_delta(arguments, "shell", **{"index": 0, "id": "call_1", **members}))


def last(finish: str | None = "stop", **members: Any) -> JSON:
    """The chunk with the finish reason."""
    return chunk({}, finish, **members)


def told(item: JSON) -> Any:
    """What an output item tells: the texts of its parts, or what is called with what."""
    if item["type"] == "message":
        kinds = {"output_text": "text", "refusal": "refusal"}
        return [(kinds[p["type"]], p.get("text", p.get("refusal"))) for p in item["content"]]
    if item["type"] == "reasoning":
        parts = item.get("content") or item["summary"]
        return [("reasoning", part["text"]) for part in parts]
    namespace = item.get("namespace", "")
    if item["type"] == "custom_tool_call":
        return ("freeform", item["name"], namespace, item["input"])
    return ("function", item["name"], namespace, item["arguments"])


def outputs(run: Run) -> list[Any]:
    """What the items of a whole answer tell."""
    return [told(item) for item in run.check()["output"]]


class Seen:
    """An event and its type."""

    def __init__(self, event: Any) -> None:
        self.event = event
        self.type_name = event.__struct_config__.tag


def receive(machine: Machine, body: JSON) -> list[Seen]:
    """The events that one chunk leads to."""
    frame = Frame(decode_chunk(msgspec.json.encode(body)))
    return [Seen(event) for event in machine.receive(frame)]


def _translate(machine: Machine, frames: list[Read]) -> list[r.Event]:
    events: list[r.Event] = []
    for frame in frames:
        if isinstance(frame, Frame):
            events += machine.receive(frame)
        else:
            events += machine.fail(failure_from_body(frame.data, PROFILE))
    return events
