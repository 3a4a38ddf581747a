"""Where a verb becomes a coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from anyturn.server.loop import open_loop

T = TypeVar("T")


def run(main: Coroutine[object, object, T]) -> T:
    """Run a coroutine to its end, on a loop of ours. Raises what it raises."""
    with asyncio.Runner(loop_factory=open_loop) as runner:
        return runner.run(main)
