from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator

import pytest
from rich.console import Console

from anyturn.cli import screen as screen_module
from anyturn.cli.screen import (
    error_screen,
    facts_table,
    log_to_screen,
    picture,
    screen,
    target_rows,
)
from anyturn.config import Settings
from anyturn.routing import Routing, Target

KEY = "sk-planted-2a7d9f3b5c1e4860"


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    """Give the loggers back as they were."""
    root, handlers = logging.getLogger(), logging.getLogger().handlers[:]
    loggers = [root, logging.getLogger("aiohttp.server"), logging.getLogger("anyturn")]
    levels = [logger.level for logger in loggers]
    loggers[-1].setLevel(logging.NOTSET)
    yield
    root.handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(rows: list[tuple[str, str]]) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(facts_table(rows))
    return out.getvalue()


def target(environ: dict[str, str], **given: str) -> Target:
    return Routing(Settings(**{"port": 0, **given}), environ).default  # type: ignore[arg-type]


# ---------------------------------------------------------------- words


def test_results_and_messages_go_different_ways(capsys: pytest.CaptureFixture[str]) -> None:
    screen().print("a result 5 [b]bold[/b]")
    error_screen().print("a message")
    assert capsys.readouterr() == ("a result 5 bold\n", "a message\n")


def test_facts_stand_in_two_columns() -> None:
    assert (
        shown([("provider", "Cerebras"), ("key", "found")])
        == "provider  Cerebras\n     key  found   \n"
    )


def test_a_target_is_shown_with_the_place_of_its_key_and_without_the_key() -> None:
    cerebras = target({"CEREBRAS_API_KEY": KEY}, provider="cerebras")
    text = shown(target_rows(cerebras))
    assert "Cerebras  https://api.cerebras.ai/v1" in text
    assert "gpt-oss-120b" in text
    assert "found in CEREBRAS_API_KEY" in text
    assert KEY not in text + repr(target_rows(cerebras))


def test_a_target_without_a_key_or_a_model_says_so() -> None:
    text = shown(target_rows(target({}, base_url="http://[::1]:8000/v1")))
    assert "http://[::1]:8000/v1" in text
    assert "none set: each request must name one" in text
    assert "none, and none is needed on this address" in text


def test_brackets_in_a_name_are_no_markup() -> None:
    rows = target_rows(target({}, base_url="http://localhost:8000/v1", model="qwen[bold]3"))
    assert "qwen[bold]3" in shown(rows)


# ---------------------------------------------------------------- the log


def lines_of_log(level: str, out: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(screen_module.sys, "stderr", out)
    log_to_screen(level)
    log = logging.getLogger("anyturn")
    log.debug("one")
    log.info("two [three]")
    log.warning("four")
    log.error("five")
    return out.getvalue().split("\n")[:-1]


@pytest.mark.usefixtures("logging_as_it_was")
def test_a_line_of_the_log_has_the_time_and_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of_log("info", io.StringIO(), monkeypatch)
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines)
    assert [line[9:] for line in lines] == ["two [three]", "warning: four", "error: five"]


@pytest.mark.usefixtures("logging_as_it_was")
@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("warning", 2), ("error", 1)])
def test_the_level_decides(level: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(lines_of_log(level, io.StringIO(), monkeypatch)) == count


@pytest.mark.usefixtures("logging_as_it_was")
def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[33mwarning\x1b[0m" in "".join(lines_of_log("info", Terminal(), monkeypatch))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in "".join(lines_of_log("info", Terminal(), monkeypatch))


@pytest.mark.usefixtures("logging_as_it_was")
def test_malformed_requests_of_anybody_do_not_fill_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    lines_of_log("debug", out, monkeypatch)
    logging.getLogger("aiohttp.server").error("Error handling request")
    assert "Error handling request" not in out.getvalue()


def test_a_picture_shows_the_screen_and_loads_nothing_from_elsewhere():
    out = Console(record=True, file=io.StringIO(), width=40)
    out.print("[bold]tool call[/] executed")
    shown = picture(out, "demo")
    assert "tool&#160;call" in shown
    assert "url(http" not in shown
    assert "@font-face" not in shown


def test_no_words_of_an_exception_reach_the_log(
    logging_as_it_was: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other libraries log exceptions as they are, and those may quote a key (A2)."""
    log_to_screen("info")
    try:
        raise ValueError(f"Authorization: Bearer {KEY}")
    except ValueError:
        logging.getLogger("somebody.else").exception("it failed")
    shown = capsys.readouterr().err
    assert "ValueError" in shown
    assert KEY not in shown
