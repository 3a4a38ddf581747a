from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.translate.call_ids import is_drawn


@pytest.mark.parametrize(
    "call_id",
    [
        "call_4b7a90c1e",
        "call_PgZxkQe0vS7L1mJw8nDt5YcA",
        "chatcmpl-tool-0d5f8a1be3f74c4f9d1f6f0d8f1b2c3a",
        "call_0_c1a3f0de-5e0f-4a8f-8f5b-0a8a5b6f7c11",
        "fc_c1a3f0de-5e0f-4a8f-8f5b-0a8a5b6f7c11",
        "toolu_01A09q90qw90lq917835lq9",
        "D681PevKs",
        "AbXdEfGhJ",
        "364215877",
        "function-call-17894561230045",
        "call_2kq9x1ab",
    ],
)
def test_a_random_id_is_drawn(call_id: str) -> None:
    assert is_drawn(call_id)


@pytest.mark.parametrize(
    ("call_id", "name"),
    [
        ("call_1", "f"),
        ("call_00", "f"),
        ("0", "f"),
        ("", ""),
        ("functions.bash:0", "bash"),
        ("functions.mcp__docs__search2files:12", "mcp__docs__search2files"),
        ("call_getMyWeatherForCity_3", "getMyWeatherForCity"),
        ("function_call_12", "f"),
        ("toolcall12", "f"),
        ("call_000000000012", "f"),
        ("call_d5wg", "f"),
        ("get_current_temperature", "get_current_temperature"),
    ],
)
def test_a_counted_id_is_not(call_id: str, name: str) -> None:
    assert not is_drawn(call_id, name)


def test_a_short_name_does_not_tear_an_id_apart() -> None:
    assert is_drawn("call_1f7c1f0f", "f")


WORDS = st.sampled_from(["call", "tool", "tool_call", "functions", "function-call", "fc", ""])


@given(WORDS, st.from_regex(r"[a-zA-Z][a-zA-Z0-9_-]{0,63}", fullmatch=True), st.integers(0, 99_999))
def test_no_counter_behind_words_and_a_tools_name_is_drawn(
    words: str, name: str, number: int
) -> None:
    assert not is_drawn(f"{words}_{number}", name)
    assert not is_drawn(f"{words}.{name}:{number}", name)


@given(st.text(alphabet=string.hexdigits[:16], min_size=24, max_size=40))
def test_an_id_that_is_drawn_stays_so_behind_words(run: str) -> None:
    if is_drawn(run):
        assert is_drawn(f"call_{run}") and is_drawn(f"tool-{run}-0")
