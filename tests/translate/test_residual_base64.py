from __future__ import annotations

import base64
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.translate.residual_base64 import MIN_CHARACTERS, cut_base64


def noise(size: int, seed: int = 0) -> bytes:
    """What a compressed picture looks like."""
    return random.Random(seed).randbytes(size)


def encoded(size: int, seed: int = 0, *, width: int = 0, end: str = "\n") -> str:
    run = base64.b64encode(noise(size, seed)).decode()
    lines = [run[at : at + width] for at in range(0, len(run), width)] if width else [run]
    return end.join(lines)


# ---------------------------------------------------------------- what is cut


@pytest.mark.parametrize("width", [0, 64, 76])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@given(size=st.integers(MIN_CHARACTERS, 60_000), seed=st.integers(0, 99))
def test_base64_is_cut_and_counted_f10_f12(width: int, end: str, size: int, seed: int) -> None:
    run = encoded(size, seed, width=width, end=end)
    text, left_out = cut_base64(f"before\n{run}\nafter")
    note = f"[{left_out:,} characters of base64 left out]"
    rest = text.removeprefix(f"before\n{note}").removesuffix("\nafter")
    # A last line without padding that is too short to be told from a word stays.
    assert len(rest) <= 62
    assert left_out == len(run) - len(rest)


@pytest.mark.parametrize("media", ["image/png", "image/svg+xml", "application/pdf"])
def test_the_note_for_a_data_url_names_its_media_type_f10_f12(media: str) -> None:
    run = encoded(80_001)
    text, left_out = cut_base64(f'{{"url":"data:{media};base64,{run}"}}')
    assert left_out == len(run)
    note = f"[{len(run):,} characters of base64 of {media} left out]"
    assert text == f'{{"url":"data:{media};base64,{note}"}}'


def test_a_data_url_is_cut_whatever_its_letters_are_f12() -> None:
    """A white bitmap is one letter, over and over."""
    text, left_out = cut_base64("data:image/bmp;base64," + "/" * 50_000)
    assert left_out == 50_000
    assert len(text) < 100


def test_every_run_of_a_text_is_cut_f12() -> None:
    text, left_out = cut_base64(f"a {encoded(30_000)} b {encoded(60_000, 1)} c")
    assert left_out == 120_000
    assert re.sub(r"\[.*?\]", "#", text) == "a # b # c"


def test_cutting_twice_cuts_nothing_more_i9() -> None:
    once, _ = cut_base64(f"a {encoded(30_000)} b")
    assert cut_base64(once) == (once, 0)


# ---------------------------------------------------------------- what is left alone

WORDS = ["function", "return", "getElementById", "x", "42", "HTTPServer", "naïve", "base64", "==="]


def minified(rng: random.Random) -> str:
    names = "".join(rng.choice("abcXYZ019") for _ in range(rng.randint(1, 30)))
    return f"function {names}(a,b){{return a+b*{rng.randint(0, 9999)}}};"


def path(rng: random.Random) -> str:
    parts = ("/".join(rng.choice(["src", "Components", "v2", "NavBar"])) for _ in range(40))
    return "/".join(parts)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(lambda rng: noise(40_000, rng.randint(0, 9)).hex(), id="hex in one line"),
        pytest.param(lambda rng: noise(40_000).hex().upper(), id="hex in capitals"),
        pytest.param(lambda rng: noise(30).hex() + "\n", id="a plain hex dump"),
        pytest.param(lambda rng: "ACGT"[rng.randint(0, 3)] * 70 + "\n", id="a genome"),
        pytest.param(lambda rng: str(rng.getrandbits(4000)), id="digits"),
        pytest.param(minified, id="minified code"),
        pytest.param(lambda rng: path(rng) + "\n", id="paths"),
        pytest.param(lambda rng: rng.choice(WORDS) + " ", id="words"),
        pytest.param(lambda rng: rng.choice(WORDS[:6]), id="words without spaces"),
        pytest.param(lambda rng: encoded(64, rng.randint(0, 9)) + "\n", id="a list of digests"),
        pytest.param(
            lambda rng: f"-----BEGIN-----\n{encoded(1500, 1, width=64)}\n-----END-----\n",
            id="certificates",
        ),
        pytest.param(lambda rng: "AAAA,CAAC;SACnB," * 9, id="a source map"),
        pytest.param(lambda rng: "A" * 9000, id="one letter"),
    ],
)
@given(seed=st.integers(0, 999))
def test_what_is_no_base64_stays_as_it_is_f12(line: object, seed: int) -> None:
    rng = random.Random(seed)
    text = ""
    while len(text) < 3 * MIN_CHARACTERS:
        text += line(rng)  # type: ignore[operator]
    assert cut_base64(text) == (text, 0)


@given(st.lists(st.text(), max_size=20).map("\n".join), st.integers(1, 2000))
def test_text_of_any_letters_stays_as_it_is_f12(words: str, times: int) -> None:
    text = f"{words} " * times
    assert cut_base64(text) == (text, 0)


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"], ids=["bare", "data URL"])
def test_short_base64_may_be_what_the_model_works_on(prefix: str) -> None:
    text = prefix + encoded(MIN_CHARACTERS // 2) + " " * MIN_CHARACTERS
    assert cut_base64(text) == (text, 0)


def test_a_large_text_takes_linear_time() -> None:
    """Ten megabytes of the worst: a run that is almost long enough, again and again."""
    text = ("a" * 59 + ";") * 170_000
    assert cut_base64(text) == (text, 0)
