"""The real Codex through `anyturn record`: what is learnt from it, and played again."""

from __future__ import annotations

from pathlib import Path

import pytest

from anyturn.capture.explain import explain
from anyturn.capture.format import Capture
from anyturn.capture.redact import Redactor
from anyturn.capture.timeline import timeline_of
from anyturn.captured_findings import findings_of
from anyturn.replay.provider import replaying
from anyturn.testing import Answer, ScriptedResponsesServer, call, reasoning, text
from support.recordings import recording_relay

pytestmark = pytest.mark.codex

SCRIPT = (
    Answer(reasoning("One file."), call("exec_command", {"cmd": "echo one | tee one.txt"})),
    Answer(text("It is made ✔")),
)


def through(base_url: str, *, websocket: bool = False) -> list[str]:
    """The options that send Codex to this address."""
    provider = (
        f'model_providers.anyturn={{name="anyturn",base_url="{base_url}",wire_api="responses",'
        'experimental_bearer_token="sk-made-up-0123456789abcdef"'
        f"{',supports_websockets=true' if websocket else ''}}}"
    )
    return ["-c", provider]


def complaints(run) -> list[str]:
    """Without the one about a model that is in no catalogue: only the gateway has one."""
    return [said for said in run.complaints if not said.startswith("Model metadata")]


def check_recorded(captures: list[Capture], transport: str) -> None:
    """What every verb needs of a recorded session."""
    assert [capture.problems for capture in captures] == [[]] * len(captures)
    assert {c.head.transport for c in captures} == {transport}
    assert {(c.head.wire, c.head.passive, c.status) for c in captures} == {
        ("responses", True, "completed")
    }
    assert captures[0].head.client == "codex_exec"
    called = next(one for one in captures if timeline_of(one).calls)
    later = captures[captures.index(called) + 1 :]
    explained = explain(called, later, findings_of)
    assert [verdict.runs for verdict in explained.verdicts] == [True]
    assert "so it ran" in explained.verdicts[0].what


async def replay_to_codex(stage, captures: list[Capture], *, websocket: bool) -> None:
    async with replaying(captures) as provider:
        provider.refusals = []
        s = await stage(provider=provider)
        (s.workspace / "one.txt").unlink()
        options = through(provider.base_url, websocket=websocket)
        run = await s.codex("Make one.txt.", *options)
        assert (run.code, run.said, complaints(run)) == (0, ["It is made ✔"], [])
        assert provider.refused == 0
        assert (s.workspace / "one.txt").read_text() == "one\n"


async def test_codex_over_sse_is_recorded_and_played_again(stage, tmp_path: Path) -> None:
    async with (
        ScriptedResponsesServer(SCRIPT, strict=False, defects=()) as server,
        recording_relay(server.base_url, tmp_path / "recorded") as relay,
    ):
        s = await stage(provider=server)
        run = await s.codex("Make one.txt.", *through(relay.base_url))
    assert (run.code, run.said, complaints(run)) == (0, ["It is made ✔"], [])
    assert (s.workspace / "one.txt").read_text() == "one\n"
    assert len(relay.captures) == 2
    check_recorded(relay.captures, "http")
    assert relay.captures[0].request == Redactor().value(server.requests[0].body)
    assert b"sk-made-up" not in relay.written
    await replay_to_codex(stage, relay.captures, websocket=False)


async def test_codex_over_a_websocket_is_recorded_and_played_again(stage, tmp_path) -> None:
    """The gateway is the backend: it serves the WebSocket."""
    gateway = await stage(*SCRIPT)
    async with recording_relay(gateway.base_url, tmp_path / "recorded") as relay:
        run = await gateway.codex("Make one.txt.", *through(relay.base_url, websocket=True))
    assert (run.code, run.said, complaints(run)) == (0, ["It is made ✔"], [])
    captures = relay.captures
    assert len(captures) == 3
    assert all(capture.request["type"] == "response.create" for capture in captures)
    assert captures[0].request["generate"] is False
    check_recorded(captures, "websocket")
    assert b"sk-made-up" not in relay.written
    await replay_to_codex(stage, captures, websocket=True)


async def test_what_came_over_a_websocket_can_be_played_over_http(stage, tmp_path) -> None:
    gateway = await stage(*SCRIPT)
    async with recording_relay(gateway.base_url, tmp_path / "recorded") as relay:
        await gateway.codex("Make one.txt.", *through(relay.base_url, websocket=True))
    captures = [one for one in relay.captures if len(timeline_of(one).entries)]
    await replay_to_codex(stage, captures, websocket=False)
