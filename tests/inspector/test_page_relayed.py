"""Turns that `anyturn record` wrote, in a real browser: one wire, and no gateway in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from anyturn.capture_files import CaptureFolder
from anyturn.testing import Answer, Entry, ScriptedProvider, ScriptedResponsesServer, call, text
from support.recordings import recording_relay

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

MODEL = "gpt-oss-120b"
TOOL = {"name": "run", "parameters": {"type": "object", "properties": {}}}
RESPONSES = {
    "model": MODEL,
    "stream": True,
    "store": False,
    "instructions": "Be brief.",
    "input": [{"type": "message", "role": "user", "content": "Run it."}],
    "tools": [{"type": "function", **TOOL}],
}
CHAT = {
    "model": MODEL,
    "stream": True,
    "messages": [{"role": "user", "content": "Run it."}],
    "tools": [{"type": "function", "function": TOOL}],
}
CALLS = Answer(call("run", {"command": "ls -l", "folder": "/"}))


async def relayed(folder: Path, server: ScriptedProvider, body: dict[str, Any]) -> str:
    """Have the relay record a turn between a client and this server; the name of the capture."""
    path = "/responses" if isinstance(server, ScriptedResponsesServer) else "/chat/completions"
    async with (
        server,
        recording_relay(server.base_url, folder) as relay,
        aiohttp.ClientSession() as http,
        http.post(f"{relay.base_url}{path}", json=body) as answer,
    ):
        await answer.read()
    (listed,) = CaptureFolder(folder).files()
    return listed.name


def responses(*script: Entry) -> ScriptedResponsesServer:
    return ScriptedResponsesServer(script, strict=False)


async def test_a_relayed_turn_has_one_wire_with_each_message_once(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    name = await relayed(tmp_path, responses(CALLS), RESPONSES)
    page = await open_page(await inspect(tmp_path), at=f"#{name}/wires")
    shown = page.get_by_role("tabpanel", name="Wires")
    await expect(shown.get_by_text("Backend → client")).to_be_visible()
    await expect(shown.get_by_text("gateway")).to_have_count(0)
    await expect(shown.locator(".note-relayed")).to_contain_text("passed on unchanged to http://")
    await expect(shown.locator(".wire-name", has_text="output_item.done")).to_have_count(1)
    await expect(shown.locator(".wire-name", has_text="completed")).to_be_visible()
    await expect(shown.get_by_placeholder("Find in the wire")).to_be_visible()


async def test_an_event_of_a_relayed_turn_is_shown_alone_and_has_an_address(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    name = await relayed(tmp_path, responses(CALLS), RESPONSES)
    page = await open_page(await inspect(tmp_path), at=f"#{name}/wires/event-2")
    await expect(page.locator(".wire-row[aria-selected=true]")).to_contain_text("output_item.added")
    heads = page.locator(".wire-details .message-head")
    await expect(heads).to_have_count(1)
    await expect(heads).to_contain_text("event 2")
    await page.get_by_role("button", name="Fold deltas").click()
    await expect(page.locator(".wire-fold")).to_contain_text("function_call_arguments.delta ×")


async def test_a_relayed_chat_turn_shows_its_chunks(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    name = await relayed(tmp_path, ScriptedProvider([CALLS]), CHAT)
    page = await open_page(await inspect(tmp_path), at=f"#{name}/wires")
    await expect(page.get_by_text("Backend → client")).to_contain_text("chunks")
    await expect(page.locator(".wire-name", has_text="tool_call")).not_to_have_count(0)
    await expect(page.get_by_role("button", name="Fold deltas")).to_be_hidden()
    await page.locator(".wire-row", has_text="finish").click()
    await expect(page.locator(".wire-details .message-head")).to_contain_text("chunk")
    await expect(page.get_by_text("led to no event")).to_have_count(0)
    await page.get_by_role("tab", name="Timeline").click()
    await expect(page.get_by_role("tabpanel", name="Timeline")).to_contain_text(
        "it came whole, and its answer ended with a finish_reason"
    )


@pytest.mark.parametrize(
    ("server", "body"),
    [
        (ScriptedProvider([]), CHAT),
        (ScriptedResponsesServer([], strict=False), RESPONSES),
    ],
    ids=["chat", "responses"],
)
async def test_a_refusal_that_was_relayed_is_explained(
    open_page: Any, inspect: Any, tmp_path: Path, server: ScriptedProvider, body: Any
) -> None:
    from playwright.async_api import expect

    name = await relayed(tmp_path, server, body)
    page = await open_page(await inspect(tmp_path), at=f"#{name}")
    shown = page.get_by_role("tabpanel", name="Timeline")
    await expect(shown).to_contain_text("the turn failed")
    await expect(shown).to_contain_text("the provider or its model")
    await page.get_by_role("tab", name="Wires").click()
    await expect(page.locator(".note-end")).to_contain_text("failed")
    await expect(page.locator(".wire-row:not(.wire-note)")).to_have_count(1)


async def test_the_request_of_a_relayed_turn_is_shown_once(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    name = await relayed(tmp_path, ScriptedProvider([Answer(text("Hi."))]), CHAT)
    page = await open_page(await inspect(tmp_path), at=f"#{name}/request")
    shown = page.get_by_role("tabpanel", name="Request")
    await expect(shown.get_by_role("heading")).to_have_text(["Client → backend"])
    await expect(shown).to_contain_text("Passed on unchanged to http://127.0.0.1")
    await expect(shown).to_contain_text("messages:")
