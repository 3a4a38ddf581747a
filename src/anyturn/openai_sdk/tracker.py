"""Any stream of chunks or events, tracked: also plain mocks and generators."""

from __future__ import annotations

import inspect
from abc import ABCMeta
from collections.abc import Awaitable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from anyturn.openai_sdk.events import Api, OnEvent, ToolCall
from anyturn.openai_sdk.report import Listeners, Logger, Report
from anyturn.openai_sdk.requests import read_body
from anyturn.openai_sdk.watch import AnswerWatch


class StreamingToolCallTracker(metaclass=ABCMeta):  # noqa: B024 - for virtual subclasses
    """A stream that logs its tool calls as they come, and hands out every chunk unchanged.

        async for chunk in StreamingToolCallTracker(stream, request={"tools": tools}):
            ...

    Iterate, close and enter it as the stream itself, sync or async; what it does not know it takes
    from the stream. `request` is what the request was made with (`model`, `tools`, ...), for the
    findings that need it. Streams of an intercepted client are instances too (virtual ones: they
    remain the SDK's own class).
    """

    def __init__(
        self,
        stream: Any,
        *,
        on_event: OnEvent | None = None,
        logger: Logger | None = None,
        request: Mapping[str, Any] | None = None,
    ) -> None:
        sent = read_body(_api_of(request), request) if request is not None else None
        watch = AnswerWatch(Report(Listeners(on_event, logger)), sent)
        self._begin(stream, watch)

    @classmethod
    def watching(cls, stream: Any, watch: AnswerWatch) -> StreamingToolCallTracker:
        """Wrap `stream` for a watch that exists already."""
        tracker = cls.__new__(cls)
        tracker._begin(stream, watch)
        return tracker

    def _begin(self, stream: Any, watch: AnswerWatch) -> None:
        self._stream = stream
        self._watch = watch
        self._iterator: Any = None
        self._is_async = False

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls as far as they have come."""
        return self._watch.calls

    @property
    def finish_reason(self) -> str:
        """The provider's word, '' before it came."""
        return self._watch.finish_reason

    def __getattr__(self, name: str) -> Any:
        if name in ("_stream", "_watch"):
            raise AttributeError(name)
        return getattr(self._stream, name)

    # -- async

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._iterator is None:
            self._is_async = True
            begin = getattr(self._stream, "__aiter__", None)
            self._iterator = begin() if begin is not None else self._stream
        try:
            chunk = await self._iterator.__anext__()
        except StopAsyncIteration:
            self._watch.end()
            raise
        except BaseException as error:
            self._watch.fail(error)
            raise
        self._watch.see(chunk)
        return chunk

    async def __aenter__(self) -> Self:
        enter = getattr(self._stream, "__aenter__", None)
        if enter is not None:
            await enter()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._watch.leave()
        leave = getattr(self._stream, "__aexit__", None)
        if leave is not None:
            await leave(kind, error, traceback)
        else:
            await self.aclose()

    async def aclose(self) -> None:
        """Close the stream, however it is closed."""
        self._watch.leave()
        close = getattr(self._stream, "aclose", None) or getattr(self._stream, "close", None)
        result = close() if close is not None else None
        if inspect.isawaitable(result):
            await result

    def close(self) -> Awaitable[Any] | None:
        """Close the stream. To be awaited if the stream is async, as with the SDK's own."""
        self._watch.leave()
        close = getattr(self._stream, "close", None) or getattr(self._stream, "aclose", None)
        result = close() if close is not None else None
        if inspect.isawaitable(result):
            return result
        # A test double may have a plain `close` on an async stream.
        return _nothing() if self._is_async else None

    # -- sync

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._iterator is None:
            self._iterator = iter(self._stream)
        try:
            chunk = next(self._iterator)
        except StopIteration:
            self._watch.end()
            raise
        except BaseException as error:
            self._watch.fail(error)
            raise
        self._watch.see(chunk)
        return chunk

    def __enter__(self) -> Self:
        enter = getattr(self._stream, "__enter__", None)
        if enter is not None:
            enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._watch.leave()
        leave = getattr(self._stream, "__exit__", None)
        if leave is not None:
            leave(kind, error, traceback)
        else:
            self.close()


async def _nothing() -> None:
    return None


def _api_of(request: Mapping[str, Any]) -> Api | None:
    if "messages" in request:
        return "chat"
    return "responses" if "input" in request else None
