"""One turn in a real browser: why it failed, both wires, what was asked, what is in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from anyturn.capture import format as f
from support.captured_turns import EVENTS
from support.inspected_turns import REFUSED, turn, write_turn

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

FOUND = f.Finding(
    rule="calls.delta-after-done",
    where="event 6",
    what="a delta of `fc_1` that is over",
    fault="gateway",
    advice="Report it.",
)


def failing(folder: Path) -> str:
    """A turn with a call that was cut off, a finding at event 6, and two adaptations."""
    cut = [event for event in EVENTS if event.get("item", {}).get("status") != "completed"][:-1]
    error = {**REFUSED, "code": "stream_cut", "message": "The provider's stream broke off."}
    records = turn(1, "fix the test", events=cut, status="failed", error=error)
    changes = [f.Change(rule="tools.schema", where="tools[0]", what="made smaller", lossy=True)] * 2
    records[-1:-1] = [f.Findings(t=7500, findings=[FOUND]), f.Changes(t=5500, adaptations=changes)]
    return write_turn(folder, records, 1)


async def test_a_failing_turn_is_explained_in_words(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    name = failing(tmp_path)
    page = await open_page(await inspect(tmp_path), at=f"#{name}")
    shown = page.get_by_role("tabpanel", name="Timeline")
    await expect(page.locator(".summary")).to_contain_text("1 of 1 calls did not reach the client")
    await expect(page.locator(".summary")).to_contain_text("The provider's stream broke off.")
    await expect(shown).to_contain_text("the provider's stream ended before the call was whole")
    await expect(shown).to_contain_text("the provider or its model")
    await expect(shown).to_contain_text("Send the turn again")
    await expect(shown.get_by_role("button", name="never handed out whole")).to_be_visible()


async def test_a_finding_is_marked_on_the_timeline_and_in_the_wires(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    name = failing(tmp_path)
    page = await open_page(await inspect(tmp_path), at=f"#{name}")
    await page.get_by_role("button", name="calls.delta-after-done at event 6").hover()
    await expect(page.get_by_role("tooltip")).to_contain_text("a delta of `fc_1` that is over")
    await page.get_by_role("button", name="event 6", exact=True).click()
    await expect(page.get_by_role("tab", name="Wires")).to_have_attribute("aria-selected", "true")
    marked = page.locator(".wire-row[aria-selected=true]")
    await expect(marked.get_by_role("img", name="finding")).to_be_visible()
    note = page.locator(f"#{await marked.get_attribute('id')} + .note-finding")
    assert await note.count() <= 1
    await expect(page.locator(".note-finding")).to_contain_text("calls.delta-after-done")
    await expect(page.locator(".note-adaptations")).to_contain_text("2 adaptations: tools.schema")
    await expect(page.locator(".note-end")).to_contain_text(
        "failed, The provider's stream broke off."
    )


async def test_notes_stand_among_the_events_in_the_order_of_time(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    name = failing(tmp_path)
    page = await open_page(await inspect(tmp_path), at=f"#{name}/wires")
    await page.locator(".note-end").wait_for()
    order = """[...document.querySelectorAll(".wire-row")]
      .sort((one, other) => one.ariaRowIndex - other.ariaRowIndex)
      .map((row) => /note-\\w+/.exec(row.className)?.[0]
        ?? row.querySelector("[data-column=event] .wire-name")?.textContent ?? "")"""
    order = await page.evaluate(order)
    told = [one for one in order if one.startswith("note") or "arguments" in one]
    assert told == [
        "note-request",
        "note-asked",
        "note-adaptations",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "note-finding",
        "note-end",
    ]


def interleaved(folder: Path) -> str:
    """A turn with two writes, each of two events out of two chunks."""
    chunk = 'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n'
    delta = {"type": "response.output_text.delta", "item_id": "m"}
    records = turn(1, "say it")
    records[3] = f.ProviderBytes(t=[100, 200, 400, 500], text=[chunk % word for word in "abcd"])
    records[4] = f.Events(
        t=[250, 550],
        events=[[{**delta, "delta": one} for one in pair] for pair in ("ab", "cd")],
    )
    return write_turn(folder, records, 1)


async def test_a_chunk_and_the_events_it_led_to_are_marked_together(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    name = interleaved(tmp_path)
    page = await open_page(await inspect(tmp_path), at=f"#{name}/wires")
    chunk = page.locator("[data-column=chunk]", has_text="content")
    await chunk.nth(2).click()
    linked = page.locator(".linked:not(.wire-note)")
    await expect(linked).to_have_count(2)
    await expect(linked.nth(0).locator("[data-column=event]")).to_contain_text("c")
    await expect(linked.nth(1).locator("[data-column=event]")).to_contain_text("d")
    await expect(page.locator(".wire-details")).to_contain_text("chunk 2, 400 µs")
    await expect(page.locator(".wire-details")).to_contain_text("event 2, 550 µs")
    await expect(page).to_have_url(f"{page.url.partition('#')[0]}#{name}/wires/event-2")
    await chunk.nth(0).hover()
    await expect(page.locator(".hovered:not(.wire-note)")).to_have_count(2)


async def test_find_goes_from_hit_to_hit(open_page: Any, inspect: Any, tmp_path: Path) -> None:
    from playwright.async_api import expect

    name = write_turn(tmp_path, turn(1, "run"), 1)
    page = await open_page(await inspect(tmp_path), at=f"#{name}/wires")
    box = page.get_by_label("Find in both wires")
    await box.fill("call_arguments")
    await expect(page.locator(".wire-find")).to_contain_text("1 of 2")
    await box.press("Enter")
    await expect(page.locator(".wire-find")).to_contain_text("2 of 2")
    await expect(page.locator(".wire-row[aria-selected=true]")).to_contain_text(":1}")
    await box.fill("nowhere to be found")
    await expect(page.locator(".wire-find")).to_contain_text("not found")


async def test_the_request_side_shows_both_requests(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    name = write_turn(tmp_path, turn(1, "run"), 1)
    page = await open_page(await inspect(tmp_path), at=f"#{name}/request")
    shown = page.get_by_role("tabpanel", name="Request")
    await expect(shown).to_contain_text("http://p/v1")
    await shown.get_by_text("1 headers").click()
    await expect(shown).to_contain_text("codex/1")
    await shown.get_by_text("message · user").click()
    await expect(shown).to_contain_text("role: user")


async def test_the_raw_side_shows_the_records_and_the_forms(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    name = write_turn(tmp_path, turn(1, "run"), 1)
    page = await open_page(await inspect(tmp_path), at=f"#{name}/raw")
    lines = page.locator(".raw-line")
    await expect(lines).to_have_count(6)
    await lines.nth(0).click()
    await expect(page.locator(".raw-details")).to_contain_text("format: anyturn-capture")
    for form, begin in {"client SSE": "event: ", "curl": "curl", "pytest": '"""'}.items():
        await page.get_by_role("button", name=form, exact=True).click()
        await expect(lines.first.locator(".raw-text")).to_contain_text(begin)
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download").click()
    assert (await download.value).url.endswith(f"/turns/{name}/export?as=pytest")


async def copied(page: Any) -> str:
    return await page.evaluate("navigator.clipboard.readText()")


async def test_what_is_chosen_can_be_copied(open_page: Any, inspect: Any, tmp_path: Path) -> None:
    from playwright.async_api import expect

    name = failing(tmp_path)
    page = await open_page(
        await inspect(tmp_path), at=f"#{name}", permissions=["clipboard-read", "clipboard-write"]
    )
    await page.get_by_role("button", name="Copy the explanation").click()
    await expect(page.locator("#said")).to_have_text("Copied.")
    assert "✘ call run (call_1)" in await copied(page)
    await page.get_by_role("button", name="Copy a link to this").click()
    await page.wait_for_function(
        "navigator.clipboard.readText().then((it) => it.startsWith('http'))"
    )
    assert await copied(page) == page.url
    await page.keyboard.press("2")
    await page.locator("[data-column=event]", has_text="created").click()
    await page.get_by_role("button", name="Copy event 0").click()
    await page.wait_for_function("navigator.clipboard.readText().then((it) => it.startsWith('{'))")
    assert msgspec.json.decode(await copied(page)) == EVENTS[0]


async def test_copying_works_without_the_permission(
    open_page: Any, inspect: Any, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    name = write_turn(tmp_path, turn(1, "run"), 1)
    page = await open_page(await inspect(tmp_path), at=f"#{name}")
    await page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(1); }")
    await page.evaluate("() => document.addEventListener('copy', () => { window.copies = true; })")
    await page.get_by_role("button", name="Copy the explanation").click()
    await expect(page.locator("#said")).to_have_text("Copied.")
    assert await page.evaluate("window.copies")
