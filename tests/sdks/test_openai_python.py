"""openai-python with strict validation: whatever its types do not allow is an exception."""

from __future__ import annotations

from typing import Any

import msgspec
import openai
import pytest
from openai.types.responses import Response
from pydantic import BaseModel

from anyturn.testing import Answer, Refusal, call, openai_error, reasoning, text
from support.tool_loop import ANSWER, QUESTION, check_history, function_tools, run_tool, script

JSON = dict[str, Any]
MODEL = "gpt-oss-120b"
ASK: JSON = {"model": MODEL, "input": QUESTION}
SEALS = {"include": ["reasoning.encrypted_content"]}
FREEFORM = {"type": "custom", "name": "note", "description": "Takes a note."}
# Every kind of tool that can be offered, as strict types echo them.
EVERY_TOOL: list[JSON] = [
    *function_tools(),
    FREEFORM,
    {"type": "local_shell"},
    {"type": "shell"},
    {"type": "apply_patch"},
    {"type": "web_search"},
]


async def ask(client: Any, way: str, **request: Any) -> Response:
    """One turn, by one of the three ways that the SDK has."""
    if way == "create":
        created: Response = await client.responses.create(**request)
        return created
    if way == "stream":
        async for event in await client.responses.create(**request, stream=True):
            last = event
        assert last.type == "response.completed"
        response: Response = last.response
        return response
    async with client.responses.stream(**request) as stream:
        kinds = [event.type async for event in stream]
        final: Response = await stream.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    return final


def outputs_of(response: Response) -> list[JSON]:
    return [
        {
            "type": "function_call_output",
            "call_id": item.call_id,
            "output": run_tool(item.name, msgspec.json.decode(item.arguments)),
        }
        for item in response.output
        if item.type == "function_call"
    ]


WAYS = pytest.mark.parametrize("way", ["create", "stream", "helper"])

# ---------------------------------------------------------------- the loop


@WAYS
@pytest.mark.parametrize("keeps", ["history", "previous_response_id", "conversation", "stateless"])
async def test_a_tool_loop_of_three_steps(stage: Any, way: str, keeps: str) -> None:
    on = await stage(*script())
    async with on.client() as client:
        request: JSON = {"model": MODEL, "tools": function_tools(), "input": []}
        new: list[Any] = [{"role": "user", "content": QUESTION}]
        if keeps == "conversation":
            request["conversation"] = (await client.conversations.create()).id
        if keeps == "stateless":
            request |= {"store": False, **SEALS}
        while new:
            if keeps in ("history", "stateless"):
                request["input"] = [*request["input"], *new]
            else:
                request["input"] = new
            response = await ask(client, way, **request)
            if keeps in ("history", "stateless"):
                request["input"] = [*request["input"], *response.output]
            elif keeps == "previous_response_id":
                request["previous_response_id"] = response.id
            new = outputs_of(response)
    assert response.output_text == ANSWER
    check_history(on.provider)


# ---------------------------------------------------------------- the helpers


class Weather(BaseModel):
    city: str
    degrees: int


class Question(BaseModel):
    """Asks for the weather."""

    city: str


async def test_a_structured_answer_is_parsed(stage: Any) -> None:
    on = await stage(Answer(reasoning("Hm."), text('{"city":"Berlin","degrees":7}')))
    async with on.client() as client:
        response = await client.responses.parse(**ASK, text_format=Weather)
    assert response.output_parsed == Weather(city="Berlin", degrees=7)
    (request,) = on.provider.requests
    assert request.body["response_format"]["json_schema"]["name"] == "Weather"


async def test_a_structured_answer_is_parsed_in_a_stream(stage: Any) -> None:
    on = await stage(text('{"city":"Berlin","degrees":7}'))
    async with on.client() as client, client.responses.stream(**ASK, text_format=Weather) as stream:
        (done,) = [event async for event in stream if event.type == "response.output_text.done"]
        response = await stream.get_final_response()
    assert done.parsed == response.output_parsed == Weather(city="Berlin", degrees=7)


async def test_the_arguments_of_a_declared_model_are_parsed(stage: Any) -> None:
    on = await stage(call("Question", {"city": "Paris"}))
    async with on.client() as client:
        tools = [openai.pydantic_function_tool(Question)]
        response = await client.responses.parse(**ASK, tools=tools)
    assert response.output[0].parsed_arguments == Question(city="Paris")


@WAYS
async def test_every_kind_of_tool_is_echoed_and_called_in_types(stage: Any, way: str) -> None:
    on = await stage(
        Answer(
            call("note", {"input": "Remember."}),
            call("local_shell", {"command": ["ls"]}),
            call("shell", {"commands": ["ls"]}),
            call("apply_patch", {"type": "delete_file", "path": "a"}),
        )
    )
    async with on.client() as client:
        response = await ask(client, way, **ASK, tools=EVERY_TOOL)
    assert [tool.type for tool in response.tools] == [tool["type"] for tool in EVERY_TOOL]
    assert [item.type for item in response.output] == [
        *("custom_tool_call", "local_shell_call", "shell_call", "apply_patch_call")
    ]
    assert response.output[0].input == "Remember."


@pytest.mark.parametrize("summary", [None, "auto"], ids=["text", "summary"])
async def test_reasoning_reaches_the_stream_in_either_form(stage: Any, summary: Any) -> None:
    on = await stage(Answer(reasoning("I think of it."), text("Yes.")))
    name = "reasoning_summary_text" if summary else "reasoning_text"
    async with on.client() as client:
        given = {"reasoning": {"summary": summary}} if summary else {}
        async with client.responses.stream(**ASK, **given) as stream:
            deltas = [e.delta async for e in stream if e.type == f"response.{name}.delta"]
    assert "".join(deltas) == "I think of it."


async def test_the_names_of_open_responses_are_none_of_this_sdks(stage: Any) -> None:
    """Which is why OpenAI's are the default, and shows that streams are validated."""
    answer = Answer(reasoning("I think of it."), text("Yes."))
    on = await stage(answer, reasoning_events="open-responses")
    async with on.client() as client:
        stream = await client.responses.create(**ASK, stream=True)
        with pytest.raises(openai.APIResponseValidationError):
            _ = [event async for event in stream]


# ---------------------------------------------------------------- ends


async def test_an_answer_that_was_cut_off_is_incomplete(stage: Any) -> None:
    on = await stage(Answer(text("Half of"), finish="length"), Answer(text("Ha"), finish="length"))
    async with on.client() as client:
        whole = await client.responses.create(**ASK, max_output_tokens=16)
        events = [e async for e in await client.responses.create(**ASK, stream=True)]
    assert (whole.status, whole.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert events[-1].type == "response.incomplete"


async def test_a_failure_in_the_stream_is_an_event_and_an_error_of_the_sdk(stage: Any) -> None:
    error = {"message": "Out of memory."}
    on = await stage(Answer(text("Half of it"), hold_after=2, error_after=(2, error)))
    async with on.client() as client:
        stream = await client.responses.create(**ASK, stream=True)
        kinds = [(await anext(stream)).type for _ in range(5)]
        on.provider.release()
        with pytest.raises(openai.APIError, match="Out of memory"):
            await anext(stream)
    assert kinds[-1] == "response.output_text.delta"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        # The provider's key is not the client's: it cannot mend it.
        (401, openai.BadRequestError),
        (429, openai.RateLimitError),
        (500, openai.APIStatusError),
    ],
)
async def test_a_refusal_is_the_error_that_the_sdk_has_for_it(
    stage: Any, status: int, error: type[openai.APIStatusError]
) -> None:
    on = await stage(Refusal(status, openai_error("Not like this.")))
    async with on.client() as client:
        with pytest.raises(error, match="Not like this"):
            await client.responses.create(**ASK)


# ---------------------------------------------------------------- what is stored


async def test_a_stored_response_is_fetched_listed_and_deleted(stage: Any) -> None:
    on = await stage(Answer(reasoning("Hm."), text("One."), call("add", {"a": 1, "b": 2})))
    async with on.client() as client:
        made = await client.responses.create(**ASK, tools=function_tools())
        assert await client.responses.retrieve(made.id) == made
        told = [event async for event in await client.responses.retrieve(made.id, stream=True)]
        items = [item async for item in client.responses.input_items.list(made.id, limit=1)]
        counted = await client.responses.input_tokens.count(**ASK)
        await client.responses.delete(made.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(made.id)
    assert told[-1].response == made
    assert [item.content[0].text for item in items] == [QUESTION]
    assert counted.input_tokens > 0


async def test_a_conversation_is_made_filled_listed_and_deleted(stage: Any) -> None:
    on = await stage(Answer(reasoning("Hm."), text("One.")))
    async with on.client() as client:
        said = {"type": "message", "role": "user", "content": "First."}
        made = await client.conversations.create(items=[said], metadata={"a": "b"})
        await client.conversations.update(made.id, metadata={"a": "c"})
        assert (await client.conversations.retrieve(made.id)).metadata == {"a": "c"}
        response = await client.responses.create(**ASK, conversation=made.id)
        assert response.conversation.id == made.id
        added = await client.conversations.items.create(made.id, items=[said])
        listed = [i async for i in client.conversations.items.list(made.id, order="asc", limit=2)]
        one = await client.conversations.items.retrieve(added.data[0].id, conversation_id=made.id)
        await client.conversations.items.delete(one.id, conversation_id=made.id)
        kinds = [i.type async for i in client.conversations.items.list(made.id)]
        assert (await client.conversations.delete(made.id)).deleted
    assert [item.type for item in listed] == [*["message"] * 2, "reasoning", *["message"] * 2]
    assert one.content[0].text == "First."
    assert kinds == ["message", "reasoning", "message", "message"]


async def test_a_background_response_is_polled(stage: Any) -> None:
    on = await stage(Answer(reasoning("Hm."), text("At last."), hold_after=1))
    async with on.client() as client:
        response = await client.responses.create(**ASK, background=True)
        assert response.status == "queued"
        await on.provider.request(1)
        response = await client.responses.retrieve(response.id)
        assert response.status == "in_progress"
        on.provider.release()
        async for event in await client.responses.retrieve(response.id, stream=True):
            last = event
        assert last.type == "response.completed"
        response = await client.responses.retrieve(response.id)
    assert (response.status, response.output_text) == ("completed", "At last.")


async def test_a_background_stream_is_resumed(stage: Any) -> None:
    on = await stage(Answer(text("At last."), fragment=1, hold_after=3))
    async with on.client() as client:
        seen = []
        begun = await client.responses.create(**ASK, background=True, stream=True)
        async with begun:
            async for event in begun:
                seen.append(event)
                if event.type == "response.output_text.delta":
                    break
        on.provider.release()
        after = {"response_id": seen[0].response.id, "starting_after": seen[-1].sequence_number}
        seen += [event async for event in await client.responses.retrieve(**after, stream=True)]
        async with client.responses.stream(**after | {"starting_after": 0}) as stream:
            final = await stream.get_final_response()
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert final.id == seen[-1].response.id
    assert final.output_text == "At last."


async def test_a_background_response_is_cancelled(stage: Any) -> None:
    on = await stage(Answer(text("Never."), hold_after=1))
    async with on.client() as client:
        response = await client.responses.create(**ASK, background=True)
        await on.provider.request(1)
        cancelled = await client.responses.cancel(response.id)
        assert cancelled.status == "cancelled"
        await on.provider.cancelled(1)
        assert (await client.responses.retrieve(response.id)).status == "cancelled"


async def test_a_history_is_compacted_and_continued(stage: Any) -> None:
    on = await stage(text("They spoke of the weather."), text("Yes."))
    async with on.client() as client:
        said = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
        compacted = await client.responses.compact(model=MODEL, input=said)
        more = [*compacted.output, {"role": "user", "content": "Sure?"}]
        response = await client.responses.create(model=MODEL, input=more)
    assert response.output_text == "Yes."
    assert "They spoke of the weather." in str(on.provider.requests[1].messages)


async def test_the_models_are_listed(stage: Any) -> None:
    on = await stage()
    async with on.client() as client:
        assert MODEL in [model.id async for model in client.models.list()]


# ---------------------------------------------------------------- WebSocket


@pytest.mark.parametrize("stores", [True, False], ids=["stored", "nearby"])
async def test_a_tool_loop_over_one_connection(stage: Any, stores: bool) -> None:
    on = await stage(*script())
    request: JSON = {"model": MODEL, "tools": function_tools(), "store": stores}
    new: list[Any] = [{"role": "user", "content": QUESTION}]
    async with on.client() as client, client.responses.connect(max_retries=0) as connection:
        while new:
            await connection.response.create(**request, input=new)
            async for event in connection:
                assert event.type not in ("error", "response.failed")
                if event.type == "response.completed":
                    break
            request["previous_response_id"] = event.response.id
            new = outputs_of(event.response)
    assert event.response.output_text == ANSWER
    check_history(on.provider)
