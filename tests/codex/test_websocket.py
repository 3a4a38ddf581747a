"""The real Codex over a WebSocket: one connection for a session, and the ways back to HTTP."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import pytest

from anyturn.server import websocket
from anyturn.server.app import Server
from anyturn.testing import Answer, Refusal, call, openai_error, text

pytestmark = pytest.mark.codex

WRITES = Answer(call("exec_command", {"cmd": "echo one >> log"}))
WRITES_AGAIN = Answer(call("exec_command", {"cmd": "echo two >> log"}))
BUSY = Refusal(503, openai_error("The server is busy.", type="server_error"))


class Asked(NamedTuple):
    """One message of Codex, and the connection that it came on, counted from 0."""

    connection: int
    warms_up: bool
    continues: bool
    items: list[str]


class Wire:
    """What Codex sent: the messages on its WebSockets, and the number of its posts."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.posts = 0
        self._sessions: list[Any] = []

    def note(self, session: Any, frame: bytes) -> None:
        if session not in self._sessions:
            self._sessions.append(session)
        message = msgspec.json.decode(frame)
        asked = Asked(
            self._sessions.index(session),
            message.get("generate") is False,
            "previous_response_id" in message,
            [item["type"] for item in message["input"]],
        )
        self.asked.append(asked)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    wire = Wire()
    run_turn, create_response = websocket.Session._run_turn, Server.create_response

    async def noted(self: Any, frame: bytes) -> None:
        wire.note(self, frame)
        await run_turn(self, frame)

    async def counted(self: Any, request: Any) -> Any:
        wire.posts += 1
        return await create_response(self, request)

    monkeypatch.setattr(websocket.Session, "_run_turn", noted)
    monkeypatch.setattr(Server, "create_response", counted)
    return wire


def over_websocket(stage: Any) -> list[str]:
    """Options that tell Codex of the gateway's WebSocket."""
    provider = (
        f'model_providers.anyturn={{name="anyturn",base_url="{stage.base_url}",'
        'wire_api="responses",experimental_bearer_token="anyturn",'
        f'model_catalog_url="{stage.base_url}/models",supports_websockets=true}}'
    )
    return ["-c", provider]


async def test_a_tool_loop_runs_over_one_connection_and_nothing_is_posted_f4(stage, wire):
    """Each message has only what is new, and the provider gets the whole history (I9)."""
    s = await stage(WRITES, WRITES_AGAIN, text("Done."))
    run = await s.codex("Write.", *over_websocket(s))
    assert (run.code, run.said, run.complaints) == (0, ["Done."], [])
    assert (s.workspace / "log").read_text() == "one\ntwo\n"
    assert wire.posts == 0
    assert wire.asked == [
        Asked(0, True, False, ["message"]),
        Asked(0, False, True, ["message"] * 3),
        Asked(0, False, True, ["function_call_output"]),
        Asked(0, False, True, ["function_call_output"]),
    ]
    first, second, third = (request.messages for request in s.requests)
    # The provider was not asked to warm up, and what the warm-up said begins the history.
    assert first[0]["role"] == "system"
    assert first[-1] == {"role": "user", "content": "Write."}
    assert second[: len(first)] == first and third[: len(second)] == second
    roles = [message["role"] for message in third[len(first) :]]
    assert roles == ["assistant", "tool"] * 2


async def test_where_it_is_switched_off_codex_posts_without_a_complaint_f66(stage, wire):
    s = await stage(WRITES, text("Done."), websocket=False)
    run = await s.codex("Write.", *over_websocket(s))
    assert (run.code, run.said, run.complaints) == (0, ["Done."], [])
    assert (s.workspace / "log").read_text() == "one\n"
    assert (wire.asked, wire.posts) == ([], 2)


async def test_a_resumed_session_goes_on_over_a_new_connection_f67(stage, wire):
    s = await stage(WRITES, text("It ran."), text("Once."))
    await s.codex("Run it.", *over_websocket(s))
    run = await s.codex("How often did it run?", *over_websocket(s), "resume", "--last")
    assert (run.code, run.said, run.complaints) == (0, ["Once."], [])
    assert (s.workspace / "log").read_text() == "one\n"
    assert wire.posts == 0
    assert [asked.connection for asked in wire.asked] == [0, 0, 0, 1, 1]
    history = s.requests[2].messages
    assert history[: len(s.requests[1].messages)] == s.requests[1].messages


CUT = Answer(text("I look into it first."), fragment=3, cut_after=4)


@pytest.mark.parametrize("failure", [BUSY, CUT], ids=["503", "cut-in-the-answer"])
async def test_codex_tries_again_after_a_failure_in_the_middle(stage, wire, failure):
    """F63: with the whole input on a new connection, so that no tool runs twice."""
    s = await stage(WRITES, failure, text("Done."), retries=0)
    run = await s.codex("Write.", *over_websocket(s))
    assert (run.code, run.said[-1], run.complaints) == (0, "Done.", [])
    assert (s.workspace / "log").read_text() == "one\n"
    assert wire.posts == 0
    assert [asked.connection for asked in wire.asked] == [0, 0, 0, 1]
    assert not wire.asked[-1].continues
    assert wire.asked[-1].items[-2:] == ["function_call", "function_call_output"]


async def test_codex_waits_as_long_as_an_error_frame_says(stage, wire):
    """F63: a 429 without a pause would end the run."""
    limited = Refusal(429, openai_error("Slow down."), {"Retry-After": "1"})
    s = await stage(limited, WRITES, text("Done."), retries=0)
    run = await s.codex("Write.", *over_websocket(s))
    assert (run.code, run.said, run.complaints) == (0, ["Done."], [])
    assert wire.posts == 0


async def test_a_failure_that_stays_ends_the_run_with_the_providers_words(stage):
    s = await stage(Refusal(400, openai_error("No such thing.")))
    run = await s.codex("Write.", *over_websocket(s))
    assert run.code == 1
    assert len(s.requests) == 1
    assert "No such thing." in run.events[-1]["error"]["message"]


async def test_codex_sends_everything_again_when_the_memory_is_gone_f67(stage, wire, monkeypatch):
    """`previous_response_not_found` is what Codex acts on, and nobody notices."""
    get = websocket.Nearby.get

    def forgetful(self: Any, response_id: str) -> Any:
        return get(self, response_id) if len(self._histories) == 1 else None

    monkeypatch.setattr(websocket.Nearby, "get", forgetful)
    s = await stage(WRITES, text("Done."))
    run = await s.codex("Write.", *over_websocket(s))
    assert (run.code, run.said, run.complaints) == (0, ["Done."], [])
    assert (s.workspace / "log").read_text() == "one\n"
    assert wire.posts == 0
    assert [asked.connection for asked in wire.asked] == [0, 0, 0, 1]


async def test_codex_opens_the_next_connection_when_the_first_has_reached_its_limit(
    stage, wire, monkeypatch
):
    sessions = []
    run = websocket.Session.run

    async def noted(self: Any) -> None:
        sessions.append(self)
        await run(self)

    def expiring(body: Any) -> Answer:
        sessions[0].expire()
        return WRITES

    monkeypatch.setattr(websocket.Session, "run", noted)
    s = await stage(expiring, text("Done."))
    run_of_codex = await s.codex("Write.", *over_websocket(s))
    assert (run_of_codex.code, run_of_codex.said) == (0, ["Done."])
    assert run_of_codex.complaints == []
    assert (s.workspace / "log").read_text() == "one\n"
    assert [asked.connection for asked in wire.asked] == [0, 0, 1]
    assert wire.posts == 0


async def test_codex_waits_for_a_silent_provider_because_it_gets_signs_of_life_f68(stage):
    """Pings do not count for Codex: its own time limit runs until an event comes."""
    loop_time = 1.5
    s = await stage(Answer(text("Hello."), pace=loop_time * 0.75), keepalive_s=0.2)
    patience = f"stream_idle_timeout_ms={int(loop_time * 500)},supports_websockets"
    name, provider = over_websocket(s)
    run = await s.codex("Hi.", name, provider.replace("supports_websockets", patience))
    assert (run.code, run.said, run.complaints) == (0, ["Hello."], [])
