from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest

from anyturn.openai_sdk import (
    Event,
    Finding,
    MessagesSent,
    RequestFailed,
    RequestSent,
    Rule,
    TextStarted,
)
from anyturn.openai_sdk.report import Listeners, Report
from anyturn.openai_sdk.requests import read_body
from support.sdk_chunks import BODY

LOGGER = "anyturn.openai_sdk"


def started(turn: int = 1) -> TextStarted:
    return TextStarted(turn=turn, at=0.0)


def test_the_callback_gets_the_event_and_the_log_its_line(
    caplog: pytest.LogCaptureFixture, told: list[Event]
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    Report(Listeners(told.append, None))(started())
    assert told == [started()]
    assert caplog.messages == ["[LLM STREAM] Text content started"]


def test_records_carry_the_members_of_the_event(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    Report(Listeners(None, None)).sent(read_body("chat", BODY))
    record: Any = caplog.records[0]
    assert record.llm_event == "RequestSent"
    assert record.llm["tools"] == ["add_task", "list_tasks"]
    assert record.llm["messages"] == 1
    msgspec.json.encode(record.llm)  # a formatter for JSON can write it


def test_requests_are_numbered() -> None:
    listeners = Listeners(None, None)
    assert Report(listeners).turn < Report(listeners).turn


def test_a_logger_of_the_program_is_used(caplog: pytest.LogCaptureFixture) -> None:
    own = logging.getLogger("my.program")
    caplog.set_level(logging.INFO, "my.program")
    Report(Listeners(None, own))(started())
    Report(Listeners(None, logging.LoggerAdapter(own, {"tenant": 7})))(started())
    assert {record.name for record in caplog.records} == {"my.program"}


def test_a_log_that_is_off_costs_no_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("rendered")

    monkeypatch.setattr("anyturn.openai_sdk.report.lines", never)
    logger = logging.getLogger("off")
    logger.setLevel(logging.CRITICAL)
    report = Report(Listeners(None, logger))
    report._log(started(), logger)
    report._log(Finding(turn=1, at=0.0, rule=Rule.CUT_OFF, words=""), logger)
    report.failed(ValueError(), 0.0)


def test_by_default_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """Python prints warnings of loggers without a handler; a library has one that does nothing."""
    quiet = logging.getLogger("anyturn")
    assert any(isinstance(handler, logging.NullHandler) for handler in quiet.handlers)


def test_a_callback_that_raises_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: Event) -> None:
        raise ValueError("planted-secret")

    caplog.set_level(logging.INFO, LOGGER)
    Report(Listeners(broken, None))(started())
    assert caplog.messages == [
        "[LLM] The request goes on, but on_event raised",
        "[LLM STREAM] Text content started",
    ]


def test_a_log_that_raises_disturbs_nobody(told: list[Event]) -> None:
    class Broken(logging.Logger):
        def isEnabledFor(self, level: int) -> bool:
            raise OSError

    Report(Listeners(told.append, Broken("broken")))(started())
    assert told == [started()]


def test_nobody_is_told_once_it_is_off(told: list[Event]) -> None:
    listeners = Listeners(told.append, None)
    listeners.is_on = False
    Report(listeners)(started())
    assert told == []


def test_messages_are_counted_and_only_told_when_asked(
    caplog: pytest.LogCaptureFixture, told: list[Event]
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    sent = read_body("chat", {**BODY, "messages": [{"role": "user", "content": "PRIVATE"}]})
    Report(Listeners(told.append, None)).sent(sent)
    assert "PRIVATE" not in caplog.text
    Report(Listeners(told.append, None, log_messages=True)).sent(sent)
    assert "  user: PRIVATE" in caplog.messages
    assert [type(event) for event in told] == [RequestSent, RequestSent, MessagesSent]


def test_an_error_is_told_with_what_is_behind_it(told: list[Event]) -> None:
    try:
        try:
            raise OSError("reset by peer")
        except OSError as reset:
            raise ConnectionError("Connection error.") from reset
    except ConnectionError as error:
        Report(Listeners(told.append, None)).failed(error, 2.0)
    [failed] = told
    assert isinstance(failed, RequestFailed)
    assert (failed.error, failed.words) == ("ConnectionError", "Connection error.")
    assert failed.cause == "OSError: reset by peer"


def test_secrets_are_masked_in_lines_records_and_errors(
    caplog: pytest.LogCaptureFixture, told: list[Event]
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    report = Report(Listeners(told.append, None), ["planted-secret"])
    report.failed(ValueError("the key planted-secret is wrong"), 0.0)
    report(Finding(turn=1, at=0.0, rule=Rule.CUT_OFF, words="planted-secret"))
    seen = caplog.text + repr([vars(record) for record in caplog.records])
    assert "planted-secret" not in seen
    assert "planted-secret" not in repr(told[0])


def test_an_error_that_cannot_be_described_disturbs_nobody(told: list[Event]) -> None:
    class Nameless(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    Report(Listeners(told.append, None)).failed(Nameless(), 0.0)
    assert told == []
