from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from anyturn.testing import AgentError, ResponsesRefused, run_agent

JSON = dict[str, Any]


def done(item: JSON) -> JSON:
    return {"type": "response.output_item.done", "item": item}


def message(words: str) -> JSON:
    part = {"type": "output_text", "text": words, "annotations": []}
    return {"type": "message", "role": "assistant", "id": "msg_1", "content": [part]}


def command(cmd: Any, call_id: str = "call_1", name: str = "exec_command") -> JSON:
    arguments = cmd if isinstance(cmd, str) and cmd.startswith("{") else _arguments(cmd)
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def _arguments(cmd: Any) -> str:
    return msgspec.json.encode({"cmd": cmd}).decode()


REASONING: JSON = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e"}
COMPLETED: JSON = {"type": "response.completed", "response": {"id": "resp_1"}}


def turn(*items: JSON) -> list[JSON]:
    return [{"type": "response.created"}, *map(done, items), COMPLETED]


async def run(server: Any, directory: Path, **options: Any) -> Any:
    return await run_agent(
        server.base_url, "Do it.", model="gpt-oss-120b", directory=directory, **options
    )


async def test_a_command_runs_and_its_output_goes_back(serve: Any, tmp_path: Path) -> None:
    call = command("echo hi > x; cat x")
    server = await serve(turn(REASONING, call), turn(message("Done.")))
    result = await run(server, tmp_path)
    assert result.text == "Done."
    assert (tmp_path / "x").read_text() == "hi\n"
    assert [(one.call_id, one.command) for one in result.calls] == [
        ("call_1", "echo hi > x; cat x")
    ]
    first, second = server.bodies
    output = "Process exited with code 0\nOutput:\nhi\n"
    assert second["input"] == [
        *first["input"],
        REASONING,
        call,
        {"type": "function_call_output", "call_id": "call_1", "output": output},
    ]


async def test_a_request_is_stateless_and_declares_the_tool(serve: Any, tmp_path: Path) -> None:
    server = await serve(turn(message("Hi.")))
    await run(server, tmp_path, api_key="sk-test")
    (body,) = server.bodies
    assert body["store"] is False and body["stream"] is True
    assert [item["role"] for item in body["input"]] == ["developer", "user"]
    assert [tool["name"] for tool in body["tools"]] == ["exec_command"]
    assert server.headers[0]["Authorization"] == "Bearer sk-test"


async def test_parallel_calls_are_all_answered_after_the_items(serve: Any, tmp_path: Path) -> None:
    calls = [command("echo a", "c1"), command("echo b", "c2")]
    server = await serve(turn(*calls), turn(message("Done.")))
    await run(server, tmp_path)
    kinds = [(item["type"], item.get("call_id")) for item in server.bodies[1]["input"][2:]]
    assert kinds == [
        ("function_call", "c1"),
        ("function_call", "c2"),
        ("function_call_output", "c1"),
        ("function_call_output", "c2"),
    ]


@pytest.mark.parametrize(
    "events",
    [
        pytest.param(
            [{"type": "response.output_item.added", "item": command("touch x")}], id="added"
        ),
        pytest.param(
            [{"type": "response.function_call_arguments.done", "arguments": '{"cmd":"touch x"}'}],
            id="arguments done",
        ),
        pytest.param([{"type": "response.tool_call.delta", "item": command("touch x")}], id="own"),
    ],
)
async def test_nothing_but_a_done_item_is_executed(
    serve: Any, tmp_path: Path, events: list[JSON]
) -> None:
    last = {"type": "response.completed", "response": {"output": [command("touch x")]}}
    server = await serve([*events, done(message("Done.")), last])
    result = await run(server, tmp_path)
    assert result.calls == ()
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        pytest.param(command("x", name="shell"), "unsupported call: shell", id="unknown tool"),
        pytest.param(command("{"), "failed to parse function arguments: ", id="cut arguments"),
        pytest.param(command(7), "failed to parse function arguments: ", id="no string"),
        pytest.param(command("exit 3"), "Process exited with code 3\n", id="exit code"),
        pytest.param(command("echo no >&2"), "Output:\nno\n", id="standard error"),
        pytest.param(command("cat"), "Process exited with code 0\n", id="no standard input"),
        pytest.param(
            command("head -c 70000 /dev/zero | tr '\\0' a"),
            "more bytes left out]",
            id="long output",
        ),
    ],
)
async def test_the_model_is_told_how_a_call_went(
    serve: Any, tmp_path: Path, call: JSON, expected: str
) -> None:
    server = await serve(turn(call), turn(message("Done.")))
    await run(server, tmp_path)
    assert expected in server.bodies[1]["input"][-1]["output"]


async def test_a_command_is_stopped_at_its_time_limit(serve: Any, tmp_path: Path) -> None:
    server = await serve(turn(command("(sleep 60 & wait)")), turn(message("Done.")))
    async with asyncio.timeout(20):
        result = await run(server, tmp_path, time_limit=0.2)
    assert result.calls[0].output == "Process was stopped after 0.2 seconds"


async def test_what_a_command_leaves_in_the_background_is_ended(serve: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "alive")
    alive = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    leave = command("exec 3>alive; sleep 60 >/dev/null 2>&1 & exit 0")
    server = await serve(turn(leave), turn(message("Done.")))
    ended = asyncio.Event()
    try:
        await run(server, tmp_path)
        # Readable without data: nobody holds the other end any more.
        asyncio.get_running_loop().add_reader(alive, ended.set)
        async with asyncio.timeout(10):
            await ended.wait()
    finally:
        asyncio.get_running_loop().remove_reader(alive)
        os.close(alive)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param(
            [
                {
                    "type": "response.failed",
                    "response": {"status": "failed", "error": {"code": "c", "message": "broke"}},
                }
            ],
            r"the turn failed: broke \(c\)",
            id="failed",
        ),
        pytest.param(
            [
                {
                    "type": "response.incomplete",
                    "response": {
                        "status": "incomplete",
                        "incomplete_details": {"reason": "max_output_tokens"},
                    },
                }
            ],
            "the turn is incomplete: max_output_tokens",
            id="incomplete",
        ),
        pytest.param(
            [done(message("x"))], "stream closed before response.completed", id="no terminal"
        ),
        pytest.param([COMPLETED], "completed without any item", id="nothing at all"),
    ],
)
async def test_a_turn_that_ends_badly_is_an_error(
    serve: Any, tmp_path: Path, events: list[JSON], expected: str
) -> None:
    server = await serve(events)
    with pytest.raises(AgentError, match=expected):
        await run(server, tmp_path)


async def test_a_model_that_never_stops_calling_is_an_error(serve: Any, tmp_path: Path) -> None:
    server = await serve(turn(command("true", "a")), turn(command("true", "b")))
    with pytest.raises(AgentError, match="still calls tools after 2 turns"):
        await run(server, tmp_path, max_turns=2)
    assert len(server.bodies) == 2


async def test_a_refusal_passes_through(serve: Any, tmp_path: Path) -> None:
    async def refuse(request: Any) -> Any:
        return web.json_response({"error": {"message": "no such model"}}, status=404)

    server = await serve(refuse)
    with pytest.raises(ResponsesRefused, match="HTTP 404: no such model"):
        await run(server, tmp_path)


async def test_every_event_is_shown_before_the_agent_acts_on_it(serve: Any, tmp_path: Path) -> None:
    seen: list[tuple[str, bool]] = []

    def show(event: JSON) -> None:
        seen.append((event["type"], (tmp_path / "x").exists()))

    server = await serve(turn(command("touch x")), turn(message("Done.")))
    await run(server, tmp_path, on_event=show)
    assert seen[:3] == [
        ("response.created", False),
        ("response.output_item.done", False),
        ("response.completed", True),
    ]
