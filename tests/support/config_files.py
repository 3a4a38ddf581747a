"""What is made of an anyturn.toml, flags and variables: settings or a complaint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anyturn.config import ConfigError, Settings, load_settings

SECRET = "sk-do-not-show-0123456789"


def load(
    directory: Path,
    text: str | None = None,
    flags: dict[str, Any] | None = None,
    environ: dict[str, str] | None = None,
) -> Settings:
    """Settings of a working directory with `text` as its anyturn.toml, and nothing else."""
    if text is not None:
        (directory / "anyturn.toml").write_text(text, encoding="utf-8")
    return load_settings(flags or {}, environ or {}, directory)


def complaint(directory: Path, *given: Any, **named: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(directory, *given, **named)
    return str(caught.value)
