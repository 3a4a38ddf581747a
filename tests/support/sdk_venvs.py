"""Where the environments with older OpenAI SDKs are, and what is said when one is not there."""

from __future__ import annotations

from pathlib import Path

LEFT_OUT = "an older OpenAI SDK is not installed"
OLDER = ("1.109.1", "2.54.0")
_VENVS = Path(__file__).parents[2] / ".cache" / "sdk-venvs"


def sdk_python(version: str) -> Path:
    """The interpreter that has this version."""
    return _VENVS / version / "bin" / "python"
