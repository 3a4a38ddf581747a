from __future__ import annotations

import pytest

from anyturn.cli.loop import run


def test_a_result_comes_through() -> None:
    async def answer() -> int:
        return 5

    assert run(answer()) == 5


def test_an_error_comes_through() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(fail())
