"""Turns whose answers end when the programs of a hook are over: what hooks say is then known."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

from anyturn.gateway import Turn
from anyturn.testing import Answer
from support.gateway_turns import Notes


def silent(answer: Answer) -> Answer:
    """The answer with a silence in it."""
    held = copy.copy(answer)
    held.__dict__["hold_after"] = 1
    return held


class Ended(Notes):
    """Lets a provider go on when the programs of the hook are over."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: list[Turn] = []
        self.provider: Any = None
        self._tasks: set[asyncio.Task[None]] = set()

    def request(self, turn: Turn) -> None:
        self.turns.append(turn)
        number = len(self.turns)
        task = asyncio.get_running_loop().create_task(self._release(turn, number))
        self._tasks.add(task)

    async def _release(self, turn: Turn, number: int) -> None:
        run = getattr(turn.ending, "_run", None)
        while run is not None and not run.is_over:
            await asyncio.sleep(0.005)
        self.provider.release(number)
