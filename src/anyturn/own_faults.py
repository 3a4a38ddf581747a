"""What is logged of an exception that nobody expected: where it came from, not its words (A2).

The words of an exception may quote whatever it stumbled over: a header with a key, a prompt.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

log = logging.getLogger("anyturn")

_OURS = str(Path(__file__).parent) + os.sep
# Python words these itself and quotes no value, where it is our own line that raises them.
_HARMLESS = (AttributeError, NameError, IndexError, RecursionError, ZeroDivisionError, TypeError)
_CHAIN_MAX = 5
# What asyncio says before it quotes a callback, with what that was called with.
_OF_A_CALLBACK = "Exception in callback"
_UNSAID = "(its words are not logged: they may quote what was sent)"
_BEHIND = "... which came of:"


def where_from(error: BaseException) -> str:
    """Return the traceback of an exception and of those behind it, without what they say."""
    told: list[str] = []
    link: BaseException | None = error
    while link is not None and len(told) < _CHAIN_MAX:
        told.append(_one(link))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return f"\n{_BEHIND}\n".join(told)


def log_fault_of_loop(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what nobody waits for any more; an exception handler for an event loop.

    The loop's own would print the exception's words, and a task's, which quotes them.
    """
    error = context.get("exception")
    behind = f"\n{where_from(error)}" if isinstance(error, BaseException) else ""
    said = str(context.get("message", "in its loop"))
    told = _OF_A_CALLBACK if said.startswith(_OF_A_CALLBACK) else said
    log.error("Anyturn itself failed: %s%s", told, behind)


def log_what_nobody_catches() -> None:
    """Have exceptions that end the process or a thread logged, in place of Python's own words."""
    sys.excepthook = lambda _kind, error, _trace: _log_uncaught(error)
    threading.excepthook = lambda args: _log_uncaught(args.exc_value)


def _log_uncaught(error: BaseException | None) -> None:
    log.error("Anyturn itself failed:\n%s", where_from(error) if error is not None else "")


def _one(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    is_ours = bool(frames) and frames[-1].filename.startswith(_OURS)
    lines = "".join(traceback.format_list(frames))
    return (
        f"Traceback (most recent call last):\n{lines}{type(error).__name__}{_words(error, is_ours)}"
    )


def _words(error: BaseException, is_ours: bool) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f": {os.strerror(error.errno)}"
    if is_ours and type(error) in _HARMLESS:
        return f": {error}"
    return f" {_UNSAID}" if error.args else ""
