from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.translate.retry_after import asked_pause, retry_after
from anyturn.wire.profile import Profile

PLAIN = Profile(name="plain")
CEREBRAS = Profile(
    name="cerebras",
    reset_headers=("x-ratelimit-reset-tokens-minute", "x-ratelimit-reset-requests-day"),
)
GROQ = Profile(
    name="groq", reset_headers=("x-ratelimit-reset-requests", "x-ratelimit-reset-tokens")
)
# Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
RFC_DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
RFC_TIME = 784111777.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({"retry-after": "7"}, 7.0, id="seconds"),
        pytest.param({"retry-after": "0.25"}, 0.25, id="float-seconds"),
        pytest.param({"retry-after": "0"}, 0.0, id="at-once"),
        pytest.param({"Retry-After": " 7 "}, 7.0, id="any-case-and-spaces"),
        pytest.param({"RETRY-AFTER-MS": "1500"}, 1.5, id="milliseconds"),
        pytest.param({"retry-after": "9", "retry-after-ms": "20"}, 0.02, id="milliseconds-first"),
        pytest.param({"retry-after": "1m2.5s"}, 62.5, id="go-duration"),
        pytest.param({"retry-after": "86400"}, 3600.0, id="cut-at-an-hour"),
        pytest.param({"retry-after": "1741305600000"}, None, id="a-point-in-time-is-no-pause"),
        pytest.param({"retry-after": "-3"}, None, id="negative"),
        pytest.param({"retry-after": "nan"}, None, id="nan"),
        pytest.param({"retry-after": "inf"}, None, id="inf"),
        pytest.param({"retry-after": "soon"}, None, id="words"),
        pytest.param({"retry-after": ""}, None, id="empty"),
        pytest.param({}, None, id="absent"),
    ],
)
def test_retry_after_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, "", PLAIN) == seconds


def test_a_date_is_measured_from_now() -> None:
    assert retry_after({"retry-after": RFC_DATE}, "", PLAIN, RFC_TIME - 12.5) == 12.5


def test_a_date_in_the_past_means_at_once() -> None:
    assert retry_after({"retry-after": RFC_DATE}, "", PLAIN, RFC_TIME + 60) == 0.0


def test_a_date_without_now_is_ignored() -> None:
    assert retry_after({"retry-after": RFC_DATE}, "", PLAIN) is None


def test_a_date_without_now_is_measured_from_the_date_of_the_answer() -> None:
    headers = {"retry-after": RFC_DATE, "Date": "Sun, 06 Nov 1994 08:49:30 GMT"}

    assert retry_after(headers, "", PLAIN) == 7.0


def test_an_unreadable_header_gives_way_to_the_words() -> None:
    assert retry_after({"retry-after": "soon"}, "try again in 3s", PLAIN) == 3.0


@pytest.mark.parametrize(
    ("headers", "profile", "seconds"),
    [
        pytest.param(
            {
                "x-ratelimit-reset-tokens-minute": "12.7",
                "x-ratelimit-reset-requests-day": "33011.3",
                "x-ratelimit-remaining-tokens-minute": "0",
                "x-ratelimit-remaining-requests-day": "900",
            },
            CEREBRAS,
            12.7,
            id="the-limit-that-is-used-up",
        ),
        pytest.param(
            {
                "x-ratelimit-reset-tokens-minute": "1.5",
                "x-ratelimit-reset-requests-day": "40",
                "x-ratelimit-remaining-tokens-minute": "5",
                "x-ratelimit-remaining-requests-day": "0",
            },
            CEREBRAS,
            40.0,
            id="not-the-first-renewed-when-another-is-used-up",
        ),
        pytest.param(
            {
                "x-ratelimit-reset-tokens-minute": "1.5",
                "x-ratelimit-reset-requests-day": "40",
                "x-ratelimit-remaining-tokens-minute": "0",
                "x-ratelimit-remaining-requests-day": "0",
            },
            CEREBRAS,
            40.0,
            id="the-last-of-two-that-are-used-up",
        ),
        pytest.param(
            {"X-RateLimit-Reset-Requests": "1m2.5s", "x-ratelimit-reset-tokens": "7.66s"},
            GROQ,
            7.66,
            id="the-first-renewed-when-nothing-says-which",
        ),
        pytest.param(
            {"x-ratelimit-reset-requests": "0s", "x-ratelimit-reset-tokens": "250ms"},
            GROQ,
            0.25,
            id="the-first-positive-one",
        ),
        pytest.param({"x-ratelimit-reset-requests": "2h59m"}, GROQ, 3600.0, id="cut"),
        pytest.param({"x-ratelimit-reset-requests": "1741305600"}, GROQ, None, id="epoch"),
        pytest.param({"x-ratelimit-reset-requests": "later"}, GROQ, None, id="unreadable"),
        pytest.param({"x-ratelimit-reset-requests": "9"}, PLAIN, None, id="not-in-the-profile"),
        pytest.param(
            {"retry-after": "3", "x-ratelimit-reset-requests": "9"},
            GROQ,
            3.0,
            id="retry-after-wins",
        ),
    ],
)
def test_reset_headers(headers: dict[str, str], profile: Profile, seconds: float | None) -> None:
    assert retry_after(headers, "", profile) == seconds


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        pytest.param("Please try again in 5.289s.", 5.289, id="groq"),
        pytest.param("try again in 2.5s", 2.5, id="seconds"),
        pytest.param("Try again in 700ms", 0.7, id="milliseconds"),
        pytest.param("try again in 2 seconds", 2.0, id="spelled-out"),
        pytest.param("try again in 1m30s.", 90.0, id="minutes-and-seconds"),
        pytest.param("Please try again in 7m12.5s. Need more tokens?", 432.5, id="longer"),
        pytest.param("try again in 1 minute and 5 seconds", 65.0, id="in-words"),
        pytest.param("please try again after 1 seconds", 1.0, id="kimi"),
        pytest.param("Please retry after 26 seconds.", 26.0, id="azure"),
        pytest.param("Please retry in 34.074824224s.", 34.074824224, id="gemini"),
        pytest.param("try again in 3h", 3600.0, id="cut"),
        pytest.param("try again in 5 messages", None, id="another-unit"),
        pytest.param("try again in a moment", None, id="no-number"),
        pytest.param("the retry failed after 3s", None, id="another-sentence"),
    ],
)
def test_words(words: str, seconds: float | None) -> None:
    found = retry_after({}, words, PLAIN)

    assert found == (None if seconds is None else pytest.approx(seconds))


def test_the_pause_of_a_failure_does_not_come_from_the_limits() -> None:
    assert asked_pause({"x-ratelimit-reset-requests": "9"}) is None


@given(
    headers=st.dictionaries(
        st.sampled_from(["retry-after", "retry-after-ms", "Date", *GROQ.reset_headers]),
        st.one_of(st.text(), st.from_regex(r"[0-9.hmsuµn]{1,20}"), st.floats().map(str)),
    ),
    words=st.one_of(st.text(), st.from_regex(r"try again in [0-9.]{1,12}(m|s|h|ms)")),
    now=st.one_of(st.none(), st.floats(0, 4e9)),
)
def test_a_pause_is_always_sane(headers: dict[str, str], words: str, now: float | None) -> None:
    pause = retry_after(headers, words, GROQ, now)

    assert pause is None or (math.isfinite(pause) and 0 <= pause <= 3600)
