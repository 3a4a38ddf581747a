"""OpenAI's SDKs through the gateway on a server that refuses nearly everything they do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from anyturn.config import Settings
from anyturn.routing import Routing
from anyturn.server.lifecycle import running
from anyturn.testing import Answer, Defect, ScriptedResponsesServer, call, reasoning, text

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
DEFECTS = ({Defect.EMPTY_OUTPUT}, {Defect.NEW_IDS}, {Defect.ONLY_TERMINAL}, {Defect.NO_ADDED})
every_defect = pytest.mark.parametrize("defects", DEFECTS, ids=lambda ds: "+".join(sorted(ds)))


@pytest.fixture
async def open_loop() -> AsyncIterator[Callable[..., Any]]:
    """The scripted server and a client of the gateway in front of it."""
    async with AsyncExitStack() as closing:

        async def open_stage(*script: Any, defects: Any) -> Any:
            served = ScriptedResponsesServer(script, defects=defects, api_key=TOKEN)
            server = await closing.enter_async_context(served)
            settings = Settings(
                provider="chatgpt", base_url=server.base_url, model=MODEL, port=0, store="memory"
            )
            routing = Routing(settings, {"CHATGPT_ACCESS_TOKEN": TOKEN})
            gateway = await closing.enter_async_context(running(settings, routing))
            client = openai.AsyncOpenAI(base_url=gateway.base_url, api_key="any", max_retries=0)
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
    server, client = await open_loop(*LOOP, defects=defects)
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
    assert server.refusals == []
