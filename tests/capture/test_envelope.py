from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.capture.envelope import PORTION, Envelope


def message(word: str) -> bytes:
    return f'data: {{"id":"c-1","delta":{{"content":"{word}"}},"finish_reason":null}}\n\n'.encode()


WORDS = [f" w{number}" for number in range(100)]
BLOCKS = [message(word) for word in WORDS]


def learnt() -> Envelope:
    envelope = Envelope()
    assert envelope.alike(BLOCKS) == (0, len(BLOCKS))
    return envelope


def test_neighbours_become_one_text() -> None:
    pieces = learnt().pieces(b"".join(BLOCKS))
    assert len(pieces) == len(BLOCKS)
    assert b"".join(pieces[1:-1]).decode() == "".join(WORDS[1:-1])


@given(
    st.lists(
        st.sampled_from([*BLOCKS[:9], b"data: [DONE]\n\n", b": x\n\n", b"", b'"\n']), max_size=30
    )
)
def test_what_is_cut_is_put_together_again(blocks: list[bytes]) -> None:
    envelope, data = learnt(), b"".join(blocks)
    pieces = envelope.pieces(data)
    assert envelope.between.join(pieces) == data


def test_other_forms_are_left_out_on_both_sides() -> None:
    odd = [b'data: {"role":"assistant"}\n\n']
    assert learnt().alike([*odd, *BLOCKS, *odd, *odd]) == (1, 101)
    assert learnt().alike(odd) == (1, 1)
    assert Envelope().alike([]) == (0, 0)


@pytest.mark.parametrize(
    ("words", "blocks", "held"),
    [
        pytest.param(WORDS, BLOCKS, True, id="the same"),
        pytest.param([*WORDS[:-1], "x"], BLOCKS, False, id="another word"),
        pytest.param(WORDS[:-1], BLOCKS, False, id="one less"),
        pytest.param(WORDS, BLOCKS[:-1], False, id="one message less"),
        pytest.param(WORDS, [*BLOCKS[:50], b": x\n\n", *BLOCKS[51:]], False, id="a comment"),
    ],
)
def test_words_are_held_only_if_nothing_else_is_there(words, blocks, held) -> None:
    said = [word.encode() for word in words]
    ends = [*range(PORTION, len(words), PORTION), len(words)]
    assert learnt().holds(said, ends, blocks) is held
