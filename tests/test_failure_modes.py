"""Every failure mode has a test that cites it, or a line that says why not."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "failure-modes.md"
NUMBERS = range(1, 76)
ROW = re.compile(r"^\| F(\d+) \| (.+?) \| (.+?) \| ([^|]+) \|$", re.MULTILINE)
WITHOUT = "no test: "
# Names of tests write it small and behind an underscore.
CITED = re.compile(r"(?<![A-Za-z0-9])[Ff](\d{1,2})(?![A-Za-z0-9])")


def rows() -> dict[int, str]:
    """Where each failure mode is proved, as the page says it."""
    page = PAGE.read_text(encoding="utf-8").replace("\\|", "¦")
    found = [(int(number), proof) for number, _, _, proof in ROW.findall(page)]
    assert len(found) == len(dict(found)), "a number has two rows"
    return dict(found)


@cache
def citations() -> dict[int, set[str]]:
    """The test files that cite each failure mode."""
    cited: dict[int, set[str]] = {number: set() for number in NUMBERS}
    for file in TESTS.rglob("test_*.py"):
        if file == Path(__file__):
            continue
        for number in map(int, CITED.findall(file.read_text(encoding="utf-8"))):
            cited.get(number, set()).add(f"tests/{file.relative_to(TESTS).as_posix()}")
    return cited


def test_the_page_has_one_row_for_every_number_in_order() -> None:
    assert list(rows()) == list(NUMBERS)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: f"number-{number}")
def test_a_failure_mode_is_cited_by_the_tests_that_its_row_names_or_says_why_not(
    number: int,
) -> None:
    proof, cited = rows()[number], citations()[number]
    if proof.startswith(WITHOUT):
        assert len(proof) > len(WITHOUT) + 20, "say why"
        assert not cited, f"the row says that there is no test, and {cited} cite it"
        return
    named = re.findall(r"`(tests/[\w/]+\.py)`", proof)
    assert proof == ", ".join(f"`{file}`" for file in named), "test files, or why there is none"
    assert named, "test files, or why there is none"
    for file in named:
        assert (TESTS.parent / file).exists(), f"{file} does not exist"
    assert {*named} <= cited, f"{ {*named} - cited } do not cite it"


def test_a_number_in_a_name_an_id_or_a_comment_is_a_citation() -> None:
    text = 'def test_x_f1_q2() # F23 id=\'F4: x\' """F56.""" but 0xF7 fF8 f99a F9x no'
    assert CITED.findall(text) == ["1", "23", "4", "56"]
