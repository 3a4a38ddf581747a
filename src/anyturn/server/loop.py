"""The event loop that everything of ours runs on."""

from __future__ import annotations

import asyncio
import sys

from anyturn.own_faults import log_fault_of_loop


def open_loop() -> asyncio.AbstractEventLoop:
    """Make a loop: uvloop where that exists, which halves the cost of small writes.

    Faults that nobody waits for are logged without the words of their exceptions.
    """
    loop = _fastest()
    loop.set_exception_handler(log_fault_of_loop)
    return loop


def _fastest() -> asyncio.AbstractEventLoop:
    if sys.platform != "win32":
        try:
            import uvloop
        except ImportError:
            pass
        else:
            return uvloop.new_event_loop()
    return asyncio.new_event_loop()
