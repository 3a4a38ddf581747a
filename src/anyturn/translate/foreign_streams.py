"""Streams of another API where those of the Responses API should come (codex-cli.md section 2.5).

Codex shows nothing of such a stream and runs nothing. What it says is not in doubt, so it becomes
the stream that it should have been: Anthropic's blocks become chunks of Chat Completions, and
chunks become events as those of a Chat provider do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from anyturn.translate.built_in_tools import ToolKind
from anyturn.translate.chat_to_responses import ChatToResponses
from anyturn.translate.failures import failure_from_body
from anyturn.translate.tool_map import Tool, ToolMap
from anyturn.wire import responses as r
from anyturn.wire.chat_stream import ChunkReader, Unreadable
from anyturn.wire.profile import Profile
from anyturn.wire.server_events import EventReader, ReadEvent

JSON = dict[str, Any]

_APIS = {
    "chat.completion.chunk": "Chat Completions",
    "chat.completion": "Chat Completions",
    "message_start": "Anthropic's Messages",
    "content_block_start": "Anthropic's Messages",
    "content_block_delta": "Anthropic's Messages",
    "content_block_stop": "Anthropic's Messages",
    "message_delta": "Anthropic's Messages",
    "message_stop": "Anthropic's Messages",
}
_FINISHES = {
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}


def other_api(kind: str) -> str:
    """The API whose streams hold such messages; empty for none."""
    return _APIS.get(kind, "")


class AnyTool(ToolMap):
    """Functions of every name: what may be called is known to whoever reads the events."""

    def resolve(self, chat_name: str) -> Tool | None:
        """The function of this name."""
        return Tool(chat_name, ToolKind.FUNCTION, chat_name)


class ForeignStream:
    """One answer in the form of another API. `machine` makes its events, without a tool map."""

    def __init__(self, machine: ChatToResponses, profile: Profile) -> None:
        self._machine = machine
        self._profile = profile
        self._chunks = ChunkReader()
        self._events = EventReader()
        self._calls: dict[Any, int] = {}
        self._usage: JSON = {}
        self._is_begun = False

    @property
    def finish(self) -> object | None:
        """Why the server stopped, once it has."""
        return self._machine.finish

    def receive(self, body: JSON) -> list[ReadEvent]:
        """The events that one message of the other API means."""
        told = [] if self._is_begun else self._machine.start()
        self._is_begun = True
        kind = str(body.get("type"))
        chunks = [body] if kind.startswith("chat.") else self._chunks_of(kind, body)
        for chunk in chunks:
            told += self._take(chunk)
        return self._read(told)

    def end(self, *, is_whole: bool) -> list[ReadEvent]:
        """The last events; `is_whole` when the server said so in words of its own."""
        told: list[r.Event] = []
        if is_whole and self._machine.finish is None:
            told = self._take(_chunk({}, "stop"))
        return self._read(told + self._machine.end())

    def _take(self, chunk: JSON) -> list[r.Event]:
        read = self._chunks.read(msgspec.json.encode(chunk), "")
        if isinstance(read, Unreadable):
            return self._machine.fail(failure_from_body(read.data, self._profile))
        return self._machine.receive(read)

    def _read(self, events: list[r.Event]) -> list[ReadEvent]:
        return [self._events.read(r.encode_json(event), "") for event in events]

    def _chunks_of(self, kind: str, body: JSON) -> Iterator[JSON]:
        """The chunks that one message of Anthropic's means."""
        if kind == "content_block_start":
            yield from self._begin(body.get("index"), _object(body.get("content_block")))
        elif kind == "content_block_delta":
            yield from self._go_on(body.get("index"), _object(body.get("delta")))
        elif kind == "message_delta":
            if reason := _object(body.get("delta")).get("stop_reason"):
                yield _chunk({}, _FINISHES.get(str(reason), "stop"))
        elif kind == "message_stop" and self._machine.finish is None:
            yield _chunk({}, "stop")
        usage = body.get("usage") or _object(body.get("message")).get("usage")
        if isinstance(usage, dict):
            yield {"choices": [], "usage": self._counted(usage)}

    def _begin(self, index: Any, block: JSON) -> Iterator[JSON]:
        if block.get("type") != "tool_use":
            yield from self._go_on(index, block)
            return
        place = self._calls.setdefault(str(index), len(self._calls))
        given = block.get("input")
        arguments = msgspec.json.encode(given).decode() if given else ""
        function = {"name": block.get("name"), "arguments": arguments}
        call = {"index": place, "id": block.get("id"), "type": "function", "function": function}
        yield _chunk({"tool_calls": [call]})

    def _go_on(self, index: Any, delta: JSON) -> Iterator[JSON]:
        if "partial_json" in delta and str(index) in self._calls:
            function = {"arguments": delta["partial_json"]}
            call = {"index": self._calls[str(index)], "function": function}
            yield _chunk({"tool_calls": [call]})
        elif delta.get("text"):
            yield _chunk({"content": delta["text"]})
        elif delta.get("thinking"):
            yield _chunk({"reasoning_content": delta["thinking"]})

    def _counted(self, usage: JSON) -> JSON:
        """Both counts: the message begins with one, and ends with the other."""
        self._usage |= usage
        return {
            "prompt_tokens": self._usage.get("input_tokens"),
            "completion_tokens": self._usage.get("output_tokens"),
        }


def _chunk(delta: JSON, finish: str | None = None) -> JSON:
    return {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def _object(value: Any) -> JSON:
    return value if isinstance(value, dict) else {}
