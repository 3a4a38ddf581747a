"""A small coding agent: what Codex does with the Responses API, and no more.

It stands in where Codex is not installed. As Codex, it acts on `response.output_item.done` alone
and at once, sends the whole history back each time, and asks for nothing to be stored
(codex-cli.md sections 0 and 1).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from anyturn.testing.client import ResponsesClient

JSON: TypeAlias = dict[str, Any]
OnEvent: TypeAlias = Callable[[JSON], None]

_MAX_OUTPUT_BYTES = 64 * 1024

_INSTRUCTIONS = (
    "You are a coding agent. Run shell commands with exec_command in the working directory until "
    "the task is done, then say in one sentence what you did."
)

EXEC_COMMAND: JSON = {
    "type": "function",
    "name": "exec_command",
    "description": "Runs a shell command in the working directory and returns its output.",
    "strict": False,
    "parameters": {
        "type": "object",
        "properties": {"cmd": {"type": "string", "description": "The shell command."}},
        "required": ["cmd"],
        "additionalProperties": False,
    },
}


class AgentError(Exception):
    """The agent cannot go on; `str()` says why."""


class AgentCall(msgspec.Struct, frozen=True):
    """One command that ran, and what the model was told about it."""

    call_id: str
    command: str
    output: str


class AgentResult(msgspec.Struct, frozen=True):
    """What the model said in the end, and the commands that ran on the way."""

    text: str
    calls: tuple[AgentCall, ...]


class _Arguments(msgspec.Struct):
    cmd: str


class _Turn(msgspec.Struct):
    """What one turn brought: its items in order, the outputs for its calls, the commands run."""

    items: list[JSON] = []
    outputs: list[JSON] = []
    calls: list[AgentCall] = []


async def run_agent(
    base_url: str,
    prompt: str,
    *,
    model: str,
    directory: str | Path,
    api_key: str | None = None,
    max_turns: int = 8,
    time_limit: float = 30.0,
    on_event: OnEvent | None = None,
) -> AgentResult:
    """Let a model work on `prompt` in `directory` until it answers without a tool call.

    Each command runs in a login shell for at most `time_limit` seconds. `on_event` sees every
    event, before the agent acts on it. Raises `AgentError` when a turn fails, is cut short or
    brings nothing, or when `max_turns` turns are not enough; `ResponsesRefused` and aiohttp's
    errors pass through.
    """
    history: list[JSON] = [_message("developer", _INSTRUCTIONS), _message("user", prompt)]
    calls: list[AgentCall] = []
    run = _Runner(Path(directory), time_limit)
    async with ResponsesClient(base_url, api_key) as client:
        for _ in range(max_turns):
            turn = await _take_turn(client, _request(model, history), run, on_event)
            history += turn.items + turn.outputs
            calls += turn.calls
            if not turn.outputs:
                return AgentResult(_spoken(turn.items), tuple(calls))
    raise AgentError(f"the model still calls tools after {max_turns} turns")


def _request(model: str, history: list[JSON]) -> JSON:
    return {
        "model": model,
        "input": history,
        "tools": [EXEC_COMMAND],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }


def _message(role: str, words: str) -> JSON:
    return {
        "type": "message",
        "role": role,
        "content": [{"type": "input_text", "text": words}],
    }


async def _take_turn(
    client: ResponsesClient, request: JSON, run: _Runner, on_event: OnEvent | None
) -> _Turn:
    turn = _Turn()
    async with aclosing(client.stream(request)) as events:
        async for event in events:
            if on_event is not None:
                on_event(event)
            kind = event.get("type")
            if kind == "response.output_item.done":
                await _act(turn, event["item"], run)
            elif kind == "response.completed":
                if not turn.items:
                    raise AgentError("the turn was completed without any item")
                return turn
            elif kind in ("response.failed", "response.incomplete"):
                raise AgentError(_failure(event["response"]))
    raise AgentError("stream closed before response.completed")


async def _act(turn: _Turn, item: JSON, run: _Runner) -> None:
    turn.items.append(item)
    if item.get("type") != "function_call":
        return
    output = await _execute(turn, item, run)
    turn.outputs.append(
        {"type": "function_call_output", "call_id": item["call_id"], "output": output}
    )


async def _execute(turn: _Turn, item: JSON, run: _Runner) -> str:
    """Run a call, or say in Codex's words why it cannot run, so that the model may mend it."""
    if item["name"] != EXEC_COMMAND["name"]:
        return f"unsupported call: {item['name']}"
    try:
        command = msgspec.json.decode(item["arguments"], type=_Arguments).cmd
    except msgspec.DecodeError as error:
        return f"failed to parse function arguments: {error}"
    output = await run(command)
    turn.calls.append(AgentCall(item["call_id"], command, output))
    return output


def _failure(response: JSON) -> str:
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details") or {}
        return f"the turn is incomplete: {details.get('reason', 'no reason given')}"
    error = response.get("error") or {}
    return f"the turn failed: {error.get('message', 'no reason given')} ({error.get('code')})"


def _spoken(items: list[JSON]) -> str:
    return "".join(
        part["text"]
        for item in items
        if item.get("type") == "message"
        for part in item["content"]
        if part.get("type") == "output_text"
    )


class _Runner:
    """Runs commands in one directory, each in a process group of its own."""

    def __init__(self, directory: Path, time_limit: float) -> None:
        self._directory = directory
        self._time_limit = time_limit
        self._shell = shutil.which("bash") or "/bin/sh"

    async def __call__(self, command: str) -> str:
        process = await asyncio.create_subprocess_exec(
            self._shell,
            # Not a login shell: what a user's profile starts would be killed with the command.
            "-c",
            command,
            cwd=self._directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._time_limit):
                output, _ = await process.communicate()
        except TimeoutError:
            return f"Process was stopped after {self._time_limit:g} seconds"
        finally:
            # What the command left in the background would outlive the agent.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        shown = output[:_MAX_OUTPUT_BYTES].decode("utf-8", "replace")
        if len(output) > _MAX_OUTPUT_BYTES:
            shown += f"\n[{len(output) - _MAX_OUTPUT_BYTES} more bytes left out]"
        return f"Process exited with code {process.returncode}\nOutput:\n{shown}"
