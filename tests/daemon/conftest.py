"""A folder of a gateway, and what one says of itself."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from anyturn.daemon.folder import Folder, State


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """The folder of port 10000, which is not there yet."""
    return Folder(tmp_path / "gateways", 10000)


@pytest.fixture
def state() -> State:
    """This very process, as a gateway."""
    return State(
        pid=os.getpid(),
        started=datetime(2026, 1, 2, tzinfo=UTC),
        base_url="http://127.0.0.1:10000/v1",
        provider="cerebras",
        model="gpt-oss-120b",
        needs_key=False,
        shutdown_timeout_s=0.0,
        version="0.1.0",
        cwd="/",
        config_file=None,
        flags={"port": 10000, "strict": True, "allow_anyone": False, "model": "-m"},
    )
