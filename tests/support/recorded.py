"""A turn that the real gateway recorded, with a scripted provider behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anyturn.capture.format import Capture
from anyturn.capture_files import CaptureFolder, read_file
from anyturn.config import load_settings
from anyturn.routing import Routing
from anyturn.server.lifecycle import running
from anyturn.testing import Answer, ResponsesClient, ScriptedProvider, call, reasoning, text

TOOL = {"type": "function", "name": "run", "parameters": {"type": "object", "properties": {}}}
REQUEST: dict[str, Any] = {"model": "gpt-oss-120b", "input": "Run it.", "tools": [TOOL]}
KEY = "sk-planted-9f8e7d6c5b4a39281706"


async def record(folder: Path, *script: Any, request: dict[str, Any] = REQUEST) -> list[Capture]:
    """Run a turn for each entry of the script and read what was recorded."""
    async with ScriptedProvider(script) as provider:
        flags = {"provider": "cerebras", "base_url": provider.base_url, "port": 0, "store": "off"}
        settings = load_settings(
            {**flags, "model": "gpt-oss-120b", "capture": str(folder), "retries": 0},
            {},
            folder.parent,
        )
        routing = Routing(settings, {"CEREBRAS_API_KEY": KEY})
        async with (
            running(settings, routing) as gateway,
            ResponsesClient(gateway.base_url) as client,
        ):
            for number in range(len(script)):
                words = [{"role": "user", "content": "Run it again."}] * number
                first = [{"role": "user", "content": request["input"]}]
                asked = {**request, "input": [*first, *words]} if number else request
                assert [event async for event in client.stream(asked)]
    return [read_file(one.path) for one in CaptureFolder(folder).files()]


SCRIPT = (
    Answer(reasoning("I shall run it."), call("run", {"n": 1})),
    Answer(text("It ran, and said ✔.")),
)


@pytest.fixture
async def recorded_folder(tmp_path: Path) -> Path:
    """A folder with two recorded turns."""
    folder = tmp_path / "captures"
    assert len(await record(folder, *SCRIPT)) == len(SCRIPT)
    return folder


@pytest.fixture
async def real_capture(recorded_folder: Path) -> Capture:
    """The first of them."""
    return read_file(CaptureFolder(recorded_folder).files()[0].path)
