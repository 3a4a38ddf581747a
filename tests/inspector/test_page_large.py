"""The inspector's page stays quick with 10,000 turns, and with a turn of 20,000 events."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from support.inspected_turns import long_turn, many_turns

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="session"),
    # Whatever else runs on this machine: what is measured has limits of its own below.
    pytest.mark.timeout(240),
]
TURNS = 10_000
EVENTS = 20_000
# Two seconds on a machine that does nothing else; what is meant is "not a minute".
_SOON_S = 8.0


async def test_ten_thousand_turns_are_scrolled_searched_and_filtered(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    many_turns(tmp_path, TURNS)
    page = await open_page(await inspect(tmp_path))
    await expect(page.locator("#tally")).to_have_text("10\u202f000 turns", timeout=180_000)
    assert await page.locator(".row").count() < 100
    await page.locator("#turn-list").focus()
    await page.keyboard.press("End")
    await expect(page.get_by_role("option").filter(has_text="task 0")).to_be_in_viewport()
    assert await page.locator(".row").count() < 100
    began = time.monotonic()
    await page.get_by_label("Search turns").fill("resp_004321")
    await expect(page.locator(".row")).to_have_count(1)
    await page.get_by_label("Search turns").fill("")
    await page.locator("[data-filter=failed]").click()
    await expect(page.locator("#tally")).to_have_text("1\u202f000 of 10\u202f000 turns")
    assert time.monotonic() - began < _SOON_S
    assert await page.locator(".plot-bar").count() <= 240


async def test_a_turn_of_twenty_thousand_events_opens_soon_and_scrolls_to_its_end(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    name = long_turn(tmp_path, EVENTS)
    page = await open_page(await inspect(tmp_path))
    await page.get_by_role("option").wait_for()
    began = time.monotonic()
    await page.get_by_role("option").click()
    await expect(page.locator(".transcript")).to_contain_text("word0 word1")
    await page.keyboard.press("2")
    await expect(page.locator(".wire-row", has_text="word5 ").first).to_be_visible()
    assert time.monotonic() - began < _SOON_S
    assert await page.locator(".wire-row").count() < 200
    await page.keyboard.press("End")
    await expect(page.locator(".note-end")).to_be_in_viewport()
    last = page.locator("[data-column=event]", has_text="completed")
    await expect(last).to_contain_text("19\u202f999")
    assert await page.locator(".wire-row").count() < 200
    await page.get_by_label("Find in both wires").fill("word12345 ")
    await expect(page.locator(".wire-row[aria-selected=true]")).to_contain_text("word12345")
    assert page.url.endswith(f"#{name}/wires/event-12348")


async def test_deltas_can_be_folded_to_one_line_with_their_sum(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    name = long_turn(tmp_path, 1000)
    page = await open_page(await inspect(tmp_path), at=f"#{name}/wires")
    await page.get_by_role("button", name="Fold deltas").click()
    fold = page.locator(".wire-fold")
    await expect(fold).to_contain_text("output_text.delta × 993")
    await expect(fold).to_contain_text("word1 word2 word3")
    assert await page.locator(".wire-row").count() < 20
    await fold.click()
    await expect(page.locator(".wire-details")).to_contain_text("chunks 1 to 993")
    await page.get_by_label("Find in both wires").fill("word500 ")
    await expect(page.locator(".wire-find")).to_contain_text("1 of")
    await page.get_by_role("button", name="Fold deltas").click()
    await expect(fold).to_have_count(0)
    await expect(page.locator(".wire-row[aria-selected=true]")).to_contain_text("word1")
