"""The gateway in front of a Responses server that stores nothing: clients do not notice."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest

from anyturn.providers import find
from anyturn.store.memory import MemoryStore
from anyturn.testing import (
    Answer,
    Defect,
    Raw,
    Refusal,
    ScriptedResponsesServer,
    call,
    openai_error,
    reasoning,
    text,
)

JSON = dict[str, Any]
TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
LOOKS = Answer(reasoning("Let me look."), call("look", {}))
CHATGPT = {"profile": "chatgpt", "environ": {"CHATGPT_ACCESS_TOKEN": "made-up"}}
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}


def ask(*items: JSON, **fields: Any) -> JSON:
    return {"model": "gpt-oss-120b", "input": [*items], "tools": [TOOL], **fields}


def user(words: Any) -> JSON:
    return {"type": "message", "role": "user", "content": words}


def output(call_id: str = "call_1") -> JSON:
    return {"type": "function_call_output", "call_id": call_id, "output": "green"}


@pytest.fixture
async def server(stage):
    """Open a stage on a strict server: `await server(*script)`."""
    opened = []

    async def open_server(*script, gateway=None, **options):
        served = ScriptedResponsesServer(script, **options)
        await served.start()
        opened.append(served)
        given = {**CHATGPT, "store": MemoryStore(), **(gateway or {})}
        return await stage(provider=served, **given)

    yield open_server
    for one in opened:
        await one.aclose()


async def test_a_conforming_stream_is_relayed_byte_for_byte(server):
    sent: list[bytes] = []
    s = await server(LOOKS, defects=(), on_chunk=lambda _, frame: sent.append(frame))
    reply = await s.post(ask(user("Look"), stream=True, store=False))
    assert reply.raw == b"".join(sent)
    assert "x-anyturn-adaptations" not in reply.headers


async def test_who_asks_for_no_stream_gets_the_answer_whole(server):
    """F35, F56: the server streams only, and its terminal event is empty."""
    s = await server(LOOKS)
    reply = await s.post(
        ask(user("Look"), max_output_tokens=5, temperature=0.5, metadata={"a": "b"})
    )
    assert reply.status == 200
    assert [item["type"] for item in reply.json["output"]] == ["reasoning", "function_call"]
    assert reply.json["metadata"] == {"a": "b"}
    assert set(s.provider.requests[0].body) == {
        *("model", "stream", "store", "instructions", "input", "include", "tools"),
    }


async def test_a_loop_by_references_and_ids_only(server):
    """F14, F15, F16: what the client names is there, and nothing of it is named to the server."""
    s = await server(LOOKS, LOOKS, text("Green."))
    first = (await s.post(ask(user("Look"), store=True))).json
    assert first["store"] is True
    assert "encrypted_content" not in first["output"][0]
    references = [{"type": "item_reference", "id": item["id"]} for item in first["output"]]
    second = (await s.post(ask(user("Look"), *references, output(), store=True))).json
    third = await s.post(
        ask(output("call_2"), store=True, previous_response_id=second["id"], stream=True)
    )
    response = third.events[-1]["response"]
    assert response["previous_response_id"] == second["id"]
    kinds = [item.get("type") for item in s.provider.requests[2].items]
    assert kinds == [
        *("message", "reasoning", "function_call", "function_call_output"),
        *("reasoning", "function_call", "function_call_output"),
    ]
    assert s.provider.refusals == []
    stored = await s.call("GET", f"/v1/responses/{second['id']}")
    assert stored.json["output"] == second["output"]


async def test_a_client_that_asks_for_seals_gets_them_and_brings_them_back(server):
    s = await server(LOOKS, text("Green."))
    asked = {"include": ["reasoning.encrypted_content"], "store": False}
    first = (await s.post(ask(user("Look"), **asked))).json
    assert first["output"][0]["encrypted_content"].startswith("gAAAA")
    await s.post(ask(user("Look"), *first["output"], output(), **asked))
    assert s.provider.refusals == []
    assert s.provider.requests[1].items[1]["encrypted_content"].startswith("gAAAA")


async def test_a_background_response_has_the_id_that_its_client_was_told(server):
    s = await server(text("Green."))
    queued = (await s.post(ask(user("Look"), background=True))).json
    reply = await s.call("GET", f"/v1/responses/{queued['id']}?stream=true")
    ended = reply.events[-1]["response"]
    assert (ended["id"], ended["status"]) == (queued["id"], "completed")
    assert ended["background"] is True
    again = await s.call("GET", f"/v1/responses/{queued['id']}")
    assert again.json["output"][0]["content"][0]["text"] == "Green."


async def test_a_websocket_gets_the_same_events(server):
    s = await server(LOOKS, defects=())
    async with s.http.ws_connect(f"{s.root}/v1/responses") as socket:
        body = ask(user("Look"), include=["reasoning.encrypted_content"])
        frame = msgspec.json.encode({"type": "response.create", **body})
        await socket.send_str(frame.decode())
        events = []
        while not events or events[-1]["type"] != "response.completed":
            events.append(msgspec.json.decode((await socket.receive(timeout=5)).data))
    assert [e["type"] for e in events].count("response.output_item.done") == 2
    assert [e["sequence_number"] for e in events] == list(range(len(events)))


# ---------------------------------------------------------------- servers that take functions only

PATCH: JSON = {"type": "custom", "name": "patch"}
PATCHES = Answer(reasoning("Hm."), call("patch", {"input": "+ä"}))


@pytest.fixture
async def functions_only(server):
    """Open a stage on a server that refuses all other tools and their items."""
    acme = find("chatgpt").replacing(name="acme", responses_tools=["function"])

    async def open_server(*script, check="off", **options):
        gateway = {"profile": "acme", "providers": {"acme": acme}, "check": check}
        return await server(*script, gateway=gateway, tools=["function"], **options)

    return open_server


@pytest.mark.parametrize("streams", [True, False], ids=["stream", "whole"])
async def test_a_freeform_call_is_one_again_and_can_be_named(functions_only, streams):
    """F14, F23: it is stored as the client got it, and goes back as a function."""
    s = await functions_only(PATCHES, text("Done."), text("Again."))
    reply = await s.post(ask(user("Patch"), tools=[PATCH], store=True, stream=streams))
    first = reply.events[-1]["response"] if streams else reply.json
    called = first["output"][1]
    assert (called["type"], called["input"]) == ("custom_tool_call", "+ä")
    assert first["tools"] == [PATCH]
    assert "tools.freeform" in reply.headers["x-anyturn-adaptations"]
    answered = {"type": "custom_tool_call_output", "call_id": called["call_id"], "output": "done"}
    references = [{"type": "item_reference", "id": item["id"]} for item in first["output"]]
    await s.post(ask(user("Patch"), *references, answered, tools=[PATCH]))
    await s.post(ask(answered, tools=[PATCH], previous_response_id=first["id"]))
    assert s.provider.refusals == []
    for request in s.provider.requests[1:]:
        kinds = [item["type"] for item in request.items]
        assert kinds == ["message", "reasoning", "function_call", "function_call_output"]
    stored = await s.call("GET", f"/v1/responses/{first['id']}")
    assert stored.json["output"] == first["output"]


async def test_a_background_turn_raises_its_calls(functions_only):
    s = await functions_only(PATCHES)
    queued = (await s.post(ask(user("Patch"), tools=[PATCH], background=True))).json
    reply = await s.call("GET", f"/v1/responses/{queued['id']}?stream=true")
    assert reply.events[-1]["response"]["output"][1]["type"] == "custom_tool_call"


async def test_a_raised_call_is_judged_like_any_other(functions_only):
    """With `--check strict` every event goes by the checker's rules."""
    s = await functions_only(PATCHES, check="strict")
    reply = await s.post(ask(user("Patch"), tools=[PATCH], stream=True))
    assert reply.events[-1]["type"] == "response.completed"
    assert reply.events[-1]["response"]["output"][1]["input"] == "+ä"


async def test_the_second_try_with_functions_raises_its_calls(server):
    """F21: only once, and told."""
    s = await server(PATCHES, tools=["function"])
    reply = await s.post(ask(user("Patch"), tools=[PATCH], stream=True))
    assert reply.events[-1]["response"]["output"][1]["type"] == "custom_tool_call"
    assert "tools.refused" in reply.headers["x-anyturn-adaptations"]
    assert len(s.provider.requests) == 2


# ---------------------------------------------------------------- compaction


async def test_a_server_that_knows_compaction_does_it_itself(server):
    item = {
        "type": "compaction",
        "id": "cmp_0123456789abcdef0123",
        "encrypted_content": "gAAAAABa-x",
    }
    events = [
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {"id": "resp_1", "output": []}},
    ]
    body = b"".join(b"data: %b\n\n" % msgspec.json.encode(event) for event in events)
    s = await server(Raw(body), text("On."))
    compacted = (await s.post(ask(user("Hi")), "/v1/responses/compact")).json
    assert s.provider.requests[0].items[-1] == {"type": "compaction_trigger"}
    assert compacted["output"] == [item]
    await s.post(ask(*compacted["output"], user("Go on")))
    assert s.provider.requests[1].items[0]["encrypted_content"] == "gAAAAABa-x"
    assert s.provider.refusals == []


async def test_for_others_a_summary_is_made_and_goes_back_in_words(server):
    """F61."""
    plain = {"profile": "", "environ": {}, "wire": "responses"}
    s = await server(text("We said hi."), text("On."), gateway=plain, strict=False)
    compacted = (await s.post(ask(user("Hi")), "/v1/responses/compact")).json
    assert [item["type"] for item in compacted["output"]] == ["compaction"]
    assert "tools" not in s.provider.requests[0].body
    await s.post(ask(*compacted["output"], user("Go on")))
    assert "We said hi." in s.provider.requests[1].items[0]["content"]


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (Refusal(400, {"detail": "Unsupported parameter: x"}), 400, "invalid_prompt"),
        (Refusal(429, openai_error("Slow down", type="rate_limit_error")), 429, None),
        (Refusal(404, openai_error("x", type="usage_limit_reached")), 429, "insufficient_quota"),
    ],
    ids=["detail", "rate", "plan"],
)
async def test_a_refusal_is_understood(server, refusal, status, code):
    s = await server(refusal)
    reply = await s.post(ask(user("Look"), stream=True))
    assert reply.status == status
    assert code is None or reply.error["code"] == code


async def test_a_stream_that_fails_at_once_is_a_status_for_who_wants_no_stream(server):
    s = await server(Answer(text("x"), error_after=(2, {"code": "server_error", "message": "No"})))
    reply = await s.post(ask(user("Look")))
    assert reply.status == 502
    assert "No" in reply.error["message"]


async def test_no_other_seal_reaches_the_server_twice(server):
    """F17: it is asked again without what it cannot open, once."""
    foreign = {"type": "reasoning", "summary": [], "encrypted_content": "gAAAAABb-1"}
    called = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
    s = await server(text("Green."))
    reply = await s.post(ask(user("Look"), foreign, called, output("c")))
    assert reply.status == 200
    assert "reasoning.refused" in reply.headers["x-anyturn-adaptations"]
    assert [len(request.items) for request in s.provider.requests] == [4, 3]


async def test_images_are_left_out_where_they_are_refused(server):
    """F11."""
    refusal = Refusal(400, {"detail": "This model does not support images."})
    s = await server(refusal, text("No idea."))
    reply = await s.post(ask(user([IMAGE, {"type": "input_text", "text": "What is it?"}])))
    assert reply.status == 200
    assert IMAGE not in s.provider.requests[1].items[0]["content"]


async def test_a_history_that_is_too_long_is_shortened_where_the_client_allows_it(server):
    full = Refusal(400, openai_error("Too long", code="context_length_exceeded"))
    s = await server(full, text("Yes."))
    said = [user(str(number)) for number in range(4)]
    assert (await s.post(ask(*said, truncation="auto"))).status == 200
    assert [item["content"] for item in s.provider.requests[1].items[1:]] == ["2", "3"]


async def test_strict_refuses_what_the_server_would_not_get(server):
    s = await server(text("Hi"), gateway={"strict": True})
    reply = await s.post(ask(user("Look"), temperature=0.1))
    assert (reply.status, s.provider.requests) == (400, [])
    assert "temperature" in reply.error["message"]


async def test_a_broken_stream_is_reported(server, caplog):
    """A3."""
    caplog.set_level(logging.DEBUG, "anyturn")
    s = await server(LOOKS, defects=[Defect.NEW_IDS])
    await s.post(ask(user("Look")))
    assert any("repair.item_id" in record.getMessage() for record in caplog.records)
