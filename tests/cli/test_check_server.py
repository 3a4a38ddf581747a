from __future__ import annotations

import pytest

from anyturn.cli.check_server import check_server
from anyturn.config import ConfigError


def test_live_checks_are_said_to_come_later() -> None:
    with pytest.raises(ConfigError, match=r"http://localhost:8000/v1 cannot be checked live yet"):
        check_server("http://localhost:8000/v1", ("codex",))
