from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.daemon.folder import DaemonError
from anyturn.daemon.systemd import quoted, unit_text


def read_back(word: str) -> str:
    """What systemd makes of one word of ExecStart (systemd.syntax, QUOTING; systemd.unit, %)."""
    if word.startswith('"'):
        assert word.endswith('"')
        word = word[1:-1]
        escaped = {"\\": "\\", '"': '"', "n": "\n", "r": "\r"}
        letters, made = iter(word), ""
        for letter in letters:
            assert letter != '"'
            made += escaped[next(letters)] if letter == "\\" else letter
        word = made
    for mark in "%$":
        assert mark not in word.replace(mark * 2, "")
        word = word.replace(mark * 2, mark)
    return word


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_an_argument_is_read_back_as_it_was(argument: str) -> None:
    assert read_back(quoted(argument)) == argument


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--port", "--port"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("", '""'),
        ("a b", '"a b"'),
        ("$HOME", '"$$HOME"'),
        ("%h", '"%%h"'),
        ('"', '"\\""'),
        (";", '";"'),
    ],
)
def test_what_means_something_to_systemd_is_quoted(argument: str, expected: str) -> None:
    assert quoted(argument) == expected


def test_a_wrong_set_up_is_not_tried_again_and_streams_may_finish() -> None:
    text = unit_text(
        ["/bin/anyturn", "serve"],
        port=10000,
        cwd=Path("/home/me/100% mine"),
        environment_file=None,
        key_variable="X_API_KEY",
        stop_limit_s=25.0,
    )
    lines = text.splitlines()
    assert "WorkingDirectory=/home/me/100%% mine" in lines
    assert "ExecStart=/bin/anyturn serve" in lines
    assert "Restart=on-failure" in lines and "RestartPreventExitStatus=2" in lines
    assert "TimeoutStopSec=25" in lines
    assert "EnvironmentFile" not in text


@pytest.mark.parametrize("folder", ["/a\nExecStartPre=/bin/x", "/a\r", "/a ", "/a\\"])
def test_a_folder_that_would_be_more_than_its_line_is_refused(folder: str) -> None:
    with pytest.raises(DaemonError, match="plainer"):
        unit_text(
            ["/bin/anyturn", "serve"],
            port=10000,
            cwd=Path(folder),
            environment_file=None,
            key_variable="X_API_KEY",
            stop_limit_s=25.0,
        )


def test_no_argument_ends_its_line() -> None:
    assert quoted("a\r\nExecStop=/bin/x") == '"a\\r\\nExecStop=/bin/x"'
