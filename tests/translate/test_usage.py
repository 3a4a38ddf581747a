from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.translate.usage import convert_usage, estimate_usage
from anyturn.wire.profile import Profile
from anyturn.wire.responses import InputDetails, OutputDetails, Usage

JSON = dict[str, Any]
PLAIN = Profile(name="p")


def usage(prompt: int, output: int, total: int, cached: int = 0, reasoning: int = 0) -> Usage:
    return Usage(prompt, output, total, InputDetails(cached), OutputDetails(reasoning))


@pytest.mark.parametrize(
    ("told", "profile", "expected"),
    [
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            PLAIN,
            usage(10, 5, 15),
            id="F58 no details",
        ),
        pytest.param(
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 15,
                "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            PLAIN,
            usage(10, 5, 15, 4, 3),
            id="OpenAI's form",
        ),
        pytest.param(
            {"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": None},
            PLAIN,
            usage(1, 2, 3),
            id="null details, no total",
        ),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 20},
            PLAIN,
            usage(10, 5, 20),
            id="a total that counts more",
        ),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 3},
            PLAIN,
            usage(10, 5, 15),
            id="a total that counts less",
        ),
        pytest.param(
            {"input_tokens": 7, "output_tokens": 8}, PLAIN, usage(7, 8, 15), id="other names"
        ),
        pytest.param({"completion_tokens": 8}, PLAIN, usage(0, 8, 8), id="only completion"),
        pytest.param(
            {"prompt_tokens": 10.0, "completion_tokens": 5.0}, PLAIN, usage(10, 5, 15), id="floats"
        ),
        pytest.param(
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_cache_hit_tokens": 6,
                "prompt_cache_miss_tokens": 4,
            },
            Profile(name="p", usage_cached=("prompt_cache_hit_tokens",)),
            usage(10, 5, 15, 6),
            id="F59 cache hits only",
        ),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 6},
            Profile(
                name="p", usage_cached=("prompt_tokens_details.cached_tokens", "cached_tokens")
            ),
            usage(10, 5, 15, 6),
            id="Q63 the first path that is there",
        ),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 35, "r": 20},
            Profile(name="p", usage_reasoning=("r",), usage_reasoning_included=False),
            usage(10, 25, 35, 0, 20),
            id="Q62 reasoning on top",
        ),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": 5, "r": 20},
            Profile(name="p", usage_reasoning=("r",)),
            usage(10, 5, 15, 0, 5),
            id="Q62 more reasoning than output",
        ),
        pytest.param(
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 99},
            },
            PLAIN,
            usage(10, 5, 15, 10),
            id="more cached than prompt",
        ),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": -1}, PLAIN, usage(10, 0, 10), id="negative"
        ),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": True}, PLAIN, usage(10, 0, 10), id="boolean"
        ),
        pytest.param({}, PLAIN, None, id="empty"),
        pytest.param({"prompt_tokens": None, "total_tokens": 3}, PLAIN, None, id="no counts"),
        pytest.param([1], PLAIN, None, id="a list"),
        pytest.param("12", PLAIN, None, id="text"),
    ],
)
def test_counts_are_read(told: Any, profile: Profile, expected: Usage | None) -> None:
    assert convert_usage(told, profile) == expected


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([])
counts = st.dictionaries(
    st.sampled_from(["prompt_tokens", "completion_tokens", "total_tokens", "cached", "reasoning"]),
    anything,
)


@settings(deadline=None)
@given(counts, st.booleans())
def test_whatever_a_provider_counts_the_details_fit_what_they_detail(
    told: JSON, included: bool
) -> None:
    profile = Profile(
        name="p",
        usage_cached=("cached",),
        usage_reasoning=("reasoning",),
        usage_reasoning_included=included,
    )
    converted = convert_usage(told, profile)
    if converted is None:
        return
    assert 0 <= converted.input_tokens_details.cached_tokens <= converted.input_tokens
    assert 0 <= converted.output_tokens_details.reasoning_tokens <= converted.output_tokens
    assert converted.total_tokens >= converted.input_tokens + converted.output_tokens


def test_a_guess_takes_four_bytes_for_a_token() -> None:
    """F58."""
    assert estimate_usage(400, 10) == Usage(100, 3, 103)
    assert estimate_usage(0, 0) == Usage(0, 0, 0)
