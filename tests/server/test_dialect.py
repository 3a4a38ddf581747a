from __future__ import annotations

import pytest

from anyturn.server.dialect import CODEX, OTHER, Dialect, dialect_of
from anyturn.wire import sse


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"User-Agent": "codex_exec/0.169.0 (Debian 12; x86_64) unknown"}, CODEX),
        ({"User-Agent": "Codex Desktop/1.2"}, CODEX),
        ({"originator": "codex_cli_rs", "User-Agent": "reqwest/0.12"}, CODEX),
        ({"User-Agent": "OpenAI/Python 2.8.0"}, OTHER),
        ({"User-Agent": "ai-sdk/openai/3.0", "originator": "opencode"}, OTHER),
        ({}, OTHER),
    ],
)
def test_codex_is_known_by_its_name(headers: dict[str, str], expected: Dialect) -> None:
    assert dialect_of(headers) is expected


def test_codex_gets_data_that_resets_its_idle_timer() -> None:
    (message,) = sse.Decoder().feed(CODEX.keepalive)
    assert b"response." not in message.data


def test_others_get_a_comment_which_no_parser_takes_for_an_event() -> None:
    assert sse.Decoder().feed(OTHER.keepalive) == []
    assert OTHER.keepalive.startswith(b":")
    assert OTHER.keepalive.endswith(b"\n\n")


def test_only_codex_sends_a_refused_key_again() -> None:
    """codex-cli.md section 8."""
    assert (CODEX.retries_401, OTHER.retries_401) == (True, False)
