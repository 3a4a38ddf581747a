from __future__ import annotations

import asyncio
import errno
import sys
import threading
from collections.abc import Callable
from functools import partial

import msgspec
import pytest

from anyturn.own_faults import log_fault_of_loop, log_what_nobody_catches, where_from
from anyturn.server.loop import open_loop
from anyturn.wire.request import parse_request

KEY = "planted-2a7d9f3b5c1e4860"


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def test_it_says_which_line_of_which_function_raised_what() -> None:
    told = where_from(raised(ValueError("x")))
    assert "in raised" in told
    assert "raise error from cause" in told
    assert told.splitlines()[-1].startswith("ValueError")


@pytest.mark.parametrize(
    "error",
    [
        ValueError(f"bad header: {KEY}"),
        KeyError(KEY),
        msgspec.ValidationError(KEY),
        TypeError(f"Cookie value should be str, got {KEY}"),
        OSError(errno.ENOENT, KEY, KEY),
        ExceptionGroup(KEY, [ValueError(KEY)]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_words_of_an_exception_are_told(error: BaseException) -> None:
    noted = raised(error)
    noted.add_note(KEY)
    told = where_from(noted)
    assert type(error).__name__ in told
    assert KEY not in told


def test_exceptions_behind_it_are_told_without_words_too() -> None:
    told = where_from(raised(RuntimeError("a"), raised(LookupError(KEY))))
    assert "LookupError" in told
    assert KEY not in told


def test_python_s_own_words_about_our_own_lines_are_told() -> None:
    """They name types and members, and without them a report could not be worked with."""
    with pytest.raises((AttributeError, TypeError)) as caught:
        parse_request(None)  # type: ignore[arg-type]
    assert str(caught.value) in where_from(caught.value)


def test_a_long_chain_ends() -> None:
    error = raised(ValueError("first"))
    for _ in range(50):
        error = raised(ValueError("next"), error)
    assert where_from(error).count("Traceback") == 5


def test_what_ends_a_thread_or_the_process_is_logged_without_words(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    log_what_nobody_catches()
    error = raised(ValueError(KEY))
    sys.excepthook(ValueError, error, error.__traceback__)
    thread = threading.Thread(target=raised_in_a_thread)
    thread.start()
    thread.join()
    assert caplog.text.count("ValueError") >= 2
    assert "in raised_in_a_thread" in caplog.text
    assert KEY not in caplog.text


def raised_in_a_thread() -> None:
    raise ValueError(KEY)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, open_loop], ids=["plain", "ours"])
def test_what_a_callback_was_called_with_is_not_logged(
    new_loop: Callable[[], asyncio.AbstractEventLoop], caplog: pytest.LogCaptureFixture
) -> None:
    """asyncio quotes a callback with its arguments."""
    loop = new_loop()
    loop.set_exception_handler(log_fault_of_loop)
    loop.call_soon(partial(fail_with, KEY), KEY)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert "in fail_with" in caplog.text
    assert KEY not in caplog.text


def fail_with(*values: str) -> None:
    raise ValueError(*values)
