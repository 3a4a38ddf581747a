"""Make the pictures of docs/inspector.md anew: `python -m support.inspector_pictures` in tests/.

The turns are real ones: Codex, or the small agent where it is not installed, runs through a gateway
with its inspector, against a scripted provider. Needs the browser of `make browser`.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from anyturn.cli import demo
from anyturn.codex.launch import find_codex
from anyturn.config import Settings
from anyturn.routing import Routing
from anyturn.server.lifecycle import running
from anyturn.store.memory import MemoryStore
from anyturn.testing import (
    AgentError,
    Answer,
    Refusal,
    ScriptedProvider,
    call,
    openai_error,
    reasoning,
    text,
)
from support.chromium import ARGUMENTS, chromium, environment

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "img"
_FONTS = f"""<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
<dir>{ROOT}/.cache/chromium/unpacked/fonts</dir><dir>/usr/share/fonts</dir>
<alias binding="strong">
<family>ui-sans-serif</family><prefer><family>Open Sans</family></prefer>
</alias>
<alias binding="strong">
<family>ui-monospace</family><prefer><family>DejaVu Sans Mono</family></prefer>
</alias>
</fontconfig>
"""
_UPLOAD = """cat > upload.py <<'EOF'
import random, time

def retry(job):
    for wait in (1, 2, 4):
        try:
            return job()
        except OSError:
            time.sleep(wait * random.random())
EOF"""
_FIX = """cat > parse.py <<'EOF'
print("parsed")
EOF
python3 parse.py"""
PROMPTS = (
    "What is in this folder?",
    "The parser drops the last token: find out why, and fix it.",
    "Rename the module and run all tests.",
    "Add a retry with jitter to the uploader.",
)
_AGAIN = (reasoning("I write the retry first."), call("exec_command", {"cmd": _UPLOAD}))
_WHY = "The loop ends one token early. I write the file anew and run it."
SCRIPT: list[Any] = [
    Answer(call("exec_command", {"cmd": "ls -la"}), fragment=9, pace=0.02),
    Answer(text("There is nothing in it but an empty folder."), fragment=6, pace=0.02),
    Answer(reasoning(_WHY), call("exec_command", {"cmd": _FIX}), fragment=12, pace=0.03),
    Answer(text("I fixed the loop in `parse.py`; it prints `parsed`."), fragment=8, pace=0.03),
    Refusal(400, openai_error("Please reduce the length of the messages.")),
    Answer(*_AGAIN, fragment=14, pace=0.03, cut_after=9),
    # Codex asks again after a stream that was cut.
    Answer(*_AGAIN, fragment=14, pace=0.03, hold_after=14),
]
# Name, colours, the place of the turn in the list, its side, and what is pressed then.
SHOTS = (
    ("inspector-live", "light", 0, "timeline", ""),
    ("inspector-failed", "light", 1, "timeline", ""),
    ("inspector-wires", "dark", 4, "wires", ".wire-row:nth-child(9) [data-column=event]"),
)


async def main() -> None:
    """Run the turns, and take the pictures."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        async with ScriptedProvider(SCRIPT, models=(demo.MODEL,), strict=False) as provider:
            settings = Settings(
                provider="cerebras",
                base_url=provider.base_url,
                model=demo.MODEL,
                port=0,
                retries=0,
                shutdown_timeout_s=0.0,
                inspector=True,
                capture_path=folder / "captures",
            )
            async with (
                running(settings, Routing(settings, {}), store=MemoryStore()) as gateway,
                asyncio.TaskGroup() as tasks,
            ):
                agent = tasks.create_task(_work(gateway.base_url, folder))
                await provider.request(len(SCRIPT), timeout=120)
                await _shoot(gateway.inspector, folder)
                agent.cancel()


async def _work(base_url: str, folder: Path) -> None:
    """Give Codex one task after the other."""
    binary = find_codex(os.environ, ROOT)
    workspace, home = folder / "work", folder / "codex"
    workspace.mkdir()
    home.mkdir()
    for prompt in PROMPTS:
        demo.PROMPT = prompt
        with suppress(AgentError):
            await demo._run_agent(binary, base_url, workspace, home)


async def _shoot(link: str, folder: Path) -> None:
    from playwright.async_api import async_playwright

    (folder / "fonts.conf").write_text(_FONTS, encoding="utf-8")
    given = {**environment(folder), "FONTCONFIG_FILE": str(folder / "fonts.conf")}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium(), args=ARGUMENTS, env=given
        )
        for name, colours, row, side, press in SHOTS:
            page = await browser.new_page(
                viewport={"width": 1280, "height": 800}, color_scheme=colours
            )
            await page.goto(link)
            await page.locator(".row").nth(row).click()
            await page.locator(f"#tab-{side}").click()
            await page.locator(".panel:not([hidden])").wait_for()
            if press:
                await page.locator(press).click()
            # Every machine keeps its turns elsewhere; this is the place that is the default.
            show = "(place) => { document.getElementById('folder').textContent = place; }"
            await page.evaluate(show, "~/.local/state/anyturn/captures")
            await page.mouse.move(640, 5)
            await page.screenshot(path=PICTURES / f"{name}.png", animations="disabled")
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
