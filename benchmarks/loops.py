"""Agents at work: many loops of turns, each with the output of the call before.

With a store they send only what is new and name the response before; without one, everything.
"""

from __future__ import annotations

import contextlib
import selectors
import time
from typing import Any

import bodies
import msgspec
from load import Line, LoadError, Recording, Target, Turn, gc_paused, messages, open_lines
from stub_provider import Script

OUTPUT = "async def next_chunk(self) -> bytes:\n    return await self._queue.get()\n" * 20


class _Terminal(msgspec.Struct):
    type: str
    response: dict[str, Any] = {}


class _Loop:
    """One agent: a connection, and what it has to say next."""

    def __init__(self, target: Target, script: Script, line: Line, remembered: bool) -> None:
        self.line = line
        self.turns: list[Turn] = []
        self._target, self._remembered = target, remembered
        self._body = msgspec.json.decode(bodies.request("responses", script.model))
        self._body["store"] = remembered

    def ask(self) -> None:
        """Begin the next turn."""
        if self.turns:
            self._continue(_terminal(self.turns[-1]))
        self.turns.append(self.line.ask(self._target.post(msgspec.json.encode(self._body))))

    def _continue(self, response: dict[str, Any]) -> None:
        calls = [item for item in response["output"] if item["type"] == "function_call"]
        new = [
            {"type": "function_call_output", "call_id": call["call_id"], "output": OUTPUT}
            for call in calls
        ]
        if self._remembered:
            self._body |= {"input": new, "previous_response_id": response["id"]}
        else:
            self._body["input"] += [*response["output"], *new]


def _terminal(turn: Turn) -> dict[str, Any]:
    *_, (_, last) = messages(turn)
    found = msgspec.json.decode(last, type=_Terminal)
    if found.type != "response.completed":
        raise LoadError(f"a turn of a loop ended so: {last[:600]!r}")
    return found.response


def drive_loops(
    target: Target, script: Script, *, loops: int, turns: int, remembered: bool, timeout: float = 60
) -> Recording:
    """Run `loops` at a time, each of `turns`; they begin spread over the length of one answer.

    Raises `LoadError` for a turn that does not end well, or when not all have after `timeout` s.
    """
    gap_ns = int(script.n / script.rate / loops * 1e9) if script.rate else 0
    with (
        open_lines(target, loops) as lines,
        selectors.DefaultSelector() as selector,
        gc_paused(),
    ):
        agents = [_Loop(target, script, line, remembered) for line in lines]
        start = time.monotonic_ns()
        waiting = [(start + gap_ns * n, agent) for n, agent in enumerate(agents)][::-1]
        busy, deadline = loops, start + timeout * 1e9
        while busy:
            now = time.monotonic_ns()
            if now > deadline:
                raise LoadError(f"{busy} loops are not over after {timeout:g} s")
            while waiting and waiting[-1][0] <= now:
                agent = waiting.pop()[1]
                selector.register(agent.line.sock, selectors.EVENT_READ, agent)
                agent.ask()
            until = min(deadline, waiting[-1][0]) if waiting else deadline
            for key, _ in selector.select(max(0.0, (until - now) / 1e9)):
                busy -= _read(key.data, turns, selector)
        wall = time.monotonic_ns() - start
    return Recording([turn for agent in agents for turn in agent.turns], wall)


def _read(agent: _Loop, turns: int, selector: selectors.BaseSelector) -> bool:
    """Take one read. Return whether the loop is over."""
    if not agent.line.read():
        return False
    if len(agent.turns) < turns and agent.turns[-1].reads[-1][1]:
        agent.ask()
        return False
    with contextlib.suppress(KeyError):
        selector.unregister(agent.line.sock)
    return True


def took_ns(recording: Recording) -> list[int]:
    """Return how long each turn took, from the request to the last byte."""
    return [turn.reads[-1][0] - turn.sent for turn in recording.turns]
