"""What the OpenAI SDK hands out, made without a request: chunks, events and a request's body."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

ADD_TASK = {
    "type": "function",
    "function": {
        "name": "add_task",
        "parameters": {
            "type": "object",
            "properties": {"title": {"type": "string"}, "priority": {"type": "integer"}},
            "required": ["title"],
        },
    },
}
LIST_TASKS = {
    "type": "function",
    "function": {"name": "list_tasks", "parameters": {"type": "object", "properties": {}}},
}
BODY: dict[str, Any] = {
    "model": "gpt-oss-120b",
    "messages": [{"role": "user", "content": "Add a task."}],
    "tools": [ADD_TASK, LIST_TASKS],
}


def delta(
    *,
    content: Any = None,
    index: Any = None,
    id: Any = None,
    name: Any = None,
    arguments: Any = None,
    finish: str | None = None,
    **more: Any,
) -> SimpleNamespace:
    """A chunk with one choice; a call's delta when any of its members is given."""
    calls = None
    if any(member is not None for member in (index, id, name, arguments)):
        function = SimpleNamespace(name=name, arguments=arguments)
        calls = [SimpleNamespace(index=index, id=id, function=function)]
    told = SimpleNamespace(content=content, tool_calls=calls, **more)
    return SimpleNamespace(choices=[SimpleNamespace(index=0, delta=told, finish_reason=finish)])


def one_call(arguments: str = '{"title":"Test"}', finish: str | None = "tool_calls") -> list[Any]:
    """The chunks of one call, its arguments in two pieces."""
    half = len(arguments) // 2
    chunks = [
        delta(index=0, id="call_1", name="add_task", arguments=""),
        delta(index=0, arguments=arguments[:half]),
        delta(index=0, arguments=arguments[half:]),
    ]
    return chunks if finish is None else [*chunks, delta(finish=finish)]


class AsyncDouble:
    """A stream of an async client, as plain as a test double can be."""

    def __init__(self, chunks: Iterable[Any], error: BaseException | None = None) -> None:
        self.response = SimpleNamespace(headers={"x-request-id": "req_1"})
        self.closed = 0
        self._chunks = iter(chunks)
        self._error = error

    def __aiter__(self) -> AsyncDouble:
        return self

    async def __anext__(self) -> Any:
        for chunk in self._chunks:
            return chunk
        raise self._error or StopAsyncIteration

    async def close(self) -> None:
        """Count it."""
        self.closed += 1


class Double:
    """A stream of a sync client."""

    def __init__(self, chunks: Iterable[Any], error: BaseException | None = None) -> None:
        self.closed = 0
        self._chunks = iter(chunks)
        self._error = error

    def __iter__(self) -> Double:
        return self

    def __next__(self) -> Any:
        for chunk in self._chunks:
            return chunk
        raise self._error or StopIteration

    def close(self) -> None:
        """Count it."""
        self.closed += 1
