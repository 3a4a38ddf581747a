"""Where the real Codex CLI is, and what is said when it is not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from anyturn.codex.launch import CODEX_VERSION

# Two cores that are busy with the real Codex are slow: time says nothing about an example.
settings.register_profile("anyturn", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("anyturn")


_CODEX = Path(__file__).parents[1] / f".cache/codex/{CODEX_VERSION}/node_modules/.bin/codex"
_LEFT_OUT = "the Codex CLI is not installed"


def _codex() -> Path:
    return Path(os.environ.get("ANYTURN_CODEX") or _CODEX).absolute()


@pytest.fixture(scope="session")
def codex_binary() -> Path:
    """The Codex CLI that tests marked `codex` drive."""
    return _codex()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what needs Codex where it is missing; in CI that is a failure."""
    if item.get_closest_marker("codex") is None or _codex().exists():
        return
    reason = f"{_LEFT_OUT}: {_codex()} does not exist"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and CI must not leave out its tests", pytrace=False)
    pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line which tests were left out, and how to get them."""
    skipped = terminalreporter.getreports("skipped")
    places = [report.nodeid for report in skipped if _LEFT_OUT in str(report.longrepr)]
    if places:
        files = ", ".join(sorted({place.partition("::")[0] for place in places}))
        terminalreporter.write_line(
            f"Left out: {len(places)} tests that drive the real Codex CLI, which is not installed "
            f"here ({files}). To run them: `make test` with npm installed.",
            yellow=True,
        )
