from __future__ import annotations

from typing import Any

import pytest

from anyturn.openai_sdk import Event
from anyturn.openai_sdk.report import Listeners, Report


@pytest.fixture(autouse=True)
def no_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Agents SDK sends its traces to OpenAI unless it is told not to."""
    monkeypatch.setenv("OPENAI_AGENTS_DISABLE_TRACING", "1")


@pytest.fixture
def told() -> list[Event]:
    """What a callback was told."""
    return []


@pytest.fixture
def report(told: list[Event]) -> Report:
    return Report(Listeners(told.append, None))


@pytest.fixture
def tick() -> Any:
    """A clock that goes one second each time it is read."""
    from itertools import count

    seconds = count()
    return lambda: float(next(seconds))
