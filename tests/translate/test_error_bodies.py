from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.translate.error_bodies import MAX_WORDS, Report, read_body, read_value, status_of


@pytest.mark.parametrize(
    ("value", "report"),
    [
        pytest.param(
            [{"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}}],
            Report("bad", ("INVALID_ARGUMENT",), 400),
            id="gemini-array",
        ),
        pytest.param(
            {"error": {"message": "bad", "type": "t", "param": None, "code": "c"}},
            Report("bad", ("c", "t")),
            id="openai",
        ),
        pytest.param(
            {"error": {"message": "bad", "type": "BadRequestError", "code": 400}},
            Report("bad", ("BadRequestError",), 400),
            id="vllm",
        ),
        pytest.param(
            {"code": "invalid-argument", "error": "bad"},
            Report("bad", ("invalid-argument",)),
            id="xai-text",
        ),
        pytest.param(
            {"message": "bad", "type": "t", "param": "p", "code": "wrong_api_format"},
            Report("bad", ("wrong_api_format", "t")),
            id="cerebras-flat",
        ),
        pytest.param(
            {"object": "error", "message": "bad", "type": "t", "code": 422},
            Report("bad", ("t",), 422),
            id="mistral-flat",
        ),
        pytest.param(
            {
                "type": "error",
                "error": {"type": "t", "message": "bad (2013)", "http_code": "400"},
                "request_id": "r",
            },
            Report("bad (2013)", ("t",), 400),
            id="minimax",
        ),
        pytest.param(
            {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
            Report("insufficient balance", ("1008",)),
            id="minimax-base-resp",
        ),
        pytest.param({"code": "1210", "message": "bad"}, Report("bad", ("1210",)), id="zai-bare"),
        pytest.param(
            {"error": {"code": "1214", "message": "bad"}}, Report("bad", ("1214",)), id="zai"
        ),
        pytest.param(
            {"type": "urn:problem", "title": "Not Found", "status": 404, "detail": "gone"},
            Report("gone", ("urn:problem",), 404),
            id="problem-details",
        ),
        pytest.param(
            {"title": "Not Found", "status": 404}, Report("Not Found", (), 404), id="title-only"
        ),
        pytest.param({"detail": "Invalid API Key"}, Report("Invalid API Key"), id="detail-text"),
        pytest.param(
            {
                "detail": [
                    {"type": "missing", "loc": ["body", "tools", 7, "name"], "msg": "required"},
                    {"loc": "body", "msg": "extra"},
                ]
            },
            Report("body.tools.7.name: required; body: extra"),
            id="fastapi",
        ),
        pytest.param(
            {"data": {"error": {"message": "bad", "code": 503}}},
            Report("bad", (), 503),
            id="data-wrapper",
        ),
        pytest.param(
            {"success": False, "message": "bad", "code": 429},
            Report("bad", (), 429),
            id="success-false",
        ),
        pytest.param(
            {"success": False, "errors": [{"code": 10000, "message": "bad"}]},
            Report("bad", ("10000",)),
            id="errors-list",
        ),
        pytest.param(
            {"error": {"message": "slow down"}, "status_code": 429},
            Report("slow down", (), 429),
            id="status-outside",
        ),
        pytest.param({"error": ["one", "two"]}, Report("one; two"), id="list-of-texts"),
        pytest.param(
            {
                "error": {
                    "code": 502,
                    "message": "Provider returned error",
                    "metadata": {"raw": "upstream is full"},
                }
            },
            Report("Provider returned error: upstream is full", (), 502),
            id="openrouter-cause",
        ),
        pytest.param({"foo": "bar"}, Report('{"foo":"bar"}'), id="unknown-object"),
        pytest.param({"code": 200, "message": "bad"}, Report("bad"), id="200-is-no-error-status"),
        pytest.param({"error": {}}, Report('{"error":{}}'), id="empty-error"),
        pytest.param([], Report(), id="empty-list"),
        pytest.param({}, Report(), id="empty-object"),
        pytest.param("text", Report("text"), id="json-text"),
        pytest.param(None, Report(), id="null"),
        pytest.param({"error": {"message": {"a": 1}}}, Report('{"a":1}'), id="message-object"),
    ],
)
def test_every_shape_is_read(value: Any, report: Report) -> None:
    assert read_value(value) == report
    assert read_body(msgspec.json.encode(value)) == report


@pytest.mark.parametrize(
    ("body", "report"),
    [
        pytest.param(b"", Report(), id="nothing"),
        pytest.param(b" upstream gone \n", Report("upstream gone"), id="text"),
        pytest.param(b"\xff\xfe", Report("\ufffd\ufffd"), id="no-utf-8"),
        pytest.param(b'\xef\xbb\xbf{"error":"bad"}', Report("bad"), id="byte-order-mark"),
        pytest.param(
            b"<html>\r\n<head><title>502 Bad\nGateway</title></head>",
            Report("502 Bad\nGateway", page=True),
            id="html",
        ),
        pytest.param(
            b"<!-- x --><!DOCTYPE HTML><HTML><H1>Not &amp; <i>here</i></H1>",
            Report("Not & here", page=True),
            id="html-heading",
        ),
        pytest.param(b"<html><p>hm</p></html>", Report(page=True), id="html-without-title"),
        pytest.param(
            b'{"error":"<html><title>502</title></html>"}',
            Report("502", page=True),
            id="html-inside-json",
        ),
        pytest.param(b'{"error":', Report('{"error":'), id="cut-json"),
    ],
)
def test_bodies_that_are_not_json(body: bytes, report: Report) -> None:
    assert read_body(body) == report


def test_deep_nesting_ends() -> None:
    deep: dict[str, Any] = {"message": "bottom"}
    for _ in range(50):
        deep = {"error": deep}

    assert "bottom" in read_value(deep).words


def test_a_body_too_deep_to_parse_is_text() -> None:
    assert read_body(b"[" * 100_000).words.startswith("[[[")


def test_words_are_bounded_and_not_cut_through_a_key() -> None:
    words = read_body(b"a " * (MAX_WORDS // 2 - 5) + b"sk-" + b"a1" * 20).words

    assert len(words) <= MAX_WORDS
    assert "sk-" not in words


def test_a_body_larger_than_the_limit_is_not_parsed() -> None:
    words = read_body(b'{"message":"' + b"x " * 1_000_000 + b'"}').words

    assert words.startswith('{"message":"x x')
    assert len(words) <= MAX_WORDS


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (429, 429),
        ("429", 429),
        (100, 100),
        (599, 599),
        (99, 0),
        (600, 0),
        ("1210", 0),
        ("abc", 0),
        ("٤٢٩", 0),
        (True, 0),
        (None, 0),
        ([429], 0),
    ],
)
def test_a_status_is_a_number_of_100_to_599(value: Any, status: int) -> None:
    assert status_of(value) == status


KEYS = ["error", "errors", "message", "detail", "code", "status", "data", "base_resp", "metadata"]
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from([*KEYS, "loc", "raw"]), st.text()), inner),
    ),
    max_leaves=20,
)


@given(VALUES)
def test_any_value_is_read(value: Any) -> None:
    report = read_value(value)

    assert len(report.words) <= MAX_WORDS
    assert all(isinstance(name, str) for name in report.names)
    assert report.status == 0 or 400 <= report.status <= 599


@given(st.binary())
def test_any_bytes_are_read(body: bytes) -> None:
    assert len(read_body(body).words) <= MAX_WORDS
