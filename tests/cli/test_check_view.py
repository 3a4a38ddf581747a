from __future__ import annotations

from pathlib import Path

import pytest

from anyturn.cli.check_view import COLOURS, VERDICTS, print_facts, write
from anyturn.config import ConfigError
from anyturn.conformance import Severity, Verdict


def test_every_verdict_and_severity_has_its_look() -> None:
    assert VERDICTS.keys() == {*Verdict}
    assert COLOURS.keys() == {*Severity}


def test_facts_without_words_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts(("found", "[bold]x[/]"), ("event", ""))
    out = capsys.readouterr().out
    assert "[bold]x[/]" in out
    assert "event" not in out


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        write(tmp_path / "no" / "file", b"")
