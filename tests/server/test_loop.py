from __future__ import annotations

import asyncio
import gc
import logging
import sys

import pytest
import uvloop

from anyturn.server.loop import open_loop

KEY = "planted-2a7d9f3b5c1e4860"


async def kind_of_loop() -> type[asyncio.AbstractEventLoop]:
    return type(asyncio.get_running_loop())


def kind() -> type[asyncio.AbstractEventLoop]:
    with asyncio.Runner(loop_factory=open_loop) as runner:
        return runner.run(kind_of_loop())


def test_it_is_uvloop_where_that_exists() -> None:
    assert kind() is uvloop.Loop


def test_without_uvloop_it_is_the_loop_of_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert issubclass(kind(), asyncio.BaseEventLoop)


async def _leave_a_fault_behind() -> None:
    async def fail() -> None:
        raise ValueError(f"Authorization: {KEY}")

    task = asyncio.ensure_future(fail())
    await asyncio.wait([task])
    del task
    gc.collect()


@pytest.mark.parametrize("fast", [True, False], ids=["uvloop", "asyncio"])
def test_a_fault_that_nobody_waits_for_is_logged_without_its_words(
    fast: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if not fast:
        monkeypatch.setitem(sys.modules, "uvloop", None)
    caplog.set_level(logging.DEBUG)
    with asyncio.Runner(loop_factory=open_loop) as runner:
        runner.run(_leave_a_fault_behind())
    assert "ValueError" in caplog.text
    assert "in fail" in caplog.text
    assert KEY not in caplog.text
