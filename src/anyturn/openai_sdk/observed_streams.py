"""The SDK's own stream classes, observed: a subclass for each, so that every type check holds.

The SDK makes the stream, now or when a raw response is parsed, and knows nothing of the watch; so
the watch is kept beside the HTTP response until the stream begins.
"""

from __future__ import annotations

import sys
import types
from collections.abc import AsyncIterator, Iterator
from functools import cache
from typing import Any, get_origin
from weakref import WeakKeyDictionary

from anyturn.openai_sdk.tracker import StreamingToolCallTracker
from anyturn.openai_sdk.watch import AnswerWatch

_WATCHES: WeakKeyDictionary[Any, AnswerWatch] = WeakKeyDictionary()
_OWN = "_anyturn_watch"


def expect_stream(response: Any, watch: AnswerWatch) -> None:
    """Let `watch` see the stream that is or will be made of an HTTP response."""
    _WATCHES[response] = watch


def is_observed(value: Any) -> bool:
    """Whether `value` is a stream of an observed class."""
    return hasattr(type(value), _OWN)


@cache
def observed_stream(kind: Any) -> Any:
    """Return an observed subclass of `Stream[T]`, `AsyncStream[T]` or a subclass of one of them.

    The same for the same kind: classes are made once, not for each request. What is none of these
    comes back as it is.
    """
    openai = sys.modules["openai"]
    origin = get_origin(kind)
    if origin is None and isinstance(kind, type):
        origin = kind
    elif origin not in (openai.Stream, openai.AsyncStream):
        return kind
    if issubclass(origin, openai.AsyncStream):
        members = _async_members(origin)
    elif issubclass(origin, openai.Stream):
        members = _sync_members(origin)
    else:
        return kind
    members.update(
        {
            _OWN: None,
            "_stream": property(lambda self: self),
            "__module__": origin.__module__,
            "__qualname__": origin.__qualname__,
            "__doc__": origin.__doc__,
        }
    )
    observed = types.new_class(origin.__name__, (kind,), {}, lambda body: body.update(members))
    StreamingToolCallTracker.register(observed)
    return observed


def _watch_of(stream: Any) -> AnswerWatch | None:
    watch: AnswerWatch | None = getattr(stream, _OWN)
    if watch is None:
        watch = _WATCHES.pop(stream.response, None)
        setattr(stream, _OWN, watch)
    return watch


def _sync_members(origin: Any) -> dict[str, Any]:
    def __stream__(self: Any) -> Iterator[Any]:
        return _Chunks(origin.__stream__(self), self)

    def close(self: Any) -> None:
        watch = _watch_of(self)
        if watch is not None:
            watch.leave()
        origin.close(self)

    return {"__stream__": __stream__, "close": close}


def _async_members(origin: Any) -> dict[str, Any]:
    def __stream__(self: Any) -> AsyncIterator[Any]:
        return _AsyncChunks(origin.__stream__(self), self)

    async def close(self: Any) -> None:
        watch = _watch_of(self)
        if watch is not None:
            watch.leave()
        await origin.close(self)

    return {"__stream__": __stream__, "close": close}


class _Watched:
    """The SDK's generator of chunks, for everything but the next chunk.

    An object and no generator around the generator: the event loop finalises abandoned async
    generators one by one, and one that awaits the closing of another collides with that.
    """

    __slots__ = ("__weakref__", "_chunks", "_stream", "_watch")

    def __init__(self, chunks: Any, stream: Any) -> None:
        self._chunks = chunks
        self._stream = stream
        self._watch: AnswerWatch | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chunks, name)

    def __del__(self) -> None:
        # Thrown away before its end, or after it: then this does nothing.
        if self._watch is not None:
            self._watch.leave()

    def _begin(self) -> None:
        # Not before the first chunk is wanted: the watch comes after the stream is made.
        if self._stream is not None:
            self._watch, self._stream = _watch_of(self._stream), None

    def _failed(self, error: BaseException) -> None:
        if self._watch is not None:
            self._watch.fail(error)

    def _ended(self) -> None:
        if self._watch is not None:
            self._watch.end()


class _Chunks(_Watched):
    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._watch is None:
            self._begin()
        try:
            chunk = next(self._chunks)
        except StopIteration:
            self._ended()
            raise
        except BaseException as error:
            self._failed(error)
            raise
        if self._watch is not None:
            self._watch.see(chunk)
        return chunk


class _AsyncChunks(_Watched):
    __slots__ = ()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self._watch is None:
            self._begin()
        try:
            chunk = await self._chunks.__anext__()
        except StopAsyncIteration:
            self._ended()
            raise
        except BaseException as error:
            self._failed(error)
            raise
        if self._watch is not None:
            self._watch.see(chunk)
        return chunk
