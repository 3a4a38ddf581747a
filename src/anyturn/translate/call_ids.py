"""What a call id alone proves: some providers draw them at random, others count from one."""

from __future__ import annotations

import re
from itertools import pairwise

_RUN = re.compile(r"[A-Za-z0-9]{8,}")
_DIGIT_THEN_LETTER = re.compile(r"[0-9][A-Za-z]")
_LONG_NUMBER = re.compile(r"(?!00)[0-9]{9,}")
_CHANGES = 4


def is_drawn(call_id: str, name: str = "") -> bool:
    """Whether a call id was drawn at random, so that no other call of anybody has it.

    `name` is the call's tool, which counted ids hold (`functions.bash:0`). When in doubt an id is
    not drawn: `call_1` is another call in every conversation of a provider that counts anew.
    """
    if name:
        whole_word = rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])"
        call_id = re.sub(whole_word, " ", call_id)
    return any(map(_is_random, _RUN.findall(call_id)))


def _is_random(run: str) -> bool:
    """Whether letters and digits stand in a disorder that neither a word nor a number has."""
    if _DIGIT_THEN_LETTER.search(run) or _LONG_NUMBER.fullmatch(run):
        return True
    return sum(_kind(one) != _kind(other) for one, other in pairwise(run)) >= _CHANGES


def _kind(character: str) -> tuple[bool, bool]:
    return character.isdigit(), character.isupper()
