"""A real browser, the inspector's page in it, and a guard that minds what a page must not do."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from anyturn.capture_files import CaptureFolder
from anyturn.config import Settings
from anyturn.inspector.access import Access
from anyturn.inspector.app import Inspector, standalone
from anyturn.routing import Routing
from anyturn.server.lifecycle import Running, listening, running
from anyturn.store.memory import MemoryStore
from anyturn.testing import Entry, ScriptedProvider
from support.chromium import ARGUMENTS, chromium, environment

MODEL = "gpt-oss-120b"
_PATIENCE_MS = 30_000
# Told by the page itself, before anything of it runs.
_WATCH = """
window.refused = [];
addEventListener("securitypolicyviolation", (event) => refused.push(event.violatedDirective));
"""

OpenPage = Callable[..., Awaitable[Any]]
Inspect = Callable[[Path], Awaitable[str]]
OpenStage = Callable[..., Awaitable[tuple[Running, ScriptedProvider]]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """One headless Chromium for all tests of a process."""
    from playwright.async_api import async_playwright, expect

    expect.set_options(timeout=_PATIENCE_MS)
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(
            executable_path=chromium(),
            args=ARGUMENTS,
            env=environment(tmp_path_factory.mktemp("browser")),
            timeout=_PATIENCE_MS,
        )
        yield started
        await started.close()


class Guard:
    """What a page did that it must not do: errors, dialogs, requests to others, broken policies."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.allowed: re.Pattern[str] | None = None

    def allow(self, pattern: str) -> None:
        """Do not mind the faults in whose words this is found."""
        self.allowed = re.compile(pattern)

    async def watch(self, page: Any, origin: str) -> None:
        """Mind all that this page does; requests to anybody else fail."""
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("console", self._console)
        page.on("dialog", self._dialog)
        await page.add_init_script(_WATCH)

        async def judge(route: Any) -> None:
            asked = urlsplit(route.request.url)
            if f"{asked.scheme}://{asked.netloc}" == origin:
                await route.continue_()
            else:
                self.faults.append(f"request to another: {route.request.url}")
                await route.abort()

        await page.context.route(re.compile("^(?!data:)"), judge)

    async def judge(self, page: Any) -> None:
        """Fail for whatever was not allowed."""
        self.faults += [f"refused: {one}" for one in await page.evaluate("window.refused ?? []")]
        if await page.evaluate("'hacked' in window"):
            self.faults.append("a text of the model ran as a script")
        known = self.allowed
        assert [one for one in self.faults if not (known and known.search(one))] == []

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"console: {message.text}")

    async def _dialog(self, dialog: Any) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        await dialog.dismiss()


@pytest_asyncio.fixture(loop_scope="session")
async def served() -> AsyncIterator[AsyncExitStack]:
    """What serves the pages of a test: it ends when they are closed."""
    async with AsyncExitStack() as closing:
        yield closing


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Any, served: AsyncExitStack) -> AsyncIterator[OpenPage]:
    """Open a link in a page of its own: `await open_page(link, at="#NAME/wires", ...)`.

    The rest are options of the browser's context. `page.guard.allow` names faults that are meant.
    """
    opened: list[tuple[Any, Guard]] = []

    async def open_one(link: str, at: str = "", **options: Any) -> Any:
        given = {"viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce"}
        context = await browser.new_context(**{**given, **options})
        context.set_default_timeout(_PATIENCE_MS)
        page = await context.new_page()
        address = urlsplit(link)
        guard = Guard()
        await guard.watch(page, f"{address.scheme}://{address.netloc}")
        page.guard = guard
        opened.append((page, guard))
        await page.goto(link)
        if at:
            await page.goto(f"{address.scheme}://{address.netloc}/inspector{at}")
        return page

    yield open_one
    try:
        for page, guard in opened:
            await guard.judge(page)
    finally:
        for page, _ in opened:
            await page.context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def inspect(served: AsyncExitStack) -> Inspect:
    """Serve the inspector for a folder, as `anyturn inspect` does; gives the link."""

    async def serve(folder: Path) -> str:
        return await served.enter_async_context(inspecting(folder))

    return serve


@pytest.fixture
def serving() -> Callable[..., AbstractAsyncContextManager[str]]:
    """`async with serving(folder, port, token) as link`: for servers that come and go."""
    return inspecting


@asynccontextmanager
async def inspecting(folder: Path, port: int = 0, token: str = "") -> AsyncIterator[str]:
    """The inspector of a folder while the block runs; gives the link."""
    inspector = Inspector(CaptureFolder(folder), access=Access(token))
    async with listening(
        standalone(inspector), "127.0.0.1", port, before_end=inspector.close
    ) as bound:
        yield inspector.access.link("127.0.0.1", bound)


@pytest_asyncio.fixture(loop_scope="session")
async def stage(served: AsyncExitStack, tmp_path: Path) -> OpenStage:
    """A gateway with its inspector, and a scripted provider: `await stage(*script)`."""

    async def open_stage(*script: Entry) -> tuple[Running, ScriptedProvider]:
        provider = ScriptedProvider(script, models=(MODEL,))
        await served.enter_async_context(provider)
        settings = Settings(
            provider="cerebras",
            base_url=provider.base_url,
            model=MODEL,
            port=0,
            retries=0,
            shutdown_timeout_s=0.0,
            inspector=True,
            capture_path=tmp_path / "captures",
        )
        gateway = await served.enter_async_context(
            running(settings, Routing(settings, {}), store=MemoryStore())
        )
        return gateway, provider

    return open_stage
