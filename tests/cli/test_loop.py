from __future__ import annotations

import asyncio
import sys

import pytest
import uvloop

from anyturn.cli.loop import run


async def kind_of_loop() -> type[asyncio.AbstractEventLoop]:
    return type(asyncio.get_running_loop())


def test_it_is_uvloop_where_that_exists() -> None:
    assert run(kind_of_loop()) is uvloop.Loop


def test_without_uvloop_it_is_the_loop_of_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert issubclass(run(kind_of_loop()), asyncio.BaseEventLoop)


def test_an_error_comes_through() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(fail())
