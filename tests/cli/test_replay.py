from __future__ import annotations

import re
import socket
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from anyturn.capture.format import ProviderRequest
from anyturn.capture_files import CaptureError, write_plain
from anyturn.cli.main import app
from anyturn.cli.replay import speed_of
from anyturn.replay.provider import ReplayError
from anyturn.server.lifecycle import CannotListen
from support import captured_turns


@pytest.mark.parametrize(("word", "speed"), [("none", 0), ("original", 1), ("2x", 2), ("0.5", 0.5)])
def test_speeds(word: str, speed: float) -> None:
    assert speed_of(word) == speed


@pytest.mark.parametrize("word", ["fast", "", "x", "0x", "-1", "nan", "1e9"])
def test_a_wrong_speed_is_said(word: str) -> None:
    with pytest.raises(CaptureError, match="--speed takes"):
        speed_of(word)


async def test_provider_gateway_and_client_of_a_recording(start, recorded_folder: Path) -> None:
    provider = await start("replay", str(recorded_folder))
    first = await provider.line()
    assert "2 recorded answers" in first
    url = re.search(r"http://\S+", first)
    assert url is not None
    gateway = await start(
        *("serve", "--provider", "cerebras", "--base-url", url[0], "--model", "gpt-oss-120b"),
        *("--port", "0"),
        environ={"CEREBRAS_API_KEY": "made-up", "ANYTURN_STORE": "off"},
    )
    listens = re.search(r"http://\S+", await gateway.line())
    assert listens is not None
    asked = ("replay", str(recorded_folder), "--as", "client", "--to", listens[0])
    same = await (await start(*asked)).ended()
    assert (same.code, same.stderr) == (0, "")
    assert "2 of 2 turns are the same; 0 skipped." in same.stdout
    # The tapes are used up: now the answers differ, and the exit code says so.
    other = await (await start(*asked)).ended()
    assert other.code == 1
    assert "0 of 2 turns are the same" in other.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--as", "server"], "--as takes provider or client"),
        (["--as", "client"], "needs the gateway's address"),
        (["--as", "client", "--to", "http://127.0.0.1:9/v1"], "did not answer"),
        (["--speed", "fast"], "--speed takes"),
    ],
)
def test_wrong_use_is_said(real_capture, recorded_folder: Path, arguments, sentence) -> None:
    result = CliRunner().invoke(app, ["replay", str(recorded_folder), *arguments])
    assert isinstance(result.exception, CaptureError)
    assert sentence in str(result.exception)


def test_a_taken_port_is_said_with_what_to_do(recorded_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["replay", str(recorded_folder), "--port", port])
    assert isinstance(result.exception, CannotListen)
    assert f"Port {port} on 127.0.0.1 is taken" in str(result.exception)


async def test_the_recording_of_a_responses_server_is_served_as_one(start, tmp_path: Path) -> None:
    records = captured_turns.records()
    asked = next(place for place, one in enumerate(records) if isinstance(one, ProviderRequest))
    records[asked] = msgspec.structs.replace(records[asked], url="http://p/v1/responses")
    write_plain(tmp_path / "1.ndjson", records)
    provider = await start("replay", str(tmp_path))
    said = [await provider.line() for _ in range(3)]
    assert "--wire responses --model" in said[2], said


def test_nothing_to_replay_is_said(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["replay", str(tmp_path)])
    assert isinstance(result.exception, CaptureError)
    (tmp_path / "x.ndjson").write_text("{}")
    result = CliRunner().invoke(app, ["replay", str(tmp_path / "x.ndjson")])
    assert isinstance(result.exception, ReplayError)
