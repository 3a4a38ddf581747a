from __future__ import annotations

import time

import pytest

from anyturn.openai_sdk.redaction import redacted, secrets_in


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        pytest.param("Incorrect API key: sk-proj-abc123def456.", "abc123", id="key"),
        pytest.param("masked sk-ab**********wxyz", "wxyz", id="key that a provider masked"),
        pytest.param("csk-0123456789abcdef failed", "0123456789", id="Cerebras"),
        pytest.param("gsk_0123456789abcdef failed", "0123456789", id="Groq"),
        pytest.param("Authorization: Bearer made.up_token", "made.up", id="bearer"),
        pytest.param("got eyJhbGciOiJIUzI1.eyJzdWIi.c2ln", "eyJzdWIi", id="JWT"),
        pytest.param('{"api_key":"hunter2hunter2"}', "hunter2", id="in arguments"),
        pytest.param('{"db_password": "correct-horse"}', "horse", id="password"),
        pytest.param('{\\"token\\": \\"abcd1234\\"}', "abcd1234", id="JSON inside JSON"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, hidden: str) -> None:
    masked = redacted(text)
    assert hidden not in masked
    assert "[secret]" in masked


@pytest.mark.parametrize(
    "text",
    [
        '{"title":"Test"}',
        "Rate limit reached: 30000 tokens per minute",
        '{"max_tokens": 1000}',
        "the risk-averse task-list",
    ],
)
def test_innocent_words_stay(text: str) -> None:
    assert redacted(text) == text


def test_known_secrets_are_masked_whatever_they_look_like() -> None:
    assert redacted("the key plain-words is wrong", ["plain-words"]) == "the key [secret] is wrong"


def test_a_known_secret_inside_another_leaves_no_rest() -> None:
    assert "rest" not in redacted("abcdef-rest", ["abcdef", "abcdef-rest"])


def test_a_short_value_is_no_secret() -> None:
    assert redacted("a list", ["list", ""]) == "a list"


def test_the_secrets_of_headers_are_found() -> None:
    headers = {
        "Authorization": "Bearer planted-one",
        "api-key": "planted-two",
        "X-Auth-Token": "planted-three",
        "Accept": "application/json",
        "X-Stainless-Raw-Response": 3,
    }
    found = set(secrets_in(headers))
    assert found >= {"planted-one", "planted-two", "planted-three"}
    assert "application/json" not in found
    assert secrets_in(None) == ()


def test_long_texts_are_no_trap() -> None:
    before = time.process_time()
    for text in ("a-" * 100_000, "token" * 40_000, "bearer " * 30_000, '\\"' * 100_000):
        redacted(text)
    assert time.process_time() - before < 5
