"""What models, tools and clients write is data: the page shows it and never runs it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from support.inspected_turns import HOSTILE, hostile_turn, turn, unreadable_turn, write_turn

PAGE = Path(__file__).parents[2] / "src" / "anyturn" / "inspector" / "page"
FILES = sorted(PAGE.iterdir())
SCRIPTS = [file for file in FILES if file.suffix == ".js"]
MAX_LINES = 600
MAX_FUNCTION_LINES = 40

in_browser = (pytest.mark.browser, pytest.mark.asyncio(loop_scope="session"))


def marked(test: Any) -> Any:
    for mark in in_browser:
        test = mark(test)
    return test


@marked
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_text_of_a_turn_is_run_or_changes_the_page(
    open_page: Any, inspect: Any, tmp_path: Path, scheme: str
) -> None:
    """The guard of `open_page` fails for a script that ran, dialogs, errors and refused loads."""
    from playwright.async_api import expect

    hostile_turn(tmp_path, 1)
    unreadable_turn(tmp_path, 2)
    page = await open_page(await inspect(tmp_path), color_scheme=scheme)
    await page.get_by_role("option").nth(1).click()
    await expect(page.locator(".entry").first).to_be_visible()
    for bar in await page.locator(".chart button").all():
        await bar.hover(force=True)
    for side in ("2", "3", "4", "1"):
        await page.keyboard.press(side)
        await expect(page.locator(".panel:not([hidden])")).to_contain_text("<img src=x onerror")
    await page.keyboard.press("2")
    for index in range(await page.locator(".wire-row").count()):
        await page.keyboard.press("Home" if index == 0 else "j")
    await page.locator("[data-column=event] .wire-name", has_text="<img src=x").click()
    await page.locator(".wire-details .more").last.click()
    elements = "document.querySelectorAll('img, iframe, object, embed, base, [onerror], [onload]')"
    assert await page.evaluate(f"{elements}.length") == 0
    assert await page.evaluate("document.scripts.length") == 1


@marked
async def test_what_turns_a_line_around_is_made_visible(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    write_turn(tmp_path, turn(1, f"look at {HOSTILE}"), 1)
    page = await open_page(await inspect(tmp_path))
    row = page.locator(".row-prompt").first
    await expect(row).to_contain_text("‹U+202E›gnp.exe‹U+202C›")
    await expect(row).to_contain_text("‹U+0007›‹U+001B›[31mred‹U+0000›")


@marked
async def test_a_huge_string_is_cut_until_somebody_asks_for_it(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    name = hostile_turn(tmp_path)
    page = await open_page(await inspect(tmp_path), at=f"#{name}/request")
    shown = page.locator(".request-column").first
    await expect(shown).to_contain_text("<img src=x")
    assert len(await shown.inner_text()) < 20_000
    await shown.get_by_role("button", name="all 1.0").click()
    await page.wait_for_function(
        "document.querySelector('.request-column').textContent.length > 1e6"
    )


@marked
async def test_a_hostile_address_is_only_a_name(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    page = await open_page(
        await inspect(tmp_path), at="#..%2F..%2Fetc%2Fpasswd<script>hacked=1</script>/raw/event-1e9"
    )
    page.guard.allow("status of 404")
    await expect(page.locator("#turn")).to_contain_text("no such")


# ---------------------------------------------------------------- the files themselves


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_page_has_nothing_that_parses_text_or_loads_from_elsewhere(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
    assert not re.search(ways, source)
    assert not re.search(r"DOMParser|createContextualFragment|setTimeout\(['\"]", source)
    addresses = set(re.findall(r"https?://[\w.]+", source)) - {"http://www.w3.org"}
    assert not addresses
    assert not re.search(r"\bstyle=|\bon\w+=\"", source)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_can_be_read_in_one_sitting(file: Path) -> None:
    assert file.read_text(encoding="utf-8").count("\n") < MAX_LINES


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_what_a_script_exports_is_described(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    assert source.startswith("/**\n * ")
    bare = re.findall(r"(?<!\*/)\n(export .*)", source)
    assert bare == []


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_functions_of_the_page_are_short(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").split("\n")
    begin = re.compile(r"^(  )?(?:export )?(?:async )?(?:function \w+|#?\w+)\(.*\{$")
    long = []
    for number, line in enumerate(lines):
        if found := begin.match(line):
            end = lines.index(f"{found[1] or ''}}}", number)
            if end - number > MAX_FUNCTION_LINES:
                long.append(line.strip())
    assert long == []
