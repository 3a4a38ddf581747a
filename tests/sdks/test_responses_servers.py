"""OpenAI's SDKs through the gateway on a server that refuses nearly everything they do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from anyturn.config import Settings
from anyturn.providers import find
from anyturn.routing import Routing
from anyturn.server.lifecycle import running
from anyturn.testing import Answer, Defect, ScriptedResponsesServer, call, reasoning, text
from support.sdk_venvs import LEFT_OUT, OLDER, sdk_python
from support.tool_loop import (
    ANSWER,
    BUILT_IN,
    CALLS,
    QUESTION,
    THOUGHTS,
    WARMTH,
    function_tools,
    script,
)

openai = pytest.importorskip("openai")

JSON = dict[str, Any]
MODEL = "gpt-oss-120b"
TOKEN = "made-up-token"
TOOL: JSON = {
    "type": "function",
    "name": "look",
    "description": "Look at a place.",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"place": {"type": "string"}},
        "required": ["place"],
        "additionalProperties": False,
    },
}
LOOP = (
    Answer(reasoning("Both."), call("look", {"place": "a"}), call("look", {"place": "b"})),
    Answer(reasoning("Once more."), text("I look again."), call("look", {"place": "c"})),
    Answer(text("All green.")),
)
CHATGPT = {Defect.EMPTY_OUTPUT}
KNOWN = "gpt-5.1-codex"
DEFECTS = ({Defect.EMPTY_OUTPUT}, {Defect.NEW_IDS}, {Defect.ONLY_TERMINAL}, {Defect.NO_ADDED})
every_defect = pytest.mark.parametrize("defects", DEFECTS, ids=lambda ds: "+".join(sorted(ds)))


@pytest.fixture
async def open_loop() -> AsyncIterator[Callable[..., Any]]:
    """The scripted server and a client of the gateway in front of it."""
    async with AsyncExitStack() as closing:

        async def open_stage(*script: Any, defects: Any = CHATGPT, **options: Any) -> Any:
            served = ScriptedResponsesServer(script, defects=defects, api_key=TOKEN, **options)
            server = await closing.enter_async_context(served)
            given: JSON = {"provider": "chatgpt", "model": MODEL, "port": 0, "store": "memory"}
            if "tools" in options:
                acme = find("chatgpt").replacing(name="acme", responses_tools=options["tools"])
                given |= {"provider": "acme", "providers": {"acme": acme}}
            settings = Settings(base_url=server.base_url, aliases={KNOWN: MODEL}, **given)
            routing = Routing(settings, {"CHATGPT_ACCESS_TOKEN": TOKEN})
            gateway = await closing.enter_async_context(running(settings, routing))
            client = openai.AsyncOpenAI(base_url=gateway.base_url, api_key="made-up", max_retries=0)
            closing.push_async_callback(client.close)
            return server, client

        yield open_stage


async def streamed(client: Any, **request: Any) -> Any:
    async with client.responses.stream(**request) as stream:
        async for _ in stream:
            pass
        return await stream.get_final_response()


async def created(client: Any, **request: Any) -> Any:
    return await client.responses.create(**request)


@every_defect
@pytest.mark.parametrize("answer", [created, streamed], ids=["create", "stream"])
@pytest.mark.parametrize("chained", [False, True], ids=["whole history", "previous_response_id"])
async def test_openai_python_completes_a_loop(open_loop, answer, chained, defects) -> None:
    """F14, F35, F56: several steps, parallel calls, its defaults."""
    server, client = await open_loop(*LOOP, text("Bye."), defects=defects)
    history: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Look"},
    ]
    fresh, previous = history, None
    for _ in range(4):
        sent = {"input": fresh, "previous_response_id": previous} if chained else {"input": history}
        given = {name: value for name, value in sent.items() if value is not None}
        response = await answer(client, model=MODEL, tools=[TOOL], temperature=0.2, **given)
        outputs = [
            {"type": "function_call_output", "call_id": item.call_id, "output": "green"}
            for item in response.output
            if item.type == "function_call"
        ]
        said = [item.model_dump(exclude_none=True) for item in response.output]
        fresh = outputs or [{"role": "user", "content": "Bye"}]
        history, previous = [*history, *said, *fresh], response.id
    assert response.output_text == "Bye."
    assert server.refusals == []
    last = server.requests[3].items
    assert [i["type"] for i in last if i.get("type") == "reasoning"] == ["reasoning"] * 2
    assert len([i for i in last if i.get("type") == "function_call_output"]) == 3


@every_defect
@pytest.mark.parametrize("is_streamed", [False, True], ids=["run", "run_streamed"])
@pytest.mark.parametrize("chained", [False, True], ids=["whole history", "previous_response_id"])
async def test_the_agents_sdk_completes_a_loop(open_loop, is_streamed, chained, defects) -> None:
    """F14: it sends items with ids and no seals."""
    agents = pytest.importorskip("agents")
    agents.set_tracing_disabled(True)
    more = (Answer(reasoning("One more."), call("look", {"place": "d"})), text("Still green."))
    server, client = await open_loop(*LOOP, *more, defects=defects)
    places: list[str] = []

    @agents.function_tool
    def look(place: str) -> str:
        """Look at a place."""
        places.append(place)
        return "green"

    model = agents.OpenAIResponsesModel(model=MODEL, openai_client=client)
    agent = agents.Agent(name="a", instructions="Be brief.", tools=[look], model=model)
    if is_streamed:
        result = agents.Runner.run_streamed(agent, "Look", auto_previous_response_id=chained)
        async for _ in result.stream_events():
            pass
    else:
        result = await agents.Runner.run(agent, "Look", auto_previous_response_id=chained)
    assert result.final_output == "All green."
    assert sorted(places) == ["a", "b", "c"]
    asked = {"role": "user", "content": "Again"}
    if chained:
        given: Any = {"input": [asked], "previous_response_id": result.last_response_id}
    else:
        given = {"input": [*result.to_input_list(), asked]}
    again = await agents.Runner.run(agent, **given)
    assert again.final_output == "Still green."
    assert sorted(places) == ["a", "b", "c", "d"]
    assert server.refusals == []
    assert kinds(server, 5).count("function_call_output") == 4


# ---------------------------------------------------------------- one task, whichever client

STEP = ["reasoning", "function_call", "function_call_output"]
LOOKED = [
    *("message", "reasoning", "message", "function_call", "function_call"),
    *("function_call_output", "function_call_output"),
]
BY_NODE: JSON = {"question": QUESTION, "warmth": WARMTH}
BY_AI: JSON = {**BY_NODE, "functions": function_tools()}


def kinds(server: Any, number: int) -> list[str]:
    """The types of the items in a request, counted from 1."""
    return [item.get("type", "message") for item in server.requests[number - 1].items]


def check_items(server: Any, *, asked: int = 3) -> None:
    """The server got all that was said and done, sealed reasoning too, and refused nothing."""
    assert server.refusals == []
    assert len(server.requests) == asked
    assert kinds(server, 3) == [*LOOKED, *STEP]
    outputs = [item["output"] for item in server.requests[2].items if "output" in item]
    assert outputs == [*WARMTH.values(), "16"]


def base_url(client: Any) -> str:
    return str(client.base_url).rstrip("/")


def of_major(*majors: str) -> list[Any]:
    return [pytest.param(major, marks=pytest.mark.node_sdk(major)) for major in majors]


SUMMARY = {"reasoningSummary": "auto"}
EVERY_AI = pytest.mark.parametrize("major", of_major("ai5", "ai6", "ai7"))
KEEPS = pytest.mark.parametrize(
    "options", [SUMMARY, {**SUMMARY, "store": False}], ids=["references", "inline"]
)


@EVERY_AI
@KEEPS
@pytest.mark.parametrize("mode", ["streamText", "generateText"])
async def test_the_ai_sdk_completes_a_loop(open_loop, run_node, major, mode, options) -> None:
    """F14, F15, F16: versions 5 send the call itself as a reference (clients.md 1.1, case C)."""
    server, client = await open_loop(*script())
    told = await run_node("ai.mjs", base_url(client), {**BY_AI, "mode": mode, "options": options})
    assert told == {"answer": ANSWER, "reasoning": THOUGHTS, "calls": CALLS}
    check_items(server)


@EVERY_AI
@KEEPS
async def test_the_ai_sdk_goes_on_in_a_second_turn(open_loop, run_node, major, options) -> None:
    server, client = await open_loop(*script(), Answer(reasoning("Polite."), text("Welcome.")))
    case = {**BY_AI, "mode": "streamText", "options": options, "more": "Thanks."}
    told = await run_node("ai.mjs", base_url(client), case)
    assert (told["calls"], told["more"]) == (CALLS, "Welcome.")
    check_items(server, asked=4)
    assert kinds(server, 4) == [*LOOKED, *STEP, "reasoning", "message", "message"]


@EVERY_AI
async def test_the_ai_sdk_goes_on_from_a_stored_response(open_loop, run_node, major) -> None:
    """It names the same response at every step; the server keeps none."""
    server, client = await open_loop(text("Hello."), *script())
    first = await client.responses.create(model=MODEL, input="Hi.")
    options = {**SUMMARY, "previousResponseId": first.id}
    case = {**BY_AI, "mode": "streamText", "options": options}
    told = await run_node("ai.mjs", base_url(client), case)
    assert (told["answer"], told["calls"]) == (ANSWER, CALLS)
    assert server.refusals == []
    assert [len(request.items) for request in server.requests[:2]] == [1, 3]
    said = [item.get("content") for item in server.requests[3].items[:3]]
    assert "Hi." in str(said[0]) and "Hello." in str(said[1]) and QUESTION in str(said[2])


@pytest.mark.parametrize(
    ("major", "kind", "name", "arguments", "taken"),
    [
        pytest.param(
            *(major, *case[:4]), marks=pytest.mark.node_sdk(major), id=f"{major}-{case[0]}"
        )
        for case in BUILT_IN
        for major in case[4]
    ],
)
async def test_a_tool_of_the_ai_sdk_runs_on_a_server_of_functions(
    open_loop, run_node, major, kind, name, arguments, taken
) -> None:
    """F23, F29: the client gets the form that it knows, and may name the call by reference."""
    turns = (Answer(reasoning("Hm."), call(name, arguments)), text(ANSWER))
    server, client = await open_loop(*turns, tools=["function"])
    case = {**BY_AI, "mode": "streamText", "options": {}, "built_in": {"kind": kind, "name": name}}
    told = await run_node("ai.mjs", base_url(client), case)
    assert (told["answer"], told["calls"]) == (ANSWER, [[kind, taken]])
    assert server.refusals == []
    assert kinds(server, 2) == ["message", *STEP]
    assert "done" in str(server.requests[1].items[-1]["output"])


@pytest.mark.parametrize("major", of_major("openai6", "openai7"))
@pytest.mark.parametrize("keeps", ["history", "previous_response_id", "conversation", "stateless"])
async def test_openai_node_completes_a_loop(open_loop, run_node, major, keeps) -> None:
    server, client = await open_loop(*script())
    case = {**BY_NODE, "tools": function_tools(), "keeps": keeps, "summary": "auto"}
    told = await run_node("openai.mjs", base_url(client), case)
    assert told == {"answer": ANSWER, "thoughts": THOUGHTS}
    check_items(server)


@pytest.mark.parametrize("version", OLDER)
@pytest.mark.parametrize("keeps", ["history", "previous_response_id"])
async def test_an_older_openai_python_completes_a_loop(open_loop, version, keeps) -> None:
    if not sdk_python(version).exists():
        pytest.skip(f"{LEFT_OUT}: {version}")
    server, client = await open_loop(*script())
    case = {**BY_NODE, "tools": function_tools(), "keeps": keeps, "model": MODEL}
    process = await asyncio.create_subprocess_exec(
        *(sdk_python(version), Path(__file__).with_name("openai_loop.py")),
        env={"BASE_URL": base_url(client), "CASE": msgspec.json.encode(case).decode()},
        stdout=asyncio.subprocess.PIPE,
    )
    stdout, _ = await process.communicate()
    assert msgspec.json.decode(stdout) == {"answer": ANSWER, "calls": CALLS}
    check_items(server)
