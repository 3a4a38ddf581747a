from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.translate.provider_words import fit_to_show

KEYS = [
    "sk-proj-4fRmz0Xk2q7TfVb1",
    "sk-or-v1-0a1b2c3d4e5f60718293",
    "csk-8xk4tyvw2m9hj5rd3n6p",
    "gsk_Zx81Kq0LmPq72nVbT4Ww",
    "xai-7hGt2kLmN0pQrS4tUvWx",
    "nvapi-1a2B3c4D5e6F7g8H",
    "hf_aB3dE5fG7hI9jK1lM3nO",
    "AIzaSyA1b2C3d4E5f6G7h8I9",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:6])
@pytest.mark.parametrize(
    "sentence",
    [
        "{}",
        "Incorrect API key provided: {}.",
        "Authorization: Bearer {}",
        'the header {{"authorization":"Bearer {}"}} is wrong',
        "no access for ({}), sorry",
        "GET https://api.example/v1/models?key={}&x=1",
        "wrong{}",
    ],
)
def test_keys_are_masked(key: str, sentence: str) -> None:
    shown = fit_to_show(sentence.format(key))

    assert key not in shown
    assert key[6:] not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        pytest.param(
            "Incorrect API key provided: sk-...abcd. See docs",
            "Incorrect API key provided: *** See docs",
            id="what-is-left-of-a-key",
        ),
        pytest.param(
            "Incorrect API key provided: invalid-key. See docs",
            "Incorrect API key provided: *** See docs",
            id="no-known-prefix",
        ),
        pytest.param(
            "Authentication Fails, Your api key: ****-key is invalid",
            "Authentication Fails, Your api key: *** is invalid",
            id="deepseek",
        ),
        pytest.param("Bearer abcdef", "Bearer ***", id="bearer"),
        pytest.param(
            "at https://me:hunter2@host/v1", "at https://***@host/v1", id="password-in-address"
        ),
    ],
)
def test_what_is_left_of_a_key_is_masked_too(words: str, shown: str) -> None:
    assert fit_to_show(words) == shown


@pytest.mark.parametrize(
    "words",
    [
        "Invalid API key: please check your settings",
        "Missing bearer authentication in header",
        "a Bearer token is expected",
        "the task-force-management tool is unknown",
        "risk-averse sampling of disk_usage",
        "Item 'rs_68c42de022c881948db7ed1cc2529f2e' of type 'reasoning'",
        "max_completion_tokens: 16384 is too large",
        "model hf-internal-testing/tiny not found",
        "see https://platform.openai.com/account/api-keys.",
    ],
)
def test_ordinary_words_stay(words: str) -> None:
    assert fit_to_show(words) == words


def test_long_runs_are_masked_where_the_words_are_about_a_key() -> None:
    key = "b3f1c2d4e5a697887766554433221100"

    assert fit_to_show(f"no such credential {key}", about_key=True) == "no such credential ***"


def test_the_words_come_on_one_line_without_control_characters() -> None:
    assert fit_to_show("a\r\n\tb\x1b[31mc\x00\u202e d\ud800 ") == "a b [31mc d"


def test_long_words_end_with_an_ellipsis() -> None:
    shown = fit_to_show("long " * 1000)

    assert shown.endswith("long …")
    assert len(shown) <= 2002


def test_short_words_are_not_cut() -> None:
    assert fit_to_show("x" * 2000) == "x" * 2000


def test_a_key_is_masked_before_the_words_are_cut() -> None:
    shown = fit_to_show("a " * 998 + KEYS[0] + " end")

    assert "sk-" not in shown


@given(st.text(), st.sampled_from(KEYS), st.text())
def test_a_planted_key_never_comes_out(before: str, key: str, after: str) -> None:
    shown = fit_to_show(before + key + after)

    assert key not in shown


@given(st.text(max_size=5000), st.integers(1, 2000), st.booleans())
def test_the_words_are_bounded_and_printable(words: str, limit: int, about_key: bool) -> None:
    shown = fit_to_show(words, limit, about_key=about_key)

    assert len(shown) <= limit + 2
    assert len(shown.encode()) <= 2400 + 4
    assert shown.isprintable()
