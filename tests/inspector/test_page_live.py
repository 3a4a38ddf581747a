"""The inspector's page while turns run, and while its server is away."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from anyturn.testing import (
    Answer,
    Refusal,
    ResponsesClient,
    ResponsesRefused,
    call,
    openai_error,
    reasoning,
    run_agent,
    text,
)
from support.inspected_turns import turn, write_turn

MODEL = "gpt-oss-120b"
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_a_tool_call_is_watched_from_its_first_delta_to_its_output(
    open_page: Any, stage: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    command = {"cmd": "echo it really ran > made.txt; cat made.txt"}
    gateway, provider = await stage(
        Answer(reasoning("A file."), call("exec_command", command), fragment=10, hold_after=5),
        Answer(text("I made the file."), fragment=4, hold_after=3),
    )
    page = await open_page(gateway.inspector)
    await expect(page.get_by_text("No turn is recorded here yet.")).to_be_visible()
    (tmp_path / "work").mkdir()
    async with asyncio.TaskGroup() as tasks:
        agent = tasks.create_task(
            run_agent(gateway.base_url, "Make it.", model=MODEL, directory=tmp_path / "work")
        )
        await watch(page, provider)
    assert agent.result().text == "I made the file."
    assert provider.refusals == []


async def watch(page: Any, provider: Any) -> None:
    """Follow both turns of the agent on the page."""
    from playwright.async_api import expect

    row = page.get_by_role("option").filter(has_text="Make it.")
    await expect(row.get_by_role("img", name="live")).to_be_visible()
    await row.first.click()
    spoken = page.locator(".transcript")
    await expect(spoken).to_contain_text('{"cmd":"echo it')
    await expect(spoken).not_to_contain_text("made.txt; cat")
    await expect(page.locator(".turn-head .outcome")).to_have_text("live")
    await expect(page.locator(".chart .open")).to_be_visible()

    provider.release(1)
    await expect(page.locator(".turn-head .outcome")).to_have_text("completed")
    await expect(spoken).to_contain_text("cat made.txt")
    await expect(spoken.locator(".output")).to_contain_text("it really ran")
    await expect(page.get_by_role("button", name="ran: its output came back after")).to_be_visible()
    await expect(page.get_by_role("option")).to_have_count(2)
    await expect(page.get_by_role("option").nth(1)).to_have_attribute("aria-selected", "true")

    await page.keyboard.press("2")
    await page.get_by_role("option").first.click()
    await expect(page.locator(".wire-text", has_text="I ma").first).to_be_visible()
    await expect(page.locator(".note-end")).to_have_count(0)
    provider.release(2)
    await expect(page.locator(".note-end")).to_contain_text("completed")


async def test_a_refusal_of_the_provider_is_understood(open_page: Any, stage: Any) -> None:
    from playwright.async_api import expect

    gateway, _ = await stage(Refusal(401, openai_error("This key was revoked.")))
    page = await open_page(gateway.inspector)
    client = ResponsesClient(gateway.base_url)
    with pytest.raises(ResponsesRefused):
        await client.create({"model": MODEL, "input": "Hello?"})
    await client.aclose()
    await page.get_by_role("option").filter(has_text="Hello?").click()
    await expect(page.locator(".summary")).to_contain_text("This key was revoked.")
    await expect(page.locator(".turn-head .outcome")).to_have_text("failed")
    await expect(page.locator(".points")).to_contain_text("the provider or its model")


async def test_a_server_that_comes_back_is_found_again(
    open_page: Any, serving: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    write_turn(tmp_path, turn(1, "before"), 1)
    async with serving(tmp_path, token="made-up") as link:
        page = await open_page(link)
        page.guard.allow("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE")
        await page.get_by_role("option").first.click()
        await expect(page.get_by_role("heading", name="before")).to_be_visible()
        await expect(page.locator("#connection")).to_have_text("watching")
    await expect(page.locator("#connection")).to_have_text("connection lost, trying again")
    await expect(page.get_by_role("heading", name="before")).to_be_visible()
    write_turn(tmp_path, turn(2, "meanwhile"), 2)
    async with serving(tmp_path, urlsplit(link).port, "made-up"):
        await expect(page.locator("#connection")).to_have_text("watching")
        await expect(page.get_by_role("option").first).to_contain_text("meanwhile")
        await expect(page.get_by_role("option").nth(1)).to_have_attribute("aria-selected", "true")


async def test_a_server_with_another_token_says_where_the_link_is(
    open_page: Any, serving: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    async with serving(tmp_path, token="made-up") as link:
        page = await open_page(link)
        page.guard.allow("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE|401")
        await expect(page.locator("#connection")).to_have_text("watching")
    async with serving(tmp_path, urlsplit(link).port, "another"):
        await expect(page.locator("#connection")).to_have_text("link expired")
        await expect(page.get_by_text("Open the link that was printed")).to_be_visible()
