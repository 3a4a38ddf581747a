from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from rich.console import Console
from typer.testing import CliRunner

from anyturn.capture_files import CaptureError, CaptureFolder
from anyturn.cli.captures import make_default_folder
from anyturn.cli.main import app
from anyturn.cli.record import Told
from anyturn.codex.launch import recorded_command_line
from anyturn.relay.server import BackendError
from anyturn.server.lifecycle import CannotListen
from anyturn.testing import (
    Answer,
    Defect,
    Refusal,
    ScriptedProvider,
    ScriptedResponsesServer,
    call,
    openai_error,
    text,
)
from support.recordings import recording_relay

KEY = "sk-planted-9f8e7d6c5b4a39281706"
TOOL = {"type": "function", "name": "run", "parameters": {"type": "object", "properties": {}}}
ASK = {"model": "gpt-oss-120b", "input": "Run it.", "stream": True, "tools": [TOOL]}
CHAT = {
    "model": "gpt-oss-120b",
    "stream": True,
    "messages": [{"role": "user", "content": "Run it."}],
    "tools": [{"type": "function", "function": {"name": "run", "parameters": TOOL["parameters"]}}],
}


async def recorded(start: Any, to: str, path: str, bodies: list[Any], *options: str) -> Any:
    """What the command has said after these requests and Ctrl-C."""
    process = await start("record", "--to", to, "--port", "0", *options)
    greeting = await process.line()
    base_url = re.search(r"relays (http://\S+) to", greeting)
    assert base_url is not None
    headers = {"Authorization": f"Bearer {KEY}", "User-Agent": "codex_exec/0.169.0"}
    async with aiohttp.ClientSession(headers=headers) as http:
        for body in bodies:
            async with http.post(f"{base_url[1]}{path}", json=body) as response:
                await response.read()
    os.kill(process.pid, signal.SIGINT)
    ended = await process.ended()
    return greeting, base_url[1], ended


async def test_it_says_what_to_set_tells_each_turn_and_sums_up(start, workspace: Path) -> None:
    script = [
        Answer(call("run", {"n": 1})),
        Refusal(429, openai_error("Slow down.", code="rate_limit_exceeded")),
        Answer(text("It ran.")),
    ]
    async with ScriptedResponsesServer(script, strict=False, defects=()) as server:
        greeting, base_url, ended = await recorded(start, server.base_url, "/responses", [ASK] * 3)
    assert f"to {server.base_url}" in greeting
    assert ended.code == 0
    assert f"export OPENAI_BASE_URL={base_url}" in ended.stdout
    assert recorded_command_line(base_url) in ended.stdout
    told = re.findall(r"^\d\d:\d\d:\d\d POST .*$", ended.stdout, re.MULTILINE)
    assert re.search(
        r"/v1/responses gpt-oss-120b completed: run, 10 \+ 5 tokens, \S+ m?s  \S+\.ndjson", told[0]
    )
    assert "failed: HTTP 429," in told[1]
    assert "Slow down." in ended.stdout
    assert "3 turns are recorded (2 completed, 1 failed)" in ended.stdout
    assert "anyturn captures list\n" in ended.stdout
    assert KEY not in ended.stdout + ended.stderr
    folder = workspace / ".anyturn" / "captures"
    assert len(CaptureFolder(folder).files()) == 3
    assert (workspace / ".anyturn" / ".gitignore").read_text() == "*\n"
    # `anyturn captures` finds them without being told where.
    listed = await (await start("captures", "list")).ended()
    assert listed.stdout.count("codex_exec 0.169.0") == 3


async def test_where_nothing_was_recorded_that_is_said(start) -> None:
    async with ScriptedProvider([]) as provider:
        _, _, ended = await recorded(start, provider.base_url, "/models", [{}])
    assert "Nothing was recorded: of 1 requests none was a POST" in ended.stdout
    assert "POST /v1/models: 405, relayed and not recorded" in ended.stderr


VERBS = [
    (["list"], "gpt-oss-120b"),
    (["show", "1"], "recorded between both, unchanged"),
    (["explain", "1"], "The call reached the client in a form that it executes."),
    (["format"], "## From the client: requests"),
    (["compare", "1", "2"], "finish_reason|response.completed"),
    (["compare", "1", "2", "--chunks"], "finish_reason|response.completed"),
    (["export", "1", "--as", "sse"], "data: "),
    (["export", "1", "--as", "jsonl"], "^{"),
    (["export", "1", "--as", "provider-sse"], "data: "),
    (["export", "1", "--as", "curl"], "/(responses|chat/completions)"),
]


@pytest.mark.parametrize("wire", ["responses", "chat"])
async def test_every_verb_of_captures_works_on_what_was_recorded(start, wire, tmp_path) -> None:
    script = [Answer(call("run", {"n": 1})), Answer(text("It ran."))]
    folder = str(tmp_path / "recorded")
    if wire == "chat":
        server: Any = ScriptedProvider(script)
        path, body = "/chat/completions", CHAT
    else:
        server = ScriptedResponsesServer(script, strict=False, defects=())
        path, body = "/responses", ASK
    async with server:
        _, _, ended = await recorded(start, server.base_url, path, [body] * 2, "--capture", folder)
    assert f"anyturn captures list --dir {folder}" in ended.stdout
    assert f"anyturn inspect {folder}   # in the browser" in ended.stdout
    for arguments, sentence in VERBS:
        wide = CliRunner(env={"COLUMNS": "200"})
        result = wide.invoke(app, ["captures", *arguments, "--dir", folder])
        assert (arguments, result.exit_code, result.stderr) == (arguments, 0, "")
        assert re.search(sentence, result.stdout, re.MULTILINE), arguments
    refused = CliRunner().invoke(app, ["captures", "export", "--as", "pytest", "--dir", folder])
    assert "No gateway took part" in str(refused.exception)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (["--to", "api.openai.com/v1"], BackendError, "http:// or https:// in front"),
        (["--to", "https://x/v1?key=1"], BackendError, "an address and a path only"),
        (["--to", "http://x/v1", "--host", "0.0.0.0"], CannotListen, "--allow-anyone"),
    ],
)
def test_wrong_use_is_said(arguments, error, sentence) -> None:
    result = CliRunner().invoke(app, ["record", *arguments])
    assert isinstance(result.exception, error)
    assert sentence in str(result.exception)


async def test_a_taken_port_is_said(start, tmp_path: Path) -> None:
    async with ScriptedProvider([]) as provider:
        port = provider.base_url.split(":")[2].partition("/")[0]
        ended = await (
            await start("record", "--to", "http://127.0.0.1:9/v1", "--port", port)
        ).ended()
    assert ended.code == 2
    assert f"Port {port} on 127.0.0.1 is taken" in ended.stderr


def test_a_login_backend_is_used_with_the_login() -> None:
    line = recorded_command_line("http://127.0.0.1:1/backend-api/codex", login=True)
    assert "requires_openai_auth=true" in line and "env_key" not in line


def test_a_file_that_cannot_be_told_ends_nothing(tmp_path: Path, caplog) -> None:
    Told(Console()).of(tmp_path / "gone.ndjson.zst")
    assert "cannot be told" in caplog.text


async def test_findings_are_counted(tmp_path: Path) -> None:
    out = Console(record=True, width=200)
    broken = ScriptedResponsesServer([Answer(text("Hi."))], strict=False, defects=[Defect.NEW_IDS])
    async with (
        broken as server,
        recording_relay(server.base_url, tmp_path / "c") as relay,
        aiohttp.ClientSession() as http,
        http.post(f"{relay.base_url}/responses", json=ASK) as response,
    ):
        await response.read()
    (file,) = CaptureFolder(relay.folder).files()
    told = Told(out)
    told.of(file.path)
    assert told.findings > 0
    assert re.search(rf", {told.findings} findings?  {file.path.name}", out.export_text())


@pytest.mark.parametrize("link", [".anyturn", ".anyturn/captures", ".anyturn/.gitignore"])
def test_no_link_of_a_folder_that_somebody_made_is_followed(
    link: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands in a working directory may have come with a repository."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes").write_text("kept")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    Path(link).parent.mkdir(exist_ok=True)
    Path(link).symlink_to(mine / "notes" if link.endswith("ignore") else mine)
    with pytest.raises(CaptureError):
        make_default_folder()
    assert [one.name for one in mine.iterdir()] == ["notes"]
    assert (mine / "notes").read_text() == "kept"
