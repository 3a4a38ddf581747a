"""The status line over HTTP and over a WebSocket, as Codex gets it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from anyturn.conformance import check_stream as judged
from anyturn.testing import Answer, ScriptedResponsesServer, call, text
from anyturn.translate.status_line import marked
from support.http_clients import TOOL
from support.stream_rules import check_stream

JSON = dict[str, Any]
LINE = "{model} here"
TAIL = marked("gpt-oss-120b here")
TUI = {"originator": "codex-tui"}
ASK: JSON = {
    "model": "gpt-oss-120b",
    "input": "Hi",
    "instructions": "Be brief.",
    "tools": [TOOL],
    "include": ["reasoning.encrypted_content"],
    "store": False,
}
CALLERS = pytest.mark.parametrize("originator", ["codex-tui", "codex_exec"])
SERVERS = pytest.mark.parametrize("server", [False, True], ids=["chat", "responses"])


@pytest.fixture
async def lined(stage):
    """Open a stage with a status line, on a provider of either API."""
    opened = []

    async def open_stage(*script, server=False, **settings):
        given: JSON = {"status_line": LINE, **settings}
        if not server:
            return await stage(*script, **given)
        served = ScriptedResponsesServer(script)
        await served.start()
        opened.append(served)
        environ = {"CHATGPT_ACCESS_TOKEN": "made-up"}
        return await stage(provider=served, profile="chatgpt", environ=environ, **given)

    yield open_stage
    for one in opened:
        await one.aclose()


@SERVERS
@CALLERS
async def test_codex_is_ready_for_the_stream(lined, server, originator):
    s = await lined(Answer(text("Yes.")), server=server)
    reply = await s.post({**ASK, "stream": True}, originator=originator)
    judged(reply.raw).raise_for("codex", "openai-python", "ai-sdk")
    output = check_stream(reply.events)["output"]
    if originator == "codex_exec":
        assert output[0]["content"][0]["text"] == "Yes."
        assert output[1]["summary"][0]["text"] == "gpt-oss-120b here"
    else:
        assert [item["content"][0]["text"] for item in output] == [f"Yes.{TAIL}"]


@SERVERS
@CALLERS
async def test_a_gateway_that_checks_itself_has_nothing_to_say(lined, server, originator, caplog):
    s = await lined(Answer(text("Yes.")), server=server, check="strict")
    reply = await s.post({**ASK, "stream": True}, originator=originator)
    assert reply.events[-1]["type"] == "response.completed"
    assert "check:" not in caplog.text


@SERVERS
async def test_an_answer_that_is_not_streamed_has_it_and_says_so(lined, server):
    s = await lined(Answer(text("Yes.")), server=server)
    reply = await s.post(ASK, **TUI)
    assert reply.json["output"][-1]["content"][0]["text"] == f"Yes.{TAIL}"
    assert "answer.status_line@output" in reply.headers["x-anyturn-adaptations"]


async def test_the_header_of_a_stream_tells_only_what_is_known(lined):
    """Whether there is a line is known when the headers are gone."""
    s = await lined(Answer(text("Yes.")), Answer(text("No.")))
    first = await s.post({**ASK, "stream": True}, **TUI)
    assert "status_line" not in first.headers.get("x-anyturn-adaptations", "")
    items = [{"role": "user", "content": "Hi"}, *first.events[-1]["response"]["output"]]
    again = {**ASK, "stream": True, "input": [*items, {"role": "user", "content": "And?"}]}
    second = await s.post(again, **TUI)
    assert "history.status_line@input" in second.headers["x-anyturn-adaptations"]
    assert s.provider.requests[1].messages[2]["content"] == "Yes."


@SERVERS
async def test_a_session_over_a_websocket(lined, server):
    s = await lined(Answer(text("I look."), call("f", {})), Answer(text("Yes.")), server=server)
    async with s.http.ws_connect(f"{s.base_url}/responses", headers=TUI) as socket:

        async def answer(**fields: Any) -> list[JSON]:
            asked = {"type": "response.create", **ASK, **fields}
            await socket.send_str(msgspec.json.encode(asked).decode())
            events = []
            while not events or events[-1]["type"] != "response.completed":
                events.append(msgspec.json.decode(await socket.receive_str(timeout=20)))
            return [event for event in events if event["type"] != "keepalive"]

        first = check_stream(await answer())
        assert first["output"][0]["content"][0]["text"] == "I look."
        output = {"type": "function_call_output", "output": "green"}
        output["call_id"] = first["output"][1]["call_id"]
        second = check_stream(await answer(previous_response_id=first["id"], input=[output]))
    assert second["output"][0]["content"][0]["text"] == f"Yes.{TAIL}"


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": []},
        {"text": {"format": {"type": "json_object"}}},
        {"input": [{"role": "user", "content": "Hi"}, {"type": "compaction_trigger"}]},
    ],
    ids=["no-tools", "structured", "compaction"],
)
@CALLERS
async def test_what_is_no_answer_to_the_user_has_none(lined, fields, originator):
    s = await lined(Answer(text('{"a": 1}')))
    reply = await s.post({**ASK, **fields}, originator=originator)
    output = reply.json["output"]
    assert len(output) == 1
    assert output[0]["type"] == "compaction" or output[0]["content"][0]["text"] == '{"a": 1}'


async def test_off_is_off(stage):
    s = await stage(Answer(text("Yes.")))
    reply = await s.post(ASK, **TUI)
    assert reply.json["output"][0]["content"][0]["text"] == "Yes."


async def test_a_gateway_for_a_network_looks_into_no_folder(lined, monkeypatch):
    """A client elsewhere names folders of its own machine, or tries to learn of this one's."""
    made = []
    monkeypatch.setattr(
        "anyturn.server.lifecycle.StatusLines",
        lambda *_, looks_into_folders, **__: made.append(looks_into_folders),
    )
    await lined(Answer(text("Yes.")))
    await lined(Answer(text("Yes.")), host="0.0.0.0", allow_anyone=True)
    assert made == [True, False]
