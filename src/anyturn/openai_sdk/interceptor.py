"""An OpenAI client, observed: the same object, with a subclass of its class.

Requests of the Chat Completions and the Responses API pass `request()` of the client, whichever way
they were made: `create`, `parse`, `stream`, raw or streaming responses. The subclass reports them
there and has the SDK make observed streams (`observed_streams`). Copies (`with_options`) are made
with the class of their original, so they stay observed (clients.md section 2.3).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Self, TypeVar
from weakref import WeakKeyDictionary

import msgspec

from anyturn.openai_sdk.events import OnEvent
from anyturn.openai_sdk.observed_streams import expect_stream, is_observed, observed_stream
from anyturn.openai_sdk.redaction import secrets_in
from anyturn.openai_sdk.report import Listeners, Logger, Report
from anyturn.openai_sdk.requests import read_request
from anyturn.openai_sdk.tracker import StreamingToolCallTracker
from anyturn.openai_sdk.watch import AnswerWatch

Client = TypeVar("Client")

_LISTENERS: WeakKeyDictionary[Any, Listeners] = WeakKeyDictionary()
_DOUBLES: WeakKeyDictionary[Any, list[tuple[Any, Any]]] = WeakKeyDictionary()
"""Test doubles of clients → their resources and what `create` was."""
_OWN = "_anyturn_original"


def intercept_llm_requests(
    client: Client,
    *,
    on_event: OnEvent | None = None,
    logger: Logger | None = None,
    log_messages: bool = False,
) -> Client:
    """Return `client`, now observed: an `OpenAI`, `AsyncOpenAI` or Azure client, or a test double.

    Its requests, tool calls and failures are logged to `logger` (`anyturn.openai_sdk`) and told to
    `on_event`. No chunk, exception or type changes, and nothing that goes wrong here reaches the
    program. A client that is observed already gets these settings instead of its earlier ones.
    Messages are counted; their contents are only logged with `log_messages`. Raises `TypeError`
    for what is no such client.
    """
    known = _listeners_of(client)
    if known is not None:
        known.set(on_event, logger, log_messages)
        return client
    listeners = Listeners(on_event, logger, log_messages)
    if _is_sdk_client(client):
        kind: Any = type(client)
        client.__class__ = observed_client(kind)
    else:
        _intercept_double(client, listeners)
    _LISTENERS[client] = listeners
    return client


def stop_intercepting(client: Client) -> Client:
    """Undo `intercept_llm_requests`, for the copies made of `client` too; without it, do nothing.

    Streams that are still open are not reported any further.
    """
    listeners = _listeners_of(client)
    if listeners is None:
        return client
    del _LISTENERS[client]
    listeners.is_on = False
    for resource, create in _DOUBLES.pop(client, ()):
        resource.create = create
    original = getattr(type(client), _OWN, None)
    if original is not None:
        client.__class__ = original
    return client


@contextmanager
def intercepting(
    client: Client,
    *,
    on_event: OnEvent | None = None,
    logger: Logger | None = None,
    log_messages: bool = False,
) -> Iterator[Client]:
    """Observe `client` for the length of a `with` block, sync or async; it is not closed."""
    yield_to = intercept_llm_requests(
        client, on_event=on_event, logger=logger, log_messages=log_messages
    )
    try:
        yield yield_to
    finally:
        stop_intercepting(client)


def _listeners_of(client: Any) -> Listeners | None:
    try:
        return _LISTENERS.get(client)
    except TypeError:  # no client: it cannot even be remembered
        return None


def _is_sdk_client(client: Any) -> bool:
    # Who has an SDK client has imported the SDK; nobody else needs it.
    openai = sys.modules.get("openai")
    return openai is not None and isinstance(client, openai.OpenAI | openai.AsyncOpenAI)


# ---------------------------------------------------------------- the life of one request


def _begin(client: Any, options: Any) -> AnswerWatch | None:
    """Report a request that leaves; None when it is none of ours. Never raises."""
    try:
        listeners = _listeners_of(client)
        if listeners is None or not listeners.is_on or options.method.lower() != "post":
            return None
        body = options.json_data
        extra = getattr(options, "extra_json", None)
        if isinstance(body, Mapping) and isinstance(extra, Mapping):
            body = {**body, **extra}
        return _report(listeners, options.url, body, _secrets(client, options.headers))
    except Exception:
        return None


def _report(
    listeners: Listeners, path: str, body: Any, secrets: tuple[str, ...]
) -> AnswerWatch | None:
    sent = read_request(path, body)
    if sent is None:
        return None
    report = Report(listeners, secrets)
    report.sent(sent)
    return AnswerWatch(report, sent, streamed=sent.stream)


def _secrets(client: Any, headers: Any) -> tuple[str, ...]:
    own = (
        getattr(client, "api_key", None),
        getattr(client, "admin_api_key", None),
        getattr(client, "_azure_ad_token", None),
    )
    told = (getattr(client, "_custom_headers", None), headers)
    found = [secret for secret in own if isinstance(secret, str)]
    for mapping in told:
        if isinstance(mapping, Mapping):
            found += secrets_in(mapping)
    return tuple(found)


def _receive(watch: AnswerWatch, result: Any, how: dict[str, Any]) -> None:
    """Take what the SDK returns: a stream, an object, or a raw response of either. Never raises."""
    try:
        if is_observed(result):
            expect_stream(result.response, watch)
            return
        raw = getattr(result, "http_response", None)
        if raw is None:
            watch.see_whole(result)
        elif how.get("stream"):
            expect_stream(raw, watch)
        elif raw.is_stream_consumed or hasattr(raw, "_content"):
            watch.see_whole(msgspec.json.decode(raw.content))
        else:
            watch.hand_over()
    except Exception as error:
        watch.give_up(error)


def _observe_streams(how: dict[str, Any]) -> dict[str, Any]:
    kind = how.get("stream_cls")
    return how if kind is None else {**how, "stream_cls": observed_stream(kind)}


# ---------------------------------------------------------------- classes of clients


@cache
def observed_client(kind: Any) -> Any:
    """Return the observed subclass of a client's class; the same one for the same class."""
    is_async = issubclass(kind, sys.modules["openai"].AsyncOpenAI)
    observed = _async_class(kind) if is_async else _sync_class(kind)
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(observed, name, getattr(kind, name))
    setattr(observed, _OWN, kind)
    return observed


def _copied(original: Any, copy: Any) -> Any:
    listeners = _listeners_of(original)
    if listeners is not None:
        _LISTENERS[copy] = listeners
    return copy


def _sync_class(kind: Any) -> Any:
    class Observed(kind):  # type: ignore[misc]
        def request(self, cast_to: Any, options: Any, *rest: Any, **how: Any) -> Any:
            watch = _begin(self, options)
            if watch is None:
                return super().request(cast_to, options, *rest, **how)
            try:
                result = super().request(cast_to, options, *rest, **_observe_streams(how))
            except BaseException as error:
                watch.fail(error)
                raise
            _receive(watch, result, how)
            return result

        def copy(self, *given: Any, **options: Any) -> Self:
            copied: Self = _copied(self, super().copy(*given, **options))
            return copied

        with_options = copy

        def __exit__(self, *error: Any) -> None:
            super().__exit__(*error)
            stop_intercepting(self)

    return Observed


def _async_class(kind: Any) -> Any:
    class Observed(kind):  # type: ignore[misc]
        async def request(self, cast_to: Any, options: Any, *rest: Any, **how: Any) -> Any:
            watch = _begin(self, options)
            if watch is None:
                return await super().request(cast_to, options, *rest, **how)
            try:
                result = await super().request(cast_to, options, *rest, **_observe_streams(how))
            except BaseException as error:
                watch.fail(error)
                raise
            _receive(watch, result, how)
            return result

        def copy(self, *given: Any, **options: Any) -> Self:
            copied: Self = _copied(self, super().copy(*given, **options))
            return copied

        with_options = copy

        async def __aexit__(self, *error: Any) -> None:
            await super().__aexit__(*error)
            stop_intercepting(self)

    return Observed


# ---------------------------------------------------------------- test doubles


def _intercept_double(client: Any, listeners: Listeners) -> None:
    """Wrap `create` of what looks like a client: a mock, or somebody's own class."""
    chat = getattr(getattr(client, "chat", None), "completions", None)
    resources = (("/chat/completions", chat), ("/responses", getattr(client, "responses", None)))
    replaced: list[tuple[Any, Any]] = []
    for path, resource in resources:
        create = getattr(resource, "create", None)
        if resource is not None and callable(create):
            resource.create = _wrapped(create, path, listeners, _secrets(client, None))
            replaced.append((resource, create))
    if not replaced:
        raise TypeError(f"{type(client).__name__} is no OpenAI client: nothing to intercept")
    _DOUBLES[client] = replaced


def _wrapped(create: Any, path: str, listeners: Listeners, secrets: tuple[str, ...]) -> Any:
    def observed(*args: Any, **body: Any) -> Any:
        try:
            watch = _report(listeners, path, body, secrets) if listeners.is_on else None
        except Exception:
            watch = None
        if watch is None:
            return create(*args, **body)
        is_stream = body.get("stream") is True
        try:
            result = create(*args, **body)
        except BaseException as error:
            watch.fail(error)
            raise
        if inspect.isawaitable(result):
            return _awaited(result, watch, is_stream)
        return _of_double(result, watch, is_stream)

    return observed


async def _awaited(pending: Awaitable[Any], watch: AnswerWatch, is_stream: bool) -> Any:
    try:
        result = await pending
    except BaseException as error:
        watch.fail(error)
        raise
    return _of_double(result, watch, is_stream)


def _of_double(result: Any, watch: AnswerWatch, is_stream: bool) -> Any:
    # A mock has every attribute, so here only the request tells.
    if is_stream:
        return StreamingToolCallTracker.watching(result, watch)
    watch.see_whole(result)
    return result
