"""Where the real clients are, and what is said when one, a browser or Redis is not there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from anyturn.codex.launch import CODEX_VERSION
from support.chromium import LEFT_OUT as _NO_BROWSER
from support.chromium import why_no_chromium
from support.recorded import real_capture as real_capture
from support.recorded import recorded_folder as recorded_folder
from support.redis_server import LEFT_OUT as _NO_REDIS
from support.redis_server import _shared_redis as _shared_redis
from support.redis_server import new_redis as new_redis
from support.redis_server import redis_server as redis_server
from support.sdk_venvs import LEFT_OUT as _NO_OLDER_SDK

# Two cores that are busy with the real Codex are slow: time says nothing about an example.
settings.register_profile("anyturn", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("anyturn")

pytest.register_assert_rewrite("support.expansions", "support.tool_loop", "support.websockets")

_CACHE = Path(__file__).parents[1] / ".cache"
_LEFT_OUT = "the Codex CLI is not installed"
_NO_SDK = "the SDK for Node.js is not installed"
_LOCK = "package-lock.json"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what needs minutes: else one core does it while the other has nothing to do."""
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


def _codex(marker: pytest.Mark | None) -> Path:
    version = marker.args[0] if marker and marker.args else CODEX_VERSION
    chosen = os.environ.get("ANYTURN_CODEX") if version == CODEX_VERSION else None
    return Path(chosen or _CACHE / "codex" / version / "node_modules/.bin/codex").absolute()


@pytest.fixture
def codex_binary(request: pytest.FixtureRequest) -> Path:
    """The Codex CLI that a test drives: today's, or the version of its mark `codex(version)`."""
    return _codex(request.node.get_closest_marker("codex"))


def _why_left_out(item: pytest.Item) -> str:
    marker = item.get_closest_marker("codex")
    if marker is not None and not _codex(marker).exists():
        return f"{_LEFT_OUT}: {_codex(marker)} does not exist"
    marker = item.get_closest_marker("node_sdk")
    if marker is not None and (shutil.which("node") is None or not _is_current(marker.args[0])):
        return f"{_NO_SDK}: {marker.args[0]}, in the versions of tests/sdks/packages"
    return why_no_chromium() if item.get_closest_marker("browser") else ""


def _is_current(name: str) -> bool:
    """Whether the packages of a lock file are what `make` last installed."""
    installed = _CACHE / "sdks" / name
    wanted = Path(__file__).parent / "sdks" / "packages" / name / _LOCK
    if not (installed / "node_modules" / f".{_LOCK}").exists():
        return False
    return (installed / _LOCK).read_bytes() == wanted.read_bytes()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what needs a client that is missing; in CI that is a failure."""
    reason = _why_left_out(item)
    if not reason:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and CI must not leave out its tests", pytrace=False)
    pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line which tests were left out, and how to get them."""
    skipped = terminalreporter.getreports("skipped")
    for reason, what, how in (
        (_LEFT_OUT, "drive a real Codex CLI which", "`make test` with npm installed"),
        (_NO_SDK, "drive an SDK for Node.js which", "`make test` with npm installed"),
        (_NO_REDIS, "need a Redis or Valkey server which", "install redis-server"),
        (
            _NO_BROWSER,
            "drive the inspector's page in a Chromium which",
            "`make test` with npm installed",
        ),
        (_NO_OLDER_SDK, "run on an older OpenAI SDK which", "`make test` with a package index"),
    ):
        places = [report.nodeid for report in skipped if reason in str(report.longrepr)]
        if places:
            files = ", ".join(sorted({place.partition("::")[0] for place in places}))
            terminalreporter.write_line(
                f"Left out: {len(places)} tests that {what} is not installed here ({files}). "
                f"To run them: {how}.",
                yellow=True,
            )
