"""The inspector's page without a pointer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.inspected_turns import REFUSED, turn, write_turn

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def opened(open_page: Any, inspect: Any, folder: Path) -> Any:
    """A page with three turns; the newest is the third."""
    write_turn(folder, turn(1, "first task"), 1)
    write_turn(folder, turn(2, "second task", status="failed", error=REFUSED), 2)
    write_turn(folder, turn(3, "third task"), 3)
    page = await open_page(await inspect(folder), permissions=["clipboard-read", "clipboard-write"])
    await page.locator(".row").nth(2).wait_for()
    return page


async def test_a_turn_is_searched_opened_and_read_with_the_keyboard_alone(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    page = await opened(open_page, inspect, tmp_path)
    await page.keyboard.press("/")
    await expect(page.get_by_label("Search turns")).to_be_focused()
    await page.keyboard.type("task")
    await page.keyboard.press("Enter")
    await expect(page.locator("#turn-list")).to_be_focused()
    await page.keyboard.press("j")
    await expect(page.locator(".at-cursor")).to_contain_text("second task")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="second task")).to_be_visible()
    for key, side in {"2": "Wires", "3": "Request", "4": "Raw", "1": "Timeline"}.items():
        await page.keyboard.press(key)
        await expect(page.get_by_role("tab", name=side)).to_have_attribute("aria-selected", "true")
    await page.keyboard.press("2")
    await expect(page.get_by_role("grid")).to_be_focused()
    await page.keyboard.press("Home")
    await expect(page.locator(".wire-details")).to_contain_text("the client's request")
    await page.keyboard.press("End")
    await expect(page.locator(".wire-row[aria-selected=true]")).to_contain_text("the turn ended")
    await page.keyboard.press("Escape")
    await expect(page.locator(".wire-details")).to_be_hidden()
    await page.keyboard.press("Escape")
    await expect(page.locator("#turn-list")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.get_by_label("Search turns")).to_have_value("")
    await page.keyboard.press("Escape")
    await expect(page.get_by_text("Choose a turn to see what it did.")).to_be_visible()


async def test_the_cursor_stays_inside_of_the_list(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    page = await opened(open_page, inspect, tmp_path)
    for key, at in (
        *(("k", "third"), ("End", "first"), ("j", "first"), ("ArrowUp", "second")),
        *(("Home", "third"), ("PageDown", "first"), ("PageUp", "third"), ("ArrowDown", "second")),
    ):
        await page.keyboard.press(key)
        await expect(page.locator(".at-cursor")).to_contain_text(f"{at} task")
    listbox = page.locator("#turn-list")
    cursor = await page.locator(".at-cursor").get_attribute("id")
    await expect(listbox).to_have_attribute("aria-activedescendant", cursor or "")
    await page.keyboard.press("o")
    await page.keyboard.press("n")
    await expect(page.get_by_role("heading", name="first task")).to_be_visible()
    await page.keyboard.press("N")
    await expect(page.get_by_role("heading", name="second task")).to_be_visible()


async def test_f_goes_round_the_filters_that_let_something_through(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    page = await opened(open_page, inspect, tmp_path)
    for filter in ("completed", "failed", "findings", "all"):
        await page.keyboard.press("f")
        chosen = page.locator("#filters [aria-pressed=true]")
        await expect(chosen).to_have_attribute("data-filter", filter)
    await page.keyboard.press("Shift+F")
    await expect(chosen).to_have_attribute("data-filter", "findings")


async def test_the_help_names_the_keys_and_closes(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    page = await opened(open_page, inspect, tmp_path)
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keys")).to_contain_text("search the turns")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()


async def test_c_copies_what_the_side_shows(open_page: Any, inspect: Any, tmp_path: Path) -> None:
    from playwright.async_api import expect

    page = await opened(open_page, inspect, tmp_path)
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page.locator(".point").first).to_be_visible()
    for keys, words in {
        ("c",): "call run (call_1)",
        ("2", "Home", "c"): '"user-agent": "codex/1"',
        ("ArrowDown", "ArrowDown", "ArrowLeft", "c"): '"tool_calls"',
        ("3", "c"): '"model": "m"',
        ("4", "Home", "c"): '"format":"anyturn-capture"',
    }.items():
        if "4" in keys:
            await page.keyboard.press("4")
            await page.locator(".raw-line").first.wait_for()
        for key in keys:
            await page.keyboard.press(key)
        has = "(words) => navigator.clipboard.readText().then((text) => text.includes(words))"
        await page.wait_for_function(has, arg=words)


async def test_the_tabs_are_reached_and_turned_with_arrows(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    page = await opened(open_page, inspect, tmp_path)
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await page.get_by_role("tab", name="Timeline").focus()
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("tab", name="Wires")).to_be_focused()
    await page.keyboard.press("ArrowLeft")
    await page.keyboard.press("ArrowLeft")
    await expect(page.get_by_role("tab", name="Raw")).to_be_focused()


async def test_whoever_types_moves_nothing(open_page: Any, inspect: Any, tmp_path: Path) -> None:
    from playwright.async_api import expect

    page = await opened(open_page, inspect, tmp_path)
    await page.get_by_label("Search turns").focus()
    await page.keyboard.type("jkf?t1o")
    await expect(page.get_by_label("Search turns")).to_have_value("jkf?t1o")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await expect(page.locator("[data-filter=all]")).to_have_attribute("aria-pressed", "true")


async def test_what_has_the_focus_can_be_seen(open_page: Any, inspect: Any, tmp_path: Path) -> None:
    page = await opened(open_page, inspect, tmp_path)
    seen = set()
    for _ in range(14):
        await page.keyboard.press("Tab")
        focused = """() => {
          const at = document.activeElement;
          const own = getComputedStyle(at).outlineStyle !== "none" || at.id === "turn-list";
          return [at.id || at.dataset.filter || at.className, own || at === document.body];
        }"""
        name, visible = await page.evaluate(focused)
        assert visible, name
        seen.add(name)
    assert {"theme", "show-help", "search", "all", "findings", "turn-list"} <= seen
