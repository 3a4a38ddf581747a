"""A keys file in an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from anyturn.auth.key_file import KeyFile


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "anyturn" / "keys.json")
