"""The list of turns in a real browser: rows, search, filters, plots, and what an empty one says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.inspected_turns import REFUSED, turn, unreadable_turn, write_turn

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


def write_some(folder: Path) -> list[str]:
    """Four turns, the newest first."""
    names = [
        write_turn(folder, turn(1, "list the files", model="gpt-oss-120b"), 1),
        write_turn(folder, turn(2, "fix the test", status="failed", error=REFUSED), 2),
        write_turn(folder, turn(3, "write the docs", status="incomplete"), 3),
        write_turn(folder, turn(4, "give up", status="left"), 4),
    ]
    return names[::-1]


def rows(page: Any) -> Any:
    return page.get_by_role("listbox", name="Turns, newest first").get_by_role("option")


async def prompts(page: Any) -> list[str]:
    return await page.locator(".row-prompt").all_inner_texts()


async def test_the_newest_turn_comes_first_with_its_facts(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    write_some(tmp_path)
    page = await open_page(await inspect(tmp_path))
    await expect(rows(page)).to_have_count(4)
    assert await prompts(page) == ["give up", "write the docs", "fix the test", "list the files"]
    failed = rows(page).nth(2)
    await expect(failed).to_contain_text("Too many requests: retry in 3 s")
    await expect(failed.get_by_role("img", name="failed")).to_be_visible()
    await expect(rows(page).nth(3)).to_contain_text("gpt-oss-120b")
    await expect(page.locator("#tally")).to_have_text("4 turns")
    await expect(page.locator("#folder")).to_have_text(str(tmp_path))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("FILES", ["list the files"]),
        ("gpt-oss", ["list the files"]),
        ("retry in", ["fix the test"]),
        ("the docs write", ["write the docs"]),
        ("030409", ["give up"]),
    ],
    ids=["prompt", "model", "error", "several words", "name"],
)
async def test_search_finds_by(
    open_page: Any, inspect: Any, tmp_path: Path, words: str, found: list[str]
) -> None:
    from playwright.async_api import expect

    write_some(tmp_path)
    page = await open_page(await inspect(tmp_path))
    await expect(rows(page)).to_have_count(4)
    await page.get_by_label("Search turns").fill(words)
    await expect(rows(page)).to_have_count(len(found))
    assert await prompts(page) == found


async def test_a_search_without_a_hit_can_be_taken_back(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    write_some(tmp_path)
    page = await open_page(await inspect(tmp_path))
    await page.get_by_label("Search turns").fill("no such thing")
    await expect(page.get_by_text("No turn matches.")).to_be_visible()
    await page.get_by_role("button", name="Show all turns").click()
    await expect(rows(page)).to_have_count(4)


@pytest.mark.parametrize(
    ("outcome", "found"),
    [
        ("completed", ["list the files"]),
        ("failed", ["fix the test"]),
        ("incomplete", ["write the docs"]),
        ("left", ["give up"]),
    ],
)
async def test_a_filter_lets_through_only_its_outcome(
    open_page: Any, inspect: Any, tmp_path: Path, outcome: str, found: list[str]
) -> None:
    from playwright.async_api import expect

    write_some(tmp_path)
    page = await open_page(await inspect(tmp_path))
    await expect(rows(page)).to_have_count(4)
    chip = page.locator(f"[data-filter={outcome}]")
    await chip.click()
    await expect(chip).to_have_attribute("aria-pressed", "true")
    assert await prompts(page) == found
    await expect(page.locator("#tally")).to_have_text("1 of 4 turns")


async def test_an_empty_folder_says_how_turns_get_into_it(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    page = await open_page(await inspect(tmp_path))
    await expect(page.get_by_text("No turn is recorded here yet.")).to_be_visible()
    await expect(page.get_by_text("anyturn serve --inspector")).to_be_visible()


async def test_a_file_that_is_no_capture_is_a_row_that_says_so(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    unreadable_turn(tmp_path, 1)
    page = await open_page(await inspect(tmp_path))
    await rows(page).first.click()
    await expect(page.locator("#turn")).to_contain_text("nothing in it can be read as a capture")


async def test_a_turn_that_comes_in_neither_moves_the_rows_nor_the_choice(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    for number in range(60):
        write_turn(tmp_path, turn(number, f"task {number}"), number)
    page = await open_page(await inspect(tmp_path))
    await rows(page).first.wait_for()
    await page.locator("#turn-list").evaluate("(list) => { list.scrollTop = 1000; }")
    chosen = page.locator(".row", has_text="task 38")
    await chosen.click()
    before = await chosen.bounding_box()
    write_turn(tmp_path, turn(60, "task 60"), 60)
    await expect(page.get_by_role("button", name="1 newer turn")).to_be_visible()
    assert await chosen.bounding_box() == before
    await expect(chosen).to_have_attribute("aria-selected", "true")
    await page.get_by_role("button", name="1 newer turn").click()
    await expect(rows(page).filter(has_text="task 60")).to_be_in_viewport()


async def test_the_plots_show_the_turn_under_the_pointer_and_open_it(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    write_some(tmp_path)
    page = await open_page(await inspect(tmp_path))
    plot = page.get_by_role("img", name="first event of the last 4 turns")
    await expect(plot).to_be_visible()
    await plot.hover(position={"x": 3, "y": 30})
    await expect(page.get_by_role("tooltip")).to_contain_text("list the files")
    await plot.click(position={"x": 3, "y": 30})
    await expect(page.get_by_role("heading", name="list the files")).to_be_visible()


async def test_a_link_to_a_side_of_a_turn_opens_it(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    names = write_some(tmp_path)
    page = await open_page(await inspect(tmp_path), at=f"#{names[3]}/wires/event-4")
    await expect(page.get_by_role("tab", name="Wires")).to_have_attribute("aria-selected", "true")
    await expect(page.locator(".wire-row[aria-selected=true]")).to_contain_text("output_item.added")
    await page.get_by_role("tab", name="Request").click()
    await expect(page).to_have_url(f"{page.url.partition('#')[0]}#{names[3]}/request")
    await page.go_back()
    await expect(page.get_by_role("tab", name="Wires")).to_have_attribute("aria-selected", "true")


async def test_a_link_to_a_turn_that_is_gone_says_so(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    write_some(tmp_path)
    page = await open_page(await inspect(tmp_path), at="#20990101-000000-000-resp_gone/wires")
    page.guard.allow("status of 404")
    await expect(page.locator("#turn")).to_contain_text("no such capture")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_colours_are_the_systems_until_somebody_chooses(
    open_page: Any, inspect: Any, tmp_path: Path, scheme: str
) -> None:
    page = await open_page(await inspect(tmp_path), color_scheme=scheme)
    ground = "getComputedStyle(document.body).backgroundColor"
    by_system = await page.evaluate(ground)
    assert by_system == {"light": "rgb(246, 247, 249)", "dark": "rgb(12, 15, 20)"}[scheme]
    other = "Dark colours" if scheme == "light" else "Light colours"
    while await page.locator("#theme").get_attribute("aria-label") != other:
        await page.locator("#theme").click()
    chosen = await page.evaluate(ground)
    assert chosen != by_system
    await page.reload()
    assert await page.evaluate(ground) == chosen


@pytest.mark.parametrize("width", [1440, 1000, 600])
async def test_nothing_is_wider_than_the_window(
    open_page: Any, inspect: Any, tmp_path: Path, width: int
) -> None:
    from playwright.async_api import expect

    name = write_some(tmp_path)[0]
    page = await open_page(
        await inspect(tmp_path), at=f"#{name}", viewport={"width": width, "height": 800}
    )
    await expect(page.get_by_role("heading", name="give up")).to_be_visible()
    for side in ("Timeline", "Wires", "Request", "Raw"):
        await page.get_by_role("tab", name=side).click()
        wide = "[...document.querySelectorAll('.panel, .turn-head, .tabs')]"
        wide += ".filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.className)"
        assert await page.evaluate(wide) == []
