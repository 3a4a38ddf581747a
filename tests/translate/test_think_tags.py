from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.translate.think_tags import ThinkTags


def split(pieces: list[str]) -> tuple[str, str]:
    """The reasoning and the answer that the pieces hold."""
    tags = ThinkTags()
    parts = [part for piece in pieces for part in tags.feed(piece)] + tags.close()
    assert all(text for _, text in parts), "an empty piece says nothing"
    return "".join(t for r, t in parts if r), "".join(t for r, t in parts if not r)


@pytest.mark.parametrize(
    ("content", "reasoning", "answer"),
    [
        pytest.param("<think>so</think>Yes", "so", "Yes", id="block"),
        pytest.param("\n <think>so</think>\n\nYes", "so", "Yes", id="blank lines around"),
        pytest.param("<think></think>Yes", "", "Yes", id="empty block"),
        pytest.param("<think>so", "so", "", id="never closed"),
        pytest.param("<think>a</thin b</think>c", "a</thin b", "c", id="almost a tag inside"),
        pytest.param("Use <think> tags", "", "Use <think> tags", id="not leading"),
        pytest.param("<thinking>", "", "<thinking>", id="another tag"),
        pytest.param("<thi", "", "<thi", id="ends inside a tag"),
        pytest.param("<think>a</think>b</think>", "a", "b</think>", id="closed twice"),
    ],
)
def test_only_a_leading_block_is_reasoning(content, reasoning, answer):
    """Q19, F50."""
    assert split([content]) == (reasoning, answer)
    assert split(list(content)) == (reasoning, answer)


contents = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "</", "think>", "a", " ", "\n", "é"])
).map("".join)


@given(contents, st.data())
def test_every_split_of_the_content_says_the_same(content, data):
    cuts = data.draw(st.lists(st.integers(0, len(content)), max_size=6).map(sorted))
    edges = [0, *cuts, len(content)]
    pieces = [content[a:b] for a, b in pairwise(edges)]
    assert split(pieces) == split([content])


@given(contents)
def test_nothing_but_the_block_and_blank_lines_is_left_out(content):
    reasoning, answer = split([content])
    kept = reasoning + answer
    without_tags = content.replace("<think>", "", 1).replace("</think>", "", 1)
    assert "".join(kept.split()) in {"".join(content.split()), "".join(without_tags.split())}


@pytest.mark.parametrize(
    ("content", "block"),
    [
        ("<think>so</think>Yes", ("", "")),
        ("\n <think>so</think>\r\n\nYes", ("\n ", "\r\n\n")),
        ("<think>so</think>\n", ("", "\n")),
        ("<think>so", None),
        ("Yes <think>so</think>", None),
        ("<thi", None),
    ],
)
def test_what_stood_around_the_block_is_kept(content, block):
    """A provider that wants the block back gets it as it was (MiniMax, Q19)."""
    for pieces in ([content], list(content)):
        tags = ThinkTags()
        for piece in pieces:
            tags.feed(piece)
        assert tags.block == block
