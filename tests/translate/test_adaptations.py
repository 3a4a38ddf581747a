from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.errors import Kind, TurnError
from anyturn.translate.adaptations import (
    Adaptation,
    Adaptations,
    header_value,
    refuse_losses,
)


def test_a_note_loses_nothing_and_a_loss_does() -> None:
    adaptations = Adaptations()
    adaptations.note("a.b", "input[0]", "it was moved")
    adaptations.loss("c.d", "tools[1]", "it was left out")
    assert adaptations == [
        Adaptation("a.b", "input[0]", "it was moved", lossy=False),
        Adaptation("c.d", "tools[1]", "it was left out", lossy=True),
    ]


@pytest.mark.parametrize(
    ("adaptations", "value"),
    [
        pytest.param([], "", id="none"),
        pytest.param([("a.b", "tools")], "a.b@tools", id="one"),
        pytest.param([("a", "x"), ("a", "x"), ("b", "y")], "a@x; a@x; b@y", id="repeated"),
        pytest.param([("a", "tools;\r\nx: é")], "a@tools???x: ?", id="only visible ASCII"),
        pytest.param([("a", "x" * 2000)], "+1 more", id="one that never fits"),
        pytest.param([("a", "x"), ("b", "y" * 2000)], "a@x; +1 more", id="the second does not fit"),
    ],
)
def test_the_header(adaptations: list[tuple[str, str]], value: str) -> None:
    assert header_value(Adaptation(rule, where, "") for rule, where in adaptations) == value


rules = st.sampled_from(["tools.renamed", "calls.cut_off"])
places = st.builds(str.__mul__, st.text(max_size=4), st.integers(0, 60))


@settings(deadline=None)
@given(st.lists(st.tuples(rules, places), max_size=40))
def test_the_header_stays_short_and_counts_what_it_leaves_out(
    adaptations: list[tuple[str, str]],
) -> None:
    value = header_value(Adaptation(rule, where, "") for rule, where in adaptations)
    assert len(value) <= 1500
    assert value.isascii() and (value.isprintable() or not value)
    entries = value.split("; ") if value else []
    shown = [entry for entry in entries if not entry.startswith("+")]
    left = int(entries[-1][1:].split()[0]) if len(shown) < len(entries) else 0
    assert len(shown) + left == len(adaptations)


def test_strict_mode_refuses_what_would_be_lost_and_lists_it() -> None:
    adaptations = Adaptations()
    adaptations.note("a.b", "input[0]", "it was moved")
    refuse_losses(adaptations)
    for number in range(7):
        adaptations.loss("c.d", f"tools[{number}]", "it cannot be run")
    with pytest.raises(TurnError) as caught:
        refuse_losses(adaptations)
    assert (caught.value.kind, caught.value.param) == (Kind.LOSSY, "tools[0]")
    assert "tools[4]: it cannot be run (c.d); and 2 more." in caught.value.message
    assert "moved" not in caught.value.message and "tools[5]" not in caught.value.message
